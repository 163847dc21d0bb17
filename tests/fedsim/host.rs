//! One node of the federation: the real controllers and the real outbox over an engine in memory,
//! and a receiver that does what the protocol says, no more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use routerd::api::Time;
use routerd::api::accepted::{Accepted, SourceRef};
use routerd::api::clock::Clock;
use routerd::api::delivery::Verdict;
use routerd::api::event::Event;
use routerd::api::fact::FactId;
use routerd::api::kinds::decode::decode_value;
use routerd::api::object::ObjectKey;
use routerd::api::value::Value;
use routerd::daemon::node::{Node, Outside as NodeOutside};
use routerd::federation::outbox::credentials::{Credentials, Off, Proof};
use routerd::federation::outbox::index::{Membership, Peering};
use routerd::federation::outbox::transport::{Answer, Body, Request};
use routerd::federation::outbox::{Outboxes, Outside, Running};
use routerd::federation::signature::{Key, parse};
use routerd::federation::wire::{
    BATCH_PATH, BatchAnswer, BatchRequest, BatchResult, EventAnswer, FEATURE_BATCH, STATUS_PATH,
    Status,
};
use routerd::plugin::{HostError, Outcome as RunOutcome, RunSpec, Spawner, WallState, Walls};
use routerd::runtime::{Shutdown, TaskGroup, converged};
use routerd::store::events::{Outcome, Receipt, Reception, Refusal, accept};
use routerd::store::tables::{DeliveryRow, EventRow, FactRow, IdentityRow, OutboxRow};
use routerd::store::{MemoryEngine, Scan, Store};
use serde_json::{Value as Json, json};

use super::clock::SimClock;
use super::net::Net;

pub const GROUP: &str = "lab";
pub const REPLAY_WINDOW: Duration = Duration::from_secs(300);
/// No wait in a simulation is longer: whoever waits for so long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(7 * 24 * 3600);

pub fn name(node: usize) -> String {
    format!("n{node}")
}

/// A secret that can be changed under way.
#[derive(Clone)]
pub struct Secret(Arc<Mutex<String>>);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.to_owned())))
    }

    pub fn set(&self, text: &str) {
        text.clone_into(&mut self.0.lock().expect("no panic"));
    }

    fn key(&self) -> Key {
        Key::new(self.0.lock().expect("no panic").as_bytes())
    }
}

impl Credentials for Secret {
    fn proof(&self, _: &Peering, _: &Membership) -> Result<Proof, Off> {
        Ok(Proof::Keys(vec![self.key()]))
    }
}

/// Nobody runs plugins here.
struct NoPlugins;

impl Spawner for NoPlugins {
    fn run(
        &self,
        _: RunSpec,
        _: tokio_util::sync::CancellationToken,
    ) -> futures::future::BoxFuture<'_, Result<RunOutcome, HostError>> {
        unreachable!("there is no subscription")
    }

    fn walls(&self, _: &Walls) -> Vec<WallState> {
        Vec::new()
    }
}

/// A node that runs.
pub struct Up {
    pub node: Node,
    pub running: Running,
    pub outboxes: Outboxes,
    pub store: Store,
    group: TaskGroup,
    shutdown: Shutdown,
}

/// A host with its disk.
pub struct Host {
    pub number: usize,
    pub clock: Arc<SimClock>,
    pub secret: Secret,
    pub engine: MemoryEngine,
    pub up: Option<Up>,
    net: Net,
    /// The disk was replaced so many times.
    wipes: u64,
    pub accepted: BTreeMap<ObjectKey, Accepted>,
    uids: u64,
    max_age: Duration,
}

/// Where a node's requests come in.
#[derive(Clone)]
pub struct Inbox {
    number: usize,
    store: Store,
    store_id: String,
    clock: Arc<SimClock>,
    secret: Secret,
    max_age: Duration,
    reception: Arc<dyn Reception>,
}

impl Inbox {
    fn answer(&self, status: u16, body: &impl serde::Serialize) -> Answer {
        Answer {
            status,
            retry_after: None,
            store: Some(self.store_id.clone()),
            body: serde_json::to_vec(body).expect("plain data").into(),
        }
    }

    fn refuse(&self, status: u16) -> Answer {
        self.answer(status, &json!({"accepted": false, "error": "no"}))
    }

    /// Takes a request as the protocol says.
    pub async fn receive(&self, request: &Request) -> Answer {
        let Some(body) = &request.body else {
            assert_eq!(request.path, STATUS_PATH);
            return self.answer(
                200,
                &Status {
                    node: name(self.number),
                    group: GROUP.to_owned(),
                    store_id: Some(self.store_id.clone()),
                    // Some speak the first version of the protocol only.
                    features: (!self.number.is_multiple_of(3))
                        .then(|| FEATURE_BATCH.to_owned())
                        .into_iter()
                        .collect(),
                    ..Status::default()
                },
            );
        };
        let off = (body.timestamp - self.clock.now().as_second()).unsigned_abs();
        if off > REPLAY_WINDOW.as_secs() {
            return self.refuse(403);
        }
        if !self.is_signed(body) {
            return self.refuse(401);
        }
        if request.path == BATCH_PATH {
            let batch: BatchRequest = serde_json::from_slice(&body.bytes).expect("a batch");
            assert!(batch.events.len() > 1, "one event does not go as a batch");
            let ids: Vec<String> = batch.events.iter().map(|event| event.id.clone()).collect();
            let statuses = self.accept(batch.events).await;
            let results = ids.into_iter().zip(statuses).map(|(id, (status, duplicate))| {
                BatchResult { id, status, accepted: status == 200, duplicate, error: None }
            });
            return self.answer(200, &BatchAnswer { results: results.collect() });
        }
        let event: Event = serde_json::from_slice(&body.bytes).expect("an event");
        let id = event.id.clone();
        let (status, duplicate) = self.accept(vec![event]).await[0];
        self.answer(status, &EventAnswer { accepted: status == 200, id, duplicate, error: None })
    }

    fn is_signed(&self, body: &Body) -> bool {
        let signature = body.signature.as_ref().and_then(|text| parse(text.as_bytes()));
        signature.is_some_and(|signature| {
            self.secret.key().verifies(&body.timestamp.to_string(), &body.bytes, &signature)
        })
    }

    async fn accept(&self, events: Vec<Event>) -> Vec<(u16, bool)> {
        let receipt = Receipt {
            now: self.clock.now(),
            received_from: "peer".into(),
            verified_by: "secret".into(),
            replay_window: REPLAY_WINDOW,
            max_age: self.max_age,
            room: None,
        };
        let (own, reception) = (name(self.number), Arc::clone(&self.reception));
        let wrote = self.store.write(move |txn| {
            let mut statuses = Vec::new();
            for (at, event) in events.into_iter().enumerate() {
                if event.source_node == own {
                    statuses.push((422, false));
                    continue;
                }
                let key = (event.group.clone(), event.id.clone());
                statuses.push(match accept(txn, at, event, &receipt) {
                    Ok(Outcome::New { .. }) => {
                        reception.accepted(txn, &key, receipt.now)?;
                        (200, false)
                    }
                    Ok(Outcome::Duplicate) => (200, true),
                    Ok(_) => (200, false),
                    Err(Refusal::Invalid(_)) => (400, false),
                    Err(Refusal::Conflict { .. }) => (409, false),
                    Err(Refusal::GroupFull { .. }) => (429, false),
                    Err(Refusal::Store(error)) => return Err(error),
                });
            }
            Ok::<_, routerd::store::StoreError>(statuses)
        });
        wrote.await.expect("memory takes it").value
    }
}

impl Host {
    pub fn new(number: usize, net: &Net, max_age: Duration) -> Self {
        Self {
            number,
            clock: Arc::new(SimClock::new()),
            secret: Secret::new("first"),
            engine: MemoryEngine::new(),
            up: None,
            net: net.clone(),
            wipes: 0,
            accepted: BTreeMap::new(),
            uids: 0,
            max_age,
        }
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Starts the node on what the engine holds.
    pub fn start(&mut self) {
        let store = Store::in_memory(self.engine.clone());
        let shutdown = Shutdown::new();
        let mut group = TaskGroup::new(shutdown.clone());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let outboxes = Outboxes::new(Arc::clone(&clock));
        let told = outboxes.clone();
        let outside = NodeOutside {
            store: store.clone(),
            clock: Arc::clone(&clock),
            spawner: Arc::new(NoPlugins),
            identify: Box::new(|_| None),
            reported: Box::new(move |accepted| told.condition(accepted).into_iter().collect()),
            reserved: routerd::controllers::output::Reserved::default(),
            beat: routerd::runtime::Beat::every(routerd::sources::config_dir::RESCAN),
            clock_set: None,
        };
        let node = Node::start(outside, &mut group, &shutdown).expect("a node starts");
        let outside = Outside {
            store: store.clone(),
            clock,
            transport: self.net.of(self.number),
            credentials: Arc::new(self.secret.clone()),
        };
        let conditions = node.triggers.conditions.clone();
        let running = outboxes.start(outside, conditions, &mut group, &shutdown);
        self.net.listen(
            self.number,
            Inbox {
                number: self.number,
                store: store.clone(),
                store_id: format!("store-{}-{}", self.number, self.wipes),
                clock: Arc::clone(&self.clock),
                secret: self.secret.clone(),
                max_age: self.max_age,
                reception: node.reception(),
            },
        );
        self.up = Some(Up { node, running, outboxes, store, group, shutdown });
    }

    /// Kills the node; of what was not synced, `seed` says what survives.
    pub async fn crash(&mut self, seed: u64) {
        self.net.close(self.number);
        self.up = None;
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        self.engine = self.engine.crash_with_seed(seed);
    }

    /// Kills the node and replaces its disk; the manifests are files elsewhere.
    pub async fn wipe(&mut self) {
        self.crash(0).await;
        self.engine = MemoryEngine::new();
        self.wipes += 1;
        let rows: Vec<Accepted> = std::mem::take(&mut self.accepted).into_values().collect();
        for mut row in rows {
            // Another store gives other uids.
            self.uids += 1;
            row.uid = format!("uid-{}-{}", self.number, self.uids);
            row.accepted_at = self.now();
            row.created_at = self.now();
            self.accepted.insert(row.key().clone(), row);
        }
        self.write_accepted().await;
    }

    /// Stops the node as a signal does.
    pub async fn stop(&mut self) {
        let Some(up) = self.up.take() else { return };
        self.net.close(self.number);
        up.shutdown.drain();
        up.group.run(Duration::from_secs(30)).await.expect("all tasks stop");
    }

    pub fn store(&self) -> Store {
        self.up
            .as_ref()
            .map_or_else(|| Store::in_memory(self.engine.clone()), |up| up.store.clone())
    }

    /// Waits until the node is settled and its peers have everything.
    pub async fn converge(&self) {
        let up = self.up.as_ref().expect("the node runs");
        let store = up.store.clone();
        let settled = async {
            up.node.converged().await.expect("it runs");
            let (progress, observer) =
                (up.running.progress().clone(), up.running.observer().clone());
            converged(move || store.head(), &[progress], &[observer]).await.expect("it runs");
        };
        if tokio::time::timeout(FOR_EVER, settled).await.is_err() {
            let pending = up.running.observer().pending(20);
            let states: Vec<_> = up
                .outboxes
                .peers()
                .iter()
                .map(|peer| (peer.to_string(), up.outboxes.peer(peer)))
                .collect();
            panic!("{} has not converged in a week: {pending:?} {states:#?}", name(self.number));
        }
    }

    pub async fn put(&mut self, resource: &Json) {
        let value = Value::from_serialize(resource).expect("plain data");
        let decoded = decode_value(&value, "")
            .unwrap_or_else(|rejected| panic!("{resource}: {:?}", rejected.problems));
        let (key, now) = (decoded.resource.key.clone(), self.now());
        let old = self.accepted.get(&key);
        self.uids += 1;
        let accepted = Accepted {
            uid: old.map_or_else(
                || format!("uid-{}-{}", self.number, self.uids),
                |old| old.uid.clone(),
            ),
            generation: old.map_or(1, |old| old.generation + 1),
            source: SourceRef { file: "f".into(), document: 0, index: None, line: 1, column: 1 },
            created_at: old.map_or(now, |old| old.created_at),
            accepted_at: now,
            digest: resource.to_string(),
            typed: decoded.typed,
            resource: decoded.resource,
        };
        self.accepted.insert(key, accepted);
        self.write_accepted().await;
    }

    pub async fn delete(&mut self, key: &ObjectKey) {
        if self.accepted.remove(key).is_some() {
            let key = key.clone();
            let wrote = self.store();
            wrote.write(move |txn| txn.delete::<Accepted>(&key)).await.expect("memory takes it");
        }
    }

    async fn write_accepted(&self) {
        let rows: Vec<Accepted> = self.accepted.values().cloned().collect();
        let store = self.store();
        let wrote = store.write(move |txn| rows.iter().try_for_each(|row| txn.put(row)));
        wrote.await.expect("memory takes it");
    }

    /// Records an event of this node.
    pub async fn emit(&self, event: Event) {
        let receipt = Receipt {
            now: self.now(),
            received_from: "local".into(),
            verified_by: String::new(),
            replay_window: REPLAY_WINDOW,
            max_age: self.max_age,
            room: None,
        };
        let store = self.store();
        let wrote = store.write(move |txn| accept(txn, 0, event, &receipt).map(drop));
        // Its own earlier event may lie ahead of a clock that was set back: then it is history.
        wrote.await.expect("a good event");
    }

    /// The facts that the node holds, by who observed them.
    pub fn facts(&self) -> BTreeMap<FactId, (Event, FactRow)> {
        let store = self.store();
        let rows = routerd::store::facts::all(&store).map(|row| row.expect("memory reads"));
        rows.filter_map(|row| {
            let key = (row.group.clone(), row.event_id.clone());
            let event = store.get::<EventRow>(&key).expect("it reads")?;
            Some((row.fact, (event.event, row)))
        })
        .collect()
    }

    /// What the node gave up on, with reasons.
    pub fn dead(&self) -> Vec<DeliveryRow> {
        let store = self.store();
        let rows = store.scan::<DeliveryRow>(&Scan::all()).map(|row| row.expect("memory reads"));
        rows.filter(|row| row.ack.verdict == Verdict::Dead).collect()
    }

    /// The records of deliveries and peers.
    pub fn records(&self) -> (Vec<DeliveryRow>, Vec<OutboxRow>) {
        let store = self.store();
        let rows = store.scan::<DeliveryRow>(&Scan::all()).map(|row| row.expect("memory reads"));
        let outboxes = store.scan::<OutboxRow>(&Scan::all()).map(|row| row.expect("memory reads"));
        (rows.collect(), outboxes.collect())
    }

    /// Whether the node remembers an id.
    pub fn knows(&self, id: &str) -> bool {
        let (key, store) = ((GROUP.to_owned(), id.to_owned()), self.store());
        store.get::<EventRow>(&key).expect("memory reads").is_some()
            || store.get::<IdentityRow>(&key).expect("memory reads").is_some()
    }
}
