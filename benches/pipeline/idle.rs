//! A daemon with nothing to do sleeps: the only thing that wakes it is the slow rescan.

use std::time::Duration;

use super::Place;
use super::node::Node;
use super::prepare::fill;
use super::process::{processor_ms, resident_mib, switches};
use super::report::{Goal, count, figure};

pub async fn run(place: &Place) {
    let (events, live) = (count(100_000, 5_000), count(1_000, 100));
    fill(&place.dir("idle").join("state"), events, live).await;
    let node = Node::start(place, "idle");
    let parts = u64::from(live);
    node.status_when(|status| status.parts.effective == parts && status.store.scrubbed).await;
    node.converged().await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let seconds = count(70, 5);
    let (first, used) = (switches(node.pid()), processor_ms(node.pid()));
    let (mut before, mut awake) = (first.clone(), 0_u32);
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = switches(node.pid());
        awake += u32::from(now != before);
        before = now;
    }
    let used = processor_ms(node.pid()) - used;
    // The rescan: every 30 to 60 s.
    let goal = Goal::AtMost(f64::from(seconds / 30 + 1));
    let name = format!("idle, {events} events, {seconds} s");
    figure(&format!("{name}: seconds with a wake-up"), f64::from(awake), "s", goal);
    figure(&format!("{name}: processor time"), used, "ms", Goal::None);
    figure(&format!("{name}: memory"), resident_mib(node.pid()), "MiB", Goal::None);
    for (thread, count) in before {
        let woken = count - first.get(&thread).copied().unwrap_or(0);
        if woken > 0 {
            println!("    {thread}: {woken} wake-ups");
        }
    }
    node.stop();
}
