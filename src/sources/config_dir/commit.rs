//! The accepted set in the store: read at the start, written after each decision.

use std::collections::BTreeMap;

use crate::api::accepted::Accepted;
use crate::api::object::ObjectKey;
use crate::api::value::Value;
use crate::sources::acceptance::AcceptedSet;
use crate::store::tables::Single;
use crate::store::{Revision, Scan, Store, StoreError, Txn, WriteError};

/// The [`Single`] that remembers which directories the configured paths were.
const ROOTS: &str = "config.roots";
/// Objects in one transaction.
const CHUNK_OBJECTS: usize = 2_000;
/// Bytes in one transaction, roughly.
const CHUNK_BYTES: usize = 8 << 20;

/// Reads the accepted set. A damaged row is skipped and logged: its object is accepted anew from
/// its file, which is worth more than a daemon that does not start.
pub(super) fn load(store: &Store) -> Result<AcceptedSet, StoreError> {
    let mut set = AcceptedSet::default();
    for row in store.scan::<Accepted>(&Scan::all()) {
        match row {
            Ok(object) => {
                set.objects.insert(object.key().clone(), object);
            }
            Err(error @ (StoreError::DamagedRow { .. } | StoreError::Undecodable { .. })) => {
                tracing::error!(%error, "an accepted object is lost and is accepted anew");
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(single) = store.get::<Single>(&ROOTS.to_owned())? {
        // Unreadable means unknown: an empty directory is then not believed, which is safe.
        set.roots = serde_json::from_str(&single.value).unwrap_or_default();
    }
    Ok(set)
}

/// Writes a decision and takes over what was written; in one transaction unless it is huge. After
/// an error, `set` holds what is durable.
pub(super) async fn write(
    store: &Store,
    set: &mut AcceptedSet,
    upserts: Vec<Accepted>,
    deletes: Vec<ObjectKey>,
    roots: Option<BTreeMap<String, String>>,
) -> Result<Revision, StoreError> {
    let mut revision = store.head();
    for chunk in chunks(upserts, deletes, roots) {
        let bytes = chunk.bytes;
        let written = store.write_sized(bytes, move |txn| {
            chunk.put(txn)?;
            Ok(chunk)
        });
        let committed = written.await.map_err(reason)?;
        revision = committed.revision;
        let Chunk { upserts, deletes, roots, .. } = committed.value;
        set.apply(upserts, &deletes);
        if let Some(roots) = roots {
            set.roots = roots;
        }
    }
    Ok(revision)
}

fn reason(error: WriteError<StoreError>) -> StoreError {
    match error {
        WriteError::Rejected(error) | WriteError::Store(error) => error,
        WriteError::Panicked(why) => StoreError::Failed(why),
    }
}

/// What goes into one transaction.
#[derive(Default)]
struct Chunk {
    upserts: Vec<Accepted>,
    deletes: Vec<ObjectKey>,
    roots: Option<BTreeMap<String, String>>,
    bytes: usize,
}

impl Chunk {
    fn put(&self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        for object in &self.upserts {
            txn.put(object)?;
        }
        for key in &self.deletes {
            txn.delete::<Accepted>(key)?;
        }
        if let Some(roots) = &self.roots {
            let value = serde_json::to_string(roots).map_err(|error| StoreError::Unencodable {
                table: "singles",
                why: error.to_string(),
            })?;
            txn.put(&Single { name: ROOTS.to_owned(), value })?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.upserts.len() + self.deletes.len() >= CHUNK_OBJECTS || self.bytes >= CHUNK_BYTES
    }
}

/// What is new comes first: a crash in between leaves too much rather than too little. The
/// directories come last: only what was accepted from them makes them known.
fn chunks(
    upserts: Vec<Accepted>,
    deletes: Vec<ObjectKey>,
    roots: Option<BTreeMap<String, String>>,
) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut chunk = Chunk::default();
    for object in upserts {
        chunk.bytes += weight(&object.resource.body);
        chunk.upserts.push(object);
        if chunk.is_full() {
            chunks.push(std::mem::take(&mut chunk));
        }
    }
    for key in deletes {
        chunk.deletes.push(key);
        if chunk.is_full() {
            chunks.push(std::mem::take(&mut chunk));
        }
    }
    chunk.roots = roots;
    if chunk.roots.is_some() || !chunk.upserts.is_empty() || !chunk.deletes.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

/// About the bytes that a value takes in the store.
fn weight(value: &Value) -> usize {
    match value {
        Value::Scalar(scalar) => scalar.text().len() + 4,
        Value::Seq(items) => items.iter().map(weight).sum::<usize>() + 4,
        Value::Map(map) => {
            map.iter().map(|(key, value)| key.len() + 4 + weight(value)).sum::<usize>() + 4
        }
    }
}
