//! What becomes of a received event, one sentence each, on a store in memory.

use super::*;
use crate::api::fact::since;
use crate::store::facts::delete_fact;
use crate::store::{MemoryEngine, Record, Scan, Store, WriteError};

const WINDOW: Duration = Duration::from_secs(300);
const MAX_AGE: Duration = Duration::from_secs(3600);
/// The time of receipt, in seconds, where a test names none.
const NOW: i64 = 10_000;

fn at(second: i64) -> Time {
    Time::from_second(second).unwrap()
}

fn event(id: &str, observed: i64) -> Event {
    Event {
        id: id.into(),
        group: "g".into(),
        r#type: "t".into(),
        source_node: "n".into(),
        subject: "s".into(),
        dedupe_key: String::new(),
        payload: crate::api::payload::Payload::default(),
        observed_at: Some(at(observed)),
        expires_at: None,
    }
}

fn until(id: &str, observed: i64, expires: i64) -> Event {
    Event { expires_at: Some(at(expires)), ..event(id, observed) }
}

struct Node {
    store: Store,
    now: i64,
    room: Option<u64>,
}

impl Node {
    fn new() -> Self {
        Self { store: Store::in_memory(MemoryEngine::new()), now: NOW, room: Some(100) }
    }

    async fn try_take(&self, event: Event) -> Result<Outcome, Refusal> {
        let receipt = Receipt {
            now: at(self.now),
            received_from: "peer-1".into(),
            verified_by: "group".into(),
            replay_window: WINDOW,
            max_age: MAX_AGE,
            room: self.room,
        };
        let wrote = self.store.write(move |txn| accept(txn, 0, event, &receipt)).await;
        wrote.map(|committed| committed.value).map_err(|error| match error {
            WriteError::Rejected(refusal) => refusal,
            error => panic!("{error}"),
        })
    }

    async fn take(&self, event: Event) -> Outcome {
        self.try_take(event).await.expect("accepted")
    }

    fn rows(&self) -> Vec<EventRow> {
        let rows = self.store.scan::<EventRow>(&Scan::all()).map(|row| row.expect("a row"));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| row.seq);
        rows
    }

    fn fact(&self) -> FactRow {
        let id = FactId::of(&event("any", 0));
        find(&self.store, &id).expect("read").expect("the fact is known")
    }

    fn since(&self) -> i64 {
        let fact = self.fact();
        since(&fact.stretches, fact.observed_at).as_second()
    }

    /// What pruning leaves of an event.
    async fn prune(&self, id: &str) {
        let row = self.rows().into_iter().find(|row| row.event.id == id).expect("it is stored");
        let wrote = self.store.write(move |txn| {
            let fact = FactId::of(&row.event);
            if find(txn, &fact)?.is_some_and(|fact| fact.seq == row.seq) {
                delete_fact(txn, &fact)?;
            }
            txn.put(&IdentityRow::of(&row))?;
            order::remove(txn, &row.event.group, &[row.seq])?;
            txn.delete::<EventRow>(&row.key())
        });
        wrote.await.expect("pruned");
    }
}

fn made(made_fact: bool) -> Outcome {
    Outcome::New { made_fact }
}

// Identity.

#[tokio::test]
async fn a_new_event_is_stored_with_its_receipt_its_place_and_its_fact() {
    let node = Node::new();
    assert_eq!(node.take(until("e1", NOW - 5, NOW + 60)).await, made(true));
    let [row] = node.rows().try_into().expect("one row");
    assert_eq!(row.event, until("e1", NOW - 5, NOW + 60));
    assert_eq!((row.received_at, row.received_from.as_str()), (at(NOW), "peer-1"));
    assert_eq!(row.verified_by, "group");
    let fact = node.fact();
    assert_eq!((fact.seq, fact.event_id.as_str(), fact.event_type.as_str()), (row.seq, "e1", "t"));
    assert_eq!((fact.observed_at, fact.expires_at), (at(NOW - 5), Some(at(NOW + 60))));
    assert_eq!(row.keep_until, at(NOW + 600), "received + 2 replay windows");
    let order = order::newest_first(&node.store, "g")
        .expect("it reads")
        .map(|place| place.expect("it reads"));
    assert_eq!(order.collect::<Vec<_>>(), [(row.seq, "e1".to_owned())]);
}

#[tokio::test]
async fn an_id_is_remembered_until_its_event_expires_where_that_is_later() {
    let node = Node::new();
    node.take(until("e1", NOW, NOW + 5000)).await;
    assert_eq!(node.rows()[0].keep_until, at(NOW + 5000));
}

#[tokio::test]
async fn the_same_event_again_is_a_duplicate_and_writes_nothing() {
    let node = Node::new();
    node.take(until("e1", NOW - 5, NOW + 60)).await;
    let head = node.store.head();
    for again in [until("e1", NOW - 5, NOW + 60), until("e1", NOW - 9, NOW + 50), {
        Event { observed_at: None, expires_at: None, ..event("e1", 0) }
    }] {
        assert_eq!(node.take(again).await, Outcome::Duplicate);
    }
    assert_eq!(node.store.head(), head);
}

#[tokio::test]
async fn other_content_under_a_known_id_is_a_conflict_and_the_first_stays() {
    let node = Node::new();
    node.take(event("e1", NOW)).await;
    let mut paid = event("e1", NOW);
    paid.payload = [("k", "v")].into();
    for other in [
        paid,
        Event { r#type: "t2".into(), ..event("e1", NOW) },
        Event { source_node: "n2".into(), ..event("e1", NOW) },
        Event { subject: "s2".into(), ..event("e1", NOW) },
        Event { dedupe_key: "d".into(), ..event("e1", NOW) },
    ] {
        let refusal = node.try_take(other).await.expect_err("a conflict");
        assert!(matches!(refusal, Refusal::Conflict { .. }), "{refusal}");
    }
    assert_eq!(node.rows().len(), 1);
    assert_eq!(node.rows()[0].event, event("e1", NOW));
}

#[tokio::test]
async fn ids_of_different_groups_have_nothing_to_do_with_each_other() {
    let node = Node::new();
    node.take(event("e1", NOW)).await;
    let other = Event { group: "g2".into(), subject: "other".into(), ..event("e1", NOW) };
    assert_eq!(node.take(other).await, made(true));
}

// Refresh.

#[tokio::test]
async fn later_times_refresh_and_each_takes_the_maximum() {
    let node = Node::new();
    node.take(until("e1", NOW - 50, NOW + 100)).await;
    let seq = node.fact().seq;
    assert_eq!(node.take(until("e1", NOW - 20, NOW + 60)).await, Outcome::Refreshed);
    assert_eq!(node.take(until("e1", NOW - 40, NOW + 200)).await, Outcome::Refreshed);
    let [row] = node.rows().try_into().expect("still one row");
    assert_eq!(row.event, until("e1", NOW - 20, NOW + 200));
    assert_eq!(row.seq, seq);
    let fact = node.fact();
    assert_eq!((fact.observed_at, fact.expires_at), (at(NOW - 20), Some(at(NOW + 200))));
    assert_eq!(fact.seq, seq);
}

#[tokio::test]
async fn a_refresh_of_an_event_that_was_superseded_makes_it_the_newest_again() {
    let node = Node::new();
    node.take(event("e1", NOW - 50)).await;
    node.take(event("e2", NOW - 40)).await;
    assert_eq!(node.fact().event_id, "e2");
    assert_eq!(node.take(event("e1", NOW - 45)).await, Outcome::Refreshed);
    assert_eq!(node.fact().event_id, "e2", "not as long as the other is newer");
    assert_eq!(node.take(event("e1", NOW - 30)).await, Outcome::Refreshed);
    assert_eq!(node.fact().event_id, "e1");
}

// The fact.

#[tokio::test]
async fn the_newest_observation_is_the_fact_in_whatever_order_they_arrive() {
    let node = Node::new();
    assert_eq!(node.take(event("e2", NOW - 20)).await, made(true));
    assert_eq!(node.take(event("e1", NOW - 30)).await, made(false), "late: history");
    assert_eq!(node.fact().event_id, "e2");
    assert_eq!(node.take(event("e3", NOW - 10)).await, made(false), "it renews");
    assert_eq!(node.fact().event_id, "e3");
    assert_eq!(node.rows().len(), 3);
}

#[tokio::test]
async fn of_two_observations_at_one_moment_the_larger_id_is_the_fact() {
    for order in [["e1", "e2"], ["e2", "e1"]] {
        let node = Node::new();
        for id in order {
            node.take(event(id, NOW)).await;
        }
        assert_eq!(node.fact().event_id, "e2", "{order:?}");
    }
}

#[tokio::test]
async fn an_absent_observation_time_is_the_time_of_receipt() {
    let node = Node::new();
    node.take(Event { observed_at: None, ..event("e1", 0) }).await;
    assert_eq!(node.rows()[0].event.observed_at, Some(at(NOW)));
    assert_eq!(node.fact().observed_at, at(NOW));
}

#[tokio::test]
async fn what_has_already_expired_is_history_and_makes_no_live_fact() {
    let node = Node::new();
    for (id, event) in [
        ("e1", until("e1", NOW - 50, NOW - 1)),
        ("e2", until("e2", NOW - 40, NOW)),
        ("e3", event("e3", NOW - 3600)),
    ] {
        assert_eq!(node.take(event).await, made(false), "{id}");
    }
    assert_eq!(node.rows().len(), 3);
}

#[tokio::test]
async fn an_expired_newer_observation_ends_the_fact_that_it_supersedes() {
    let node = Node::new();
    assert_eq!(node.take(event("e1", NOW - 100)).await, made(true));
    assert_eq!(node.take(until("e2", NOW - 50, NOW - 1)).await, made(false));
    assert_eq!((node.fact().event_id.as_str(), node.fact().expires_at), ("e2", Some(at(NOW - 1))));
}

#[tokio::test]
async fn a_dedupe_key_names_the_fact_unless_it_only_repeats_the_id() {
    let node = Node::new();
    let keyed = |id: &str, subject: &str, dedupe: &str| Event {
        subject: subject.into(),
        dedupe_key: dedupe.into(),
        ..event(id, NOW)
    };
    assert_eq!(node.take(keyed("e1", "s1", "d")).await, made(true));
    assert_eq!(node.take(keyed("e2", "s2", "d")).await, made(false), "the same fact");
    assert_eq!(node.take(keyed("e3", "s1", "e3")).await, made(true), "named by its subject");
    assert_eq!(node.take(keyed("e4", "s1", "e4")).await, made(false), "which it shares");
    assert_eq!(node.take(keyed("e5", "", "")).await, made(true), "named by its id");
}

#[tokio::test]
async fn since_is_when_the_present_live_stretch_began() {
    let mut node = Node::new();
    node.take(until("e1", NOW, NOW + 100)).await;
    node.now = NOW + 50;
    node.take(until("e2", NOW + 50, NOW + 200)).await;
    assert_eq!(node.since(), NOW, "renewed while it lived");
    node.now = NOW + 180;
    node.take(until("e2", NOW + 180, NOW + 300)).await;
    assert_eq!(node.since(), NOW, "refreshed while it lived");
    node.now = NOW + 400;
    assert_eq!(node.take(until("e3", NOW + 400, NOW + 500)).await, made(true));
    assert_eq!(node.since(), NOW + 400, "it had ended");
    assert_eq!(node.take(until("e0", NOW + 290, NOW + 410)).await, made(false));
    assert_eq!(node.since(), NOW, "what arrives late closes the gap");
}

// Limits.

#[tokio::test]
async fn a_full_group_refuses_new_facts_and_nothing_else() {
    let mut node = Node::new();
    node.take(event("e1", NOW - 10)).await;
    node.take(until("old", NOW - 3700, NOW - 50)).await;
    node.room = Some(0);
    let other = |id: &str| Event { subject: "other".into(), ..event(id, NOW) };
    let refusal = node.try_take(other("e2")).await.expect_err("full");
    assert!(matches!(refusal, Refusal::GroupFull { .. }), "{refusal}");
    assert_eq!(node.rows().len(), 2, "what is refused leaves nothing");
    assert_eq!(node.take(event("e1", NOW - 5)).await, Outcome::Refreshed);
    assert_eq!(node.take(event("e3", NOW)).await, made(false), "a newer observation");
    assert_eq!(node.take(event("e0", NOW - 60)).await, made(false), "history");
    let expired = Event { subject: "other".into(), ..until("e4", NOW - 9, NOW - 1) };
    assert_eq!(node.take(expired).await, made(false), "no live fact");
    node.room = None;
    assert_eq!(node.take(other("e5")).await, made(true), "what the caller lets through");
}

#[tokio::test]
async fn a_refused_fact_can_come_back_when_there_is_room() {
    let mut node = Node::new();
    node.room = Some(0);
    node.try_take(event("e1", NOW)).await.expect_err("full");
    node.room = Some(1);
    assert_eq!(node.take(event("e1", NOW)).await, made(true));
}

#[tokio::test]
async fn an_observation_further_ahead_than_the_window_is_refused() {
    let node = Node::new();
    assert_eq!(node.take(event("e1", NOW + 300)).await, made(true), "as far as the window");
    let refusal = node.try_take(event("e2", NOW + 301)).await.expect_err("too far ahead");
    assert!(matches!(refusal, Refusal::Invalid(EventError::Future { .. })), "{refusal}");
    let refusal = node.try_take(event("e1", NOW + 301)).await.expect_err("a refresh as well");
    assert!(matches!(refusal, Refusal::Invalid(EventError::Future { .. })), "{refusal}");
    assert_eq!(node.fact().observed_at, at(NOW + 300));
}

#[tokio::test]
async fn an_invalid_event_leaves_nothing() {
    let node = Node::new();
    let blank = Event { r#type: " ".into(), ..event("e1", NOW) };
    assert!(matches!(node.try_take(blank).await, Err(Refusal::Invalid(_))));
    assert!(node.rows().is_empty());
    assert_eq!(node.store.head(), 0);
}

// After pruning.

#[tokio::test]
async fn a_pruned_event_is_known_for_what_it_is() {
    let node = Node::new();
    node.take(until("e1", NOW - 20, NOW + 60)).await;
    node.take(event("e2", NOW - 10)).await;
    node.prune("e1").await;
    let head = node.store.head();
    assert_eq!(node.take(until("e1", NOW - 20, NOW + 60)).await, Outcome::Duplicate);
    assert_eq!(node.take(until("e1", NOW - 30, NOW + 50)).await, Outcome::Duplicate);
    assert_eq!(node.take(Event { observed_at: None, ..event("e1", 0) }).await, Outcome::Duplicate);
    assert_eq!(node.store.head(), head);
    let other = Event { source_node: "n2".into(), ..event("e1", NOW) };
    assert!(matches!(node.try_take(other).await, Err(Refusal::Conflict { .. })));
}

#[tokio::test]
async fn a_pruned_event_with_later_times_returns_as_a_refresh() {
    let mut node = Node::new();
    node.take(until("e1", NOW, NOW + 60)).await;
    node.prune("e1").await;
    node.now = NOW + 100;
    assert_eq!(node.take(until("e1", NOW + 90, NOW + 700)).await, Outcome::Refreshed);
    assert_eq!((node.fact().event_id.as_str(), node.rows().len()), ("e1", 1));
    // Its observation alone says that it is true again.
    node.take(event("e2", NOW + 95)).await;
    node.prune("e1").await;
    assert_eq!(node.take(event("e1", NOW + 99)).await, Outcome::Refreshed);
    assert_eq!(node.fact().event_id, "e1");
}

#[tokio::test]
async fn sequence_numbers_grow_and_tell_the_events_of_one_transaction_apart() {
    let node = Node::new();
    let receipt = Receipt {
        now: at(NOW),
        received_from: "local".into(),
        verified_by: String::new(),
        replay_window: WINDOW,
        max_age: MAX_AGE,
        room: Some(100),
    };
    let wrote = node.store.write(move |txn| {
        for (index, id) in ["a", "b", "c"].into_iter().enumerate() {
            let event = Event { subject: id.into(), ..event(id, NOW) };
            accept(txn, index, event, &receipt)?;
        }
        Ok::<_, Refusal>(())
    });
    wrote.await.expect("accepted");
    node.take(event("d", NOW)).await;
    let seqs: Vec<u64> = node.rows().iter().map(|row| row.seq).collect();
    assert!(seqs.is_sorted() && seqs.windows(2).all(|pair| pair[0] != pair[1]), "{seqs:?}");
}

#[tokio::test]
async fn an_expiry_that_is_far_off_does_not_keep_an_id_for_ever() {
    let node = Node::new();
    node.take(Event { expires_at: Some(Time::MAX), ..event("e1", NOW) }).await;
    assert_eq!(node.rows()[0].keep_until, at(NOW + 30 * 86_400));
}
