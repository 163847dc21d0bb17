//! What the file system says of a file or directory, to tell a change without reading.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

/// A file as it was when it was read. The change time is part of it because no program can set it
/// back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Change time: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(data: &Metadata) -> Self {
        Self {
            dev: data.dev(),
            ino: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }
}

/// Which directory it is. The time of birth is part of it, where the file system keeps one: an
/// inode number is soon used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DirectoryId {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Nanoseconds since 1970 at which it was made; 0 where unknown.
    pub born: u128,
}

impl From<&Metadata> for DirectoryId {
    fn from(data: &Metadata) -> Self {
        let born = data.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self { dev: data.dev(), ino: data.ino(), born: born.map_or(0, |since| since.as_nanos()) }
    }
}

impl std::fmt::Display for DirectoryId {
    /// `dev:ino:born`, the form that is stored.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.dev, self.ino, self.born)
    }
}
