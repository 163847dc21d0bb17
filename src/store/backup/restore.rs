//! Making a store of a backup, in a state directory that holds nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{BackupSummary, BadBackup, Reader, Row, verify};
use crate::store::engine::{Engine, EngineBatch, EngineError};
use crate::store::frame::{self, Body};
use crate::store::handle::Store;
use crate::store::identity::{self, Identity, IdentityFile};
use crate::store::meta::Meta;
use crate::store::open::OpenOptions;
use crate::store::open_error::OpenError;
use crate::store::record::FIRST_USER_PREFIX;
use crate::store::scrub::{Scrub, Slice};
use crate::store::sled_engine::{FreeSpace, OpenFailure, Room, SledEngine};
use crate::store::state_dir::{self, StateDir};

/// Bytes of rows that are written and synced together.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What may be there: the socket of a daemon that was killed, and what ext4 puts into the root of a
/// file system.
const NOTHING: [&str; 2] = ["control.sock", "lost+found"];

/// A store was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup held.
    pub backup: BackupSummary,
    /// The id of the new store.
    pub store_id: uuid::Uuid,
}

/// Why no store was made. The state directory holds none.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is not a whole backup.
    #[error("the backup cannot be used")]
    Backup(#[from] BadBackup),
    /// A store goes into an empty directory only.
    #[error("{} is not empty: there is {}", path.display(), found.display())]
    NotEmpty {
        /// The state directory.
        path: PathBuf,
        /// What is in it.
        found: PathBuf,
    },
    /// The state directory or the store in it cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Writing failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Every piece of the file is whole, and yet they are not the store that was backed up.
    #[error("the rows of the backup do not add up to the store that it is of: {0}")]
    NotTheStore(String),
}

/// Makes a store of the backup in `file`, in the state directory that `options` name: an empty or
/// absent one. The file is read to its end before anything is touched. Blocking.
pub fn restore(options: &OpenOptions, file: &mut File) -> Result<Restored, RestoreError> {
    verify(BufReader::new(&mut *file), options.schema)?;
    file.rewind().map_err(BadBackup::from)?;
    let path = &options.state;
    let absent = !path.exists();
    let state = Arc::new(StateDir::lock(path, true)?);
    let unusable = |error| OpenError::from_io(path, error);
    if identity::read(path).map_err(unusable)?.is_some_and(|identity| identity.restoring) {
        // What an interrupted restore left.
        clear(&state).map_err(unusable)?;
    }
    // One that was absent is ours to take away again, an empty one is not.
    if let Some(found) = occupant(path).map_err(|error| OpenError::from_io(path, error))? {
        return Err(RestoreError::NotEmpty { path: path.clone(), found });
    }
    let made = fill(options, &state, file);
    if made.is_err() {
        // As far as that goes: what is left says of itself what it is.
        _ = clear(&state);
        if absent {
            _ = std::fs::remove_dir(path);
        }
    }
    drop(state);
    let restored = made?;
    // Opened once as everybody opens it: what is said to be restored has passed every check.
    let check = OpenOptions { create: false, quarantine: false, scrub: false, ..options.clone() };
    drop(Store::open(&check)?);
    Ok(restored)
}

/// Takes away what is there of a store that was not finished: the mark that says so goes last.
fn clear(state: &StateDir) -> io::Result<()> {
    let [database, identity] = state.database_files();
    for removed in [std::fs::remove_dir_all(database), std::fs::remove_file(identity)] {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(state.path())?.sync_all()
}

/// What is in the directory and not to be there.
fn occupant(path: &Path) -> io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        if !NOTHING.iter().any(|harmless| name == *harmless) {
            return Ok(Some(PathBuf::from(name)));
        }
    }
    Ok(None)
}

/// From the first file to the last, the directory is marked: a crash leaves what nobody takes for a
/// store, neither a whole one nor an empty one.
fn fill(
    options: &OpenOptions,
    state: &Arc<StateDir>,
    file: &mut File,
) -> Result<Restored, RestoreError> {
    let io = |error| OpenError::from_io(&options.state, error);
    let seconds = u64::try_from(options.now.as_second()).unwrap_or(0);
    let store_id = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
    let mut identity =
        Identity { store_id, high_water: 0, complete: false, restoring: true, damaged: None };
    IdentityFile::replace(state.path(), identity.clone()).map_err(io)?;
    state.prepare_database().map_err(io)?;
    let engine = open(options, state)?;
    let mut reader = Reader::begin(BufReader::new(file), options.schema)?;
    let mut batch = Batch { engine: &engine, rows: BTreeMap::new(), bytes: 0 };
    let backup = loop {
        match reader.next()? {
            Ok(row) => batch.take(row)?,
            Err(summary) => break summary,
        }
    };
    batch.write()?;
    let meta = Meta {
        id: store_id.into_bytes(),
        schema: options.schema,
        revision: backup.revision,
        rows: backup.rows,
    };
    check(&engine, &meta)?;
    let mut last = EngineBatch::default();
    let (key, value) = meta.to_row();
    last.put(key, value);
    engine.apply(last)?;
    engine.sync()?;
    state.sync().map_err(io)?;
    identity.high_water = backup.revision;
    identity.complete = true;
    identity.restoring = false;
    IdentityFile::replace(state.path(), identity).map_err(io)?;
    state.keep_owner().map_err(io)?;
    Ok(Restored { backup, store_id })
}

fn open(options: &OpenOptions, state: &Arc<StateDir>) -> Result<SledEngine, RestoreError> {
    let path = options.state.clone();
    let statvfs: FreeSpace = Arc::new(move || state_dir::free_space(&path));
    let free = options.free_space.clone().unwrap_or(statvfs);
    let room = Room { free, reserve: options.reserve_bytes };
    SledEngine::open(Arc::clone(state), options.cache_bytes, room).map_err(
        |failure| match failure {
            OpenFailure::Io(error) => OpenError::from_io(&options.state, error).into(),
            OpenFailure::Damaged(why) => EngineError::Damaged(why).into(),
        },
    )
}

/// Every checksum, and what the rows add up to.
fn check(engine: &SledEngine, meta: &Meta) -> Result<(), RestoreError> {
    let mut scrub = Scrub::new();
    loop {
        match scrub.slice(engine, meta) {
            Slice::More => {}
            Slice::Clean => return Ok(()),
            Slice::Damaged(why) => return Err(RestoreError::NotTheStore(why)),
        }
    }
}

/// Rows on their way into the database.
struct Batch<'a> {
    engine: &'a SledEngine,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Batch<'_> {
    fn take(&mut self, row: Row) -> Result<(), RestoreError> {
        let key = match &row {
            Row::Put { key, .. } | Row::Delete { key } => key.clone(),
        };
        if key.first().is_none_or(|&prefix| prefix < FIRST_USER_PREFIX) {
            let why = format!("row {} is none of the store's users'", hex::encode(&key));
            return Err(RestoreError::NotTheStore(why));
        }
        self.drop_pieces(&key)?;
        match row {
            Row::Put { key, schema, payload } => {
                for (key, value) in frame::encode(&key, schema, &payload) {
                    self.put(key, Some(value));
                }
            }
            Row::Delete { key } => self.put(key, None),
        }
        if self.bytes >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// The row may have come before, and in pieces.
    fn drop_pieces(&mut self, key: &[u8]) -> Result<(), RestoreError> {
        let before = match self.rows.get(key) {
            Some(pending) => pending.clone(),
            None => self.engine.get(key)?,
        };
        let Some(before) = before else { return Ok(()) };
        if let Ok(frame::Frame { body: Body::Chunked(index), .. }) = frame::decode(key, &before) {
            for piece in index.piece_keys(key) {
                self.put(piece, None);
            }
        }
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.rows.insert(key, value);
    }

    fn write(&mut self) -> Result<(), RestoreError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        self.engine.apply(EngineBatch { rows: rows.into_iter().collect() })?;
        Ok(self.engine.sync()?)
    }
}
