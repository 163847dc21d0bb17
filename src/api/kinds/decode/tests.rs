use super::*;
use crate::api::yaml::{Limits, parse_documents};

fn node(text: &str) -> Node {
    let mut documents = parse_documents(text.as_bytes(), &Limits::default());
    assert_eq!(documents.error, None, "{text}");
    documents.docs.remove(0)
}

fn shown(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn refused(text: &str) -> Vec<String> {
    match decode_resource(&node(text), "") {
        Err(rejected) => shown(&rejected.problems),
        Ok(decoded) => panic!("accepted: {:?}", decoded.resource),
    }
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

const GROUP: &str = "
apiVersion: federation.routerd.net/v1alpha1
kind: EventGroup
metadata: {name: cloudedge}
spec: {nodeName: cloud-router}
";

#[test]
fn a_known_kind_is_typed_and_carried_as_written() {
    let decoded = decode_resource(&node(GROUP), "").unwrap();
    assert!(decoded.typed);
    assert_eq!(decoded.pos, Pos { line: 2, column: 1 });
    assert_eq!(
        decoded.resource.key,
        ObjectKey::new("federation.routerd.net/v1alpha1", "EventGroup", "cloudedge")
    );
    let Spec::EventGroup(spec) = &decoded.spec else { panic!("{:?}", decoded.spec) };
    assert_eq!(spec.node_name, "cloud-router");
    assert_eq!(
        json(&decoded.resource.body)["spec"],
        serde_json::json!({"nodeName": "cloud-router"}),
        "defaults are not written into the body"
    );
    assert_eq!(spec_of(&decoded.resource), Ok(decoded.spec.clone()));
    let again = decode_value(&decoded.resource.body, "").unwrap();
    assert_eq!((again.resource, again.spec), (decoded.resource, decoded.spec));
}

#[test]
fn an_opaque_kind_is_carried_verbatim() {
    let text = "
apiVersion: net.routerd.net/v1alpha1
kind: Interface
metadata: {name: wan, anything: {x: 1}}
spec: {ifname: eth0, mtu: 1.10, mode: 0755}
extra: [1, yes]
";
    let decoded = decode_resource(&node(text), "").unwrap();
    assert!(!decoded.typed);
    assert_eq!(decoded.spec, Spec::Opaque);
    assert_eq!(decoded.resource.body, Value::try_from(&node(text)).unwrap());
}

#[test]
fn what_a_server_sets_is_ignored_with_a_note() {
    let text = "
apiVersion: federation.routerd.net/v1alpha1
kind: EventGroup
metadata:
  name: cloudedge
  uid: 0197
  generation: 4
  creationTimestamp: 2026-11-22T00:00:00Z
  annotations: {a: b}
spec: {nodeName: n}
status: {conditions: []}
";
    let decoded = decode_resource(&node(text), "").unwrap();
    assert_eq!(
        shown(&decoded.notes),
        [
            "6:3: metadata.uid: ignored: only the daemon sets it",
            "7:3: metadata.generation: ignored: only the daemon sets it",
            "8:3: metadata.creationTimestamp: ignored: only the daemon sets it",
            "11:1: status: ignored: only the daemon sets it",
        ]
    );
    assert_eq!(
        json(&decoded.resource.body),
        serde_json::json!({
            "apiVersion": "federation.routerd.net/v1alpha1", "kind": "EventGroup",
            "metadata": {"name": "cloudedge", "annotations": {"a": "b"}},
            "spec": {"nodeName": "n"},
        })
    );
    let opaque = text.replace("EventGroup", "Thing").replace("federation.", "net.");
    let decoded = decode_resource(&node(&opaque), "").unwrap();
    assert_eq!(decoded.notes.len(), 4, "for opaque Kinds too");
    assert_eq!(decoded.resource.body.get("status"), None);
}

#[test]
fn what_is_wrong_around_a_spec_is_placed_and_explained() {
    let head = "apiVersion: federation.routerd.net/v1alpha1\nkind: EventGroup\n";
    let opaque = "apiVersion: net.routerd.net/v1alpha1\nkind: Interface\n";
    let grammar = "a name is a-z, 0-9, '-' and '.', beginning and ending with a letter or digit, \
                   253 bytes at most";
    for (text, expected) in [
        (
            "just a text".to_owned(),
            "1:1: expected a mapping, found a scalar (a resource has apiVersion, kind, metadata \
             and spec)"
                .to_owned(),
        ),
        (
            "apiversion: v1\nkind: Thing\nmetadata: {name: a}".to_owned(),
            "1:1: missing field \"apiVersion\" (is \"apiversion\" meant to be it?)".to_owned(),
        ),
        (
            "apiVersion: v1\nkind:\nmetadata: {name: a}".to_owned(),
            "2:1: missing field \"kind\" (it is there, but empty)".to_owned(),
        ),
        (
            "apiVersion: v1\nkind: [a]\nmetadata: {name: a}".to_owned(),
            "2:7: kind: expected a string, found a list".to_owned(),
        ),
        (
            format!("{head}metadata: {{name: a}}\nspec: {{nodeName: n}}\nextra: 1"),
            "5:1: extra: unknown field (known fields: apiVersion, kind, metadata, spec, status)"
                .to_owned(),
        ),
        (
            format!("{head}metadata: {{name: a}}\nspec: {{nodename: n}}"),
            "4:8: spec.nodename: unknown field (did you mean \"nodeName\"?)\n\
             4:8: spec: missing field \"nodeName\""
                .to_owned(),
        ),
        (
            format!("{head}metadata: {{name: a, label: {{}}}}\nspec: {{nodeName: n}}"),
            "3:21: metadata.label: unknown field (did you mean \"labels\"?)".to_owned(),
        ),
        (format!("{head}metadata: {{name: a}}"), "1:1: missing field \"spec\"".to_owned()),
        (
            format!("{head}metadata: {{name: a}}\nspec:"),
            "4:1: missing field \"spec\" (it is there, but empty)".to_owned(),
        ),
        (
            format!("{head}metadata: {{name: Cloud_Edge}}\nspec: {{nodeName: n}}"),
            format!("3:18: metadata.name: the name \"Cloud_Edge\" holds 'C' ({grammar})"),
        ),
        (
            format!("{opaque}metadata: {{name: -a}}"),
            format!("3:18: metadata.name: the name \"-a\" begins with '-' ({grammar})"),
        ),
        (
            format!("{opaque}metadata: {{name: a.}}"),
            format!("3:18: metadata.name: the name \"a.\" ends with '.' ({grammar})"),
        ),
        (
            format!("{opaque}metadata: {{name: ''}}"),
            format!("3:18: metadata.name: the name is empty ({grammar})"),
        ),
        (
            format!("{opaque}metadata: {{nam: a}}"),
            "3:11: metadata: missing field \"name\" (is \"nam\" meant to be it?)".to_owned(),
        ),
        (opaque.to_owned(), "1:1: missing field \"metadata\"".to_owned()),
        (
            format!("{opaque}metadata: a"),
            "3:11: metadata: expected a mapping, found a scalar (metadata holds the resource's \
             name)"
                .to_owned(),
        ),
        (
            "apiVersion: federation.routerd.net/v1\nkind: EventGroup\nmetadata: {name: a}"
                .to_owned(),
            "1:13: apiVersion: \"federation.routerd.net/v1\" has no Kind \"EventGroup\" (write \
             apiVersion: federation.routerd.net/v1alpha1)"
                .to_owned(),
        ),
        (
            "apiVersion: config.routerd.net/v1alpha1\nkind: DynamicConfigPart\n\
             metadata: {name: a}\nspec: {}"
                .to_owned(),
            "2:7: kind: a DynamicConfigPart is a runtime object and cannot be given as a manifest \
             (to add resources, write them as manifests; to have them proposed, write an \
             EventSubscription and a Plugin)"
                .to_owned(),
        ),
    ] {
        let mut found = refused(&text);
        found.sort();
        let mut expected: Vec<_> = expected.lines().map(ToOwned::to_owned).collect();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_value_is_refused_by_path_without_a_place() {
    let body = Value::from_serialize(&serde_json::json!({
        "apiVersion": "federation.routerd.net/v1alpha1", "kind": "EventGroup",
        "metadata": {"name": "a"}, "spec": {"nodeName": ""},
    }))
    .unwrap();
    let rejected = decode_value(&body, "status.resources[1]").unwrap_err();
    assert_eq!(shown(&rejected.problems), ["status.resources[1].spec.nodeName: must not be empty"]);
    assert_eq!(rejected.key.map(|key| key.to_string()).as_deref(), Some("EventGroup/a"));
}

#[test]
fn a_rejection_says_who_it_is_about_and_whether_it_hides_anything() {
    let about = |text: &str| {
        let rejected = decode_resource(&node(text), "").unwrap_err();
        (rejected.key.map(|key| key.to_string()), rejected.hides)
    };
    let readable = GROUP.replace("nodeName", "nodename");
    assert_eq!(about(&readable), (Some("EventGroup/cloudedge".to_owned()), false));
    let duplicate = GROUP.replace("nodeName: cloud-router", "nodeName: a, nodeName: b");
    assert_eq!(about(&duplicate), (Some("EventGroup/cloudedge".to_owned()), false));
    let nameless = GROUP.replace("name: cloudedge", "labels: {}");
    assert_eq!(about(&nameless), (None, true));
    let misnamed = GROUP.replace("cloudedge", "Cloud Edge");
    assert_eq!(about(&misnamed), (None, true));
    let other = GROUP.replace("EventGroup", "EventGrup");
    assert_eq!(about(&other), (Some("EventGrup/cloudedge".to_owned()), true));
}

#[test]
fn of_many_problems_the_first_are_kept() {
    let many: Vec<String> = (0..30).map(|n| format!("x{n}: 1")).collect();
    let text =
        GROUP.replace("nodeName: cloud-router", &format!("nodeName: n, {}", many.join(", ")));
    let found = refused(&text);
    assert_eq!(found.len(), 21);
    assert!(found[0].starts_with("5:21: spec.x0: unknown field"), "{}", found[0]);
    assert_eq!(found[20], "2:1: and 10 more problems");
}

const ROUTER: &str = "\
apiVersion: routerd.net/v1alpha1
kind: Router
metadata: {name: edge}
spec:
  reconcile: {mode: strict}
  resources:
    - apiVersion: net.routerd.net/v1alpha1
      kind: Interface
      metadata: {name: wan}
    - apiVersion: federation.routerd.net/v1alpha1
      kind: EventGroup
      metadata: {name: cloudedge}
      spec: {nodename: n}
    - apiVersion: federation.routerd.net/v1alpha1
      kind: EventGroup
      metadata: {name: good}
      spec: {nodeName: n}
";

fn outcomes(text: &str) -> Vec<String> {
    decode_document(&node(text))
        .into_iter()
        .map(|item| {
            let index = item.index.map_or("-".to_owned(), |index| index.to_string());
            match item.outcome {
                Ok(decoded) => format!("{index} {}", decoded.resource.key),
                Err(rejected) => {
                    let hides = if rejected.hides { " hides" } else { "" };
                    let problems = shown(&rejected.problems).join("; ");
                    format!("{index} refused{hides}: {problems}")
                }
            }
        })
        .collect()
}

#[test]
fn each_resource_of_a_router_stands_or_falls_alone() {
    assert_eq!(
        outcomes(ROUTER),
        [
            "- Router/edge",
            "0 Interface/wan",
            "1 refused: 13:14: spec.resources[1].spec.nodename: unknown field (did you mean \
             \"nodeName\"?); 13:14: spec.resources[1].spec: missing field \"nodeName\"",
            "2 EventGroup/good",
        ]
    );
    let items = decode_document(&node(ROUTER));
    let router = items[0].outcome.as_ref().unwrap();
    assert_eq!(
        json(&router.resource.body),
        serde_json::json!({
            "apiVersion": "routerd.net/v1alpha1", "kind": "Router", "metadata": {"name": "edge"},
            "spec": {"reconcile": {"mode": "strict"}},
        })
    );
    let Spec::Router(spec) = &router.spec else { panic!("{:?}", router.spec) };
    assert_eq!(spec.fields.len(), 1);
    assert_eq!(items[3].outcome.as_ref().unwrap().pos, Pos { line: 14, column: 7 });
}

#[test]
fn a_broken_frame_does_not_take_its_resources_along() {
    let resources = ["0 Interface/wan", "2 EventGroup/good"];
    for (change, to, expected) in [
        (
            "metadata: {name: edge}",
            "metadata: {}",
            "- refused hides: 3:11: metadata: missing field",
        ),
        ("kind: Router", "kind: Ruoter", "- refused hides: 2:7: kind: unknown Kind \"Ruoter\""),
        (
            "apiVersion: routerd.net/v1alpha1",
            "apiVersion: routerd.net/v1",
            "- refused hides: 1:13: apiVersion: \"routerd.net/v1\" has no Kind \"Router\"",
        ),
        ("kind: Router\n", "kind: Router\nextra: 1\n", "- refused: 3:1: extra: unknown field"),
        (
            "reconcile: {mode: strict}",
            "reconcile: {mode: a, mode: b}",
            "- refused hides: 5:24: spec.reconcile.mode: key \"mode\" given twice",
        ),
    ] {
        let found = outcomes(&ROUTER.replacen(change, to, 1));
        assert!(found[0].starts_with(expected), "{found:#?}");
        assert!(resources.iter().all(|one| found.iter().any(|f| f == one)), "{found:#?}");
    }
}

#[test]
fn a_router_that_hides_resources_says_so() {
    for (text, expected) in [
        (
            "spec: {resources: 1}",
            "- refused hides: 4:19: spec.resources: expected a list of resources (each item is \
             one resource: apiVersion, kind, metadata, spec)",
        ),
        ("spec: [1]", "- refused hides: 4:7: spec: expected a mapping"),
        (
            "spec: {resources: [], resources: []}",
            "- refused hides: 4:23: spec.resources: key \"resources\" given twice, first at 4:8",
        ),
    ] {
        let head = "apiVersion: routerd.net/v1alpha1\nkind: Router\nmetadata: {name: edge}\n";
        assert_eq!(outcomes(&format!("{head}{text}")), [expected]);
    }
}

#[test]
fn an_empty_router_is_one() {
    let head = "apiVersion: routerd.net/v1alpha1\nkind: Router\nmetadata: {name: edge}\n";
    for spec in ["", "spec:", "spec: {}", "spec: {resources: }", "spec: {resources: []}"] {
        assert_eq!(outcomes(&format!("{head}{spec}")), ["- Router/edge"], "{spec}");
    }
}

#[test]
fn a_router_inside_a_router_is_refused() {
    let text = "\
apiVersion: routerd.net/v1alpha1
kind: Router
metadata: {name: edge}
spec:
  resources:
    - {apiVersion: routerd.net/v1alpha1, kind: Router, metadata: {name: inner}}
    -
";
    assert_eq!(
        outcomes(text),
        [
            "- Router/edge",
            "0 refused hides: 6:7: spec.resources[0].kind: a Router cannot stand inside a Router \
             (put it into a document of its own)",
            "1 refused hides: 7:6: spec.resources[1]: expected a mapping, found nothing (a \
             resource has apiVersion, kind, metadata and spec)",
        ]
    );
}

#[test]
fn a_router_of_somebody_else_is_opaque() {
    let text = ROUTER.replacen("routerd.net/v1alpha1", "example.com/v1", 1);
    assert_eq!(outcomes(&text), ["- Router/edge"]);
}

#[test]
fn a_list_of_resources_is_read_as_it_is_printed() {
    let group = "apiVersion: federation.routerd.net/v1alpha1, kind: EventGroup, \
                 metadata: {name: g, uid: u}, spec: {nodeName: n}, status: {conditions: []}";
    let opaque = "apiVersion: net.routerd.net/v1alpha1, kind: Interface, metadata: {name: wan}";
    let router = "apiVersion: routerd.net/v1alpha1, kind: Router, metadata: {name: r}, \
                  spec: {hostname: h}";
    let full = "apiVersion: routerd.net/v1alpha1, kind: Router, metadata: {name: q}, \
                spec: {resources: [{}]}";
    let list = format!("[{{{group}}}, {{{opaque}}}, {{{router}}}, {{kind: Thing}}, {{{full}}}]");
    let read = outcomes(&list);
    assert_eq!(read[..3], ["0 EventGroup/g", "1 Interface/wan", "2 Router/r"]);
    assert!(read[3].contains("[3]: missing field \"apiVersion\""), "{read:?}");
    assert!(read[4].contains("[4].spec.resources: a Router in a list"), "{read:?}");
    assert_eq!(outcomes(&format!("{{apiVersion: v1, kind: List, items: {list}}}"))[..3], read[..3]);
    assert_eq!(outcomes("[]"), [""; 0]);
}

#[test]
fn a_file_that_is_not_named_from_the_root_is_noted_and_accepted() {
    let head = "apiVersion: federation.routerd.net/v1alpha1\n";
    let notes = |text: &str| {
        let decoded = decode_resource(&node(&format!("{head}{text}")), "").expect("accepted");
        decoded.notes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let group = "kind: EventGroup\nmetadata: {name: g}\nspec:\n  nodeName: n\n  \
                 auth: {secretFile: secrets/g}\n  \
                 listen: {address: 127.0.0.1, port: 1, tls: {certFile: /c, keyFile: k}}\n";
    assert_eq!(
        notes(group),
        [
            "6:22: spec.auth.secretFile: \"secrets/g\" is not absolute: it is looked for where the \
             daemon was started (write the whole path, beginning with /)",
            "7:70: spec.listen.tls.keyFile: \"k\" is not absolute: it is looked for where the \
             daemon was started (write the whole path, beginning with /)",
        ]
    );
    let peer = "kind: EventPeer\nmetadata: {name: p}\nspec:\n  groupRef: g\n  nodeName: n\n  \
                direction: receive\n  auth: {secretFiles: [/a, b]}\n  tls: {caFile: /ca}\n";
    let noted = notes(peer);
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert!(noted[0].contains("spec.auth.secretFiles[1]"), "{noted:?}");
}

#[test]
fn what_is_shown_in_place_of_a_key_is_noted_where_a_key_belongs() {
    for (kind, spec) in [
        ("WireGuardInterface", "privateKey: REDACTED, listenPort: 51820"),
        (
            "WireGuardPeer",
            "interface: wg0, publicKey: k, allowedIPs: [10.0.0.0/8], presharedKey: REDACTED",
        ),
    ] {
        let text = format!(
            "apiVersion: net.routerd.net/v1alpha1\nkind: {kind}\nmetadata: {{name: n}}\nspec: {{{spec}}}\n"
        );
        let decoded = decode_resource(&node(&text), "");
        let notes = match decoded {
            Ok(decoded) => decoded.notes,
            Err(refused) => panic!("{refused:?}"),
        };
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].to_string().contains("in place of a key"), "{notes:?}");
    }
}
