//! How much of each file can be seen, and since when it has looked so.

use std::collections::HashMap;
use std::time::Duration;

use super::Waits;
use super::contest::Ranked;
use super::roots::Roots;
use crate::api::accepted::Accepted;
use crate::sources::scan::{Claim, FileScan, Outcome, Scan, Stamp, files_by_path, is_below};

/// A file as it looked, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unchanged {
    mark: (Option<Stamp>, Option<[u8; 32]>),
    since: Duration,
}

/// What can be told of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// All of it.
    Whole,
    /// Not all of it, or nothing: what is not seen may be there.
    Partial,
    /// It is not there.
    Gone,
}

/// What can be told of every file.
pub(super) struct Sights<'a> {
    scanned: HashMap<&'a str, &'a FileScan>,
    hidden: Vec<&'a str>,
    /// Since when each file is as it is.
    pub files: HashMap<String, Unchanged>,
    before: HashMap<String, Duration>,
    /// Since when each file of an accepted object is gone.
    pub vanished: HashMap<String, Duration>,
}

impl<'a> Sights<'a> {
    pub(super) fn of(
        scan: &'a Scan,
        roots: &Roots<'a>,
        mut known: HashMap<String, Unchanged>,
        vanished: HashMap<String, Duration>,
        mono: Duration,
    ) -> Self {
        let mut files = HashMap::with_capacity(scan.files.len());
        for file in &scan.files {
            let mark = (file.stamp, digest(file));
            let (path, since) = match known.remove_entry(&file.path) {
                Some((path, known)) if known.mark == mark => (path, known.since),
                Some((path, _)) => (path, mono),
                None => (file.path.clone(), mono),
            };
            files.insert(path, Unchanged { mark, since });
        }
        let gaps = scan.gaps.iter().map(|gap| gap.path.as_str());
        let hidden = gaps.chain(roots.hidden()).collect();
        Self {
            scanned: files_by_path(scan),
            hidden,
            files,
            before: vanished,
            vanished: HashMap::new(),
        }
    }

    /// When an object that is missing from `file` is due to be deleted; `None` while it may be
    /// there unseen.
    pub(super) fn due(&mut self, file: &str, mono: Duration, waits: &Waits) -> Option<Duration> {
        match self.sight(file) {
            Sight::Partial => None,
            Sight::Whole => Some(self.files.get(file)?.since + waits.in_file),
            Sight::Gone => Some(self.vanished_since(file, mono) + waits.vanished_file),
        }
    }

    /// Whether an object that others claim may still stand where it last stood, unseen there.
    pub(super) fn stands_unseen(
        &mut self,
        previous: &Accepted,
        claims: &[Ranked<'_>],
        mono: Duration,
        waits: &Waits,
    ) -> bool {
        let file = previous.source.file.as_str();
        if claims.iter().any(|ranked| ranked.file == file) {
            return false;
        }
        match self.sight(file) {
            Sight::Partial => true,
            Sight::Whole => false,
            // The instant of an editor's rename must not let a shadowed claim through; a file
            // that was moved says the same as before.
            Sight::Gone => {
                self.vanished_since(file, mono) + waits.vanished_file > mono
                    && !claims.iter().any(|ranked| has_digest(ranked.claim, &previous.digest))
            }
        }
    }

    fn sight(&self, file: &str) -> Sight {
        match self.scanned.get(file).map(|scanned| &scanned.outcome) {
            Some(Outcome::Read(parsed)) => {
                let torn = parsed.error.is_some();
                let partial = torn || parsed.claims.iter().any(Claim::may_hide_others);
                if partial { Sight::Partial } else { Sight::Whole }
            }
            Some(Outcome::Unreadable(_)) => Sight::Partial,
            None if self.hidden.iter().any(|place| is_below(file, place)) => Sight::Partial,
            None => Sight::Gone,
        }
    }

    fn vanished_since(&mut self, file: &str, mono: Duration) -> Duration {
        if let Some(since) = self.vanished.get(file) {
            return *since;
        }
        let since = self.before.get(file).copied().unwrap_or(mono);
        self.vanished.insert(file.to_owned(), since);
        since
    }
}

fn digest(file: &FileScan) -> Option<[u8; 32]> {
    match &file.outcome {
        Outcome::Read(parsed) => Some(parsed.digest),
        Outcome::Unreadable(_) => None,
    }
}

fn has_digest(claim: &Claim, digest: &str) -> bool {
    claim.outcome.as_ref().is_ok_and(|fit| fit.digest == digest)
}
