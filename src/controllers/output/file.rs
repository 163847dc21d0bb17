//! Puts bytes into a file so that a reader sees the old ones or the new ones, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether `path` is a file of its own that holds `content`.
pub fn holds(path: &str, content: &[u8]) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    is_file && fs::read(path).is_ok_and(|old| old == content)
}

/// Replaces the content of `path` unless it is `content` already. Returns whether it wrote.
///
/// The new file is written beside the old one, synced, and renamed over it; the directory is synced
/// after. A symlink is replaced, not followed: what it leads to is somebody else's.
pub fn put(path: &str, content: &[u8]) -> io::Result<bool> {
    if holds(path, content) {
        return Ok(false);
    }
    let path = Path::new(path);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".routerd-new");
    let beside = directory.join(beside);
    // What a crash left behind is ours alone to remove.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        // The old file is untouched; what is half written beside it is of no use.
        let _leftover = fs::remove_file(&beside);
        return Err(error);
    }
    File::open(directory)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_whole_and_left_alone_when_it_is_right() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.yaml");
        let name = path.to_str().unwrap();
        assert!(put(name, b"one").unwrap());
        assert!(!put(name, b"one").unwrap());
        fs::write(directory.path().join(".out.yaml.routerd-new"), "half").unwrap();
        assert!(put(name, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symlink_is_replaced_and_its_target_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(put(link.to_str().unwrap(), b"new").unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"mine");
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing/out.yaml");
        assert!(put(path.to_str().unwrap(), b"x").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
