//! The rules of validation, one sentence each; answers are written as plugins write them.

use serde_json::{Value as Json, json};

use super::*;

fn at(second: i64) -> Time {
    Time::from_second(second).unwrap()
}

fn plugin(capabilities: &[&str], produces: &[(&str, &str)]) -> PluginSpec {
    let produces: Vec<Json> = produces
        .iter()
        .map(|(api_version, kind)| json!({"apiVersion": api_version, "kind": kind}))
        .collect();
    serde_json::from_value(json!({
        "executable": "/opt/p", "capabilities": capabilities, "produces": produces,
    }))
    .unwrap()
}

fn able() -> PluginSpec {
    plugin(&["propose.dynamicConfig", "propose.providerAction"], &[])
}

/// An answer whose `status` is a ttl of 60 s and what is given.
fn answer(status: &Json) -> Vec<u8> {
    let mut whole = json!({"ttl": "60s"});
    for (key, value) in status.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!({"apiVersion": API_VERSION, "kind": "PluginResult", "status": whole})
        .to_string()
        .into_bytes()
}

/// The verdict on an answer for the events `ids`, of a run from 100 s to 110 s.
fn judged(stdout: &[u8], spec: &PluginSpec, ids: &[&str]) -> Result<Verdict, Fault> {
    judge(stdout, spec, ids, at(100), at(110))
}

fn whole_fault(stdout: &[u8]) -> Fault {
    judged(stdout, &able(), &["e1"]).expect_err(&String::from_utf8_lossy(stdout))
}

/// The only item's content.
fn content(stdout: &[u8], spec: &PluginSpec) -> Content {
    judged(stdout, spec, &["e1"]).unwrap().items.remove(0).unwrap()
}

/// Why the only item was refused.
fn item_fault(stdout: &[u8], spec: &PluginSpec) -> Fault {
    judged(stdout, spec, &["e1"]).expect("the whole is sound").items.remove(0).unwrap_err()
}

fn claim(name: &str, mark: Option<&str>) -> Json {
    let mut claim = json!({
        "apiVersion": "hybrid.routerd.net/v1alpha1", "kind": "RemoteAddressClaim",
        "metadata": {"name": name},
        "spec": {
            "domainRef": "lan", "address": "10.88.60.9/32", "ownerSide": "onprem",
            "capture": {"type": "proxy-arp", "interface": "eth0"},
            "delivery": {"peerRef": "cloud", "mode": "route"},
        },
    });
    if let Some(id) = mark {
        claim["metadata"]["annotations"] = json!({"routerd.net/event-id": id});
    }
    claim
}

fn mask(name: &str) -> Json {
    let target = json!({"apiVersion": "net.routerd.net/v1alpha1", "kind": "Link", "name": name});
    json!({"op": "mask", "target": target, "reason": "moved"})
}

// The envelope.

#[test]
fn json_and_yaml_answers_mean_the_same() {
    let json = answer(&json!({"resources": [claim("c", None)], "directives": [mask("l")]}));
    let yaml = format!(
        "# from a shell script\napiVersion: {API_VERSION}\nkind: PluginResult\nstatus:\n  ttl: 60s\n  \
         resources:\n  - {}\n  directives:\n  - {}\n",
        claim("c", None),
        mask("l")
    );
    assert_eq!(content(&json, &able()), content(yaml.as_bytes(), &able()));
}

#[test]
fn a_byte_order_mark_and_white_space_around_are_no_fault() {
    let plain = answer(&json!({}));
    for (before, after) in [("\u{feff}", ""), ("\n\n ", "\n\n"), ("---\n", "\n...\n")] {
        let wrapped = [before.as_bytes(), &plain, after.as_bytes()].concat();
        assert_eq!(content(&wrapped, &able()), content(&plain, &able()), "{before:?}");
    }
}

#[test]
fn an_empty_answer_is_never_a_success() {
    for stdout in ["", "\n \n", "---\n", "# nothing to do\n", "\u{feff}", "null", "~"] {
        assert_eq!(whole_fault(stdout.as_bytes()).reason, "EmptyResult", "{stdout:?}");
    }
    for stdout in ["{}", "[]", "done", "42"] {
        assert_eq!(whole_fault(stdout.as_bytes()).reason, "BadResult", "{stdout:?}");
    }
}

#[test]
fn what_cannot_be_read_fails_the_run_and_says_where() {
    let good = String::from_utf8(answer(&json!({}))).unwrap();
    let twice = "apiVersion: a\nkind: b\nkind: c\n";
    let inner =
        format!("apiVersion: {API_VERSION}\nkind: PluginResult\nstatus:\n  ttl: 60s\n  ttl: 70s\n");
    let deep =
        good.replace("\"ttl\"", &format!("\"x\":{}{},\"ttl\"", "[".repeat(90), "]".repeat(90)));
    for stdout in [
        "{".to_owned(),
        "a: b: c".to_owned(),
        "\u{0}".to_owned(),
        format!("{good}\n---\n{good}"),
        format!("{good}\ntrailing words"),
        twice.to_owned(),
        inner,
        deep,
    ] {
        let fault = whole_fault(stdout.as_bytes());
        assert_eq!(fault.reason, "BadResult", "{stdout}");
        assert!(fault.message.contains("stdout:"), "{}", fault.message);
    }
    assert_eq!(whole_fault(b"\xff\xfe\x00").reason, "BadResult");
}

#[test]
fn only_a_plugin_result_of_the_version_is_one() {
    for (api_version, kind) in [
        ("plugin.routerd.net/v1", "PluginResult"),
        ("v1", "PluginResult"),
        (API_VERSION, "PluginRequest"),
        (API_VERSION, "pluginresult"),
        ("", ""),
    ] {
        let stdout =
            json!({"apiVersion": api_version, "kind": kind, "status": {"ttl": "60s"}}).to_string();
        assert_eq!(whole_fault(stdout.as_bytes()).reason, "BadResult", "{api_version} {kind}");
    }
}

#[test]
fn a_result_that_was_over_when_its_run_ended_is_none() {
    let short = |at: i64| answer(&json!({"ttl": "10s", "observedAt": super::tests::at(at)}));
    assert_eq!(whole_fault(&short(100)).reason, "Expired");
    assert_eq!(content(&short(101), &able()).expires_at, at(111));
}

#[test]
fn the_ttl_is_required_and_has_bounds() {
    let with = |ttl: Json| {
        let status = json!({"ttl": ttl, "observedAt": at(105)});
        json!({"apiVersion": API_VERSION, "kind": "PluginResult", "status": status})
            .to_string()
            .into_bytes()
    };
    for ttl in [json!("10s"), json!("5m"), json!("720h"), json!("719h59m60s")] {
        judged(&with(ttl.clone()), &able(), &["e1"]).unwrap_or_else(|f| panic!("{ttl}: {f:?}"));
    }
    for ttl in
        [json!(null), json!("9.999s"), json!("720h1ns"), json!("0"), json!("-1m"), json!("x")]
    {
        let fault = whole_fault(&with(ttl.clone()));
        assert_eq!(fault.reason, "BadResult", "{ttl}");
        assert!(fault.message.contains("ttl"), "{ttl}: {}", fault.message);
    }
    let without = json!({"apiVersion": API_VERSION, "kind": "PluginResult"}).to_string();
    assert!(whole_fault(without.as_bytes()).message.contains("status.ttl"));
}

#[test]
fn the_result_holds_from_its_observation_clamped_to_the_run() {
    for (observed_at, held_from) in [
        (None, 100),
        (Some("1970-01-01T00:01:45Z"), 105),
        (Some("1970-01-01T00:00:01Z"), 100),
        (Some("0001-01-01T00:00:00Z"), 100),
        (Some("2999-01-01T00:00:00Z"), 110),
    ] {
        let status = observed_at.map_or(json!({}), |time| json!({"observedAt": time}));
        let content = content(&answer(&status), &able());
        assert_eq!(
            (content.observed_at, content.expires_at),
            (at(held_from), at(held_from + 60)),
            "{observed_at:?}"
        );
    }
}

#[test]
fn unknown_members_of_the_envelope_are_tolerated_and_reported() {
    let stdout = json!({
        "apiVersion": API_VERSION, "kind": "PluginResult", "metadata": {"name": "x"}, "extra": 1,
        "status": {"ttl": "60s", "conditions": [], "resources": [claim("c", None)]},
    });
    let verdict = judged(stdout.to_string().as_bytes(), &able(), &["e1"]).unwrap();
    assert!(verdict.items[0].is_ok());
    for name in ["extra", "conditions"] {
        assert!(verdict.warnings.iter().any(|w| w.contains(name)), "{:?}", verdict.warnings);
    }
    assert_eq!(verdict.warnings.len(), 2);
}

#[test]
fn events_in_an_answer_are_recorded_and_change_nothing() {
    let with = judged(&answer(&json!({"events": [{"id": "x"}]})), &able(), &["e1"]).unwrap();
    let without = judged(&answer(&json!({})), &able(), &["e1"]).unwrap();
    assert_eq!(with.items, without.items);
    assert_eq!(with.warnings.len(), 1);
    assert!(without.warnings.is_empty());
}

// What may be proposed.

#[test]
fn nothing_proposed_is_a_success_with_an_empty_part() {
    for status in [json!({}), json!({"resources": [], "directives": null})] {
        let content = content(&answer(&status), &plugin(&[], &[]));
        assert!(content.resources.is_empty() && content.directives.is_empty());
        assert!(content.action_plans.is_empty());
    }
}

#[test]
fn each_kind_of_proposal_needs_its_capability_and_observing_is_none() {
    const CONFIG: &str = "propose.dynamicConfig";
    const ACTION: &str = "propose.providerAction";
    let observe = ["observe.cloud", "observe.events"];
    for (status, needed, other) in [
        (json!({"resources": [claim("c", None)]}), CONFIG, ACTION),
        (json!({"directives": [mask("l")]}), CONFIG, ACTION),
        (json!({"actionPlans": [{"action": "assign"}]}), ACTION, CONFIG),
    ] {
        let stdout = answer(&status);
        content(&stdout, &plugin(&[needed], &[]));
        for lacking in [plugin(&[], &[]), plugin(&[other], &[]), plugin(&observe, &[])] {
            let fault = item_fault(&stdout, &lacking);
            assert_eq!(fault.reason, "NotCapable");
            assert!(fault.message.contains(needed), "{}", fault.message);
        }
    }
}

#[test]
fn known_kinds_are_read_strictly() {
    let mut unknown_field = claim("c", None);
    unknown_field["spec"]["owner"] = json!("x");
    let mut bad_value = claim("c", None);
    bad_value["spec"]["address"] = json!("10.88.60.0/24");
    let mut missing = claim("c", None);
    missing["spec"].as_object_mut().unwrap().remove("domainRef");
    let mut nameless = claim("c", None);
    nameless["metadata"] = json!({});
    for (resource, named) in [
        (unknown_field, "spec.owner"),
        (bad_value, "spec.address"),
        (missing, "domainRef"),
        (nameless, "missing field \"name\""),
        (claim("Not_A_Name", None), "metadata.name"),
        (json!("words"), "resources[0]"),
        (json!(null), "resources[0]"),
    ] {
        let fault = item_fault(&answer(&json!({"resources": [resource]})), &able());
        assert_eq!(fault.reason, "BadResource", "{named}");
        assert!(fault.message.contains("status.resources[0]"), "{}", fault.message);
        assert!(fault.message.contains(named), "{named}: {}", fault.message);
    }
}

#[test]
fn control_kinds_are_never_proposed_even_where_produces_lists_them() {
    let group = "g";
    for (api_version, kind, spec) in [
        ("routerd.net/v1alpha1", "Router", json!({})),
        ("federation.routerd.net/v1alpha1", "EventGroup", json!({"nodeName": "n"})),
        (
            "federation.routerd.net/v1alpha1",
            "EventPeer",
            json!({"groupRef": group, "nodeName": "n", "endpoint": "http://n:1"}),
        ),
        (
            "federation.routerd.net/v1alpha1",
            "EventSubscription",
            json!({"groupRef": group, "match": {"types": ["t"]}, "trigger": {"pluginRef": "p"}}),
        ),
        ("plugin.routerd.net/v1alpha1", "Plugin", json!({"executable": "/bin/sh"})),
        ("config.routerd.net/v1alpha1", "DynamicOverridePolicy", json!({"allow": []})),
        ("config.routerd.net/v1alpha1", "DynamicConfigPart", json!({})),
        ("config.routerd.net/v1alpha1", "ConfigOutput", json!({"path": "/etc/x"})),
    ] {
        let resource = json!({
            "apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec,
        });
        let spec = plugin(&["propose.dynamicConfig"], &[(api_version, kind)]);
        let fault = item_fault(&answer(&json!({"resources": [resource]})), &spec);
        assert_eq!(fault.reason, "ForbiddenKind", "{kind}: {}", fault.message);
    }
}

#[test]
fn other_kinds_pass_as_they_are_if_produces_lists_exactly_them() {
    let route = json!({
        "apiVersion": "net.routerd.net/v1alpha1", "kind": "IPv4Route",
        "metadata": {"name": "r"}, "spec": {"anything": ["goes", {"here": 1}]},
    });
    let stdout = answer(&json!({"resources": [route]}));
    let config = ["propose.dynamicConfig"];
    let listing = |api_version, kind| plugin(&config, &[(api_version, kind)]);
    let passed = content(&stdout, &listing("net.routerd.net/v1alpha1", "IPv4Route"));
    assert_eq!(serde_json::to_value(&passed.resources[0].body).unwrap(), route);
    for spec in [
        plugin(&config, &[]),
        listing("net.routerd.net/v1alpha1", "Interface"),
        listing("net.routerd.net/v1alpha2", "IPv4Route"),
    ] {
        let fault = item_fault(&stdout, &spec);
        assert_eq!(fault.reason, "UnknownKind");
        assert!(fault.message.contains("spec.produces"), "{}", fault.message);
    }
}

#[test]
fn a_known_kind_needs_no_listing_and_a_misspelt_one_is_refused_whatever_is_listed() {
    content(&answer(&json!({"resources": [claim("c", None)]})), &able());
    let mut slip = claim("c", None);
    slip["kind"] = json!("RemoteAddresClaim");
    let listed = ("hybrid.routerd.net/v1alpha1", "RemoteAddresClaim");
    let spec = plugin(&["propose.dynamicConfig"], &[listed]);
    let fault = item_fault(&answer(&json!({"resources": [slip]})), &spec);
    assert_eq!(fault.reason, "BadResource");
    assert!(fault.message.contains("RemoteAddressClaim"), "{}", fault.message);
}

#[test]
fn one_identity_twice_in_one_part_is_a_fault() {
    let stdout = answer(&json!({"resources": [claim("c", None), claim("c", None)]}));
    assert_eq!(item_fault(&stdout, &able()).reason, "BadResource");
}

#[test]
fn a_directive_is_a_mask_with_a_whole_target_and_nothing_else() {
    let wanted = Directive {
        op: DirectiveOp::Mask,
        target: crate::api::object::ObjectKey::new("net.routerd.net/v1alpha1", "Link", "l"),
        reason: "moved".to_owned(),
    };
    let passed = content(&answer(&json!({"directives": [mask("l")]})), &able());
    assert_eq!(passed.directives, [wanted]);
    let mut replace = mask("l");
    replace["op"] = json!("replace");
    let mut extra = mask("l");
    extra["force"] = json!(true);
    let mut partial = mask("l");
    partial["target"].as_object_mut().unwrap().remove("kind");
    for directive in [replace, extra, partial, json!({}), json!("mask")] {
        let fault = item_fault(&answer(&json!({"directives": [directive]})), &able());
        assert_eq!(fault.reason, "BadDirective", "{directive}");
        assert!(fault.message.contains("status.directives[0]"), "{}", fault.message);
    }
}

#[test]
fn action_plans_are_stored_as_they_are() {
    let plan = json!({"provider": "azure", "steps": [{"assign": "10.88.60.9"}, 2, null]});
    let passed = content(&answer(&json!({"actionPlans": [plan]})), &able());
    assert_eq!(serde_json::to_value(&passed.action_plans).unwrap(), json!([plan]));
}

#[test]
fn more_items_than_one_part_may_hold_are_refused() {
    let plans = |count: usize| answer(&json!({"actionPlans": vec![json!({"a": 1}); count]}));
    assert_eq!(content(&plans(MAX_ITEMS), &able()).action_plans.len(), MAX_ITEMS);
    assert_eq!(item_fault(&plans(MAX_ITEMS + 1), &able()).reason, "TooMany");
}

// Batches.

fn batch(status: &Json) -> Result<Verdict, Fault> {
    judged(&answer(status), &able(), &["e1", "e2", "e3"])
}

#[test]
fn marks_give_each_event_its_share_in_the_order_of_the_request() {
    let mut directive = mask("l");
    directive["eventID"] = json!("e1");
    let verdict = batch(&json!({
        "resources": [claim("b", Some("e3")), claim("a", Some("e1")), claim("c", Some("e3"))],
        "directives": [directive],
        "actionPlans": [{"eventID": "e3", "do": 1}],
    }))
    .unwrap();
    let shares: Vec<(Vec<&str>, usize, usize)> = verdict
        .items
        .iter()
        .map(|item| {
            let item = item.as_ref().unwrap();
            let names = item.resources.iter().map(|r| r.key.name.as_str()).collect();
            (names, item.directives.len(), item.action_plans.len())
        })
        .collect();
    assert_eq!(shares, [(vec!["a"], 1, 0), (vec![], 0, 0), (vec!["b", "c"], 0, 1)]);
}

#[test]
fn an_unmarked_item_among_many_events_rejects_the_whole_result() {
    for status in [
        json!({"resources": [claim("a", Some("e1")), claim("b", None)]}),
        json!({"directives": [mask("l")]}),
        json!({"actionPlans": [{"do": 1}]}),
    ] {
        let fault = batch(&status).unwrap_err();
        assert_eq!(fault.reason, "Unmarked", "{status}");
    }
}

#[test]
fn a_mark_that_names_no_event_of_the_run_rejects_the_result() {
    let status = json!({"resources": [claim("a", Some("e9"))]});
    assert_eq!(batch(&status).unwrap_err().reason, "WrongMark");
    assert_eq!(whole_fault(&answer(&status)).reason, "WrongMark");
}

#[test]
fn with_one_event_marks_may_be_left_out() {
    let unmarked = answer(&json!({"resources": [claim("a", None)]}));
    let marked = answer(&json!({"resources": [claim("a", Some("e1"))]}));
    assert_eq!(content(&unmarked, &able()).resources.len(), 1);
    assert_eq!(content(&marked, &able()).resources.len(), 1);
}

#[test]
fn a_bad_item_rejects_its_own_facts_result_and_no_other() {
    let mut bad = claim("b", Some("e2"));
    bad["spec"]["owner"] = json!("x");
    let resources = [claim("a", Some("e1")), bad, claim("c", Some("e2")), claim("d", Some("e3"))];
    let verdict = batch(&json!({"resources": resources})).unwrap();
    assert!(verdict.items[0].is_ok() && verdict.items[2].is_ok());
    let fault = verdict.items[1].as_ref().unwrap_err();
    assert!(fault.message.contains("status.resources[1]"), "{}", fault.message);
    let twice = json!({"resources": [claim("a", Some("e1")), claim("a", Some("e2"))]});
    assert!(batch(&twice).unwrap().items.iter().all(Result::is_ok), "two parts, two proposals");
}

// The digest.

#[test]
fn the_digest_tells_contents_apart_and_ignores_what_says_nothing() {
    let digest = |status: Json| content(&answer(&status), &able()).digest;
    let base = digest(json!({"resources": [claim("a", None)]}));
    let reordered =
        br#"{"kind":"PluginResult","status":{"resources":[{"spec":{"ownerSide":"onprem",
        "delivery":{"mode":"route","peerRef":"cloud"},"address":"10.88.60.9/32","domainRef":"lan",
        "capture":{"interface":"eth0","type":"proxy-arp"}},"metadata":{"name":"a"},
        "kind":"RemoteAddressClaim","apiVersion":"hybrid.routerd.net/v1alpha1"}],
        "observedAt":"1970-01-01T00:01:45Z","ttl":"70s"},
        "apiVersion":"plugin.routerd.net/v1alpha1"}"#;
    assert_eq!(content(reordered, &able()).digest, base, "times and the order of keys");
    let others = [
        json!({}),
        json!({"resources": [claim("b", None)]}),
        json!({"resources": [claim("a", None), claim("b", None)]}),
        json!({"directives": [mask("l")]}),
        json!({"actionPlans": [claim("a", None)]}),
    ];
    let mut seen: Vec<String> = others.into_iter().map(digest).collect();
    seen.push(base);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6);
}
