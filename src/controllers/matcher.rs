//! Which subscriptions could match an event: compiled, so that an event costs the same with one
//! subscription or ten thousand.
//!
//! Each subscription stands, per type, under the narrowest thing it asks for (a network, a subject
//! prefix, a payload entry, an observer); an event looks up only what it has itself. Candidates
//! are then checked in full by [`Matches::matches`], which is the definition.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::api::event::Event;
use crate::api::kinds::federation::Match;

/// A subscription's `match`, with its addresses read.
#[derive(Debug, Clone)]
pub struct Matches {
    /// The EventGroup.
    pub group: String,
    /// What was written.
    pub spec: Match,
    networks: Vec<IpNet>,
}

/// The network or address that a subject is; `10.0.0.1` is `10.0.0.1/32`.
pub fn subject_network(subject: &str) -> Option<IpNet> {
    subject
        .parse::<IpNet>()
        .ok()
        .or_else(|| subject.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|net| net.trunc())
}

impl Matches {
    /// Compiles a validated `match` of a subscription to `group`.
    pub fn new(group: &str, spec: &Match) -> Self {
        let networks = spec.subject_cidrs.iter().filter_map(|c| c.parse().ok()).collect();
        Self { group: group.to_owned(), spec: spec.clone(), networks }
    }

    /// Whether all that is asked for holds.
    pub fn matches(&self, event: &Event) -> bool {
        let spec = &self.spec;
        event.group == self.group
            && spec.types.contains(&event.r#type)
            && (spec.source_nodes.is_empty() || spec.source_nodes.contains(&event.source_node))
            && (spec.subject_prefixes.is_empty()
                || spec.subject_prefixes.iter().any(|p| event.subject.starts_with(p.as_str())))
            && spec
                .payload
                .iter()
                .all(|(key, value)| event.payload.get(key) == Some(value.as_str()))
            && (spec.subject_cidrs.is_empty()
                || subject_network(&event.subject)
                    .is_some_and(|subject| self.networks.iter().any(|net| net.contains(&subject))))
    }
}

type Name = Arc<str>;

/// The subscriptions of one (group, type), each under the narrowest thing it asks for.
#[derive(Debug, Default)]
struct OfType {
    v4: PrefixMap<Ipv4Net, Vec<Name>>,
    v6: PrefixMap<Ipv6Net, Vec<Name>>,
    /// Subject prefixes by length: an event probes as many lengths as there are.
    prefixes: BTreeMap<usize, HashMap<String, Vec<Name>>>,
    payload: HashMap<String, HashMap<String, Vec<Name>>>,
    nodes: HashMap<String, Vec<Name>>,
    rest: Vec<Name>,
    count: usize,
}

/// All subscriptions, ready to be asked.
#[derive(Debug, Default)]
pub struct Matcher {
    compiled: HashMap<Name, Arc<Matches>>,
    types: HashMap<String, HashMap<String, OfType>>,
    retract: HashMap<String, HashMap<String, HashSet<Name>>>,
}

impl Matcher {
    /// Puts a subscription in the place of what was known of it.
    pub fn put(&mut self, name: &Name, matches: Arc<Matches>) {
        self.remove(name);
        for r#type in distinct(&matches.spec.types) {
            let slot = self
                .types
                .entry(matches.group.clone())
                .or_default()
                .entry(r#type.to_owned())
                .or_default();
            slot.count += 1;
            slot.visit(&matches, |names| names.push(Arc::clone(name)));
        }
        for r#type in &matches.spec.retract_types {
            self.retract
                .entry(matches.group.clone())
                .or_default()
                .entry(r#type.clone())
                .or_default()
                .insert(Arc::clone(name));
        }
        self.compiled.insert(Arc::clone(name), matches);
    }

    /// Takes a subscription out.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Matches>> {
        let old = self.compiled.remove(name)?;
        if let Some(types) = self.types.get_mut(&old.group) {
            for r#type in distinct(&old.spec.types) {
                if let Some(slot) = types.get_mut(r#type) {
                    slot.count -= 1;
                    slot.visit(&old, |names| names.retain(|other| &**other != name));
                    if slot.count == 0 {
                        types.remove(r#type);
                    }
                }
            }
        }
        if let Some(types) = self.retract.get_mut(&old.group) {
            for r#type in &old.spec.retract_types {
                if let Some(names) = types.get_mut(r#type) {
                    names.remove(name);
                    if names.is_empty() {
                        types.remove(r#type);
                    }
                }
            }
        }
        Some(old)
    }

    /// The subscription's compiled `match`.
    pub fn get(&self, name: &str) -> Option<&Arc<Matches>> {
        self.compiled.get(name)
    }

    /// The subscriptions that match the event, in no order, each once.
    pub fn matching(&self, event: &Event) -> Vec<Name> {
        let Some(slot) = self.types.get(&event.group).and_then(|t| t.get(&event.r#type)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        slot.candidates(event, |name| {
            if self.compiled.get(name).is_some_and(|m| m.matches(event)) {
                found.push(Arc::clone(name));
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The subscriptions for which events of this type end facts.
    pub fn retracting(&self, group: &str, r#type: &str) -> impl Iterator<Item = &Name> {
        self.retract.get(group).and_then(|types| types.get(r#type)).into_iter().flatten()
    }

    /// The types of event that end facts in a group.
    pub fn retract_types(&self, group: &str) -> impl Iterator<Item = &str> {
        self.retract.get(group).into_iter().flat_map(HashMap::keys).map(String::as_str)
    }

    /// The types of fact that events of this type end.
    pub fn retracted_by(&self, group: &str, r#type: &str) -> Vec<String> {
        let specs = self.retracting(group, r#type).filter_map(|name| self.compiled.get(name));
        let types: BTreeSet<&String> = specs.flat_map(|matches| &matches.spec.types).collect();
        types.into_iter().cloned().collect()
    }
}

fn distinct(words: &[String]) -> impl Iterator<Item = &str> {
    words.iter().enumerate().filter(|(at, w)| !words[..*at].contains(w)).map(|(_, w)| w.as_str())
}

impl OfType {
    /// The lists that a subscription stands in.
    fn visit(&mut self, matches: &Matches, mut each: impl FnMut(&mut Vec<Name>)) {
        let spec = &matches.spec;
        if !spec.subject_cidrs.is_empty() {
            for net in &matches.networks {
                match net {
                    IpNet::V4(net) => visit_trie(&mut self.v4, *net, &mut each),
                    IpNet::V6(net) => visit_trie(&mut self.v6, *net, &mut each),
                }
            }
        } else if !spec.subject_prefixes.is_empty() {
            for prefix in distinct(&spec.subject_prefixes) {
                let of_length = self.prefixes.entry(prefix.len()).or_default();
                let names = of_length.entry(prefix.to_owned()).or_default();
                each(names);
                if names.is_empty() {
                    of_length.remove(prefix);
                    if of_length.is_empty() {
                        self.prefixes.remove(&prefix.len());
                    }
                }
            }
        } else if let Some((key, value)) = spec.payload.first_key_value() {
            each(self.payload.entry(key.clone()).or_default().entry(value.clone()).or_default());
        } else if !spec.source_nodes.is_empty() {
            for node in distinct(&spec.source_nodes) {
                each(self.nodes.entry(node.to_owned()).or_default());
            }
        } else {
            each(&mut self.rest);
        }
    }

    fn candidates(&self, event: &Event, mut each: impl FnMut(&Name)) {
        match subject_network(&event.subject) {
            Some(IpNet::V4(net)) if !self.v4.is_empty() => {
                self.v4.cover(&net).flat_map(|(_, names)| names).for_each(&mut each);
            }
            Some(IpNet::V6(net)) if !self.v6.is_empty() => {
                self.v6.cover(&net).flat_map(|(_, names)| names).for_each(&mut each);
            }
            _ => {}
        }
        for (length, of_length) in &self.prefixes {
            let Some(head) = event.subject.get(..*length) else { continue };
            of_length.get(head).into_iter().flatten().for_each(&mut each);
        }
        if !self.payload.is_empty() {
            for (key, value) in event.payload.iter() {
                let names = self.payload.get(key).and_then(|values| values.get(value));
                names.into_iter().flatten().for_each(&mut each);
            }
        }
        self.nodes.get(&event.source_node).into_iter().flatten().for_each(&mut each);
        self.rest.iter().for_each(&mut each);
    }
}

fn visit_trie<P>(trie: &mut PrefixMap<P, Vec<Name>>, net: P, each: &mut impl FnMut(&mut Vec<Name>))
where
    P: prefix_trie::Prefix + Copy,
{
    let names = trie.entry(net).or_default();
    each(names);
    if names.is_empty() {
        trie.remove(&net);
    }
}

#[cfg(test)]
mod tests;
