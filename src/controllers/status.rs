//! Conditions: what is true of each manifest object, since when. One reconcile for each object.
//!
//! What is stored is only ever the outcome of a look at the present: the accepted set, what the
//! last scan reported, the references, and whether a plugin could be run.

use std::sync::Arc;

use super::Shared;
use super::output::applied;
use super::world::World;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::condition::{Condition, set_condition};
use crate::api::kinds::decode::spec_of;
use crate::api::kinds::references::references;
use crate::api::kinds::registry;
use crate::api::kinds::spec::Spec;
use crate::api::object::ObjectKey;
use crate::runtime::{Action, Failure, Reconciler};
use crate::store::tables::{OutputRow, StatusRow};
use crate::store::{StoreError, WriteError};

/// Whether a plugin could be run.
const PLUGIN_READY: &str = "PluginReady";
/// What is known again only when it is tried again: until then what the last try showed stands.
const STANDING: &[&str] = &[PLUGIN_READY, "Delivering", "Listening"];

/// Writes conditions.
pub struct Conditions {
    shared: Arc<Shared>,
}

/// Why conditions were not written; they are written later.
#[derive(Debug, thiserror::Error)]
#[error("cannot write conditions")]
pub struct ConditionsError(#[from] WriteError<StoreError>);

impl Conditions {
    /// A writer of conditions.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is true of the object now; `None` when it is gone.
    fn observe(&self, key: &ObjectKey, now: Time) -> Option<Vec<Condition>> {
        let world = self.shared.world();
        let accepted = world.objects.get(key)?;
        let mut conditions = (self.shared.reported)(accepted);
        if let Ok(spec) = spec_of(&accepted.resource) {
            conditions.extend(inert(key, now));
            conditions.extend(resolved(&world, &spec, accepted, now));
            conditions.extend(self.plugin(&spec, &key.name, now));
            conditions.extend(suspended(&spec, now));
            if matches!(spec, Spec::ConfigOutput(_)) {
                let row = self.shared.store.get::<OutputRow>(&key.name).ok().flatten();
                let row = row.filter(|row| row.uid == accepted.uid);
                conditions.push(applied(row.as_ref(), now));
            }
        }
        let generation = accepted.generation;
        Some(conditions.into_iter().map(|c| c.at_generation(generation)).collect())
    }

    fn plugin(&self, spec: &Spec, name: &str, now: Time) -> Option<Condition> {
        if !matches!(spec, Spec::Plugin(_)) {
            return None;
        }
        let readiness = self.shared.readiness(name)?;
        let message = readiness.message;
        Some(Condition::new(PLUGIN_READY, readiness.ready, readiness.reason, message, now))
    }
}

/// Kinds that are accepted without having an effect say so.
fn inert(key: &ObjectKey, now: Time) -> Option<Condition> {
    let why = registry::find(&key.api_version, &key.kind)?.inert?;
    Some(Condition::new("Active", false, "Inert", why, now))
}

/// Whether everything that the object must name is there.
fn resolved(world: &World, spec: &Spec, accepted: &Accepted, now: Time) -> Option<Condition> {
    let hard: Vec<_> = references(spec).into_iter().filter(|reference| reference.hard).collect();
    if hard.is_empty() {
        return None;
    }
    let missing: Vec<String> = hard
        .iter()
        .filter(|reference| world.objects.get(&reference.target()).is_none())
        .map(|r| format!("{}: there is no {} {:?}", r.path, r.kind, r.name))
        .collect();
    Some(if missing.is_empty() {
        Condition::new("Resolved", true, "Resolved", "everything it names is there", now)
    } else {
        let message = format!("{}: {}", accepted.source, missing.join("; "));
        Condition::new("Resolved", false, "ReferenceMissing", message, now)
    })
}

fn suspended(spec: &Spec, now: Time) -> Option<Condition> {
    match spec {
        Spec::EventSubscription(spec) if spec.suspend => {
            let message = "spec.suspend is true: no runs are started; parts live on to their end";
            Some(Condition::new("Suspended", true, "Suspended", message, now))
        }
        _ => None,
    }
}

impl Reconciler for Conditions {
    type Key = ObjectKey;
    type Error = ConditionsError;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Action, ConditionsError> {
        let observed = self.observe(key, self.shared.clock.now());
        let key = key.clone();
        let wrote = self.shared.store.write(move |txn| {
            let old = txn.get::<StatusRow>(&key)?;
            let Some(observed) = observed else { return txn.delete::<StatusRow>(&key) };
            let mut conditions = old.map_or_else(Vec::new, |row| row.conditions);
            // What is no longer observed is no longer true; what is keeps its time of transition.
            // Whether a plugin can be run is known again at its next run, a peer when it was spoken
            // to, a listener when it was tried; until then what the last try showed stands, if it
            // was of this version.
            let stands = |old: &Condition| {
                STANDING.contains(&old.r#type.as_str())
                    && observed
                        .first()
                        .is_some_and(|new| new.observed_generation == old.observed_generation)
            };
            conditions
                .retain(|old| observed.iter().any(|new| new.r#type == old.r#type) || stands(old));
            for condition in observed {
                set_condition(&mut conditions, condition);
            }
            txn.put(&StatusRow { object: key, conditions })
        });
        wrote.await?;
        Ok(Action::AwaitChange)
    }

    fn classify(&self, _: &ConditionsError) -> Failure {
        Failure::Retry
    }
}
