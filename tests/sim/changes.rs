//! What a change of the manifests leads to: what a fresh node would reach, with no run too many; and
//! what is wrong with one claim is named, harms no other, and heals with its cause.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use routerd::api::condition::{Condition, ConditionStatus};
use routerd::api::event::Event;
use routerd::api::object::ObjectKey;
use routerd::api::part::Part;
use routerd::store::Scan;
use routerd::store::tables::StatusRow;
use serde_json::{Value as Json, json};

use super::manifests::{self, MAX_AGE, key, seen};
use super::simulate;
use super::world::Host;

const SECOND: Duration = Duration::from_secs(1);
const FACTS: usize = 10;

/// The manifests of one node, by identity.
type Manifests = BTreeMap<ObjectKey, Json>;

fn manifests_of(all: impl IntoIterator<Item = Json>) -> Manifests {
    all.into_iter().map(|json| (key(&json), json)).collect()
}

fn base() -> Manifests {
    let own = [manifests::plugin("p1", "720h"), manifests::plugin("p2", "720h")];
    let all = manifests::basics("720h").into_iter().chain(own);
    manifests_of(all.chain([manifests::subscription("s", "p1")]))
}

fn events(now: routerd::api::Time) -> Vec<Event> {
    (1..=FACTS).map(|n| seen(&format!("e{n:02}"), &format!("10.0.0.{n}/32"), now)).collect()
}

/// What parts hold, without what tells of how they came to be.
fn content(host: &Host) -> Vec<Json> {
    let of = |part: Part| {
        json!({
            "name": part.name(), "event": part.event_id, "since": part.since.to_string(),
            "resources": part.resources.iter().map(|r| &r.body).collect::<Vec<_>>(),
            "retiring": part.retiring.is_some(),
        })
    };
    host.parts().into_values().map(of).collect()
}

/// One change.
struct Change {
    what: &'static str,
    before: fn(&mut Manifests),
    change: fn(&mut Manifests),
    retracted: Option<usize>,
    runs: u64,
}

const NOTHING: fn(&mut Manifests) = |_| ();

fn spec<'a>(all: &'a mut Manifests, kind: &str, name: &str) -> &'a mut Json {
    let found = all.iter_mut().find(|(key, _)| key.kind == kind && key.name == name);
    &mut found.expect("it is there").1["spec"]
}

fn without(all: &mut Manifests, kind: &str) {
    all.retain(|key, _| key.kind != kind || key.name == "p2");
}

fn changes() -> Vec<Change> {
    let change =
        |what, change, runs| Change { what, before: NOTHING, change, retracted: None, runs };
    vec![
        change("nothing", NOTHING, 0),
        Change { retracted: Some(3), ..change("a retraction", NOTHING, 0) },
        change(
            "a narrower match",
            |all| {
                let prefixes = json!(["10.0.0.2/", "10.0.0.3/"]);
                spec(all, "EventSubscription", "s")["match"]["subjectPrefixes"] = prefixes;
            },
            0,
        ),
        Change {
            before: |all| {
                let cidrs = json!(["10.0.0.4/30"]);
                spec(all, "EventSubscription", "s")["match"]["subjectCIDRs"] = cidrs;
            },
            ..change(
                "a wider match",
                |all| {
                    let r#match = &mut spec(all, "EventSubscription", "s")["match"];
                    r#match["subjectCIDRs"] = json!(["10.0.0.0/29"]);
                },
                3,
            )
        },
        change(
            "another pluginRef",
            |all| spec(all, "EventSubscription", "s")["trigger"]["pluginRef"] = "p2".into(),
            FACTS as u64,
        ),
        change(
            "another env of the plugin",
            |all| spec(all, "Plugin", "p1")["env"]["TAG"] = "1".into(),
            FACTS as u64,
        ),
        change("no subscription", |all| without(all, "EventSubscription"), 0),
        change("no plugin", |all| without(all, "Plugin"), 0),
        change(
            "other windows, limits and retries",
            |all| {
                let plugin = spec(all, "Plugin", "p1");
                plugin["timeout"] = "7s".into();
                plugin["concurrency"] = 3.into();
                let trigger = &mut spec(all, "EventSubscription", "s")["trigger"];
                trigger["debounce"] = "2s".into();
                trigger["batchWindow"] = "3s".into();
                trigger["retry"] = json!({"maxAttempts": 9});
            },
            0,
        ),
    ]
}

async fn bring(host: &mut Host, from: &Manifests, to: &Manifests) {
    for gone in from.keys().filter(|key| !to.contains_key(key)) {
        host.delete(gone).await;
    }
    host.put_all(to.values().cloned().collect()).await;
}

async fn retract(host: &mut Host, n: usize) {
    let mut event = seen("gone", &format!("10.0.0.{n}/32"), host.now());
    event.r#type = "gone".into();
    host.emit(vec![event], MAX_AGE).await;
}

#[test]
fn each_change_gives_what_a_fresh_node_would_reach_and_runs_only_what_it_concerns() {
    for Change { what, before, change, retracted, runs } in changes() {
        simulate(async {
            let (mut old, mut fresh) = (Host::started(7), Host::started(8));
            let mut first = base();
            before(&mut first);
            bring(&mut old, &Manifests::new(), &first).await;
            let observed = events(old.now());
            old.emit(observed.clone(), MAX_AGE).await;
            old.converge().await;
            let ran = old.plugins.runs();
            let mut second = first.clone();
            change(&mut second);
            bring(&mut old, &first, &second).await;
            bring(&mut fresh, &Manifests::new(), &second).await;
            fresh.emit(observed, MAX_AGE).await;
            if let Some(n) = retracted {
                retract(&mut old, n).await;
                retract(&mut fresh, n).await;
            }
            old.converge().await;
            fresh.converge().await;
            assert_eq!(old.plugins.runs() - ran, runs, "{what}: runs");
            assert_eq!(old.yaml(), fresh.yaml(), "{what}: the rendered bytes");
            assert_eq!(content(&old), content(&fresh), "{what}: the parts");
            old.assert_a_second_pass_writes_nothing().await;
            // And back again.
            bring(&mut old, &second, &first).await;
            old.converge().await;
            assert_eq!(old.parts().len(), expected_back(&first, retracted), "{what}: and back");
            assert_eq!(old.plugins.violations(), Vec::<String>::new());
        });
    }
}

fn expected_back(first: &Manifests, retracted: Option<usize>) -> usize {
    let narrow = first.values().any(|json| json["spec"]["match"]["subjectCIDRs"].is_array());
    (if narrow { 4 } else { FACTS }) - usize::from(retracted.is_some())
}

#[test]
fn what_is_suspended_stands_still_and_makes_up_for_it_when_it_is_resumed() {
    simulate(async {
        let mut host = Host::started(7);
        let mut all = base();
        host.put_all(all.values().cloned().collect()).await;
        let observed = events(host.now());
        host.emit(observed, MAX_AGE).await;
        host.converge().await;
        spec(&mut all, "EventSubscription", "s")["suspend"] = true.into();
        host.put_all(all.values().cloned().collect()).await;
        host.converge().await;
        let still = (host.yaml(), host.plugins.runs());
        tokio::time::sleep(10 * SECOND).await;
        // Observed anew, and something that is new.
        let now = host.now();
        let more = [seen("f01", "10.0.0.1/32", now), seen("f99", "10.0.0.99/32", now)];
        host.emit(more.into(), MAX_AGE).await;
        host.converge().await;
        tokio::time::sleep(3600 * SECOND).await;
        assert_eq!((host.yaml(), host.plugins.runs()), still);
        spec(&mut all, "EventSubscription", "s")["suspend"] = false.into();
        host.put_all(all.values().cloned().collect()).await;
        host.converge().await;
        assert_eq!(host.plugins.runs(), still.1 + 2, "what was missed, and nothing else");
        assert_eq!(host.parts().len(), FACTS + 1);
    });
}

// What is wrong is named.

impl Host {
    /// (reason, the object it is about) of everything that was left out.
    fn left_out(&self) -> BTreeSet<(String, String)> {
        let mut index = self.node().shared.effective();
        index.expire(self.now());
        let report = index.view().report;
        let of =
            |left: routerd::render::LeftOut| (left.reason.as_str().to_owned(), left.object.name);
        report.left_out.into_iter().map(of).collect()
    }

    /// The stored conditions of the part that was made of this event.
    fn conditions_of(&self, event: &str) -> Vec<Condition> {
        let parts = self.parts();
        let part = parts.values().find(|part| part.event_id == event).expect("there is a part");
        let name = part.name();
        let store = self.store();
        let rows = store.scan::<StatusRow>(&Scan::prefix(&"DynamicConfigPart".to_owned()));
        let row = rows.map(|row| row.expect("a row")).find(|row| row.object.name == name);
        row.map(|row| row.conditions).unwrap_or_default()
    }

    fn stored_part_conditions(&self) -> usize {
        let store = self.store();
        store.scan::<StatusRow>(&Scan::prefix(&"DynamicConfigPart".to_owned())).count()
    }
}

/// (type, status, reason) of each.
fn said(conditions: &[Condition]) -> Vec<(&str, bool, &str)> {
    let of = |c: &Condition| c.status == ConditionStatus::True;
    conditions.iter().map(|c| (c.r#type.as_str(), of(c), c.reason.as_str())).collect()
}

fn made(id: &str, subject: &str, make: &str, tier: &str, now: routerd::api::Time) -> Event {
    let mut event = seen(id, subject, now);
    event.payload = event.payload.with("make", make);
    event.payload = event.payload.with("tier", tier);
    event
}

/// Every claim that has nothing to do with what is wrong.
fn shows_the_healthy(host: &Host) {
    let yaml = host.yaml();
    for n in 1..=3 {
        assert!(yaml.contains(&format!("name: p1-edge-{n}\n")), "p1-edge-{n} is harmed:\n{yaml}");
    }
}

#[test]
fn each_problem_is_named_harms_nothing_else_and_heals_with_its_cause() {
    simulate(async {
        let mut host = Host::started(7);
        let mut all = base();
        // `t` sees what `s` sees under another type; what it makes of it competes.
        let mut t = manifests::subscription("t", "p2");
        t["spec"]["match"] = json!({"types": ["moved"]});
        all.insert(key(&t), t);
        all.retain(|key, _| key.name != "peer-b");
        host.put_all(all.values().cloned().collect()).await;
        tokio::time::sleep(10 * SECOND).await;
        let now = host.now();
        let moved = |mut event: Event, later: u32| {
            event.r#type = "moved".into();
            event.observed_at = Some(now + later * SECOND);
            event
        };
        let healthy = events(now).into_iter().take(3);
        let wrong = [
            made("outside", "10.0.9.9/32", "own", "a", now),
            made("no-peer", "10.0.0.20/32", "own", "b", now),
            made("mask", "host", "mask", "a", now),
            made("forbidden", "10.0.0.21/32", "control", "a", now),
            made("first", "10.0.0.30/32", "own", "a", now),
            moved(made("second", "10.0.0.30/32", "own", "a", now), 1),
            made("same-1", "10.0.0.40/32", "claim", "a", now),
            moved(made("same-2", "10.0.0.40/32", "claim", "a", now), 1),
        ];
        host.emit(healthy.chain(wrong).collect(), MAX_AGE).await;
        host.converge().await;
        shows_the_healthy(&host);
        let named = |reason: &str, object: &str| (reason.to_owned(), object.to_owned());
        let expected = [
            named("OutsideDomain", "p1-edge-9"),
            named("Unresolved", "p1-edge-20"),
            named("MaskNotAllowed", "lan0"),
            named("AddressConflict", "p2-edge-30"),
            named("Conflicted", "claim-40"),
        ];
        assert_eq!(host.left_out(), expected.into());
        for (event, r#type, reason) in [
            ("outside", "Unresolved", "OutsideDomain"),
            ("no-peer", "Unresolved", "Unresolved"),
            ("second", "Conflicted", "AddressConflict"),
            ("same-2", "Conflicted", "Conflicted"),
        ] {
            let conditions = host.conditions_of(event);
            let wanted = [(r#type, true, reason), ("Effective", false, reason)];
            let mut wanted = wanted.to_vec();
            wanted.sort_unstable();
            assert_eq!(said(&conditions), wanted, "{event}");
        }
        let conditions = host.conditions_of("mask");
        assert_eq!(said(&conditions), [("Effective", false, "MaskNotAllowed")]);
        let second = host.conditions_of("second");
        let message = &second.iter().find(|c| c.r#type == "Conflicted").expect("it is so").message;
        assert!(message.contains("p1-edge-30"), "the winner is named: {message}");
        assert_eq!(host.stored_part_conditions(), 5, "the healthy need no row");
        assert!(host.conditions_of("e01").is_empty());
        // The control Kind never became a part: it is a dead letter with its reason.
        let store = host.store();
        let works = store.scan::<routerd::api::run::Work>(&Scan::all()).map(Result::unwrap);
        let dead: Vec<_> = works.filter_map(|work| work.failing).collect();
        assert_eq!(dead.len(), 1);
        assert_eq!((dead[0].reason.as_str(), dead[0].dead), ("ForbiddenKind", true));
        host.assert_a_second_pass_writes_nothing().await;

        // Each cause is mended in turn; nothing is restarted.
        let since: BTreeMap<&str, _> = ["outside", "no-peer", "mask", "second", "same-2"]
            .into_iter()
            .map(|event| (event, host.conditions_of(event)[0].last_transition_time))
            .collect();
        let mends: [(&str, Json); 3] = [
            ("outside", manifests::domain("d1", "10.0.0.0/16")),
            ("no-peer", manifests::peer("peer-b")),
            ("mask", manifests::policy(&["s"])),
        ];
        for (event, mend) in mends {
            tokio::time::sleep(60 * SECOND).await;
            let at = host.now();
            host.put(mend).await;
            host.converge().await;
            let conditions = host.conditions_of(event);
            assert_eq!(said(&conditions), [("Effective", true, "InForce")], "{event}");
            let moved = conditions[0].last_transition_time;
            assert!(moved >= at && moved > since[event], "{event}: {moved} {at}");
            shows_the_healthy(&host);
        }
        let view = host.node().shared.effective().view();
        assert!(view.resources.iter().all(|o| o.key().kind != "Interface"), "lan0 is masked");
        host.put({
            let mut p1 = manifests::plugin("p1", "720h");
            p1["spec"]["env"]["MENDED"] = "yes".into();
            p1
        })
        .await;
        host.converge().await;
        assert!(host.parts().values().any(|part| part.event_id == "forbidden"));
        // The winners leave: the others take their place.
        for subject in ["10.0.0.30/32", "10.0.0.40/32"] {
            let mut gone = seen(&format!("gone-{subject}"), subject, host.now());
            gone.r#type = "gone".into();
            host.emit(vec![gone], MAX_AGE).await;
        }
        host.converge().await;
        let yaml = host.yaml();
        assert!(yaml.contains("name: p2-edge-30\n") && yaml.contains("name: claim-40\n"), "{yaml}");
        assert_eq!(host.left_out(), BTreeSet::new());
        for event in ["second", "same-2"] {
            assert_eq!(said(&host.conditions_of(event)), [("Effective", true, "InForce")]);
        }
        shows_the_healthy(&host);
        host.assert_a_second_pass_writes_nothing().await;
        // Conditions go with their parts.
        host.delete(&ObjectKey::new(manifests::FEDERATION, "EventSubscription", "t")).await;
        host.converge().await;
        assert_eq!(host.stored_part_conditions(), 3);
    });
}

#[test]
fn conditions_survive_a_crash_and_flip_only_with_what_they_tell_of() {
    simulate(async {
        let mut host = Host::started(7);
        let mut all = base();
        all.retain(|key, _| key.name != "peer-b");
        host.put_all(all.values().cloned().collect()).await;
        let now = host.now();
        host.emit(vec![made("no-peer", "10.0.0.20/32", "own", "b", now)], MAX_AGE).await;
        host.converge().await;
        let before = host.conditions_of("no-peer");
        assert_eq!(before.len(), 2);
        tokio::time::sleep(60 * SECOND).await;
        host.crash(3).await;
        host.start();
        host.rescan().await;
        host.converge().await;
        assert_eq!(host.conditions_of("no-peer"), before, "nothing flipped");
        // What was mended while nobody looked is seen at the next start.
        host.crash(4).await;
        host.put(manifests::peer("peer-b")).await;
        host.start();
        host.rescan().await;
        host.converge().await;
        assert_eq!(said(&host.conditions_of("no-peer")), [("Effective", true, "InForce")]);
        let observed = host.conditions_of("no-peer")[0].observed_generation;
        assert_eq!(observed, 1, "the generation of the part");
    });
}

#[test]
fn a_masked_manifest_and_a_claim_that_competes_with_another_say_so() {
    simulate(async {
        let mut host = Host::started(7);
        let mut all = base();
        let policy = manifests::policy(&["s"]);
        all.insert(key(&policy), policy);
        let claim = |name: &str| {
            let spec = json!({
                "domainRef": "d1", "address": "10.0.0.77/32", "ownerSide": "onprem",
                "capture": {"type": "proxy-arp", "interface": "eth0"},
                "delivery": {"peerRef": "peer-a", "mode": "route"},
            });
            manifests::resource(manifests::HYBRID, "RemoteAddressClaim", name, spec)
        };
        for json in [claim("a"), claim("b")] {
            all.insert(key(&json), json);
        }
        host.put_all(all.values().cloned().collect()).await;
        let now = host.now();
        host.emit(vec![made("mask", "host", "mask", "a", now)], MAX_AGE).await;
        host.converge().await;
        let has = |host: &Host, kind: &str, name: &str, r#type: &str| -> Option<Condition> {
            let found = all.keys().find(|key| key.kind == kind && key.name == name);
            let row = host.store().get::<StatusRow>(found.expect("it is there")).unwrap();
            let conditions = row.map(|row| row.conditions).unwrap_or_default();
            conditions.into_iter().find(|c| c.r#type == r#type)
        };
        let masked = has(&host, "Interface", "lan0", "Masked").expect("it is masked");
        assert_eq!((masked.status, masked.observed_generation), (ConditionStatus::True, 1));
        assert!(masked.message.contains("policy masks: moved"), "{}", masked.message);
        assert_eq!(has(&host, "RemoteAddressClaim", "a", "Conflicted"), None);
        let loser = has(&host, "RemoteAddressClaim", "b", "Conflicted").expect("it competes");
        assert!(loser.message.contains("RemoteAddressClaim/a"), "{}", loser.message);
        host.delete(&key(&manifests::policy(&[]))).await;
        host.delete(&key(&claim("a"))).await;
        host.converge().await;
        assert_eq!(has(&host, "Interface", "lan0", "Masked"), None);
        assert_eq!(has(&host, "RemoteAddressClaim", "b", "Conflicted"), None);
    });
}
