//! The socket's file: made with the right mode, taken over only when nobody answers on it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The owner and its group may connect.
const MODE: u32 = 0o660;
/// `sun_path` is 108 bytes on Linux, one of them the end.
const MAX_PATH: usize = 107;

/// Why the control socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon answers on it.
    #[error("another routerd answers on {}; stop it, or choose another --socket", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket stands there.
    #[error("{} is not a socket; move it away, or choose another --socket", .0.display())]
    NotASocket(PathBuf),
    /// Longer than the system takes.
    #[error("the path of the socket is longer than {MAX_PATH} bytes: {}; choose a shorter --socket", .0.display())]
    TooLong(PathBuf),
    /// The system refuses.
    #[error("cannot bind the control socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Binds a listener at `path`.
pub(super) fn bind(path: &Path) -> Result<UnixListener, BindError> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(BindError::TooLong(path.to_owned()));
    }
    let fail = |source| BindError::Io { path: path.to_owned(), source };
    clear(path)?;
    // Bound under a name of its own and moved into place with its mode: between `bind` and `chmod`
    // the socket would stand open to whomever the umask lets in.
    let staged = staged(path);
    remove(&staged);
    let listener = UnixListener::bind(&staged).map_err(fail)?;
    let placed = std::fs::set_permissions(&staged, Permissions::from_mode(MODE))
        .and_then(|()| std::fs::rename(&staged, path));
    placed.map_err(|error| {
        remove(&staged);
        fail(error)
    })?;
    Ok(listener)
}

/// A short name in the same directory.
fn staged(path: &Path) -> PathBuf {
    path.with_file_name(format!(".s{}", std::process::id()))
}

/// Makes sure that nothing alive stands at `path`.
fn clear(path: &Path) -> Result<(), BindError> {
    let fail = |source| BindError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        // A full backlog (EAGAIN) is a live daemon as well; only a refusal means that nobody is
        // there. The file is replaced by the rename.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(fail(error)),
        _ => Err(BindError::InUse(path.to_owned())),
    }
}

/// Removes a socket's file, if it is there.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove the control socket");
    }
}
