//! The controllers: what turns accepted manifests and live facts into parts.
//!
//! The path of a fact, each step in the file of its name:
//!
//! 1. [`intents`] writes with an event the intents of the runs that it makes due. [`follow`] hears of
//!    the change in the store, puts it into the [`world`] and triggers whom it concerns; [`matcher`]
//!    says whom, at the same cost with one subscription or ten thousand.
//! 2. [`planner`] reconciles one (subscription, fact): [`plan`], which is pure, says what to do with
//!    the part and whether a run is due.
//! 3. [`dispatch`] decides which due runs go together, and when.
//! 4. [`runner`] reconciles one slot of a plugin: intent, [`request`], [`process`], [`verdict`],
//!    [`outcome`]. What it wrote comes back through step 1; [`trial`] is a run that changes nothing.
//! 5. [`publish`] gives the effective config its revision, [`output`] writes it into files and runs
//!    hooks.
//! 6. [`quota`] bounds what may become a fact; [`history`] prunes what is neither current nor young;
//!    [`status`] tells of every object what is true of it, [`part_status`] of every part; [`steps`] has
//!    all of it looked at again when the clock leaps. [`voice`] keeps the log readable.

pub mod counters;
pub mod dispatch;
#[cfg(test)]
mod fixture;
pub mod follow;
pub mod history;
pub mod intents;
pub mod matcher;
pub mod outcome;
pub mod output;
pub mod part_status;
pub mod plan;
pub mod planner;
pub mod process;
pub mod publish;
pub mod quota;
pub mod request;
pub mod runner;
pub mod status;
pub mod steps;
pub mod trial;
pub mod verdict;
pub mod voice;
pub mod world;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use self::counters::Counters;
use self::dispatch::Dispatch;
use self::publish::Published;
use self::runner::Readiness;
use self::world::World;
use crate::api::accepted::Accepted;
use crate::api::clock::Clock;
use crate::api::condition::Condition;
use crate::render::Index;
use crate::store::Store;

/// Tells one version of a file from another, without reading it.
pub type Identify = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the last scan of the config has to say about an accepted object.
pub type Reported = Box<dyn Fn(&Accepted) -> Vec<Condition> + Send + Sync>;

/// What all controllers share. Locks are held for memory work only, never across an await.
pub struct Shared {
    /// The truth.
    pub store: Store,
    /// Node time.
    pub clock: Arc<dyn Clock>,
    /// Identity of plugin files.
    pub identify: Identify,
    /// What the last scan reported of an object.
    pub reported: Reported,
    /// What runs came to.
    pub counters: Counters,
    world: RwLock<World>,
    effective: Mutex<Index>,
    dispatch: Mutex<Dispatch>,
    readiness: Mutex<HashMap<Arc<str>, Readiness>>,
    /// Names of the parts whose conditions are stored.
    noted: Mutex<HashSet<String>>,
    revisions: watch::Sender<Published>,
}

impl Shared {
    /// An empty world over `store`.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        identify: Identify,
        reported: Reported,
    ) -> Self {
        let effective = Mutex::new(Index::new(clock.now()));
        Self {
            store,
            clock,
            identify,
            reported,
            counters: Counters::default(),
            world: RwLock::default(),
            effective,
            dispatch: Mutex::default(),
            readiness: Mutex::default(),
            noted: Mutex::default(),
            revisions: watch::Sender::default(),
        }
    }

    /// The world, to read. A panic elsewhere leaves a cache that the next change corrects, so a
    /// poisoned lock is no reason to stop.
    pub fn world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn world_mut(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The effective config.
    pub fn effective(&self) -> MutexGuard<'_, Index> {
        self.effective.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Due runs.
    pub fn dispatch(&self) -> MutexGuard<'_, Dispatch> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the host can run a plugin, as far as it has been tried.
    pub fn readiness(&self, plugin: &str) -> Option<Readiness> {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner).get(plugin).cloned()
    }

    /// Notes whether the host can run a plugin. Returns whether that is news.
    pub fn set_readiness(&self, plugin: &Arc<str>, readiness: Readiness) -> bool {
        let mut all = self.readiness.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(plugin) == Some(&readiness) {
            return false;
        }
        all.insert(Arc::clone(plugin), readiness);
        true
    }
}
