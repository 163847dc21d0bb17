//! Why the store did not do what was asked of it.

use super::engine::EngineError;

/// Why a write had no effect.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure refused; nothing of it was written.
    #[error("the transaction was refused")]
    Rejected(E),
    /// The closure panicked; nothing of it was written and other transactions are unharmed.
    #[error("the transaction panicked: {0}")]
    Panicked(String),
    /// The store could not do it. After [`StoreError::Failed`] it is unknown whether the write
    /// took effect; after any other it did not.
    #[error("the write failed")]
    Store(#[source] StoreError),
}

/// Why the store could not read or write.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Not enough room; nothing was written, and a later write may succeed.
    #[error("disk full: {available} bytes free, writes need {reserve} in reserve")]
    DiskFull {
        /// Bytes free on the state directory's file system.
        available: u64,
        /// Bytes that must be free.
        reserve: u64,
    },
    /// Writing failed earlier or now; the process must be restarted.
    #[error("the store takes no more writes: {0}")]
    Failed(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The engine failed to read.
    #[error("the store failed to read")]
    Read(#[source] EngineError),
    /// A stored row does not match its checksum or misses a piece.
    #[error("a stored row of table {table} is damaged: {why}")]
    DamagedRow {
        /// The table's name.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A row was written by a newer program.
    #[error(
        "a stored row of table {table} has schema {found}, newer than the {known} this program knows"
    )]
    NewerSchema {
        /// The table's name.
        table: &'static str,
        /// The stored version.
        found: u16,
        /// The newest version this program reads.
        known: u16,
    },
    /// An intact row does not have the shape the program expects.
    #[error("a stored row of table {table} does not decode: {why}")]
    Undecodable {
        /// The table's name.
        table: &'static str,
        /// The decoder's words.
        why: String,
    },
    /// A record does not serialize.
    #[error("a record of table {table} does not encode: {why}")]
    Unencodable {
        /// The table's name.
        table: &'static str,
        /// The encoder's words.
        why: String,
    },
    /// A record is larger than [`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES).
    #[error("a record of table {table} takes {bytes} bytes, more than 16 MiB")]
    TooLarge {
        /// The table's name.
        table: &'static str,
        /// Its encoded size.
        bytes: usize,
    },
    /// A key is longer than 8 KiB encoded.
    #[error("a key of table {table} takes {bytes} bytes, more than 8 KiB")]
    KeyTooLong {
        /// The table's name.
        table: &'static str,
        /// Its encoded size.
        bytes: usize,
    },
    /// A large record was replaced again and again while it was read.
    #[error("a row of table {table} changed too often while it was read")]
    Contended {
        /// The table's name.
        table: &'static str,
    },
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::DiskFull { available, reserve } => Self::DiskFull { available, reserve },
            error => Self::Read(error),
        }
    }
}
