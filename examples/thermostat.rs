//! Another domain on the same runtime: a building whose valves follow its thermostats.
//!
//! No store, no manifests. The source of truth is a log in memory, bounded like a real one, so that
//! a reader that falls behind has to list again. Run it with
//! `cargo run --example thermostat`: it changes the building while the controller watches, waits
//! for convergence after each change without polling, and stops like a daemon does.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use routerd::runtime::{
    Action, Backoff, Cache, CacheWriter, Controller, Failure, Reconciler, Reflector, Shutdown,
    Sink, Source, Stats, Step, TaskGroup, Trigger, TriggerSender, cache, converged,
};
use tokio::sync::watch;

/// Names a room. Cheap to clone, as keys should be.
type Room = Arc<str>;

/// What a thermostat says: the spec is `wanted`, the observation is `measured`.
#[derive(Clone, Debug, PartialEq)]
struct Thermostat {
    wanted: i32,
    measured: i32,
}

/// The outside world: thermostats, valves, and a log of what changed.
struct Building {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    thermostats: BTreeMap<Room, Thermostat>,
    open_valves: BTreeMap<Room, bool>,
    log: VecDeque<(u64, Change)>,
    revision: u64,
}

type Change = (Room, Option<Thermostat>);

const DAY: Duration = Duration::from_secs(24 * 3600);
const FULL_PASS: Duration = Duration::from_secs(600);

/// How many changes the log remembers.
const LOG: usize = 4;

impl Building {
    fn new() -> Self {
        Self { state: Mutex::default(), revision: watch::Sender::new(0) }
    }

    /// A thermostat tells what it wants and what it measures.
    fn reads(&self, room: &str, wanted: i32, measured: i32) {
        self.set(room, Some(Thermostat { wanted, measured }));
    }

    /// Installs, changes or removes a thermostat.
    fn set(&self, room: &str, thermostat: Option<Thermostat>) {
        let mut state = self.state();
        let room = Room::from(room);
        match thermostat.clone() {
            Some(thermostat) => state.thermostats.insert(Arc::clone(&room), thermostat),
            None => state.thermostats.remove(&room),
        };
        state.revision += 1;
        let revision = state.revision;
        state.log.push_back((revision, (room, thermostat)));
        if state.log.len() > LOG {
            state.log.pop_front();
        }
        drop(state);
        self.revision.send_replace(revision);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the building's log: the list-and-follow contract of the runtime.
struct BuildingLog {
    building: Arc<Building>,
    revision: watch::Receiver<u64>,
}

impl Source for BuildingLog {
    type Listing = BTreeMap<Room, Thermostat>;
    type Change = Change;
    type Error = watch::error::RecvError;

    async fn list(&mut self) -> Result<(Self::Listing, u64), Self::Error> {
        let state = self.building.state();
        Ok((state.thermostats.clone(), state.revision))
    }

    async fn next(&mut self, cursor: u64) -> Result<Step<Change>, Self::Error> {
        self.revision.wait_for(|revision| *revision > cursor).await?;
        let state = self.building.state();
        if state.log.front().is_some_and(|(oldest, _)| *oldest > cursor + 1) {
            return Ok(Step::Lagged);
        }
        let newer = state.log.iter().filter(|(revision, _)| *revision > cursor);
        let changes = newer.map(|(_, change)| change.clone()).collect();
        Ok(Step::Changes { changes, revision: state.revision })
    }
}

/// Fills the cache, then triggers.
struct Thermostats {
    cache: CacheWriter<Room, Thermostat>,
    valves: TriggerSender<Room>,
}

impl Sink<BuildingLog> for Thermostats {
    fn replace(&mut self, listing: BTreeMap<Room, Thermostat>) {
        let changed = self.cache.replace(listing);
        self.valves.extend(changed, Trigger::Spec);
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for (room, thermostat) in changes {
            if self.cache.set(Arc::clone(&room), thermostat) {
                self.valves.spec(room);
            }
        }
    }
}

/// Opens the valve of each room that is too cold, and closes it where no thermostat asks for it.
struct Valves {
    thermostats: Cache<Room, Thermostat>,
    building: Arc<Building>,
}

#[derive(Debug, thiserror::Error)]
enum ValveError {
    #[error("room {0} is below freezing: its valve would burst")]
    Frozen(Room),
}

impl Reconciler for Valves {
    type Key = Room;
    type Error = ValveError;

    async fn reconcile(&self, room: &Room) -> Result<Action, ValveError> {
        let Some(thermostat) = self.thermostats.get(room) else {
            // Deletion is not a special event: nothing asks for this valve.
            self.building.state().open_valves.remove(room);
            return Ok(Action::await_change());
        };
        if thermostat.measured < 0 {
            return Err(ValveError::Frozen(Arc::clone(room)));
        }
        let open = thermostat.measured < thermostat.wanted;
        self.building.state().open_valves.insert(Arc::clone(room), open);
        // A valve seizes up when it is never moved: look again tomorrow.
        Ok(Action::requeue_after(DAY))
    }

    fn classify(&self, error: &ValveError) -> Failure {
        match error {
            // Only a new reading can help.
            ValveError::Frozen(_) => Failure::Terminal,
        }
    }
}

/// Something that happens to the building, and what it is called.
type Scene = (&'static str, fn(&Building));

/// More changes at once than the log remembers.
fn six_rooms(building: &Building) {
    building.reads("attic", 18, 12);
    building.reads("cellar", 12, -3);
    building.reads("hall", 19, 17);
    building.reads("kitchen", 20, 23);
    building.reads("library", 21, 20);
    building.reads("study", 21, 22);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let building = Arc::new(Building::new());
    let shutdown = Shutdown::new();
    let mut group = TaskGroup::new(shutdown.clone());

    // The wiring: log → reflector → cache → trigger → controller → building.
    let (writer, thermostats) = cache();
    let reflector = Reflector::new("thermostats", Backoff::default());
    let rooms = thermostats.clone();
    let controller = Controller::new("valves", Backoff::default())
        .after(reflector.ready())
        .full_pass(FULL_PASS, move || rooms.keys());
    let (progress, observer) = (reflector.progress(), controller.observer());

    let log =
        BuildingLog { building: Arc::clone(&building), revision: building.revision.subscribe() };
    let sink = Thermostats { cache: writer, valves: controller.triggers() };
    group.critical::<Infallible>("thermostats", reflector.run(log, sink, shutdown.clone()));
    let valves = Arc::new(Valves { thermostats, building: Arc::clone(&building) });
    group.critical("valves", controller.run(valves, shutdown.clone()));
    let group = tokio::spawn(group.run(Duration::from_secs(5)));

    let scenes: [Scene; 4] = [
        ("six rooms", six_rooms),
        ("the hall is warm", |building| building.reads("hall", 19, 19)),
        ("the cellar has thawed", |building| building.reads("cellar", 12, 4)),
        ("the attic is given up", |building| building.set("attic", None)),
    ];
    for (title, change) in scenes {
        change(&building);
        let head = || *building.revision.borrow();
        let settled =
            converged(head, std::slice::from_ref(&progress), std::slice::from_ref(&observer));
        tokio::time::timeout(Duration::from_secs(5), settled).await??;
        report(title, &building, &observer.stats());
    }

    shutdown.request();
    group.await??;
    Ok(())
}

fn report(title: &str, building: &Building, seen: &Stats) {
    let state = building.state();
    let open = state.open_valves.iter().filter(|(_, open)| **open).map(|(room, _)| &**room);
    println!("{title}: open valves: {}", open.collect::<Vec<_>>().join(", "));
    for error in &seen.errors {
        println!("  parked: {}", error.message);
    }
}
