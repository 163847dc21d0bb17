//! The plugins of the simulation: what they answer is a function of the event and the plugin's
//! `env`, and how they fail is what a history asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use routerd::api::clock::Clock;
use routerd::api::duration::GoDuration;
use routerd::api::event::Event;
use routerd::api::plugin::PluginRequest;
use routerd::plugin::{
    Availability, Exit, HostError, Outcome, RunSpec, Spawner, StderrTail, WallState, Walls,
};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::clock::SimClock;
use super::dice::Dice;

/// What a plugin proposes for one event.
#[derive(Debug, Default, Clone)]
pub struct Answer {
    pub resources: Vec<Json>,
    pub directives: Vec<Json>,
    pub action_plans: Vec<Json>,
}

/// The plugin itself: the same event and `env` give the same answer.
pub fn answer(plugin: &str, env: &BTreeMap<String, String>, event: &Event) -> Answer {
    let mut answer = Answer::default();
    let tag = env.get("TAG").map_or("", String::as_str);
    let word = |key: &str| event.payload.get(key).unwrap_or_default();
    let mark = json!({"routerd.net/event-id": event.id});
    let address = event.subject.strip_suffix("/32").unwrap_or("10.0.0.77");
    let octet = address.rsplit('.').next().unwrap_or("0");
    let claim = |name: String| {
        json!({
            "apiVersion": "hybrid.routerd.net/v1alpha1", "kind": "RemoteAddressClaim",
            "metadata": {"name": name, "annotations": mark},
            "spec": {
                "domainRef": env.get("DOMAIN").map_or("d1", String::as_str),
                "address": format!("{address}/32"), "ownerSide": "onprem",
                "capture": {"type": "proxy-arp", "interface": format!("eth{tag}")},
                "delivery": {"peerRef": if word("tier") == "a" { "peer-a" } else { "peer-b" },
                             "mode": "route"},
            },
        })
    };
    match word("make") {
        "claim" => answer.resources.push(claim(format!("claim-{octet}"))),
        "own" => answer.resources.push(claim(format!("{plugin}-{}-{octet}", event.source_node))),
        "control" if !env.contains_key("MENDED") => answer.resources.push(json!({
            "apiVersion": "plugin.routerd.net/v1alpha1", "kind": "Plugin",
            "metadata": {"name": "evil", "annotations": mark},
            "spec": {"executable": "/bin/sh"},
        })),
        "opaque" => answer.resources.push(json!({
            "apiVersion": "net.routerd.net/v1alpha1", "kind": "NeighborProxy",
            "metadata": {"name": format!("np-{octet}"), "annotations": mark},
            "spec": {"tag": tag, "tier": word("tier")},
        })),
        "mask" => answer.directives.push(json!({
            "op": "mask", "reason": "moved", "eventID": event.id,
            "target": {"apiVersion": "net.routerd.net/v1alpha1", "kind": "Interface",
                       "name": "lan0"},
        })),
        "plan" => answer.action_plans.push(json!({"eventID": event.id, "assign": address})),
        _ => {}
    }
    answer
}

/// How a plugin's runs end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Good,
    ExitCode,
    BadResult,
    Hang,
    /// Answers after 15 seconds.
    Slow,
    Missing,
    /// Fails in one of three runs, in one way or another.
    Flaky,
}

/// What is remembered of all runs.
#[derive(Debug, Default)]
pub struct Log {
    /// Runs that reached the process.
    pub runs: u64,
    /// Hooks of ConfigOutputs that ran.
    pub hooks: u64,
    /// Items of them.
    pub items: Vec<(String, String)>,
    /// Run keys that were answered well.
    pub answered: BTreeSet<String>,
    /// What must not have happened.
    pub violations: Vec<String>,
}

#[derive(Debug)]
struct State {
    modes: HashMap<String, Mode>,
    /// Events with this payload entry `poison` break every run that they are in.
    poisoned: bool,
    slowness: Duration,
    dice: Dice,
    log: Log,
}

/// Runs the simulated plugins.
#[derive(Debug, Clone)]
pub struct Plugins(Arc<Mutex<State>>, Arc<SimClock>);

impl Plugins {
    pub fn new(seed: u64, clock: Arc<SimClock>) -> Self {
        let state = State {
            modes: HashMap::new(),
            poisoned: false,
            slowness: Duration::ZERO,
            dice: Dice::seeded(seed),
            log: Log::default(),
        };
        Self(Arc::new(Mutex::new(state)), clock)
    }

    pub fn set_mode(&self, plugin: &str, mode: Mode) {
        self.state().modes.insert(plugin.to_owned(), mode);
    }

    pub fn set_poisoned(&self, poisoned: bool) {
        self.state().poisoned = poisoned;
    }

    /// Runs take this long at most.
    pub fn set_slowness(&self, slowness: Duration) {
        self.state().slowness = slowness;
    }

    pub fn heal(&self) {
        let mut state = self.state();
        state.modes.clear();
        state.poisoned = false;
        state.slowness = Duration::ZERO;
    }

    pub fn runs(&self) -> u64 {
        self.state().log.runs
    }

    pub fn hooks(&self) -> u64 {
        self.state().log.hooks
    }

    /// (subscription, event id) of every item that was run since the last call.
    pub fn take_items(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state().log.items)
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().log.violations.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this run will do, and how long it takes.
    fn fate(&self, plugin: &str, request: &PluginRequest) -> (Mode, Duration) {
        let mut guard = self.state();
        let state = &mut *guard;
        let slowness = state.slowness;
        let delay = state.dice.between(Duration::ZERO, slowness);
        let mut mode = state.modes.get(plugin).copied().unwrap_or(Mode::Good);
        if mode == Mode::Flaky {
            let ways = [Mode::ExitCode, Mode::BadResult, Mode::Hang, Mode::Missing];
            mode = if state.dice.chance(33) { ways[state.dice.index(4)] } else { Mode::Good };
        }
        let poison = request.spec.events.iter().any(|e| e.event.payload.contains_key("poison"));
        if mode == Mode::Good && poison && state.poisoned {
            mode = Mode::ExitCode;
        }
        if mode != Mode::Missing {
            state.log.runs += 1;
            let topic = request.spec.trigger.topic.as_str();
            let subscription = topic.rsplit('/').next().unwrap_or_default();
            for event in &request.spec.events {
                state.log.items.push((subscription.to_owned(), event.event.id.clone()));
                if state.log.answered.contains(&event.run_key) {
                    let id = &event.event.id;
                    let text = format!("{subscription}: {id} was answered under this run key");
                    state.log.violations.push(text);
                }
            }
        }
        (mode, delay)
    }
}

fn result(plugin: &str, env: &BTreeMap<String, String>, request: &PluginRequest) -> Json {
    let mut all = Answer::default();
    for event in &request.spec.events {
        let one = answer(plugin, env, &event.event);
        all.resources.extend(one.resources);
        all.directives.extend(one.directives);
        all.action_plans.extend(one.action_plans);
    }
    json!({
        "apiVersion": "plugin.routerd.net/v1alpha1", "kind": "PluginResult",
        "status": {
            "ttl": env.get("TTL").map_or("1h", String::as_str),
            "resources": all.resources, "directives": all.directives,
            "actionPlans": all.action_plans,
        },
    })
}

fn outcome(exit: Exit, stdout: Vec<u8>, duration: Duration) -> Outcome {
    let stderr = if exit.success() { "" } else { "the plugin says why on stderr\n" };
    Outcome {
        exit,
        stdout: stdout.into(),
        stderr: StderrTail { bytes: stderr.into(), dropped: 0 },
        pipes_held: false,
        duration,
        digest: None,
        warnings: Vec::new(),
        lease: None,
    }
}

impl Spawner for Plugins {
    fn run(
        &self,
        spec: RunSpec,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<Outcome, HostError>> {
        async move {
            let env: BTreeMap<String, String> = spec.env.iter().cloned().collect();
            if env.contains_key("ROUTERD_OUTPUT_NAME") {
                self.state().log.hooks += 1;
                return Ok(outcome(Exit::Code(0), Vec::new(), Duration::ZERO));
            }
            let plugin = env["ROUTERD_PLUGIN_NAME"].clone();
            let request: PluginRequest =
                serde_json::from_slice(&spec.stdin).expect("the request is JSON");
            let (mode, delay) = self.fate(&plugin, &request);
            if mode == Mode::Missing {
                let path: PathBuf = spec.executable;
                return Err(HostError::NotFound { component: path.clone(), path });
            }
            let takes = match mode {
                Mode::Hang => spec.timeout,
                Mode::Slow => Duration::from_secs(15),
                _ => delay.min(spec.timeout),
            };
            if !takes.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(takes) => {}
                    () = cancel.cancelled() => {
                        return Ok(outcome(Exit::Cancelled, Vec::new(), takes));
                    }
                }
            }
            if takes >= spec.timeout {
                return Ok(outcome(Exit::TimedOut, Vec::new(), takes));
            }
            Ok(match mode {
                Mode::ExitCode => outcome(Exit::Code(1), Vec::new(), takes),
                Mode::BadResult => outcome(Exit::Code(0), b"kind: Nonsense\n".to_vec(), takes),
                _ => {
                    let mut state = self.state();
                    // What it may not propose is refused, and what the clock has left behind is over
                    // before it is known: no success.
                    let ttl: GoDuration = env["TTL"].parse().expect("a duration");
                    let over = self.1.now() >= request.spec.now + ttl.get();
                    if !over && !env.contains_key("INCAPABLE") {
                        let keys = request.spec.events.iter().map(|e| e.run_key.clone());
                        state.log.answered.extend(keys);
                    }
                    drop(state);
                    let result = result(&plugin, &env, &request);
                    let stdout = serde_json::to_vec(&result).expect("plain data");
                    outcome(Exit::Code(0), stdout, takes)
                }
            })
        }
        .boxed()
    }

    fn walls(&self, asked: &Walls) -> Vec<WallState> {
        asked.asked().map(|wall| WallState { wall, state: Availability::Enforced }).collect()
    }
}
