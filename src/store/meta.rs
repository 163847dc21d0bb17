//! The one row the store keeps about itself: identity, revision, and a digest of all other rows.
//!
//! The digest is a sum over the rows, so that each transaction can carry it forward. It finds what
//! a checksum per row cannot: rows that are gone. (A zeroed page in the middle of sled's file can
//! make the rows of that page vanish without an error.)

use super::Revision;
use super::engine::{Engine, EngineError};
use super::frame::{self, Body, FrameError};
use super::key::KeyReader;
use super::record::META_PREFIX;

const META_KEY: &[u8] = &[META_PREFIX];
/// The version of the layout of the store's own rows.
pub(super) const FORMAT: u16 = 1;

/// The store's own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// Random, made when the store is created.
    pub id: [u8; 16],
    /// The version of the data, as the program understood it that last opened the store.
    pub schema: u16,
    pub revision: Revision,
    /// Rows and pieces of rows, the store's own rows not counted.
    pub rows: RowDelta,
}

/// A count and a digest of rows, or the difference between two such.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowDelta {
    pub count: u64,
    pub digest: u64,
}

/// Why the store's own row cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum MetaError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the store's own row is damaged: {0}")]
    Damaged(#[from] FrameError),
    #[error("the store has format {found}, newer than the {FORMAT} this program knows")]
    Newer { found: u16 },
}

impl Meta {
    /// A store without rows.
    pub(super) fn new(id: [u8; 16], schema: u16) -> Self {
        Self { id, schema, revision: 0, rows: RowDelta::default() }
    }

    /// Reads the row; `None` if there is none.
    pub(super) fn load(engine: &dyn Engine) -> Result<Option<Self>, MetaError> {
        let Some(value) = engine.get(META_KEY)? else { return Ok(None) };
        let frame = frame::decode(META_KEY, &value)?;
        if frame.schema > FORMAT {
            return Err(MetaError::Newer { found: frame.schema });
        }
        let Body::Whole(payload) = frame.body else { return Err(FrameError::NotAFrame.into()) };
        let mut reader = KeyReader::new(payload);
        let mut read = || {
            let id = reader.fixed()?;
            let schema = u16::from_be_bytes(reader.fixed()?);
            let revision = reader.u64()?;
            let rows = RowDelta { count: reader.u64()?, digest: reader.u64()? };
            Ok::<_, super::KeyError>(Self { id, schema, revision, rows })
        };
        read().map(Some).map_err(|_| FrameError::NotAFrame.into())
    }

    pub(super) fn to_row(self) -> (Vec<u8>, Vec<u8>) {
        let mut writer = super::KeyWriter::new();
        writer.fixed(&self.id).fixed(&self.schema.to_be_bytes()).u64(self.revision);
        writer.u64(self.rows.count).u64(self.rows.digest);
        frame::encode(META_KEY, FORMAT, &writer.finish()).swap_remove(0)
    }

    /// The row after a group.
    #[must_use]
    pub(super) fn after(mut self, transactions: u64, rows: RowDelta) -> Self {
        self.revision += transactions;
        self.rows.add(rows);
        self
    }
}

impl RowDelta {
    /// Counts one row in.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.digest = self.digest.wrapping_add(row_digest(key, value));
    }

    /// Counts the change of one row.
    pub(super) fn replace(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if let Some(old) = old {
            self.count = self.count.wrapping_sub(1);
            self.digest = self.digest.wrapping_sub(row_digest(key, old));
        }
        if let Some(new) = new {
            self.insert(key, new);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// A number for a row from its key and the checksum in its frame; the frame guards the rest.
fn row_digest(key: &[u8], value: &[u8]) -> u64 {
    let seed = (u64::from(crc32c::crc32c(key)) << 32) | u64::from(frame::stored_checksum(value));
    // The finalizer of MurmurHash3: without it sums of checksums cancel too easily.
    let mut z = seed;
    z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}
