//! Which finished runs are remembered: the newest, up to a number and up to a size.

use std::collections::VecDeque;

use crate::api::run::RunRecord;
use crate::store::{Scan, Store, StoreError};

/// How many finished runs are remembered.
pub const KEPT_RUNS: usize = 256;
/// How large they may be together, in bytes: their requests, answers and stderr.
pub const KEPT_TOTAL: usize = 16 << 20;
/// What a record takes beside its texts, about.
const OVERHEAD: usize = 512;

/// The recorded runs, the oldest first.
#[derive(Debug, Default)]
pub struct Kept {
    runs: VecDeque<(u64, usize)>,
    total: usize,
}

impl Kept {
    /// Those of a store.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        let mut kept = Self::default();
        for run in store.scan::<RunRecord>(&Scan::all()) {
            let run = run?;
            kept.add(run.run, size(&run));
        }
        Ok(kept)
    }

    /// Takes out what must be forgotten for one more run of this size. Should the write that
    /// forgets them fail, they are found again at the next start.
    pub fn make_room(&mut self, size: usize) -> Vec<u64> {
        let mut forgotten = Vec::new();
        while self.runs.len() >= KEPT_RUNS || self.total + size > KEPT_TOTAL {
            let Some((run, size)) = self.runs.pop_front() else { break };
            self.total -= size;
            forgotten.push(run);
        }
        forgotten
    }

    /// A run was recorded.
    pub fn add(&mut self, run: u64, size: usize) {
        self.runs.push_back((run, size));
        self.total += size;
    }
}

/// What a record takes, about.
pub fn size(run: &RunRecord) -> usize {
    run.request.len() + run.response.len() + run.stderr.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
        let mut kept = Kept::default();
        for run in 0..KEPT_RUNS as u64 {
            assert!(kept.make_room(1000).is_empty());
            kept.add(run, 1000);
        }
        assert_eq!(kept.make_room(1000), [0]);
        kept.add(256, 1000);
        let forgotten = kept.make_room(KEPT_TOTAL - 2500);
        assert_eq!(forgotten.len(), KEPT_RUNS - 2, "two of 1000 bytes fit beside it");
        assert_eq!(forgotten[0], 1);
        assert_eq!(kept.make_room(KEPT_TOTAL * 2), [255, 256], "one that is too large ends alone");
    }
}
