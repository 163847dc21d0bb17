//! The end of a run, one sentence for each rule, through the planner and the runner.

use serde_json::{Value as Json, json};

use super::kept::KEPT_RUNS;
use super::*;
use crate::api::event::Event;
use crate::controllers::fixture::{Bench, Reply, answer, event, ids, result, until};
use crate::runtime::Action;

fn seen(id: &str, subject: &str, observed: i64) -> Event {
    event(id, "seen", subject, observed)
}

fn batches(max: u32) -> Json {
    json!({"plugin": {"batch": {"maxEvents": max}}})
}

/// Fails while `poison` is among the events.
fn poisoned(poison: &'static str) -> impl FnMut(&Json) -> Reply + Send {
    move |request| {
        let poisoned = ids(request).iter().any(|id| id == poison);
        if poisoned { Reply::Exit(1) } else { answer(request) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_has_taken_in_yet_is_not_tried_again_at_once() {
    for attempts in [1, 5] {
        let changes = json!({"subscription": {"trigger": {"retry": {"maxAttempts": attempts}}}});
        let mut bench = Bench::new(changes, |_| Reply::Exit(1)).await;
        let event = seen("e1", "s1", 0);
        bench.emit(event.clone()).await;
        // Both plans are made of a world that knows of no failure.
        bench.unseen_turn().await;
        bench.unseen_turn().await;
        assert_eq!(bench.asked(), [["e1"]], "of {attempts} attempts");
        bench.follow().await;
        bench.plan().await;
        assert_eq!(bench.is_dead(&event), attempts == 1);
    }
}

// Success.

#[tokio::test(start_paused = true)]
async fn a_success_stores_the_part_the_memory_and_the_record_together() {
    let mut bench = Bench::new(json!({"subscription": {"retire": {"grace": "30s"}}}), answer).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench.turn().await;
    let part = bench.part(&event).expect("it was made");
    assert_eq!((part.name(), part.source()), {
        (format!("sub-{}", part.fact.short()), "EventSubscription/sub".to_owned())
    });
    assert_eq!((part.generation, part.event_id.as_str(), part.plugin.as_str()), (1, "e1", "p"));
    assert_eq!((part.expires_at.as_second(), part.grace), (60, Duration::from_secs(30)));
    assert_eq!((part.subject.as_str(), part.source_node.as_str()), ("s1", "n"));
    assert_eq!(part.action_plans.len(), 1);
    let work = bench.work(&event).expect("it is remembered");
    assert!(work.succeeded.is_some() && work.intent.is_none() && work.failing.is_none());
    let [run] = bench.runs().try_into().expect("one run");
    assert_eq!((run.outcome.as_str(), run.event_ids), ("Succeeded", vec!["e1".to_owned()]));
    assert_eq!(run.run_keys, [part.run_key]);
    assert!(run.request.contains("PluginRequest") && run.response.contains("PluginResult"));
    assert_eq!(run.stderr, "words\n");
}

#[tokio::test(start_paused = true)]
async fn the_intent_is_durable_before_the_plugin_starts() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench
        .turn_while(async |bench, _| {
            let intent = bench.work(&event).and_then(|work| work.intent).expect("it is stored");
            assert!(bench.part(&event).is_none() && bench.runs().is_empty());
            assert_eq!(intent.at, bench.now());
        })
        .await;
    assert_eq!(bench.work(&event).expect("it is remembered").intent, None);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_succeeded_is_not_repeated() {
    let mut bench = Bench::new(json!({}), answer).await;
    bench.emit(seen("e1", "s1", 0)).await;
    bench.turn().await;
    let head = bench.store.head();
    bench.turn().await;
    bench.restart().await;
    bench.turn().await;
    assert_eq!(bench.asked(), [["e1"]]);
    assert_eq!(bench.store.head(), head, "a second pass writes nothing");
}

#[tokio::test(start_paused = true)]
async fn the_generation_counts_changes_of_the_content_and_the_part_stays_the_same() {
    let mut calls = 0;
    let mut bench = Bench::new(json!({}), move |_| {
        calls += 1;
        result(
            json!({"ttl": "60s", "actionPlans": [{"do": if calls < 3 { "it" } else { "that" }}]}),
        )
    })
    .await;
    let first = seen("e1", "s1", 0);
    bench.emit(first.clone()).await;
    bench.turn().await;
    let made = bench.part(&first).expect("it was made");
    bench.at(10);
    bench.emit(seen("e2", "s1", 10)).await;
    bench.turn().await;
    let same = bench.part(&first).expect("it is there");
    assert_eq!((same.generation, same.event_id.as_str()), (1, "e2"));
    bench.at(20);
    bench.emit(seen("e3", "s1", 20)).await;
    bench.turn().await;
    let other = bench.part(&first).expect("it is there");
    assert_eq!((other.generation, &other.uid, other.created_at), (2, &made.uid, made.created_at));
    assert_eq!(other.since, made.since, "it has been live since");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_yields_nothing_is_a_success_with_an_empty_part() {
    let mut bench = Bench::new(json!({}), |_| result(json!({"ttl": "60s"}))).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench.turn().await;
    assert!(bench.part(&event).expect("it is there").resources.is_empty());
    bench.turn().await;
    assert_eq!(bench.asked(), [["e1"]]);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_runs_at_two_thirds_of_the_lifetime_under_another_key() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench.turn().await;
    let first = bench.part(&event).expect("it was made");
    bench.at(39);
    bench.turn().await;
    assert_eq!(bench.asked().len(), 1);
    bench.at(40);
    bench.turn().await;
    assert_eq!(bench.asked().len(), 1);
    let renewed = bench.part(&event).expect("it is there");
    assert_eq!((renewed.expires_at.as_second(), renewed.generation), (100, 1));
    assert_ne!(renewed.run_key, first.run_key);
}

// What happened meanwhile.

#[tokio::test(start_paused = true)]
async fn a_fact_that_ended_during_the_run_gets_no_part() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench
        .turn_while(async |bench, _| {
            bench.at(5);
            bench.emit(crate::controllers::fixture::event("e2", "gone", "s1", 3)).await;
        })
        .await;
    assert_eq!(bench.part(&event), None);
    assert_eq!(bench.runs().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_while_its_subscription_is_suspended_counts() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench
        .turn_while(async |bench, _| {
            bench.manifests(&json!({"subscription": {"suspend": true}})).await;
        })
        .await;
    assert!(bench.part(&event).is_some());
    bench.manifests(&json!({})).await;
    bench.turn().await;
    assert_eq!(bench.asked(), [["e1"]], "it succeeded: nothing is repeated");
}

#[tokio::test(start_paused = true)]
async fn an_observation_during_the_run_runs_next_and_the_part_is_there_meanwhile() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench.turn_while(async |bench, _| bench.emit(seen("e2", "s1", 0)).await).await;
    assert_eq!(bench.part(&event).expect("it was made").event_id, "e1");
    bench.turn().await;
    assert_eq!(bench.part(&event).expect("it is there").event_id, "e2");
    assert_eq!(bench.asked(), [["e1"], ["e2"]]);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_observation_runs() {
    let mut bench = Bench::new(json!({}), answer).await;
    for id in ["e1", "e2", "e3"] {
        bench.emit(seen(id, "s1", 0)).await;
    }
    bench.turn().await;
    bench.turn().await;
    assert_eq!(bench.asked(), [["e3"]]);
}

#[tokio::test(start_paused = true)]
async fn a_part_is_capped_by_its_fact_and_not_renewed_then() {
    let mut bench = Bench::new(json!({}), answer).await;
    let event = until(seen("e1", "s1", 0), 50);
    bench.emit(event.clone()).await;
    bench.turn().await;
    assert_eq!(bench.part(&event).expect("it was made").expires_at.as_second(), 50);
    bench.at(45);
    bench.turn().await;
    bench.at(50);
    bench.turn().await;
    assert_eq!((bench.part(&event), bench.asked().len()), (None, 1));
}

// Failure.

#[tokio::test(start_paused = true)]
async fn failures_back_off_with_jitter_doubling_up_to_the_longest_pause() {
    let retry = json!({"maxAttempts": 10, "backoff": "10s", "maxBackoff": "1m"});
    let changes = json!({"subscription": {"trigger": {"retry": retry}}});
    let mut bench = Bench::new(changes, |_| Reply::Exit(3)).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    for (attempt, longest) in [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)] {
        bench.turn().await;
        let failing = bench.work(&event).and_then(|work| work.failing).expect("it failed");
        assert_eq!((failing.attempts, failing.reason.as_str()), (attempt, "ExitCode"));
        assert_eq!((failing.since.as_second(), failing.stderr.as_str()), (0, "words\n"));
        let pause = Duration::try_from(failing.not_before.duration_since(bench.now())).unwrap();
        let longest = Duration::from_secs(longest);
        assert!(pause >= longest / 2 && pause <= longest, "{attempt}: {pause:?}");
        bench.turn().await;
        assert_eq!(bench.asked().len(), 1, "not before its time");
        bench.at(failing.not_before.as_second() + 1);
    }
    assert!(bench.part(&event).is_none());
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_event_is_a_dead_letter_until_a_new_observation() {
    let changes = json!({"subscription": {"trigger": {"retry": {"maxAttempts": 2}}}});
    let mut bench = Bench::new(changes, poisoned("e1")).await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    for second in [0, 100, 200, 300] {
        bench.at(second);
        bench.turn().await;
    }
    assert_eq!(bench.asked().len(), 2);
    assert!(bench.is_dead(&event));
    bench.emit(seen("e2", "s1", 300)).await;
    bench.turn().await;
    assert_eq!(bench.asked(), [["e2"]]);
    assert!(!bench.is_dead(&event) && bench.part(&event).is_some());
    assert_eq!(bench.work(&event).expect("it is remembered").failing, None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_leaves_the_old_part_until_its_end() {
    let mut calls = 0;
    let mut bench = Bench::new(json!({}), move |request| {
        calls += 1;
        if calls == 1 { answer(request) } else { Reply::Exit(1) }
    })
    .await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench.turn().await;
    let made = bench.part(&event).expect("it was made");
    bench.at(40);
    bench.turn().await;
    assert_eq!(bench.part(&event), Some(made));
    bench.at(60);
    bench.plan().await;
    assert_eq!(bench.part(&event), None, "never served after its expiry");
}

#[tokio::test(start_paused = true)]
async fn a_bad_result_and_an_empty_one_are_failures_of_the_plugin() {
    for (behaviour, reason) in [
        (
            Box::new(|_: &Json| Reply::Answer(json!(null)))
                as Box<dyn FnMut(&Json) -> Reply + Send>,
            "EmptyResult",
        ),
        (Box::new(|_: &Json| result(json!({"ttl": "1s"}))), "BadResult"),
        (Box::new(|_: &Json| Reply::Exit(1)), "ExitCode"),
    ] {
        let mut bench = Bench::new(json!({}), behaviour).await;
        let event = seen("e1", "s1", 0);
        bench.emit(event.clone()).await;
        bench.turn().await;
        let failing = bench.work(&event).and_then(|work| work.failing).expect("it failed");
        assert_eq!((failing.attempts, failing.reason.as_str()), (1, reason));
        assert_eq!(bench.runs()[0].outcome, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_host_cannot_start_is_no_attempt() {
    let mut calls = 0;
    let mut bench = Bench::new(json!({}), move |request| {
        calls += 1;
        if calls == 1 { Reply::Host } else { answer(request) }
    })
    .await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    let Action::RequeueAfter(pause) = bench.turn().await else { panic!("it waits") };
    assert!(pause <= Duration::from_secs(1), "{pause:?}");
    assert_eq!(bench.work(&event).expect("the intent").failing, None);
    assert!(bench.runs().is_empty());
    assert!(bench.shared.readiness("p").is_some_and(|readiness| !readiness.ready));
    bench.turn().await;
    assert_eq!(bench.asked().len(), 1, "it waits for the backoff");
    tokio::time::advance(pause).await;
    bench.turn().await;
    assert!(bench.part(&event).is_some());
    assert!(bench.shared.readiness("p").is_some_and(|readiness| readiness.ready));
}

#[tokio::test(start_paused = true)]
async fn a_pause_between_two_processes_is_no_attempt_and_holds_up_convergence() {
    let pause = Duration::from_millis(400);
    let mut calls = 0;
    let stream = json!({"plugin": {"protocol": "stream"}});
    let mut bench = Bench::new(stream, move |request| {
        calls += 1;
        match calls {
            1 => Reply::Resting(pause),
            2 => Reply::Exit(1),
            _ => answer(request),
        }
    })
    .await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    assert_eq!(bench.turn().await, Action::HoldFor(pause));
    assert!(bench.runs().is_empty());
    let readiness = bench.shared.readiness("p").expect("it was tried");
    assert_eq!((readiness.ready, readiness.reason), (false, "Restarting"));
    assert!(readiness.message.contains("exited with status 1"), "{}", readiness.message);
    tokio::time::advance(pause).await;
    bench.turn().await;
    assert_eq!(bench.runs().len(), 1, "it failed");
    assert!(bench.shared.readiness("p").is_some_and(|readiness| !readiness.ready));
    bench.at(10);
    bench.turn().await;
    assert!(bench.part(&event).is_some());
    assert!(bench.shared.readiness("p").is_some_and(|readiness| readiness.ready));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_shutdown_stopped_is_no_attempt_and_keeps_its_key() {
    let mut calls = 0;
    let mut bench = Bench::new(json!({}), move |request| {
        calls += 1;
        if calls == 1 { Reply::Stopped } else { answer(request) }
    })
    .await;
    let event = seen("e1", "s1", 0);
    bench.emit(event.clone()).await;
    bench.turn().await;
    let stopped = bench.work(&event).expect("the intent");
    assert_eq!(stopped.failing, None);
    bench.restart().await;
    bench.turn().await;
    let intended = stopped.intent.expect("it is durable").run_key;
    assert_eq!(bench.part(&event).expect("it was made").run_key, intended);
}

// Batches.

#[tokio::test(start_paused = true)]
async fn a_bad_share_fails_its_own_event_and_no_other() {
    let mut bench = Bench::new(batches(10), |request| {
        let plans: Vec<Json> =
            ids(request).into_iter().map(|id| json!({"eventID": id, "op": "mask"})).collect();
        let (bad, good) = plans.split_first().expect("an event");
        result(json!({"ttl": "60s", "directives": [bad], "actionPlans": good}))
    })
    .await;
    let events: Vec<Event> = ["a", "b", "c"].map(|id| seen(id, id, 0)).into();
    for event in &events {
        bench.emit(event.clone()).await;
    }
    bench.turn().await;
    let [asked] = bench.asked().try_into().expect("one run");
    for event in &events {
        let failing = bench.work(event).and_then(|work| work.failing);
        let is_bad = event.id == asked[0];
        assert_eq!(failing.map(|f| f.attempts), is_bad.then_some(1), "{}", event.id);
        assert_eq!(bench.part(event).is_none(), is_bad, "{}", event.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_retried_whole_once_then_halved_until_the_poison_stands_alone() {
    let mut bench = Bench::new(batches(10), poisoned("c")).await;
    let events: Vec<Event> = ["a", "b", "c", "d"].map(|id| seen(id, id, 0)).into();
    for event in &events {
        bench.emit(event.clone()).await;
    }
    let mut sizes = Vec::new();
    let mut alone = 0;
    for turn in 0..12 {
        bench.at(turn * 10);
        bench.turn().await;
        for asked in bench.asked() {
            alone += usize::from(asked == ["c"]);
            sizes.push(asked.len());
        }
    }
    assert_eq!(sizes[..2], [4, 4], "whole, and whole once more");
    assert!(sizes[2..].iter().all(|size| *size <= 2), "{sizes:?}");
    assert!(alone >= 1);
    for event in &events {
        assert_eq!(bench.part(event).is_some(), event.id != "c", "{}", event.id);
    }
    let failing = bench.work(&events[2]).and_then(|work| work.failing).expect("it fails");
    assert_eq!(failing.attempts as usize, alone, "only what ran alone is its own attempt");
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_alone_spoils_no_other_batch() {
    let mut bench = Bench::new(batches(10), poisoned("bad")).await;
    bench.emit(seen("bad", "bad", 0)).await;
    bench.turn().await;
    for id in ["a", "b"] {
        bench.emit(seen(id, id, 0)).await;
    }
    bench.asked();
    bench.at(10);
    bench.turn().await;
    bench.turn().await;
    let mut asked = bench.asked();
    asked.iter_mut().for_each(|ids| ids.sort());
    asked.sort();
    assert_eq!(asked, [vec!["a", "b"], vec!["bad"]]);
}

// What is remembered.

#[tokio::test(start_paused = true)]
async fn of_finished_runs_the_last_few_are_remembered() {
    let mut bench = Bench::new(json!({}), answer).await;
    for at in 0..i64::try_from(KEPT_RUNS).unwrap() + 5 {
        bench.at(at);
        bench.emit(seen(&format!("e{at}"), "s1", at)).await;
        bench.turn().await;
    }
    let runs = bench.runs();
    assert_eq!((runs.len(), runs[0].event_ids[0].as_str()), (KEPT_RUNS, "e5"));
}

#[test]
fn what_is_kept_of_long_texts_is_bounded_and_says_so() {
    assert_eq!((head(b"abc", 3), tail(b"abc", 3)), ("abc".to_owned(), "abc".to_owned()));
    assert_eq!(head(b"abcd", 3), "abc… (shortened)");
    assert_eq!(tail(b"abcd", 3), "(shortened) …bcd");
    assert_eq!(head("aé".as_bytes(), 2), "a\u{fffd}… (shortened)");
}
