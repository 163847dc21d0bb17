//! One full reading of the configuration paths, as values.
//!
//! May touch the file system, for reading; never the store. It exists apart from the loop so that
//! `validate` and `render` read files by the same rules as the daemon. A scan never fails: what
//! cannot be read is part of what it says, because acceptance must know what it could not see.

mod claim;
mod manifests;
mod read;
mod stamp;
mod walk;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::api::yaml::{self, YamlError};

pub use self::claim::{Claim, Decoder, Fit, Refusal};
pub use self::manifests::Manifests;
pub use self::stamp::{DirectoryId, Stamp};

use self::read::Reader;
use self::walk::{Candidate, Walk};

/// What one scan may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Manifest files: 100,000.
    pub files: usize,
    /// Bytes of all files together: 256 MiB.
    pub total_bytes: u64,
    /// Directories inside one another, below a path of the configuration: 32.
    pub depth: usize,
    /// Names looked at in all directories: 1,000,000.
    pub entries: usize,
    /// What one file may cost; its `file_bytes` (4 MiB) bounds what is read of it.
    pub file: yaml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 100_000,
            total_bytes: 256 << 20,
            depth: 32,
            entries: 1_000_000,
            file: yaml::Limits::default(),
        }
    }
}

/// What the configuration paths held when they were read.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// The configured paths, sorted, each once.
    pub roots: Vec<RootScan>,
    /// The manifest files, sorted by path, each real file once.
    pub files: Vec<FileScan>,
    /// What could not be looked into; files below may exist unseen.
    pub gaps: Vec<Gap>,
    /// Every directory that was read, by its real path, and those that hold the targets of links:
    /// where changes are to be expected.
    pub directories: Vec<(PathBuf, DirectoryId)>,
}

/// One configured path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootScan {
    /// The absolute path.
    pub path: String,
    /// The state of the directory that decides about it: the path itself if it is a directory,
    /// the one around it if it is a file.
    pub directory: RootState,
    /// Whether the path is, or by its name would be, a file.
    pub is_file: bool,
    /// Manifest files found at or below it.
    pub files: usize,
}

/// The state of a root's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootState {
    /// It is there.
    Present(DirectoryId),
    /// It is not.
    Missing,
    /// It cannot be told.
    Unreadable(String),
}

/// A place that could not be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// A directory; everything at or below it may be unseen.
    pub path: String,
    /// Why.
    pub message: String,
}

/// One manifest file.
#[derive(Debug, Clone)]
pub struct FileScan {
    /// Its path below the root as configured; not the target of a link.
    pub path: String,
    /// What the file system says of it, if it could be asked.
    pub stamp: Option<Stamp>,
    /// What it holds.
    pub outcome: Outcome,
}

/// What came of reading a file.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was read, to its end or to where it ceases to be YAML.
    Read(Arc<Parsed>),
    /// It could not be read.
    Unreadable(String),
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
    /// The resources, in the order of the file.
    pub claims: Vec<Claim>,
    /// Where and why reading ended early.
    pub error: Option<YamlError>,
}

/// Reads the same paths again and again, and parses only what changed.
pub struct Scanner {
    paths: Vec<PathBuf>,
    limits: Limits,
    decoder: Arc<dyn Decoder>,
    reader: Reader,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner of these paths. Relative ones are taken from the current directory.
    pub fn new(paths: &[PathBuf], limits: Limits, decoder: Arc<dyn Decoder>) -> Self {
        let mut paths: Vec<_> = paths.iter().map(|path| normal(path)).collect();
        paths.sort();
        paths.dedup();
        Self { paths, limits, decoder, reader: Reader::default() }
    }

    /// The configured paths: absolute, sorted, each once.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads everything. `at` is a monotonic time; it decides for how long a file's stamp is not
    /// trusted to tell of every change. Blocks on the file system.
    pub fn scan(&mut self, at: Duration) -> Scan {
        let Walk { roots, candidates, gaps, directories, .. } =
            Walk::over(&self.paths, &self.limits);
        let mut total = 0;
        let files = candidates
            .into_iter()
            .filter_map(|candidate| self.file(candidate, at, &mut total))
            .collect();
        self.reader.forget_unseen();
        Scan { roots, files, gaps, directories }
    }

    /// `None` if the file went away meanwhile.
    fn file(&mut self, candidate: Candidate, at: Duration, total: &mut u64) -> Option<FileScan> {
        let (stamp, outcome) = match candidate.target {
            Err(message) => (None, Outcome::Unreadable(message)),
            Ok((stamp, real)) => match self.over_limit(stamp, total) {
                Some(message) => (Some(stamp), Outcome::Unreadable(message)),
                None => self.content(&real, stamp, at)?,
            },
        };
        Some(FileScan { path: candidate.path, stamp, outcome })
    }

    fn over_limit(&self, stamp: Stamp, total: &mut u64) -> Option<String> {
        let most = self.limits.file.file_bytes as u64;
        if stamp.size > most {
            return Some(format!("is {} bytes, at most {most} are read", stamp.size));
        }
        *total += stamp.size;
        let most = self.limits.total_bytes;
        (*total > most).then(|| {
            format!("is not read: all files together, up to this one, exceed {most} bytes")
        })
    }

    fn content(
        &mut self,
        real: &Path,
        stamp: Stamp,
        at: Duration,
    ) -> Option<(Option<Stamp>, Outcome)> {
        match self.reader.read(real, stamp, at, &self.limits.file, &*self.decoder) {
            Ok(Some((stamp, parsed))) => Some((Some(stamp), Outcome::Read(parsed))),
            Ok(None) => None,
            Err(error) => Some((Some(stamp), Outcome::Unreadable(error.to_string()))),
        }
    }
}

/// Absolute, without `.` and doubled slashes; links are left as they are.
fn normal(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.components().collect()
}

/// Files of a scan by path.
pub(super) fn files_by_path(scan: &Scan) -> HashMap<&str, &FileScan> {
    scan.files.iter().map(|file| (file.path.as_str(), file)).collect()
}

/// Whether `path` is `root` or lies below it.
pub(super) fn is_below(path: &str, root: &str) -> bool {
    Path::new(path).starts_with(root)
}

#[cfg(test)]
mod tests;
