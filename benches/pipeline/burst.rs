//! Many events at once through `routerctl emit -f -`, and what the config of their parts costs to
//! print with `routerctl render`.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::control::Answer;
use routerd::control::client::Target;

use super::Place;
use super::node::Node;
use super::prepare::event;
use super::process::{peak_mib, processor_ms};
use super::report::{Goal, count, figure, percentile};

const ROUNDS: u32 = 7;

pub async fn run(place: &Place) {
    let events = count(10_000, 500);
    let lines = place.dir("burst").join("events.jsonl");
    write_lines(&lines, events);
    let node = Node::start(place, "burst");
    node.status_when(|status| status.objects >= 6).await;
    node.converged().await;

    let (begun, used) = (Instant::now(), processor_ms(node.pid()));
    let mut emit = node.routerctl(&["emit", "-f", "-"]);
    let emit = emit.stdin(File::open(&lines).expect("the lines")).stdout(Stdio::null());
    assert!(emit.status().expect("routerctl runs").success());
    let accepted = begun.elapsed();
    let all = u64::from(events);
    node.converged().await;
    let visible = begun.elapsed();
    let used = processor_ms(node.pid()) - used;
    let status = node.status_when(|_| true).await;
    assert_eq!(status.parts.effective, all);
    assert_eq!(status.effective.left_out, 0);
    let name = format!("burst of {events}");
    figure(&format!("{name}: all accepted"), accepted.as_secs_f64(), "s", Goal::None);
    figure(&format!("{name}: all parts visible"), visible.as_secs_f64(), "s", Goal::AtMost(3.0));
    figure(&format!("{name}: the daemon's processor time"), used / 1e3, "s", Goal::None);
    figure(
        &format!("{name}: the daemon's memory at most"),
        peak_mib(node.pid()),
        "MiB",
        Goal::None,
    );

    for (format, goal) in [("json", 150.0), ("yaml", 350.0)] {
        let (mut changed, mut same) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            change(&node, round).await;
            changed.push(render(&node, format));
            same.push(render(&node, format));
        }
        let name = format!("routerctl render -o {format}, {events} parts");
        let p50 = percentile(&mut changed, 50);
        figure(&format!("{name}, after a change"), p50, "ms", Goal::AtMost(goal));
        figure(&format!("{name}, again"), percentile(&mut same, 50), "ms", Goal::AtMost(goal));
    }
    node.stop();
}

pub fn write_lines(path: &std::path::Path, events: u32) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let now = Time::now();
    for number in 0..events {
        let event = event(number, now, now + Duration::from_secs(1800));
        serde_json::to_writer(&mut file, &event).expect("plain data");
        file.write_all(b"\n").expect("room");
    }
    file.into_inner().expect("room");
}

/// Observes one client again, so that the next rendering is a new one.
async fn change(node: &Node, number: u32) {
    let now = Time::now();
    let event = event(number, now, now + Duration::from_secs(1800));
    let path = Target::new("/v1/events");
    let answer: Answer = node.client.post(&path, &event, Duration::ZERO).await.expect("accepted");
    assert!(answer.accepted, "{answer:?}");
    node.converged().await;
}

/// From the start of the process to the last byte on its stdout.
fn render(node: &Node, format: &str) -> Duration {
    let begun = Instant::now();
    let mut child: Child =
        node.routerctl(&["render", "-o", format]).stdout(Stdio::piped()).spawn().expect("spawn");
    let mut text = Vec::new();
    child.stdout.take().expect("stdout").read_to_end(&mut text).expect("read");
    assert!(child.wait().expect("wait").success() && text.len() > 100_000);
    begun.elapsed()
}
