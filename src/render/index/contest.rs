//! Proposals that compete for one thing, kept in the order in which they win.
//!
//! A sorted vector: nearly every contest has one member, which must cost little, and a contest of
//! thousands (many facts that lead to one identity) must still be joined and left cheaply.

use super::super::proposal::Proposal;

/// The competitors, subscription by subscription, each subscription's winner first.
#[derive(Debug, Default)]
pub(super) struct Contest(Vec<Proposal>);

impl Contest {
    /// Adds a proposal.
    pub(super) fn join(&mut self, proposal: Proposal) {
        match self.0.binary_search_by(|other| other.contest_order(&proposal)) {
            Ok(at) => self.0[at] = proposal,
            Err(at) => self.0.insert(at, proposal),
        }
    }

    /// Takes a proposal out, found by its content as it was when it joined. Returns whether it
    /// was there.
    pub(super) fn leave(&mut self, proposal: &Proposal) -> bool {
        let found = self.0.binary_search_by(|other| other.contest_order(proposal));
        found.map(|at| self.0.remove(at)).is_ok()
    }

    /// Whether the proposal is among them.
    pub(super) fn has(&self, proposal: &Proposal) -> bool {
        self.0.binary_search_by(|other| other.contest_order(proposal)).is_ok()
    }

    /// The one that wins: the first of each subscription, and of those the first.
    pub(super) fn winner(&self) -> Option<&Proposal> {
        let mut rest = &self.0[..];
        let firsts = std::iter::from_fn(|| {
            let first = rest.first()?;
            let own = |p: &Proposal| p.part().subscription == first.part().subscription;
            rest = &rest[rest.partition_point(own)..];
            Some(first)
        });
        Proposal::between(firsts)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Proposal> {
        self.0.iter()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
