//! What is written, and with what.

use serde_json::json;

use crate::controllers::fixture::{Bench, answer, event, until};

/// A node whose one fact is true until 20 s and has its part.
async fn served() -> Bench {
    let mut bench = Bench::new(json!({}), answer).await;
    let first = until(event("e1", "seen", "s1", 0), 20);
    bench.emit(first).await;
    bench.turn().await;
    bench
}

#[tokio::test(start_paused = true)]
async fn between_a_newer_observation_and_its_part_nothing_is_written() {
    let mut bench = served().await;
    bench.at(10);
    let second = until(event("e2", "seen", "s1", 10), 40);
    bench.emit(second.clone()).await;
    let accepted = bench.store.head();
    bench
        .turn_while(async |bench, _| {
            assert!(bench.work(&second).expect("work").intent.is_some(), "the intent is durable");
            assert_eq!(bench.store.head(), accepted);
        })
        .await;
    assert_eq!(bench.part(&second).expect("the part").event_id, "e2");
    assert_eq!(bench.store.head(), accepted + 1, "the outcome");
}

#[tokio::test(start_paused = true)]
async fn a_part_whose_next_run_does_not_start_is_extended_all_the_same() {
    let mut bench = served().await;
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
    let mut bench = served().await;
    bench.at(18);
    let second = until(event("e2", "seen", "s1", 18), 40);
    bench.emit(second.clone()).await;
    bench.plan().await;
    assert_eq!(bench.part(&second).expect("the part").expires_at.as_second(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_part_whose_plugin_is_busy_with_an_older_observation_is_extended_at_once() {
    let mut bench = served().await;
    bench.at(5);
    bench.emit(until(event("e2", "seen", "s1", 5), 40)).await;
    let third = until(event("e3", "seen", "s1", 6), 50);
    bench
        .turn_while(async |bench, _| {
            bench.at(6);
            bench.emit(third.clone()).await;
            bench.plan().await;
            assert_eq!(bench.part(&third).expect("the part").expires_at.as_second(), 50);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_part_does_not_go_when_its_fact_was_observed_again_in_time() {
    let mut bench = served().await;
    let first = bench.part(&event("e1", "seen", "s1", 0)).expect("the part");
    // The next observation is committed, and the world has yet to hear of it when the first ends.
    bench.at(19);
    let second = until(event("e2", "seen", "s1", 19), 40);
    bench.receive(second.clone()).await;
    bench.at(20);
    bench.plan().await;
    let part = bench.part(&second).expect("it stays");
    assert_eq!((part.uid, part.retiring), (first.uid, None));
    bench.plan().await;
    assert_eq!(bench.part(&second).expect("it stays").expires_at.as_second(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_fact_that_ended_once_does_not_go_when_it_is_refreshed_in_time() {
    let mut bench = served().await;
    let event = event("e1", "seen", "s1", 0);
    bench.at(20);
    bench.turn().await;
    assert_eq!(bench.part(&event), None, "its end is on record");
    bench.emit(until(event.clone(), 40)).await;
    bench.turn().await;
    let again = bench.part(&event).expect("it is true again");
    // The refresh is committed, and the world has yet to hear of it when the second life ends.
    bench.at(39);
    bench.receive(until(event.clone(), 60)).await;
    bench.at(40);
    bench.plan().await;
    let part = bench.part(&event).expect("it stays");
    assert_eq!((part.uid, part.retiring), (again.uid, None));
    bench.plan().await;
    assert_eq!(bench.part(&event).expect("it stays").expires_at.as_second(), 60);
}

#[tokio::test(start_paused = true)]
async fn newer_events_do_not_keep_a_part_from_being_extended() {
    let mut bench = served().await;
    bench.at(18);
    let second = until(event("e2", "seen", "s1", 18), 40);
    bench.emit(second.clone()).await;
    // The next one is committed while the write for the second is on its way.
    bench.receive(until(event("e3", "seen", "s1", 19), 60)).await;
    bench.plan().await;
    assert_eq!(bench.part(&second).expect("the part").expires_at.as_second(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_success_whose_fact_ended_while_it_ran_is_remembered() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = until(event("e1", "seen", "s1", 0), 20);
    bench.emit(event.clone()).await;
    bench
        .turn_while(async |bench, _| {
            bench.at(20);
            bench.plan().await;
        })
        .await;
    let key = bench.work(&event).and_then(|work| work.succeeded).expect("it succeeded").run_key;
    // Its fact comes back: that is another run.
    bench.emit(until(event, 60)).await;
    bench.turn().await;
    let keys: Vec<_> = bench.runs().into_iter().flat_map(|run| run.run_keys).collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[1], key);
}
