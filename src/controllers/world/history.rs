//! The stored events in memory, as far as pruning needs them: how many, and which of the old ones
//! stopped being current.

use std::collections::{BTreeSet, HashMap};

/// All groups.
#[derive(Debug, Default)]
pub struct History {
    /// Raised when everything was listed anew: counts made before it are void.
    pub epoch: u64,
    listed: u64,
    groups: HashMap<String, Stored>,
}

/// One group's events since the last listing.
#[derive(Debug, Default, Clone)]
pub struct Stored {
    newest: u64,
    /// Stored minus pruned, of those after the listing; pruned ones before it count here too.
    pub change: i64,
    /// Events that are no longer the newest of their fact.
    pub superseded: BTreeSet<u64>,
}

impl History {
    /// Everything was listed; events up to `newest` may be in the listing.
    pub fn restart(&mut self, newest: u64) {
        self.epoch += 1;
        self.listed = newest;
        self.groups.clear();
    }

    /// The last event that the listing may have seen: a count of all up to it, plus the changes
    /// since, is the count.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// An event was stored, refreshed or pruned.
    pub fn note(&mut self, group: &str, seq: u64, kept: bool) {
        let stored = self.groups.entry(group.to_owned()).or_default();
        if !kept {
            stored.change -= 1;
            stored.superseded.remove(&seq);
        } else if seq > stored.newest.max(self.listed) {
            // Numbers only grow, so any other one is a refresh.
            stored.newest = seq;
            stored.change += 1;
        }
    }

    /// An event is no longer the newest of its fact.
    pub fn superseded(&mut self, group: &str, seq: u64) {
        self.groups.entry(group.to_owned()).or_default().superseded.insert(seq);
    }

    /// What changed since the listing.
    pub fn change(&self, group: &str) -> i64 {
        self.groups.get(group).map_or(0, |stored| stored.change)
    }

    /// Takes the superseded events up to `seq`.
    pub fn take_superseded(&mut self, group: &str, seq: u64) -> Vec<u64> {
        let Some(stored) = self.groups.get_mut(group) else { return Vec::new() };
        let later = stored.superseded.split_off(&(seq + 1));
        std::mem::replace(&mut stored.superseded, later).into_iter().collect()
    }
}
