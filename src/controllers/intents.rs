//! The intent to run is written with the event that makes the run due: no commit of its own lies
//! between the acceptance of an event and the start of a plugin.
//!
//! Asked on the store's writer. The world in memory may be behind what is committed, or about to
//! change: then an intent is missing, which the runner makes up for, or it is for a run that never
//! comes, which is what becomes of an intent whose fact has a newer observation as well.

use super::Shared;
use super::world::World;
use crate::api::Time;
use crate::api::event::Event;
use crate::api::fact::FactId;
use crate::api::run::{Intent, Work, run_key};
use crate::store::facts::find;
use crate::store::tables::EventRow;
use crate::store::{StoreError, Txn};

/// Runs of one event whose intents are written with it, at most: others wait for the writer, and a
/// transaction accepts up to 1,000 events. What is due to more subscriptions is left to the runner.
const MOST: usize = 4;

/// A subscription whose plugin is to run for an event.
struct Runs {
    subscription: String,
    uid: String,
    /// The effect digest.
    effect: String,
}

/// Writes the intents of the runs that a new event makes due.
pub(super) fn intend(
    shared: &Shared,
    txn: &mut Txn<'_>,
    event: &(String, String),
    now: Time,
) -> Result<(), StoreError> {
    let Some(EventRow { event, .. }) = txn.get::<EventRow>(event)? else { return Ok(()) };
    let runs = runs(&shared.world(), &event);
    if runs.is_empty() || runs.len() > MOST {
        return Ok(());
    }
    let fact = FactId::of(&event);
    let newest = find(txn, &fact)?;
    if newest.is_none_or(|row| row.event_id != event.id || row.ended.is_some()) {
        return Ok(());
    }
    for Runs { subscription, uid, effect } in runs {
        let old = match txn.get::<Work>(&(subscription.clone(), fact)) {
            // No reason to refuse an event: who needs that row tells of it.
            Err(StoreError::DamagedRow { .. } | StoreError::Undecodable { .. }) => continue,
            old => old?,
        };
        let old = old.filter(|work| work.subscription_uid == uid);
        let mut work = old.unwrap_or_else(|| Work::new(&subscription, fact, &uid));
        let run_key = run_key(&uid, &event.group, &event.id, &effect, work.next_renewal());
        work.intent = Some(Intent { run_key, at: now });
        txn.put(&work)?;
    }
    Ok(())
}

/// Who would run for the event at once; of too many, some.
fn runs(world: &World, event: &Event) -> Vec<Runs> {
    let names = world.objects.matcher.matching(event);
    let subscriptions = names.iter().filter_map(|name| world.objects.subscription(name));
    let starting = subscriptions.filter(|subscription| !subscription.spec.suspend);
    let runs = starting.filter_map(|subscription| {
        let plugin = world.objects.plugin(&subscription.spec.trigger.plugin_ref)?;
        Some(Runs {
            subscription: subscription.accepted.resource.key.name.clone(),
            uid: subscription.accepted.uid.clone(),
            effect: plugin.effect.clone(),
        })
    });
    runs.take(MOST + 1).collect()
}

#[cfg(test)]
mod tests;
