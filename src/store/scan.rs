//! Which rows of a table to read, and in which direction.

use std::ops::Bound;

use super::key::{KeyWriter, RecordKey, prefix_end};

/// Engine keys, from and to.
pub(super) type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A range of one table. Built from [`all`](Scan::all), [`prefix`](Scan::prefix),
/// [`from`](Scan::from) or [`after`](Scan::after); ascending unless [`reverse`](Scan::reverse).
#[derive(Debug, Clone, Default)]
pub struct Scan {
    prefix: Vec<u8>,
    start: Option<(Vec<u8>, bool)>,
    end: Option<Vec<u8>>,
    reverse: bool,
}

impl Scan {
    /// Every row.
    pub fn all() -> Self {
        Self::default()
    }

    /// Rows whose key begins with these components, e.g. `Scan::prefix(&group)` on keys
    /// `(group, id)`.
    pub fn prefix(components: &impl RecordKey) -> Self {
        Self { prefix: components.to_bytes(), ..Self::default() }
    }

    /// Rows whose key begins with the components that `write` appends.
    pub fn prefix_with(write: impl FnOnce(&mut KeyWriter)) -> Self {
        let mut writer = KeyWriter::new();
        write(&mut writer);
        Self { prefix: writer.finish(), ..Self::default() }
    }

    /// Rows with this key or a later one.
    pub fn from(key: &impl RecordKey) -> Self {
        Self::all().and_from(key)
    }

    /// Rows with a later key: the next page after `key`.
    pub fn after(key: &impl RecordKey) -> Self {
        Self::all().and_after(key)
    }

    /// Leaves out the rows before `key`.
    #[must_use]
    pub fn and_from(mut self, key: &impl RecordKey) -> Self {
        self.start = Some((key.to_bytes(), true));
        self
    }

    /// Leaves out the rows up to and including `key`.
    #[must_use]
    pub fn and_after(mut self, key: &impl RecordKey) -> Self {
        self.start = Some((key.to_bytes(), false));
        self
    }

    /// Leaves out `key` and what follows it.
    #[must_use]
    pub fn until(mut self, key: &impl RecordKey) -> Self {
        self.end = Some(key.to_bytes());
        self
    }

    /// Reads from the last row to the first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    pub(super) fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// The range of engine keys in the table with this prefix byte; `None` when it is empty.
    pub(super) fn bounds(&self, table: u8) -> Option<KeyRange> {
        let under_table = |key: &[u8]| [&[table], key].concat();
        let lowest = under_table(&self.prefix);
        let mut from = lowest.clone();
        let mut inclusive = true;
        if let Some((start, with)) = &self.start {
            let start = under_table(start);
            if start >= from {
                (from, inclusive) = (start, *with);
            }
        }
        let mut to = prefix_end(&lowest);
        if let Some(end) = &self.end {
            let end = under_table(end);
            if to.as_ref().is_none_or(|to| end < *to) {
                to = Some(end);
            }
        }
        if to.as_ref().is_some_and(|to| from >= *to) {
            return None;
        }
        let from = if inclusive { Bound::Included(from) } else { Bound::Excluded(from) };
        Some((from, to.map_or(Bound::Unbounded, Bound::Excluded)))
    }
}
