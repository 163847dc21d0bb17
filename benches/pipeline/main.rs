//! The whole path on the real parts: event in, part out, with the daemon, the socket, the disk and
//! the example plugin.
//!
//! `cargo bench --bench pipeline [-- PART…]` runs the parts named, or all: accept, latency, burst,
//! idle, start, stream. `BENCH_QUICK=1` makes the counts small. `ROUTERD_BENCH_DIR` names the directory
//! (default: the target directory, not a tmpfs).

mod accept;
#[path = "../../src/bin/routerd/allocator.rs"]
mod allocator;
mod burst;
mod idle;
mod latency;
mod node;
#[path = "../common/plugin.rs"]
mod plugin;
mod prepare;
mod process;
#[path = "../common/report.rs"]
mod report;
mod start;
mod stream;
#[path = "../common/visible.rs"]
mod visible;

use std::path::PathBuf;

/// Where everything lies, and the plugin that was built for it.
pub struct Place {
    dir: tempfile::TempDir,
    plugin: PathBuf,
}

impl Place {
    fn new() -> Self {
        let parent = std::env::var_os("ROUTERD_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let dir = tempfile::tempdir_in(parent).expect("a directory for the bench");
        Self { dir, plugin: plugin::build() }
    }

    /// A new directory.
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        dir
    }
}

fn main() {
    // As the daemon does: some parts measure the store in this process.
    allocator::give_back_soon();
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    let place = Place::new();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.expect("a tokio runtime");
    if wanted("accept") {
        tokio.block_on(accept::run(&place));
    }
    if wanted("latency") {
        tokio.block_on(latency::run(&place));
    }
    if wanted("burst") {
        tokio.block_on(burst::run(&place));
    }
    if wanted("idle") {
        tokio.block_on(idle::run(&place));
    }
    if wanted("start") {
        tokio.block_on(start::run(&place));
    }
    if wanted("stream") {
        tokio.block_on(stream::run(&place));
    }
}
