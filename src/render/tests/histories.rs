//! The index equals the definition after every step of random histories.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::fixtures::*;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::fact::FactId;
use crate::api::object::{ObjectKey, Resource};
use crate::api::part::Part;
use crate::render::{Change, Document, Index, Input, PartKey, effective};

/// Few names and few values, so that everything collides with everything.
fn any_resource() -> impl Strategy<Value = Resource> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let peer = prop::sample::select(vec!["peer", "a", "b"]);
    let address = prop::sample::select(vec!["10.0.0.1/32", "10.0.0.2/32", "10.0.9.9/32", "?"]);
    prop_oneof![
        2 => name.clone().prop_map(overlay),
        1 => name.clone().prop_map(|n| resource("Interface", n, &json!({"n": 1}))),
        1 => (name.clone(), 0..3u8).prop_map(|(n, v)| resource("Interface", n, &json!({"n": v}))),
        2 => (name.clone(), 0..3usize, prop::option::of(peer.clone())).prop_map(|(n, p, peer)| {
            let prefix = ["10.0.0.0/24", "10.0.0.0/16", "?"][p];
            let mut spec = json!({"prefix": prefix});
            if let Some(peer) = peer {
                spec["peerRef"] = peer.into();
            }
            resource("AddressMobilityDomain", n, &spec)
        }),
        5 => (name.clone(), name.clone(), address, peer).prop_map(|(n, d, address, peer)| {
            resource("RemoteAddressClaim", n,
                &json!({"domainRef": d, "address": address, "delivery": {"peerRef": peer}}))
        }),
    ]
}

fn any_target() -> impl Strategy<Value = ObjectKey> {
    prop_oneof![
        6 => any_resource().prop_map(|r| r.key),
        1 => Just(key("EventGroup", "a")),
    ]
}

fn any_manifest() -> impl Strategy<Value = Resource> {
    let source = prop::sample::select(vec!["EventSubscription/s", "EventSubscription/t"]);
    let name = prop::sample::select(vec!["a", "b"]);
    prop_oneof![
        6 => any_resource(),
        3 => (name.clone(), source, prop::collection::vec(any_target(), 0..6))
            .prop_map(|(name, source, targets)| policy(name, source, &targets)),
        1 => (name.clone(), name.clone())
            .prop_map(|(name, node)| resource("EventGroup", name, &json!({"nodeName": node}))),
        1 => (name, 0..3u8).prop_map(|(name, v)| resource("Router", name, &json!({"v": v}))),
        1 => Just(resource("WireGuardInterface", "wg", &json!({"privateKey": "SECRET"}))),
    ]
}

prop_compose! {
    fn any_part()(
        subscription in prop::sample::select(vec!["s", "t", "u"]),
        fact in 1..5u8,
        resources in prop::collection::vec(
            prop_oneof![9 => any_resource(), 1 => Just(resource("EventGroup", "a", &json!({})))],
            0..4,
        ),
        targets in prop::collection::vec(any_target(), 0..2),
        observed in 0..4i64,
        since in 0..4i64,
        event in 0..3u8,
        end in 1..40i64,
        created in 0..4i64,
    ) -> Part {
        let mut part = part(subscription, fact, resources);
        part.event_observed_at = at(observed);
        part.since = at(since);
        part.event_id = format!("e{event}");
        part.expires_at = at(end);
        part.created_at = at(created);
        targets.into_iter().fold(part, masking)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(Resource, u32),
    Delete(ObjectKey),
    Part(Box<Part>),
    Collect(&'static str, u8),
    Pass(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any_manifest(), 0..4u32).prop_map(|(r, line)| Step::Put(r, line)),
        2 => any_manifest().prop_map(|r| Step::Delete(r.key)),
        6 => any_part().prop_map(|p| Step::Part(Box::new(p))),
        2 => (prop::sample::select(vec!["s", "t", "u"]), 1..5u8)
            .prop_map(|(s, f)| Step::Collect(s, f)),
        1 => (0..6i64).prop_map(Step::Pass),
    ]
}

/// The inputs as plain sets, beside the index that was told of each change.
struct World {
    accepted: BTreeMap<ObjectKey, Arc<Accepted>>,
    parts: BTreeMap<PartKey, Arc<Part>>,
    now: Time,
    index: Index,
}

impl World {
    fn new() -> Self {
        let (accepted, parts, now) = (BTreeMap::new(), BTreeMap::new(), at(0));
        Self { accepted, parts, now, index: Index::new(now) }
    }

    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Put(resource, line) => {
                let accepted = accepted(line, resource);
                self.accepted.insert(accepted.key().clone(), accepted.clone());
                self.index.apply(Change::PutAccepted(accepted))
            }
            Step::Delete(key) => {
                self.accepted.remove(&key);
                self.index.apply(Change::DeleteAccepted(key))
            }
            Step::Part(part) => {
                let part = Arc::new(*part);
                self.parts.insert(PartKey::of(&part), part.clone());
                self.index.apply(Change::PutPart(part))
            }
            Step::Collect(subscription, fact) => {
                let key = PartKey { subscription: subscription.into(), fact: FactId([fact; 16]) };
                self.parts.remove(&key);
                self.index.apply(Change::DeletePart(key))
            }
            Step::Pass(seconds) => {
                self.now += jiff::SignedDuration::from_secs(seconds);
                self.index.expire(self.now)
            }
        }
    }

    fn effective(&self) -> crate::render::Effective {
        let accepted: Vec<_> = self.accepted.values().cloned().collect();
        // In another order than the index ever sees.
        let parts: Vec<_> = self.parts.values().rev().cloned().collect();
        effective(&Input { accepted: &accepted, parts: &parts, now: self.now })
    }
}

/// What each part and startup resource is told, to see who must be touched by a change.
fn told(world: &World) -> HashMap<String, String> {
    let parts = world
        .parts
        .keys()
        .map(|key| (format!("{key:?}"), format!("{:?}", world.index.outcome_of(key))));
    let objects = world.accepted.keys().map(|key| {
        let problems = world.index.startup_problems(key);
        (format!("{key:?}"), format!("{problems:?} {:?}", world.index.masked(key)))
    });
    parts.chain(objects).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_index_equals_the_definition_after_every_step(
        steps in prop::collection::vec(any_step(), 1..30),
    ) {
        let mut world = World::new();
        let mut digests: HashMap<String, String> = HashMap::new();
        let mut last = Document(&world.index.view()).yaml();
        for step in steps {
            let (revision, before) = (world.index.revision(), told(&world));
            world.index.take_touched();
            let changed = world.step(step);
            let (expected, view) = (world.effective(), world.index.view());
            let yaml = Document(&expected).yaml();
            prop_assert_eq!(&Document(&view).yaml(), &yaml);
            prop_assert_eq!(&view.report, &expected.report);
            prop_assert_eq!(world.index.digest(), expected.digest());

            prop_assert_eq!(changed, yaml != last, "told of a change exactly when there is one");
            prop_assert_eq!(world.index.revision() - revision, u64::from(changed));
            let known = digests.entry(yaml.clone()).or_insert(expected.digest());
            prop_assert_eq!(&*known, world.index.digest(), "equal bytes, equal digest");
            last = yaml;

            let outcomes: Vec<_> = world.parts.keys()
                .filter_map(|key| world.index.outcome_of(key)).collect();
            let told_out: usize = outcomes.iter().map(|o| o.left_out.len()).sum();
            prop_assert_eq!(told_out, expected.report.left_out.len());

            let touched = world.index.take_touched();
            let after = told(&world);
            for key in world.parts.keys() {
                let name = format!("{key:?}");
                prop_assert!(before.get(&name) == after.get(&name) || touched.parts.contains(key));
            }
            for key in world.accepted.keys() {
                let name = format!("{key:?}");
                let same = before.get(&name) == after.get(&name);
                prop_assert!(same || touched.objects.contains(key), "{}", key);
            }
        }
        let mut unique: Vec<_> = digests.values().collect();
        unique.sort();
        unique.dedup();
        prop_assert_eq!(unique.len(), digests.len(), "other bytes, other digest");
    }
}
