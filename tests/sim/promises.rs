//! Single promises, each on a host of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use routerd::api::event::Event;
use routerd::api::run::Work;
use routerd::control::{WorkFilter, operate};
use routerd::store::Scan;
use serde_json::{Value as Json, json};

use super::dice::Dice;
use super::manifests::{self, MAX_AGE, seen};
use super::plugin::Mode;
use super::simulate;
use super::world::{Emitted, Host};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A host with one subscription `s` of plugin `p1`, changed by `edit`.
async fn lab(ttl: &str, edit: impl FnOnce(&mut Json, &mut Json)) -> Host {
    let mut host = Host::started(7);
    let mut plugin = manifests::plugin("p1", ttl);
    let mut subscription = manifests::subscription("s", "p1");
    edit(&mut plugin["spec"], &mut subscription["spec"]);
    let mut all = manifests::basics(ttl);
    all.extend([plugin, subscription]);
    host.put_all(all).await;
    host.converge().await;
    host
}

fn ids(items: Vec<(String, String)>) -> BTreeSet<String> {
    items.into_iter().map(|(_, id)| id).collect()
}

fn addresses(count: u32) -> Vec<String> {
    (1..=count).map(|n| format!("10.0.{}.{}/32", n / 250, n % 250 + 1)).collect()
}

impl Host {
    async fn observe(&mut self, events: Vec<Event>) {
        let became = self.emit(events, MAX_AGE).await;
        let taken = [Emitted::New, Emitted::Refreshed, Emitted::Duplicate];
        assert!(became.iter().all(|one| taken.contains(one)), "{became:?}");
    }

    async fn observe_all(&mut self, count: u32) {
        let now = self.now();
        let subjects = addresses(count);
        let each = subjects.iter().enumerate().map(|(n, s)| seen(&format!("e{n:04}"), s, now));
        self.observe(each.collect()).await;
    }

    fn dead(&self) -> Vec<Work> {
        let store = self.store();
        let works = store.scan::<Work>(&Scan::all()).map(Result::unwrap);
        works.filter(|work| work.failing.as_ref().is_some_and(|f| f.dead)).collect()
    }

    fn shows(&self, name: &str) -> bool {
        self.yaml().contains(&format!("name: {name}\n"))
    }
}

#[test]
fn one_client_observed_a_thousand_times_under_new_ids_is_one_part() {
    for at_once in [true, false] {
        simulate(async {
            let mut host = lab("1h", |_, _| {}).await;
            let now = host.now();
            let events = (0..1000).map(|n| seen(&format!("e{n:04}"), "10.0.0.9/32", now));
            if at_once {
                host.observe(events.collect()).await;
            } else {
                for event in events {
                    host.observe(vec![event]).await;
                    host.breathe().await;
                    assert!(host.shows("p1-edge-9"));
                }
            }
            host.converge().await;
            let parts = host.parts();
            assert_eq!(parts.len(), 1);
            let part = parts.values().next().expect("the part");
            assert_eq!(part.event_id, "e0999");
            assert_eq!(part.generation, if at_once { 1 } else { 1000 }, "the id is in the content");
            assert!(host.shows("p1-edge-9"));
            assert!(!at_once || host.plugins.runs() == 1, "only the newest observation runs");
        });
    }
}

#[test]
fn nodes_that_hear_of_the_same_facts_in_another_order_print_the_same_bytes() {
    for seed in 0..20 {
        let mut dice = Dice::seeded(seed);
        let mut printed = BTreeSet::new();
        for _ in 0..3 {
            let order = dice.draw();
            printed.insert(simulate(async {
                let mut host = lab("1h", |_, _| {}).await;
                let more = [
                    manifests::plugin("p2", "1h"),
                    manifests::subscription("t", "p2"),
                    manifests::subscription("u", "p1"),
                ];
                host.put_all(more.into()).await;
                tokio::time::sleep(10 * SECOND).await;
                let mut events = same_events(seed, host.now());
                let mut dice = Dice::seeded(order);
                while !events.is_empty() {
                    let event = events.swap_remove(dice.index(events.len()));
                    host.observe(vec![event]).await;
                    if dice.chance(50) {
                        host.converge().await;
                    }
                    if dice.chance(10) {
                        let seed = dice.draw();
                        host.crash(seed).await;
                        host.start();
                    }
                }
                host.converge().await;
                host.yaml()
            }));
        }
        assert_eq!(printed.len(), 1, "seed {seed}");
    }
}

/// Thirty events about few things, with ties, retractions and refreshes.
fn same_events(seed: u64, now: routerd::api::Time) -> Vec<Event> {
    let mut dice = Dice::seeded(seed);
    let events = (0..30).map(|n| {
        let subject = format!("10.0.0.{}/32", dice.below(4));
        let at = now - Duration::from_secs(dice.below(5));
        let mut event = seen(&format!("e{}", n % 25), &subject, at);
        event.source_node = dice.pick(&["edge", "cloud"]).into();
        event.payload = event.payload.with("make", dice.pick(&["claim", "own"]));
        if dice.chance(15) {
            event.r#type = "gone".into();
        }
        if dice.chance(30) {
            event.expires_at = Some(now + Duration::from_secs(dice.below(1000)));
        }
        event
    });
    // The same id says the same thing everywhere, at whichever times.
    let mut events: Vec<Event> = events.collect();
    for n in 25..30 {
        let times = (events[n].observed_at, events[n].expires_at);
        events[n] = events[n - 25].clone();
        (events[n].observed_at, events[n].expires_at) = times;
    }
    events
}

#[test]
fn what_shapes_no_result_runs_nothing_again_and_narrowing_touches_only_what_it_concerns() {
    simulate(async {
        let mut host = lab("720h", |_, _| {}).await;
        host.observe_all(20).await;
        host.converge().await;
        assert_eq!(host.plugins.runs(), 20);
        let untouched = |host: &Host| (host.plugins.runs(), host.parts());
        let before = untouched(&host);

        let mut plugin = manifests::plugin("p1", "720h");
        plugin["spec"]["timeout"] = "33s".into();
        plugin["spec"]["concurrency"] = 3.into();
        plugin["spec"]["batch"] = json!({"maxEvents": 9});
        let mut subscription = manifests::subscription("s", "p1");
        subscription["spec"]["trigger"]["debounce"] = "2s".into();
        subscription["spec"]["trigger"]["retry"] = json!({"maxAttempts": 9});
        host.put_all(vec![plugin, subscription.clone()]).await;
        host.converge().await;
        assert_eq!(untouched(&host), before, "windows, retries, limits shape no result");

        subscription["spec"]["match"]["subjectPrefixes"] = json!(["10.0.0.2/", "10.0.0.3/"]);
        host.put(subscription.clone()).await;
        host.converge().await;
        assert_eq!((host.plugins.runs(), host.parts().len()), (20, 2));

        subscription["spec"]["match"]["subjectPrefixes"] = json!(["10.0.0.2/", "10.0.0.4/"]);
        host.plugins.take_items();
        host.put(subscription).await;
        host.converge().await;
        assert_eq!(host.parts().len(), 2);
        assert_eq!(ids(host.plugins.take_items()), ["e0002".to_owned()].into(), "10.0.0.4 is new");
    });
}

#[test]
fn an_effect_that_comes_back_runs_under_a_new_key() {
    simulate(async {
        let mut host = lab("720h", |_, _| {}).await;
        host.observe_all(1).await;
        let mut keys = BTreeSet::new();
        for tag in ["", "1", "", "1"] {
            let mut plugin = manifests::plugin("p1", "720h");
            plugin["spec"]["env"]["TAG"] = tag.into();
            host.put(plugin).await;
            host.converge().await;
            keys.extend(host.parts().into_values().map(|part| part.run_key));
        }
        assert_eq!((keys.len(), host.plugins.runs()), (4, 4));
        assert_eq!(host.plugins.violations(), Vec::<String>::new());
    });
}

#[test]
fn three_poisonous_events_of_256_are_dead_letters_and_the_others_parts_with_few_runs() {
    simulate(async {
        let mut host = lab("720h", |plugin, subscription| {
            plugin["batch"] = json!({"maxEvents": 256});
            subscription["trigger"]["batchWindow"] = "1s".into();
        })
        .await;
        host.put(manifests::domain("d1", "10.0.0.0/16")).await;
        host.plugins.set_poisoned(true);
        let now = host.now();
        let mut events: Vec<Event> = addresses(256)
            .iter()
            .enumerate()
            .map(|(n, subject)| seen(&format!("e{n:04}"), subject, now))
            .collect();
        for at in [17, 130, 131] {
            events[at].payload = events[at].payload.with("poison", "yes");
        }
        host.observe(events).await;
        host.converge().await;
        assert_eq!(host.parts().len(), 253);
        let dead = host.dead();
        assert_eq!(dead.len(), 3);
        for work in &dead {
            let failing = work.failing.as_ref().expect("it failed");
            assert_eq!((failing.reason.as_str(), failing.attempts), ("ExitCode", 5));
            assert_eq!(failing.stderr, "the plugin says why on stderr\n");
        }
        // 2 whole, the halves down to each poison alone, 4 more attempts for each.
        let runs = host.plugins.runs();
        println!("256 events with 3 poisonous ones took {runs} runs");
        assert!(runs <= 60, "{runs}");

        host.plugins.set_poisoned(false);
        let none = WorkFilter { event: Some("e0000".into()), ..WorkFilter::default() };
        assert_eq!(operate::retry(&host.store(), &none, host.now()).await.unwrap().changed, 0);
        let one = WorkFilter { event: Some("e0017".into()), ..WorkFilter::default() };
        assert_eq!(operate::retry(&host.store(), &one, host.now()).await.unwrap().changed, 1);
        let of_plugin = WorkFilter { plugin: Some("p1".into()), ..WorkFilter::default() };
        assert_eq!(operate::retry(&host.store(), &of_plugin, host.now()).await.unwrap().changed, 2);
        assert_eq!(operate::retry(&host.store(), &of_plugin, host.now()).await.unwrap().changed, 0);
        host.converge().await;
        assert_eq!((host.parts().len(), host.dead().len()), (256, 0));
    });
}

#[test]
fn a_rerun_runs_what_succeeded_once_more_however_often_it_is_asked_for() {
    simulate(async {
        let mut host = lab("720h", |_, _| {}).await;
        host.observe_all(3).await;
        host.converge().await;
        // Until the run has ended, asking again changes nothing.
        host.plugins.set_slowness(5 * SECOND);
        let all = WorkFilter { subscription: Some("s".into()), ..WorkFilter::default() };
        let elsewhere = WorkFilter { plugin: Some("p2".into()), ..WorkFilter::default() };
        assert_eq!(operate::rerun(&host.store(), &elsewhere, host.now()).await.unwrap().changed, 0);
        assert_eq!(operate::rerun(&host.store(), &all, host.now()).await.unwrap().changed, 3);
        assert_eq!(operate::rerun(&host.store(), &all, host.now()).await.unwrap().changed, 0);
        host.converge().await;
        assert_eq!(host.plugins.runs(), 6);
        assert_eq!(host.plugins.violations(), Vec::<String>::new());
        assert!(host.parts().values().all(|part| part.generation == 1), "the content is the same");
        host.assert_a_second_pass_writes_nothing().await;
    });
}

#[test]
fn a_plugin_that_is_installed_late_runs_everything_and_nothing_was_given_up() {
    simulate(async {
        let mut host = lab("720h", |_, _| {}).await;
        host.plugins.set_mode("p1", Mode::Missing);
        host.observe_all(10).await;
        host.converge().await;
        tokio::time::sleep(3600 * SECOND).await;
        assert_eq!((host.parts().len(), host.dead().len(), host.plugins.runs()), (0, 0, 0));
        host.plugins.set_mode("p1", Mode::Good);
        // The pause after a failure of the host is a minute at most.
        tokio::time::sleep(60 * SECOND).await;
        host.converge().await;
        assert_eq!((host.parts().len(), host.dead().len(), host.plugins.runs()), (10, 0, 10));
    });
}

#[test]
fn a_part_is_served_up_to_its_end_and_its_grace_and_never_after() {
    simulate(async {
        let mut host =
            lab("1h", |_, subscription| subscription["retire"] = json!({"grace": "5s"})).await;
        let start = host.now();
        let mut event = seen("e1", "10.0.0.9/32", start);
        event.expires_at = Some(start + 15 * SECOND);
        host.observe(vec![event]).await;
        host.converge().await;
        assert_eq!(host.now(), start, "converging takes no time");
        tokio::time::sleep(19_998 * MS).await;
        for ms in 19_998..20_010_u32 {
            assert_eq!(host.now(), start + ms * MS);
            assert_eq!(host.shows("p1-edge-9"), ms < 20_000, "{ms} ms");
            host.breathe().await;
        }
        assert!(host.parts().is_empty(), "and it is gone");
    });
}

#[test]
fn a_client_that_flaps_within_the_grace_never_flickers() {
    simulate(async {
        let mut host =
            lab("1h", |_, subscription| subscription["retire"] = json!({"grace": "5s"})).await;
        for n in 0..20 {
            let now = host.now();
            let mut event = seen(&format!("e{n:02}"), "10.0.0.9/32", now);
            event.expires_at = Some(now + SECOND);
            host.observe(vec![event]).await;
            host.breathe().await;
            for _ in 0..59 {
                assert!(host.shows("p1-edge-9"));
                tokio::time::sleep(100 * MS).await;
            }
        }
    });
}

#[test]
fn a_fact_without_an_end_is_renewed_without_a_gap() {
    simulate(async {
        let mut host = lab("10s", |_, _| {}).await;
        host.plugins.set_slowness(2 * SECOND);
        host.observe_all(1).await;
        host.converge().await;
        for _ in 0..200 {
            // Around the renewal and around what would be the end.
            tokio::time::sleep(640 * MS).await;
            for _ in 0..30 {
                assert!(host.shows("p1-edge-2"));
                host.breathe().await;
            }
        }
        let runs = host.plugins.runs();
        assert!((15..=22).contains(&runs), "two thirds of ten seconds, {runs} times");
    });
}

#[test]
fn windows_are_exact_and_cost_no_wake_ups() {
    for (debounce, window, due) in [(300, 0, 550), (0, 1000, 1000), (300, 400, 400)] {
        simulate(async {
            let mut host = lab("720h", |plugin, subscription| {
                plugin["batch"] = json!({"maxEvents": 64});
                subscription["trigger"]["debounce"] = format!("{debounce}ms").into();
                subscription["trigger"]["batchWindow"] = format!("{window}ms").into();
            })
            .await;
            let start = host.now();
            host.observe(vec![seen("e1", "10.0.0.1/32", start)]).await;
            tokio::time::sleep(250 * MS).await;
            host.observe(vec![seen("e2", "10.0.0.2/32", start)]).await;
            tokio::time::sleep((due - 251) * MS).await;
            host.breathe().await;
            tokio::task::yield_now().await;
            // Timers of one moment fire in no order that a test may rely on: the one before is not
            // due, the one after has run.
            let early = host.plugins.runs();
            host.breathe().await;
            assert_eq!(host.plugins.runs(), 1, "{debounce}/{window}: both in one run");
            let ran = host.parts().into_values().next().expect("a part").created_at;
            assert_eq!(ran, start + due * MS, "{debounce}/{window}, {early}");
            host.converge().await;

            let reconciles = |host: &Host| -> u64 {
                let observers = host.node().observers().iter();
                let of_facts =
                    observers.filter(|o| ["plans", "runs", "history"].contains(&&*o.name()));
                of_facts.map(|o| o.stats().counters.reconciles).sum()
            };
            let before = reconciles(&host);
            tokio::time::sleep(3600 * SECOND).await;
            assert_eq!(reconciles(&host), before, "nothing to do, nothing done");
        });
    }
}

#[test]
fn a_clock_that_goes_back_revives_nothing_also_after_a_restart() {
    simulate(async {
        let mut host = lab("1h", |_, _| {}).await;
        let now = host.now();
        let mut event = seen("e1", "10.0.0.9/32", now);
        event.expires_at = Some(now + 60 * SECOND);
        host.observe(vec![event.clone()]).await;
        tokio::time::sleep(61 * SECOND).await;
        assert!(host.parts().is_empty());
        for restart in [false, true] {
            host.clock.step(-120);
            if restart {
                host.crash(0).await;
                host.start();
            }
            // Also not for another subscription, which has never dealt with it.
            host.put(manifests::subscription(if restart { "t" } else { "u" }, "p1")).await;
            host.observe(vec![event.clone()]).await;
            tokio::time::sleep(30 * SECOND).await;
            host.converge().await;
            assert!(host.parts().is_empty(), "restart: {restart}");
        }
        // What begins under that clock is served, and a later end of the same event is news.
        event.expires_at = Some(now + 7200 * SECOND);
        host.observe(vec![event, seen("e2", "10.0.0.8/32", host.now())]).await;
        host.converge().await;
        let made: Vec<_> =
            host.parts().into_values().map(|p| (p.subscription, p.event_id)).collect();
        assert_eq!(made.len(), 6, "two facts, three subscriptions: {made:?}");
        assert!(host.shows("p1-edge-9") && host.shows("p1-edge-8"));
    });
}

#[test]
fn a_leap_of_the_clock_ends_what_is_over_within_ten_seconds() {
    simulate(async {
        let mut host = lab("6h", |_, _| {}).await;
        let now = host.now();
        let mut event = seen("e1", "10.0.0.9/32", now);
        event.expires_at = Some(now + 3600 * SECOND);
        host.observe(vec![event]).await;
        host.converge().await;
        host.clock.step(3700);
        tokio::time::sleep(10 * SECOND + MS).await;
        assert!(host.parts().is_empty());
    });
}

#[test]
fn a_retraction_meets_what_was_observed_before_it_and_is_heard_of_later() {
    simulate(async {
        let mut host = lab("1h", |_, _| {}).await;
        let now = host.now();
        let mut gone = seen("r", "10.0.0.9/32", now);
        gone.r#type = "gone".into();
        gone.expires_at = Some(now + SECOND);
        host.observe(vec![gone]).await;
        tokio::time::sleep(3600 * SECOND).await;
        host.observe(vec![seen("late", "10.0.0.9/32", now - SECOND)]).await;
        host.converge().await;
        assert!(host.parts().is_empty(), "it was retracted before we heard of it");
        host.observe(vec![seen("again", "10.0.0.9/32", now + SECOND)]).await;
        host.converge().await;
        assert_eq!(host.parts().len(), 1, "a later observation revives");
    });
}

#[test]
fn a_retract_type_that_is_added_later_meets_retractions_that_are_long_over() {
    simulate(async {
        let mut host = lab("1h", |_, subscription| {
            subscription["match"]["retractTypes"] = json!([]);
        })
        .await;
        let now = host.now();
        let mut gone = seen("r", "10.0.0.9/32", now);
        gone.r#type = "gone".into();
        gone.expires_at = Some(now + SECOND);
        host.observe(vec![gone, seen("e", "10.0.0.9/32", now)]).await;
        tokio::time::sleep(3600 * SECOND).await;
        assert_eq!(host.parts().len(), 1);
        host.put(manifests::subscription("s", "p1")).await;
        host.converge().await;
        assert!(host.parts().is_empty(), "as on a node that starts with these manifests");
    });
}

#[test]
fn a_retraction_by_a_clock_that_is_ahead_counts_at_once() {
    simulate(async {
        let mut host = lab("1h", |_, _| {}).await;
        let now = host.now();
        let mut gone = seen("r", "10.0.0.9/32", now + 120 * SECOND);
        gone.r#type = "gone".into();
        host.observe(vec![seen("e", "10.0.0.9/32", now), gone]).await;
        host.converge().await;
        assert!(host.parts().is_empty());
    });
}

#[test]
fn a_result_that_is_over_before_its_run_ended_is_given_up_and_not_run_for_ever() {
    simulate(async {
        let mut host = lab("10s", |plugin, _| plugin["timeout"] = "60s".into()).await;
        host.plugins.set_mode("p1", Mode::Slow);
        host.observe_all(1).await;
        host.converge().await;
        let dead = host.dead();
        let reasons: Vec<_> =
            dead.iter().filter_map(|w| w.failing.as_ref()).map(|f| f.reason.as_str()).collect();
        assert_eq!((reasons, host.plugins.runs()), (vec!["Expired"], 5));
    });
}

#[test]
fn while_a_failed_run_waits_for_its_retry_the_node_has_not_converged() {
    simulate(async {
        let mut host = lab("720h", |_, subscription| {
            subscription["trigger"]["retry"] = json!({"maxAttempts": 9, "backoff": "1m"});
        })
        .await;
        host.plugins.set_mode("p1", Mode::ExitCode);
        host.observe_all(1).await;
        host.breathe().await;
        host.plugins.set_mode("p1", Mode::Good);
        host.converge().await;
        assert_eq!((host.plugins.runs(), host.parts().len()), (2, 1));
    });
}

#[test]
fn a_file_that_somebody_else_changed_is_written_anew_within_a_minute_and_its_hook_runs_again() {
    simulate(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out.yaml");
        let mut host = lab("720h", |_, _| {}).await;
        let spec = json!({
            "path": path.display().to_string(),
            "onChange": {"executable": "/opt/hook"},
        });
        host.put(manifests::resource(manifests::CONFIG, "ConfigOutput", "out", spec)).await;
        host.converge().await;
        let right = std::fs::read_to_string(&path).expect("it was written");
        assert_eq!((right.clone(), host.plugins.hooks()), (host.yaml(), 1));
        for (hooks, spoil) in [(2, Some("kind: Nonsense")), (3, None), (4, Some(""))] {
            tokio::time::sleep(3600 * SECOND).await;
            assert_eq!(host.plugins.hooks(), hooks - 1, "what is right is left alone");
            match spoil {
                Some(text) => std::fs::write(&path, text).expect("written"),
                None => std::fs::remove_file(&path).expect("removed"),
            }
            tokio::time::sleep(61 * SECOND).await;
            host.converge().await;
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), right);
            assert_eq!(host.plugins.hooks(), hooks);
        }
    });
}
