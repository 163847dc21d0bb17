//! A backlog: 100,000 owed events to a peer that comes up.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::pair::{EVENT, GROUP, Node, free_port, receiver, secret, sender};
use super::report::{Goal, count, figure};

pub async fn run(dir: &Path) {
    let (secret, address) = (secret(dir), free_port());
    let events = count(100_000_u32, 2_000);
    let onprem = Node::start(&dir.join("onprem"), &sender(&secret, &[]));
    onprem.converged(false).await;
    emit(&onprem, events);
    let cloud = Node::start(&dir.join("cloud"), &receiver(&secret, address, ""));
    cloud.converged(false).await;
    onprem.converged(false).await;
    // The peer appears: everything is owed to it at once.
    let begun = Instant::now();
    onprem.write(&sender(&secret, &[("cloud-router", format!("http://{address}"))]));
    onprem.converged(true).await;
    let took = begun.elapsed().as_secs_f64();
    let summary = onprem.routerctl(&["federation", "deliveries", "summary", "-o", "json"]).output();
    let summary = summary.expect("routerctl runs");
    let summary: serde_json::Value = serde_json::from_slice(&summary.stdout).expect("JSON");
    assert_eq!(summary[0]["delivered"], events, "{summary:#}");
    let name = format!("drain of {events} owed events, the manifest's half second included");
    figure(&name, f64::from(events) / took, "events/s", Goal::AtLeast(8_000.0));
    let begun = Instant::now();
    onprem.converged(true).await;
    figure(
        "drain: a settled outbox is asked",
        begun.elapsed().as_secs_f64() * 1e3,
        "ms",
        Goal::None,
    );
}

/// Records events of as many clients.
fn emit(node: &Node, events: u32) {
    let mut lines = String::new();
    for n in 0..events {
        let [_, a, b, c] = n.to_be_bytes();
        let subject = format!("10.{a}.{b}.{c}/32");
        writeln!(
            lines,
            "{{\"group\":\"{GROUP}\",\"type\":\"{EVENT}\",\"subject\":\"{subject}\",\"ttl\":\"2h\",\"payload\":{{\"address\":\"{subject}\",\"domain\":\"cloudedge-same-subnet\"}}}}"
        )
        .expect("a string takes all");
    }
    let mut child = node
        .routerctl(&["emit", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("routerctl runs");
    let mut stdin = child.stdin.take().expect("stdin");
    std::io::Write::write_all(&mut stdin, lines.as_bytes()).expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it ends").success(), "events were refused");
}
