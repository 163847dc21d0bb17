//! The effective config kept up to date: the daemon's copy, at a cost in proportion to each change.
//!
//! Pure and total, like the definition ([`super::effective()`]) that it must equal at every moment.
//! It keeps a slot for each identity that anything speaks of, a group for each claimed address, and
//! for each identity those who refer to it. A change marks the slots that it touches; slots are
//! settled in the order of their ranks, and a slot whose outside changed marks those who look at
//! it. Nothing else is looked at.

mod contest;
mod output;
mod policies;
mod reports;
mod settle;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::sync::Arc;

use self::output::Output;
use self::policies::Policies;
use self::slot::{Group, Mask, Slot};
use super::digest::{self, Content};
use super::document::Header;
use super::proposal::Proposal;
use super::refs::{self, AddressKey};
use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::fact::FactId;
use crate::api::object::ObjectKey;
use crate::api::part::Part;

pub use self::reports::PartOutcome;

/// Names a part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartKey {
    /// The subscription's name.
    pub subscription: String,
    /// The fact.
    pub fact: FactId,
}

impl PartKey {
    /// The name of `part`.
    pub fn of(part: &Part) -> Self {
        Self { subscription: part.subscription.clone(), fact: part.fact }
    }
}

/// One change of the inputs.
#[derive(Debug, Clone)]
pub enum Change {
    /// A manifest was accepted, or a new version of it.
    PutAccepted(Arc<Accepted>),
    /// A manifest is gone.
    DeleteAccepted(ObjectKey),
    /// A part was stored, or a new version of it.
    PutPart(Arc<Part>),
    /// A part was collected.
    DeletePart(PartKey),
}

/// Whose outcome may have changed since the last look: a superset, in proportion to the changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Parts, for `outcome_of`.
    pub parts: BTreeSet<PartKey>,
    /// Startup resources, for `startup_problems` and `masked`.
    pub objects: BTreeSet<ObjectKey>,
}

/// The effective config of the manifests and parts put into it, at its own idea of now.
#[derive(Debug)]
pub struct Index {
    now: Time,
    parts: BTreeMap<PartKey, Arc<Part>>,
    /// Served parts by their end.
    expiry: BTreeSet<(Time, PartKey)>,
    slots: hashbrown::HashMap<ObjectKey, Slot, RandomState>,
    groups: BTreeMap<AddressKey, Group>,
    policies: Policies,
    /// Startup identities in the order of the files.
    files: BTreeSet<(SourceRef, ObjectKey)>,
    routers: BTreeSet<(SourceRef, ObjectKey)>,
    event_groups: BTreeSet<(SourceRef, ObjectKey)>,
    output: Output,
    header: Header,
    header_digest: Content,
    digest: String,
    revision: u64,
    changes: u64,
    /// Slots to settle, lowest rank first.
    dirty: BTreeSet<(u8, ObjectKey)>,
    dirty_groups: BTreeSet<AddressKey>,
    touched: Touched,
    /// Identities all of whose proposals are touched.
    touched_slots: BTreeSet<ObjectKey>,
    /// Addresses all of whose claims are touched.
    touched_groups: BTreeSet<AddressKey>,
}

impl Index {
    /// An empty index at `now`.
    pub fn new(now: Time) -> Self {
        let header = Header::of(std::iter::empty(), std::iter::empty());
        let header_digest = digest::header(&header);
        let output = Output::default();
        Self {
            now,
            parts: BTreeMap::new(),
            expiry: BTreeSet::new(),
            slots: hashbrown::HashMap::default(),
            groups: BTreeMap::new(),
            policies: Policies::default(),
            files: BTreeSet::new(),
            routers: BTreeSet::new(),
            event_groups: BTreeSet::new(),
            digest: output.digest(&header_digest),
            output,
            header,
            header_digest,
            revision: 0,
            changes: 0,
            dirty: BTreeSet::new(),
            dirty_groups: BTreeSet::new(),
            touched: Touched::default(),
            touched_slots: BTreeSet::new(),
            touched_groups: BTreeSet::new(),
        }
    }

    /// Takes up a change. Returns whether the printed bytes changed.
    pub fn apply(&mut self, change: Change) -> bool {
        self.changes += 1;
        match change {
            Change::PutAccepted(accepted) => {
                self.remove_accepted(&accepted.resource.key.clone());
                self.add_accepted(accepted);
            }
            Change::DeleteAccepted(key) => self.remove_accepted(&key),
            Change::PutPart(part) => {
                self.remove_part(&PartKey::of(&part));
                self.add_part(part);
            }
            Change::DeletePart(key) => self.remove_part(&key),
        }
        self.settle()
    }

    /// Moves time forward and takes out what is past its end; an earlier `now` changes nothing.
    /// Returns whether the printed bytes changed.
    pub fn expire(&mut self, now: Time) -> bool {
        self.now = self.now.max(now);
        while self.expiry.first().is_some_and(|(end, _)| *end <= self.now) {
            let Some((_, key)) = self.expiry.pop_first() else { break };
            if let Some(part) = self.parts.get(&key).cloned() {
                self.detach(&part);
            }
            self.touched.parts.insert(key);
            self.changes += 1;
        }
        self.settle()
    }

    /// The index's own now: the latest that it was told.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When the next part ends, if nothing changes.
    pub fn next_expiry(&self) -> Option<Time> {
        self.expiry.first().map(|(end, _)| *end)
    }

    /// Counts the changes of the printed bytes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Counts everything that was taken up: a view is as good as new until this moves. It moves
    /// also when only what is left out changes, and the printed bytes do not.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The digest of the printed bytes; that of [`super::Effective::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whose outcome may have changed since this was last called.
    pub fn take_touched(&mut self) -> Touched {
        let mut touched = std::mem::take(&mut self.touched);
        for address in std::mem::take(&mut self.touched_groups) {
            let Some(group) = self.groups.get(&address) else { continue };
            touched.parts.extend(group.dynamic.iter().map(|claim| PartKey::of(claim.part())));
            touched.objects.extend(group.startup.iter().map(|claim| claim.key().clone()));
        }
        for key in std::mem::take(&mut self.touched_slots) {
            let Some(slot) = self.slots.get(&key) else { continue };
            let proposals = slot.sound.iter().chain(slot.unsound.iter());
            touched.parts.extend(proposals.map(|p| PartKey::of(p.part())));
            touched.parts.extend(slot.masks.iter().map(|m| PartKey::of(&m.part)));
            touched.objects.extend(slot.startup.is_some().then_some(key));
        }
        touched
    }

    fn mark(&mut self, key: &ObjectKey) {
        self.dirty.insert((refs::rank(key), key.clone()));
    }

    fn slot(&mut self, key: &ObjectKey) -> &mut Slot {
        self.slots.entry_ref(key).or_default()
    }

    fn add_accepted(&mut self, accepted: Arc<Accepted>) {
        let key = accepted.key().clone();
        let place = (accepted.source.clone(), key.clone());
        if refs::is_router(&key) {
            self.routers.insert(place.clone());
        } else if refs::is_group(&key) {
            self.event_groups.insert(place.clone());
        } else if refs::is_policy(&key) {
            self.policies.add(&accepted).iter().for_each(|target| self.mark(target));
        }
        self.files.insert(place);
        for reference in refs::references(&accepted.resource) {
            self.slot(&reference.to.to_key()).startup_referrers.insert(key.clone());
        }
        self.touched.objects.insert(key.clone());
        self.slot(&key).startup = Some(accepted);
        self.mark(&key);
    }

    fn remove_accepted(&mut self, key: &ObjectKey) {
        let Some(old) = self.slots.get_mut(key).and_then(|slot| slot.startup.take()) else {
            return;
        };
        let place = (old.source.clone(), key.clone());
        self.files.remove(&place);
        self.routers.remove(&place);
        self.event_groups.remove(&place);
        if refs::is_policy(key) {
            self.policies.remove(&old).iter().for_each(|target| self.mark(target));
        }
        for reference in refs::references(&old.resource) {
            let target = reference.to.to_key();
            self.slot(&target).startup_referrers.remove(key);
            self.sweep(&target);
        }
        self.touched.objects.insert(key.clone());
        self.mark(key);
    }

    fn add_part(&mut self, part: Arc<Part>) {
        let key = PartKey::of(&part);
        self.touched.parts.insert(key.clone());
        if part.is_served(self.now) {
            self.expiry.insert((part.expires_at, key.clone()));
            self.attach(&part);
        }
        self.parts.insert(key, part);
    }

    fn remove_part(&mut self, key: &PartKey) {
        let Some(old) = self.parts.remove(key) else { return };
        self.touched.parts.insert(key.clone());
        if self.expiry.remove(&(old.expires_at, key.clone())) {
            self.detach(&old);
        }
    }

    /// Enters what a served part proposes.
    fn attach(&mut self, part: &Arc<Part>) {
        for (index, directive) in part.directives.iter().enumerate() {
            let mask = Mask { part: Arc::clone(part), index };
            self.slot(&directive.target).masks.push(mask);
            self.mark(&directive.target);
        }
        for proposal in Proposal::all(part).filter(|p| !refs::is_control(p.key())) {
            for reference in refs::references(proposal.resource()) {
                self.slot(&reference.to.to_key()).referrers.insert(proposal.clone());
            }
            let sound = self.is_sound(&proposal);
            let slot = self.slot(proposal.key());
            if sound { &mut slot.sound } else { &mut slot.unsound }.join(proposal.clone());
            self.mark(proposal.key());
        }
    }

    /// Takes out all that `attach` entered.
    fn detach(&mut self, part: &Arc<Part>) {
        for directive in &part.directives {
            let of_part = |mask: &Mask| Arc::ptr_eq(&mask.part, part);
            self.slot(&directive.target).masks.retain(|mask| !of_part(mask));
            self.mark(&directive.target);
        }
        for proposal in Proposal::all(part).filter(|p| !refs::is_control(p.key())) {
            for reference in refs::references(proposal.resource()) {
                let target = reference.to.to_key();
                self.slot(&target).referrers.remove(&proposal);
                self.sweep(&target);
            }
            let slot = self.slot(proposal.key());
            if !slot.sound.leave(&proposal) {
                slot.unsound.leave(&proposal);
            }
            self.mark(proposal.key());
        }
    }

    /// Drops a slot of which nothing speaks any more and from which nothing stands.
    fn sweep(&mut self, key: &ObjectKey) {
        let unused = |slot: &Slot| slot.is_empty() && slot.origin.is_none();
        if self.slots.get(key).is_some_and(unused) {
            self.slots.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
