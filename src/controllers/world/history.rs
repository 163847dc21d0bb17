//! The stored events in memory, as far as pruning needs them: which of the old ones stopped being
//! current.

use std::collections::{BTreeSet, HashMap};

/// All groups.
#[derive(Debug, Default)]
pub struct History {
    /// Raised when everything was listed anew: who walks the events begins at the first.
    pub epoch: u64,
    /// Places of events that are no longer the newest of their fact, by group.
    superseded: HashMap<String, BTreeSet<u64>>,
}

impl History {
    /// Everything was listed.
    pub fn restart(&mut self) {
        self.epoch += 1;
        self.superseded.clear();
    }

    /// Events were pruned.
    pub fn pruned(&mut self, group: &str, seqs: &[u64]) {
        if let Some(superseded) = self.superseded.get_mut(group) {
            seqs.iter().for_each(|seq| _ = superseded.remove(seq));
        }
    }

    /// An event is no longer the newest of its fact.
    pub fn superseded(&mut self, group: &str, seq: u64) {
        self.superseded.entry(group.to_owned()).or_default().insert(seq);
    }

    /// Takes the first superseded event, if it is one up to `seq`.
    pub fn take_superseded(&mut self, group: &str, seq: u64) -> Option<u64> {
        let superseded = self.superseded.get_mut(group)?;
        let first = *superseded.first()?;
        (first <= seq).then(|| superseded.pop_first()).flatten()
    }
}
