//! The receiver on the real parts: signed requests over loopback to a real daemon, acknowledged when
//! they are on disk, beside the bare store of the same run; and two daemons, one of which pushes to
//! the other. Both ends share this machine.
//!
//! `cargo bench --bench federation [-- PART…]` runs the parts named, or all: rate, latency, full,
//! memory, end_to_end, drain. `BENCH_QUICK=1` makes the counts small. `ROUTERD_BENCH_DIR` names the directory (default:
//! the target directory, not a tmpfs).

#[path = "../../src/bin/routerd/allocator.rs"]
mod allocator;
mod bare;
mod client;
mod drain;
mod end_to_end;
mod node;
mod pair;
#[path = "../common/plugin.rs"]
mod plugin;
#[path = "../pipeline/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "../common/report.rs"]
mod report;
mod run;
#[path = "../common/visible.rs"]
mod visible;

use std::path::PathBuf;

fn main() {
    // As the daemon does: some parts measure the store in this process.
    allocator::give_back_soon();
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    let parent = std::env::var_os("ROUTERD_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let directory = tempfile::tempdir_in(parent).expect("a directory for the bench");
    let place = directory.path();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.expect("a tokio runtime");
    if wanted("rate") {
        tokio.block_on(run::rate(place));
    }
    if wanted("latency") {
        tokio.block_on(run::latency(place));
    }
    if wanted("full") {
        tokio.block_on(run::full(place));
    }
    if wanted("memory") {
        tokio.block_on(run::memory(place));
    }
    if wanted("end_to_end") {
        let plugin = plugin::build();
        tokio.block_on(end_to_end::run(&place.join("end_to_end"), &plugin));
    }
    if wanted("drain") {
        tokio.block_on(drain::run(&place.join("drain")));
    }
}
