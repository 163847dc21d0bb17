//! What a request to a warm process costs: the host alone, with the example plugin.
//!
//! Beside it the floor: the same process, asked by plain blocking pipes, nothing checked, bounded or
//! timed. Both sides take turns in one run. `cargo build --release --examples`, then
//! `cargo bench --bench stream`. What it comes to through the store is part `stream` of the bench
//! `pipeline`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use routerd::plugin::{
    Confinement, DEFAULT_GRACE, Limits, ProcessSpawner, RunSpec, Spawner, WarmSpec, adopt_orphans,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[path = "common/report.rs"]
mod report;

use report::{Goal, count, figure, percentile};

/// Requests at the same time; each has a process of its own.
const AT_ONCE: &[usize] = &[1, 2, 4];
const ROUNDS: usize = 4;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let dir = tempfile::tempdir().expect("temporary directory");
    let spawner = ProcessSpawner::new(dir.path().join("scratch"), dir.path().join("others"))
        .expect("scratch base");
    let plugin = plugin();
    let request = request();
    let requests = count(10_000, 500);
    // Before the host adopts orphans: what it did not start would count as one.
    let mut floor = bare(&plugin, &request, requests);
    figure("bare pipes: one request, p50", 1e3 * percentile(&mut floor, 50), "µs", Goal::None);
    adopt_orphans().expect("subreaper");
    let spec = RunSpec {
        executable: plugin,
        args: Vec::new(),
        env: vec![("ROUTERD_PROTOCOL".into(), "stream".into())],
        stdin: request,
        timeout: Duration::from_secs(10),
        grace: DEFAULT_GRACE,
        limits: Limits::default(),
        confinement: Confinement::Plugin,
        sha256: None,
        label: "bench".into(),
        warm: Some(WarmSpec { pool: "p".into(), version: "1".into() }),
    };
    for at_once in AT_ONCE {
        host(&runtime, &spawner, &spec, *at_once, requests / 10);
        let (mut times, mut best) = (Vec::new(), 0.0_f64);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            times.extend(host(&runtime, &spawner, &spec, *at_once, requests / at_once));
            let asked =
                f64::from(u32::try_from(requests / at_once * at_once).expect("a small number"));
            best = best.max(asked / begun.elapsed().as_secs_f64());
        }
        let name = format!("stream host, {at_once} at once");
        let goals = match at_once {
            1 => (Goal::None, Goal::AtMost(200.0)),
            2 => (Goal::AtLeast(20_000.0), Goal::AtMost(200.0)),
            _ => (Goal::None, Goal::None),
        };
        figure(&format!("{name}: events"), best, "/s", goals.0);
        figure(&format!("{name}: p50"), 1e3 * percentile(&mut times, 50), "µs", goals.1);
        figure(&format!("{name}: p99"), 1e3 * percentile(&mut times, 99), "µs", Goal::None);
    }
    runtime.block_on(spawner.close());
}

/// The example that was built for the release profile.
fn plugin() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_routerd")).with_file_name("examples");
    let plugin = built.join("event-to-remote-claim");
    assert!(plugin.exists(), "{}: cargo build --release --examples", plugin.display());
    plugin
}

fn request() -> Bytes {
    let request = json!({
        "apiVersion": "plugin.routerd.net/v1alpha1", "kind": "PluginRequest",
        "metadata": {"name": "event-to-remote-claim"},
        "spec": {
            "trigger": {
                "type": "federation-subscription",
                "topic": "routerd.federation.subscription/cloud-claims",
            },
            "now": "2026-11-22T12:00:00Z", "startupConfigHash": "",
            "runKey": "27f6b737bb4fd98f443c085c28e6c2dc", "previousDynamicGeneration": 0,
            "events": [{
                "id": "e1", "group": "cloudedge", "type": "routerd.client.ipv4.observed",
                "sourceNode": "onprem-router", "subject": "10.88.60.9/32",
                "payload": {"address": "10.88.60.9/32", "domain": "cloudedge-same-subnet"},
                "runKey": "27f6b737bb4fd98f443c085c28e6c2dc", "previousDynamicGeneration": 0,
            }],
        },
    });
    request.to_string().into()
}

/// The least that asks and hears.
fn bare(plugin: &Path, request: &[u8], requests: usize) -> Vec<Duration> {
    let mut child = Command::new(plugin)
        .env_clear()
        .env("ROUTERD_PROTOCOL", "stream")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut asks = child.stdin.take().expect("stdin");
    let mut hears = BufReader::new(child.stdout.take().expect("stdout"));
    let asked = [request, b"\n"].concat();
    let mut line = Vec::new();
    let times = (0..requests).map(|_| {
        let begun = Instant::now();
        asks.write_all(&asked).expect("write");
        line.clear();
        assert!(hears.read_until(b'\n', &mut line).expect("read") > 100);
        begun.elapsed()
    });
    let times = times.collect();
    drop(asks);
    assert!(child.wait().expect("wait").success());
    times
}

/// Each of `at_once` tasks asks `requests` times.
fn host(
    runtime: &tokio::runtime::Runtime,
    spawner: &ProcessSpawner,
    spec: &RunSpec,
    at_once: usize,
    requests: usize,
) -> Vec<Duration> {
    let ask = |_| {
        let (spawner, spec) = (spawner.clone(), spec.clone());
        // On a worker, as in the daemon: the thread that blocks on the runtime is not one.
        runtime.spawn(async move {
            let mut times = Vec::with_capacity(requests);
            for _ in 0..requests {
                let begun = Instant::now();
                let ran = spawner.run(spec.clone(), CancellationToken::new()).await.expect("run");
                assert!(ran.exit.success() && ran.stdout.len() > 100, "{ran:?}");
                ran.lease.expect("it lives").keep();
                times.push(begun.elapsed());
            }
            times
        })
    };
    let tasks: Vec<_> = (0..at_once).map(ask).collect();
    let all = runtime.block_on(futures::future::join_all(tasks));
    all.into_iter().flat_map(|times| times.expect("no panic")).collect()
}
