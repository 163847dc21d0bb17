//! Puts bytes into a file so that a reader sees the old ones or the new ones, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether `path` is a file of its own that holds `content`.
pub fn holds(path: &str, content: &[u8]) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    is_file && fs::read(path).is_ok_and(|old| old == content)
}

/// Where a file of this path lies, whatever links lead there.
pub fn place(path: &Path) -> PathBuf {
    let directory = real(path.parent().unwrap_or(Path::new("/")));
    path.file_name().map_or_else(|| directory.clone(), |name| directory.join(name))
}

/// Whether `path` is `root` or below it, as the file system has them now.
pub fn is_inside(path: &Path, root: &Path) -> bool {
    place(path).starts_with(real(root))
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Replaces the content of `path` unless it is `content` already. Returns whether it wrote.
///
/// The new file is written beside the old one, synced, and renamed over it; the directory is synced
/// after. A symlink is replaced, not followed: what it leads to is somebody else's. A directory that
/// is missing is made, if the one above it is there. What is neither a file nor a symlink (a socket, a
/// FIFO, a device) is an error: somebody needs it.
pub fn put(path: &str, content: &[u8]) -> io::Result<bool> {
    if holds(path, content) {
        return Ok(false);
    }
    let path = Path::new(path);
    if let Ok(found) = fs::symlink_metadata(path)
        && !found.is_file()
        && !found.is_symlink()
    {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is not a file"));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".routerd-new");
    let beside = directory.join(beside);
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
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
    fn one_missing_directory_is_made_and_two_are_an_error_that_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("missing/too/out.yaml");
        assert!(put(deep.to_str().unwrap(), b"x").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let path = directory.path().join("missing/out.yaml");
        assert!(put(path.to_str().unwrap(), b"x").unwrap());
        assert_eq!(fs::read(path).unwrap(), b"x");
    }

    #[test]
    fn what_is_no_file_is_left_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = put(socket.to_str().unwrap(), b"x").unwrap_err();
        assert_eq!(error.to_string(), "what is there is not a file");
        assert!(put(directory.path().to_str().unwrap(), b"x").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_is_inside_where_its_links_lead() {
        let directory = tempfile::tempdir().unwrap();
        let (watched, link) = (directory.path().join("watched"), directory.path().join("link"));
        fs::create_dir_all(watched.join("deep")).unwrap();
        std::os::unix::fs::symlink(&watched, &link).unwrap();
        for (path, inside) in [
            (watched.join("out.yaml"), true),
            (watched.join("deep/out.yaml"), true),
            (link.join("out.yaml"), true),
            (watched.join("../out.yaml"), false),
            (directory.path().join("watched.yaml"), false),
        ] {
            assert_eq!(is_inside(&path, &watched), inside, "{}", path.display());
        }
    }
}
