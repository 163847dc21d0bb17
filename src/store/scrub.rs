//! Checking every stored row, a slice at a time, while the store is in use.
//!
//! Slices run on the writer, between groups, so nothing changes during one. What is written behind
//! the cursor between two slices is counted in by [`Scrub::adjust`]; at the end the rows seen must
//! add up to the digest in the store's own row.

use std::ops::Bound;

use super::engine::Engine;
use super::frame;
use super::meta::{Meta, RowDelta};
use super::record::CHUNK_PREFIX;

/// Rows per slice: well under a millisecond from the cache.
const SLICE_ROWS: usize = 256;

/// The state of one pass.
pub(super) struct Scrub {
    /// The last key checked.
    cursor: Option<Vec<u8>>,
    seen: RowDelta,
    checked: u64,
}

/// The outcome of one slice.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slice {
    More,
    Clean,
    Damaged(String),
}

impl Scrub {
    pub(super) fn new() -> Self {
        Self { cursor: None, seen: RowDelta::default(), checked: 0 }
    }

    /// Rows checked so far.
    pub(super) fn checked(&self) -> u64 {
        self.checked
    }

    /// Whether the pass is beyond this key, so that a change to it must be counted in.
    pub(super) fn has_passed(&self, key: &[u8]) -> bool {
        self.cursor.as_deref().is_some_and(|cursor| key <= cursor)
    }

    /// Counts in what a durable group changed behind the cursor.
    pub(super) fn adjust(&mut self, passed: RowDelta) {
        self.seen.add(passed);
    }

    /// Checks the next rows.
    pub(super) fn slice(&mut self, engine: &dyn Engine, meta: &Meta) -> Slice {
        let from = match self.cursor.take() {
            Some(key) => Bound::Excluded(key),
            None => Bound::Included(vec![CHUNK_PREFIX]),
        };
        let mut rows = 0;
        let mut last = None;
        for row in engine.range(from.clone(), Bound::Unbounded, false).take(SLICE_ROWS) {
            let (key, value) = match row {
                Ok(row) => row,
                Err(error) => return Slice::Damaged(error.to_string()),
            };
            if let Err(error) = frame::decode(&key, &value) {
                return Slice::Damaged(format!("row {}: {error}", hex::encode(&key)));
            }
            self.seen.insert(&key, &value);
            rows += 1;
            last = Some(key);
        }
        self.checked += rows as u64;
        if rows == SLICE_ROWS {
            self.cursor = last;
            return Slice::More;
        }
        if self.seen == meta.rows {
            return Slice::Clean;
        }
        Slice::Damaged(format!(
            "{} rows found, {} written; or the same number with other contents",
            self.seen.count, meta.rows.count
        ))
    }
}

#[cfg(test)]
mod tests;
