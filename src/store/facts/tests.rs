//! Where a fact is kept, and when it is moved.

use super::*;
use crate::api::Time;
use crate::api::event::Event;
use crate::store::MemoryEngine;
use crate::store::events::{Receipt, Refusal, accept};

fn at(second: i64) -> Time {
    Time::from_second(second).unwrap()
}

/// A node in whose group `g` events of the type `gone` retract.
struct Node(Store);

impl Node {
    fn new() -> Self {
        let store = Store::in_memory(MemoryEngine::new());
        let retracting = BTreeSet::from([("g".to_owned(), "gone".to_owned())]);
        let reach = Reach { retracting, complete: true, ..Reach::default() };
        store.write_blocking(move |txn| reach.save(txn)).expect("saved");
        Self(store)
    }

    fn take(&self, r#type: &str, id: &str, now: i64, expires: i64) -> FactId {
        let event = Event {
            id: id.into(),
            group: "g".into(),
            r#type: r#type.into(),
            source_node: "n".into(),
            subject: "s".into(),
            dedupe_key: String::new(),
            payload: crate::api::payload::Payload::default(),
            observed_at: Some(at(now.min(expires - 1))),
            expires_at: Some(at(expires)),
        };
        let receipt = Receipt {
            now: at(now),
            received_from: "local".into(),
            verified_by: String::new(),
            replay_window: Duration::from_secs(300),
            max_age: Duration::from_secs(86_400),
            room: None,
        };
        let fact = FactId::of(&event);
        let wrote = self.0.write_blocking(move |txn| accept(txn, 0, event, &receipt));
        wrote.map_err(|error: crate::store::WriteError<Refusal>| error.to_string()).unwrap();
        fact
    }

    fn end(&self, fact: FactId, end: i64) {
        let wrote = self.0.write_blocking(move |txn| {
            let row = find(txn, &fact)?.expect("it is known");
            put_fact(txn, Some(&row), FactRow { ended: Some(at(end)), ..row.clone() })
        });
        wrote.expect("written");
    }

    /// Those kept with the ones that may have a say.
    fn open(&self) -> Vec<FactId> {
        let facts = all(&self.0).map(|row| row.expect("a row").fact);
        let facts: BTreeSet<FactId> = facts.collect();
        let open: Vec<FactId> =
            self.0.scan::<FactRow>(&Scan::all()).map(|row| row.expect("a row").fact).collect();
        let ended = self.0.scan::<EndedFact>(&Scan::all());
        assert_eq!(facts.len(), open.len() + ended.count(), "each is kept once");
        for id in &facts {
            assert!(find(&self.0, id).expect("read").is_some(), "and found");
        }
        open
    }
}

#[test]
fn a_fact_may_have_a_say_until_its_end_is_on_record_and_again_when_it_begins_anew() {
    let node = Node::new();
    let seen = node.take("seen", "e1", 100, 200);
    assert_eq!(node.open(), [seen]);
    assert_eq!(node.take("seen", "e2", 150, 250), seen);
    assert_eq!(node.open(), [seen], "once");
    node.end(seen, 250);
    assert_eq!(node.open(), []);
    node.take("seen", "e3", 300, 400);
    assert_eq!(node.open(), [seen]);
}

#[test]
fn what_had_ended_when_it_came_has_no_say_unless_it_retracts() {
    let node = Node::new();
    node.take("seen", "e1", 1000, 500);
    assert_eq!(node.open(), []);
    let gone = node.take("gone", "e2", 1000, 500);
    assert_eq!(node.open(), [gone]);
    node.end(gone, 600);
    assert_eq!(node.open(), [gone], "it meets what is heard of later");
}

#[test]
fn what_is_forgotten_is_kept_nowhere() {
    let node = Node::new();
    let seen = node.take("seen", "e1", 100, 200);
    let gone = node.take("gone", "e2", 100, 200);
    node.end(seen, 200);
    let wrote = node.0.write_blocking(move |txn| {
        for fact in [seen, gone] {
            find(txn, &fact)?.expect("it is known");
            delete_fact(txn, &fact)?;
        }
        Ok::<_, StoreError>(())
    });
    wrote.expect("written");
    assert_eq!(node.open(), []);
    assert_eq!(all(&node.0).count(), 0);
}

#[test]
fn a_reach_covers_what_asks_for_no_more() {
    let of = |types: &[&str], age: Option<u64>, complete| Reach {
        retracting: types.iter().map(|t| ("g".to_owned(), (*t).to_owned())).collect(),
        max_age: age.map(|age| ("g".to_owned(), Duration::from_secs(age))).into_iter().collect(),
        complete,
    };
    let known = of(&["a", "b"], Some(100), true);
    for (wanted, covered) in [
        (of(&["a", "b"], Some(100), true), true),
        (of(&["a"], Some(50), true), true),
        (of(&[], None, true), true),
        (of(&["a", "c"], Some(100), true), false),
        (of(&["a"], Some(101), true), false),
    ] {
        assert_eq!(known.covers(&wanted), covered, "{wanted:?}");
    }
    assert!(!of(&["a"], None, false).covers(&of(&[], None, true)), "it is not complete");
    // A group that nobody spoke of has the default of a day.
    assert!(of(&[], None, true).covers(&of(&[], Some(86_400), true)));
    assert!(!of(&[], None, true).covers(&of(&[], Some(86_401), true)));
}
