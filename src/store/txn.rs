//! One transaction: typed reads and writes over the committed state and the group's earlier
//! transactions.
//!
//! Writes go into an overlay of raw rows; nothing reaches the engine before the whole group does.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

use super::Revision;
use super::engine::{EngineError, RawRow, RawRows};
use super::error::StoreError;
use super::frame::{self, Body, MAX_RECORD_BYTES};
use super::reads::Reads;
use super::record::{Record, row_key};
use super::rows::{self, Rows, Source};
use super::scan::{KeyRange, Scan};

/// The longest encoded key, in bytes.
const MAX_KEY_BYTES: usize = 8 * 1024;

/// Raw rows written but not yet applied; `None` is a delete.
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A running transaction. It sees its own writes and those of earlier transactions of the same
/// group, which are not durable yet; what it returns is acknowledged only once they are.
pub struct Txn<'a> {
    view: View<'a>,
    revision: Revision,
}

impl std::fmt::Debug for Txn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Txn").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// The engine below, the group's overlay over it, the transaction's own on top.
pub(super) struct View<'a> {
    engine: &'a Reads<'a>,
    group: &'a Overlay,
    own: Overlay,
}

impl<'a> Txn<'a> {
    pub(super) fn new(engine: &'a Reads<'a>, group: &'a Overlay, revision: Revision) -> Self {
        Self { view: View { engine, group, own: Overlay::new() }, revision }
    }

    /// The revision this transaction gets if it changes anything.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The row with this key.
    pub fn get<T: Record>(&self, key: &T::Key) -> Result<Option<T>, StoreError> {
        rows::read(&self.view, &row_key::<T>(key))
    }

    /// Whether a row with this key exists; does not decode it.
    pub fn contains<T: Record>(&self, key: &T::Key) -> Result<bool, StoreError> {
        Ok(self.view.raw_get(&row_key::<T>(key))?.is_some())
    }

    /// The rows of a range, this transaction's own writes included.
    pub fn scan<T: Record>(&self, scan: &Scan) -> Rows<'_, T> {
        let raw: RawRows<'_> = match scan.bounds(T::TABLE.prefix) {
            Some((from, to)) => Box::new(self.view.range(from, to, scan.is_reverse())),
            None => Box::new(std::iter::empty()),
        };
        Rows::new(raw, &self.view)
    }

    /// Writes a row. Writing what is stored already changes nothing and makes no revision.
    pub fn put<T: Record>(&mut self, record: &T) -> Result<(), StoreError> {
        let key = row_key::<T>(&record.key());
        if key.len() > MAX_KEY_BYTES {
            return Err(StoreError::KeyTooLong { table: T::TABLE.name, bytes: key.len() });
        }
        let mut draft = frame::Draft::new();
        rmp_serde::encode::write_named(draft.writer(), record).map_err(|error| {
            StoreError::Unencodable { table: T::TABLE.name, why: error.to_string() }
        })?;
        if draft.len() > MAX_RECORD_BYTES {
            return Err(StoreError::TooLarge { table: T::TABLE.name, bytes: draft.len() });
        }
        self.view.drop_pieces(&key)?;
        let own = &mut self.view.own;
        draft.rows(key, T::TABLE.schema, |key, value| _ = own.insert(key, Some(value)));
        Ok(())
    }

    /// Deletes a row; deleting what is not there changes nothing.
    pub fn delete<T: Record>(&mut self, key: &T::Key) -> Result<(), StoreError> {
        let key = row_key::<T>(key);
        self.view.drop_pieces(&key)?;
        self.view.own.insert(key, None);
        Ok(())
    }

    /// What the transaction wrote.
    pub(super) fn into_writes(self) -> Overlay {
        self.view.own
    }
}

impl View<'_> {
    /// Deletes the pieces of the record that is about to be replaced. A head that does not decode
    /// is simply overwritten; the scrub finds what it leaves behind.
    fn drop_pieces(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let Some(old) = self.raw_get(key)? else { return Ok(()) };
        if let Ok(frame::Frame { body: Body::Chunked(index), .. }) = frame::decode(key, &old) {
            for piece in index.piece_keys(key) {
                self.own.insert(piece, None);
            }
        }
        Ok(())
    }

    fn range(
        &self,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
        reverse: bool,
    ) -> impl Iterator<Item = Result<RawRow, EngineError>> {
        let range = (from.clone(), to.clone());
        let below =
            self.engine.engine().range(from, to, reverse).map(|row| row.map(|(k, v)| (k, Some(v))));
        let group = layer(self.group, range.clone(), reverse);
        let own = layer(&self.own, range, reverse);
        Merge::new(Merge::new(below, group, reverse), own, reverse).filter_map(|row| match row {
            Ok((key, Some(value))) => Some(Ok((key, value))),
            Ok((_, None)) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

impl Source for View<'_> {
    fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        if let Some(value) = self.own.get(key).or_else(|| self.group.get(key)) {
            return Ok(value.clone());
        }
        self.engine.get(key)
    }
}

type Layered = Result<(Vec<u8>, Option<Vec<u8>>), EngineError>;

fn layer(
    overlay: &Overlay,
    range: KeyRange,
    reverse: bool,
) -> Box<dyn Iterator<Item = Layered> + '_> {
    let rows = overlay.range(range).map(|(key, value)| Ok((key.clone(), value.clone())));
    if reverse { Box::new(rows.rev()) } else { Box::new(rows) }
}

/// Two ordered streams as one; where both have a key, the upper one's value counts.
struct Merge<L: Iterator, U: Iterator> {
    lower: Peekable<L>,
    upper: Peekable<U>,
    reverse: bool,
}

impl<L: Iterator<Item = Layered>, U: Iterator<Item = Layered>> Merge<L, U> {
    fn new(lower: L, upper: U, reverse: bool) -> Self {
        Self { lower: lower.peekable(), upper: upper.peekable(), reverse }
    }
}

impl<L: Iterator<Item = Layered>, U: Iterator<Item = Layered>> Iterator for Merge<L, U> {
    type Item = Layered;

    fn next(&mut self) -> Option<Layered> {
        let (Some(Ok((low, _))), Some(Ok((up, _)))) = (self.lower.peek(), self.upper.peek()) else {
            // One side is at its end or failed: errors first, then whatever is left.
            return match (self.lower.peek(), self.upper.peek()) {
                (Some(Err(_)), _) | (Some(_), None) => self.lower.next(),
                _ => self.upper.next(),
            };
        };
        let order = if self.reverse { up.cmp(low) } else { low.cmp(up) };
        match order {
            std::cmp::Ordering::Less => self.lower.next(),
            std::cmp::Ordering::Greater => self.upper.next(),
            std::cmp::Ordering::Equal => {
                self.lower.next();
                self.upper.next()
            }
        }
    }
}

#[cfg(test)]
mod tests;
