//! What pruning takes and what it must leave, one sentence each.

use serde_json::{Value as Json, json};

use super::*;
use crate::api::event::Event;
use crate::controllers::fixture::{Bench, Reply, answer, event, until};
use crate::store::events::Outcome;
use crate::store::{Fault, Operation};

const NO_PLUGIN: fn(&Json) -> Reply = |_| Reply::Exit(1);

/// History of 100 s.
fn short(max_events: u64) -> Json {
    json!({"group": {"retention": {"maxAge": "100s", "maxEvents": max_events}}})
}

fn other(id: &str, observed: i64) -> Event {
    event(id, "other", "s", observed)
}

impl Bench {
    /// Prunes until there is nothing more to prune now.
    async fn prune(&mut self) -> Action {
        loop {
            let head = self.store.head();
            let action = self.historian.reconcile(&"g".into()).await.expect("pruned");
            self.follow().await;
            if self.store.head() == head {
                return action;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_young_and_the_current_are_kept_and_the_old_that_was_superseded_goes() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    bench.emit(other("e1", 0)).await;
    bench.at(50);
    bench.emit(until(other("e2", 50), 1000)).await;
    bench.at(99);
    bench.prune().await;
    assert_eq!(bench.events(), ["e1", "e2"], "young");
    bench.at(100);
    bench.prune().await;
    assert_eq!(bench.events(), ["e2"]);
    bench.at(999);
    bench.prune().await;
    assert_eq!(bench.events(), ["e2"], "of age, and still true");
    bench.at(1000);
    bench.prune().await;
    assert_eq!(bench.events(), [""; 0]);
    assert_eq!(bench.fact(&other("e2", 50)), None);
}

#[tokio::test(start_paused = true)]
async fn the_next_look_is_when_something_comes_of_age_or_ends() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    bench.emit(until(other("e1", 0), 30)).await;
    let Action::RequeueAfter(pause) = bench.prune().await else { panic!("it looks again") };
    assert!(pause >= Duration::from_secs(30) && pause < Duration::from_secs(31), "{pause:?}");
    bench.at(40);
    let Action::RequeueAfter(pause) = bench.prune().await else { panic!("it looks again") };
    assert!(pause >= Duration::from_secs(60) && pause < Duration::from_secs(61), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn beyond_max_events_the_oldest_go_but_never_what_is_current() {
    let mut bench = Bench::new(short(3), NO_PLUGIN).await;
    bench.emit(event("current", "other", "quiet", 0)).await;
    for at in 1..=5 {
        bench.at(at);
        bench.emit(other(&format!("e{at}"), at)).await;
    }
    bench.prune().await;
    assert_eq!(bench.events(), ["current", "e4", "e5"]);
    assert_eq!(bench.historian.stored("g").expect("read"), 3);
    for at in 6..=9 {
        bench.emit(event(&format!("c{at}"), "other", &format!("s{at}"), 5)).await;
    }
    bench.prune().await;
    assert_eq!(bench.events(), ["current", "e5", "c6", "c7", "c8", "c9"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_current_and_ended_is_kept_as_history_until_it_is_surplus_or_of_age() {
    let mut bench = Bench::new(short(5), NO_PLUGIN).await;
    for n in 0..10 {
        bench.emit(until(event(&format!("e{n}"), "other", &format!("s{n}"), 0), 6)).await;
    }
    bench.prune().await;
    assert_eq!(bench.events().len(), 10, "all are true");
    bench.at(9);
    bench.prune().await;
    assert_eq!(bench.events(), ["e5", "e6", "e7", "e8", "e9"], "the newest five");
    bench.at(99);
    bench.prune().await;
    assert_eq!(bench.events().len(), 5, "they are young");
    bench.at(100);
    bench.prune().await;
    assert_eq!(bench.events(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_has_taken_in_yet_is_not_taken_for_history() {
    let mut bench = Bench::new(short(1), NO_PLUGIN).await;
    bench.emit(event("e1", "other", "s1", 0)).await;
    bench.emit(event("e2", "other", "s2", 0)).await;
    bench.receive(event("e3", "other", "s3", 0)).await;
    bench.historian.reconcile(&"g".into()).await.expect("pruned");
    assert_eq!(bench.events(), ["e1", "e2", "e3"]);
    assert!(bench.fact(&event("e3", "other", "s3", 0)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_superseded_event_that_a_refresh_made_current_again_is_kept() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    bench.emit(other("e1", 0)).await;
    bench.emit(other("e2", 1)).await;
    bench.at(90);
    assert_eq!(bench.receive(other("e1", 90)).await, Outcome::Refreshed);
    bench.follow().await;
    bench.at(150);
    bench.prune().await;
    bench.prune().await;
    assert_eq!(bench.events(), ["e1"], "e2 is of age and superseded; e1 is true until 190 s");
    assert_eq!(bench.fact(&other("e1", 0)).expect("it is live").event_id, "e1");
}

#[tokio::test(start_paused = true)]
async fn a_retraction_is_kept_as_long_as_it_holds_something_back() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    let seen = until(event("e1", "seen", "s", 0), 500);
    bench.emit(seen.clone()).await;
    bench.at(10);
    bench.emit(event("e2", "gone", "s", 10)).await;
    bench.at(400);
    bench.prune().await;
    assert_eq!(bench.events(), ["e1", "e2"]);
    bench.at(500);
    bench.prune().await;
    assert_eq!(bench.events(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_event_of_a_retiring_part_is_kept_until_the_part_goes() {
    let mut changes = short(100);
    changes["subscription"] = json!({"retire": {"grace": "200s"}});
    let mut bench = Bench::new(changes, answer).await;
    let seen = event("e1", "seen", "s", 0);
    bench.emit(seen.clone()).await;
    bench.turn().await;
    bench.at(40);
    bench.turn().await;
    bench.at(75);
    bench.turn().await;
    bench.at(100);
    bench.plan().await;
    assert!(bench.part(&seen).expect("it lives on").retiring.is_some());
    bench.prune().await;
    assert_eq!(bench.events(), ["e1"]);
    bench.at(301);
    bench.plan().await;
    assert_eq!(bench.part(&seen), None);
    bench.restart().await;
    bench.prune().await;
    assert_eq!(bench.events(), [""; 0]);
    bench.plan().await;
    assert_eq!(bench.work(&seen), None, "and with its fact the work is forgotten");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_only_work_remembers_goes_with_its_age_and_the_work_with_it() {
    let mut bench = Bench::new(short(100), answer).await;
    let seen = event("e1", "seen", "s", 0);
    bench.emit(until(seen.clone(), 150)).await;
    bench.turn().await;
    bench.at(40);
    bench.turn().await;
    // The walk passes over it: it is of age, and true.
    bench.at(110);
    bench.turn().await;
    bench.prune().await;
    assert_eq!(bench.events(), ["e1"]);
    bench.at(151);
    bench.plan().await;
    assert_eq!(bench.part(&seen), None);
    assert!(bench.work(&seen).is_some(), "the fact may come back");
    bench.prune().await;
    assert_eq!(bench.events(), [""; 0], "without a restart");
    bench.plan().await;
    assert_eq!(bench.work(&seen), None);
}

#[tokio::test(start_paused = true)]
async fn an_id_outlives_its_event_until_its_time_and_is_then_forgotten() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    bench.emit(other("e1", 0)).await;
    bench.at(100);
    bench.prune().await;
    assert_eq!(bench.events(), [""; 0]);
    assert_eq!(bench.receive(other("e1", 0)).await, Outcome::Duplicate);
    bench.at(599);
    bench.prune().await;
    let key = ("g".to_owned(), "e1".to_owned());
    assert!(bench.store.get::<IdentityRow>(&key).expect("read").is_some());
    bench.at(600);
    bench.prune().await;
    assert!(bench.store.get::<IdentityRow>(&key).expect("read").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_id_that_outlives_its_event_is_forgotten_in_time_also_after_a_restart() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    for n in 0..3 {
        bench.emit(event(&format!("e{n}"), "other", &format!("s{n}"), 0)).await;
    }
    bench.at(100);
    bench.prune().await;
    bench.restart().await;
    bench.historian = Historian::new(Arc::clone(&bench.shared));
    let Action::RequeueAfter(pause) = bench.prune().await else { panic!("it looks again") };
    assert!(pause <= Duration::from_secs(501), "{pause:?}");
    bench.at(600);
    bench.prune().await;
    assert_eq!(bench.store.scan::<IdentityRow>(&Scan::all()).count(), 0);
    assert_eq!(bench.store.scan::<LingeringId>(&Scan::all()).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_came_again_is_remembered_for_as_long_as_it_then_must_be() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    bench.emit(other("e1", 0)).await;
    bench.at(100);
    bench.prune().await;
    bench.at(500);
    // The same event, true again: it is stored anew.
    bench.emit(other("e1", 500)).await;
    bench.at(600);
    bench.prune().await;
    assert_eq!(bench.receive(other("e1", 500)).await, Outcome::Duplicate);
    bench.at(1100);
    bench.prune().await;
    assert_eq!(bench.store.scan::<IdentityRow>(&Scan::all()).count(), 0);
    assert_eq!(bench.store.scan::<LingeringId>(&Scan::all()).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_remembered_as_long_as_its_event_is_stored() {
    let mut bench = Bench::new(short(1), NO_PLUGIN).await;
    bench.emit(until(other("e1", 0), 2000)).await;
    bench.emit(until(other("e2", 1), 5000)).await;
    bench.at(100);
    bench.prune().await;
    assert_eq!(bench.events(), ["e2"], "e1 is surplus; its id lingers until it expires");
    bench.at(1990);
    bench.emit(until(other("e1", 1990), 2000)).await;
    bench.at(2000);
    bench.historian.forget_ids("g", bench.now()).await.expect("forgotten");
    assert!(bench.events().contains(&"e1".to_owned()));
    let conflict = Event { dedupe_key: "another".into(), ..until(other("e1", 1990), 2000) };
    assert!(bench.try_receive(conflict).await.is_err(), "it is known by its content");
}

#[tokio::test(start_paused = true)]
async fn a_prune_that_failed_is_made_up_for_without_a_restart() {
    let mut bench = Bench::new(short(100), NO_PLUGIN).await;
    bench.emit(other("e1", 0)).await;
    bench.emit(until(other("e2", 1), 10_000)).await;
    bench.at(50);
    bench.emit(until(event("e3", "other", "t", 50), 10_000)).await;
    // The walk passes what is current; then something newer takes its place.
    bench.at(150);
    bench.prune().await;
    assert_eq!(bench.events(), ["e2", "e3"]);
    bench.emit(until(other("e4", 150), 10_000)).await;
    bench.engine.fail(Operation::Apply, 1, Fault::DiskFull);
    assert!(bench.historian.reconcile(&"g".into()).await.is_err());
    bench.prune().await;
    assert_eq!(bench.events(), ["e3", "e4"]);
}

#[tokio::test(start_paused = true)]
async fn without_its_group_a_history_is_left_alone() {
    let mut bench = Bench::new(short(1), NO_PLUGIN).await;
    bench.emit(other("e1", 0)).await;
    bench.emit(other("e2", 1)).await;
    bench.delete("federation", "EventGroup", "g").await;
    bench.at(10_000);
    assert_eq!(bench.prune().await, Action::AwaitChange);
    assert_eq!(bench.events(), ["e1", "e2"]);
}

#[tokio::test(start_paused = true)]
async fn pruning_starts_over_after_a_restart_and_counts_the_same() {
    let mut bench = Bench::new(short(2), NO_PLUGIN).await;
    for at in 1..=4 {
        bench.emit(other(&format!("e{at}"), at)).await;
    }
    bench.restart().await;
    bench.prune().await;
    assert_eq!(
        (bench.events(), bench.historian.stored("g").expect("read")),
        (vec!["e3".to_owned(), "e4".to_owned()], 2)
    );
}
