//! From stored bytes to typed rows: checks the frame, gathers pieces, decodes.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::engine::{Engine, EngineError, RawRows};
use super::error::StoreError;
use super::frame::{self, Body, FrameError};
use super::record::Record;

/// How often a record is read again when a writer replaces its pieces underneath.
const ATTEMPTS: usize = 8;

/// Where raw rows come from: the engine, or a transaction's view of it.
pub(super) trait Source {
    fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;
}

impl Source for Arc<dyn Engine> {
    fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.get(key)
    }
}

/// An iterator over the rows of one table. Between two rows it holds no lock; see
/// [`Store::scan`](super::Store::scan) for what it promises. `V` is what is read of each row: all of
/// it, or some of its fields.
pub struct Rows<'a, T, V = T> {
    raw: RawRows<'a>,
    source: &'a dyn Source,
    record: PhantomData<fn() -> (T, V)>,
}

impl<T, V> std::fmt::Debug for Rows<'_, T, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

impl<'a, T: Record, V: DeserializeOwned> Rows<'a, T, V> {
    pub(super) fn new(raw: RawRows<'a>, source: &'a dyn Source) -> Self {
        Self { raw, source, record: PhantomData }
    }
}

impl<T: Record, V: DeserializeOwned> Iterator for Rows<'_, T, V> {
    type Item = Result<V, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = match self.raw.next()? {
                Ok((key, value)) => decode_row::<T, V>(self.source, &key, value),
                Err(error) => Err(error.into()),
            };
            if let Some(row) = row.transpose() {
                return Some(row);
            }
        }
    }
}

/// Reads the row under a full key.
pub(super) fn read<T: Record>(source: &dyn Source, key: &[u8]) -> Result<Option<T>, StoreError> {
    match source.raw_get(key)? {
        Some(value) => decode_row::<T, T>(source, key, value),
        None => Ok(None),
    }
}

/// Decodes a row; `None` when it was deleted while its pieces were read.
fn decode_row<T: Record, V: DeserializeOwned>(
    source: &dyn Source,
    key: &[u8],
    mut value: Vec<u8>,
) -> Result<Option<V>, StoreError> {
    for _ in 0..ATTEMPTS {
        let frame = frame::decode(key, &value).map_err(|why| damaged::<T>(why))?;
        if frame.schema > T::TABLE.schema {
            return Err(StoreError::NewerSchema {
                table: T::TABLE.name,
                found: frame.schema,
                known: T::TABLE.schema,
            });
        }
        let index = match frame.body {
            Body::Whole(payload) => return decode_payload::<T, V>(payload).map(Some),
            Body::Chunked(index) => index,
        };
        match index.assemble(key, |piece| source.raw_get(piece).map_err(PieceError::from)) {
            Ok(payload) => return decode_payload::<T, V>(&payload).map(Some),
            Err(PieceError::Engine(error)) => return Err(error.into()),
            Err(PieceError::Frame(why)) => match source.raw_get(key)? {
                None => return Ok(None),
                Some(now) if now == value => return Err(damaged::<T>(why)),
                Some(now) => value = now,
            },
        }
    }
    Err(StoreError::Contended { table: T::TABLE.name })
}

fn damaged<T: Record>(why: FrameError) -> StoreError {
    StoreError::DamagedRow { table: T::TABLE.name, why: why.to_string() }
}

fn decode_payload<T: Record, V: DeserializeOwned>(payload: &[u8]) -> Result<V, StoreError> {
    rmp_serde::from_slice(payload)
        .map_err(|error| StoreError::Undecodable { table: T::TABLE.name, why: error.to_string() })
}

enum PieceError {
    Engine(EngineError),
    Frame(FrameError),
}

impl From<EngineError> for PieceError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<FrameError> for PieceError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}
