//! Why the store does not open, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store does not open. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error("the state directory {} is in use by another process; stop it, or use its socket", path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
    },
    /// There is no store and none was to be created.
    #[error("there is no store at {}; start routerd once, or check --state", path.display())]
    Absent {
        /// The state directory.
        path: PathBuf,
    },
    /// Access is denied.
    #[error("no permission for {}; run as its owner or as root", path.display())]
    NoPermission {
        /// What could not be accessed.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file system cannot be written.
    #[error("the file system of {} is read-only; remount it or choose another --state", path.display())]
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no room to open the store.
    #[error("the file system of {} is full; make room, nothing is lost", path.display())]
    DiskFull {
        /// The state directory.
        path: PathBuf,
    },
    /// A file stands where the state directory should be.
    #[error("{} is a file, not a state directory; move it away or choose another --state", path.display())]
    FileInPlace {
        /// The file.
        path: PathBuf,
    },
    /// That file is an SQLite database.
    #[error(
        "{} is an SQLite database, not a routerd state directory; \
         move it away or choose another --state", path.display()
    )]
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote the store.
    #[error(
        "the store at {} has schema {found}, newer than the {known} this program knows; \
         install the newer program again", path.display()
    )]
    NewerSchema {
        /// The state directory.
        path: PathBuf,
        /// The stored version.
        found: u16,
        /// The newest version this program reads.
        known: u16,
    },
    /// The database is damaged and was not to be moved aside.
    #[error(
        "the store at {} is damaged: {why}; start routerd, which moves it to quarantine",
        path.display()
    )]
    Damaged {
        /// The state directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A restore did not come to its end.
    #[error(
        "a restore into {} was interrupted; run routerctl restore again", path.display()
    )]
    RestoreInterrupted {
        /// The state directory.
        path: PathBuf,
    },
    /// This program was linked such that the store is not durable.
    #[error(
        "this program does not sync its store: sled's sync_file_range is not replaced; \
         rebuild it so that the routerd library comes before the C library"
    )]
    NotDurable,
    /// Anything else.
    #[error("cannot open the store at {}", path.display())]
    Io {
        /// The state directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NoPermission { path, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            io::ErrorKind::StorageFull => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_named_for_what_it_is() {
        let path = Path::new("/state");
        let named = |kind: io::ErrorKind| OpenError::from_io(path, kind.into());
        assert!(matches!(named(io::ErrorKind::PermissionDenied), OpenError::NoPermission { .. }));
        assert!(matches!(named(io::ErrorKind::ReadOnlyFilesystem), OpenError::ReadOnly { .. }));
        assert!(matches!(named(io::ErrorKind::StorageFull), OpenError::DiskFull { .. }));
        assert!(matches!(named(io::ErrorKind::Other), OpenError::Io { .. }));
    }
}
