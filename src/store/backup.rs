//! Backups: every row of the store in one file, as of one revision, and a store made of it.
//!
//! [`Store::backup`](super::Store::backup) copies the rows while the store is in use and then what
//! changed meanwhile, the last of it on the writer, so that the file is the store at one revision.
//! It holds no more than a page of rows itself. [`restore`] reads the file to its end before it
//! touches anything, makes a store of it, and checks that its rows add up to what the backed up store
//! counted. The store it makes has a new id: peers key what they delivered on the id, and send again
//! what this store has lost.

mod format;
mod restore;
mod take;

pub use format::{BackupHeader, BackupSummary, BadBackup, verify};
pub use restore::{RestoreError, Restored, restore};
pub use take::BackupError;

#[cfg(test)]
mod tests;
