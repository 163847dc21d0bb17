//! May this file be executed? Reads metadata only; never opens the file.
//!
//! Whoever can change the file, a directory above it, or a symlink on the way decides what the
//! daemon runs. So every component of the path is looked at, links followed one by one: a check of
//! the resolved path alone would miss the directory in which a link can be replaced.
//!
//! Between this check and the execution only those who passed it (root, the daemon's own user, and
//! what is warned about) can swap the file. Who wants the bytes themselves fixed pins them: `pin`.

use super::contract::HostError;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

const GROUP_WRITE: u32 = 0o020;
const WORLD_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
const ANY_EXECUTE: u32 = 0o111;

/// A file that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The file itself, all links resolved.
    pub path: PathBuf,
    /// What is tolerated, but worth a line in a condition or a log.
    pub warnings: Vec<TrustWarning>,
}

/// Why a file must not be executed. Each names the component and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustProblem {
    /// The path is relative, so its meaning would depend on the daemon's working directory.
    NotAbsolute,
    /// The path ends at something that is not a file: what it is.
    NotAFile(PathBuf, &'static str),
    /// The file belongs to this uid, neither root nor the daemon's user.
    ForeignOwner(PathBuf, u32),
    /// Anyone may change this component.
    WorldWritable(PathBuf),
    /// A group may change this component, and the daemon is root.
    GroupWritable(PathBuf),
    /// More symlinks than the kernel follows.
    TooManyLinks,
}

impl fmt::Display for TrustProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str("the path is not absolute; start it with /"),
            Self::NotAFile(path, found) => {
                write!(f, "{} is {found}; name the program file itself", path.display())
            }
            Self::ForeignOwner(path, uid) => write!(
                f,
                "{0} belongs to uid {uid}, neither root nor the daemon's user; chown root {0}",
                path.display()
            ),
            Self::WorldWritable(path) => {
                write!(f, "anyone may write to {0}; chmod o-w {0}", path.display())
            }
            Self::GroupWritable(path) => write!(
                f,
                "its group may write to {0} and the daemon runs as root; chmod g-w {0}",
                path.display()
            ),
            Self::TooManyLinks => f.write_str("it leads through too many symlinks"),
        }
    }
}

/// What an unprivileged daemon, or any daemon, puts up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustWarning {
    /// A group may change this component.
    GroupWritable(PathBuf),
    /// This directory or link belongs to neither root nor the daemon's user, who may replace what
    /// is below it: a checkout in somebody's home directory, for example.
    ForeignOwner(PathBuf, u32),
}

impl fmt::Display for TrustWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GroupWritable(path) => write!(f, "its group may write to {}", path.display()),
            Self::ForeignOwner(path, uid) => write!(
                f,
                "{} belongs to uid {uid}, who may replace what is below it",
                path.display()
            ),
        }
    }
}

/// Decides whether a daemon with this effective uid may execute `path`.
///
/// The executable must be a regular file owned by root or `euid` with an execute bit; neither it
/// nor any directory on the way, symlinks included, may be world-writable, except that a root-owned
/// sticky directory (`/tmp`) passes as a parent. Group-writable is an error for root, else a
/// warning. Access control lists are not read.
pub fn check_executable(path: &Path, euid: u32) -> Result<Checked, HostError> {
    let refused = |problem| HostError::Refused { path: path.to_owned(), problem };
    if !path.is_absolute() {
        return Err(refused(TrustProblem::NotAbsolute));
    }
    let mut walk = Walk { asked: path, euid, warnings: Vec::new() };
    let mut here = PathBuf::from("/");
    let mut here_metadata = walk.look_at(&here)?;
    walk.check_parent(&here, &here_metadata)?;
    let mut ahead = components(path);
    let mut links = 0;
    while let Some(next) = ahead.pop_front() {
        if next == ".." {
            // What lies above was checked on the way down; `/..` is `/`.
            here.pop();
            here_metadata = walk.look_at(&here)?;
            continue;
        }
        let component = here.join(next);
        let metadata = walk.look_at(&component)?;
        if metadata.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(refused(TrustProblem::TooManyLinks));
            }
            walk.check_link(&component, &metadata);
            let target = std::fs::read_link(&component)
                .map_err(|source| HostError::Unreadable { path: component, source })?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            let mut rest = components(&target);
            rest.append(&mut ahead);
            ahead = rest;
            continue;
        }
        if !ahead.is_empty() {
            walk.check_parent(&component, &metadata)?;
        }
        here = component;
        here_metadata = metadata;
    }
    walk.check_file(&here, &here_metadata)?;
    Ok(Checked { path: here, warnings: walk.warnings })
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

struct Walk<'a> {
    asked: &'a Path,
    euid: u32,
    warnings: Vec<TrustWarning>,
}

impl Walk<'_> {
    fn look_at(&self, component: &Path) -> Result<Metadata, HostError> {
        std::fs::symlink_metadata(component).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                HostError::NotFound { path: self.asked.to_owned(), component: component.to_owned() }
            }
            _ => HostError::Unreadable { path: component.to_owned(), source },
        })
    }

    fn refused<T>(&self, problem: TrustProblem) -> Result<T, HostError> {
        Err(HostError::Refused { path: self.asked.to_owned(), problem })
    }

    fn is_trusted(&self, uid: u32) -> bool {
        uid == 0 || uid == self.euid
    }

    fn check_parent(&mut self, path: &Path, metadata: &Metadata) -> Result<(), HostError> {
        // In a sticky directory only the owner of an entry may replace it.
        if metadata.uid() == 0 && metadata.mode() & STICKY != 0 {
            return Ok(());
        }
        self.check_owner_of_a_step(path, metadata);
        self.check_mode(path, metadata)
    }

    /// A link's own mode means nothing; its owner matters where the directory is sticky.
    fn check_link(&mut self, path: &Path, metadata: &Metadata) {
        self.check_owner_of_a_step(path, metadata);
    }

    fn check_owner_of_a_step(&mut self, path: &Path, metadata: &Metadata) {
        if !self.is_trusted(metadata.uid()) {
            self.warnings.push(TrustWarning::ForeignOwner(path.to_owned(), metadata.uid()));
        }
    }

    fn check_file(&mut self, path: &Path, metadata: &Metadata) -> Result<(), HostError> {
        if !metadata.is_file() {
            return self.refused(TrustProblem::NotAFile(path.to_owned(), describe(metadata)));
        }
        if !self.is_trusted(metadata.uid()) {
            return self.refused(TrustProblem::ForeignOwner(path.to_owned(), metadata.uid()));
        }
        self.check_mode(path, metadata)?;
        if metadata.mode() & ANY_EXECUTE == 0 {
            return Err(HostError::NotExecutable {
                path: path.to_owned(),
                why: "the file has no execute permission; chmod +x it",
            });
        }
        Ok(())
    }

    fn check_mode(&mut self, path: &Path, metadata: &Metadata) -> Result<(), HostError> {
        if metadata.mode() & WORLD_WRITE != 0 {
            return self.refused(TrustProblem::WorldWritable(path.to_owned()));
        }
        if metadata.mode() & GROUP_WRITE != 0 {
            if self.euid == 0 {
                return self.refused(TrustProblem::GroupWritable(path.to_owned()));
            }
            self.warnings.push(TrustWarning::GroupWritable(path.to_owned()));
        }
        Ok(())
    }
}

fn describe(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests;
