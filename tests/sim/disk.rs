//! What a simulated host keeps its store on: an engine in memory that forgets at a crash what was
//! not synced, or the real thing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::store::{Commits, MemoryEngine, OpenError, OpenOptions, OpenReport, Store};
use tempfile::TempDir;

/// How long a database that somebody holds is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A disk.
pub enum Disk {
    Memory(MemoryEngine),
    /// sled, in a state directory.
    Sled(TempDir),
}

impl Disk {
    pub fn memory() -> Self {
        Self::Memory(MemoryEngine::new())
    }

    pub fn sled() -> Self {
        Self::Sled(TempDir::new().expect("a directory"))
    }

    /// Opens the store, which commits on the caller's task: no thread races the paused clock.
    pub fn open(&self, now: Time) -> Store {
        match self {
            Self::Memory(engine) => Store::in_memory(engine.clone()),
            Self::Sled(state) => {
                let options = OpenOptions {
                    commits: Commits::OnCaller,
                    ..OpenOptions::daemon(state.path(), now)
                };
                let (store, report) = open_when_free(&options);
                assert_eq!(report.quarantined, [], "nothing was damaged");
                store
            }
        }
    }

    /// What a crash leaves, while the store is still open: of what was not synced, `seed` says what
    /// survives in memory; of the real thing it is what `kill -9` would leave.
    pub fn crash(&mut self, seed: u64) {
        match self {
            Self::Memory(engine) => *engine = engine.crash_with_seed(seed),
            Self::Sled(state) => {
                let left = TempDir::new().expect("a directory");
                copy_all(state.path(), left.path());
                *state = left;
            }
        }
    }

    /// Rows written so far, where they are counted.
    pub fn rows_written(&self) -> Option<u64> {
        match self {
            Self::Memory(engine) => Some(engine.rows_written()),
            Self::Sled(_) => None,
        }
    }
}

/// What a stopped node had a blocking thread do may still hold the database for a moment, as at the
/// daemon's own start.
fn open_when_free(options: &OpenOptions) -> (Store, OpenReport) {
    let began = Instant::now();
    loop {
        match Store::open(options) {
            Err(OpenError::Locked { .. }) if began.elapsed() < PATIENCE => std::thread::yield_now(),
            opened => return opened.expect("it opens"),
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (kind, to) = (entry.file_type().expect("a kind"), to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&to).expect("a directory");
            copy_all(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), &to).expect("a copy");
        }
    }
}
