//! Finds the manifest files below the configured paths.
//!
//! Links are followed, because mounted ConfigMaps are made of them (`x.yaml` → `..data/x.yaml`,
//! `..data` → `..2026_11_22`), but each real directory is entered once, so that loops end, and
//! each real file counts once, under the first of its names.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{DirectoryId, Gap, Limits, RootScan, RootState, Stamp};

/// A manifest file, not yet read.
pub(super) struct Candidate {
    /// As configured; what is shown and stored.
    pub path: String,
    /// Its stamp and real path, or why it cannot be read.
    pub target: Result<(Stamp, PathBuf), String>,
}

/// What was found.
pub(super) struct Walk<'l> {
    pub roots: Vec<RootScan>,
    /// Sorted by path.
    pub candidates: Vec<Candidate>,
    pub gaps: Vec<Gap>,
    pub directories: Vec<(PathBuf, DirectoryId)>,
    limits: &'l Limits,
    entered: HashSet<(u64, u64)>,
    linked: BTreeMap<PathBuf, DirectoryId>,
    entries: usize,
}

/// A directory that is to be read.
struct Pending {
    path: PathBuf,
    real: PathBuf,
    id: DirectoryId,
    depth: usize,
}

impl<'l> Walk<'l> {
    /// Looks through `roots`, which are absolute and sorted.
    pub(super) fn over(roots: &[PathBuf], limits: &'l Limits) -> Self {
        let mut walk = Self {
            roots: Vec::new(),
            candidates: Vec::new(),
            gaps: Vec::new(),
            directories: Vec::new(),
            limits,
            entered: HashSet::new(),
            linked: BTreeMap::new(),
            entries: 0,
        };
        for root in roots {
            walk.root(root);
        }
        walk.finish();
        walk
    }

    fn finish(&mut self) {
        self.candidates.sort_by(|a, b| a.path.cmp(&b.path));
        self.candidates.dedup_by(|a, b| a.path == b.path);
        let mut real = HashSet::new();
        self.candidates.retain(|candidate| match &candidate.target {
            Ok((stamp, _)) => real.insert((stamp.dev, stamp.ino)) || stamp.ino == 0,
            Err(_) => true,
        });
        for root in &mut self.roots {
            let below = |c: &&Candidate| super::is_below(&c.path, &root.path);
            root.files = self.candidates.iter().filter(below).count();
        }
        self.directories.extend(std::mem::take(&mut self.linked));
        self.directories.sort();
        self.directories.dedup();
    }

    fn root(&mut self, root: &Path) {
        let data = fs::metadata(root);
        let is_file = match &data {
            Ok(data) => !data.is_dir(),
            Err(_) => is_manifest(root),
        };
        let directory = match (is_file, &data) {
            (true, _) => state_of(root.parent().unwrap_or(root)),
            (false, Ok(data)) => RootState::Present(DirectoryId::from(data)),
            (false, Err(error)) => state_of_error(error),
        };
        match (&data, &directory) {
            (Ok(data), _) if is_file => {
                let link = fs::symlink_metadata(root).is_ok_and(|data| data.is_symlink());
                self.found(root, link, Ok(data.clone()), None);
            }
            (Ok(_), RootState::Present(id)) => self.tree(root, *id),
            (Err(error), _) if !is_absent(error) => {
                self.gaps.push(Gap { path: shown(root), message: said(error) });
            }
            _ => {}
        }
        self.roots.push(RootScan { path: shown(root), directory, is_file, files: 0 });
    }

    fn tree(&mut self, root: &Path, id: DirectoryId) {
        let real = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let mut stack = vec![Pending { path: root.to_owned(), real, id, depth: 0 }];
        while let Some(pending) = stack.pop() {
            if !self.entered.insert((pending.id.dev, pending.id.ino)) {
                continue;
            }
            if pending.depth > self.limits.depth {
                let message = format!("lies deeper than {} directories", self.limits.depth);
                self.gaps.push(Gap { path: shown(&pending.path), message });
                continue;
            }
            self.directories.push((pending.real.clone(), pending.id));
            match self.directory(&pending) {
                // The stack takes the first name last, so that it is the next to be entered.
                Ok(below) => stack.extend(below.into_iter().rev()),
                Err(message) => self.gaps.push(Gap { path: shown(&pending.path), message }),
            }
            if self.is_full() {
                break;
            }
        }
        self.note_full(root);
    }

    fn is_full(&self) -> bool {
        self.candidates.len() > self.limits.files || self.entries > self.limits.entries
    }

    fn note_full(&mut self, root: &Path) {
        let message = if self.candidates.len() > self.limits.files {
            self.candidates.truncate(self.limits.files);
            format!("holds more than {} manifest files; the rest is not read", self.limits.files)
        } else if self.entries > self.limits.entries {
            format!("holds more than {} names; the rest is not read", self.limits.entries)
        } else {
            return;
        };
        self.gaps.push(Gap { path: shown(root), message });
    }

    /// Reads one directory; the directories in it come back sorted.
    fn directory(&mut self, at: &Pending) -> Result<Vec<Pending>, String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&at.path).map_err(|error| said(&error))? {
            let entry = entry.map_err(|error| said(&error))?;
            self.entries += 1;
            if self.entries > self.limits.entries {
                break;
            }
            let kind = entry.file_type().map_err(|error| said(&error))?;
            let path = entry.path();
            if !is_ignored(&path) && (kind.is_dir() || kind.is_symlink() || is_manifest(&path)) {
                names.push((path, kind));
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let mut below = Vec::new();
        for (path, kind) in names {
            let link = kind.is_symlink();
            match fs::metadata(&path) {
                Ok(data) if data.is_dir() && !is_manifest(&path) => {
                    let real = match (link, path.file_name()) {
                        (false, Some(name)) => at.real.join(name),
                        _ => fs::canonicalize(&path).unwrap_or_else(|_| path.clone()),
                    };
                    let id = DirectoryId::from(&data);
                    below.push(Pending { path, real, id, depth: at.depth + 1 });
                }
                data if is_manifest(&path) => self.found(&path, link, data, Some(&at.real)),
                _ => {}
            }
            if self.candidates.len() > self.limits.files {
                break;
            }
        }
        Ok(below)
    }

    /// Notes a path that is, or should be, a manifest file; `real` is the real path of the
    /// directory around it where that is known.
    fn found(&mut self, path: &Path, link: bool, data: io::Result<Metadata>, real: Option<&Path>) {
        let target = match data {
            Ok(data) if data.is_dir() => Err("is a directory, not a manifest".to_owned()),
            Ok(data) if !data.is_file() => Err("is not a regular file".to_owned()),
            Ok(data) => {
                let real = match (real, path.file_name()) {
                    (Some(real), Some(name)) if !link => real.join(name),
                    _ => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
                };
                if link {
                    self.note_target(&real);
                }
                Ok((Stamp::from(&data), real))
            }
            Err(error) if is_absent(&error) && !link => return,
            Err(error) => {
                Err(if link { format!("is a link: {}", said(&error)) } else { said(&error) })
            }
        };
        let target = match path.to_str() {
            Some(_) => target,
            None => Err("has a name that is not UTF-8".to_owned()),
        };
        self.candidates.push(Candidate { path: shown(path), target });
    }

    /// Where changes of a link's target show, which may stand in no directory that we read.
    fn note_target(&mut self, real: &Path) {
        let Some(directory) = real.parent() else { return };
        if !self.linked.contains_key(directory)
            && let Ok(data) = fs::metadata(directory)
        {
            self.linked.insert(directory.to_owned(), DirectoryId::from(&data));
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is nothing of that name".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn state_of(directory: &Path) -> RootState {
    match fs::metadata(directory) {
        Ok(data) if data.is_dir() => RootState::Present(DirectoryId::from(&data)),
        Ok(_) => RootState::Missing,
        Err(error) => state_of_error(&error),
    }
}

fn state_of_error(error: &io::Error) -> RootState {
    if is_absent(error) { RootState::Missing } else { RootState::Unreadable(said(error)) }
}

/// Hidden names (`..data` among them) and editors' backups. Their temporary files (`4913`, `.swp`)
/// have no manifest's extension.
fn is_ignored(path: &Path) -> bool {
    let Some(name) = path.file_name().map(OsStrExt::as_bytes) else { return true };
    name.starts_with(b".") || name.ends_with(b"~") || name.starts_with(b"#")
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(std::ffi::OsStr::to_str);
    matches!(extension, Some("yaml" | "yml" | "json"))
}
