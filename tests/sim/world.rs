//! One simulated host: the real node over an engine in memory, which outlives it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use routerd::api::Time;
use routerd::api::accepted::Accepted;
use routerd::api::clock::Clock;
use routerd::api::event::Event;
use routerd::api::fact::FactId;
use routerd::api::object::ObjectKey;
use routerd::api::part::Part;
use routerd::controllers::world::SubFact;
use routerd::daemon::node::{Node, Outside};
use routerd::render::Document;
use routerd::runtime::{Shutdown, TaskGroup, Trigger};
use routerd::store::events::{Outcome, Receipt, Refusal, accept};
use routerd::store::{Scan, Store, WriteError};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::clock::SimClock;
use super::config::{Config, Fault};
use super::disk::Disk;
use super::plugin::Plugins;

/// The only group.
pub const GROUP: &str = "lab";
/// How far ahead an observation may be.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(300);
/// No wait in a simulation is longer: whoever waits for so long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// A node that runs.
pub struct Up {
    pub node: Node,
    pub store: Store,
    group: TaskGroup,
    shutdown: Shutdown,
}

/// A host with its disk.
pub struct Host {
    pub clock: Arc<SimClock>,
    pub plugins: Plugins,
    pub disk: Disk,
    pub up: Option<Up>,
    config: Config,
    began: Instant,
    /// Version of all plugin files.
    pub executables: Arc<AtomicU64>,
}

/// What the node is in, for comparison.
#[derive(Debug)]
pub struct Seen {
    pub now: Time,
    pub parts: BTreeMap<(String, FactId), Part>,
    pub yaml: String,
}

impl Host {
    /// A host that is switched off, with this disk.
    pub fn new(seed: u64, disk: Disk) -> Self {
        let clock = Arc::new(SimClock::new());
        Self {
            plugins: Plugins::new(seed, Arc::clone(&clock)),
            clock,
            disk,
            up: None,
            config: Config::default(),
            began: Instant::now(),
            executables: Arc::default(),
        }
    }

    /// A host whose node runs.
    pub fn started(seed: u64) -> Self {
        Self::started_on(seed, Disk::memory())
    }

    /// The same with this disk.
    pub fn started_on(seed: u64, disk: Disk) -> Self {
        let mut host = Self::new(seed, disk);
        host.start();
        host
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Starts the node on what the disk holds. What was done to the manifests meanwhile is seen at
    /// the next [`rescan`](Self::rescan).
    pub fn start(&mut self) {
        self.config.restart();
        let store = self.disk.open(self.clock.now());
        let shutdown = Shutdown::new();
        let mut group = TaskGroup::new(shutdown.clone());
        let version = Arc::clone(&self.executables);
        let outside = Outside {
            store: store.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            spawner: Arc::new(self.plugins.clone()),
            identify: Box::new(move |path| {
                // Plugins are no files; what a ConfigOutput wrote is one.
                let file =
                    std::fs::metadata(path).ok().map(|found| (found.ino(), found.modified()));
                Some(format!("{path}@{} {file:?}", version.load(SeqCst)))
            }),
            reported: Box::new(|_| Vec::new()),
            reserved: routerd::controllers::output::Reserved::default(),
            beat: routerd::runtime::Beat::every(routerd::sources::config_dir::RESCAN),
            clock_set: None,
        };
        let node = Node::start(outside, &mut group, &shutdown).expect("a node starts");
        self.up = Some(Up { node, store, group, shutdown });
    }

    /// Kills the node; of what was not synced, `seed` says what survives.
    pub async fn crash(&mut self, seed: u64) {
        self.check_counters();
        // Held until the disk was looked at: closing it in order is what a crash does not do.
        let held = self.up.take().map(|up| up.store.clone());
        // Tasks that were woken already may still take their turn before they are dropped: what
        // they do counts as done before the crash.
        self.let_timers_of_this_moment_fire().await;
        self.disk.crash(seed);
        drop(held);
    }

    /// Stops the node as a signal does.
    pub async fn stop(&mut self) {
        self.check_counters();
        let Some(up) = self.up.take() else { return };
        up.shutdown.drain();
        up.group.run(Duration::from_secs(30)).await.expect("all tasks stop");
        // As the daemon does: a thread that was reading the store may be about to write to it.
        up.store.close().await;
    }

    pub fn node(&self) -> &Node {
        &self.up.as_ref().expect("the node runs").node
    }

    pub fn store(&self) -> Store {
        self.up.as_ref().map_or_else(|| self.disk.open(self.clock.now()), |up| up.store.clone())
    }

    /// Nothing may have panicked, timed out or failed inside the controllers.
    fn check_counters(&self) {
        let Some(up) = &self.up else { return };
        for observer in up.node.observers() {
            let stats = observer.stats();
            let c = stats.counters;
            let bad = c.failures + c.terminal_failures + c.panics + c.timeouts;
            assert_eq!(bad, 0, "{}: {:?} {:?}", stats.name, c, stats.errors);
        }
    }

    /// Waits for the fixed point; says what is pending if it is not reached in a week.
    pub async fn converge(&self) {
        let node = self.node();
        if tokio::time::timeout(FOR_EVER, node.converged()).await.map(Result::unwrap).is_err() {
            let mut text = String::new();
            for (controller, pending) in node.pending(20) {
                let _ = writeln!(text, "  {controller}: {} {:?}", pending.key, pending.state);
            }
            panic!("not converged in a week; pending:\n{text}");
        }
        self.check_counters();
    }

    /// Lets everything run that can run now, without waiting for anything.
    pub async fn breathe(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Writes manifests, and has them looked at if the node runs.
    pub async fn put_all(&mut self, resources: Vec<Json>) {
        for resource in resources {
            self.config.write(resource);
        }
        self.rescan().await;
    }

    pub async fn put(&mut self, resource: Json) {
        self.put_all(vec![resource]).await;
    }

    /// Writes a file that should have held this resource.
    pub async fn spoil(&mut self, resource: &Json, fault: Fault) {
        self.config.spoil(resource, fault);
        self.rescan().await;
    }

    /// Deletes the file of an object.
    pub async fn delete(&mut self, key: &ObjectKey) {
        self.config.remove(key);
        self.rescan().await;
    }

    /// What is in force.
    pub fn accepted(&self) -> &BTreeMap<ObjectKey, Accepted> {
        self.config.accepted()
    }

    /// Looks at the files, if the node runs: without it nobody does.
    pub async fn rescan(&mut self) {
        let Some(up) = &self.up else { return };
        let (store, clock) = (up.store.clone(), Arc::clone(&self.clock));
        self.config.apply(&store, self.began, || clock.now()).await;
    }

    /// Accepts events in one transaction, each with its own outcome.
    pub async fn emit(&mut self, events: Vec<Event>, max_age: Duration) -> Vec<Emitted> {
        let receipt = Receipt {
            now: self.now(),
            received_from: "local".into(),
            verified_by: String::new(),
            replay_window: REPLAY_WINDOW,
            max_age,
            room: None,
        };
        let store = self.store();
        let reception = self.up.as_ref().map(|up| up.node.reception());
        let wrote = store.write(move |txn| {
            let mut outcomes = Vec::new();
            for (at, event) in events.into_iter().enumerate() {
                let key = (event.group.clone(), event.id.clone());
                outcomes.push(match accept(txn, at, event, &receipt) {
                    Ok(Outcome::New { .. }) => {
                        if let Some(reception) = &reception {
                            reception.accepted(txn, &key, receipt.now)?;
                        }
                        Emitted::New
                    }
                    Ok(Outcome::Refreshed) => Emitted::Refreshed,
                    Ok(Outcome::Duplicate) => Emitted::Duplicate,
                    Err(Refusal::Conflict { .. }) => Emitted::Conflict,
                    Err(Refusal::Invalid(_)) => Emitted::Invalid,
                    Err(Refusal::GroupFull { .. }) => Emitted::Full,
                    Err(Refusal::Store(error)) => return Err(error),
                });
            }
            Ok::<_, routerd::store::StoreError>(outcomes)
        });
        wrote.await.map_err(|e: WriteError<_>| e.to_string()).expect("memory takes it").value
    }

    /// All stored parts.
    pub fn parts(&self) -> BTreeMap<(String, FactId), Part> {
        let store = self.store();
        let rows = store.scan::<Part>(&Scan::all()).map(|row| row.expect("memory reads"));
        rows.map(|part| ((part.subscription.clone(), part.fact), part)).collect()
    }

    /// What the node serves now.
    pub fn yaml(&self) -> String {
        let mut index = self.node().shared.effective();
        index.expire(self.clock.now());
        Document(&index.view()).yaml()
    }

    pub fn seen(&self) -> Seen {
        Seen { now: self.now(), parts: self.parts(), yaml: self.yaml() }
    }

    /// Triggers everything there is, as a full pass would.
    pub fn trigger_everything(&self) {
        let node = self.node();
        let (plans, objects): (Vec<SubFact>, Vec<ObjectKey>) = {
            let world = node.shared.world();
            let names: Vec<_> =
                world.objects.subscriptions().map(|(name, _)| Arc::clone(name)).collect();
            let (parts, works) = world.dealt_keys();
            let matched = names.iter().flat_map(|name| world.of_subscription(name));
            let plans = matched.chain(parts).chain(works).collect();
            (plans, world.objects.iter().map(|a| a.key().clone()).collect())
        };
        node.triggers.plans.extend(plans, Trigger::Related);
        node.triggers.history.related(GROUP.into());
        node.triggers.conditions.extend(objects, Trigger::Related);
        let parts = node.shared.world().dealt_keys().0;
        node.triggers.parts.extend(parts, Trigger::Related);
        node.triggers.published.related(());
    }

    /// Timers of one moment fire together, but who waited for them is polled in some order: whoever
    /// comes first must not take the others for settled.
    async fn let_timers_of_this_moment_fire(&self) {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }

    /// A full pass over everything at the fixed point: it must find nothing to write.
    pub async fn assert_a_second_pass_writes_nothing(&self) {
        self.let_timers_of_this_moment_fire().await;
        self.converge().await;
        let (rows, head) = (self.disk.rows_written(), self.store().head());
        let (runs, now) = (self.plugins.runs(), self.now());
        self.trigger_everything();
        self.converge().await;
        assert_eq!(self.now(), now, "the second pass took time");
        assert_eq!(self.plugins.runs(), runs, "the second pass ran plugins");
        assert_eq!(self.store().head(), head, "the second pass made a revision");
        assert_eq!(self.disk.rows_written(), rows, "the second pass wrote rows");
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emitted {
    New,
    Refreshed,
    Duplicate,
    Conflict,
    Invalid,
    Full,
}
