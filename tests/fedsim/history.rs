//! Random histories of five nodes, and what must be true at their end.
//!
//! The model is the plainest there is: for each node, the newest of the events that it recorded
//! since its disk was last replaced, by fact. Each peer that is meant to have them has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use routerd::api::Time;
use routerd::api::event::Event;
use routerd::api::fact::FactId;
use routerd::api::object::ObjectKey;
use serde_json::json;

use super::dice::Dice;
use super::host::{GROUP, Host, REPLAY_WINDOW, name};
use super::net::{Faults, Link, Net};

pub const FEDERATION: &str = "federation.routerd.net/v1alpha1";
const NODES: usize = 5;
const TYPES: [&str; 3] = ["seen", "moved", "gone"];

/// Which events go from one node to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub types: Vec<&'static str>,
    pub prefixes: Vec<&'static str>,
}

impl Filter {
    fn passes(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.contains(&event.r#type.as_str()))
            && (self.prefixes.is_empty()
                || self.prefixes.iter().any(|p| event.subject.starts_with(p)))
    }
}

pub struct History {
    dice: Dice,
    net: Net,
    hosts: Vec<Host>,
    /// Who pushes to whom now.
    peerings: BTreeMap<(usize, usize), Filter>,
    /// Who ever did.
    ever: BTreeSet<(usize, usize)>,
    /// What each node recorded since its disk was replaced, with the latest of its times.
    emitted: Vec<BTreeMap<String, Event>>,
    /// What any node ever recorded, by id.
    all: BTreeMap<String, Event>,
    events: u64,
    max_age: Duration,
    log: Vec<String>,
}

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("FEDSIM_SEED").is_some() {
            eprintln!("the history:\n  {}", self.log.join("\n  "));
        }
    }
}

pub fn group(node: usize, max_age: Duration) -> serde_json::Value {
    json!({
        "apiVersion": FEDERATION, "kind": "EventGroup", "metadata": {"name": GROUP},
        "spec": {
            "nodeName": name(node),
            "retention": {"maxAge": format!("{}s", max_age.as_secs())},
            "auth": {"secretFile": "/secret"},
        },
    })
}

pub fn peer(to: usize, filter: &Filter) -> serde_json::Value {
    json!({
        "apiVersion": FEDERATION, "kind": "EventPeer", "metadata": {"name": name(to)},
        "spec": {
            "groupRef": GROUP, "nodeName": name(to), "endpoint": format!("http://{}", name(to)),
            "types": filter.types, "subjectPrefixes": filter.prefixes,
        },
    })
}

/// Plays the history of this seed to its end.
pub async fn play(seed: u64) {
    let mut history = History::begin(seed).await;
    let steps = 10 + history.dice.below(30);
    for _ in 0..steps {
        history.step().await;
    }
    history.heal().await;
    history.compare();
    history.assert_silence().await;
    for host in &mut history.hosts {
        host.stop().await;
    }
}

impl History {
    async fn begin(seed: u64) -> Self {
        let mut dice = Dice::seeded(seed);
        let net = Net::new(dice.draw());
        // In short histories events are pruned under way.
        let max_age = Duration::from_secs(if dice.chance(25) { 900 } else { 24 * 3600 });
        let mut hosts = Vec::new();
        for node in 0..NODES {
            let mut host = Host::new(node, &net, max_age);
            host.put(&group(node, max_age)).await;
            host.start();
            hosts.push(host);
        }
        let mut history = Self {
            dice,
            net,
            hosts,
            peerings: BTreeMap::new(),
            ever: BTreeSet::new(),
            emitted: vec![BTreeMap::new(); NODES],
            all: BTreeMap::new(),
            events: 0,
            max_age,
            log: Vec::new(),
        };
        for from in 0..NODES {
            for to in 0..NODES {
                if from != to && history.dice.chance(60) {
                    history.peer(from, to).await;
                }
            }
        }
        history
    }

    fn note(&mut self, text: String) {
        let at = self.hosts[0].now();
        self.log.push(format!("{at} {text}"));
    }

    fn node(&mut self) -> usize {
        self.dice.index(NODES)
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            0..45 => self.emit().await,
            45..63 => self.pass().await,
            63..78 => self.cut(),
            78..83 => self.peer_somebody().await,
            83..88 => self.crash().await,
            88..91 => self.wipe().await,
            91..95 => self.set_clock(),
            95..97 => self.change_secret(),
            _ => self.disturb(),
        }
        if self.dice.chance(60) {
            tokio::time::sleep(Duration::from_millis(1 + self.dice.below(200))).await;
        }
    }

    async fn emit(&mut self) {
        let node = self.node();
        let count = if self.dice.chance(15) { 30 } else { 1 + self.dice.below(3) };
        for _ in 0..count {
            let event = self.event(node);
            let max_age = self.max_age;
            self.note(format!("{} emits {}", name(node), serde_json::to_string(&event).unwrap()));
            self.hosts[node].emit(event.clone()).await;
            let known = self.emitted[node].entry(event.id.clone()).or_insert_with(|| event.clone());
            known.observed_at = known.observed_at.max(event.observed_at);
            known.expires_at = known.expires_at.max(event.expires_at);
            let end = known.expires_at.or_else(|| known.observed_at.map(|at| at + max_age));
            assert!(end.is_some());
            let known = known.clone();
            self.all.insert(known.id.clone(), known);
        }
    }

    fn event(&mut self, node: usize) -> Event {
        let now = self.hosts[node].now();
        let again = self.dice.chance(25);
        let ttl = Duration::from_secs(30 + self.dice.below(4 * 3600));
        let at = self.dice.index(self.emitted[node].len().max(1));
        let known = self.emitted[node].values().nth(at).cloned();
        // One that was recorded while the clock was ahead is not repeated before its time.
        let known = known.filter(|event| again && event.observed_at <= Some(now));
        if let Some(mut event) = known {
            // The same observation, refreshed.
            event.observed_at = event.observed_at.max(Some(now));
            event.expires_at = event.expires_at.map(|end| end.max(now + ttl));
            return event;
        }
        self.events += 1;
        let r#type = self.dice.pick(&["seen", "seen", "seen", "moved", "gone"]);
        let subject = self.dice.pick(&["10.0.0.1/32", "10.0.0.2/32", "10.0.1.3/32", "host", ""]);
        let expires_at = self.dice.chance(60).then(|| now + ttl);
        Event {
            id: format!("{}-{}", name(node), self.events),
            group: GROUP.into(),
            r#type: r#type.into(),
            source_node: name(node),
            subject: subject.into(),
            dedupe_key: self.dice.pick(&["", "", "", "k1", "k2"]).into(),
            payload: [("n", self.events.to_string())].into(),
            observed_at: Some(now),
            expires_at,
        }
    }

    async fn pass(&mut self) {
        let longest = if self.max_age < Duration::from_secs(3600) { 1200 } else { 3 * 3600 };
        let seconds = [2, 30, 600, longest][self.dice.index(4)];
        let time = Duration::from_millis(self.dice.below(seconds * 1000));
        self.note(format!("pass {time:?}"));
        tokio::time::sleep(time).await;
    }

    /// Links break and come back; sometimes a node is alone, or the nodes fall into two.
    fn cut(&mut self) {
        let link = [Link::Up, Link::Refused, Link::Silent][self.dice.index(3)];
        match self.dice.below(4) {
            0 => {
                let alone = self.node();
                self.note(format!("{} is alone: {link:?}", name(alone)));
                for other in 0..NODES {
                    self.net.set_link(alone, other, link);
                    self.net.set_link(other, alone, link);
                }
            }
            1 => {
                let size = 1 + self.node();
                self.note(format!("the first {size} and the others: {link:?}"));
                for (from, to) in (0..size).flat_map(|a| (size..NODES).map(move |b| (a, b))) {
                    self.net.set_link(from, to, link);
                    self.net.set_link(to, from, link);
                }
            }
            _ => {
                let (from, to) = (self.node(), self.node());
                self.note(format!("{} to {}: {link:?}", name(from), name(to)));
                self.net.set_link(from, to, link);
            }
        }
    }

    async fn peer_somebody(&mut self) {
        let (from, to) = (self.node(), self.node());
        if from == to {
            return;
        }
        if self.peerings.contains_key(&(from, to)) && self.dice.chance(40) {
            self.note(format!("{} has no peer {} any more", name(from), name(to)));
            self.peerings.remove(&(from, to));
            let key = ObjectKey::new(FEDERATION, "EventPeer", name(to));
            self.hosts[from].delete(&key).await;
        } else {
            self.peer(from, to).await;
        }
    }

    async fn peer(&mut self, from: usize, to: usize) {
        let types = match self.dice.below(4) {
            0 => vec!["seen", "gone"],
            1 => vec![TYPES[self.dice.index(3)]],
            _ => Vec::new(),
        };
        let prefixes = if self.dice.chance(25) { vec!["10.0.0.", "host"] } else { Vec::new() };
        let filter = Filter { types, prefixes };
        self.note(format!("{} pushes to {}: {filter:?}", name(from), name(to)));
        self.hosts[from].put(&peer(to, &filter)).await;
        self.peerings.insert((from, to), filter);
        self.ever.insert((from, to));
    }

    async fn crash(&mut self) {
        let node = self.node();
        if self.hosts[node].up.is_none() {
            self.note(format!("{} starts", name(node)));
            return self.hosts[node].start();
        }
        let seed = self.dice.draw();
        if self.dice.chance(70) {
            self.note(format!("{} crashes", name(node)));
            self.hosts[node].crash(seed).await;
        } else {
            self.note(format!("{} stops", name(node)));
            self.hosts[node].stop().await;
        }
        if self.dice.chance(60) {
            self.note(format!("{} starts", name(node)));
            self.hosts[node].start();
        }
    }

    async fn wipe(&mut self) {
        let node = self.node();
        self.note(format!("{} loses its disk", name(node)));
        self.hosts[node].wipe().await;
        self.emitted[node].clear();
        if self.dice.chance(80) {
            self.hosts[node].start();
        }
    }

    fn set_clock(&mut self) {
        let node = self.node();
        let seconds = [-3600, -240, 240, 3600][self.dice.index(4)];
        self.note(format!("the clock of {} is set by {seconds}s", name(node)));
        self.hosts[node].clock.step(seconds);
    }

    fn change_secret(&mut self) {
        let (node, secret) = (self.node(), self.dice.pick(&["first", "second"]));
        self.note(format!("{} has the {secret} secret", name(node)));
        self.hosts[node].secret.set(secret);
    }

    fn disturb(&mut self) {
        let faults = Faults {
            lost_answers: self.dice.number(&[0, 5, 50]),
            twice: self.dice.number(&[0, 10, 50]),
            slow: self.dice.number(&[0, 5, 30]),
        };
        self.note(format!("{faults:?}"));
        self.net.set_faults(faults);
    }

    /// Everything that can be repaired is.
    async fn heal(&mut self) {
        self.note("heal".into());
        self.net.heal();
        let real = self.hosts.iter().map(Host::now).max().expect("five nodes");
        for host in &mut self.hosts {
            // Set right: to the time of the one that is furthest ahead, so that nothing lies ahead.
            let off = real.duration_since(host.now()).as_secs();
            host.clock.step(off);
            host.secret.set("first");
            if host.up.is_none() {
                host.start();
            }
        }
        // A pause is five minutes at most, a peer is asked about its store every minute, and an
        // event may be parked for as long.
        tokio::time::sleep(Duration::from_secs(420)).await;
        for host in &self.hosts {
            host.converge().await;
        }
    }

    /// The newest of what a node recorded, by fact.
    fn newest(&self, node: usize) -> BTreeMap<FactId, Event> {
        let mut newest: BTreeMap<FactId, Event> = BTreeMap::new();
        for event in self.emitted[node].values() {
            let place = newest.entry(FactId::of(event)).or_insert_with(|| event.clone());
            if (event.observed_at, &event.id) > (place.observed_at, &place.id) {
                *place = event.clone();
            }
        }
        newest
    }

    fn compare(&mut self) {
        let now = self.hosts[0].now();
        let held: Vec<_> = self.hosts.iter().map(Host::facts).collect();
        for (node, own) in held.iter().enumerate() {
            for event in self.newest(node).into_values() {
                let end = event.expires_at.unwrap_or(observed(&event) + self.max_age);
                if end <= now {
                    continue;
                }
                let fact = FactId::of(&event);
                let (known, row) = own.get(&fact).expect("a node keeps what it recorded");
                assert_eq!(*known, event, "{} keeps what it recorded", name(node));
                if row.is_over(self.max_age, now) {
                    // Its clock was ahead, and it has seen the end.
                    continue;
                }
                for (to, there) in held.iter().enumerate() {
                    let Some(filter) = self.peerings.get(&(node, to)) else { continue };
                    if !filter.passes(&event) {
                        continue;
                    }
                    let there = there.get(&fact).map(|(event, _)| event);
                    // What the node lost with its disk is newer there if its clock was ahead then.
                    let lost = |there: &Event| {
                        (there.observed_at, &there.id) > (event.observed_at, &event.id)
                            && !self.emitted[node].contains_key(&there.id)
                    };
                    let overtaken =
                        || self.all.values().any(|other| FactId::of(other) == fact && lost(other));
                    // It may have ended there and been pruned since.
                    if there.is_some_and(lost) || (there.is_none() && overtaken()) {
                        continue;
                    }
                    assert_eq!(there, Some(&event), "{} of {}", name(to), name(node));
                }
            }
        }
        self.assert_nobody_relays(&held);
        for host in &self.hosts {
            let dead = host.dead();
            assert!(dead.is_empty(), "{} gave up: {dead:?}", name(host.number));
        }
        self.assert_records_are_of_peers();
        self.assert_ids_outlive_the_replay_window(&held);
    }

    fn assert_nobody_relays(
        &self,
        held: &[BTreeMap<FactId, (Event, routerd::store::tables::FactRow)>],
    ) {
        for (node, facts) in held.iter().enumerate() {
            for (event, _) in facts.values() {
                let source: usize = event.source_node[1..].parse().expect("a node");
                let direct = source == node || self.ever.contains(&(source, node));
                assert!(direct, "{} has {} from nowhere", name(node), event.id);
                let recorded = self.all.get(&event.id).expect("somebody recorded it");
                assert_eq!(event.payload, recorded.payload);
            }
        }
        for from in 0..NODES {
            for to in 0..NODES {
                assert!(!self.net.ever(from, to) || self.ever.contains(&(from, to)));
            }
        }
    }

    /// No record is left of who is no peer, and none twice.
    fn assert_records_are_of_peers(&self) {
        for host in &self.hosts {
            let (deliveries, outboxes) = host.records();
            let is_peer = |peer: &str| {
                (0..NODES)
                    .any(|to| name(to) == peer && self.peerings.contains_key(&(host.number, to)))
            };
            assert!(deliveries.iter().all(|row| is_peer(&row.peer)));
            assert!(outboxes.iter().all(|row| is_peer(&row.peer)));
        }
    }

    fn assert_ids_outlive_the_replay_window(
        &self,
        held: &[BTreeMap<FactId, (Event, routerd::store::tables::FactRow)>],
    ) {
        let now = self.hosts[0].now();
        for (node, facts) in held.iter().enumerate() {
            for (event, _) in facts.values() {
                let fresh = observed(event) + 2 * REPLAY_WINDOW > now;
                assert!(!fresh || self.hosts[node].knows(&event.id));
            }
        }
    }

    /// With nothing new, nothing is sent: no loop, no repeats.
    async fn assert_silence(&mut self) {
        let before = self.net.posts();
        tokio::time::sleep(Duration::from_secs(600)).await;
        for host in &self.hosts {
            host.converge().await;
        }
        assert_eq!(self.net.posts(), before, "posts of settled nodes");
    }
}

fn observed(event: &Event) -> Time {
    event.observed_at.expect("they are all dated")
}
