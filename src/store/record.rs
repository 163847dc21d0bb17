//! A typed row: where it lives, how it is keyed, which shape its value has.

use serde::{Serialize, de::DeserializeOwned};

use super::key::RecordKey;

/// Prefixes below this one are the store's own: meta row, change log, chunks.
pub(super) const FIRST_USER_PREFIX: u8 = 0x10;
/// The one row with the store's id, revision and row digest.
pub(super) const META_PREFIX: u8 = 0x00;
/// Change rows, keyed by revision.
pub(super) const CHANGE_PREFIX: u8 = 0x01;
/// Pieces of records larger than one row may be.
pub(super) const CHUNK_PREFIX: u8 = 0x02;

/// A family of rows that share a key prefix and a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// First byte of every key; unique, and at least 0x10.
    pub prefix: u8,
    /// For messages.
    pub name: &'static str,
    /// Version of the value's shape. A row of a higher version is refused, a lower one is decoded
    /// by the current shape: additions need defaults.
    pub schema: u16,
}

impl Table {
    /// Declares a table; a prefix below 0x10 does not compile when used in a `const`.
    pub const fn new(prefix: u8, name: &'static str, schema: u16) -> Self {
        assert!(prefix >= FIRST_USER_PREFIX, "prefixes below 0x10 belong to the store");
        Self { prefix, name, schema }
    }
}

/// A value that is stored as one row (in several pieces if large; users do not notice).
pub trait Record: Serialize + DeserializeOwned + Send + 'static {
    /// Where rows of this type live.
    const TABLE: Table;
    /// The key within the table.
    type Key: RecordKey;
    /// The key of this row.
    fn key(&self) -> Self::Key;
}

/// The full key of a row: table prefix, then the encoded key.
pub(super) fn row_key<T: Record>(key: &T::Key) -> Vec<u8> {
    let mut writer = super::KeyWriter::new();
    writer.u8(T::TABLE.prefix);
    key.encode(&mut writer);
    writer.finish()
}
