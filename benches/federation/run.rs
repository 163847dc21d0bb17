//! The measurements.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::client::{Client, event};
use super::node::Node;
use super::report::{Goal, count, figure, percentile};
use super::{bare, process};

/// How long each rate is measured.
fn time() -> Duration {
    Duration::from_millis(count(4000, 200))
}

#[allow(clippy::cast_precision_loss)] // a rate for humans
pub fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// Acknowledged events per second over so many connections.
async fn acknowledged(at: SocketAddr, connections: usize, batch: u64, first: u64) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            tokio::spawn(async move {
                let mut client = Client::connect(at).await;
                let mut number = first;
                while started.elapsed() < time() {
                    client.send((0..batch).map(|n| event(connection, number + n)).collect()).await;
                    number += batch;
                }
                number - first
            })
        })
        .collect();
    let mut events = 0;
    for task in tasks {
        events += task.await.expect("a sender");
    }
    per_second(events, started.elapsed())
}

pub async fn rate(place: &Path) {
    let single = bare::rate(&place.join("bare-single"), 1, time()).await;
    figure("bare store, 64 writers, single: durable events", single, "/s", Goal::None);
    let batched = bare::rate(&place.join("bare-batch"), 100, time()).await;
    figure("bare store, 64 writers, 100 a write: durable events", batched, "/s", Goal::None);
    let node = Node::start(&place.join("rate"));
    // Each run has ids of its own.
    let mut first = 0;
    for (connections, goal) in [(1, Goal::None), (8, Goal::None), (64, Goal::AtLeast(5_000.0))] {
        first += 100_000_000;
        let rate = acknowledged(node.at, connections, 1, first).await;
        figure(&format!("receive, {connections} connections, single"), rate, "/s", goal);
    }
    for (connections, goal) in
        [(1, Goal::None), (8, Goal::None), (64, Goal::AtLeast(15_000.0_f64.max(0.4 * batched)))]
    {
        first += 100_000_000;
        let rate = acknowledged(node.at, connections, 100, first).await;
        figure(&format!("receive, {connections} connections, batches of 100"), rate, "/s", goal);
    }
}

pub async fn latency(place: &Path) {
    let node = Node::start(&place.join("latency"));
    let mut client = Client::connect(node.at).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let mut times = Vec::new();
    for number in 0..count(1500, 50) {
        ticks.tick().await;
        let sent = vec![event(0, number)];
        let begun = Instant::now();
        client.send(sent).await;
        times.push(begun.elapsed());
    }
    figure(
        "receive at 200/s: acknowledged, p50",
        percentile(&mut times, 50),
        "ms",
        Goal::AtMost(2.0),
    );
    figure(
        "receive at 200/s: acknowledged, p99",
        percentile(&mut times, 99),
        "ms",
        Goal::AtMost(20.0),
    );
}

pub async fn full(place: &Path) {
    let events = count(1_000_000, 20_000);
    let mut rates = Vec::new();
    for stored in [0, events] {
        let place = place.join(format!("full-{stored}"));
        if stored > 0 {
            std::fs::create_dir_all(&place).expect("a directory");
            bare::fill(&place.join("state"), stored).await;
        }
        let node = Node::start(&place);
        let rate = acknowledged(node.at, 64, 1, 100_000_000).await;
        figure(&format!("receive, 64 connections, {stored} events stored"), rate, "/s", Goal::None);
        rates.push(rate);
    }
    figure("the same, full beside empty", rates[1] / rates[0], "", Goal::AtLeast(0.8));
}

pub async fn memory(place: &Path) {
    let node = Node::start(&place.join("memory"));
    let idle = process::resident_mib(node.pid());
    let posts = count(5000, 640);
    let at = node.at;
    let tasks: Vec<_> = (0..64)
        .map(|connection| {
            tokio::spawn(async move {
                let mut client = Client::connect(at).await;
                for number in 0..=posts / 64 {
                    client.send(vec![event(connection, number)]).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a sender");
    }
    let above = process::peak_mib(node.pid()) - idle;
    figure("receive: memory idle", idle, "MiB", Goal::None);
    figure(
        &format!("receive: peak above idle, burst of {posts} from 64 connections"),
        above,
        "MiB",
        Goal::AtMost(40.0),
    );
}
