//! The store as the outboxes see it: who is pushed to, what originates here, what is on record.
//!
//! Facts are read only in groups with a peer that is pushed to; when those, or what this node is
//! called in them, become others, everything is listed anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::index::{Change, Current, Index, Membership, Peering};
use crate::api::accepted::Accepted;
use crate::api::clock::Clock;
use crate::api::delivery::Offer;
use crate::api::fact::FactId;
use crate::api::kinds::decode::spec_of;
use crate::api::kinds::federation::API_VERSION;
use crate::api::kinds::spec::Spec;
use crate::api::object::ObjectKey;
use crate::runtime::{Sink, Source, Step, Trigger, TriggerSender};
use crate::store::facts::{self, find};
use crate::store::tables::{
    ACCEPTED, DELIVERIES, DeliveryRow, EventRow, FACTS, FactRow, OUTBOXES, OutboxRow,
};
use crate::store::{Changes, Scan, Store, StoreError, Watch};

/// The groups that somebody is pushed to in: this node's name there, and how long its facts live.
type Scope = BTreeMap<Arc<str>, (String, Duration)>;

/// The manifests that matter here.
#[derive(Debug, Default)]
struct Objects {
    groups: HashMap<Arc<str>, Membership>,
    peers: HashMap<Arc<str>, Peering>,
}

impl Objects {
    /// Puts or takes an object. Returns what that means here.
    fn set(&mut self, key: &ObjectKey, accepted: Option<Accepted>) -> Option<Change> {
        if key.api_version != API_VERSION {
            return None;
        }
        let name: Arc<str> = key.name.as_str().into();
        let accepted = accepted.filter(|accepted| accepted.typed).map(Arc::new);
        let spec = accepted.as_ref().and_then(|accepted| spec_of(&accepted.resource).ok());
        match (key.kind.as_str(), spec) {
            ("EventGroup", Some(Spec::EventGroup(spec))) => {
                let group = Membership { accepted: accepted?, spec: Arc::new(*spec) };
                self.groups.insert(Arc::clone(&name), group.clone());
                Some(Change::Group(name, Some(group)))
            }
            ("EventGroup", _) => {
                self.groups.remove(&name)?;
                Some(Change::Group(name, None))
            }
            ("EventPeer", Some(Spec::EventPeer(spec))) if spec.is_pushed_to() => {
                let peering = Peering { accepted: accepted?, spec: Arc::new(*spec) };
                self.peers.insert(Arc::clone(&name), peering.clone());
                Some(Change::Peer(name, Some(peering)))
            }
            ("EventPeer", _) => {
                self.peers.remove(&name)?;
                Some(Change::Peer(name, None))
            }
            _ => None,
        }
    }

    fn scope(&self) -> Scope {
        let named = self.peers.values().map(|peer| peer.spec.group_ref.as_str());
        let found = named.filter_map(|name| self.groups.get_key_value(name));
        found
            .map(|(name, group)| {
                let spec = &group.spec;
                (Arc::clone(name), (spec.node_name.clone(), spec.retention.max_age.get()))
            })
            .collect()
    }
}

/// Lists and follows a [`Store`].
pub struct OutboxSource {
    store: Store,
    watch: Option<Watch>,
    objects: Objects,
    scope: Scope,
}

/// Everything that matters, and which facts of ours are stored at all.
#[derive(Debug, Default)]
pub struct Listing {
    changes: Vec<Change>,
    stored: HashSet<FactId>,
}

impl OutboxSource {
    /// A source over `store`.
    pub fn new(store: Store) -> Self {
        Self { store, watch: None, objects: Objects::default(), scope: Scope::new() }
    }

    /// The current event of a fact, if it originates here and somebody may be owed it.
    fn current(&self, id: FactId) -> Result<Option<Arc<Current>>, StoreError> {
        if self.scope.is_empty() {
            return Ok(None);
        }
        match find(&self.store, &id)? {
            Some(row) => current(&self.store, &self.scope, row),
            None => Ok(None),
        }
    }
}

fn current(store: &Store, scope: &Scope, row: FactRow) -> Result<Option<Arc<Current>>, StoreError> {
    let Some((group, (node_name, max_age))) = scope.get_key_value(row.group.as_str()) else {
        return Ok(None);
    };
    let event = store.get::<EventRow>(&(row.group.clone(), row.event_id.clone()))?;
    let ours = |event: &EventRow| event.seq == row.seq && event.event.source_node == *node_name;
    let Some(event) = event.filter(ours) else {
        return Ok(None);
    };
    let offer = Offer {
        seq: row.seq,
        observed_at: row.observed_at,
        expires_at: row.expires_at,
        received_at: event.received_at,
        end: row.end(*max_age),
        ended: row.is_ended(*max_age),
    };
    Ok(Some(Arc::new(Current {
        fact: row.fact,
        group: Arc::clone(group),
        id: row.event_id,
        r#type: row.event_type.into(),
        subject: event.event.subject,
        offer,
    })))
}

fn objects(store: &Store) -> Result<(Objects, Vec<Change>), StoreError> {
    let mut objects = Objects::default();
    let mut changes = Vec::new();
    for kind in ["EventGroup", "EventPeer"] {
        for accepted in store.scan::<Accepted>(&Scan::prefix(&kind.to_owned())) {
            let accepted = accepted?;
            let key = accepted.resource.key.clone();
            changes.extend(objects.set(&key, Some(accepted)));
        }
    }
    Ok((objects, changes))
}

/// Reads all that matters now: manifests before rows, rows before facts.
fn list(store: &Store) -> Result<(Objects, Listing), StoreError> {
    let (objects, mut changes) = objects(store)?;
    for row in store.scan::<OutboxRow>(&Scan::all()) {
        let row = row?;
        changes.push(Change::Outbox(row.peer.as_str().into(), Some(row)));
    }
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    for row in store.scan::<DeliveryRow>(&Scan::all()) {
        let row = row?;
        let name = names.entry(row.peer.clone()).or_insert_with(|| row.peer.as_str().into());
        changes.push(Change::Ack(Arc::clone(name), row.fact, Some(row.ack)));
    }
    let (scope, mut stored) = (objects.scope(), HashSet::new());
    if !scope.is_empty() {
        for row in facts::all(store) {
            if let Some(current) = current(store, &scope, row?)? {
                stored.insert(current.fact);
                changes.push(Change::Fact(current.fact, Some(current)));
            }
        }
    }
    Ok((objects, Listing { changes, stored }))
}

impl Source for OutboxSource {
    type Listing = Listing;
    type Change = Change;
    type Error = StoreError;

    async fn list(&mut self) -> Result<(Listing, u64), StoreError> {
        let head = self.store.head();
        let store = self.store.clone();
        let listed = tokio::task::spawn_blocking(move || list(&store)).await;
        let (objects, listing) =
            listed.map_err(|error| StoreError::Failed(error.to_string()))??;
        self.scope = objects.scope();
        self.objects = objects;
        Ok((listing, head))
    }

    async fn next(&mut self, cursor: u64) -> Result<Step<Change>, StoreError> {
        let watch = match &mut self.watch {
            Some(watch) if watch.cursor() == cursor => watch,
            _ => self.watch.insert(self.store.watch(cursor)),
        };
        let (revision, keys) = match watch.next().await {
            Changes::Batch { upto, keys } => (upto, keys),
            Changes::Lagged { .. } => return Ok(Step::Lagged),
            Changes::Closed => return Err(StoreError::Closed),
        };
        let mut changes = Vec::new();
        let mut seen = HashSet::new();
        for change in &keys {
            // A fact is one, wherever it is kept.
            let table = if facts::is_fact(change) { FACTS.prefix } else { change.table };
            let of_ours = [ACCEPTED, FACTS, OUTBOXES, DELIVERIES]
                .iter()
                .any(|of_ours| of_ours.prefix == table);
            if !of_ours || !seen.insert((table, &change.key)) {
                continue;
            }
            if change.table == ACCEPTED.prefix {
                let key = change.row_key::<Accepted>()?;
                let accepted = self.store.get::<Accepted>(&key)?;
                changes.extend(self.objects.set(&key, accepted));
            } else if table == FACTS.prefix {
                let id = facts::changed(change)?;
                changes.push(Change::Fact(id, self.current(id)?));
            } else if change.table == OUTBOXES.prefix {
                let name = change.row_key::<OutboxRow>()?;
                let row = self.store.get::<OutboxRow>(&name)?;
                changes.push(Change::Outbox(name.into(), row));
            } else {
                let (name, fact) = change.row_key::<DeliveryRow>()?;
                let row = self.store.get::<DeliveryRow>(&(name.clone(), fact))?;
                changes.push(Change::Ack(name.into(), fact, row.map(|row| row.ack)));
            }
        }
        // Which facts matter was decided by another scope.
        let wider = self.objects.scope() != self.scope;
        Ok(if wider { Step::Lagged } else { Step::Changes { changes, revision } })
    }
}

/// Fills the index and triggers the peers that a change concerns.
pub struct IndexSink {
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) peers: TriggerSender<Arc<str>>,
}

impl Sink<OutboxSource> for IndexSink {
    fn replace(&mut self, listing: Listing) {
        let now = self.clock.now();
        let names = {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            let before = index.names();
            index.restart(listing.changes, now);
            index.retain_stored(&listing.stored);
            let mut names = index.names();
            names.extend(before);
            names
        };
        self.peers.extend(names, Trigger::Spec);
    }

    fn apply(&mut self, changes: Vec<Change>) {
        let now = self.clock.now();
        let (mut edited, mut concerned) = (Vec::new(), std::collections::BTreeSet::new());
        {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                let of_manifest = matches!(change, Change::Group(..) | Change::Peer(..));
                let touched = index.apply(change, now);
                if of_manifest { edited.extend(touched) } else { concerned.extend(touched) }
            }
        }
        self.peers.extend(edited, Trigger::Spec);
        self.peers.extend(concerned, Trigger::Related);
    }
}
