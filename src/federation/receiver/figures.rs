//! Counts of one group's listener, in memory: they begin anew with the daemon.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::refusal::Refusal;
use crate::store::events::Outcome;

/// What is counted.
#[derive(Debug, Default)]
pub struct Figures {
    received: AtomicU64,
    duplicate: AtomicU64,
    ignored: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

/// The counts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events taken in: new ones and refreshed ones.
    pub received: u64,
    /// Events that were known already.
    pub duplicate: u64,
    /// Members of accepted requests' events that are not known and had no effect.
    pub ignored: u64,
    /// Refused requests and events, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Figures {
    /// Counts an accepted event.
    pub fn accepted(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::New { .. } | Outcome::Refreshed => &self.received,
            Outcome::Duplicate => &self.duplicate,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts members that are not known.
    pub fn ignored(&self, members: usize) {
        self.ignored.fetch_add(members as u64, Ordering::Relaxed);
    }

    /// Counts a refusal.
    pub fn rejected(&self, refusal: &Refusal) {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        *rejected.entry(refusal.reason()).or_default() += 1;
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        Counts {
            received: self.received.load(Ordering::Relaxed),
            duplicate: self.duplicate.load(Ordering::Relaxed),
            ignored: self.ignored.load(Ordering::Relaxed),
            rejected: self.rejected.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Counts {
    /// All refusals.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }
}
