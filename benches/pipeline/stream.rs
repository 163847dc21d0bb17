//! One event, one request: what a plugin that is never given two events at once comes to through
//! the store, as a process for each run and as warm processes.

use std::process::Stdio;
use std::time::Instant;

use super::Place;
use super::burst::write_lines;
use super::node::Node;
use super::report::{Goal, count, figure};

pub async fn run(place: &Place) {
    for (protocol, events) in [("oneshot", count(2_000, 100)), ("stream", count(10_000, 500))] {
        let name = format!("unbatched-{protocol}");
        let lines = place.dir(&name).join("events.jsonl");
        write_lines(&lines, events);
        let spec = format!("batch: {{maxEvents: 1}}, concurrency: 8, protocol: {protocol}");
        let node = Node::start_with(place, &name, &spec);
        node.status_when(|status| status.objects >= 6).await;
        node.converged().await;
        let begun = Instant::now();
        let mut emit = node.routerctl(&["emit", "-f", "-"]);
        let lines = std::fs::File::open(&lines).expect("the lines");
        let status = emit.stdin(lines).stdout(Stdio::null()).status();
        assert!(status.expect("routerctl runs").success());
        node.converged().await;
        let rate = f64::from(events) / begun.elapsed().as_secs_f64();
        let parts = node.status_when(|_| true).await.parts.effective;
        assert_eq!(parts, u64::from(events));
        let name = format!("{events} events unbatched, {protocol}: to visible parts");
        figure(&name, rate, "/s", Goal::None);
        node.stop();
    }
}
