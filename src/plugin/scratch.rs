//! Working directories: a program gets an empty, private one and it is gone afterwards.
//!
//! A shared directory would be cheaper by some 20 µs, but two runs would then see each other's
//! files. Touches only the base directory it was given, which must be the daemon's alone.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The directory that holds the working directories.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    next: AtomicU64,
}

impl Base {
    /// Makes the directory (0700) and removes what an earlier process left in it.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if is_ours(&entry.path()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { path, next: AtomicU64::new(0) })
    }

    /// Makes a new, empty directory.
    pub(super) fn create(&self) -> Result<Scratch, (PathBuf, io::Error)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{PREFIX}{number}"));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Scratch { path }),
            Err(source) => Err((path, source)),
        }
    }
}

const PREFIX: &str = "run-";

/// Only names we make are ever removed, whatever directory was configured by mistake.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix(PREFIX))
        .is_some_and(|number| number.parse::<u64>().is_ok())
}

/// One working directory; removed on drop.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nearly always it is still empty: one system call. A program that filled it makes the
        // removal slow, so that happens elsewhere; what fails is removed at the next start.
        if fs::remove_dir(&self.path).is_err() {
            let path = std::mem::take(&mut self.path);
            let remove = move || drop(fs::remove_dir_all(path));
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(remove)),
                Err(_) => remove(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_process_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("run-3/deep")).unwrap();
        fs::create_dir(dir.path().join("run-mine")).unwrap();
        Base::open(dir.path().to_owned()).unwrap();
        assert!(!dir.path().join("run-3").exists());
        assert!(dir.path().join("run-mine").exists());
    }

    #[test]
    fn a_directory_is_removed_with_what_was_written_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::open(dir.path().to_owned()).unwrap();
        let scratch = base.create().unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
