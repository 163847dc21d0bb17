//! A new file that is never there half written, nor open to others: it is made beside, mode 0600,
//! and moved into place when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

/// The file, on its way. Dropped before it is placed, it leaves nothing.
pub(super) struct NewFile {
    pub file: File,
    target: PathBuf,
    beside: PathBuf,
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
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".routerd-new");
        let beside = directory_of(target).join(hidden);
        // What an earlier run left half done is ours to remove.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&beside)?;
        Ok(Self { file, target: target.to_owned(), beside })
    }

    /// Makes it durable under its name. What is there already is replaced only if `force`.
    pub(super) fn place(self, force: bool) -> io::Result<()> {
        self.file.sync_all()?;
        let flags = if force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        rustix::fs::renameat_with(CWD, &self.beside, CWD, &self.target, flags)?;
        File::open(directory_of(&self.target))?.sync_all()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Once it is placed there is nothing of that name.
        _ = fs::remove_file(&self.beside);
    }
}
