//! Follows the store: every change that is applied is put into the world, then triggers whom it concerns.
//!
//! A change names a row; what the row holds is read now, not when it was written. So a change that
//! is seen twice, or late, does no harm, and one that was overtaken is not seen at all.

mod facts;
mod listing;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::listing::{Listing, RowChange, StoreSource};
use super::Shared;
use super::runner::PluginSlot;
use super::world::{SubFact, World};
use crate::api::Time;
use crate::api::object::ObjectKey;
use crate::render;
use crate::runtime::{Sink, Trigger, TriggerSender};

/// Node time is never so far apart between two who ask for it at once.
const CLOCK_SET_BACK: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// The triggers of all controllers that follow the store.
#[derive(Debug, Clone)]
pub struct Triggers {
    /// Plans.
    pub plans: TriggerSender<SubFact>,
    /// Slots of plugins.
    pub slots: TriggerSender<PluginSlot>,
    /// History of groups.
    pub history: TriggerSender<Arc<str>>,
    /// Conditions of objects.
    pub conditions: TriggerSender<ObjectKey>,
    /// The effective config's revision.
    pub published: TriggerSender<()>,
    /// ConfigOutputs.
    pub outputs: TriggerSender<ObjectKey>,
    /// Hooks of ConfigOutputs.
    pub hooks: TriggerSender<ObjectKey>,
    /// Conditions of parts.
    pub parts: TriggerSender<SubFact>,
}

impl Triggers {
    /// Has the conditions of these looked at.
    pub(super) fn touched(&self, parts: Vec<SubFact>, objects: Vec<ObjectKey>) {
        self.parts.extend(parts, Trigger::Related);
        self.conditions.extend(objects, Trigger::Related);
    }
}

/// Puts changes into the world.
pub struct Follower {
    shared: Arc<Shared>,
    triggers: Triggers,
}

/// Whom a batch of changes concerns.
#[derive(Debug, Default)]
struct Concerned {
    plans: BTreeSet<SubFact>,
    slots: BTreeSet<Arc<str>>,
    groups: BTreeSet<Arc<str>>,
    objects: BTreeSet<ObjectKey>,
}

impl Follower {
    /// A follower that fills `shared` and triggers `triggers`.
    pub fn new(shared: Arc<Shared>, triggers: Triggers) -> Self {
        Self { shared, triggers }
    }

    fn take_in(&self, changes: Vec<RowChange>) {
        let mut concerned = Concerned::default();
        let mut shown = false;
        let now = self.shared.clock.now();
        let (parts, objects) = {
            let mut effective = self.shared.effective();
            let mut world = self.shared.world_mut();
            shown |= keep_time(&mut effective, now);
            for change in changes {
                shown |= show(&mut effective, &change);
                concerned.take_in(&mut world, change);
            }
            if shown {
                // Whoever waits for another config hears of it now, not when the number is on disk.
                self.shared.number(&effective);
            }
            self.shared.take_touched(&mut effective)
        };
        if shown {
            self.triggers.published.related(());
        }
        self.trigger(concerned);
        self.triggers.touched(parts, objects);
    }

    fn trigger(&self, concerned: Concerned) {
        self.triggers.plans.extend(concerned.plans, Trigger::Related);
        let slots = concerned.slots.into_iter().map(|plugin| PluginSlot { plugin, slot: 0 });
        self.triggers.slots.extend(slots, Trigger::Spec);
        self.triggers.history.extend(concerned.groups, Trigger::Related);
        let is_output = |key: &&ObjectKey| key.kind == "ConfigOutput";
        let outputs: Vec<_> = concerned.objects.iter().filter(is_output).cloned().collect();
        if !outputs.is_empty() {
            // Another one may have waited for the path of this one.
            let world = self.shared.world();
            let all = world.objects.outputs().map(|(key, _)| key.clone());
            self.triggers.outputs.extend(all, Trigger::Related);
        }
        self.triggers.hooks.extend(outputs.clone(), Trigger::Spec);
        self.triggers.outputs.extend(outputs, Trigger::Spec);
        self.triggers.conditions.extend(concerned.objects, Trigger::Related);
    }
}

/// Tells the effective config the time; returns whether the bytes changed. Readers tell it too, so
/// only what is more than a reader ahead of us is a clock that was set back.
pub(super) fn keep_time(effective: &mut render::Index, now: Time) -> bool {
    if effective.now().duration_since(now) > CLOCK_SET_BACK {
        effective.set_back(now)
    } else {
        effective.expire(now)
    }
}

/// Puts one change into the effective config. Returns whether the bytes, or when they change by
/// themselves, may be others now.
fn show(effective: &mut render::Index, change: &RowChange) -> bool {
    let next = effective.next_expiry();
    let changed = match change {
        RowChange::Object(_, Some(accepted)) => {
            effective.apply(render::Change::PutAccepted(Arc::clone(accepted)))
        }
        RowChange::Object(key, None) => {
            effective.apply(render::Change::DeleteAccepted(key.clone()))
        }
        RowChange::Part(_, Some(part)) => {
            effective.apply(render::Change::PutPart(Arc::clone(part)))
        }
        RowChange::Part(key, None) => {
            let subscription = key.subscription.to_string();
            effective
                .apply(render::Change::DeletePart(render::PartKey { subscription, fact: key.fact }))
        }
        RowChange::Fact(..) | RowChange::Work(..) | RowChange::Event(_) => false,
    };
    changed || effective.next_expiry() != next
}

impl Concerned {
    fn take_in(&mut self, world: &mut World, change: RowChange) {
        match change {
            RowChange::Object(key, accepted) => self.object(world, key, accepted),
            RowChange::Fact(id, fact) => {
                // Those of the old event and those of the new one: what no longer matches retires.
                if let Some(old) = world.facts.get(&id).cloned() {
                    self.plans.extend(world.concerned(&old));
                    self.groups.insert(old.event.group.as_str().into());
                    world.set_fact(id, &old.event.group, None);
                    if fact.as_ref().is_none_or(|new| new.seq != old.seq) {
                        world.history.superseded(&old.event.group, old.seq);
                    }
                }
                if let Some(fact) = fact {
                    let group = fact.event.group.clone();
                    world.set_fact(id, &group, Some(Arc::clone(&fact)));
                    self.plans.extend(world.concerned(&fact));
                    self.groups.insert(group.into());
                    self.groups.extend(world.let_go(&id));
                }
            }
            RowChange::Part(key, part) => {
                world.set_part(&key, part);
                self.groups.extend(world.let_go(&key.fact));
                self.plans.insert(key);
            }
            RowChange::Work(key, work) => {
                if world.set_work(&key, work) {
                    self.objects.insert(ObjectKey::new(
                        crate::api::kinds::federation::API_VERSION,
                        "EventSubscription",
                        &*key.subscription,
                    ));
                }
                self.groups.extend(world.let_go(&key.fact));
                self.plans.insert(key);
            }
            RowChange::Event(group) => _ = self.groups.insert(group.into()),
        }
    }

    fn object(
        &mut self,
        world: &mut World,
        key: ObjectKey,
        accepted: Option<Arc<crate::api::accepted::Accepted>>,
    ) {
        use crate::api::kinds::{federation, plugin};
        let mut touched = Self::subscriptions_of(world, &key);
        let effect = |world: &World| world.objects.plugin(&key.name).map(|p| p.effect.clone());
        let effect_before = effect(world);
        let was_there = world.objects.get(&key).is_some();
        world.set_object(&key, accepted);
        touched.append(&mut Self::subscriptions_of(world, &key));
        match (key.api_version.as_str(), key.kind.as_str()) {
            (plugin::API_VERSION, "Plugin") => {
                self.slots.insert(key.name.as_str().into());
                // What shapes no result concerns no plan.
                if effect(world) == effect_before {
                    touched.clear();
                }
            }
            (federation::API_VERSION, "EventGroup") => {
                self.groups.insert(key.name.as_str().into());
            }
            _ => {}
        }
        for name in &touched {
            self.plans.extend(world.of_subscription(name));
        }
        if was_there != world.objects.get(&key).is_some() {
            self.objects.extend(world.objects.named_by(&key).cloned());
        }
        self.objects.insert(key);
    }

    /// The subscriptions that a change of this object concerns.
    fn subscriptions_of(world: &World, key: &ObjectKey) -> BTreeSet<Arc<str>> {
        use crate::api::kinds::{federation, plugin};
        match (key.api_version.as_str(), key.kind.as_str()) {
            (federation::API_VERSION, "EventSubscription") => {
                BTreeSet::from([key.name.as_str().into()])
            }
            (federation::API_VERSION, "EventGroup") => {
                world.objects.subscriptions_of_group(&key.name).cloned().collect()
            }
            (plugin::API_VERSION, "Plugin") => {
                world.objects.subscriptions_of_plugin(&key.name).cloned().collect()
            }
            _ => BTreeSet::new(),
        }
    }
}

impl Sink<StoreSource> for Follower {
    /// Everything anew: whatever is not in the listing is gone.
    fn replace(&mut self, listing: Listing) {
        let changes = {
            let mut world = self.shared.world_mut();
            world.history.restart();
            listing.against(&world)
        };
        self.take_in(changes);
        // Work that was known and is the same needs a look as well: time has passed.
        let plans = self.shared.world().all_pairs();
        self.triggers.plans.extend(plans, Trigger::Related);
    }

    fn apply(&mut self, changes: Vec<RowChange>) {
        self.take_in(changes);
    }
}
