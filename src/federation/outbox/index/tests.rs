//! The index against the definition, after every step of random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::accepted::SourceRef;
use crate::api::kinds::decode::decode_value;
use crate::api::kinds::spec::Spec;
use crate::api::value::Value;

fn at(second: i64) -> Time {
    Time::from_second(second).unwrap()
}

fn fact(n: u8) -> FactId {
    FactId([n; 16])
}

fn peering(name: &str, uid: u8, types: &[&str], accepted_at: Time) -> Peering {
    let json = json!({
        "apiVersion": "federation.routerd.net/v1alpha1", "kind": "EventPeer",
        "metadata": {"name": name},
        "spec": {"groupRef": "g", "nodeName": name, "endpoint": "http://127.0.0.1:1", "types": types},
    });
    let decoded = decode_value(&Value::from_serialize(&json).unwrap(), "").unwrap();
    let Ok(Spec::EventPeer(spec)) = crate::api::kinds::decode::spec_of(&decoded.resource) else {
        panic!("an EventPeer");
    };
    let source = SourceRef { file: "f".into(), document: 0, index: None, line: 1, column: 1 };
    let accepted = Accepted {
        resource: decoded.resource,
        uid: format!("uid-{uid}"),
        generation: 1,
        source,
        created_at: accepted_at,
        accepted_at,
        digest: String::new(),
        typed: true,
    };
    Peering { accepted: Arc::new(accepted), spec: Arc::new(*spec) }
}

/// The rows, as plainly as there is.
#[derive(Debug, Default)]
struct Rows {
    peers: BTreeMap<Arc<str>, Peering>,
    facts: BTreeMap<FactId, Arc<Current>>,
    outboxes: BTreeMap<Arc<str>, OutboxRow>,
    acks: BTreeMap<(Arc<str>, FactId), Ack>,
}

impl Rows {
    fn owed(&self, name: &str, now: Time) -> Vec<u64> {
        let peering = &self.peers[name];
        let account = account(self.outboxes.get(name), &peering.accepted);
        let owed = |current: &&Arc<Current>| {
            let ack = self.acks.get(&(name.into(), current.fact));
            peering.spec.passes(&current.r#type, &current.subject)
                && standing(&current.offer, ack, account, now) == Standing::Owed
        };
        let mut seqs: Vec<u64> =
            self.facts.values().filter(owed).map(|current| current.offer.seq).collect();
        seqs.sort_unstable();
        seqs
    }
}

#[derive(Debug, Clone)]
enum Step {
    Fact { n: u8, r#type: bool, end: i64 },
    Refresh { n: u8, end: i64 },
    Prune { n: u8 },
    Peer { b: bool, uid: u8, filter: u8 },
    Unpeer { b: bool },
    Meet { b: bool },
    Settle { b: bool, n: u8, dead: bool },
    Pass { seconds: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        4 => (0u8..6, any::<bool>(), 1i64..60)
            .prop_map(|(n, r#type, end)| Step::Fact { n, r#type, end }),
        2 => (0u8..6, 1i64..90).prop_map(|(n, end)| Step::Refresh { n, end }),
        1 => (0u8..6).prop_map(|n| Step::Prune { n }),
        2 => (any::<bool>(), 0u8..2, 0u8..3)
            .prop_map(|(b, uid, filter)| Step::Peer { b, uid, filter }),
        1 => any::<bool>().prop_map(|b| Step::Unpeer { b }),
        1 => any::<bool>().prop_map(|b| Step::Meet { b }),
        4 => (any::<bool>(), 0u8..6, any::<bool>())
            .prop_map(|(b, n, dead)| Step::Settle { b, n, dead }),
        2 => (1i64..30).prop_map(|seconds| Step::Pass { seconds }),
    ];
    prop::collection::vec(one, 1..60)
}

fn name_of(b: bool) -> Arc<str> {
    if b { "b".into() } else { "c".into() }
}

/// Does a step to the rows; returns what a follower would read.
fn play(rows: &mut Rows, step: &Step, seq: &mut u64, now: Time) -> Option<Change> {
    match *step {
        Step::Fact { n, r#type, end } => {
            *seq += 1;
            let end = now + std::time::Duration::from_secs(end.unsigned_abs());
            let offer = Offer {
                seq: *seq,
                observed_at: now,
                expires_at: Some(end),
                received_at: now,
                end,
                ended: false,
            };
            let current = Arc::new(Current {
                fact: fact(n),
                group: "g".into(),
                id: format!("e{seq}"),
                r#type: if r#type { "seen".into() } else { "gone".into() },
                subject: String::new(),
                offer,
            });
            rows.facts.insert(fact(n), Arc::clone(&current));
            Some(Change::Fact(fact(n), Some(current)))
        }
        Step::Refresh { n, end } => {
            let mut current = (**rows.facts.get(&fact(n))?).clone();
            let end = now + std::time::Duration::from_secs(end.unsigned_abs());
            current.offer.observed_at = current.offer.observed_at.max(now);
            current.offer.end = current.offer.end.max(end);
            current.offer.expires_at = Some(current.offer.end);
            let current = Arc::new(current);
            rows.facts.insert(fact(n), Arc::clone(&current));
            Some(Change::Fact(fact(n), Some(current)))
        }
        Step::Prune { n } => {
            rows.facts.remove(&fact(n))?;
            Some(Change::Fact(fact(n), None))
        }
        Step::Peer { b, uid, filter } => {
            let types = [&[][..], &["seen"], &["gone"]][usize::from(filter)];
            let peering = peering(&name_of(b), uid, types, now);
            rows.peers.insert(name_of(b), peering.clone());
            Some(Change::Peer(name_of(b), Some(peering)))
        }
        Step::Unpeer { b } => {
            rows.peers.remove(&name_of(b))?;
            // Its rows are cleaned up before anything else is done about the name.
            rows.outboxes.remove(&name_of(b));
            rows.acks.retain(|(name, _), _| *name != name_of(b));
            Some(Change::Peer(name_of(b), None))
        }
        Step::Meet { b } => {
            let name = name_of(b);
            let peer = rows.peers.get(&name)?;
            let epoch = rows.outboxes.get(&name).map_or(0, |row| row.epoch) + 1;
            let row = OutboxRow::new(&name, &peer.accepted.uid, "s", epoch, now);
            rows.outboxes.insert(Arc::clone(&name), row.clone());
            Some(Change::Outbox(name, Some(row)))
        }
        Step::Settle { b, n, dead } => {
            let name = name_of(b);
            let peer = rows.peers.get(&name)?;
            let current = rows.facts.get(&fact(n))?;
            let ack = Ack {
                epoch: account(rows.outboxes.get(&name), &peer.accepted).epoch,
                seq: current.offer.seq,
                observed_at: current.offer.observed_at,
                expires_at: current.offer.expires_at,
                verdict: if dead { Verdict::Dead } else { Verdict::Delivered },
            };
            rows.acks.insert((Arc::clone(&name), fact(n)), ack);
            Some(Change::Ack(name, fact(n), Some(ack)))
        }
        Step::Pass { .. } => None,
    }
}

fn check(index: &mut Index, rows: &Rows, now: Time) {
    for name in rows.peers.keys() {
        let found = index.owed(name, 0, usize::MAX, now, |_| false);
        let found: Vec<u64> = found.iter().map(|current| current.offer.seq).collect();
        assert_eq!(found, rows.owed(name, now), "{name} at {now}");
        let figures = index.figures(name, now).unwrap();
        assert_eq!(figures.owed, found.len());
    }
}

proptest! {
    #[test]
    fn what_is_owed_is_the_definition_after_every_step(steps in steps()) {
        let (mut index, mut rows) = (Index::default(), Rows::default());
        let (mut now, mut seq) = (at(1_000), 0);
        for step in &steps {
            if let Step::Pass { seconds } = step {
                now += std::time::Duration::from_secs(seconds.unsigned_abs());
            }
            if let Some(change) = play(&mut rows, step, &mut seq, now) {
                index.apply(change.clone(), now);
                if let Step::Unpeer { b } = step {
                    index.cleaned(&name_of(*b));
                }
                // A change that is told twice changes nothing.
                if !matches!(change, Change::Peer(..)) {
                    index.apply(change, now);
                }
            }
            check(&mut index, &rows, now);
        }
        // What a restart reads is what was followed.
        let mut anew = Index::default();
        let peers = rows.peers.iter().map(|(n, p)| Change::Peer(Arc::clone(n), Some(p.clone())));
        let outboxes =
            rows.outboxes.iter().map(|(n, row)| Change::Outbox(Arc::clone(n), Some(row.clone())));
        let acks = rows.acks.iter().map(|((n, id), a)| Change::Ack(Arc::clone(n), *id, Some(*a)));
        let facts = rows.facts.iter().map(|(id, c)| Change::Fact(*id, Some(Arc::clone(c))));
        anew.restart(peers.chain(outboxes).chain(acks).chain(facts), now);
        check(&mut anew, &rows, now);
    }
}

/// One peer `b` that was met, and one fact that ends at 1,100.
fn lab() -> (Index, Arc<Current>) {
    let mut index = Index::default();
    let mut rows = Rows::default();
    let mut seq = 0;
    let name = name_of(true);
    for step in [
        Step::Peer { b: true, uid: 0, filter: 0 },
        Step::Meet { b: true },
        Step::Fact { n: 1, r#type: true, end: 100 },
    ] {
        let change = play(&mut rows, &step, &mut seq, at(1_000)).unwrap();
        assert!(!index.apply(change, at(1_000)).is_empty(), "{step:?} concerns the peer");
    }
    let owed = index.owed(&name, 0, 9, at(1_000), |_| false);
    (index, Arc::clone(&owed[0]))
}

fn ack_of(current: &Current, verdict: Verdict) -> Change {
    let ack = Ack {
        epoch: 1,
        seq: current.offer.seq,
        observed_at: current.offer.observed_at,
        expires_at: current.offer.expires_at,
        verdict,
    };
    Change::Ack(name_of(true), current.fact, Some(ack))
}

#[test]
fn what_expires_while_it_is_owed_is_to_be_put_on_record_once() {
    let (mut index, current) = lab();
    assert_eq!(index.next_end("b"), Some(at(1_100)));
    assert!(index.lapsed("b", 9, at(1_099)).is_empty());
    assert_eq!(index.lapsed("b", 9, at(1_100)), [Arc::clone(&current)]);
    assert!(index.owed("b", 0, 9, at(1_100), |_| false).is_empty());
    index.apply(ack_of(&current, Verdict::Expired), at(1_100));
    assert!(index.lapsed("b", 9, at(1_100)).is_empty());
}

#[test]
fn what_expired_while_nobody_ran_is_put_on_record_at_the_next_start() {
    let (_, current) = lab();
    let start = at(5_000);
    let row = OutboxRow::new("b", "uid-0", "s", 1, at(1_000));
    let listing = |ack: Option<Change>| {
        let peer = Change::Peer(name_of(true), Some(peering("b", 0, &[], at(900))));
        let outbox = Change::Outbox(name_of(true), Some(row.clone()));
        let fact = Change::Fact(current.fact, Some(Arc::clone(&current)));
        [Some(peer), Some(outbox), ack, Some(fact)].into_iter().flatten().collect::<Vec<_>>()
    };
    let mut index = Index::default();
    index.restart(listing(None), start);
    assert_eq!(index.lapsed("b", 9, start).len(), 1);
    index.restart(listing(Some(ack_of(&current, Verdict::Delivered))), start);
    assert_eq!(index.lapsed("b", 9, start).len(), 0, "it was delivered in time");
}

#[test]
fn what_lies_ahead_of_our_own_clock_waits_until_it_does_not() {
    let (mut index, current) = lab();
    assert!(index.owed("b", 0, 9, at(900), |_| false).is_empty(), "the clock was set back");
    assert_eq!(index.count_owed("b"), 1, "it is owed all the same");
    assert_eq!(index.next_ahead("b", at(900)), Some(current.offer.observed_at));
    assert_eq!(index.owed("b", 0, 9, at(1_000), |_| false).len(), 1);
    assert_eq!(index.next_ahead("b", at(1_000)), None);
}

#[test]
fn records_of_facts_that_are_forgotten_are_to_be_forgotten() {
    let (mut index, current) = lab();
    index.apply(ack_of(&current, Verdict::Delivered), at(1_001));
    assert!(index.stale("b", 9).is_empty());
    let touched = index.apply(Change::Fact(current.fact, None), at(1_002));
    assert_eq!(touched.len(), 1, "the peer has something to do");
    assert_eq!(index.stale("b", 9), [current.fact]);
    index.apply(Change::Ack(name_of(true), current.fact, None), at(1_002));
    assert!(index.stale("b", 9).is_empty());
}

#[test]
fn a_peer_that_goes_leaves_rows_to_clean_up_and_one_that_comes_back_waits_for_that() {
    let (mut index, _) = lab();
    assert!(!index.orphaned("b"));
    index.apply(Change::Peer(name_of(true), None), at(1_001));
    assert!(index.orphaned("b") && index.peer("b").is_none());
    let back = peering("b", 1, &[], at(1_002));
    index.apply(Change::Peer(name_of(true), Some(back)), at(1_002));
    assert!(index.orphaned("b"), "the rows are the old one's");
    assert_eq!(index.count_owed("b"), 1, "the new one is owed all");
    index.cleaned("b");
    assert!(!index.orphaned("b"));
    let stray = Change::Outbox("z".into(), Some(OutboxRow::new("z", "u", "s", 1, at(0))));
    assert_eq!(index.apply(stray, at(1_002)).len(), 1, "rows of nobody are cleaned up");
}

#[test]
fn events_go_in_the_order_of_receipt_and_not_beside_one_of_their_own_fact() {
    let (mut index, first) = lab();
    let mut rows = Rows::default();
    let mut seq = 10;
    for n in [3, 2, 4] {
        let step = Step::Fact { n, r#type: true, end: 50 };
        index.apply(play(&mut rows, &step, &mut seq, at(1_000)).unwrap(), at(1_000));
    }
    let seqs = |found: Vec<Arc<Current>>| found.iter().map(|c| c.offer.seq).collect::<Vec<_>>();
    assert_eq!(seqs(index.owed("b", 0, 9, at(1_000), |_| false)), [1, 11, 12, 13]);
    assert_eq!(seqs(index.owed("b", 1, 2, at(1_000), |_| false)), [11, 12], "after the cursor");
    let busy = |id: &FactId| *id == first.fact;
    assert_eq!(seqs(index.owed("b", 0, 9, at(1_000), busy)), [11, 12, 13]);
    // The fact is seen again while its first event is under way: the newer one takes its place.
    let again = Step::Fact { n: 1, r#type: true, end: 70 };
    index.apply(play(&mut rows, &again, &mut seq, at(1_001)).unwrap(), at(1_001));
    assert_eq!(seqs(index.owed("b", 0, 9, at(1_001), busy)), [11, 12, 13]);
    assert_eq!(seqs(index.owed("b", 0, 9, at(1_001), |_| false)), [11, 12, 13, 14]);
}
