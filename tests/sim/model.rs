//! The independent model: f(accepted manifests, accepted events), from scratch.
//!
//! It keeps what was accepted and computes the rest each time it is asked, in the plainest way
//! there is: no index, no memory of runs, no order of arrival. Only the last step, from parts to
//! bytes, is the renderer's definition.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use routerd::api::Time;
use routerd::api::accepted::Accepted;
use routerd::api::event::Event;
use routerd::api::fact::FactId;
use routerd::api::kinds::decode::{decode_value, spec_of};
use routerd::api::kinds::federation::{EventGroupSpec, EventSubscriptionSpec, Match};
use routerd::api::kinds::plugin::PluginSpec;
use routerd::api::kinds::spec::Spec;
use routerd::api::object::{ObjectKey, Resource};
use routerd::api::part::{Directive, Part};
use routerd::api::value::Value;
use routerd::render::{Document, Input, effective};

use super::plugin::answer;
use super::world::{Emitted, REPLAY_WINDOW};

/// (group, sourceNode, type, K).
type Key = (String, String, String, String);

/// What was accepted.
#[derive(Debug, Default)]
pub struct Model {
    /// Each event with the latest of its times.
    events: BTreeMap<(String, String), Event>,
    /// When each fact was observed to be true, one interval for each accepted observation.
    intervals: HashMap<Key, Vec<(Time, Time)>>,
    /// Ends that the node has seen pass, by the event whose end it was.
    seen_ends: HashMap<(String, String), Time>,
}

/// A part that should be there.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub event: Event,
    pub since: Time,
    pub end: Time,
    pub grace: Duration,
    pub suspended: bool,
    pub resources: Vec<Resource>,
    pub directives: Vec<Directive>,
    pub action_plans: Vec<Value>,
}

fn observed(event: &Event) -> Time {
    event.observed_at.expect("accepted events have it")
}

fn key_of(event: &Event) -> Key {
    let dedupe = Some(&event.dedupe_key).filter(|key| !key.is_empty() && **key != event.id);
    let subject = Some(&event.subject).filter(|subject| !subject.is_empty());
    let name = dedupe.or(subject).unwrap_or(&event.id).clone();
    (event.group.clone(), event.source_node.clone(), event.r#type.clone(), name)
}

fn end_of(event: &Event, max_age: Duration) -> Time {
    event.expires_at.unwrap_or_else(|| observed(event) + max_age)
}

fn same_content(a: &Event, b: &Event) -> bool {
    let timeless = |e: &Event| Event { observed_at: None, expires_at: None, ..e.clone() };
    timeless(a) == timeless(b)
}

impl Model {
    /// What becomes of an event that is received at `now`.
    pub fn emit(&mut self, mut event: Event, now: Time, max_age: Duration) -> Emitted {
        // Requests are timed in whole seconds, so an event may be ahead by one more.
        let latest = now + REPLAY_WINDOW + Duration::from_secs(1);
        if event.observed_at.is_some_and(|at| at >= latest) {
            return Emitted::Invalid;
        }
        let id = (event.group.clone(), event.id.clone());
        let (event, emitted) = match self.events.get(&id) {
            Some(known) if !same_content(known, &event) => return Emitted::Conflict,
            Some(known) => {
                let mut merged = known.clone();
                merged.observed_at = merged.observed_at.max(event.observed_at);
                merged.expires_at = merged.expires_at.max(event.expires_at);
                if merged == *known {
                    return Emitted::Duplicate;
                }
                (merged, Emitted::Refreshed)
            }
            None => {
                event.observed_at.get_or_insert(now);
                (event, Emitted::New)
            }
        };
        let interval = (observed(&event), end_of(&event, max_age));
        let key = key_of(&event);
        let before = self.newest_of(&key);
        self.intervals.entry(key.clone()).or_default().push(interval);
        self.events.insert(id, event);
        // What was seen of an observation's end is of no more account once a newer one took over.
        if let Some(before) = before
            && self.newest_of(&key).is_some_and(|newest| newest.id != before.id)
        {
            self.seen_ends.remove(&(before.group, before.id));
        }
        emitted
    }

    /// The node was up and settled at `now`: it has seen what had ended by then.
    pub fn see_ends(&mut self, accepted: &BTreeMap<ObjectKey, Accepted>, now: Time) {
        for event in self.newest().into_values() {
            let Some(group) = group(accepted, &event.group) else { continue };
            let end = end_of(&event, group.retention.max_age.get());
            if end <= now {
                self.seen_ends.insert((event.group.clone(), event.id.clone()), end);
            }
        }
    }

    fn newest_of(&self, key: &Key) -> Option<Event> {
        let own = self.events.values().filter(|event| key_of(event) == *key);
        own.max_by_key(|event| (observed(event), &event.id)).cloned()
    }

    /// The newest event of each key.
    fn newest(&self) -> BTreeMap<Key, Event> {
        let mut newest: BTreeMap<Key, Event> = BTreeMap::new();
        for event in self.events.values() {
            let rank = |e: &Event| (observed(e), e.id.clone());
            let place = newest.entry(key_of(event)).or_insert_with(|| event.clone());
            if rank(event) > rank(place) {
                *place = event.clone();
            }
        }
        newest
    }

    /// Since when the fact has been observed without a gap up to its newest event.
    fn since(&self, key: &Key, newest: &Event) -> Time {
        let mut since = observed(newest);
        let intervals = &self.intervals[key];
        loop {
            let reaching = intervals.iter().filter(|(from, to)| *from <= since && since <= *to);
            let earliest = reaching.map(|(from, _)| *from).min().unwrap_or(since);
            if earliest == since {
                return since;
            }
            since = earliest;
        }
    }

    /// Every part that should be there at `now`.
    pub fn wanted(
        &self,
        accepted: &BTreeMap<ObjectKey, Accepted>,
        now: Time,
    ) -> BTreeMap<(String, FactId), Wanted> {
        let newest = self.newest();
        let mut wanted = BTreeMap::new();
        for (name, spec) in subscriptions(accepted) {
            let Some(group) = group(accepted, &spec.group_ref) else { continue };
            let Some(plugin) = plugin(accepted, &spec.trigger.plugin_ref) else { continue };
            let max_age = group.retention.max_age.get();
            for (key, event) in &newest {
                let end = end_of(event, max_age);
                let id = (event.group.clone(), event.id.clone());
                let seen = self.seen_ends.get(&id).is_some_and(|seen| end <= *seen);
                if end <= now || seen || !matches(&spec.r#match, &spec.group_ref, event) {
                    continue;
                }
                if newest.values().any(|other| retracts(&spec.r#match, other, event)) {
                    continue;
                }
                let part = made(event, &spec, &plugin, self.since(key, event), end);
                wanted.insert((name.clone(), FactId::of(event)), part);
            }
        }
        wanted
    }
}

fn made(
    event: &Event,
    spec: &EventSubscriptionSpec,
    plugin: &PluginSpec,
    since: Time,
    end: Time,
) -> Wanted {
    let answer = answer(&spec.trigger.plugin_ref, &plugin.env, event);
    let value = |json: &_| Value::from_serialize(json).expect("plain data");
    let resource = |json| decode_value(&value(json), "").expect("a good resource").resource;
    let directive = |json: &serde_json::Value| {
        let mut json = json.clone();
        json.as_object_mut().expect("an object").remove("eventID");
        serde_json::from_value(json).expect("a directive")
    };
    Wanted {
        event: event.clone(),
        since,
        end,
        grace: spec.retire.grace.get(),
        suspended: spec.suspend,
        resources: answer.resources.iter().map(resource).collect(),
        directives: answer.directives.iter().map(directive).collect(),
        action_plans: answer.action_plans.iter().map(value).collect(),
    }
}

fn matches(spec: &Match, group: &str, event: &Event) -> bool {
    let listed = |list: &[String], word: &str| list.iter().any(|w| w == word);
    let prefixed = spec.subject_prefixes.iter().any(|p| event.subject.starts_with(p.as_str()));
    let inside = spec.subject_cidrs.iter().any(|cidr| cidr_holds(cidr, &event.subject));
    event.group == group
        && listed(&spec.types, &event.r#type)
        && (spec.source_nodes.is_empty() || listed(&spec.source_nodes, &event.source_node))
        && (spec.subject_prefixes.is_empty() || prefixed)
        && (spec.subject_cidrs.is_empty() || inside)
        && spec.payload.iter().all(|(k, v)| event.payload.get(k) == Some(v.as_str()))
}

/// IPv4 only, by arithmetic on 32 bits: all that the histories use.
fn cidr_holds(cidr: &str, subject: &str) -> bool {
    let read = |text: &str| -> Option<(u32, u32)> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let octets: Vec<u8> = address.split('.').map_while(|o| o.parse().ok()).collect();
        let octets: [u8; 4] = octets.try_into().ok()?;
        Some((u32::from_be_bytes(octets), length.parse().ok()?))
    };
    let (Some((net, long)), Some((address, own))) = (read(cidr), read(subject)) else {
        return false;
    };
    let cut = |bits: u32| bits.checked_shr(32 - long).unwrap_or(0);
    own >= long && cut(net) == cut(address)
}

/// Whether `other` ends the fact of `event` for this subscription.
fn retracts(spec: &Match, other: &Event, event: &Event) -> bool {
    let same = |a: &str, b: &str| !a.is_empty() && a == b;
    spec.retract_types.contains(&other.r#type)
        && key_of(other) != key_of(event)
        && other.group == event.group
        && other.source_node == event.source_node
        && (same(&other.subject, &event.subject) || same(&other.dedupe_key, &event.dedupe_key))
        && observed(other) >= observed(event)
}

fn specs(accepted: &BTreeMap<ObjectKey, Accepted>) -> impl Iterator<Item = (&str, Spec)> {
    accepted.values().filter(|a| a.typed).map(|a| {
        let spec = spec_of(&a.resource).expect("it was accepted");
        (a.resource.key.name.as_str(), spec)
    })
}

fn subscriptions(
    accepted: &BTreeMap<ObjectKey, Accepted>,
) -> impl Iterator<Item = (String, EventSubscriptionSpec)> {
    specs(accepted).filter_map(|(name, spec)| match spec {
        Spec::EventSubscription(spec) => Some((name.to_owned(), *spec)),
        _ => None,
    })
}

/// The EventGroup of this name.
pub fn group(accepted: &BTreeMap<ObjectKey, Accepted>, name: &str) -> Option<EventGroupSpec> {
    specs(accepted).find_map(|(own, spec)| match spec {
        Spec::EventGroup(spec) if own == name => Some(*spec),
        _ => None,
    })
}

fn plugin(accepted: &BTreeMap<ObjectKey, Accepted>, name: &str) -> Option<PluginSpec> {
    specs(accepted).find_map(|(own, spec)| match spec {
        Spec::Plugin(spec) if own == name => Some(*spec),
        _ => None,
    })
}

/// The bytes that `wanted` and `others` (parts that retire, or live on suspended) come to.
pub fn bytes(
    accepted: &BTreeMap<ObjectKey, Accepted>,
    wanted: &BTreeMap<(String, FactId), Wanted>,
    others: &[Part],
    now: Time,
) -> String {
    let accepted: Vec<_> = accepted.values().cloned().map(Arc::new).collect();
    let taken: BTreeSet<_> = others.iter().map(|p| (p.subscription.clone(), p.fact)).collect();
    let made = wanted.iter().filter(|(key, w)| !taken.contains(*key) && !w.suspended);
    let parts: Vec<Arc<Part>> = made
        .map(|((subscription, fact), wanted)| part(subscription, *fact, wanted, now))
        .chain(others.iter().cloned())
        .map(Arc::new)
        .collect();
    Document(&effective(&Input { accepted: &accepted, parts: &parts, now })).yaml()
}

fn part(subscription: &str, fact: FactId, wanted: &Wanted, now: Time) -> Part {
    let event = &wanted.event;
    Part {
        subscription: subscription.to_owned(),
        fact,
        subscription_uid: String::new(),
        uid: String::new(),
        group: event.group.clone(),
        event_id: event.id.clone(),
        subject: event.subject.clone(),
        source_node: event.source_node.clone(),
        event_type: event.r#type.clone(),
        event_observed_at: observed(event),
        since: wanted.since,
        plugin: String::new(),
        run_key: String::new(),
        generation: 1,
        created_at: now,
        observed_at: now,
        result_expires_at: now + Duration::from_secs(3600),
        expires_at: now + Duration::from_secs(3600),
        grace: wanted.grace,
        retiring: None,
        digest: String::new(),
        resources: wanted.resources.clone(),
        directives: wanted.directives.clone(),
        action_plans: wanted.action_plans.clone(),
    }
}
