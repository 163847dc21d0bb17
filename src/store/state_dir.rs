//! The state directory: its layout, its lock, its quarantine.
//!
//! `db/` (sled), `identity.json`, `quarantine/<time>/`; the control socket lives here too.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Uid};
use rustix::io::Errno;

use super::identity;
use super::open_error::OpenError;

const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// Entries of the quarantine that are reported.
const MAX_REPORTED: usize = 16;

/// The state directory, locked for this process while this value lives.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    handle: File,
}

impl StateDir {
    /// Finds or creates the directory and locks it.
    pub(super) fn lock(path: &Path, create: bool) -> Result<Self, OpenError> {
        let fail = |error| OpenError::from_io(path, error);
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(metadata) => return Err(name_the_file(path, metadata.is_file())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
                create_dir(path, 0o750).map_err(fail)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Absent { path: path.to_owned() });
            }
            Err(error) => return Err(fail(error)),
        }
        let handle = File::open(path).map_err(fail)?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), handle }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::Locked { path: path.to_owned() }),
            Err(error) => Err(fail(error.into())),
        }
    }

    /// Where sled keeps its files.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a database at all: a data file that is not empty.
    pub(super) fn has_database(&self) -> io::Result<bool> {
        match std::fs::metadata(self.database().join("db")) {
            Ok(metadata) => Ok(metadata.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates `db/` if need be and removes what an interrupted snapshot left behind, which sled
    /// would take for a snapshot.
    pub(super) fn prepare_database(&self) -> io::Result<()> {
        if !self.database().exists() {
            create_dir(&self.database(), 0o700)?;
        }
        for file in self.snapshots()? {
            if file.extension().is_some_and(|extension| extension == "generating") {
                std::fs::remove_file(file)?;
            }
        }
        Ok(())
    }

    /// sled's snapshot files.
    pub(super) fn snapshots(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.database())? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b"snap.") {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// Moves files or directories of the state directory into a new entry of the quarantine, with a
    /// note of the reason. What does not exist is passed over.
    pub(super) fn quarantine(
        &self,
        now: jiff::Timestamp,
        why: &str,
        files: &[PathBuf],
    ) -> io::Result<PathBuf> {
        let root = self.path.join("quarantine");
        if !root.exists() {
            create_dir(&root, 0o700)?;
        }
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let names = std::iter::once(stamp.clone()).chain((2..).map(|n| format!("{stamp}-{n}")));
        let entry = names.map(|name| root.join(name)).find(|entry| !entry.exists());
        let entry = entry.expect("names without end");
        create_dir(&entry, 0o700)?;
        std::fs::write(entry.join("why"), format!("{why}\n"))?;
        for file in files {
            fail::fail_point!("store::while_moving_aside");
            let name = file.file_name().unwrap_or_default();
            match std::fs::rename(file, entry.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sync_dir(&entry)?;
        sync_dir(&root)?;
        self.handle.sync_all()?;
        Ok(entry)
    }

    /// What lies in quarantine, the newest last, and why; at most 16 entries.
    pub(super) fn quarantined(&self) -> Vec<(PathBuf, String)> {
        let entries = std::fs::read_dir(self.path.join("quarantine"));
        let mut paths: Vec<_> = entries.into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        let newest = paths.split_off(paths.len().saturating_sub(MAX_REPORTED));
        let why = |path: &Path| std::fs::read_to_string(path.join("why")).unwrap_or_default();
        newest.into_iter().map(|path| (path.clone(), why(&path).trim().to_owned())).collect()
    }

    /// The database's files and its identity, to be moved aside together.
    pub(super) fn database_files(&self) -> [PathBuf; 2] {
        [self.database(), identity::path(&self.path)]
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_dir(&self.database())?;
        self.handle.sync_all()
    }

    /// Gives what this process created to the owner of the state directory, so that root's command
    /// leaves nothing behind that the daemon cannot open.
    pub(super) fn keep_owner(&self) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let state = self.handle.metadata()?;
        let owner = (state.uid(), state.gid());
        let mut pending = vec![self.database(), identity::path(&self.path)];
        pending.push(self.path.join("quarantine"));
        while let Some(path) = pending.pop() {
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            if (metadata.uid(), metadata.gid()) != owner && !metadata.is_symlink() {
                rustix::fs::chown(
                    &path,
                    Some(Uid::from_raw(owner.0)),
                    Some(Gid::from_raw(owner.1)),
                )?;
            }
            if metadata.is_dir() {
                pending.extend(std::fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
            }
        }
        Ok(())
    }
}

/// Bytes free for an unprivileged process on the file system of `path`.
pub(super) fn free_space(path: &Path) -> io::Result<u64> {
    let figures = rustix::fs::statvfs(path)?;
    Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
}

fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    // The umask may have taken bits away; it must not add to what we grant either.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn name_the_file(path: &Path, regular: bool) -> OpenError {
    let mut header = [0; SQLITE_MAGIC.len()];
    let sqlite = regular
        && File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok()
        && header == SQLITE_MAGIC;
    let path = path.to_owned();
    if sqlite { OpenError::Sqlite { path } } else { OpenError::FileInPlace { path } }
}
