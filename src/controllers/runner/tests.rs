//! Who may run beside whom.

use serde_json::json;

use super::*;
use crate::controllers::fixture::{Bench, Reply};

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
