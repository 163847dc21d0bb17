//! The engine on disk. The only place that names sled; what it works around is explained in
//! `docs/adr/0001-sled-durability.md`.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::Revision;
use super::commit::panic_message;
use super::engine::{Engine, EngineBatch, EngineError, RawRows};
use super::identity::IdentityFile;
use super::slack::Slack;
use super::state_dir::StateDir;
use super::watchdog::Watchdog;

/// Nodes above a quarter of a segment go to files that sled never syncs. Values are at most 64 KiB
/// and nodes split before they hold a handful of those.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// Tells how many bytes are free where the database lies.
pub type FreeSpace = Arc<dyn Fn() -> std::io::Result<u64> + Send + Sync>;

/// sled, opened.
pub(super) struct SledEngine {
    tree: sled::Db,
    watchdog: Watchdog,
    blobs: PathBuf,
    /// When that directory was last changed and looked into.
    blobs_seen: Mutex<Option<SystemTime>>,
    room: Room,
    /// Absent until the open is complete.
    identity: Mutex<Option<IdentityFile>>,
    /// Last: the lock is released when the database is.
    _state: Arc<StateDir>,
}

/// Why sled did not open.
#[derive(Debug)]
pub(super) enum OpenFailure {
    /// The system refused, or sled says so: its words for some damage are the system's.
    Io(std::io::Error),
    /// What is there cannot be used.
    Damaged(String),
}

impl From<sled::Error> for OpenFailure {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// The free space that writes must leave.
pub(super) struct Room {
    pub free: FreeSpace,
    pub reserve: u64,
}

impl SledEngine {
    /// Opens or creates the database. Damage shows as an error, never as a panic.
    pub(super) fn open(state: Arc<StateDir>, cache: u64, room: Room) -> Result<Self, OpenFailure> {
        let directory = state.database();
        let config = sled::Config::new()
            .path(&directory)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(cache)
            .flush_every_ms(None)
            .mode(sled::Mode::LowSpace);
        let slack = Slack::give();
        let tree = catch_unwind(AssertUnwindSafe(|| config.open()))
            .unwrap_or_else(|panic| Err(sled::Error::ReportableBug(panic_message(&*panic))))?;
        drop(slack);
        let flushed = tree.clone();
        let flush = move || {
            let _slack = Slack::give();
            // The error is the stuck thread's to report.
            _ = flushed.flush();
        };
        let watchdog = Watchdog::start(flush).map_err(OpenFailure::Io)?;
        let blobs = directory.join("blobs");
        Ok(Self {
            tree,
            watchdog,
            blobs,
            blobs_seen: Mutex::default(),
            room,
            identity: Mutex::new(None),
            _state: state,
        })
    }

    /// From here on durable revisions and damage are noted there.
    pub(super) fn set_identity(&self, identity: IdentityFile) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
    }

    fn with_identity(&self, note: impl FnOnce(&mut IdentityFile) -> std::io::Result<()>) {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = identity.as_mut().map(note) {
            tracing::warn!(%error, "cannot update identity.json");
        }
    }

    /// Whether there is no row at all.
    pub(super) fn is_empty(&self) -> Result<bool, EngineError> {
        match self.range(Bound::Unbounded, Bound::Unbounded, false).next() {
            Some(row) => row.map(|_| false),
            None => Ok(true),
        }
    }

    /// Applies without looking at the room left: for the one small write of each open, which must
    /// not keep a full node from starting.
    pub(super) fn apply_unchecked(&self, batch: EngineBatch) -> Result<(), EngineError> {
        let mut sled_batch = sled::Batch::default();
        for (key, value) in batch.rows {
            match value {
                Some(value) => sled_batch.insert(key, value),
                None => sled_batch.remove(key),
            }
        }
        let _watched = self.watchdog.watch();
        let _slack = Slack::give();
        guarded("apply", || self.tree.apply_batch(sled_batch))
    }

    /// Refuses before sled is touched: after a failed write sled takes no more until it is
    /// reopened, so running into a full disk must not happen inside it.
    fn check_room(&self) -> Result<(), EngineError> {
        let reserve = self.room.reserve;
        match (self.room.free)() {
            Ok(available) if available < reserve => {
                Err(EngineError::DiskFull { available, reserve })
            }
            // Not knowing is no reason to refuse.
            _ => Ok(()),
        }
    }
}

/// Runs an operation of sled's; errors and panics become ours.
fn guarded<T>(
    operation: &'static str,
    run: impl FnOnce() -> Result<T, sled::Error>,
) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => {
            Err(EngineError::Io { operation, message: error.to_string() })
        }
        Ok(Err(error)) => Err(EngineError::Damaged(error.to_string())),
        Err(panic) => Err(EngineError::Damaged(panic_message(&*panic))),
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let value = guarded("read", || self.tree.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn range(
        &self,
        mut from: Bound<Vec<u8>>,
        mut to: Bound<Vec<u8>>,
        reverse: bool,
    ) -> RawRows<'_> {
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
            // A look-up for each row, which one walk could do without: sled notes that a page was used
            // when it is looked up, and only every 64th note about the same 256th of all pages makes it
            // keep to its cache. With one note a page, a scan leaves 16,000 pages beside the cache.
            let mut rows = self.tree.range::<&[u8], _>(bounds);
            let next = || if reverse { rows.next_back() } else { rows.next() }.transpose();
            match guarded("read", next) {
                Ok(Some((key, value))) => {
                    let edge = if reverse { &mut to } else { &mut from };
                    *edge = Bound::Excluded(key.to_vec());
                    Some(Ok((key.to_vec(), value.to_vec())))
                }
                Ok(None) => {
                    ended = true;
                    None
                }
                Err(error) => {
                    ended = true;
                    Some(Err(error))
                }
            }
        }))
    }

    fn apply(&self, batch: EngineBatch) -> Result<(), EngineError> {
        self.check_room()?;
        self.apply_unchecked(batch)
    }

    fn sync(&self) -> Result<(), EngineError> {
        let _watched = self.watchdog.watch();
        let _slack = Slack::give();
        guarded("sync", || self.tree.flush()).map(drop)
    }

    fn note_durable(&self, revision: Revision) {
        self.with_identity(|identity| identity.note_revision(revision));
    }

    fn note_damage(&self, why: &str) {
        self.with_identity(|identity| identity.note_damage(why));
    }

    fn defects(&self) -> Vec<String> {
        // Asked after each group: the directory is read only when something was put there.
        let changed = std::fs::metadata(&self.blobs).and_then(|found| found.modified()).ok();
        let mut seen = self.blobs_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == changed {
            return Vec::new();
        }
        let used = std::fs::read_dir(&self.blobs).is_ok_and(|mut files| files.next().is_some());
        *seen = changed;
        let defect = || {
            format!("{} is not empty: sled does not sync what it keeps there", self.blobs.display())
        };
        used.then(defect).into_iter().collect()
    }
}
