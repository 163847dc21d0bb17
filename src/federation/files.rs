//! Files that manifests name (secrets, keys, certificates): read once, and again when they change.
//!
//! Nobody who serves a request touches the disk. [`Files::watch`] looks once a second, while somebody
//! holds a file at all, at what the file system says of each, reads what is different, and tells that
//! something changed. A look at ten files is ten system calls; in return there is no watch to lose,
//! no limit of the system to meet, and links, mounts and renames need no rule of their own.
//!
//! A file that is gone, unreadable or open to others is an error at once, not "still the old
//! content": who takes a key away means it. Replace a file by renaming over it and there is no
//! moment without one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use crate::runtime::Shutdown;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a private file at most: keys are below 16 KiB.
const MAX_PRIVATE: u64 = 64 * 1024;
/// Bytes of a public file at most: a system's bundle of authorities is below 512 KiB.
const MAX_PUBLIC: u64 = 2 * 1024 * 1024;
/// The file system's clock has ticks: a file is read once more after a change, because another may
/// have come within the same one.
const SECOND_LOOKS: u8 = 2;
/// Permission bits of the group and of others.
const OTHERS: u32 = 0o077;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Its owner alone, who is root or the daemon's user.
    Private,
    /// Anyone.
    Public,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The system does not let us read it.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// It is something else.
    #[error("{path} is not a file")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// It is larger than such a file ever is.
    #[error("{path} is {size} bytes; {limit} at most")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        size: u64,
        /// What it may have.
        limit: u64,
    },
    /// Others may read or change it.
    #[error("{path} is open to others (mode {mode:04o}); chmod 600 {path}")]
    NotPrivate {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else put it there.
    #[error(
        "{path} belongs to uid {uid}, neither root nor the daemon's user; chown it to the daemon's user"
    )]
    ForeignOwner {
        /// The file.
        path: String,
        /// Its owner.
        uid: u32,
    },
}

/// The bytes of a file; wiped from memory when the last holder lets go.
pub type Content = Arc<Zeroizing<Vec<u8>>>;

/// What the file system says of a file, to tell a change without reading. The change time is part
/// of it because no program can set it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(data: &Metadata) -> Self {
        Self {
            file: (data.dev(), data.ino()),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }
}

/// A file that somebody needs; looked after for as long as it is held.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    access: Access,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stamp: Option<Stamp>,
    looks: u8,
    content: Result<Content, FileError>,
}

impl File {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was in it at the last look.
    pub fn content(&self) -> Result<Content, FileError> {
        self.lock().content.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if it is not what it was. Returns whether that made a difference.
    fn look(&self) -> bool {
        let stamp = std::fs::metadata(&self.path).ok().map(|data| Stamp::from(&data));
        {
            let mut state = self.lock();
            if state.stamp == stamp && state.looks == 0 {
                return false;
            }
            let changed = state.stamp != stamp;
            state.looks = if changed { SECOND_LOOKS } else { state.looks - 1 };
        }
        let (stamp, content) = read(&self.path, self.access);
        let mut state = self.lock();
        state.stamp = stamp;
        let differs = state.content != content;
        if differs {
            state.content = content;
        }
        differs
    }
}

/// All files that are held somewhere. Two that hold the same file hold the same [`File`].
#[derive(Debug)]
pub struct Files {
    held: Mutex<HashMap<(PathBuf, Access), Weak<File>>>,
    changes: watch::Sender<u64>,
    opened: Notify,
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

impl Files {
    /// No file is held yet.
    pub fn new() -> Self {
        Self { held: Mutex::default(), changes: watch::Sender::new(0), opened: Notify::new() }
    }

    /// The file at `path`, read now unless somebody holds it already. Touches the disk.
    pub fn open(&self, path: impl AsRef<Path>, access: Access) -> Arc<File> {
        let path = path.as_ref();
        let key = (path.to_owned(), access);
        if let Some(known) = self.held().get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let (stamp, content) = read(path, access);
        let state = Mutex::new(State { stamp, looks: SECOND_LOOKS, content });
        let file = Arc::new(File { path: path.to_owned(), access, state });
        let mut held = self.held();
        // Another may have opened it meanwhile: only one of the two would be looked after.
        if let Some(known) = held.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        held.insert(key, Arc::downgrade(&file));
        self.opened.notify_one();
        file
    }

    /// Moves whenever a file that is held changed its content, or whether it can be used.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks at all files once. Touches the disk.
    pub fn look(&self) {
        let files: Vec<Arc<File>> = {
            let mut held = self.held();
            held.retain(|_, file| file.strong_count() > 0);
            held.values().filter_map(Weak::upgrade).collect()
        };
        let changed = files.iter().filter(|file| file.look()).count();
        if changed > 0 {
            self.changes.send_modify(|version| *version += 1);
        }
    }

    /// Looks at all files again and again until the daemon stops.
    pub async fn watch(
        self: Arc<Self>,
        every: Duration,
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        loop {
            let next_look = async {
                // A node that reads no files sleeps until one is opened.
                if self.held().is_empty() {
                    self.opened.notified().await;
                }
                tokio::time::sleep(every).await;
            };
            tokio::select! {
                () = shutdown.draining() => return Ok(()),
                () = next_look => {}
            }
            let files = Arc::clone(&self);
            // A panic or a runtime that ends is seen elsewhere; the next look is the remedy.
            _ = tokio::task::spawn_blocking(move || files.look()).await;
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<(PathBuf, Access), Weak<File>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file, and what the file system said of it before.
fn read(path: &Path, access: Access) -> (Option<Stamp>, Result<Content, FileError>) {
    let name = path.display().to_string();
    let cannot = |error: &io::Error| FileError::Read { path: name.clone(), why: why(error) };
    // A pipe in the file's place must not hold us up.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let found = opened.and_then(|file| file.metadata().map(|data| (file, data)));
    let (file, data) = match found {
        Ok(found) => found,
        Err(error) => {
            // It may be there and closed to us: then the stamp tells when that changes.
            let stamp = std::fs::metadata(path).ok().map(|data| Stamp::from(&data));
            return (stamp, Err(cannot(&error)));
        }
    };
    let stamp = Stamp::from(&data);
    let content = check(&name, &data, access).and_then(|limit| {
        let mut content = Zeroizing::new(Vec::with_capacity(
            usize::try_from(limit.min(data.size() + 1)).unwrap_or(0),
        ));
        let read = file.take(limit + 1).read_to_end(&mut content);
        read.map_err(|error| cannot(&error))?;
        let size = content.len() as u64;
        if size > limit {
            return Err(FileError::TooLarge { path: name.clone(), size, limit });
        }
        Ok(Arc::new(content))
    });
    (Some(stamp), content)
}

/// Whether the file may be used; how large it may be.
fn check(name: &str, data: &Metadata, access: Access) -> Result<u64, FileError> {
    let path = name.to_owned();
    if !data.is_file() {
        return Err(FileError::NotAFile { path });
    }
    let limit = match access {
        Access::Private => MAX_PRIVATE,
        Access::Public => MAX_PUBLIC,
    };
    if data.size() > limit {
        return Err(FileError::TooLarge { path, size: data.size(), limit });
    }
    if access == Access::Private {
        let uid = data.uid();
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            return Err(FileError::ForeignOwner { path, uid });
        }
        let mode = data.mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(FileError::NotPrivate { path, mode });
        }
    }
    Ok(limit)
}

/// The system's words, without its number.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
