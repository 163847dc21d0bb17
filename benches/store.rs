//! Durable appends per second with 1, 64 and 256 writers, beside a bare fdatasync loop on the same
//! disk, and the time to open a large store.
//!
//! `ROUTERD_BENCH_DIR` names the directory (default: the target directory, not a tmpfs).
//! `ROUTERD_BENCH_ROWS` sets the rows of the large store (default 1,000,000).

#[path = "../src/bin/routerd/allocator.rs"]
mod allocator;
#[path = "common/report.rs"]
mod report;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use routerd::store::{OpenOptions, Record, Store, StoreError, Table};
use serde::{Deserialize, Serialize};

use self::report::{Goal, count, figure, percentile};

const EVENT_BYTES: usize = 300;

#[derive(Serialize, Deserialize)]
struct Event {
    group: String,
    id: u64,
    body: String,
}

impl Record for Event {
    const TABLE: Table = Table::new(0x20, "bench-events", 1);
    type Key = (String, u64);
    fn key(&self) -> Self::Key {
        (self.group.clone(), self.id)
    }
}

fn event(id: u64) -> Event {
    Event { group: "cloudedge".to_owned(), id, body: "x".repeat(EVENT_BYTES - 50) }
}

fn main() {
    // As the daemon does.
    allocator::give_back_soon();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("a runtime");
    let parent = std::env::var_os("ROUTERD_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let directory = tempfile::tempdir_in(parent).expect("a directory for the bench");
    bare_fdatasync(&directory.path().join("bare"));
    for (writers, rate, p50) in [
        (1, Goal::None, Goal::AtMost(0.6)),
        (64, Goal::AtLeast(20_000.0), Goal::AtMost(4.0)),
        (256, Goal::None, Goal::None),
    ] {
        let state = directory.path().join(format!("writers-{writers}"));
        runtime.block_on(appends(&state, writers, rate, p50));
    }
    runtime.block_on(large_store(&directory.path().join("large")));
}

fn open(state: &std::path::Path) -> Store {
    let options = OpenOptions::daemon(state, jiff::Timestamp::UNIX_EPOCH);
    Store::open(&options).expect("the store opens").0
}

/// How long each writes.
fn run() -> Duration {
    Duration::from_millis(count(4000, 200))
}

fn bare_fdatasync(path: &std::path::Path) {
    let mut file = File::create(path).expect("a file");
    let mut latencies = Vec::new();
    let start = Instant::now();
    while start.elapsed() < run() / 4 {
        let begun = Instant::now();
        file.write_all(&[b'x'; EVENT_BYTES]).expect("room");
        file.sync_data().expect("a disk");
        latencies.push(begun.elapsed());
    }
    report("bare append + fdatasync", start.elapsed(), latencies, Goal::None, Goal::None);
}

async fn appends(state: &std::path::Path, writers: u64, rate: Goal, p50: Goal) {
    let store = open(state);
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < run() {
                    let id = (writer << 40) | latencies.len() as u64;
                    let begun = Instant::now();
                    let event = event(id);
                    let done = store.write(move |txn| txn.put(&event)).await;
                    done.expect("a durable write");
                    latencies.push(begun.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a writer"));
    }
    report(&format!("store, {writers} writers"), start.elapsed(), latencies, rate, p50);
    let size = std::fs::metadata(state.join("db/db")).map_or(0, |metadata| metadata.len());
    println!("    {} revisions, file {} MiB", store.head(), size >> 20);
    store.close().await;
}

async fn large_store(state: &std::path::Path) {
    let rows: u64 = std::env::var("ROUTERD_BENCH_ROWS").map_or(count(1_000_000, 20_000), |rows| {
        rows.parse().expect("ROUTERD_BENCH_ROWS is a number")
    });
    let store = open(state);
    let start = Instant::now();
    for first in (0..rows).step_by(1000) {
        let fill =
            store.write(move |txn| (first..first + 1000).try_for_each(|id| txn.put(&event(id))));
        fill.await.map_err(|error| format!("{error:?}")).expect("a durable write");
    }
    let rate = per_second(rows, start.elapsed());
    figure(&format!("store: fill {rows} rows, 1000 per write"), rate, "/s", Goal::None);
    store.close().await;
    let start = Instant::now();
    let store = open(state);
    let opened = start.elapsed().as_secs_f64();
    figure(&format!("store: open with {rows} rows"), opened, "s", Goal::None);
    let start = Instant::now();
    let count = store
        .scan::<Event>(&routerd::store::Scan::all())
        .try_fold(0_u64, |count, row| row.map(|_| count + 1))
        .map_err(|error: StoreError| error.to_string());
    assert_eq!(count, Ok(rows));
    let scanned = start.elapsed().as_secs_f64();
    figure(&format!("store: scan and decode {rows} rows"), scanned, "s", Goal::None);
    store.close().await;
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)] // a rate for humans
    let count = count as f64;
    count / elapsed.as_secs_f64()
}

fn report(name: &str, elapsed: Duration, mut times: Vec<Duration>, rate: Goal, p50: Goal) {
    let per_second = per_second(times.len() as u64, elapsed);
    figure(&format!("{name}: durable appends"), per_second, "/s", rate);
    figure(&format!("{name}: p50"), percentile(&mut times, 50), "ms", p50);
    figure(&format!("{name}: p99"), percentile(&mut times, 99), "ms", Goal::None);
}
