//! The receiving half: each EventGroup with `listen` has a listener, and nothing else has one.
//!
//! **One reconciler, keyed by the group's name.** It reads the accepted EventGroup, its EventPeers
//! and the files they name, and makes the listener what they ask for: bound, moved, given other
//! secrets or another certificate, or closed. It is not told what changed. What wakes it: a changed
//! manifest ([`membership`]), a changed file ([`files`](super::files)), and, while an address is not
//! there to be bound, time.
//!
//! **A request** meets its checks in the order of their cost, see [`service`]. Whatever is in force
//! is read anew for each request, so a change needs no restart and interrupts nothing.
//!
//! | file | what |
//! | -- | -- |
//! | [`membership`] | what the manifests say of a group; which groups changed |
//! | [`admission`] | pure: who speaks, and what they may say |
//! | [`refusal`], [`rate`], [`limits`], [`source`], [`body`] | what is not taken, and why |
//! | [`decode`] | pure: bytes to events |
//! | [`service`] | one request |
//! | [`commit`] | verified events to durable ones |
//! | `listener`, `connection` | sockets |
//! | [`figures`] | counts |
//!
//! Not done here: an address that is not assigned is tried again once a second rather than watched
//! for; one system call a second costs less than a netlink socket, and misses nothing.

pub mod admission;
pub mod body;
pub mod commit;
mod connection;
pub mod decode;
pub mod figures;
pub mod limits;
mod listener;
pub mod membership;
pub mod rate;
mod reconcile;
pub mod refusal;
pub mod service;
pub mod source;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::figures::{Counts, Figures};
use self::limits::Limits;
use self::listener::{House, Listener};
use self::membership::{GroupSink, GroupSource, group_key};
use self::reconcile::Reconciling;
use self::service::Gate;
use super::files::Files;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::clock::Clock;
use crate::api::condition::Condition;
use crate::api::object::ObjectKey;
use crate::runtime::{
    Backoff, Controller, Observer, Progress, Reflector, Shutdown, TaskGroup, Trigger, TriggerSender,
};
use crate::store::Store;
use crate::store::events::Reception;

/// The condition of an EventGroup that is to listen.
pub const LISTENING: &str = "Listening";

/// Events stored of a group.
pub type Stored = Arc<dyn Fn(&str) -> u64 + Send + Sync>;

/// What the receiver is made of.
#[derive(Clone)]
pub struct Outside {
    /// The truth.
    pub store: Store,
    /// Node time.
    pub clock: Arc<dyn Clock>,
    /// Secrets and certificates.
    pub files: Arc<Files>,
    /// The daemon's part in accepting events.
    pub reception: Arc<dyn Reception>,
    /// See [`Stored`].
    pub stored: Stored,
}

/// How a listener fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerState {
    /// The address and port that are asked for.
    pub address: String,
    /// Whether peers are heard there.
    pub listening: bool,
    /// A CamelCase word.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Since when `listening` is what it is.
    pub since: Time,
    /// The generation of the EventGroup that this is about.
    pub generation: u64,
}

/// One group that is to listen, or was.
#[derive(Default)]
struct Entry {
    figures: Arc<Figures>,
    state: Option<ListenerState>,
    listener: Option<Listener>,
    /// Files that are held so that they are looked after.
    held: reconcile::Held,
}

/// The listeners of a node.
#[derive(Clone, Default)]
pub struct Receivers {
    groups: Arc<Mutex<HashMap<Arc<str>, Entry>>>,
}

/// Listeners that are looked after, to wait for.
#[derive(Debug, Clone)]
pub struct Running {
    /// How far the manifests were followed.
    pub progress: Progress,
    /// Whether all listeners are what they are to be.
    pub observer: Observer,
}

impl Receivers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts to listen where the manifests say so. `conditions` is triggered when a listener fares
    /// otherwise than before.
    pub fn start(
        &self,
        outside: Outside,
        limits: Limits,
        conditions: TriggerSender<ObjectKey>,
        group: &mut TaskGroup,
        shutdown: &Shutdown,
    ) -> Running {
        let quick = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let reflector = Reflector::new("listeners", quick);
        let controller = Controller::<Arc<str>>::new("listeners", quick).after(reflector.ready());
        let triggers = controller.triggers();
        let running = Running { progress: reflector.progress(), observer: controller.observer() };

        let (store, files) = (outside.store.clone(), Arc::clone(&outside.files));
        let house = Arc::new(House {
            connections: Arc::new(Semaphore::new(limits.connections)),
            gate: Arc::new(Gate::new(outside, limits)),
            census: Arc::default(),
            tasks: TaskTracker::new(),
            stop: shutdown.drain_token(),
        });
        let reconciling =
            Arc::new(Reconciling { house: Arc::clone(&house), all: self.clone(), conditions });
        let known = {
            let all = self.clone();
            move || all.groups().keys().cloned().collect::<Vec<_>>()
        };
        let sink = GroupSink { groups: triggers.clone(), known: known.clone() };
        group.critical("listened-groups", {
            reflector.run(GroupSource::new(store), sink, shutdown.clone())
        });
        group.critical("listeners", controller.run(reconciling, shutdown.clone()));
        group.background("changed-files", {
            let (mut changes, shutdown) = (files.changes(), shutdown.clone());
            async move {
                loop {
                    tokio::select! {
                        () = shutdown.draining() => return Ok::<_, Infallible>(()),
                        changed = changes.changed() => if changed.is_err() { return Ok(()) },
                    }
                    triggers.extend(known(), Trigger::Related);
                }
            }
        });
        group.background("open-requests", finish(house, shutdown.clone()));
        running
    }

    /// What is true of an EventGroup; nothing of other objects, and of groups that do not listen.
    pub fn condition(&self, accepted: &Accepted) -> Option<Condition> {
        let key = accepted.key();
        if *key != group_key(&key.name) {
            return None;
        }
        let state = self.state(&key.name)?;
        let ListenerState { listening, reason, message, since, generation, .. } = state;
        let condition = Condition::new(LISTENING, listening, reason, message, since);
        Some(condition.at_generation(generation))
    }

    /// How the listener of a group fares; `None` if it is to have none.
    pub fn state(&self, group: &str) -> Option<ListenerState> {
        self.groups().get(group)?.state.clone()
    }

    /// What the listener of a group has counted.
    pub fn counts(&self, group: &str) -> Option<Counts> {
        self.groups().get(group).map(|entry| entry.figures.counts())
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets requests under way finish when the daemon stops.
async fn finish(house: Arc<House>, shutdown: Shutdown) -> Result<(), Infallible> {
    shutdown.draining().await;
    house.tasks.close();
    // Each connection has a deadline of its own.
    house.tasks.wait().await;
    Ok(())
}

#[cfg(test)]
mod tests;
