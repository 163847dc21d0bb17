//! A new file that is never there half written, nor open to others: it has no name until it is whole,
//! mode 0600, so whatever ends the program leaves nothing behind.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

/// The file, on its way. Dropped before it is placed, it leaves nothing.
pub(super) struct NewFile {
    pub file: File,
    target: PathBuf,
    /// Its name of its own, where the file system does not know files without one.
    beside: Option<PathBuf>,
}

/// The directory that a file is in.
pub(super) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl NewFile {
    pub(super) fn beside(target: &Path) -> io::Result<Self> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, beside) = match open(directory_of(target), flags, mode) {
            Ok(file) => (File::from(file), None),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
                let beside = name_beside(target)?;
                let mut options = OpenOptions::new();
                let options = options.read(true).write(true).create_new(true).mode(0o600);
                (options.open(&beside)?, Some(beside))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, target: target.to_owned(), beside })
    }

    /// Makes it durable under its name. What is there already is replaced only if `force`, and only
    /// if it is a file or a link.
    pub(super) fn place(mut self, force: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if force {
            if let Ok(there) = fs::symlink_metadata(&self.target)
                && !there.is_file()
                && !there.is_symlink()
            {
                return Err(io::Error::other("what is there is no regular file"));
            }
            // A link cannot take the place of another: under a name of its own first, then moved.
            if self.beside.is_none() {
                let beside = name_beside(&self.target)?;
                self.link(&beside)?;
                self.beside = Some(beside);
            }
            self.beside.as_ref().map_or(Ok(()), |beside| fs::rename(beside, &self.target))?;
        } else {
            self.link(&self.target)?;
        }
        File::open(directory_of(&self.target))?.sync_all()
    }

    /// Fails if there is something of that name.
    fn link(&self, name: &Path) -> io::Result<()> {
        let own = match &self.beside {
            Some(beside) => beside.clone(),
            None => PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd())),
        };
        Ok(linkat(CWD, own, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// A hidden name in the same directory that nobody else has: two may make the same file at once.
fn name_beside(target: &Path) -> io::Result<PathBuf> {
    let mut hidden = OsString::from(".");
    hidden.push(target.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    hidden.push(format!(".{}", uuid::Uuid::now_v7()));
    Ok(directory_of(target).join(hidden))
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // Once it was moved there is nothing of that name.
            _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn made(target: &Path, text: &str) -> NewFile {
        let mut made = NewFile::beside(target).expect("made");
        made.file.write_all(text.as_bytes()).expect("written");
        made
    }

    #[test]
    fn two_that_make_one_file_do_not_meet_and_what_is_not_placed_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("file");
        let (first, second) = (made(&target, "first"), made(&target, "second"));
        drop(made(&target, "dropped"));
        first.place(false).expect("placed");
        let refused = second.place(false).expect_err("there already");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).expect("read"), "first");
        made(&target, "third").place(true).expect("replaced");
        assert_eq!(fs::read_to_string(&target).expect("read"), "third");
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&target).expect("bound");
        made(&target, "text").place(true).expect_err("it is a socket");
        assert!(std::os::unix::net::UnixStream::connect(&target).is_ok());
        let mut nothing = Vec::new();
        drop(listener.accept().expect("a client").0.read_to_end(&mut nothing));
        assert_eq!(names(directory.path()), ["socket"]);
    }
}
