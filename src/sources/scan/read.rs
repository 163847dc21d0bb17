//! Reads one file, unless nothing can have changed, and parses it, unless it says the same.
//!
//! A stamp alone does not tell of a second change within one tick of the file system's clock
//! (2 s on the coarsest). So a stamp is trusted once the content was read that long after the
//! stamp was first seen, by the monotonic clock: any later change then has a later change time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Decoder, Parsed, Stamp};
use crate::api::yaml::{Limits, Pos, YamlError, parse_documents};

/// The coarsest tick of a file system's clock (FAT).
const TICK: Duration = Duration::from_secs(2);

/// The files as they were read last.
#[derive(Default)]
pub(super) struct Reader {
    seen: HashMap<PathBuf, Known>,
    round: u64,
}

struct Known {
    stamp: Stamp,
    stamp_seen_at: Duration,
    read_at: Duration,
    parsed: Arc<Parsed>,
    round: u64,
}

impl Known {
    fn is_current(&self, stamp: Stamp) -> bool {
        self.stamp == stamp && self.read_at >= self.stamp_seen_at + TICK
    }
}

impl Reader {
    /// The content of a regular file that looked like `stamp` a moment ago, and how it looked
    /// when it was read; `None` if it is gone.
    pub(super) fn read(
        &mut self,
        path: &Path,
        stamp: Stamp,
        at: Duration,
        limits: &Limits,
        decoder: &dyn Decoder,
    ) -> io::Result<Option<(Stamp, Arc<Parsed>)>> {
        if let Some(known) = self.seen.get_mut(path)
            && known.is_current(stamp)
        {
            known.round = self.round;
            return Ok(Some((stamp, Arc::clone(&known.parsed))));
        }
        let (stamp, bytes) = match read_file(path, limits.file_bytes) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let before = self.seen.get(path);
        let parsed = match before {
            Some(known) if known.parsed.digest == digest => Arc::clone(&known.parsed),
            _ => Arc::new(parse(&bytes, digest, limits, decoder)),
        };
        let stamp_seen_at = match before {
            Some(known) if known.stamp == stamp => known.stamp_seen_at,
            _ => at,
        };
        let known = Known {
            stamp,
            stamp_seen_at,
            read_at: at,
            parsed: Arc::clone(&parsed),
            round: self.round,
        };
        self.seen.insert(path.to_owned(), known);
        Ok(Some((stamp, parsed)))
    }

    /// Ends a scan: drops what it did not meet.
    pub(super) fn forget_unseen(&mut self) {
        let round = self.round;
        self.seen.retain(|_, known| known.round == round);
        self.round += 1;
    }
}

/// Without blocking, whatever the path has become: opening a pipe would wait for its writer.
fn read_file(path: &Path, most: usize) -> io::Result<(Stamp, Vec<u8>)> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let stamp = Stamp::from(&data);
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or(0).min(most) + 1);
    // One byte more than may be, so that the parser sees a file that grew over the limit.
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

fn parse(bytes: &[u8], digest: [u8; 32], limits: &Limits, decoder: &dyn Decoder) -> Parsed {
    let documents = parse_documents(bytes, limits);
    let mut claims = Vec::with_capacity(documents.docs.len());
    let mut error = documents.error;
    for (number, node) in documents.docs.iter().enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        // A fault of ours on one document must not take the daemon along.
        match catch_unwind(AssertUnwindSafe(|| decoder.decode(number, node))) {
            Ok(found) => claims.extend(found),
            Err(_) => {
                error.get_or_insert(YamlError {
                    pos: Pos { ..node.pos },
                    message: "the reader of manifests failed on this document".into(),
                });
            }
        }
    }
    Parsed { digest, claims, error }
}
