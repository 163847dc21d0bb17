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
use crate::plugin::{Availability, Confinement, Spawner, WallState};
use crate::render::{Masked, Reason, StartupProblem};
use crate::runtime::{Action, Failure, Reconciler};
use crate::store::tables::{OutputRow, StatusRow};
use crate::store::{StoreError, WriteError};

/// Conditions that a scan of the files gives, and the one of them that it always gives.
const OF_SCAN: &[&str] = &["Accepted", "ConfigHeld", "Shadowed", ALWAYS_OF_SCAN];
const ALWAYS_OF_SCAN: &str = "Typed";
/// Whether a plugin could be run.
const PLUGIN_READY: &str = "PluginReady";
/// Whether the walls that a plugin's `spec.sandbox` asks for can be put up.
const SANDBOXED: &str = "Sandboxed";
/// What is known again only when it is tried again: until then what the last try showed stands.
const STANDING: &[&str] = &[PLUGIN_READY, "Delivering", "Listening"];
/// Parts that a message names; the rest is counted.
const NAMED: usize = 3;

/// Writes conditions.
pub struct Conditions {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
}

/// Why conditions were not written; they are written later.
#[derive(Debug, thiserror::Error)]
#[error("cannot write conditions")]
pub struct ConditionsError(#[from] WriteError<StoreError>);

impl Conditions {
    /// A writer of conditions; `spawner` knows what walls there are on this host.
    pub fn new(shared: Arc<Shared>, spawner: Arc<dyn Spawner>) -> Self {
        Self { shared, spawner }
    }

    /// The object's generation and what is true of it now; `None` when it is gone.
    fn observe(&self, key: &ObjectKey, now: Time) -> Option<(u64, Vec<Condition>)> {
        // The index first: whoever takes both locks takes them in this order.
        let (masked, problems) = {
            let effective = self.shared.effective();
            (effective.masked(key), effective.startup_problems(key))
        };
        let world = self.shared.world();
        let accepted = world.objects.get(key)?;
        let mut conditions = (self.shared.reported)(accepted);
        if let Ok(spec) = spec_of(&accepted.resource) {
            conditions.extend(inert(key, now));
            conditions.extend(resolved(&world, &spec, accepted, &problems, now));
            conditions.extend(self.plugin(&spec, accepted, now));
            conditions.extend(self.sandboxed(&spec, now));
            conditions.extend(suspended(&spec, now));
            conditions.extend(dead_lettered(&world, &spec, &key.name, now));
            if matches!(spec, Spec::ConfigOutput(_)) {
                let row = self.shared.store.get::<OutputRow>(&key.name).ok().flatten();
                let row = row.filter(|row| row.uid == accepted.uid);
                conditions.push(applied(row.as_ref(), now));
            }
        }
        conditions.extend(masked.map(|masked| is_masked(&masked, now)));
        conditions.extend(conflicted(&problems, now));
        let generation = accepted.generation;
        let conditions = conditions.into_iter().map(|c| c.at_generation(generation)).collect();
        Some((generation, conditions))
    }

    /// What the last try showed, if it was of this version.
    fn plugin(&self, spec: &Spec, accepted: &Accepted, now: Time) -> Option<Condition> {
        if !matches!(spec, Spec::Plugin(_)) {
            return None;
        }
        let version = (accepted.uid.clone(), accepted.generation);
        let readiness = self.shared.readiness(&accepted.key().name)?;
        if readiness.version != version {
            return None;
        }
        let message = readiness.message;
        Some(Condition::new(PLUGIN_READY, readiness.ready, readiness.reason, message, now))
    }

    /// Looked at with each observation, so it tells of a host without walls before the first run.
    fn sandboxed(&self, spec: &Spec, now: Time) -> Option<Condition> {
        let Spec::Plugin(spec) = spec else { return None };
        let Confinement::Walled(walls) = Confinement::of_plugin(spec.sandbox.as_ref()) else {
            return None;
        };
        Some(walls_told(&self.spawner.walls(&walls), now))
    }
}

/// Each wall that was asked for by its name: enforced, or why not.
fn walls_told(walls: &[WallState], now: Time) -> Condition {
    let told = |state: &WallState| match &state.state {
        Availability::Enforced => format!("{} is enforced", state.wall),
        Availability::EnforcedBut(gap) => format!("{} is enforced, but {gap}", state.wall),
        Availability::NotAvailable(why) => format!("{} is not available: {why}", state.wall),
    };
    let missing = |state: &WallState| matches!(state.state, Availability::NotAvailable(_));
    let gap = |state: &WallState| matches!(state.state, Availability::EnforcedBut(_));
    let mut message = walls.iter().map(told).collect::<Vec<_>>().join("; ");
    let (all, reason) = if walls.iter().any(missing) {
        message.push_str("; so the plugin is not run");
        (false, "NotAvailable")
    } else if walls.iter().any(gap) {
        (true, "EnforcedInPart")
    } else {
        (true, "Enforced")
    };
    Condition::new(SANDBOXED, all, reason, message, now)
}

/// Kinds that are accepted without having an effect say so.
fn inert(key: &ObjectKey, now: Time) -> Option<Condition> {
    let why = registry::find(&key.api_version, &key.kind)?.inert?;
    Some(Condition::new("Active", false, "Inert", why, now))
}

/// Directives that a policy allows take the object out of the effective config.
fn is_masked(masked: &Masked, now: Time) -> Condition {
    let by = masked.by.iter().take(NAMED);
    let mut by: Vec<String> =
        by.map(|by| format!("{} by policy {}: {}", by.part, by.policy, by.reason)).collect();
    if masked.by.len() > NAMED {
        by.push(format!("and {} more", masked.by.len() - NAMED));
    }
    Condition::new("Masked", true, "Masked", by.join("; "), now)
}

/// Another manifest claims the same address, or has the same member of a Router's spec.
fn conflicted(problems: &[StartupProblem], now: Time) -> Option<Condition> {
    let is_conflict = |reason| matches!(reason, Reason::AddressConflict | Reason::MemberConflict);
    let problem = problems.iter().find(|problem| is_conflict(problem.reason))?;
    let reason = problem.reason.as_str();
    Some(Condition::new("Conflicted", true, reason, problem.message.clone(), now))
}

/// What a subscription has given up.
fn dead_lettered(world: &World, spec: &Spec, name: &str, now: Time) -> Option<Condition> {
    let dead = match spec {
        Spec::EventSubscription(_) => world.dead(name),
        _ => 0,
    };
    let facts = if dead == 1 { "fact was" } else { "facts were" };
    let message = format!("{dead} {facts} given up; routerctl get deadletters lists them");
    (dead > 0).then(|| Condition::new("DeadLettered", true, "AttemptsExhausted", message, now))
}

/// Whether everything that the object must name is there, and a claim in its domain.
fn resolved(
    world: &World,
    spec: &Spec,
    accepted: &Accepted,
    problems: &[StartupProblem],
    now: Time,
) -> Option<Condition> {
    let hard: Vec<_> = references(spec).into_iter().filter(|reference| reference.hard).collect();
    if hard.is_empty() {
        return None;
    }
    let missing: Vec<String> = hard
        .iter()
        .filter(|reference| world.objects.get(&reference.target()).is_none())
        // What a part proposes counts as well, except for what the program itself needs.
        .filter(|_| {
            accepted_is_control(accepted) || problems.iter().any(|p| p.reason == Reason::Unresolved)
        })
        .map(|r| format!("{}: there is no {} {:?}", r.path, r.kind, r.name))
        .collect();
    let outside = problems.iter().find(|problem| problem.reason == Reason::OutsideDomain);
    if let Some(problem) = outside.filter(|_| missing.is_empty()) {
        let message = format!("{}: {}", accepted.source, problem.message);
        return Some(Condition::new("Resolved", false, problem.reason.as_str(), message, now));
    }
    Some(if missing.is_empty() {
        Condition::new("Resolved", true, "Resolved", "everything it names is there", now)
    } else {
        let message = format!("{}: {}", accepted.source, missing.join("; "));
        Condition::new("Resolved", false, "ReferenceMissing", message, now)
    })
}

fn accepted_is_control(accepted: &Accepted) -> bool {
    let key = accepted.key();
    registry::find(&key.api_version, &key.kind).is_some_and(|kind| kind.control)
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
        let now = self.shared.clock.now();
        let observed = self.observe(key, now);
        let key = key.clone();
        let wrote = self.shared.store.write(move |txn| {
            let old = txn.get::<StatusRow>(&key)?;
            let Some((generation, observed)) = observed else {
                return txn.delete::<StatusRow>(&key);
            };
            let mut conditions = old.map_or_else(Vec::new, |row| row.conditions);
            // What is no longer observed is no longer true; what is keeps its time of transition.
            // Whether a plugin can be run is known again at its next run, a peer when it was spoken
            // to, a listener when it was tried; until then what the last try showed stands, if it
            // was of this version.
            // Before the first scan nothing is known of the files, and what was true stands.
            let scanned = observed.iter().any(|new| new.r#type == ALWAYS_OF_SCAN);
            let stands = |old: &Condition| {
                if OF_SCAN.contains(&old.r#type.as_str()) {
                    return !scanned;
                }
                STANDING.contains(&old.r#type.as_str()) && old.observed_generation == generation
            };
            conditions
                .retain(|old| observed.iter().any(|new| new.r#type == old.r#type) || stands(old));
            for mut condition in observed {
                let old = conditions.iter().find(|old| old.r#type == condition.r#type);
                if let Some(old) = old.filter(|old| old.status != condition.status)
                    && condition.last_transition_time < old.last_transition_time
                {
                    // It is so again since now, however long the version in force has been.
                    condition.last_transition_time = now;
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Wall;

    #[test]
    fn every_wall_is_named_as_enforced_or_not_and_one_that_is_missing_says_what_follows() {
        let now: Time = "2026-01-01T00:00:00Z".parse().unwrap();
        let state = |wall, state| WallState { wall, state };
        let landlock = state(Wall::Landlock, Availability::Enforced);
        let told = walls_told(std::slice::from_ref(&landlock), now);
        assert_eq!(
            (told.reason.as_str(), told.message.as_str()),
            ("Enforced", "landlock is enforced")
        );

        let gap = state(Wall::Landlock, Availability::EnforcedBut("it is old".into()));
        assert_eq!(walls_told(&[gap], now).reason, "EnforcedInPart");

        let network = state(Wall::Network, Availability::NotAvailable("no filter".into()));
        let told = walls_told(&[landlock, network], now);
        assert_eq!(told.reason, "NotAvailable");
        assert_eq!(
            told.message,
            "landlock is enforced; network is not available: no filter; so the plugin is not run"
        );
    }
}
