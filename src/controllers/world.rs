//! The world in memory: what the store holds, indexed for the questions that reconcilers ask.
//!
//! Filled by the [follower](super::follow) from the store's changes and read by everyone else
//! under one lock. It is a cache: whatever decides for good is checked again inside a transaction.

pub mod facts;
mod history;
mod objects;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use self::facts::{Fact, Facts};
pub use self::history::History;
pub use self::objects::{Group, Objects, Output, Plugin, Subscription};
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::event::Event;
use crate::api::fact::FactId;
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::api::run::Work;

/// One subscription's view of one fact: the unit of planning.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubFact {
    /// The EventSubscription's name.
    pub subscription: Arc<str>,
    /// The fact.
    pub fact: FactId,
}

impl std::fmt::Debug for SubFact {
    /// The name of the part that it makes or would make: what `status` and logs call it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.subscription, self.fact.short())
    }
}

/// What is remembered of one subscription's dealings with one fact.
#[derive(Debug, Clone, Default)]
pub struct Dealing {
    /// The part, if there is one.
    pub part: Option<Arc<Part>>,
    /// The work, if there is any.
    pub work: Option<Arc<Work>>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct World {
    /// Manifest objects.
    pub objects: Objects,
    /// Facts.
    pub facts: Facts,
    dealings: HashMap<Arc<str>, HashMap<FactId, Dealing>>,
    by_fact: HashMap<FactId, BTreeSet<Arc<str>>>,
    /// Facts that each subscription has given up.
    dead: HashMap<Arc<str>, usize>,
    /// What the stored events of each group look like.
    pub history: History,
}

impl World {
    /// What is remembered of this subscription and fact.
    pub fn dealing(&self, key: &SubFact) -> Dealing {
        self.dealings
            .get(&key.subscription)
            .and_then(|facts| facts.get(&key.fact))
            .cloned()
            .unwrap_or_default()
    }

    /// The facts that a subscription has dealt with.
    pub fn dealt_by<'a>(
        &'a self,
        subscription: &str,
    ) -> impl Iterator<Item = (&'a FactId, &'a Dealing)> {
        self.dealings.get(subscription).into_iter().flatten()
    }

    /// The subscriptions that have dealt with a fact.
    pub fn dealt_with(&self, fact: &FactId) -> impl Iterator<Item = &Arc<str>> {
        self.by_fact.get(fact).into_iter().flatten()
    }

    /// Everything that is remembered of all subscriptions and facts, in no order.
    pub fn dealings(&self) -> impl Iterator<Item = &Dealing> {
        self.dealings.values().flat_map(HashMap::values)
    }

    /// How many live facts a subscription matches.
    pub fn matched(&self, name: &str, now: Time) -> usize {
        let Some(matches) = self.objects.matcher.get(name) else { return 0 };
        let max_age = self.objects.max_age(&matches.group);
        let live = |id: &FactId| {
            let fact = self.facts.get(id);
            fact.is_some_and(|fact| fact.end(max_age) > now && matches.matches(&fact.event))
        };
        let types: BTreeSet<&String> = matches.spec.types.iter().collect();
        types
            .into_iter()
            .map(|of| self.facts.of_type(&matches.group, of).filter(live).count())
            .sum()
    }

    /// All parts, in no order.
    pub fn parts(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.dealings.values().flat_map(HashMap::values).filter_map(|d| d.part.as_ref())
    }

    /// Puts or takes a part.
    pub fn set_part(&mut self, key: &SubFact, part: Option<Arc<Part>>) {
        self.deal(key, |dealing| dealing.part = part);
    }

    /// Puts or takes work. Returns whether the subscription gave up more facts, or fewer.
    pub fn set_work(&mut self, key: &SubFact, work: Option<Arc<Work>>) -> bool {
        let is_dead = |work: &Arc<Work>| work.failing.as_ref().is_some_and(|f| f.dead);
        let now = work.as_ref().is_some_and(is_dead);
        let mut before = false;
        self.deal(key, |dealing| {
            before = std::mem::replace(&mut dealing.work, work).as_ref().is_some_and(is_dead);
        });
        if now != before {
            let dead = self.dead.entry(Arc::clone(&key.subscription)).or_default();
            *dead = if now { *dead + 1 } else { *dead - 1 };
            if *dead == 0 {
                self.dead.remove(&key.subscription);
            }
        }
        now != before
    }

    /// How many facts a subscription has given up.
    pub fn dead(&self, subscription: &str) -> usize {
        self.dead.get(subscription).copied().unwrap_or(0)
    }

    fn deal(&mut self, key: &SubFact, change: impl FnOnce(&mut Dealing)) {
        let name = self.intern(&key.subscription);
        let facts = self.dealings.entry(Arc::clone(&name)).or_default();
        let dealing = facts.entry(key.fact).or_default();
        change(dealing);
        if dealing.part.is_none() && dealing.work.is_none() {
            facts.remove(&key.fact);
            if facts.is_empty() {
                self.dealings.remove(&name);
            }
            if let Some(names) = self.by_fact.get_mut(&key.fact) {
                names.remove(&name);
                if names.is_empty() {
                    self.by_fact.remove(&key.fact);
                }
            }
        } else {
            self.by_fact.entry(key.fact).or_default().insert(name);
        }
    }

    fn intern(&self, name: &Arc<str>) -> Arc<str> {
        self.dealings
            .get_key_value(name)
            .map_or_else(|| Arc::clone(name), |(own, _)| Arc::clone(own))
    }

    /// Puts or takes a fact.
    pub fn set_fact(&mut self, id: FactId, group: &str, fact: Option<Arc<Fact>>) {
        let max_age = self.objects.max_age(group);
        match fact {
            Some(fact) => self.facts.put(fact, max_age),
            None => _ = self.facts.remove(&id, max_age),
        }
    }

    /// Puts or takes a manifest object.
    pub fn set_object(&mut self, key: &ObjectKey, accepted: Option<Arc<Accepted>>) {
        if let Some(group) = self.objects.set(key, accepted) {
            let max_age = self.objects.max_age(&group);
            self.facts.set_max_age(&group, max_age);
        }
    }

    /// The keys of all parts, and those of all work.
    pub fn dealt_keys(&self) -> (BTreeSet<SubFact>, BTreeSet<SubFact>) {
        let (mut parts, mut works) = (BTreeSet::new(), BTreeSet::new());
        for (subscription, facts) in &self.dealings {
            for (fact, dealing) in facts {
                let key = SubFact { subscription: Arc::clone(subscription), fact: *fact };
                if dealing.part.is_some() {
                    parts.insert(key.clone());
                }
                if dealing.work.is_some() {
                    works.insert(key);
                }
            }
        }
        (parts, works)
    }

    /// Work that was given up, to look whether its plugin's file has changed.
    pub fn given_up(&self) -> Vec<SubFact> {
        let dead = |dealing: &Dealing| {
            dealing.work.as_ref().is_some_and(|w| w.failing.as_ref().is_some_and(|f| f.dead))
        };
        self.dealings
            .iter()
            .flat_map(|(name, facts)| {
                facts.iter().map(move |(fact, dealing)| (name, fact, dealing))
            })
            .filter(|(.., dealing)| dead(dealing))
            .map(|(name, fact, _)| SubFact { subscription: Arc::clone(name), fact: *fact })
            .collect()
    }

    /// Every (subscription, fact) that an event of this fact may concern: those that match it,
    /// those that have dealt with it, and, if it retracts, those of the facts it retracts.
    pub fn concerned(&self, fact: &Fact) -> BTreeSet<SubFact> {
        let mut found: BTreeSet<SubFact> = self
            .objects
            .matcher
            .matching(&fact.event)
            .into_iter()
            .chain(self.dealt_with(&fact.id).cloned())
            .map(|subscription| SubFact { subscription, fact: fact.id })
            .collect();
        for name in self.objects.matcher.retracting(&fact.event.group, &fact.event.r#type) {
            for sibling in self.facts.siblings(fact) {
                let known = self.by_fact.get(&sibling.id).is_some_and(|names| names.contains(name));
                let matches =
                    || self.objects.matcher.get(name).is_some_and(|m| m.matches(&sibling.event));
                if known || matches() {
                    found.insert(SubFact { subscription: Arc::clone(name), fact: sibling.id });
                }
            }
        }
        found
    }

    /// Every (subscription, fact) of one subscription: what it matches now and what it dealt with.
    pub fn of_subscription(&self, name: &Arc<str>) -> BTreeSet<SubFact> {
        let mut found: BTreeSet<SubFact> = self
            .dealt_by(name)
            .map(|(fact, _)| SubFact { subscription: Arc::clone(name), fact: *fact })
            .collect();
        if let Some(matches) = self.objects.matcher.get(name) {
            for r#type in &matches.spec.types {
                found.extend(
                    self.facts
                        .of_type(&matches.group, r#type)
                        .filter(|id| self.facts.get(id).is_some_and(|f| matches.matches(&f.event)))
                        .map(|fact| SubFact { subscription: Arc::clone(name), fact }),
                );
            }
        }
        found
    }

    /// Lets go of a fact whose end is on record, that nobody deals with and that retracts nothing.
    /// Its row stays until its event is pruned; the history looks at it again, and at what
    /// retracted it: that may have held back nothing else. Work alone keeps the fact known, for it
    /// may come back, but not its event: when that is pruned, the work is forgotten. Returns the
    /// group whose history it is.
    pub fn let_go(&mut self, id: &FactId) -> Option<Arc<str>> {
        let fact = self.facts.get(id).cloned()?;
        let group = fact.event.group.as_str();
        let max_age = self.objects.max_age(group);
        if !fact.is_ended(max_age) || self.has_part(id) {
            return None;
        }
        let types = self.objects.matcher.retract_types(group);
        let siblings = types.flat_map(|r#type| self.facts.siblings_of_type(&fact, r#type));
        for passed in siblings.chain([&fact]) {
            self.history.superseded(group, passed.seq);
        }
        // A retraction stays known as long as it is stored: it meets what is heard of later.
        if !self.retracts(&fact) && self.dealt_with(id).next().is_none() {
            self.facts.remove(id, max_age);
        }
        Some(group.into())
    }

    /// Whether some subscription has a part of this fact.
    pub fn has_part(&self, id: &FactId) -> bool {
        self.dealt_with(id).any(|subscription| {
            let own = self.dealings.get(subscription).and_then(|facts| facts.get(id));
            own.is_some_and(|dealing| dealing.part.is_some())
        })
    }

    /// Whether some subscription lets events of this type end facts.
    fn retracts(&self, fact: &Fact) -> bool {
        let event = &fact.event;
        self.objects.matcher.retracting(&event.group, &event.r#type).next().is_some()
    }

    /// Every (subscription, fact) there is anything to say about.
    pub fn all_pairs(&self) -> BTreeSet<SubFact> {
        let (parts, works) = self.dealt_keys();
        let matched = self.objects.subscriptions().flat_map(|(name, _)| self.of_subscription(name));
        matched.chain(parts).chain(works).collect()
    }

    /// Room for one more fact like this event's in its group; `None` if it needs none, because it
    /// retracts a fact that is known. Retractions take no room from what they speak of; those that
    /// speak of nothing known have a limit of the same size to themselves.
    pub fn room(&self, event: &Event) -> Option<u64> {
        let group = event.group.as_str();
        let limit = self.objects.group(group).map_or(0, |g| g.spec.limits.max_live_facts);
        let matcher = &self.objects.matcher;
        let retracts = |r#type: &str| matcher.retracting(group, r#type).next().is_some();
        let of_type = |r#type| self.facts.unended_of_type(group, r#type);
        let retractions = matcher.retract_types(group).map(of_type).sum::<usize>();
        let counted = if !retracts(&event.r#type) {
            self.facts.unended(group).saturating_sub(retractions)
        } else if self.facts.is_about(event, |r#type| !retracts(r#type)) {
            return None;
        } else {
            retractions
        };
        Some(limit.saturating_sub(counted as u64))
    }
}
