//! A node's controllers without their loops, for tests: a store in memory, a clock that stands, a
//! plugin that is a function. Each step is asked for, so a test knows what has happened.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::dispatch::GATHER;
use super::follow::{Follower, StoreSource, Triggers};
use super::history::Historian;
use super::intents::intend;
use super::planner::Planner;
use super::runner::{PluginSlot, Runner};
use super::world::SubFact;
use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::clock::Clock;
use crate::api::event::Event;
use crate::api::fact::FactId;
use crate::api::kinds::decode::decode_value;
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::api::run::{RunRecord, Work};
use crate::api::value::Value;
use crate::plugin::{
    Availability, Exit, HostError, Outcome, RunSpec, Spawner, StderrTail, WallState, Walls,
};
use crate::runtime::{Action, Backoff, Controller, Reconciler, Sink, Source, Step};
use crate::store::events::{self, Receipt, accept};
use crate::store::tables::{EventRow, FactRow};
use crate::store::{MemoryEngine, Scan, Store};

/// The one subscription's name.
pub const SUB: &str = "sub";

/// Time that moves when it is told to.
pub struct Standing(Mutex<Time>);

impl Clock for Standing {
    fn now(&self) -> Time {
        *self.0.lock().unwrap()
    }
}

/// What the plugin does with a request.
pub enum Reply {
    /// Exits with 0 after writing this.
    Answer(Json),
    /// Exits with this status.
    Exit(i32),
    /// Cannot be started.
    Host,
    /// Rests between two processes.
    Resting(Duration),
    /// Is stopped by a shutdown.
    Stopped,
}

type Behaviour = Box<dyn FnMut(&Json) -> Reply + Send>;

/// A plugin that is a function of its request.
pub struct Fake {
    behaviour: Mutex<Behaviour>,
    requests: Mutex<VecDeque<Json>>,
    /// Runs end only while this has a permit.
    pub gate: Semaphore,
}

impl Spawner for Fake {
    fn run(
        &self,
        spec: RunSpec,
        _: CancellationToken,
    ) -> BoxFuture<'_, Result<Outcome, HostError>> {
        async move {
            let request: Json = serde_json::from_slice(&spec.stdin).expect("a request is JSON");
            let reply = (self.behaviour.lock().unwrap())(&request);
            self.requests.lock().unwrap().push_back(request);
            drop(self.gate.acquire().await);
            let (exit, stdout) = match reply {
                Reply::Answer(answer) => (Exit::Code(0), answer.to_string()),
                Reply::Exit(status) => (Exit::Code(status), String::new()),
                Reply::Stopped => (Exit::Cancelled, String::new()),
                Reply::Resting(pause) => {
                    let why = "exited with status 1".to_owned();
                    return Err(HostError::Resting { failures: 2, why, pause });
                }
                Reply::Host => {
                    let (path, component) = (spec.executable.clone(), spec.executable);
                    return Err(HostError::NotFound { path, component });
                }
            };
            Ok(Outcome {
                exit,
                stdout: Bytes::from(stdout),
                stderr: StderrTail { bytes: Bytes::from_static(b"words\n"), dropped: 0 },
                pipes_held: false,
                duration: Duration::from_millis(5),
                digest: None,
                warnings: Vec::new(),
                lease: None,
            })
        }
        .boxed()
    }

    fn walls(&self, asked: &Walls) -> Vec<WallState> {
        asked.asked().map(|wall| WallState { wall, state: Availability::Enforced }).collect()
    }
}

/// A node that does nothing by itself.
pub struct Bench {
    pub engine: MemoryEngine,
    pub store: Store,
    pub shared: Arc<Shared>,
    pub historian: Historian,
    pub fake: Arc<Fake>,
    clock: Arc<Standing>,
    planner: Planner,
    pub runner: Runner,
    follower: Follower,
    source: StoreSource,
    cursor: u64,
}

impl Bench {
    /// A node at 0 s with the group `g`, the plugin `p` and the subscription `sub` of the types
    /// `seen`, which `gone` retracts; `changes` are merged into their specs.
    pub async fn new(
        changes: Json,
        behaviour: impl FnMut(&Json) -> Reply + Send + 'static,
    ) -> Self {
        let engine = MemoryEngine::new();
        Self::on(Store::in_memory(engine.clone()), engine, changes, behaviour).await
    }

    /// The same, with a store whose writer has a thread of its own, so that its disk may be busy.
    pub async fn with_writer(
        changes: Json,
        behaviour: impl FnMut(&Json) -> Reply + Send + 'static,
    ) -> Self {
        let engine = MemoryEngine::new();
        Self::on(Store::threaded_in_memory(&engine), engine, changes, behaviour).await
    }

    async fn on(
        store: Store,
        engine: MemoryEngine,
        changes: Json,
        behaviour: impl FnMut(&Json) -> Reply + Send + 'static,
    ) -> Self {
        let clock = Arc::new(Standing(Mutex::new(Time::UNIX_EPOCH)));
        let node_time: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let identify = Box::new(|_: &str| Some("file-1".to_owned()));
        let shared = Arc::new(Shared::new(
            store.clone(),
            Arc::clone(&node_time),
            identify,
            Box::new(|_: &Accepted| Vec::new()),
        ));
        let fake = Arc::new(Fake {
            behaviour: Mutex::new(Box::new(behaviour)),
            requests: Mutex::default(),
            gate: Semaphore::new(1),
        });
        let triggers = triggers();
        let planner = Planner::new(Arc::clone(&shared), triggers.slots.clone());
        let runner = Runner::new(
            Arc::clone(&shared),
            Arc::clone(&fake) as _,
            triggers.slots.clone(),
            triggers.plans.clone(),
            triggers.conditions.clone(),
            CancellationToken::new(),
        )
        .expect("an empty store can be read");
        let mut bench = Self {
            historian: Historian::new(Arc::clone(&shared)),
            follower: Follower::new(Arc::clone(&shared), triggers),
            source: StoreSource::new(store.clone()),
            cursor: 0,
            engine,
            store,
            shared,
            fake,
            clock,
            planner,
            runner,
        };
        bench.restart().await;
        bench.manifests(&changes).await;
        bench
    }

    /// Puts the three manifests with these changes of their specs.
    pub async fn manifests(&mut self, changes: &Json) {
        let objects = [
            ("federation", "EventGroup", "g", "group", json!({"nodeName": "me"})),
            (
                "plugin",
                "Plugin",
                "p",
                "plugin",
                json!({
                    "executable": "/opt/p",
                    "capabilities": ["propose.dynamicConfig", "propose.providerAction"],
                }),
            ),
            (
                "federation",
                "EventSubscription",
                SUB,
                "subscription",
                json!({
                    "groupRef": "g", "match": {"types": ["seen"], "retractTypes": ["gone"]},
                    "trigger": {"pluginRef": "p"},
                }),
            ),
        ];
        for (group, kind, name, label, mut spec) in objects {
            merge(&mut spec, &changes[label]);
            self.accept(group, kind, name, spec).await;
        }
        self.follow().await;
    }

    /// Puts one manifest, without anybody taking it in.
    pub async fn accept(&self, group: &str, kind: &str, name: &str, spec: Json) {
        let body = json!({
            "apiVersion": format!("{group}.routerd.net/v1alpha1"), "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        });
        let body = Value::from_serialize(&body).expect("plain data");
        let decoded = decode_value(&body, "").unwrap_or_else(|r| panic!("{:?}", r.problems));
        let accepted = Accepted {
            resource: decoded.resource,
            uid: format!("uid-{name}"),
            generation: 1,
            source: SourceRef { file: "f".into(), document: 0, index: None, line: 1, column: 1 },
            created_at: Time::UNIX_EPOCH,
            accepted_at: Time::UNIX_EPOCH,
            digest: String::new(),
            typed: true,
        };
        self.store.write(move |txn| txn.put(&accepted)).await.expect("written");
    }

    /// Takes a manifest away.
    pub async fn delete(&mut self, group: &str, kind: &str, name: &str) {
        let key = ObjectKey::new(format!("{group}.routerd.net/v1alpha1"), kind, name);
        self.store.write(move |txn| txn.delete::<Accepted>(&key)).await.expect("written");
        self.follow().await;
    }

    /// Lists everything anew, as a start does.
    pub async fn restart(&mut self) {
        let (listing, revision) = self.source.list().await.expect("memory does not fail");
        self.follower.replace(listing);
        self.cursor = revision;
    }

    /// Takes in what was written.
    pub async fn follow(&mut self) {
        while self.cursor < self.store.applied() {
            match self.source.next(self.cursor).await.expect("memory does not fail") {
                Step::Changes { changes, revision } => {
                    self.follower.apply(changes);
                    self.cursor = revision;
                }
                Step::Lagged => self.restart().await,
            }
        }
    }

    /// Sets node time, in seconds.
    pub fn at(&self, second: i64) {
        *self.clock.0.lock().unwrap() = Time::from_second(second).unwrap();
    }

    /// Node time.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Stores an event that is received now, without anybody taking it in.
    pub async fn receive(&self, event: Event) -> events::Outcome {
        self.try_receive(event).await.expect("accepted")
    }

    /// The same of one that may be refused.
    pub async fn try_receive(
        &self,
        event: Event,
    ) -> Result<events::Outcome, crate::store::WriteError<events::Refusal>> {
        let receipt = Receipt {
            now: self.now(),
            received_from: "local".into(),
            verified_by: String::new(),
            replay_window: Duration::from_secs(300),
            max_age: self.shared.world().objects.max_age("g"),
            room: Some(1000),
        };
        let shared = Arc::clone(&self.shared);
        let wrote = self.store.write(move |txn| {
            let key = (event.group.clone(), event.id.clone());
            let outcome = accept(txn, 0, event, &receipt)?;
            if matches!(outcome, events::Outcome::New { .. }) {
                intend(&shared, txn, &key, receipt.now)?;
            }
            Ok(outcome)
        });
        let wrote = wrote.await;
        wrote.map(|committed| committed.value)
    }

    /// Stores an event and takes it in.
    pub async fn emit(&mut self, event: Event) {
        self.receive(event).await;
        self.follow().await;
    }

    /// Plans everything that the subscription may have to do with, and takes in what was written.
    pub async fn plan(&mut self) {
        let keys = self.shared.world().of_subscription(&SUB.into());
        for key in keys {
            self.planner.reconcile(&key).await.expect("planned");
        }
        self.follow().await;
    }

    /// Plans, lets one slot of the plugin run one batch, and plans again.
    pub async fn turn(&mut self) -> Action {
        self.plan().await;
        // What is retried together is there.
        tokio::time::advance(GATHER).await;
        let slot = PluginSlot { plugin: "p".into(), slot: 0 };
        let action = self.runner.reconcile(&slot).await.expect("run");
        self.follow().await;
        self.plan().await;
        action
    }

    /// Plans and lets one slot of the plugin run one batch, and takes in nothing of what is written.
    pub async fn unseen_turn(&mut self) {
        let keys = self.shared.world().of_subscription(&SUB.into());
        for key in keys {
            self.planner.reconcile(&key).await.expect("planned");
        }
        let slot = PluginSlot { plugin: "p".into(), slot: 0 };
        self.runner.reconcile(&slot).await.expect("run");
    }

    /// As [`turn`](Self::turn), with `meanwhile` while the plugin runs. `meanwhile` ends the run.
    pub async fn turn_while(&mut self, meanwhile: impl AsyncFnOnce(&mut Self, &Fake)) {
        self.plan().await;
        let slot = PluginSlot { plugin: "p".into(), slot: 0 };
        let fake = Arc::clone(&self.fake);
        fake.gate.forget_permits(1);
        let idle = Runner::new(
            Arc::clone(&self.shared),
            Arc::clone(&fake) as _,
            triggers().slots,
            triggers().plans,
            triggers().conditions,
            CancellationToken::new(),
        );
        let runner = std::mem::replace(&mut self.runner, idle.expect("the store can be read"));
        let run = async { runner.reconcile(&slot).await.expect("run") };
        let change = async {
            while fake.requests.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            meanwhile(self, &fake).await;
            fake.gate.add_permits(1);
        };
        futures::join!(run, change);
        self.runner = runner;
        self.follow().await;
        self.plan().await;
    }

    /// The event ids of each request since the last call.
    pub fn asked(&self) -> Vec<Vec<String>> {
        self.fake.requests.lock().unwrap().drain(..).map(|request| ids(&request)).collect()
    }

    pub fn part(&self, event: &Event) -> Option<Part> {
        self.store.get::<Part>(&(SUB.to_owned(), FactId::of(event))).expect("read")
    }

    pub fn work(&self, event: &Event) -> Option<Work> {
        self.store.get::<Work>(&(SUB.to_owned(), FactId::of(event))).expect("read")
    }

    /// Whether the last run for the event's fact was given up.
    pub fn is_dead(&self, event: &Event) -> bool {
        let key = SubFact { subscription: SUB.into(), fact: FactId::of(event) };
        super::planner::plan_now(&self.shared, &key).plan.dead
    }

    pub fn runs(&self) -> Vec<RunRecord> {
        self.store.scan::<RunRecord>(&Scan::all()).map(|row| row.expect("a row")).collect()
    }

    /// The ids of the stored events, in the order of receipt.
    pub fn events(&self) -> Vec<String> {
        let rows = self.store.scan::<EventRow>(&Scan::all()).map(|row| row.expect("a row"));
        let mut events: Vec<_> = rows.map(|row| (row.seq, row.event.id)).collect();
        events.sort();
        events.into_iter().map(|(_, id)| id).collect()
    }

    /// The stored row of the event's fact.
    pub fn fact(&self, event: &Event) -> Option<FactRow> {
        crate::store::facts::find(&self.store, &FactId::of(event)).expect("read")
    }
}

/// Ways into controllers that never run.
fn triggers() -> Triggers {
    let backoff = Backoff::default();
    Triggers {
        plans: Controller::new("plans", backoff).triggers(),
        slots: Controller::new("runs", backoff).triggers(),
        history: Controller::new("history", backoff).triggers(),
        conditions: Controller::new("conditions", backoff).triggers(),
        published: Controller::new("effective", backoff).triggers(),
        outputs: Controller::new("outputs", backoff).triggers(),
        hooks: Controller::new("hooks", backoff).triggers(),
        parts: Controller::new("part-conditions", backoff).triggers(),
    }
}

fn merge(into: &mut Json, changes: &Json) {
    match (into, changes) {
        (Json::Object(into), Json::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Json::Null), value);
            }
        }
        (_, Json::Null) => {}
        (into, changes) => *into = changes.clone(),
    }
}

/// The ids of a request's events.
pub fn ids(request: &Json) -> Vec<String> {
    let events = request["spec"]["events"].as_array().expect("a list");
    events.iter().map(|event| event["id"].as_str().expect("a text").to_owned()).collect()
}

/// An answer with a ttl of 60 s that proposes an action, marked, for each event.
pub fn answer(request: &Json) -> Reply {
    let plans: Vec<Json> =
        ids(request).into_iter().map(|id| json!({"eventID": id, "do": "it"})).collect();
    result(json!({"ttl": "60s", "actionPlans": plans}))
}

/// An answer with this status.
pub fn result(status: Json) -> Reply {
    let api_version = crate::api::plugin::API_VERSION;
    Reply::Answer(json!({"apiVersion": api_version, "kind": "PluginResult", "status": status}))
}

/// An event of the observer `n` in the group `g`.
pub fn event(id: &str, r#type: &str, subject: &str, observed: i64) -> Event {
    Event {
        id: id.into(),
        group: "g".into(),
        r#type: r#type.into(),
        source_node: "n".into(),
        subject: subject.into(),
        dedupe_key: String::new(),
        payload: crate::api::payload::Payload::default(),
        observed_at: Some(Time::from_second(observed).unwrap()),
        expires_at: None,
    }
}

/// The same with an expiry.
pub fn until(event: Event, expires: i64) -> Event {
    Event { expires_at: Some(Time::from_second(expires).unwrap()), ..event }
}
