//! Working directories: every program starts in an empty one that no other run shares.
//!
//! There are two bases: the daemon's own, below its state, which nobody else may enter; and one that
//! other users may pass through, for programs that run as such (`sandbox.user`).
//!
//! Making and removing a directory costs 200 µs on ext4, a fifth of a whole run, and most programs
//! never write to theirs. So a directory that comes back as it was given out (empty, ours, 0700)
//! from a run that ended in order is given out again; any other is removed. Touches only the base
//! directory it was given, which must be the daemon's alone.

use super::orphans::end_left_behind;
use super::sandbox::User;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where both bases are.
#[derive(Debug)]
pub(super) struct Scratches {
    own: Arc<Base>,
    passable: PathBuf,
    /// Made when it is needed: most nodes never do.
    for_others: Mutex<Option<Arc<Base>>>,
}

impl Scratches {
    /// Opens `own`; nothing is made in `passable` until a program runs as another user. Ends what an
    /// earlier process left running in either.
    pub(super) fn open(own: PathBuf, passable: PathBuf) -> io::Result<Self> {
        for base in [&own, &passable] {
            if base.is_dir() {
                end_left_behind(base)?;
            }
        }
        Ok(Self { own: Arc::new(Base::open(own)?), passable, for_others: Mutex::default() })
    }

    /// An empty directory that nobody else has, writable to `user`.
    pub(super) fn take(&self, user: Option<User>) -> Result<Scratch, (PathBuf, io::Error)> {
        let Some(user) = user else { return self.own.take() };
        let scratch = self.for_others().map_err(|e| (self.passable.clone(), e))?.take()?;
        match std::os::unix::fs::lchown(scratch.path(), Some(user.uid), Some(user.gid)) {
            Ok(()) => Ok(scratch),
            Err(source) => Err((scratch.path().to_owned(), source)),
        }
    }

    fn for_others(&self) -> io::Result<Arc<Base>> {
        let mut open = self.for_others.lock().unwrap_or_else(PoisonError::into_inner);
        // Something that tidies temporary files may have removed it.
        if let Some(base) = open.as_ref().filter(|base| base.path.is_dir()) {
            return Ok(Arc::clone(base));
        }
        let base = Arc::new(Base::open_passable(self.passable.clone())?);
        *open = Some(Arc::clone(&base));
        Ok(base)
    }
}

/// The directory that holds the working directories.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    next: AtomicU64,
    /// Clean directories that wait for a run.
    clean: Mutex<Vec<PathBuf>>,
}

/// As many as a busy node has runs at once; more are removed.
const MAX_CLEAN: usize = 64;

const MODE: u32 = 0o700;

/// To be passed through by whoever knows a name in it.
const PASSABLE: u32 = 0o711;

const PREFIX: &str = "run-";

impl Base {
    /// Makes the directory (0700) and removes what an earlier process left in it.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(MODE).create(&path)?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if is_ours(&entry.path()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { path, next: AtomicU64::new(0), clean: Mutex::default() })
    }

    /// The same in a directory that others may pass through (0711). It may be below a directory
    /// where anybody writes, so one that is there already has to be ours.
    fn open_passable(path: PathBuf) -> io::Result<Self> {
        match DirBuilder::new().mode(MODE).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(&path)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it is there already, and not a directory of ours"));
        }
        fs::set_permissions(&path, Permissions::from_mode(PASSABLE))?;
        Self::open(path)
    }

    /// An empty directory that nobody else has.
    pub(super) fn take(self: &Arc<Self>) -> Result<Scratch, (PathBuf, io::Error)> {
        let waiting = self.clean().pop();
        if let Some(path) = waiting {
            return Ok(Scratch { base: Arc::clone(self), path });
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{PREFIX}{number}"));
        match DirBuilder::new().mode(MODE).create(&path) {
            Ok(()) => Ok(Scratch { base: Arc::clone(self), path }),
            Err(source) => Err((path, source)),
        }
    }

    fn clean(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.clean.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        for path in self.clean().drain(..) {
            // What stays is removed at the next start.
            let _ = fs::remove_dir(path);
        }
    }
}

/// Only names we make are ever removed, whatever directory was configured by mistake.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix(PREFIX))
        .is_some_and(|number| number.parse::<u64>().is_ok())
}

fn is_as_given_out(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    let ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    Ok(ours && metadata.mode() & 0o7777 == MODE && fs::read_dir(path)?.next().is_none())
}

/// One run's working directory. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Scratch {
    base: Arc<Base>,
    /// Empty once it was given back.
    path: PathBuf,
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the directory for the next run if this one did not touch it. Only for a run of which
    /// no process is left: one that is still being killed could write after the look.
    pub(super) fn give_back(mut self) {
        if is_as_given_out(&self.path).unwrap_or(false) {
            let mut clean = self.base.clean();
            if clean.len() < MAX_CLEAN {
                clean.push(std::mem::take(&mut self.path));
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        if path.as_os_str().is_empty() || fs::remove_dir(&path).is_ok() {
            return;
        }
        // A program that filled its directory makes the removal slow, so that happens elsewhere.
        // What fails is removed at the next start.
        let remove = move || drop(fs::remove_dir_all(path));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> (tempfile::TempDir, Arc<Base>) {
        let dir = tempfile::tempdir().unwrap();
        let base = Arc::new(Base::open(dir.path().to_owned()).unwrap());
        (dir, base)
    }

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
    fn a_process_that_an_earlier_daemon_left_running_is_ended_and_its_neighbours_are_not() {
        use std::os::unix::process::ExitStatusExt;
        use std::process::Command;
        let dir = tempfile::tempdir().unwrap();
        let (run, beside) = (dir.path().join("own/run-3"), dir.path().join("beside"));
        fs::create_dir_all(&run).unwrap();
        fs::create_dir(&beside).unwrap();
        let sleep = |cwd| Command::new("sleep").arg("60").current_dir(cwd).spawn().unwrap();
        let (mut left, mut neighbour) = (sleep(&run), sleep(&beside));
        Scratches::open(dir.path().join("own"), dir.path().join("passable")).unwrap();
        assert_eq!(left.wait().unwrap().signal(), Some(9));
        assert!(neighbour.try_wait().unwrap().is_none());
        neighbour.kill().unwrap();
        neighbour.wait().unwrap();
    }

    #[test]
    fn two_runs_at_once_never_share_a_directory_and_two_in_a_row_may() {
        let (_dir, base) = base();
        let first = base.take().unwrap();
        let second = base.take().unwrap();
        assert_ne!(first.path(), second.path());
        let path = first.path().to_owned();
        first.give_back();
        assert_eq!(base.take().unwrap().path(), path);
    }

    #[test]
    fn a_directory_that_was_written_to_is_removed_and_not_given_out_again() {
        let (_dir, base) = base();
        let scratch = base.take().unwrap();
        let path = scratch.path().to_owned();
        fs::create_dir_all(path.join("deep/er")).unwrap();
        scratch.give_back();
        assert!(!path.exists());
        assert_ne!(base.take().unwrap().path(), path);
    }

    #[test]
    fn a_directory_whose_mode_was_changed_or_that_was_replaced_is_not_given_out_again() {
        let (_dir, base) = base();
        let opened_up = base.take().unwrap();
        let path = opened_up.path().to_owned();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        opened_up.give_back();
        assert!(!path.exists());

        let replaced = base.take().unwrap();
        let path = replaced.path().to_owned();
        fs::remove_dir(&path).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
        replaced.give_back();
        assert_ne!(base.take().unwrap().path(), path);
        assert!(elsewhere.path().exists(), "a link is not followed");
    }

    #[test]
    fn a_directory_for_others_is_made_only_where_nobody_prepared_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("others");
        std::os::unix::fs::symlink(dir.path(), &path).unwrap();
        assert!(Base::open_passable(path.clone()).is_err(), "a link");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(Base::open_passable(path.clone()).is_err(), "a file");
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            Base::open_passable(path.clone()).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, PASSABLE);
        }
    }

    #[test]
    fn nothing_is_left_when_the_base_is_closed() {
        let (dir, base) = base();
        base.take().unwrap().give_back();
        drop(base.take().unwrap());
        drop(base);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
