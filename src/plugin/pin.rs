//! The pin: the SHA-256 of an executable, taken from the very descriptor that is executed.
//!
//! A path can lead to another file a moment after it was hashed; an open descriptor cannot. So a
//! pinned program is opened once, hashed through that descriptor, and executed through it:
//!
//! - a binary as `/proc/self/fd/N`. The kernel opens it before it closes the close-on-exec
//!   descriptors, so nothing is inherited;
//! - a `#!` script as `/proc/<daemon's pid>/fd/N`. Here the kernel starts the interpreter with that
//!   path as an argument, and the interpreter opens it when the child's own descriptors are closed
//!   already; so it reads through ours, which stays open until the run ends. Readable by
//!   root and by the daemon's own user: a script cannot be pinned and run as another user.
//!
//! `argv[0]` stays the configured path, but the command name in `ps -o comm` is the descriptor's
//! number. For this reason programs that are not pinned are executed by their path.
//!
//! What a pin cannot exclude is somebody trusted who writes *into* the same file between the hash
//! and the execution. Hashing costs about 2 ms/MB, so digests are cached by the file's identity.

use super::contract::HostError;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A SHA-256, shown and parsed as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// An open executable whose bytes are the pinned ones. Keep it until the run has ended.
#[derive(Debug)]
pub(super) struct Pinned {
    file: File,
    pub(super) is_script: bool,
    pub(super) digest: Digest,
}

impl Pinned {
    /// The path through which exactly these bytes are executed.
    pub(super) fn path(&self) -> PathBuf {
        let fd = self.file.as_raw_fd();
        if self.is_script {
            PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()))
        } else {
            PathBuf::from(format!("/proc/self/fd/{fd}"))
        }
    }
}

/// Digests by file identity. Bounded: it is emptied when full.
#[derive(Debug, Default)]
pub(super) struct Digests {
    known: Mutex<HashMap<Identity, Known>>,
}

/// What changes when a file is replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

#[derive(Debug, Clone, Copy)]
struct Known {
    digest: Digest,
    first_seen: Instant,
    settled: bool,
}

/// More pinned programs than any node has.
const MAX_KNOWN: usize = 1024;

/// File times tick coarsely (4 ms, on some file systems 1 s or 2 s), so two writes within one tick
/// look alike. A digest is believed only if it was taken this long after the identity was first
/// seen: every later write then has a later time.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

impl Digests {
    /// Opens `path` and compares its digest with `expected`. Hashes on a blocking thread.
    pub(super) async fn open_pinned(
        self: &Arc<Self>,
        path: &Path,
        expected: Digest,
    ) -> Result<Pinned, HostError> {
        let unreadable = |source| HostError::Unreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let settled = self.settled(&file).map_err(unreadable)?;
        let digest = if let Some(digest) = settled {
            digest
        } else {
            let digests = Arc::clone(self);
            let hashing = tokio::task::spawn_blocking(move || {
                digests.digest(&mut file).map(|digest| (file, digest))
            });
            // Fails only when the runtime is shutting down.
            let hashed = hashing.await.map_err(|_| HostError::Cancelled)?;
            let (hashed, digest) = hashed.map_err(unreadable)?;
            file = hashed;
            digest
        };
        if digest != expected {
            return Err(HostError::DigestMismatch {
                path: path.to_owned(),
                expected,
                actual: digest,
            });
        }
        let is_script = starts_as_script(&mut file).map_err(unreadable)?;
        Ok(Pinned { file, is_script, digest })
    }

    fn settled(&self, file: &File) -> io::Result<Option<Digest>> {
        let identity = Identity::of(file)?;
        let known = self.lock().get(&identity).copied();
        Ok(known.filter(|known| known.settled).map(|known| known.digest))
    }

    fn digest(&self, file: &mut File) -> io::Result<Digest> {
        let identity = Identity::of(file)?;
        let before = self.lock().get(&identity).copied();
        let started = Instant::now();
        let digest = hash(file)?;
        if Identity::of(file)? == identity {
            let first_seen = before.map_or(started, |known| known.first_seen);
            let settled = started.duration_since(first_seen) >= SETTLED_AFTER;
            let mut known = self.lock();
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(identity, Known { digest, first_seen, settled });
        }
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Identity, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

fn hash(file: &mut File) -> io::Result<Digest> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Digest(hasher.finalize().into())),
            n => hasher.update(&chunk[..n]),
        }
    }
}

fn starts_as_script(file: &mut File) -> io::Result<bool> {
    file.rewind()?;
    let mut magic = Vec::with_capacity(2);
    file.by_ref().take(2).read_to_end(&mut magic)?;
    Ok(magic == b"#!")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn known(digests: &Digests, path: &Path) -> (bool, Digest) {
        let identity = Identity::of(&File::open(path).unwrap()).unwrap();
        let known = digests.lock()[&identity];
        (known.settled, known.digest)
    }

    #[test]
    fn a_digest_is_not_believed_while_a_write_could_hide_in_the_same_tick() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "one").unwrap();
        let digests = Digests::default();
        let first = digests.digest(&mut File::open(&path).unwrap()).unwrap();
        assert_eq!(known(&digests, &path), (false, first));

        // Age the entry as if it had been seen long ago, with a digest that is wrong now.
        for entry in digests.lock().values_mut() {
            entry.first_seen = Instant::now().checked_sub(SETTLED_AFTER).unwrap();
            entry.digest = Digest([7; 32]);
        }
        let second = digests.digest(&mut File::open(&path).unwrap()).unwrap();
        assert_eq!(second, first, "an unsettled entry is hashed again");
        assert_eq!(known(&digests, &path), (true, first));
    }

    #[tokio::test]
    async fn a_settled_digest_is_reused_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "one").unwrap();
        let digests = Arc::new(Digests::default());
        let identity = Identity::of(&File::open(&path).unwrap()).unwrap();
        let planted = Known { digest: Digest([7; 32]), first_seen: Instant::now(), settled: true };
        digests.lock().insert(identity, planted);
        assert!(digests.open_pinned(&path, planted.digest).await.is_ok());

        std::fs::write(&path, "other").unwrap();
        let now = Digest(Sha256::digest("other").into());
        match digests.open_pinned(&path, planted.digest).await {
            Err(HostError::DigestMismatch { actual, .. }) => assert_eq!(actual, now),
            other => panic!("{other:?}"),
        }
    }

    async fn pin(path: &Path) -> Pinned {
        let expected = Digest(Sha256::digest(std::fs::read(path).unwrap()).into());
        Arc::new(Digests::default()).open_pinned(path, expected).await.unwrap()
    }

    /// Another file under the same name, the way a package manager installs one.
    fn swap(path: &Path) {
        let other = path.with_extension("new");
        std::fs::write(&other, "#!/bin/sh\necho swapped\n").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(other, path).unwrap();
    }

    fn stdout_of(program: &Path) -> String {
        let output = std::process::Command::new(program).arg("hello").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[tokio::test]
    async fn a_pinned_script_runs_the_checked_bytes_after_the_path_was_swapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "#!/bin/sh\necho \"$1\"\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let pinned = pin(&path).await;
        swap(&path);
        assert_eq!(stdout_of(&pinned.path()), "hello\n");
    }

    #[tokio::test]
    async fn a_pinned_binary_runs_the_checked_bytes_after_the_path_was_swapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::copy("/bin/echo", &path).unwrap();
        let pinned = pin(&path).await;
        swap(&path);
        assert_eq!(stdout_of(&pinned.path()), "hello\n");
    }

    #[test]
    fn the_cache_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let digests = Digests::default();
        for size in 0..MAX_KNOWN + 10 {
            std::fs::write(&path, vec![b'x'; size]).unwrap();
            digests.digest(&mut File::open(&path).unwrap()).unwrap();
        }
        assert!(digests.lock().len() <= MAX_KNOWN);
    }

    #[test]
    fn a_digest_reads_back_as_it_is_shown() {
        let digest = Digest(Sha256::digest("x").into());
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("abc".parse::<Digest>().is_err());
    }
}
