//! What the index knows about one identity, and about one address.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::proposal::{Origin, Proposal};
use super::super::refs::{AddressKey, Facade};
use super::contest::Contest;
use crate::api::accepted::Accepted;
use crate::api::object::ObjectKey;
use crate::api::part::{Directive, Part};

/// A directive of a served part.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    pub(super) part: Arc<Part>,
    pub(super) index: usize,
}

impl Mask {
    /// The directive.
    pub(super) fn directive(&self) -> &Directive {
        &self.part.directives[self.index]
    }
}

/// One identity: everything that speaks of it, and what came of it.
#[derive(Debug)]
pub(super) struct Slot {
    /// The manifest of that identity.
    pub(super) startup: Option<Arc<Accepted>>,
    /// Directives that name it.
    pub(super) masks: Vec<Mask>,
    /// Proposals of it that pass rule 3.
    pub(super) sound: Contest,
    /// Proposals of it that do not.
    pub(super) unsound: Contest,
    /// Proposals of other identities that refer to it.
    pub(super) referrers: BTreeSet<Proposal>,
    /// Startup resources that refer to it.
    pub(super) startup_referrers: BTreeSet<ObjectKey>,
    /// What stands after rules 1 to 4.
    pub(super) origin: Option<Origin>,
    /// What others see of that.
    pub(super) facade: Facade,
    /// The address that a claim competes for, under rule 5.
    pub(super) address: Option<AddressKey>,
    /// Whether it was crowded when it was last settled.
    pub(super) was_crowded: bool,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            startup: None,
            masks: Vec::new(),
            sound: Contest::default(),
            unsound: Contest::default(),
            referrers: BTreeSet::new(),
            startup_referrers: BTreeSet::new(),
            origin: None,
            facade: Facade::Missing,
            address: None,
            was_crowded: false,
        }
    }
}

/// Proposals of one identity, or claims of one address, of which each is told who won. Where there
/// are more, a new winner is told to the old one alone: else each observation of a fact would concern
/// every other fact that leads to the same thing.
pub(super) const CROWD: usize = 16;

impl Slot {
    /// Whether so many propose it that the losers are not told by whom.
    pub(super) fn is_crowded(&self) -> bool {
        self.sound.len() + self.unsound.len() > CROWD
    }

    /// Whether nothing speaks of the identity any more.
    pub(super) fn is_empty(&self) -> bool {
        self.startup.is_none()
            && self.masks.is_empty()
            && self.sound.is_empty()
            && self.unsound.is_empty()
            && self.referrers.is_empty()
            && self.startup_referrers.is_empty()
    }
}

/// The claims for one address of one domain.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Startup claims, in the order of the files.
    pub(super) startup: Vec<Arc<Accepted>>,
    /// Proposed claims that won their identity.
    pub(super) dynamic: Contest,
    /// The proposed claim that is in.
    pub(super) shown: Option<Proposal>,
    /// Whether it was crowded when it was last settled.
    pub(super) was_crowded: bool,
}

impl Group {
    /// The claim that has the address.
    pub(super) fn winner(&self) -> Option<Origin> {
        match self.startup.first() {
            Some(claim) => Some(Origin::Startup(Arc::clone(claim))),
            None => self.dynamic.winner().cloned().map(Origin::Dynamic),
        }
    }

    /// Whether so many claim it that the losers are not told by whom.
    pub(super) fn is_crowded(&self) -> bool {
        self.startup.len() + self.dynamic.len() > CROWD
    }

    /// Adds a claim.
    pub(super) fn join(&mut self, origin: Origin) {
        match origin {
            Origin::Dynamic(claim) => self.dynamic.join(claim),
            Origin::Startup(claim) => {
                let order = |other: &Arc<Accepted>| {
                    (&other.source, other.key()) < (&claim.source, claim.key())
                };
                let at = self.startup.partition_point(order);
                self.startup.insert(at, claim);
            }
        }
    }

    /// Takes a claim out, as it was when it joined.
    pub(super) fn leave(&mut self, origin: &Origin) {
        match origin {
            Origin::Dynamic(claim) => {
                self.dynamic.leave(claim);
            }
            Origin::Startup(claim) => self.startup.retain(|other| other.key() != claim.key()),
        }
    }

    /// Whether no claim is left.
    pub(super) fn is_empty(&self) -> bool {
        self.startup.is_empty() && self.dynamic.is_empty()
    }
}
