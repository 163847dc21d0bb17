//! The engine as one group of transactions reads it: each row once.
//!
//! A row that is looked up is mostly put next, and then asked for twice more: for the pieces that
//! the put replaces, and for what it really changes. Nothing but the writer changes the engine, and
//! not before the group is run, so what was read stays true as long as this lives.

use std::cell::RefCell;
use std::collections::HashMap;

use super::engine::{Engine, EngineError};

/// Bytes of keys and values that are remembered; what comes after is read again.
const REMEMBERED_BYTES: usize = 4 * 1024 * 1024;

/// The engine, and what was read of it.
pub(super) struct Reads<'a> {
    engine: &'a dyn Engine,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    rows: HashMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl<'a> Reads<'a> {
    /// For one group, which begins now.
    pub(super) fn new(engine: &'a dyn Engine) -> Self {
        Self { engine, seen: RefCell::default() }
    }

    /// The engine, for ranges.
    pub(super) fn engine(&self) -> &'a dyn Engine {
        self.engine
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        if let Some(value) = self.seen.borrow().rows.get(key) {
            return Ok(value.clone());
        }
        let value = self.engine.get(key)?;
        let mut seen = self.seen.borrow_mut();
        let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
        if seen.bytes + bytes <= REMEMBERED_BYTES {
            seen.bytes += bytes;
            seen.rows.insert(key.to_vec(), value.clone());
        }
        Ok(value)
    }
}
