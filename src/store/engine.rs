//! The bytes-level engine: an ordered map with atomic batches and an explicit sync.
//!
//! Two implementations: sled on disk and [`MemoryEngine`](super::MemoryEngine) for simulation.
//! Everything above (records, revisions, watches) is written once, against this trait.

use std::ops::Bound;

/// One stored row as the engine sees it: key and value bytes.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// Rows as they are read, one after the other.
pub type RawRows<'a> = Box<dyn Iterator<Item = Result<RawRow, EngineError>> + 'a>;

/// An ordered map of bytes to bytes that survives crashes up to its last [`sync`](Engine::sync).
pub trait Engine: Send + Sync + 'static {
    /// The value of `key`, as last applied (synced or not).
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// The rows between two keys in key order, or backwards. Holds no lock between two items and
    /// is no snapshot: rows applied while it runs may or may not appear.
    fn range(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>, reverse: bool) -> RawRows<'_>;

    /// Applies all of `batch` or nothing. [`EngineError::DiskFull`] means that nothing was touched
    /// and that a later try may succeed; after any other error the engine takes no more writes.
    fn apply(&self, batch: EngineBatch) -> Result<(), EngineError>;

    /// Makes everything applied so far durable; returns when it is.
    fn sync(&self) -> Result<(), EngineError>;

    /// Told the last durable revision after each sync, so that an engine on disk can record it
    /// outside the database and later prove a loss. Never fails: it is evidence, not data.
    fn note_durable(&self, _revision: super::Revision) {}

    /// What the engine knows to be wrong with itself although it still works, for health.
    fn defects(&self) -> Vec<String> {
        Vec::new()
    }

    /// Records that the database was found damaged, so that the next open does not trust it.
    fn note_damage(&self, _why: &str) {}
}

/// Puts (`Some`) and deletes (`None`) to apply together, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineBatch {
    /// Key and new value; `None` deletes.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl EngineBatch {
    /// Adds a put.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.rows.push((key, Some(value)));
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.rows.push((key, None));
    }

    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Why the engine could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// Refused before anything was touched; succeeds again when there is room.
    #[error(
        "disk full: {available} bytes free in the state directory, writes need {reserve} in reserve"
    )]
    DiskFull {
        /// Bytes free for this process on the file system of the state directory.
        available: u64,
        /// Bytes that must stay free for a write to be tried.
        reserve: u64,
    },
    /// Reading or writing failed.
    #[error("the database failed to {operation}: {message}")]
    Io {
        /// What was being done: `read`, `apply`, `sync`.
        operation: &'static str,
        /// The operating system's or the database's words.
        message: String,
    },
    /// The database's own structure is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}
