//! Random histories, and what must be true at their end.

use std::collections::BTreeMap;
use std::time::Duration;

use routerd::api::event::Event;
use routerd::api::fact::FactId;
use routerd::api::part::Part;
use routerd::control::{WorkFilter, operate};
use serde_json::{Value as Json, json};

use super::config::Fault;
use super::dice::Dice;
use super::disk::Disk;
use super::manifests::{self, FEDERATION, PLUGIN};
use super::model::{self, Model};
use super::plugin::Mode;
use super::world::{GROUP, Host};

const SUBSCRIPTIONS: [&str; 3] = ["alpha", "beta", "gamma"];
const PLUGINS: [&str; 2] = ["p1", "p2"];

/// One history under way.
pub struct History {
    pub dice: Dice,
    pub host: Host,
    pub model: Model,
    /// Results hold for a short time, so time passes in small steps.
    short: bool,
    /// Time that may still pass: less than what would prune events by their age.
    left: Duration,
    emitted: Vec<Event>,
    /// What happened, to print when something is wrong.
    pub log: Vec<String>,
}

impl Drop for History {
    /// What led to a failure is worth reading when one seed is replayed.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("SIM_SEED").is_some() {
            eprintln!("the history:\n  {}", self.log.join("\n  "));
        }
    }
}

/// Plays the history of this seed to its end, on an engine in memory.
pub async fn play(seed: u64) {
    play_on(seed, Disk::memory()).await;
}

/// The same on this disk.
pub async fn play_on(seed: u64, disk: Disk) {
    let mut history = History::begin(seed, disk).await;
    let steps = 8 + history.dice.below(30);
    for _ in 0..steps {
        history.step().await;
    }
    history.heal().await;
    history.compare().await;
    history.host.assert_a_second_pass_writes_nothing().await;
    history.host.stop().await;
}

impl History {
    async fn begin(seed: u64, disk: Disk) -> Self {
        let mut dice = Dice::seeded(seed);
        let short = dice.chance(25);
        let mut history = Self {
            host: Host::started_on(dice.draw(), disk),
            model: Model::default(),
            short,
            left: Duration::from_secs(22 * 3600),
            emitted: Vec::new(),
            log: Vec::new(),
            dice,
        };
        let ttl = history.ttl();
        let mut all = manifests::basics(ttl);
        all.push(manifests::plugin("p2", ttl));
        all.push(manifests::policy(&["alpha"]));
        for name in SUBSCRIPTIONS {
            all.push(history.subscription(name));
        }
        history.host.put_all(all).await;
        history
    }

    fn note(&mut self, text: String) {
        let at = self.host.now();
        self.log.push(format!("{at} {text}"));
    }

    fn ttl(&mut self) -> &'static str {
        if self.short {
            self.dice.pick(&["10s", "15s", "1m"])
        } else {
            self.dice.pick(&["1h", "6h", "720h"])
        }
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            0..45 => self.emit().await,
            45..63 => self.edit().await,
            63..83 => self.pass().await,
            83..92 => self.trouble(),
            92..96 => self.crash().await,
            96..98 => self.restart().await,
            _ => self.set_clock().await,
        }
        if self.dice.chance(70) && self.host.up.is_some() {
            self.host.breathe().await;
            self.left = self.left.saturating_sub(Duration::from_millis(1));
        }
    }

    // --- events

    async fn emit(&mut self) {
        let Some(group) = model::group(self.host.accepted(), GROUP) else { return };
        let max_age = group.retention.max_age.get();
        let count = if self.dice.chance(10) { 12 } else { 1 + self.dice.below(3) };
        let (mut events, mut expected) = (Vec::new(), Vec::new());
        let now = self.host.now();
        for _ in 0..count {
            let event = self.event();
            self.note(format!("emit {}", serde_json::to_string(&event).expect("plain data")));
            expected.push(self.model.emit(event.clone(), now, max_age));
            events.push(event.clone());
            self.emitted.push(event);
        }
        let emitted = self.host.emit(events, max_age).await;
        assert_eq!(emitted, expected, "what became of the events");
    }

    fn event(&mut self) -> Event {
        if !self.emitted.is_empty() && self.dice.chance(30) {
            return self.again();
        }
        let now = self.host.now();
        let id = format!("e{:04x}", self.dice.below(0x1_0000));
        let mut event = manifests::seen(&id, "", now);
        event.r#type = self.dice.pick(&["seen", "seen", "seen", "seen", "moved", "gone"]).into();
        event.subject = self
            .dice
            .pick(&[
                "10.0.0.1/32",
                "10.0.0.2/32",
                "10.0.0.3/32",
                "10.0.0.4",
                "10.0.9.9/32",
                "host",
                "",
            ])
            .into();
        event.source_node = self.dice.pick(&["edge", "edge", "cloud"]).into();
        event.dedupe_key = self.dice.pick(&["", "", "", "k1", "k2", &id]).into();
        let make = self.dice.pick(&["claim", "own", "own", "none", "opaque", "mask", "plan"]);
        event.payload = event.payload.with("make", make);
        event.payload = event.payload.with("tier", self.dice.pick(&["a", "b"]));
        if self.dice.chance(8) {
            event.payload = event.payload.with("poison", "yes");
        }
        event.observed_at = match self.dice.below(10) {
            0 => None,
            1..6 => Some(now),
            6 => Some(now + self.some_time(60)),
            7 => Some(now - self.some_time(23 * 3600)),
            8 => Some(now - self.some_time(60)),
            _ => Some(now - self.some_time(3600)),
        };
        event.expires_at = match self.dice.below(10) {
            0..4 => None,
            4 => Some(now - self.some_time(100)),
            5..7 => Some(now + self.some_time(30)),
            _ => Some(now + self.some_time(4 * 3600)),
        };
        event
    }

    /// An event that was emitted before: the same, with later times, or with other content; or the
    /// same observation under a new id.
    fn again(&mut self) -> Event {
        let mut event = self.emitted[self.dice.index(self.emitted.len())].clone();
        let now = self.host.now();
        match self.dice.below(5) {
            0 => {}
            1 => event.observed_at = Some(now),
            2 => event.expires_at = Some(now + self.some_time(2 * 3600)),
            3 => event.payload = event.payload.with("tier", self.dice.pick(&["a", "b"])),
            _ => {
                event.id = format!("e{:04x}", self.dice.below(0x1_0000));
                event.observed_at = Some(now);
            }
        }
        event
    }

    fn some_time(&mut self, seconds: u64) -> Duration {
        self.dice.between(Duration::ZERO, Duration::from_secs(seconds))
    }

    // --- manifests

    async fn edit(&mut self) {
        let json = match self.dice.below(20) {
            0..8 => {
                let name = self.dice.pick(&SUBSCRIPTIONS);
                self.subscription(name)
            }
            8..12 => {
                let name = self.dice.pick(&PLUGINS);
                self.plugin(name)
            }
            12 => manifests::policy(if self.dice.chance(50) { &["alpha", "beta"] } else { &[] }),
            13 => manifests::domain(
                "d1",
                self.dice.pick(&["10.0.0.0/24", "10.0.0.0/31", "10.0.0.0/16"]),
            ),
            14 => manifests::domain("d2", "10.0.0.0/16"),
            15 => manifests::peer(self.dice.pick(&["peer-a", "peer-b"])),
            16 => manifests::interface("lan0"),
            17 => manifests::group(self.dice.pick(&["24h", "30h", "48h"])),
            18 => {
                manifests::resource(manifests::NET, "NeighborProxy", "np-1", json!({"by": "hand"}))
            }
            _ => manifests::resource(
                "routerd.net/v1alpha1",
                "Router",
                "main",
                json!({"hostname": "r1"}),
            ),
        };
        let key = manifests::key(&json);
        // Deletions wait for a moment.
        self.left = self.left.saturating_sub(Duration::from_secs(1));
        if self.dice.chance(25) {
            self.note(format!("delete {key}"));
            self.host.delete(&key).await;
        } else if self.dice.chance(15) {
            let faults = [Fault::Half, Fault::NotYaml, Fault::Misspelt];
            let fault = match faults[self.dice.index(faults.len())] {
                // Of a Kind that nobody knows, and of a Router, any field is right.
                Fault::Misspelt if key.api_version == manifests::NET || key.kind == "Router" => {
                    Fault::Half
                }
                fault => fault,
            };
            self.note(format!("spoil {json}: {fault:?}"));
            self.host.spoil(&json, fault).await;
        } else {
            self.note(format!("put {json}"));
            self.host.put(json).await;
        }
    }

    fn subscription(&mut self, name: &str) -> Json {
        let dice = &mut self.dice;
        let types = [json!(["seen"]), json!(["seen", "moved"]), json!(["moved"])];
        let prefixes = [json!([]), json!([]), json!(["10.0.0."]), json!(["host", "10.0.9"])];
        let cidrs =
            [json!([]), json!([]), json!(["10.0.0.0/30"]), json!(["10.0.0.1/32", "10.0.8.0/21"])];
        let payload = [json!({}), json!({}), json!({"tier": "a"})];
        let nodes = [json!([]), json!([]), json!(["edge"])];
        let retract = [json!([]), json!(["gone"]), json!(["gone"])];
        let mut any = |list: &[Json]| list[dice.index(list.len())].clone();
        let r#match = json!({
            "types": any(&types), "subjectPrefixes": any(&prefixes), "subjectCIDRs": any(&cidrs),
            "payload": any(&payload), "sourceNodes": any(&nodes), "retractTypes": any(&retract),
        });
        let mut r#match = r#match;
        if r#match["types"] == json!(["seen"]) && dice.chance(50) {
            r#match["retractTypes"] = json!(["gone", "moved"]);
        }
        let trigger = json!({
            "pluginRef": dice.pick(&["p1", "p1", "p2"]),
            "batchWindow": dice.pick(&["0s", "0s", "1s", "10s"]),
            "debounce": dice.pick(&["0s", "0s", "300ms", "2s"]),
            "retry": {"maxAttempts": dice.number(&[2, 5, 50]),
                      "backoff": dice.pick(&["100ms", "1s"]), "maxBackoff": "30s"},
        });
        let spec = json!({
            "groupRef": GROUP, "match": r#match, "trigger": trigger,
            "retire": {"grace": dice.pick(&["0s", "10s", "5m", "1h"])},
            "suspend": dice.chance(8),
        });
        manifests::resource(FEDERATION, "EventSubscription", name, spec)
    }

    fn plugin(&mut self, name: &str) -> Json {
        let ttl = self.ttl();
        let mut json = manifests::plugin(name, ttl);
        let dice = &mut self.dice;
        let spec = json["spec"].as_object_mut().expect("an object");
        spec["env"]["DOMAIN"] = dice.pick(&["d1", "d1", "d2"]).into();
        spec["env"]["TAG"] = dice.pick(&["0", "1"]).into();
        spec.insert("timeout".into(), dice.pick(&["2s", "10s", "30s"]).into());
        spec.insert("batch".into(), json!({"maxEvents": dice.number(&[1, 4, 64])}));
        spec.insert("concurrency".into(), dice.number(&[1, 2, 4]).into());
        if dice.chance(10) {
            spec.insert("capabilities".into(), json!(["observe.events"]));
            spec["env"]["INCAPABLE"] = "yes".into();
        }
        json
    }

    // --- time, trouble, crashes

    async fn pass(&mut self) {
        let longest = if self.short { 120 } else { 3 * 3600 };
        let seconds = [1, 15, longest / 4, longest][self.dice.index(4)];
        let time = self.some_time(seconds).min(self.left);
        self.left -= time;
        self.note(format!("pass {time:?}"));
        tokio::time::sleep(time).await;
    }

    fn trouble(&mut self) {
        let name = self.dice.pick(&PLUGINS);
        match self.dice.below(10) {
            0..5 => {
                let modes = [
                    Mode::ExitCode,
                    Mode::BadResult,
                    Mode::Hang,
                    Mode::Missing,
                    Mode::Flaky,
                    Mode::Flaky,
                ];
                let mode = modes[self.dice.index(modes.len())];
                self.note(format!("{name}: {mode:?}"));
                self.host.plugins.set_mode(name, mode);
            }
            5..7 => {
                self.note(format!("{name}: Good"));
                self.host.plugins.set_mode(name, Mode::Good);
            }
            7 => {
                let poisoned = self.dice.chance(60);
                self.note(format!("poisoned: {poisoned}"));
                self.host.plugins.set_poisoned(poisoned);
            }
            8 => {
                let slowness = self.some_time(12);
                self.note(format!("slowness: {slowness:?}"));
                self.host.plugins.set_slowness(slowness);
            }
            _ => {
                self.note("other plugin files".into());
                self.host.executables.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
    }

    async fn crash(&mut self) {
        if self.host.up.is_none() {
            return self.start().await;
        }
        self.note("crash".into());
        let seed = self.dice.draw();
        self.host.crash(seed).await;
        if self.dice.chance(70) {
            self.start().await;
        }
    }

    async fn start(&mut self) {
        self.note("start".into());
        self.host.start();
        self.host.rescan().await;
    }

    async fn restart(&mut self) {
        self.note("stop".into());
        self.host.stop().await;
        if self.dice.chance(70) {
            self.start().await;
        }
    }

    /// The node settles, and then its clock is set: what it saw end stays ended.
    async fn set_clock(&mut self) {
        if self.host.up.is_none() {
            return;
        }
        // A step is noticed within ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        self.left = self.left.saturating_sub(Duration::from_secs(11));
        self.model.see_ends(self.host.accepted(), self.host.now());
        let longest = if self.short { 120 } else { 3600 };
        let seconds = i64::try_from(2 + self.dice.below(longest)).expect("an hour");
        let back = self.dice.chance(60);
        if !back {
            self.left = self.left.saturating_sub(Duration::from_secs(seconds.unsigned_abs()));
        }
        self.note(format!("clock {}{seconds}s", if back { "-" } else { "+" }));
        self.host.clock.step(if back { -seconds } else { seconds });
    }

    // --- the end

    /// Everything that can fail succeeds from now on; what was given up is retried.
    async fn heal(&mut self) {
        self.note("heal".into());
        self.host.plugins.heal();
        if self.host.up.is_none() {
            self.start().await;
        }
        let mut good = Vec::new();
        for accepted in self.host.accepted().values() {
            let mut json = serde_json::to_value(&accepted.resource.body).expect("plain data");
            match (accepted.key().api_version.as_str(), accepted.key().kind.as_str()) {
                (PLUGIN, "Plugin") => {
                    json["spec"]["capabilities"] =
                        json!(["propose.dynamicConfig", "propose.providerAction"]);
                    json["spec"]["env"].as_object_mut().expect("an object").remove("INCAPABLE");
                }
                (FEDERATION, "EventSubscription") if self.dice.chance(75) => {
                    json["spec"]["suspend"] = false.into();
                }
                _ => continue,
            }
            good.push(json);
        }
        self.host.put_all(good).await;
        // A minute is the longest pause after a failure of the host.
        self.host.converge().await;
        tokio::time::sleep(Duration::from_secs(70)).await;
        self.host.converge().await;
        let all = WorkFilter::default();
        let retried = operate::retry(&self.host.store(), &all, self.host.now()).await;
        retried.expect("a retry");
        self.host.converge().await;
        // Not in the grain of a timer.
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.host.converge().await;
    }

    async fn compare(&mut self) {
        let mut seen = self.host.seen();
        for _ in 0..100 {
            let wanted = self.model.wanted(self.host.accepted(), seen.now);
            // What ends in this very moment may be there or not.
            let soon = seen.now + Duration::from_millis(5);
            let parts = seen.parts.values().map(|part| part.expires_at);
            if !wanted.values().map(|w| w.end).chain(parts).any(|end| end < soon) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(7)).await;
            self.host.converge().await;
            seen = self.host.seen();
        }
        let wanted = self.model.wanted(self.host.accepted(), seen.now);
        assert_eq!(self.host.plugins.violations(), Vec::<String>::new());
        let mut others: Vec<Part> = Vec::new();
        for (key, part) in &seen.parts {
            let name = part.name();
            assert!(part.is_served(seen.now), "{name} is kept after its end");
            match wanted.get(key) {
                Some(wanted) if wanted.suspended => {
                    assert_eq!(part.retiring, None, "{name} is wanted");
                    others.push(part.clone());
                }
                Some(wanted) => assert_same(part, wanted),
                None => {
                    let event = &part.event_id;
                    assert!(part.retiring.is_some(), "{name} of {event} is not wanted");
                    others.push(part.clone());
                }
            }
        }
        for (key, wanted) in &wanted {
            let there = seen.parts.contains_key(key) || wanted.suspended;
            assert!(there, "{} for {:?} is missing", key.0, wanted.event);
        }
        let stored: Vec<Part> = seen.parts.values().cloned().collect();
        let by_definition =
            model::bytes(self.host.accepted(), &BTreeMap::default(), &stored, seen.now);
        assert_eq!(seen.yaml, by_definition, "the index is the definition of the stored parts");
        let expected = model::bytes(self.host.accepted(), &wanted, &others, seen.now);
        assert_eq!(seen.yaml, expected, "the rendered bytes");
    }
}

fn assert_same(part: &Part, wanted: &model::Wanted) {
    let name = part.name();
    assert_eq!(part.retiring, None, "{name} is wanted");
    assert_eq!(part.event_id, wanted.event.id, "{name} is made from the newest event");
    assert_eq!(part.fact, FactId::of(&wanted.event));
    assert_eq!(Some(part.event_observed_at), wanted.event.observed_at, "{name}");
    assert_eq!(part.since, wanted.since, "{name}: since");
    assert_eq!(part.grace, wanted.grace, "{name}: grace");
    assert!(part.expires_at <= wanted.end + wanted.grace, "{name} outlives its fact");
    assert_eq!(part.resources, wanted.resources, "{name}: resources");
    assert_eq!(part.directives, wanted.directives, "{name}: directives");
    assert_eq!(part.action_plans, wanted.action_plans, "{name}: action plans");
}
