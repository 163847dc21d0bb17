//! Taking a backup of a store that is in use.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Bound;
use std::sync::Arc;

use futures::FutureExt;

use super::format::{BackupHeader, Row, Writer};
use crate::store::Revision;
use crate::store::engine::{Engine, EngineError};
use crate::store::error::{StoreError, WriteError};
use crate::store::frame::{self, Body, FrameError};
use crate::store::handle::Store;
use crate::store::meta::{Meta, MetaError, RowDelta};
use crate::store::record::FIRST_USER_PREFIX;
use crate::store::watch::{Change, Changes, Watch};

/// Rows between two looks at what has changed: far fewer than the log of changes remembers.
const PAGE_ROWS: usize = 256;
/// Changed rows that are read on the writer, where everybody else waits.
const LAST_ROWS: usize = 1024;
/// How often the last rows are tried before the store is called too busy.
const ATTEMPTS: usize = 100;
/// How often a row is read again when a writer replaces its pieces underneath.
const ROW_ATTEMPTS: usize = 8;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nobody takes what is written.
    #[error("the backup cannot be written")]
    Write(#[from] io::Error),
    /// The store does not answer.
    #[error("the store cannot be read: {0}")]
    Store(String),
    /// A row is not what was written.
    #[error("row {row} of the store is damaged: {why}; restart routerd, which looks after it")]
    Damaged {
        /// Its key, as hex digits.
        row: String,
        /// What is wrong with it.
        why: FrameError,
    },
    /// The store changes faster than it can be copied.
    #[error("the store changes faster than it is copied; try again, or write to a faster disk")]
    Overtaken,
}

impl From<EngineError> for BackupError {
    fn from(error: EngineError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<MetaError> for BackupError {
    fn from(error: MetaError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<WriteError<Self>> for BackupError {
    fn from(error: WriteError<Self>) -> Self {
        match error {
            WriteError::Rejected(error) => error,
            WriteError::Store(error) => Self::Store(error.to_string()),
            WriteError::Panicked(why) => Self::Store(why),
        }
    }
}

impl Store {
    /// Writes every row to `out`, as of the revision that it returns. Other readers and writers go
    /// on meanwhile, but for the moment in which the last changes are read. If it fails, `out` says
    /// why to whoever reads it. Blocking.
    pub fn backup(
        &self,
        now: jiff::Timestamp,
        out: &mut dyn Write,
    ) -> Result<Revision, BackupError> {
        let schema = Meta::load(&**self.engine())?.map_or(0, |meta| meta.schema);
        let header = BackupHeader {
            store_id: self.id(),
            schema,
            made_at: now,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut writer = Writer::begin(out, &header)?;
        match self.copy(&mut writer) {
            Ok((revision, rows)) => {
                writer.end(revision, rows)?;
                Ok(revision)
            }
            Err(error) => {
                let why = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
                // Whoever does not take the rows does not take this either.
                _ = writer.give_up(&why);
                Err(error)
            }
        }
    }

    fn copy(&self, writer: &mut Writer<'_>) -> Result<(Revision, RowDelta), BackupError> {
        let mut watch = self.watch(self.head());
        let engine = self.engine();
        let mut from = Bound::Included(vec![FIRST_USER_PREFIX]);
        loop {
            let page = engine.range(from, Bound::Unbounded, false).take(PAGE_ROWS);
            let page = page.collect::<Result<Vec<_>, _>>()?;
            for (key, value) in &page {
                writer.row(&whole(&**engine, key, Some(value.clone()))?)?;
            }
            let last = page.last().map(|(key, _)| key.clone());
            let copied = last.as_deref().filter(|_| page.len() == PAGE_ROWS);
            while let Some(rows) = changed(&**engine, &mut watch, copied)? {
                rows.iter().try_for_each(|row| writer.row(row))?;
            }
            match last {
                Some(last) if page.len() == PAGE_ROWS => from = Bound::Excluded(last),
                _ => break,
            }
        }
        self.settle(watch, writer)
    }

    /// Copies what has changed until, on the writer, nothing more has: between two groups the
    /// engine is the store at its head.
    fn settle(
        &self,
        mut watch: Watch,
        writer: &mut Writer<'_>,
    ) -> Result<(Revision, RowDelta), BackupError> {
        for _ in 0..ATTEMPTS {
            let engine = Arc::clone(self.engine());
            let last = self.write_blocking(move |_| {
                let mut rows = Vec::new();
                let settled = loop {
                    match changed(&*engine, &mut watch, None)? {
                        None => break true,
                        Some(more) => rows.extend(more),
                    }
                    if rows.len() > LAST_ROWS {
                        break false;
                    }
                };
                // A store in memory that nobody wrote to has no row of its own.
                let meta = settled.then(|| Meta::load(&*engine)).transpose()?;
                let meta = meta.map(|meta| meta.unwrap_or(Meta::new([0; 16], 0)));
                Ok::<_, BackupError>((watch, rows, meta))
            })?;
            let (seen, rows, meta) = last.value;
            watch = seen;
            rows.iter().try_for_each(|row| writer.row(row))?;
            if let Some(meta) = meta {
                return Ok((meta.revision, meta.rows));
            }
            while let Some(rows) = changed(&**self.engine(), &mut watch, None)? {
                rows.iter().try_for_each(|row| writer.row(row))?;
            }
        }
        Err(BackupError::Overtaken)
    }
}

/// The present rows of what has changed after the watch's cursor; `None` if nothing has. What comes
/// after `copied` is read anyway.
fn changed(
    engine: &dyn Engine,
    watch: &mut Watch,
    copied: Option<&[u8]>,
) -> Result<Option<Vec<Row>>, BackupError> {
    let changes = match watch.next().now_or_never() {
        None => return Ok(None),
        Some(Changes::Batch { keys, .. }) => keys,
        Some(Changes::Lagged { .. }) => return Err(BackupError::Overtaken),
        Some(Changes::Closed) => return Err(BackupError::Store(StoreError::Closed.to_string())),
    };
    let full = |change: Change| [&[change.table], &change.key[..]].concat();
    let keys: BTreeSet<Vec<u8>> = changes.into_iter().map(full).collect();
    let due = keys.into_iter().filter(|key| copied.is_none_or(|copied| &key[..] <= copied));
    due.map(|key| whole(engine, &key, engine.get(&key)?)).collect::<Result<_, _>>().map(Some)
}

/// A record with its pieces put together, and without its frame.
fn whole(engine: &dyn Engine, key: &[u8], mut value: Option<Vec<u8>>) -> Result<Row, BackupError> {
    let damaged = |why| BackupError::Damaged { row: hex::encode(key), why };
    for _ in 0..ROW_ATTEMPTS {
        let Some(bytes) = value else { return Ok(Row::Delete { key: key.to_vec() }) };
        let frame = frame::decode(key, &bytes).map_err(damaged)?;
        let schema = frame.schema;
        let index = match frame.body {
            Body::Whole(payload) => {
                return Ok(Row::Put { key: key.to_vec(), schema, payload: payload.to_vec() });
            }
            Body::Chunked(index) => index,
        };
        match index.assemble(key, |piece| engine.get(piece).map_err(Trouble::from)) {
            Ok(payload) => return Ok(Row::Put { key: key.to_vec(), schema, payload }),
            Err(Trouble::Engine(error)) => return Err(error.into()),
            Err(Trouble::Frame(why)) => {
                let now = engine.get(key)?;
                if now.as_ref() == Some(&bytes) {
                    return Err(damaged(why));
                }
                value = now;
            }
        }
    }
    Err(BackupError::Overtaken)
}

enum Trouble {
    Engine(EngineError),
    Frame(FrameError),
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<FrameError> for Trouble {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}
