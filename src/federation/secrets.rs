//! Shared secrets: the bytes of a private file, white space at both ends taken off.
//!
//! Changes are noticed by [`Files`]; whoever holds a [`Secret`] asks it for its key again then.

use std::path::Path;
use std::sync::Arc;

use super::files::{Access, File, FileError, Files};
use super::signature::Key;

/// A secret that a manifest names.
#[derive(Debug, Clone)]
pub struct Secret(Arc<File>);

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing in it.
    #[error("{0} holds no secret; make one with: routerctl federation keygen --force {0}")]
    Empty(String),
}

impl Secret {
    /// The secret in the file at `path`; read now, and again when it changes.
    pub fn open(files: &Files, path: impl AsRef<Path>) -> Self {
        Self(files.open(path, Access::Private))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The key of the present secret.
    pub fn key(&self) -> Result<Key, SecretError> {
        let content = self.0.content()?;
        match trim(&content) {
            [] => Err(SecretError::Empty(self.path().display().to_string())),
            secret => Ok(Key::new(secret)),
        }
    }
}

/// Takes white space off both ends: that of Unicode, as other programs that read the file do. Bytes
/// that are not UTF-8 are no white space.
fn trim(bytes: &[u8]) -> &[u8] {
    let mut chunks = bytes.utf8_chunks();
    let Some(first) = chunks.next() else { return bytes };
    let start = first.valid().len() - first.valid().trim_start().len();
    let last = chunks.last().unwrap_or(first);
    let end = if last.invalid().is_empty() {
        last.valid().len() - last.valid().trim_end().len()
    } else {
        0
    };
    // Where all is white space, both ends take off everything.
    bytes.get(start..bytes.len() - end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn white_space_is_taken_off_both_ends_and_nowhere_else() {
        for (bytes, secret) in [
            (&b"  a b\r\n"[..], &b"a b"[..]),
            ("\u{a0}鍵\u{3000}\n".as_bytes(), "鍵".as_bytes()),
            (b" \t\x0b\x0c\n", b""),
            (b"", b""),
            (b" \xff \xfe ", b"\xff \xfe"),
            (b"\xff\n\xff", b"\xff\n\xff"),
            (b" \xff", b"\xff"),
        ] {
            assert_eq!(trim(bytes), secret, "{bytes:?}");
        }
    }

    #[test]
    fn an_empty_file_is_no_secret_and_says_how_to_make_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("empty");
        fs::write(&path, "\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Secret::open(&Files::new(), &path).key().unwrap_err();
        assert!(error.to_string().contains("keygen"), "{error}");
    }
}
