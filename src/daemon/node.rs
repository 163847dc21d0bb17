//! The controllers of one node, wired together over a store that somebody else opened.
//!
//! Everything that touches the outside world is passed in, so the daemon and the simulation run
//! the same node.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::api::clock::Clock;
use crate::api::object::ObjectKey;
use crate::controllers::Shared;
use crate::controllers::follow::{Follower, StoreSource, Triggers};
use crate::controllers::history::Historian;
use crate::controllers::output::{Hooks, Outputs, Reserved, Written};
use crate::controllers::part_status::PartConditions;
use crate::controllers::planner::Planner;
use crate::controllers::publish::Publisher;
use crate::controllers::quota::Quota;
use crate::controllers::runner::{PluginSlot, RunError, Runner};
use crate::controllers::status::Conditions;
use crate::controllers::steps;
use crate::controllers::world::SubFact;
use crate::controllers::{Identify, Reported};
use crate::plugin::Spawner;
use crate::runtime::{
    Backoff, Beat, Controller, Observer, Pending, Progress, Ready, Reflector, Shutdown, Stopped,
    TaskGroup, converged,
};
use crate::sources::clock_set::ClockSet;
use crate::store::Store;
use crate::store::events::Reception;

/// ConfigOutputs whose files are written, and whose hooks run, at the same time: a slow one must not
/// hold up its neighbours.
const MAX_OUTPUTS: usize = 64;
/// Plans carried out at the same time: they wait for the disk together.
const MAX_PLANS: usize = 256;
/// A run ends by its plugin's own timeout; this one only catches what must not happen.
const RUN_TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// What a node is made of.
pub struct Outside {
    /// The truth.
    pub store: Store,
    /// Node time.
    pub clock: Arc<dyn Clock>,
    /// Starts plugins.
    pub spawner: Arc<dyn Spawner>,
    /// Tells versions of plugin files apart.
    pub identify: Identify,
    /// What is known of the config beside what was accepted.
    pub reported: Reported,
    /// Where no output is written.
    pub reserved: Reserved,
    /// When given-up work is looked at, for a plugin whose file has changed; and each output's file,
    /// for somebody else's changes.
    pub beat: Beat,
    /// Tells when the wall clock was set; without it the clock is looked at every ten seconds.
    pub clock_set: Option<ClockSet>,
}

/// A running node, to ask and to wake.
#[derive(Clone)]
pub struct Node {
    /// What the controllers share.
    pub shared: Arc<Shared>,
    /// Counts and prunes the stored events.
    pub historian: Arc<Historian>,
    /// The ways into the controllers.
    pub triggers: Triggers,
    /// Whether everything that is stored was taken in.
    pub ready: Ready,
    quota: Arc<Quota>,
    observers: Vec<Observer>,
    progress: Progress,
}

impl Node {
    /// Starts all controllers of a node in `group`.
    pub fn start(
        outside: Outside,
        group: &mut TaskGroup,
        shutdown: &Shutdown,
    ) -> Result<Self, RunError> {
        let Outside { store, clock, spawner, identify, reported, reserved, beat, clock_set } =
            outside;
        let shared = Arc::new(Shared::new(store.clone(), Arc::clone(&clock), identify, reported));
        let quick = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let reflector = Reflector::new("store", quick);
        let ready = reflector.ready();
        let runs_at_once = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);

        let given_up = Arc::clone(&shared);
        let plans = Controller::<SubFact>::new("plans", quick)
            .concurrency(runs_at_once(MAX_PLANS))
            .after(ready.clone())
            .full_pass(beat, move || given_up.world().given_up());
        let slots = Controller::<PluginSlot>::new("runs", quick)
            // The runner bounds them, plugin by plugin.
            .concurrency(NonZeroUsize::MAX)
            .timeout(RUN_TIMEOUT)
            .after(ready.clone());
        let history = Controller::<Arc<str>>::new("history", quick).after(ready.clone());
        let conditions = Controller::<ObjectKey>::new("conditions", quick).after(ready.clone());
        let published = Controller::<()>::new("effective", quick)
            .after(ready.clone())
            .full_pass(beat, || vec![()]);
        let (all_files, all_hooks) = (Arc::clone(&shared), Arc::clone(&shared));
        let all_outputs = |shared: &Shared| -> Vec<ObjectKey> {
            shared.world().objects.outputs().map(|(key, _)| key.clone()).collect()
        };
        let outputs = Controller::<ObjectKey>::new("outputs", quick)
            .concurrency(runs_at_once(MAX_OUTPUTS))
            .after(ready.clone())
            .full_pass(beat, move || all_outputs(&all_files));
        let hooks = Controller::<ObjectKey>::new("hooks", quick)
            .concurrency(runs_at_once(MAX_OUTPUTS))
            .timeout(RUN_TIMEOUT)
            .after(ready.clone())
            .full_pass(beat, move || all_outputs(&all_hooks));
        let parts = Controller::<SubFact>::new("part-conditions", quick)
            .concurrency(runs_at_once(MAX_PLANS))
            .after(ready.clone());
        let triggers = Triggers {
            plans: plans.triggers(),
            slots: slots.triggers(),
            history: history.triggers(),
            conditions: conditions.triggers(),
            published: published.triggers(),
            outputs: outputs.triggers(),
            hooks: hooks.triggers(),
            parts: parts.triggers(),
        };
        let observers = vec![
            plans.observer(),
            slots.observer(),
            history.observer(),
            published.observer(),
            outputs.observer(),
            hooks.observer(),
            conditions.observer(),
            parts.observer(),
        ];
        let progress = reflector.progress();
        let quota = Arc::new(Quota::new(Arc::clone(&shared), progress.clone()));

        let planner = Arc::new(Planner::new(Arc::clone(&shared), triggers.slots.clone()));
        let cancel = CancellationToken::new();
        let runner = Arc::new(Runner::new(
            Arc::clone(&shared),
            Arc::clone(&spawner),
            triggers.slots.clone(),
            triggers.plans.clone(),
            triggers.conditions.clone(),
            cancel.clone(),
        )?);
        let publisher = Arc::new(Publisher::new(Arc::clone(&shared), triggers.clone())?);
        let processes = Arc::clone(&spawner);
        let written = Arc::new(Written::default());
        let writer = Arc::new(Outputs::new(
            Arc::clone(&shared),
            Arc::clone(&written),
            reserved,
            triggers.hooks.clone(),
            triggers.conditions.clone(),
        ));
        let caller = Arc::new(Hooks::new(
            Arc::clone(&shared),
            Arc::clone(&spawner),
            written,
            triggers.conditions.clone(),
            cancel.clone(),
        ));
        let historian = Arc::new(Historian::new(Arc::clone(&shared)));
        let follower = Follower::new(Arc::clone(&shared), triggers.clone());
        let source = StoreSource::new(store);

        let stop = shutdown.clone();
        group.background("stop-plugins", async move {
            stop.draining().await;
            // A plugin that is stopped was not tried: its run is repeated under the same key.
            cancel.cancel();
            processes.close().await;
            Ok::<_, Infallible>(())
        });
        group.background("clock-steps", {
            let (shared, triggers) = (Arc::clone(&shared), triggers.clone());
            let steps = steps::watch(shared, triggers, clock_set, shutdown.clone());
            async move {
                steps.await;
                Ok::<_, Infallible>(())
            }
        });
        group.critical("reflector", reflector.run(source, follower, shutdown.clone()));
        group.critical("plans", plans.run(planner, shutdown.clone()));
        group.critical("runs", slots.run(runner, shutdown.clone()));
        group.critical("effective", published.run(publisher, shutdown.clone()));
        group.critical("outputs", outputs.run(writer, shutdown.clone()));
        group.critical("hooks", hooks.run(caller, shutdown.clone()));
        group.critical("history", history.run(Arc::clone(&historian), shutdown.clone()));
        let teller = Arc::new(Conditions::new(Arc::clone(&shared), spawner));
        group.critical("conditions", conditions.run(teller, shutdown.clone()));
        let teller = Arc::new(PartConditions::new(Arc::clone(&shared))?);
        group.critical("part-conditions", parts.run(teller, shutdown.clone()));
        Ok(Self { shared, historian, triggers, ready, quota, observers, progress })
    }

    /// Waits for the fixed point: everything up to the store's head is taken in, nothing is
    /// ready, running, held for a window, or backing off.
    pub async fn converged(&self) -> Result<(), Stopped> {
        let store = self.shared.store.clone();
        converged(move || store.head(), std::slice::from_ref(&self.progress), &self.observers).await
    }

    /// The same, and what `progress` and `observer` tell of has come to rest as well.
    pub async fn converged_with(
        &self,
        progress: &Progress,
        observer: &Observer,
    ) -> Result<(), Stopped> {
        let store = self.shared.store.clone();
        let reflectors = [self.progress.clone(), progress.clone()];
        let observers: Vec<Observer> =
            self.observers.iter().chain(std::iter::once(observer)).cloned().collect();
        converged(move || store.head(), &reflectors, &observers).await
    }

    /// What keeps the node from its fixed point now, at most `limit` keys of each controller.
    pub fn pending(&self, limit: usize) -> Vec<(Arc<str>, Pending)> {
        self.observers
            .iter()
            .flat_map(|o| o.pending(limit).into_iter().map(|pending| (o.name(), pending)))
            .collect()
    }

    /// The controllers' part in accepting events.
    pub fn reception(&self) -> Arc<dyn Reception> {
        Arc::clone(&self.quota) as Arc<dyn Reception>
    }

    /// How far the world has followed the store.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What each controller has done.
    pub fn observers(&self) -> &[Observer] {
        &self.observers
    }
}
