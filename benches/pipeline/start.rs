//! Starting on a long history: a million events, of which ten thousand are live facts with parts.

use std::time::Instant;

use super::Place;
use super::node::Node;
use super::prepare::fill;
use super::process::{peak_mib, resident_mib};
use super::report::{Goal, count, figure};

pub async fn run(place: &Place) {
    let (events, live) = (count(1_000_000, 20_000), count(10_000, 500));
    let begun = Instant::now();
    fill(&place.dir("start").join("state"), events, live).await;
    println!("    {events} events stored in {:.1} s", begun.elapsed().as_secs_f64());
    let parts = u64::from(live);

    // The first start makes the parts; what is measured is the restart.
    let node = Node::start(place, "start");
    node.status_when(|status| status.parts.effective == parts).await;
    node.converged().await;
    node.stop();

    let node = Node::start(place, "start");
    let answered = node.status_when(|_| true).await;
    let first = node.started.elapsed();
    assert!(answered.running);
    node.status_when(|status| {
        let live_facts: u64 = status.groups.iter().map(|group| group.live_facts).sum();
        status.parts.effective == parts && live_facts == parts
    })
    .await;
    let ready = node.started.elapsed();
    let name = format!("start, {events} events, {live} live facts");
    figure(&format!("{name}: socket answers"), first.as_secs_f64(), "s", Goal::None);
    figure(&format!("{name}: ready"), ready.as_secs_f64(), "s", Goal::AtMost(3.0));
    figure(
        &format!("{name}: memory when ready"),
        resident_mib(node.pid()),
        "MiB",
        Goal::AtMost(256.0),
    );

    let stored = u64::from(events);
    node.status_when(|status| {
        status.store.scrubbed && status.groups.iter().any(|group| group.stored_events >= stored)
    })
    .await;
    node.converged().await;
    let checked = node.started.elapsed();
    figure(&format!("{name}: counted and checked"), checked.as_secs_f64(), "s", Goal::None);
    figure(&format!("{name}: memory then"), resident_mib(node.pid()), "MiB", Goal::AtMost(256.0));
    figure(&format!("{name}: memory at most"), peak_mib(node.pid()), "MiB", Goal::AtMost(256.0));
    node.stop();
}
