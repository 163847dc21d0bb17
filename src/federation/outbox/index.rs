//! What is owed to whom, in memory: the definition of [`standing`] kept up to date at a cost in
//! proportion to what changed.
//!
//! Pure bookkeeping: rows and the time in, events to send out. It holds no payloads; those are read
//! when they are sent. `tests.rs` holds it to the definition after every step of random histories.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::delivery::{Account, Ack, Offer, Standing, Verdict, standing};
use crate::api::fact::FactId;
use crate::api::kinds::federation::{EventGroupSpec, EventPeerSpec};
use crate::store::tables::{OutboxRow, account};

/// The current event of a fact that originates here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The fact.
    pub fact: FactId,
    /// Its group.
    pub group: Arc<str>,
    /// The event's id.
    pub id: String,
    /// The event's type.
    pub r#type: Arc<str>,
    /// The event's subject.
    pub subject: String,
    /// What decides whether it is owed.
    pub offer: Offer,
}

/// An EventGroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Membership {
    /// What is stored.
    pub accepted: Arc<Accepted>,
    /// Its spec.
    pub spec: Arc<EventGroupSpec>,
}

/// An EventPeer that is pushed to.
#[derive(Debug, Clone, PartialEq)]
pub struct Peering {
    /// What is stored.
    pub accepted: Arc<Accepted>,
    /// Its spec.
    pub spec: Arc<EventPeerSpec>,
}

/// A row as it is now; `None` when it is gone.
#[derive(Debug, Clone)]
pub enum Change {
    /// An EventGroup.
    Group(Arc<str>, Option<Membership>),
    /// An EventPeer; `None` also when nothing is pushed to it any more.
    Peer(Arc<str>, Option<Peering>),
    /// The current event of a fact; `None` also when it does not originate here.
    Fact(FactId, Option<Arc<Current>>),
    /// What is known of a peer.
    Outbox(Arc<str>, Option<OutboxRow>),
    /// How sending an event to a peer ended.
    Ack(Arc<str>, FactId, Option<Ack>),
}

/// Figures of one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events to be sent.
    pub owed: usize,
    /// Current events that the present store took.
    pub delivered: usize,
    /// Current events that were refused for good.
    pub dead: usize,
    /// When the one that has waited longest was received.
    pub oldest: Option<Time>,
    /// When the next of them expires.
    pub next_end: Option<Time>,
}

/// One peer's side of the index.
#[derive(Debug)]
struct Peer {
    peering: Peering,
    row: Option<OutboxRow>,
    acks: HashMap<FactId, Ack>,
    owed: HashMap<FactId, Arc<Current>>,
    by_seq: BTreeSet<(u64, FactId)>,
    by_end: BTreeSet<(Time, FactId)>,
    /// Expired while they were owed; not on record yet.
    lapsed: HashMap<FactId, Arc<Current>>,
    /// On record, though the fact is forgotten.
    stale: BTreeSet<FactId>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Index {
    groups: HashMap<Arc<str>, Membership>,
    facts: HashMap<FactId, Arc<Current>>,
    of_group: HashMap<Arc<str>, HashSet<FactId>>,
    peers: BTreeMap<Arc<str>, Peer>,
    peers_of: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Names under which there are rows, though nothing is pushed there.
    orphans: BTreeSet<Arc<str>>,
}

impl Peer {
    fn account(&self) -> Account {
        account(self.row.as_ref(), &self.peering.accepted)
    }

    fn forget(&mut self, id: &FactId) {
        if let Some(old) = self.owed.remove(id) {
            self.by_seq.remove(&(old.offer.seq, *id));
            self.by_end.remove(&(old.offer.end, *id));
        }
        self.lapsed.remove(id);
    }

    /// Puts a fact where it belongs now. Returns whether there is something to do about it.
    fn settle(&mut self, current: &Arc<Current>, now: Time) -> bool {
        let id = current.fact;
        self.forget(&id);
        if !self.peering.spec.passes(&current.r#type, &current.subject) {
            return false;
        }
        match standing(&current.offer, self.acks.get(&id), self.account(), now) {
            Standing::Owed => {
                self.by_seq.insert((current.offer.seq, id));
                self.by_end.insert((current.offer.end, id));
                self.owed.insert(id, Arc::clone(current));
                true
            }
            Standing::Lapsed => {
                self.lapsed.insert(id, Arc::clone(current));
                true
            }
            Standing::Settled(_) | Standing::Over => false,
        }
    }

    /// What was owed and has ended by `now` lapses.
    fn expire(&mut self, now: Time) {
        while let Some((end, id)) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.by_end.remove(&(end, id));
            if let Some(current) = self.owed.remove(&id) {
                self.by_seq.remove(&(current.offer.seq, id));
                self.lapsed.insert(id, current);
            }
        }
    }
}

impl Index {
    /// Everything anew, from the rows of a listing.
    pub fn restart(&mut self, changes: impl IntoIterator<Item = Change>, now: Time) {
        *self = Self::default();
        for change in changes {
            self.apply(change, now);
        }
    }

    /// Takes in a change. Returns the peers that have something to do because of it.
    pub fn apply(&mut self, change: Change, now: Time) -> BTreeSet<Arc<str>> {
        match change {
            Change::Group(name, group) => self.set_group(&name, group),
            Change::Peer(name, peering) => self.set_peer(&name, peering, now),
            Change::Fact(id, current) => self.set_fact(id, current, now),
            Change::Outbox(name, row) => self.set_row(&name, row, now),
            Change::Ack(name, id, ack) => self.set_ack(&name, id, ack, now),
        }
    }

    fn set_group(&mut self, name: &Arc<str>, group: Option<Membership>) -> BTreeSet<Arc<str>> {
        match group {
            Some(group) => _ = self.groups.insert(Arc::clone(name), group),
            None => _ = self.groups.remove(name),
        }
        self.peers_of.get(name).cloned().unwrap_or_default()
    }

    fn set_peer(
        &mut self,
        name: &Arc<str>,
        peering: Option<Peering>,
        now: Time,
    ) -> BTreeSet<Arc<str>> {
        let old = self.peers.remove(name);
        if let Some(old) = &old
            && let Some(names) = self.peers_of.get_mut(old.peering.spec.group_ref.as_str())
        {
            names.remove(name);
        }
        let mut touched = BTreeSet::from([Arc::clone(name)]);
        let Some(peering) = peering else {
            if old.is_none() {
                touched.clear();
            } else {
                self.orphans.insert(Arc::clone(name));
            }
            return touched;
        };
        let group: Arc<str> = peering.spec.group_ref.as_str().into();
        let (row, acks, stale, lapsed) =
            old.map_or_else(Default::default, |old| (old.row, old.acks, old.stale, old.lapsed));
        self.peers_of.entry(group).or_default().insert(Arc::clone(name));
        let peer = Peer {
            peering,
            row,
            acks,
            owed: HashMap::new(),
            by_seq: BTreeSet::new(),
            by_end: BTreeSet::new(),
            lapsed,
            stale,
        };
        self.peers.insert(Arc::clone(name), peer);
        self.settle_all(name, now);
        touched
    }

    /// Looks at every fact of the peer's group.
    fn settle_all(&mut self, name: &str, now: Time) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let group = peer.peering.spec.group_ref.as_str();
        for id in self.of_group.get(group).into_iter().flatten() {
            if let Some(current) = self.facts.get(id) {
                peer.settle(current, now);
            }
        }
    }

    fn set_fact(
        &mut self,
        id: FactId,
        current: Option<Arc<Current>>,
        now: Time,
    ) -> BTreeSet<Arc<str>> {
        if let Some(old) = self.facts.remove(&id)
            && let Some(ids) = self.of_group.get_mut(&old.group)
        {
            ids.remove(&id);
        }
        let mut touched = BTreeSet::new();
        let Some(current) = current else {
            for (name, peer) in &mut self.peers {
                peer.forget(&id);
                if peer.acks.contains_key(&id) && peer.stale.insert(id) {
                    touched.insert(Arc::clone(name));
                }
            }
            return touched;
        };
        for name in self.peers_of.get(&current.group).into_iter().flatten() {
            let Some(peer) = self.peers.get_mut(name) else { continue };
            peer.stale.remove(&id);
            if peer.settle(&current, now) {
                touched.insert(Arc::clone(name));
            }
        }
        // What is over is owed to nobody who comes later.
        if !current.offer.is_over(now) {
            let group = self.of_group.entry(Arc::clone(&current.group)).or_default();
            group.insert(id);
            self.facts.insert(id, current);
        }
        touched
    }

    fn set_row(
        &mut self,
        name: &Arc<str>,
        row: Option<OutboxRow>,
        now: Time,
    ) -> BTreeSet<Arc<str>> {
        let Some(peer) = self.peers.get_mut(name) else {
            return self.set_orphan(name, row.is_some());
        };
        let before = peer.account();
        peer.row = row;
        if peer.account() == before {
            return BTreeSet::new();
        }
        self.settle_all(name, now);
        BTreeSet::from([Arc::clone(name)])
    }

    fn set_ack(
        &mut self,
        name: &Arc<str>,
        id: FactId,
        ack: Option<Ack>,
        now: Time,
    ) -> BTreeSet<Arc<str>> {
        let Some(peer) = self.peers.get_mut(name) else {
            return self.set_orphan(name, ack.is_some());
        };
        let known = self.facts.get(&id).cloned().or_else(|| peer.lapsed.get(&id).cloned());
        if let Some(ack) = ack {
            peer.acks.insert(id, ack);
        } else {
            peer.acks.remove(&id);
            peer.stale.remove(&id);
        }
        let to_do = known.is_some_and(|current| peer.settle(&current, now));
        if to_do { BTreeSet::from([Arc::clone(name)]) } else { BTreeSet::new() }
    }

    fn set_orphan(&mut self, name: &Arc<str>, there: bool) -> BTreeSet<Arc<str>> {
        let news = there && self.orphans.insert(Arc::clone(name));
        if news { BTreeSet::from([Arc::clone(name)]) } else { BTreeSet::new() }
    }

    /// After a listing: rows whose fact is not among those stored are forgotten.
    pub fn retain_stored(&mut self, stored: &HashSet<FactId>) {
        for peer in self.peers.values_mut() {
            peer.stale = peer.acks.keys().filter(|id| !stored.contains(id)).copied().collect();
        }
    }

    /// The names of all peers, and of those that left rows behind.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.peers.keys().chain(&self.orphans).cloned().collect()
    }

    /// A peer that is pushed to.
    pub fn peer(&self, name: &str) -> Option<&Peering> {
        self.peers.get(name).map(|peer| &peer.peering)
    }

    /// Whether there may be rows under this name that are another peer's, or nobody's.
    pub fn orphaned(&self, name: &str) -> bool {
        self.orphans.contains(name)
    }

    /// The rows of this name are gone.
    pub fn cleaned(&mut self, name: &str) {
        self.orphans.remove(name);
    }

    /// A group.
    pub fn group(&self, name: &str) -> Option<&Membership> {
        self.groups.get(name)
    }

    /// What is stored of the peer, whoever it was when it was stored.
    pub fn row(&self, name: &str) -> Option<&OutboxRow> {
        self.peers.get(name)?.row.as_ref()
    }

    /// The peer's account.
    pub fn account(&self, name: &str) -> Option<Account> {
        self.peers.get(name).map(Peer::account)
    }

    /// Up to `limit` owed events after this place in the order of receipt, but not those of which
    /// `busy` says so, and not those that by this node's own time lie ahead: recorded while a clock
    /// was wrong, they would be refused for good by a node whose clock is right.
    pub fn owed(
        &mut self,
        name: &str,
        after: u64,
        limit: usize,
        now: Time,
        busy: impl Fn(&FactId) -> bool,
    ) -> Vec<Arc<Current>> {
        let Some(peer) = self.peers.get_mut(name) else { return Vec::new() };
        peer.expire(now);
        let from = Bound::Excluded((after, FactId([0xff; 16])));
        let free = peer.by_seq.range((from, Bound::Unbounded)).filter(|(_, id)| !busy(id));
        free.filter_map(|(_, id)| peer.owed.get(id))
            .filter(|current| current.offer.observed_at <= now)
            .take(limit)
            .cloned()
            .collect()
    }

    /// When the first owed event that lies ahead of `now` no longer does. Looks at all of them.
    pub fn next_ahead(&self, name: &str, now: Time) -> Option<Time> {
        let owed = self.peers.get(name)?.owed.values();
        owed.map(|current| current.offer.observed_at).filter(|at| *at > now).min()
    }

    /// Whether an event of this fact is owed to the peer.
    pub fn is_owed(&self, name: &str, fact: &FactId) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.owed.contains_key(fact))
    }

    /// How many events are owed to the peer.
    pub fn count_owed(&self, name: &str) -> usize {
        self.peers.get(name).map_or(0, |peer| peer.owed.len())
    }

    /// Up to `limit` events that expired while they were owed.
    pub fn lapsed(&mut self, name: &str, limit: usize, now: Time) -> Vec<Arc<Current>> {
        let Some(peer) = self.peers.get_mut(name) else { return Vec::new() };
        peer.expire(now);
        peer.lapsed.values().take(limit).cloned().collect()
    }

    /// Up to `limit` facts that are on record with the peer and nowhere else.
    pub fn stale(&self, name: &str, limit: usize) -> Vec<FactId> {
        let Some(peer) = self.peers.get(name) else { return Vec::new() };
        peer.stale.iter().take(limit).copied().collect()
    }

    /// When the next owed event expires.
    pub fn next_end(&self, name: &str) -> Option<Time> {
        self.peers.get(name)?.by_end.first().map(|(end, _)| *end)
    }

    /// The peer's figures at `now`.
    pub fn figures(&self, name: &str, now: Time) -> Option<Figures> {
        let peer = self.peers.get(name)?;
        let epoch = peer.account().epoch;
        let over = peer.by_end.iter().take_while(|(end, _)| *end <= now).count();
        let settled = |verdict| {
            let current = |(id, ack): &(&FactId, &Ack)| {
                let known = self.facts.get(id).filter(|c| !c.offer.is_over(now));
                ack.verdict == verdict && known.is_some_and(|c| ack.covers(&c.offer, epoch))
            };
            peer.acks.iter().filter(current).count()
        };
        let live = |(_, id): &&(u64, FactId)| peer.owed.get(id).filter(|c| c.offer.end > now);
        Some(Figures {
            owed: peer.owed.len() - over,
            delivered: settled(Verdict::Delivered),
            dead: settled(Verdict::Dead),
            oldest: peer
                .by_seq
                .iter()
                .find_map(|entry| live(&entry))
                .map(|current| current.offer.received_at),
            next_end: peer.by_end.iter().map(|(end, _)| *end).find(|end| *end > now),
        })
    }
}

#[cfg(test)]
mod tests;
