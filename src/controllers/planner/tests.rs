//! What is written, and with what.

use serde_json::json;

use crate::controllers::fixture::{Bench, answer, event, until};

#[tokio::test(start_paused = true)]
async fn a_newer_observation_extends_the_part_in_the_commit_of_its_intent() {
    let mut bench = Bench::new(json!({}), answer).await;
    let first = until(event("e1", "seen", "s1", 0), 20);
    bench.emit(first.clone()).await;
    bench.turn().await;
    let before = bench.part(&first).expect("a part");
    bench.at(10);
    let second = until(event("e2", "seen", "s1", 10), 40);
    bench.emit(second.clone()).await;
    let accepted = bench.store.head();
    bench
        .turn_while(async |bench, _| {
            assert_eq!(bench.store.head(), accepted + 1, "the intent");
            let during = bench.part(&second).expect("the part");
            assert_eq!(during.event_id, "e1", "its content is the old one");
            assert!(during.expires_at > before.expires_at, "but its fact lives on");
        })
        .await;
    assert_eq!(bench.part(&second).expect("the part").event_id, "e2");
    assert_eq!(bench.store.head(), accepted + 2, "the outcome");
}

#[tokio::test(start_paused = true)]
async fn a_part_whose_next_run_does_not_start_is_extended_all_the_same() {
    let mut bench = Bench::new(json!({}), answer).await;
    let first = until(event("e1", "seen", "s1", 0), 20);
    bench.emit(first.clone()).await;
    bench.turn().await;
    let second = until(event("e2", "seen", "s1", 0), 40);
    bench.emit(second.clone()).await;
    bench.plan().await;
    let ends = |bench: &Bench| bench.part(&second).expect("the part").expires_at.as_second();
    assert_eq!(ends(&bench), 20, "the first look waits for the run");
    bench.plan().await;
    assert_eq!(ends(&bench), 40, "the next one waits no more");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_ends_soon_is_extended_at_once() {
    let mut bench = Bench::new(json!({}), answer).await;
    let first = until(event("e1", "seen", "s1", 0), 20);
    bench.emit(first.clone()).await;
    bench.turn().await;
    bench.at(18);
    let second = until(event("e2", "seen", "s1", 18), 40);
    bench.emit(second.clone()).await;
    bench.plan().await;
    assert_eq!(bench.part(&second).expect("the part").expires_at.as_second(), 40);
}

#[tokio::test(start_paused = true)]
async fn an_intent_takes_nothing_along_that_was_planned_from_what_is_no_more() {
    let mut bench = Bench::new(json!({}), answer).await;
    let first = until(event("e1", "seen", "s1", 0), 20);
    bench.emit(first.clone()).await;
    bench.turn().await;
    let second = until(event("e2", "seen", "s1", 0), 40);
    bench.emit(second.clone()).await;
    // Somebody else wrote the part, and nobody took that in yet.
    let mut part = bench.part(&first).expect("a part");
    part.generation = 7;
    let other = part.clone();
    bench.store.write(move |txn| txn.put(&part)).await.expect("written");
    bench.fake.gate.forget_permits(1);
    let idle = bench.unseen_turn();
    let seen = tokio::time::timeout(std::time::Duration::from_secs(5), idle).await;
    assert!(seen.is_err(), "the plugin runs");
    assert_eq!(bench.part(&second), Some(other));
}

