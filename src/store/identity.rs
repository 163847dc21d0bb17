//! `identity.json`: what the state directory remembers about its database, outside of it.
//!
//! It proves what the database itself cannot: that it is another one, that it is older than it was,
//! that it is gone. The file is one block of fixed size, overwritten in place after each group
//! without a sync of its own: the number in it is never ahead of what is durable, so a database
//! that is behind it has lost acknowledged data.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Revision;

/// One sector, so that a power cut leaves the old block or the new one.
const BLOCK_BYTES: usize = 512;
const MAX_REASON_CHARS: usize = 160;

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub store_id: uuid::Uuid,
    /// The database had this revision on disk.
    pub high_water: Revision,
    /// Whether the database was created to the end; until then it may be absent or empty.
    pub complete: bool,
    /// A backup is being made a store here, or was when that was interrupted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restoring: bool,
    /// Damage found while the store was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct IdentityFile {
    file: File,
    contents: Identity,
}

/// The file's path in a state directory.
pub(super) fn path(state: &Path) -> PathBuf {
    state.join("identity.json")
}

/// Reads the file; `None` if it is absent or not what this program writes.
pub(super) fn read(state: &Path) -> io::Result<Option<Identity>> {
    match std::fs::read(path(state)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl IdentityFile {
    /// Writes the file anew, durably, and keeps it open.
    pub(super) fn replace(state: &Path, contents: Identity) -> io::Result<Self> {
        let temporary = state.join("identity.json.new");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o640);
        let mut file = options.open(&temporary)?;
        file.write_all(&block(&contents)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path(state))?;
        File::open(state)?.sync_all()?;
        Ok(Self { file, contents })
    }

    /// Remembers a durable revision. Not synced: being late costs evidence, not data.
    pub(super) fn note_revision(&mut self, revision: Revision) -> io::Result<()> {
        self.contents.high_water = revision;
        self.write()
    }

    /// Remembers damage, durably.
    pub(super) fn note_damage(&mut self, why: &str) -> io::Result<()> {
        self.contents.damaged = Some(why.chars().take(MAX_REASON_CHARS).collect());
        self.write()?;
        self.file.sync_all()
    }

    fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&block(&self.contents)?, 0)
    }
}

/// JSON, padded with spaces to one block.
fn block(contents: &Identity) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(contents)?;
    if bytes.len() >= BLOCK_BYTES {
        let short = Identity { damaged: Some("see the log".to_owned()), ..contents.clone() };
        bytes = serde_json::to_vec(&short)?;
    }
    bytes.resize(BLOCK_BYTES - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}
