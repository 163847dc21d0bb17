//! Settling what a change marked: slots by rank, then addresses, then the digest.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::proposal::{Origin, Proposal};
use super::super::refs::{self, AddressKey, Facade, KeyRef};
use super::super::{digest, rules};
use super::slot::{Group, Slot};
use super::{Header, Index, PartKey};
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::object::ObjectKey;

impl Index {
    /// Brings everything that is marked up to date. Returns whether the printed bytes changed.
    pub(super) fn settle(&mut self) -> bool {
        let mut header = false;
        while let Some((_, key)) = self.dirty.pop_first() {
            header |= refs::is_router(&key) || refs::is_group(&key);
            self.settle_slot(&key);
            self.sweep(&key);
        }
        while let Some(address) = self.dirty_groups.pop_first() {
            self.settle_group(&address);
        }
        if header {
            // What one Router has is news to those after it.
            let routers = self.routers.iter().map(|(_, key)| key.clone());
            self.touched.objects.extend(routers);
            self.header = self.make_header();
            self.header_digest = digest::header(&self.header);
        }
        let digest = self.output.digest(&self.header_digest);
        let changed = digest != self.digest;
        self.digest = digest;
        self.revision += u64::from(changed);
        changed
    }

    fn make_header(&self) -> Header {
        Header::of(self.routers(), self.accepted(&self.event_groups))
    }

    /// The Routers in the order of the files.
    pub(super) fn routers(&self) -> impl Iterator<Item = &Accepted> {
        self.accepted(&self.routers)
    }

    fn accepted<'a>(
        &'a self,
        places: &'a BTreeSet<(SourceRef, ObjectKey)>,
    ) -> impl Iterator<Item = &'a Accepted> {
        places.iter().filter_map(|(_, key)| self.slots.get(key)?.startup.as_deref())
    }

    /// Rules 1 to 4 for one identity.
    fn settle_slot(&mut self, key: &ObjectKey) {
        let Some(slot) = self.slots.get(key) else { return };
        let origin = match &slot.startup {
            Some(_) if refs::is_router(key) => None,
            Some(startup) if !self.is_masked(slot) => Some(Origin::Startup(Arc::clone(startup))),
            _ => slot.sound.winner().cloned().map(Origin::Dynamic),
        };
        let facade = origin.as_ref().map_or(Facade::Missing, |o| refs::facade(o.resource()));
        let address = origin.as_ref().and_then(|o| refs::claimed(o.resource()));
        let slot = self.slot(key);
        let old = std::mem::replace(&mut slot.origin, origin.clone());
        let crowded = slot.is_crowded();
        let was_crowded = std::mem::replace(&mut slot.was_crowded, crowded);
        let told = !(crowded && was_crowded && same_sort(old.as_ref(), origin.as_ref()));
        let old_facade = std::mem::replace(&mut slot.facade, facade);
        let old_address = std::mem::replace(&mut slot.address, address.clone());
        if let Some(old) = &old {
            self.take_out(old, old_address);
        }
        if let Some(origin) = origin.clone() {
            self.put_in(origin, address);
        }
        if told {
            self.touched_slots.insert(key.clone());
        } else {
            self.touch_winners(old.as_ref(), origin.as_ref());
            let Some(slot) = self.slots.get(key) else { return };
            self.touched.parts.extend(slot.masks.iter().map(|mask| PartKey::of(&mask.part)));
            self.touched.objects.extend(slot.startup.is_some().then(|| key.clone()));
        }
        if old_facade != facade {
            self.recheck_referrers(key);
        }
    }

    fn take_out(&mut self, old: &Origin, address: Option<AddressKey>) {
        if let Some(address) = address {
            let group = self.groups.entry(address.clone()).or_default();
            group.leave(old);
            if let (Some(shown), Origin::Dynamic(claim)) = (&group.shown, old)
                && shown == claim
            {
                group.shown = None;
                self.output.hide(old);
            }
            self.dirty_groups.insert(address);
            if matches!(old, Origin::Dynamic(_)) {
                return;
            }
        }
        self.output.hide(old);
    }

    fn put_in(&mut self, origin: Origin, address: Option<AddressKey>) {
        if address.is_none() || matches!(origin, Origin::Startup(_)) {
            self.output.show(&origin);
        }
        if let Some(address) = address {
            self.groups.entry(address.clone()).or_default().join(origin);
            self.dirty_groups.insert(address);
        }
    }

    /// Rule 5 for one address.
    fn settle_group(&mut self, address: &AddressKey) {
        let Some(group) = self.groups.get_mut(address) else { return };
        let winner = group.winner();
        let shown = match &winner {
            Some(Origin::Dynamic(claim)) => Some(claim.clone()),
            _ => None,
        };
        let old = std::mem::replace(&mut group.shown, shown);
        let crowded = group.is_crowded();
        let was_crowded = std::mem::replace(&mut group.was_crowded, crowded);
        let (before, after) = (old.clone().map(Origin::Dynamic), winner.clone());
        // Whoever lost is told by whom, so all of them hear of it, unless they are a crowd.
        if crowded && was_crowded && same_sort(before.as_ref(), after.as_ref()) {
            self.touch_winners(before.as_ref(), after.as_ref());
        } else {
            self.touched_groups.insert(address.clone());
        }
        if self.groups.get(address).is_some_and(Group::is_empty) {
            self.groups.remove(address);
        }
        if let Some(old) = old {
            self.output.hide(&Origin::Dynamic(old));
        }
        if let Some(winner @ Origin::Dynamic(_)) = winner {
            self.output.show(&winner);
        }
    }

    /// Those who won something and lost it, or the other way round.
    fn touch_winners(&mut self, before: Option<&Origin>, after: Option<&Origin>) {
        for origin in [before, after].into_iter().flatten() {
            match origin {
                Origin::Dynamic(proposal) => {
                    _ = self.touched.parts.insert(PartKey::of(proposal.part()));
                }
                Origin::Startup(startup) => _ = self.touched.objects.insert(startup.key().clone()),
            }
        }
    }

    /// Whether a directive that a policy allows takes the slot's startup resource out.
    fn is_masked(&self, slot: &Slot) -> bool {
        slot.masks.iter().any(|mask| {
            let target = &mask.directive().target;
            !refs::is_control(target)
                && self.policies.allowing(&mask.part.source(), target).is_some()
        })
    }

    /// What others see of `key` now.
    pub(super) fn facade(&self, key: KeyRef<'_>) -> Facade {
        self.slots.get(&key).map_or(Facade::Missing, |slot| slot.facade)
    }

    /// Rule 3 for one proposal.
    pub(super) fn is_sound(&self, proposal: &Proposal) -> bool {
        rules::check(proposal.resource(), |key| self.facade(key)).is_ok()
    }

    /// Looks again at those who refer to `key`, of which they now see something else.
    fn recheck_referrers(&mut self, key: &ObjectKey) {
        let Some(slot) = self.slots.get(key) else { return };
        let referrers: Vec<Proposal> = slot.referrers.iter().cloned().collect();
        self.touched.objects.extend(slot.startup_referrers.iter().cloned());
        for proposal in referrers {
            let sound = self.is_sound(&proposal);
            self.touched.parts.insert(PartKey::of(proposal.part()));
            let slot = self.slot(proposal.key());
            if slot.sound.has(&proposal) == sound {
                continue;
            }
            if sound {
                slot.unsound.leave(&proposal);
                slot.sound.join(proposal.clone());
            } else {
                slot.sound.leave(&proposal);
                slot.unsound.join(proposal.clone());
            }
            self.mark(proposal.key());
        }
    }

    /// The startup resources in the order of the files.
    pub(super) fn startup(&self) -> impl Iterator<Item = (&Arc<Accepted>, &Slot)> {
        self.files.iter().filter_map(|(_, key)| {
            let slot = self.slots.get(key)?;
            Some((slot.startup.as_ref()?, slot))
        })
    }
}

/// Whether the losers lose for the same reason as before.
fn same_sort(before: Option<&Origin>, after: Option<&Origin>) -> bool {
    matches!((before, after), (Some(Origin::Dynamic(_)), Some(Origin::Dynamic(_))))
}
