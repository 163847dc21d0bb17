//! Opening the store on disk: what is checked before a database is trusted, and what happens to
//! one that is not.
//!
//! Order matters: lock, then identity, then sled, then the store's own row, then a bounded check of
//! the rows. A database that fails any of these is moved to quarantine whole and reported; it is
//! never deleted and never read as empty. Nothing here takes time in proportion to the rows; the
//! scrub checks what is left, in the background.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, EngineBatch, EngineError};
use super::handle::{Limits, StartError, Store};
use super::health::{Health, HealthNote};
use super::identity::{self, Identity, IdentityFile};
use super::meta::{Meta, MetaError};
use super::open_error::OpenError;
use super::scrub::{Scrub, Slice};
use super::sled_engine::{FreeSpace, OpenFailure, Room, SledEngine};
use super::state_dir::{self, StateDir};
use super::{Revision, fdatasync};

/// sled's page cache. Its default is 1 GiB. It counts bytes as they lie on disk: 8 MiB more
/// of it took 13 MiB of memory.
const CACHE_BYTES: u64 = 12 * 1024 * 1024;
/// The version of the data that this program writes, at which an older one refuses the store: +1 with
/// each change that not every reader of before understands. 2: times are numbers.
const SCHEMA: u16 = 2;
/// What writes leave free: several segments, and more than one group can grow the file by.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Slices of 256 rows checked before the store is used: about 10,000 rows in some milliseconds.
const SLICES_AT_OPEN: usize = 40;
/// sled releases its lock some time after the database is dropped.
const LOCK_RETRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Where commits happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// On a writer thread, which shares one sync among those who wait.
    OnWriter,
    /// On the caller's task, one sync each: for a command, which has one thing to write, and for
    /// simulation. Nothing is scrubbed in the background.
    OnCaller,
}

/// How to open the store.
#[derive(Clone)]
pub struct OpenOptions {
    /// The state directory.
    pub state: PathBuf,
    /// Names the quarantine entry, should one be needed.
    pub now: jiff::Timestamp,
    /// Whether a store is created where there is none.
    pub create: bool,
    /// Whether a damaged database is moved aside (the daemon) or only reported (a command).
    pub quarantine: bool,
    /// Whether the background scrub runs.
    pub scrub: bool,
    /// Where commits happen.
    pub commits: Commits,
    /// The newest version of the data this program understands, recorded in the store.
    pub schema: u16,
    /// sled's page cache in bytes.
    pub cache_bytes: u64,
    /// Bytes that must be free on the file system for a write to be tried.
    pub reserve_bytes: u64,
    /// Replaces `statvfs` of the state directory.
    pub free_space: Option<FreeSpace>,
    /// Bounds of the queue and the groups.
    pub limits: Limits,
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions").field("state", &self.state).finish_non_exhaustive()
    }
}

impl OpenOptions {
    /// For the daemon: creates, quarantines, scrubs.
    pub fn daemon(state: impl Into<PathBuf>, now: jiff::Timestamp) -> Self {
        Self {
            state: state.into(),
            now,
            create: true,
            quarantine: true,
            scrub: true,
            commits: Commits::OnWriter,
            schema: SCHEMA,
            cache_bytes: CACHE_BYTES,
            reserve_bytes: RESERVE_BYTES,
            free_space: None,
            limits: Limits::default(),
        }
    }

    /// For a command without a daemon: creates only if `create`, moves nothing, does not
    /// scrub, and needs no writer thread.
    pub fn offline(state: impl Into<PathBuf>, now: jiff::Timestamp, create: bool) -> Self {
        Self {
            create,
            quarantine: false,
            scrub: false,
            commits: Commits::OnCaller,
            ..Self::daemon(state, now)
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether the database is new.
    pub created: bool,
    /// What was moved to quarantine by this open.
    pub quarantined: Vec<Quarantined>,
    /// The revision the store had.
    pub revision: Revision,
    /// The store's identity.
    pub store_id: uuid::Uuid,
    /// What else an operator should know.
    pub notes: Vec<String>,
}

/// Something that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it lies now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

/// Why a database is not used.
enum Distrust {
    /// Moving it aside and starting anew is the way out.
    Damaged(String),
    /// It is not the database's fault.
    Refused(OpenError),
}

impl From<OpenError> for Distrust {
    fn from(error: OpenError) -> Self {
        Self::Refused(error)
    }
}

/// A database that passed every check.
struct Trusted {
    engine: SledEngine,
    meta: Meta,
    created: bool,
    /// Whether every row was checked.
    checked: bool,
    notes: Vec<String>,
}

impl Store {
    /// Opens the store in a state directory, creating, checking and if need be replacing it. Takes
    /// well under a second whatever the number of rows. Blocking.
    pub fn open(options: &OpenOptions) -> Result<(Self, OpenReport), OpenError> {
        let opener = Opener::new(options)?;
        let (mut quarantined, mut trusted) = (Vec::new(), opener.trust());
        if let Err(Distrust::Damaged(why)) = trusted {
            quarantined.push(opener.move_aside(why)?);
            trusted = opener.trust();
        }
        let trusted = trusted.map_err(|distrust| match distrust {
            Distrust::Refused(error) => error,
            Distrust::Damaged(why) => OpenError::Damaged { path: options.state.clone(), why },
        })?;
        opener.start(trusted, quarantined)
    }
}

struct Opener<'a> {
    options: &'a OpenOptions,
    state: Arc<StateDir>,
}

impl<'a> Opener<'a> {
    fn new(options: &'a OpenOptions) -> Result<Self, OpenError> {
        let state = StateDir::lock(&options.state, options.create)?;
        Ok(Self { options, state: Arc::new(state) })
    }

    fn io(&self) -> impl Fn(io::Error) -> OpenError {
        |source| OpenError::from_io(&self.options.state, source)
    }

    /// Opens the database and checks it.
    fn trust(&self) -> Result<Trusted, Distrust> {
        let identity = identity::read(self.state.path()).map_err(self.io())?;
        let exists = self.state.has_database().map_err(self.io())?;
        match &identity {
            Some(Identity { restoring: true, .. }) => {
                let path = self.options.state.clone();
                return Err(OpenError::RestoreInterrupted { path }.into());
            }
            Some(Identity { damaged: Some(why), .. }) => {
                return Err(Distrust::Damaged(format!("found while it was in use: {why}")));
            }
            Some(known) if known.complete && !exists => {
                return Err(Distrust::Damaged(format!(
                    "the database is gone; it was at revision {}",
                    known.high_water
                )));
            }
            _ if !exists && !self.options.create => {
                return Err(OpenError::Absent { path: self.options.state.clone() }.into());
            }
            _ => {}
        }
        let identity = if exists { identity } else { Some(self.announce(identity)?) };
        self.state.prepare_database().map_err(self.io())?;
        let engine = self.open_engine(exists)?;
        self.check(engine, identity.as_ref())
    }

    /// Before the first file of a new database: from here to the end of its creation, an absent or
    /// empty database is no loss.
    fn announce(&self, identity: Option<Identity>) -> Result<Identity, OpenError> {
        if let Some(begun) = identity.filter(|identity| !identity.complete) {
            return Ok(begun);
        }
        let contents = Identity {
            store_id: self.new_id(),
            high_water: 0,
            complete: false,
            restoring: false,
            damaged: None,
        };
        IdentityFile::replace(self.state.path(), contents.clone()).map_err(self.io())?;
        fail::fail_point!("store::after_announce");
        Ok(contents)
    }

    fn new_id(&self) -> uuid::Uuid {
        let seconds = u64::try_from(self.options.now.as_second()).unwrap_or(0);
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
    }

    /// Opens sled; a snapshot that does not let it open is moved aside once, for the log replays.
    fn open_engine(&self, existed: bool) -> Result<SledEngine, Distrust> {
        let first = match self.try_engine() {
            Err(Distrust::Damaged(why)) if existed => why,
            other => return other,
        };
        let snapshots = self.state.snapshots().map_err(self.io())?;
        if snapshots.is_empty() || !self.options.quarantine {
            return Err(Distrust::Damaged(first));
        }
        tracing::warn!(why = %first, "sled does not open; trying without its snapshot");
        let why = format!("a snapshot that sled does not read: {first}");
        self.state.quarantine(self.options.now, &why, &snapshots).map_err(self.io())?;
        self.try_engine()
    }

    fn try_engine(&self) -> Result<SledEngine, Distrust> {
        for _ in 0..LOCK_RETRIES {
            match SledEngine::open(Arc::clone(&self.state), self.options.cache_bytes, self.room()) {
                Ok(engine) => return Ok(engine),
                Err(OpenFailure::Io(error)) if is_lock_error(&error) => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                // These words of sled's come from damaged files as well as from the disk.
                Err(OpenFailure::Io(error)) if is_data_error(&error) => {
                    return Err(Distrust::Damaged(error.to_string()));
                }
                Err(OpenFailure::Io(error)) => return Err(self.io()(error).into()),
                Err(OpenFailure::Damaged(why)) => return Err(Distrust::Damaged(why)),
            }
        }
        Err(OpenError::Locked { path: self.options.state.clone() }.into())
    }

    fn room(&self) -> Room {
        let state = self.options.state.clone();
        let statvfs: FreeSpace = Arc::new(move || state_dir::free_space(&state));
        let free = self.options.free_space.clone().unwrap_or(statvfs);
        Room { free, reserve: self.options.reserve_bytes }
    }

    fn check(&self, engine: SledEngine, identity: Option<&Identity>) -> Result<Trusted, Distrust> {
        let mut notes = Vec::new();
        let stored = Meta::load(&engine).map_err(|error| self.meta_error(error))?;
        let complete = identity.is_some_and(|identity| identity.complete);
        let (meta, created) = match stored {
            Some(meta) => (meta, false),
            None if complete || !engine.is_empty().map_err(|error| damaged(&error))? => {
                return Err(Distrust::Damaged("the store's own row is missing".to_owned()));
            }
            None => {
                let id = identity.map_or_else(|| self.new_id(), |known| known.store_id);
                (Meta::new(id.into_bytes(), self.options.schema), true)
            }
        };
        if meta.schema > self.options.schema {
            return Err(self.newer(meta.schema, self.options.schema).into());
        }
        match identity {
            Some(known) if known.store_id.into_bytes() != meta.id => {
                return Err(Distrust::Damaged("it is another store's database".to_owned()));
            }
            Some(known) if known.high_water > meta.revision => {
                return Err(Distrust::Damaged(format!(
                    "it ends at revision {}, but {} was on disk",
                    meta.revision, known.high_water
                )));
            }
            Some(_) => {}
            None => notes.push("identity.json was missing or unreadable; made anew".to_owned()),
        }
        let checked = check_rows(&engine, &meta)?;
        Ok(Trusted { engine, meta, created, checked, notes })
    }

    fn meta_error(&self, error: MetaError) -> Distrust {
        match error {
            MetaError::Newer { found } => Distrust::Refused(self.newer(found, super::meta::FORMAT)),
            error => Distrust::Damaged(error.to_string()),
        }
    }

    fn newer(&self, found: u16, known: u16) -> OpenError {
        OpenError::NewerSchema { path: self.options.state.clone(), found, known }
    }

    fn move_aside(&self, why: String) -> Result<Quarantined, OpenError> {
        if !self.options.quarantine {
            return Err(OpenError::Damaged { path: self.options.state.clone(), why });
        }
        tracing::error!(%why, "the database is damaged and goes to quarantine");
        let files = self.state.database_files();
        let path = self.state.quarantine(self.options.now, &why, &files).map_err(self.io())?;
        Ok(Quarantined { path, why })
    }

    /// Proves that writing works and is durable, then starts the writer.
    fn start(
        &self,
        mut trusted: Trusted,
        quarantined: Vec<Quarantined>,
    ) -> Result<(Store, OpenReport), OpenError> {
        trusted.meta.schema = self.options.schema;
        self.prove_durable(&trusted)?;
        let Trusted { engine, meta, created, checked, notes } = trusted;
        let contents = Identity {
            store_id: uuid::Uuid::from_bytes(meta.id),
            high_water: meta.revision,
            complete: true,
            restoring: false,
            damaged: None,
        };
        fail::fail_point!("store::before_complete");
        let file = IdentityFile::replace(self.state.path(), contents).map_err(self.io())?;
        engine.set_identity(file);
        self.state.keep_owner().map_err(self.io())?;
        let mut health = Health { scrub_done: checked, ..Health::default() };
        for (path, why) in self.state.quarantined() {
            health.note(HealthNote::Quarantined { path, why });
        }
        for defect in engine.defects() {
            health.note(HealthNote::Defect(defect));
        }
        let scrub = self.options.scrub && !checked;
        let (engine, limits) = (Arc::new(engine), self.options.limits);
        let store = match self.options.commits {
            Commits::OnCaller => Store::inline(engine, meta, limits, health),
            Commits::OnWriter => Store::start(engine, meta, limits, health, scrub),
        };
        let store = store.map_err(|error| self.start_error(error))?;
        let store_id = store.id();
        Ok((store, OpenReport { created, quarantined, revision: meta.revision, store_id, notes }))
    }

    /// Writes and flushes for real: if our `fdatasync` was not called, the program was linked such
    /// that nothing it acknowledges would survive a power cut.
    fn prove_durable(&self, trusted: &Trusted) -> Result<(), OpenError> {
        let before = fdatasync::calls();
        let mut batch = EngineBatch::default();
        let (key, value) = trusted.meta.to_row();
        batch.put(key, value);
        let written = trusted.engine.apply_unchecked(batch).and_then(|()| trusted.engine.sync());
        written.map_err(|error| self.start_error(StartError::Engine(error)))?;
        self.state.sync().map_err(self.io())?;
        if fdatasync::calls() > before { Ok(()) } else { Err(OpenError::NotDurable) }
    }

    fn start_error(&self, error: StartError) -> OpenError {
        let path = self.options.state.clone();
        match error {
            StartError::Engine(EngineError::DiskFull { .. }) => OpenError::DiskFull { path },
            StartError::Engine(EngineError::Io { message, .. })
                if message.contains("os error 28") =>
            {
                OpenError::DiskFull { path }
            }
            StartError::Engine(error) => {
                OpenError::Io { path, source: io::Error::other(error.to_string()) }
            }
            StartError::Thread(source) => OpenError::Io { path, source },
        }
    }
}

/// Checks the first rows; true if those were all.
fn check_rows(engine: &SledEngine, meta: &Meta) -> Result<bool, Distrust> {
    let mut scrub = Scrub::new();
    for _ in 0..SLICES_AT_OPEN {
        match scrub.slice(engine, meta) {
            Slice::More => {}
            Slice::Clean => return Ok(true),
            Slice::Damaged(why) => return Err(Distrust::Damaged(why)),
        }
    }
    Ok(false)
}

fn damaged(error: &EngineError) -> Distrust {
    Distrust::Damaged(error.to_string())
}

/// sled gives its lock error no kind of its own.
fn is_lock_error(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn is_data_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    ) || error.raw_os_error().is_none()
}
