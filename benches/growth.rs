//! What grows with what: the cost of one event beside ever more live facts, stored events,
//! subscriptions and parts; of a recompute with its own facts; of a burst with its size; and the
//! memory of a live fact. The real node on sled, in this process; only the plugin is a function.
//!
//! `cargo bench --bench growth` prints one line a figure. What is compared takes turns, so that the
//! machine's moods meet both. CPU time is that of the whole process, so the disk's are not in it.

#![allow(clippy::cast_precision_loss)] // figures for humans, far below 2^52

#[path = "../src/bin/routerd/allocator.rs"]
mod allocator;
#[path = "common/report.rs"]
mod report;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use routerd::api::accepted::{Accepted, SourceRef};
use routerd::api::clock::Clock;
use routerd::api::event::Event;
use routerd::api::kinds::decode::decode_value;
use routerd::api::plugin::PluginRequest;
use routerd::api::value::Value;
use routerd::daemon::node::{Node, Outside};
use routerd::plugin::{
    Availability, Exit, HostError, Outcome, RunSpec, Spawner, StderrTail, WallState, Walls,
};
use routerd::runtime::{Shutdown, TaskGroup};
use routerd::sources::node_time::SystemClock;
use routerd::store::events::{Receipt, accept};
use routerd::store::{OpenOptions, Store, StoreError};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::report::{Goal, count, figure, percentile};

/// Turns of each of the two that are compared, and events of a turn.
const TURNS: u32 = 25;
const PER_TURN: u32 = 8;
const PER_TRANSACTION: usize = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// Answers every event with one claim, at once.
struct Plugin;

impl Spawner for Plugin {
    fn run(
        &self,
        spec: RunSpec,
        _: CancellationToken,
    ) -> BoxFuture<'_, Result<Outcome, HostError>> {
        async move {
            let request: PluginRequest = serde_json::from_slice(&spec.stdin).expect("a request");
            let claim = |event: &Event| {
                json!({
                    "apiVersion": "hybrid.routerd.net/v1alpha1", "kind": "RemoteAddressClaim",
                    "metadata": {"name": format!("c-{}", event.id),
                                 "annotations": {"routerd.net/event-id": event.id}},
                    "spec": {"domainRef": "d", "address": event.subject, "ownerSide": "onprem",
                             "capture": {"type": "proxy-arp", "interface": "eth0"},
                             "delivery": {"peerRef": "peer", "mode": "route"}},
                })
            };
            let claims: Vec<Json> = request.spec.events.iter().map(|e| claim(&e.event)).collect();
            let answer = json!({
                "apiVersion": "plugin.routerd.net/v1alpha1", "kind": "PluginResult",
                "status": {"ttl": "720h", "resources": claims},
            });
            Ok(Outcome {
                exit: Exit::Code(0),
                stdout: answer.to_string().into(),
                stderr: StderrTail { bytes: bytes::Bytes::new(), dropped: 0 },
                pipes_held: false,
                duration: Duration::ZERO,
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

/// A node and its disk.
struct Lab {
    node: Node,
    store: Store,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    group: TaskGroup,
    next: u32,
    _state: TempDir,
}

fn resource(api: &str, kind: &str, name: &str, spec: Json) -> Json {
    json!({"apiVersion": format!("{api}.routerd.net/v1alpha1"), "kind": kind,
           "metadata": {"name": name}, "spec": spec})
}

fn plugin(name: &str, tag: &str) -> Json {
    let spec = json!({"executable": format!("/opt/{name}"), "capabilities": ["propose.dynamicConfig"],
                      "env": {"TAG": tag}, "batch": {"maxEvents": 1000}});
    resource("plugin", "Plugin", name, spec)
}

fn subscription(name: &str, plugin: &str, r#match: Json) -> Json {
    let spec = json!({"groupRef": "g", "match": r#match, "trigger": {"pluginRef": plugin}});
    resource("federation", "EventSubscription", name, spec)
}

impl Lab {
    async fn new() -> Self {
        let state = TempDir::new().expect("a directory");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = OpenOptions::daemon(state.path(), clock.now());
        let store = Store::open(&options).expect("the store opens").0;
        let shutdown = Shutdown::new();
        let mut group = TaskGroup::new(shutdown.clone());
        let outside = Outside {
            store: store.clone(),
            clock: Arc::clone(&clock),
            spawner: Arc::new(Plugin),
            identify: Box::new(|path| Some(path.to_owned())),
            reported: Box::new(|_| Vec::new()),
            reserved: routerd::controllers::output::Reserved::default(),
            beat: routerd::runtime::Beat::every(routerd::sources::config_dir::RESCAN),
            clock_set: None,
        };
        let node = Node::start(outside, &mut group, &shutdown).expect("a node starts");
        let mut lab = Self { node, store, clock, shutdown, group, next: 0, _state: state };
        let limits = json!({"nodeName": "here", "limits": {"maxLiveFacts": 10_000_000},
                            "retention": {"maxEvents": 10_000_000}});
        lab.put(vec![
            resource("federation", "EventGroup", "g", limits),
            resource(
                "hybrid",
                "AddressMobilityDomain",
                "d",
                json!({"prefix": "10.0.0.0/8", "mode": "selective-address"}),
            ),
            resource("hybrid", "OverlayPeer", "peer", json!({"role": "onprem", "nodeID": "p"})),
            plugin("p", "0"),
            subscription("watch", "p", json!({"types": ["seen"]})),
        ])
        .await;
        lab
    }

    async fn stop(self) {
        self.shutdown.drain();
        self.group.run(Duration::from_secs(30)).await.expect("it stops");
        self.store.close().await;
    }

    async fn put(&mut self, resources: Vec<Json>) {
        let now = self.clock.now();
        let rows: Vec<Accepted> = resources
            .iter()
            .map(|json| {
                let value = Value::from_serialize(json).expect("plain data");
                let decoded = decode_value(&value, "").expect("it is right");
                let name = decoded.resource.key.name.clone();
                Accepted {
                    uid: format!("uid-{name}"),
                    generation: 1,
                    source: SourceRef { file: name, document: 0, index: None, line: 1, column: 1 },
                    created_at: now,
                    accepted_at: now,
                    digest: json.to_string(),
                    typed: decoded.typed,
                    resource: decoded.resource,
                }
            })
            .collect();
        let wrote = self.store.write(move |txn| {
            rows.iter().try_for_each(|row| txn.put(row))?;
            Ok::<_, StoreError>(())
        });
        wrote.await.expect("written");
        self.node.converged().await.expect("it runs");
    }

    fn event(&mut self, r#type: &str, lives: bool) -> Event {
        self.next += 1;
        let [_, a, b, c] = self.next.to_be_bytes();
        let now = self.clock.now();
        let payload = [("address", format!("10.{a}.{b}.{c}/32")), ("domain", "d".to_owned())];
        Event {
            id: uuid::Uuid::now_v7().to_string(),
            group: "g".to_owned(),
            r#type: r#type.to_owned(),
            source_node: "there".to_owned(),
            subject: format!("10.{a}.{b}.{c}/32"),
            dedupe_key: String::new(),
            payload: payload.map(|(key, value)| (key.to_owned(), value)).into(),
            observed_at: Some(now),
            expires_at: Some(if lives { now + 10 * HOUR } else { now - HOUR }),
        }
    }

    /// Stores so many events of a type, without waiting for what follows.
    async fn emit(&mut self, r#type: &str, count: usize, lives: bool) {
        for first in (0..count).step_by(PER_TRANSACTION) {
            let size = PER_TRANSACTION.min(count - first);
            let events: Vec<Event> = (0..size).map(|_| self.event(r#type, lives)).collect();
            let receipt = Receipt {
                now: self.clock.now(),
                received_from: "local".to_owned(),
                verified_by: String::new(),
                replay_window: Duration::from_secs(300),
                max_age: 24 * HOUR,
                room: Some(u64::MAX),
            };
            let reception = self.node.reception();
            let wrote = self.store.write_sized(size * 1024, move |txn| {
                for (at, event) in events.into_iter().enumerate() {
                    let key = (event.group.clone(), event.id.clone());
                    accept(txn, at, event, &receipt).map_err(|error| format!("{error:?}"))?;
                    let written = reception.accepted(txn, &key, receipt.now);
                    written.map_err(|error| format!("{error:?}"))?;
                }
                Ok::<_, String>(())
            });
            wrote.await.expect("accepted");
        }
    }

    async fn settle(&self) {
        self.node.converged().await.expect("it runs");
    }

    /// Some events, one after the other, each until its part is in force: notes the time of each, and
    /// the CPU time of one.
    async fn turn(&mut self, cost: &mut Cost) {
        self.settle().await;
        let before = cpu();
        for _ in 0..PER_TURN {
            let begun = Instant::now();
            self.emit("seen", 1, true).await;
            self.settle().await;
            cost.times.push(begun.elapsed());
        }
        cost.cpu.push(cpu().saturating_sub(before) / PER_TURN);
    }
}

/// What an event costs.
#[derive(Default)]
struct Cost {
    times: Vec<Duration>,
    cpu: Vec<Duration>,
}

impl Cost {
    /// Prints the medians and returns that of the CPU time, in ms.
    fn told(&mut self, beside: &str) -> f64 {
        let (time, cpu) = (percentile(&mut self.times, 50), percentile(&mut self.cpu, 50));
        figure(&format!("one event, p50, beside {beside}"), time, "ms", Goal::None);
        figure(&format!("one event, CPU, beside {beside}"), cpu * 1e3, "µs", Goal::None);
        cpu
    }
}

/// What an event costs on a node beside what it costs on another, in turns.
async fn compare(what: &str, (few, less): (&mut Lab, &str), (many, more): (&mut Lab, &str)) {
    let (mut few_cost, mut many_cost) = (Cost::default(), Cost::default());
    for _ in 0..TURNS {
        few.turn(&mut few_cost).await;
        many.turn(&mut many_cost).await;
    }
    let (few, many) = (few_cost.told(less), many_cost.told(more));
    figure(&format!("one event, CPU, {what}"), many / few, "×", Goal::AtMost(1.5));
}

/// The CPU time of this process.
fn cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).expect("time goes forward")
}

fn resident_bytes() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("pages");
    pages * 4096.0
}

/// A burst of new parts: the time and the CPU time of each, in µs.
async fn burst(size: usize) -> [f64; 2] {
    let mut lab = Lab::new().await;
    let (begun, before) = (Instant::now(), cpu());
    lab.emit("seen", size, true).await;
    lab.settle().await;
    let (took, used) = (begun.elapsed(), cpu().saturating_sub(before));
    for (what, time) in [("all in force", took), ("CPU", used)] {
        let name = format!("burst of {size} new parts, {what}");
        figure(&name, time.as_secs_f64() * 1e3, "ms", Goal::None);
    }
    lab.stop().await;
    [took, used].map(|time| time.as_secs_f64() * 1e6 / size as f64)
}

async fn bursts() {
    let (small, sizes) = (count(2_500, 100), [5_000, 10_000, 20_000].map(|n| count(n, n / 25)));
    // The first one warms up.
    burst(small).await;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for size in sizes {
        few.push(burst(small).await);
        many.push(burst(size).await);
    }
    few.push(burst(small).await);
    for (at, what) in [(0, "time"), (1, "CPU")] {
        let mut each: Vec<f64> = few.iter().map(|burst| burst[at]).collect();
        each.sort_by(f64::total_cmp);
        figure(
            &format!("a part of the largest burst to one of the smallest, {what}"),
            many[sizes.len() - 1][at] / each[each.len() / 2],
            "×",
            Goal::AtMost(1.5),
        );
    }
}

async fn facts() {
    let (mut few, mut many) = (Lab::new().await, Lab::new().await);
    few.emit("quiet", 1_000, true).await;
    let (mut there, mut memory) = (0, Vec::new());
    for facts in [10_000, 100_000, count(1_000_000, 110_000)] {
        many.emit("quiet", facts - there, true).await;
        there = facts;
        let (less, more) = ("1000 live facts", format!("{facts} live facts"));
        let what = format!("{facts} live facts to 1000");
        compare(&what, (&mut few, less), (&mut many, &more)).await;
        memory.push((facts, resident_bytes()));
    }
    let (last, first) = (memory[memory.len() - 1], memory[memory.len() - 2]);
    let bytes = (last.1 - first.1) / (last.0 - first.0) as f64;
    figure("memory of one live fact", bytes, "bytes", Goal::AtMost(1024.0));
    few.stop().await;
    many.stop().await;
}

async fn beside_others() {
    let (mut alone, mut lab) = (Lab::new().await, Lab::new().await);
    let events = count(100_000, 5_000);
    lab.emit("past", events, false).await;
    let beside = format!("{events} stored events");
    compare("stored events to nothing", (&mut alone, "nothing"), (&mut lab, &beside)).await;
    let others = count(10_000, 500);
    let subscriptions = (0..others).map(|n| {
        let net = format!("172.{}.{}.0/24", 16 + n / 256 % 16, n % 256);
        subscription(&format!("o{n}"), "p", json!({"types": ["seen"], "subjectCIDRs": [net]}))
    });
    lab.put(subscriptions.collect()).await;
    let beside = format!("{others} subscriptions");
    compare("subscriptions to nothing", (&mut alone, "nothing"), (&mut lab, &beside)).await;
    let parts = count(20_000, 1_000);
    lab.emit("seen", parts, true).await;
    let beside = format!("{parts} parts");
    compare("parts to nothing", (&mut alone, "nothing"), (&mut lab, &beside)).await;
    recompute(&mut lab, parts).await;
    alone.stop().await;
    lab.stop().await;
}

/// Two small subscriptions beside a large one: changing a plugin's env costs what its own facts do.
async fn recompute(lab: &mut Lab, beside: usize) {
    let sizes = [200, 2_000];
    let name = |facts| format!("few{facts}");
    for facts in sizes {
        let (name, kind) = (name(facts), format!("kind{facts}"));
        lab.put(vec![plugin(&name, "0"), subscription(&name, &name, json!({"types": [kind]}))])
            .await;
        lab.emit(&kind, facts, true).await;
        lab.settle().await;
    }
    let mut times = [Vec::new(), Vec::new()];
    for tag in ["1", "2", "3", "4", "5"] {
        for (times, facts) in times.iter_mut().zip(sizes) {
            let begun = Instant::now();
            lab.put(vec![plugin(&name(facts), tag)]).await;
            times.push(begun.elapsed());
        }
    }
    let mut each = Vec::new();
    for (times, facts) in times.iter_mut().zip(sizes) {
        let ms = percentile(times, 50);
        figure(&format!("recompute of {facts} facts beside {beside} parts"), ms, "ms", Goal::None);
        each.push(ms * 1e3 / facts as f64);
    }
    figure("recompute, one fact of 2,000 to one of 200", each[1] / each[0], "×", Goal::AtMost(1.5));
}

fn main() {
    // As the daemon does: nodes run in this process.
    allocator::give_back_soon();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        bursts().await;
        beside_others().await;
        facts().await;
    });
}
