//! `federation keygen`: a new shared secret in a file of its own.
//!
//! The secret is 32 random bytes as 64 hex digits, so that a shell can hand it to another program.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::rand::GetRandomFlags;
use zeroize::Zeroizing;

use super::Session;
use crate::cli::failure::{Failure, NO};
use crate::cli::new_file::{NewFile, directory_of};

/// Random bytes of a secret.
const BYTES: usize = 32;

pub(super) fn run(session: &mut Session, file: &Path, force: bool) -> Result<(), Failure> {
    let made = secret().and_then(|secret| place(file, &secret, force));
    made.map_err(|error| explain(file, &error))?;
    session.notes.push(format!(
        "note: bring {} to the other nodes of the group, by a way that you trust",
        file.display()
    ));
    session.output.line(&file.display().to_string())
}

fn secret() -> io::Result<Zeroizing<Vec<u8>>> {
    let mut random = Zeroizing::new([0_u8; BYTES]);
    let mut filled = 0;
    while filled < BYTES {
        filled += rustix::rand::getrandom(&mut random[filled..], GetRandomFlags::empty())?;
    }
    let mut digits = Zeroizing::new(vec![0; 2 * BYTES + 1]);
    hex::encode_to_slice(*random, &mut digits[..2 * BYTES]).map_err(io::Error::other)?;
    digits[2 * BYTES] = b'\n';
    Ok(digits)
}

fn place(file: &Path, secret: &[u8], force: bool) -> io::Result<()> {
    let directory = directory_of(file);
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut made = NewFile::beside(file)?;
    owned_alike(&made.file, file, directory)?;
    made.file.write_all(secret)?;
    made.place(force)
}

/// Made by root for a daemon that is not root: the file belongs to whom the old one, or else the
/// directory, belongs to.
fn owned_alike(made: &File, file: &Path, directory: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let model = fs::metadata(file).or_else(|_| fs::metadata(directory))?;
    std::os::unix::fs::fchown(made, Some(model.uid()), Some(model.gid()))
}

fn explain(file: &Path, error: &io::Error) -> Failure {
    let file = file.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Failure::new(NO, format!("{file} is there already and stays as it is"))
            .hint("--force replaces it; the peers need the new secret, too");
    }
    Failure::new(NO, format!("cannot make {file}: {error}"))
        .hint("the directory above it must be there, and be yours to write to")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_private_random_and_not_replaced_by_accident() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secrets/g.secret");
        place(&file, &secret().unwrap(), false).unwrap();
        let first = fs::read_to_string(&file).unwrap();
        assert_eq!(first.trim().len(), 64);
        assert!(first.trim().bytes().all(|b| b.is_ascii_hexdigit()), "{first}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let refused = place(&file, &secret().unwrap(), false).unwrap_err();
        let refused = explain(&file, &refused);
        assert_eq!(refused.code, NO);
        assert!(refused.hints[0].contains("--force"), "{refused:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
        place(&file, &secret().unwrap(), true).unwrap();
        assert_ne!(fs::read_to_string(&file).unwrap(), first);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a/b/g.secret");
        let refused = place(&file, b"s", false).unwrap_err();
        let words = format!("{:?}", explain(&file, &refused));
        assert!(words.contains("g.secret"), "{words}");
    }
}
