//! Which intents are written with an event.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::controllers::fixture::{Bench, Reply, SUB, answer, event, until};
use crate::store::tables::WORKS;
use crate::store::{Record, Scan, Table};

fn intended(bench: &Bench) -> usize {
    bench.store.scan::<Work>(&Scan::all()).filter(|row| row.as_ref().is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn an_event_brings_the_intent_of_its_run_and_the_run_keeps_the_key() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = event("e1", "seen", "s1", 0);
    bench.emit(event.clone()).await;
    let intent = bench.work(&event).and_then(|work| work.intent).expect("an intent");
    bench.turn().await;
    let work = bench.work(&event).expect("work");
    assert_eq!(work.succeeded.expect("it ran").run_key, intent.run_key);
    assert_eq!(work.intent, None, "it is over");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_run_due_brings_no_intent() {
    let suspended = json!({"subscription": {"suspend": true}});
    for (changes, r#type) in [(json!({}), "other"), (suspended, "seen")] {
        let mut bench = Bench::new(changes, answer).await;
        bench.emit(event("e1", r#type, "s1", 0)).await;
        assert_eq!(intended(&bench), 0);
    }
    // Over when it came.
    let mut bench = Bench::new(json!({}), answer).await;
    bench.at(100);
    bench.emit(until(event("e1", "seen", "s1", 0), 50)).await;
    assert_eq!(intended(&bench), 0);
    // No longer the newest when it came.
    let newest = event("e3", "seen", "s1", 90);
    bench.emit(newest.clone()).await;
    let intent = bench.work(&newest).expect("work").intent;
    bench.emit(event("e2", "seen", "s1", 80)).await;
    assert_eq!(bench.work(&newest).expect("work").intent, intent);
}

#[tokio::test(start_paused = true)]
async fn the_intent_of_a_newer_event_outlives_the_run_of_the_older_one() {
    let mut bench = Bench::new(json!({}), |_| Reply::Exit(1)).await;
    bench.emit(event("e1", "seen", "s1", 0)).await;
    let newer = event("e2", "seen", "s1", 1);
    bench
        .turn_while(async |bench, _| {
            bench.emit(newer.clone()).await;
        })
        .await;
    assert_eq!(bench.runs().len(), 1);
    let work = bench.work(&newer).expect("work");
    assert_ne!(work.failing.expect("the older one failed").run_key, work.intent.unwrap().run_key);
}

/// A row in the place of work that does not read as such.
#[derive(Debug, Serialize, Deserialize)]
struct Odd {
    fact: FactId,
}

impl Record for Odd {
    const TABLE: Table = WORKS;
    type Key = (String, FactId);
    fn key(&self) -> Self::Key {
        (SUB.to_owned(), self.fact)
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_read_is_no_reason_to_refuse_an_event() {
    let bench = Bench::new(json!({}), answer).await;
    let event = event("e1", "seen", "s1", 0);
    let odd = Odd { fact: FactId::of(&event) };
    bench.store.write(move |txn| txn.put(&odd)).await.expect("written");
    bench.store.get::<Work>(&(SUB.to_owned(), FactId::of(&event))).expect_err("it does not read");
    bench.receive(event).await;
    assert_eq!(bench.events(), ["e1"]);
}

#[tokio::test(start_paused = true)]
async fn an_intent_for_a_subscription_that_is_no_more_is_forgotten() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = event("e1", "seen", "s1", 0);
    // It is deleted, and the world has yet to hear of it.
    let key = crate::api::object::ObjectKey::new(
        crate::api::kinds::federation::API_VERSION,
        "EventSubscription",
        SUB,
    );
    let deleted = key.clone();
    bench
        .store
        .write(move |txn| txn.delete::<crate::api::accepted::Accepted>(&deleted))
        .await
        .expect("written");
    bench.receive(event.clone()).await;
    assert_eq!(intended(&bench), 1);
    bench.follow().await;
    bench.turn().await;
    assert_eq!(intended(&bench), 0);
    assert!(bench.runs().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_many_wait_for_leaves_their_intents_to_the_runner() {
    let mut bench = Bench::new(json!({}), answer).await;
    let spec =
        json!({"groupRef": "g", "match": {"types": ["seen"]}, "trigger": {"pluginRef": "p"}});
    for n in 0..MOST {
        let (group, kind) = ("federation", "EventSubscription");
        bench.accept(group, kind, &format!("another-{n}"), spec.clone()).await;
    }
    bench.follow().await;
    let event = event("e1", "seen", "s1", 0);
    bench.emit(event.clone()).await;
    assert_eq!(intended(&bench), 0);
    bench.turn_while(async |bench, _| assert_eq!(intended(bench), 1, "the one that runs")).await;
    assert!(bench.part(&event).is_some());
}
