//! Who may run beside whom.

use std::pin::pin;

use serde_json::json;

use super::*;
use crate::controllers::fixture::{Bench, Reply, answer, event};
use crate::store::Stall;

fn slot(plugin: &str, slot: u32) -> PluginSlot {
    PluginSlot { plugin: plugin.into(), slot }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_hangs_in_all_its_slots_keeps_no_other_one_from_running() {
    let bench = Bench::new(json!({}), |_| Reply::Exit(1)).await;
    let runner = &bench.runner;
    let mut rooms = Vec::new();
    for n in 0..MAX_RUNS {
        let slot = slot(&format!("hangs-{}", n / 63), 1 + u32::try_from(n % 63).unwrap());
        rooms.push(runner.room_for(&slot).expect("there is room"));
    }
    assert!(runner.room_for(&slot("late", 1)).is_none(), "it waits");
    assert!(runner.room_for(&slot("late", 1)).is_none(), "once");
    assert!(runner.room_for(&slot("later", 1)).is_none());
    assert!(runner.room_for(&slot("late", 0)).is_some(), "the first of each plugin never waits");
    let waiting = || Vec::from(runner.further().waiting.clone());
    assert!(waiting() == [slot("late", 1), slot("later", 1)]);
    // Room is offered to who has waited longest; who has no use for it passes the call on.
    rooms.pop();
    assert!(waiting() == [slot("later", 1)]);
    runner.pass_on(&slot("late", 1));
    assert!(waiting().is_empty());
    assert!(runner.room_for(&slot("later", 1)).is_some());
    // Who comes to room by itself waits for none, and stands in nobody's way.
    rooms.push(runner.room_for(&slot("next", 1)).expect("there is room"));
    assert!(runner.room_for(&slot("called", 1)).is_none());
    assert!(runner.room_for(&slot("lucky", 1)).is_none());
    rooms.pop();
    assert!(waiting() == [slot("lucky", 1)]);
    rooms.push(runner.room_for(&slot("lucky", 1)).expect("it came first"));
    assert!(waiting().is_empty());
}

/// Takes in what is applied: its plugin is asked when that is durable, and not before.
async fn runs_when_durable(bench: &mut Bench, busy: Stall) {
    bench.follow().await;
    bench.plan().await;
    let first = slot("p", 0);
    {
        let mut run = pin!(bench.runner.reconcile(&first));
        assert!(futures::poll!(&mut run).is_pending(), "it waits for the disk");
        assert!(bench.asked().is_empty(), "no process before that is durable");
        drop(busy);
        run.await.expect("run");
    }
    assert_eq!(bench.asked(), [["e1"]]);
}

#[tokio::test]
async fn a_plugin_is_made_ready_while_its_intent_is_synced_and_started_when_that_is_durable() {
    let mut bench = Bench::with_writer(json!({}), answer).await;
    let seen = event("e1", "seen", "s1", 0);
    let busy = bench.engine.stall_syncs();
    {
        let mut received = pin!(bench.receive(seen.clone()));
        assert!(futures::poll!(&mut received).is_pending());
        bench.store.watch_applied(bench.store.head()).next().await;
    }
    runs_when_durable(&mut bench, busy).await;
    assert!(bench.part(&seen).is_some());
}

#[tokio::test]
async fn a_plugin_is_started_on_nothing_that_a_power_cut_could_take_back() {
    let mut bench = Bench::with_writer(json!({}), answer).await;
    // Its intent is on disk, and then the subscription is suspended.
    bench.emit(event("e1", "seen", "s1", 0)).await;
    bench.manifests(&json!({"subscription": {"suspend": true}})).await;
    let busy = bench.engine.stall_syncs();
    {
        let spec = json!({
            "groupRef": "g", "match": {"types": ["seen"]}, "trigger": {"pluginRef": "p"},
        });
        let mut resumed = pin!(bench.accept("federation", "EventSubscription", "sub", spec));
        assert!(futures::poll!(&mut resumed).is_pending());
        bench.store.watch_applied(bench.store.head()).next().await;
    }
    runs_when_durable(&mut bench, busy).await;
}
