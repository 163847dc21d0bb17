//! What the accepted manifests say of a group: the EventGroup and the EventPeers that name it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::accepted::{Accepted, SourceRef};
use crate::api::kinds::decode::spec_of;
use crate::api::kinds::federation::{API_VERSION, EventGroupSpec, EventPeerSpec};
use crate::api::kinds::spec::Spec;
use crate::api::object::ObjectKey;
use crate::runtime::{Sink, Source, Step, Trigger, TriggerSender};
use crate::store::tables::ACCEPTED;
use crate::store::{Changes, Scan, Store, StoreError, Watch};

/// A group with its peers.
#[derive(Debug, Clone, PartialEq)]
pub struct Membership {
    /// Where the EventGroup stands.
    pub source: SourceRef,
    /// Its generation.
    pub generation: u64,
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: EventGroupSpec,
    /// The EventPeers that name it, by name.
    pub peers: Vec<Peer>,
}

/// An EventPeer.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub source: SourceRef,
    /// Its spec.
    pub spec: EventPeerSpec,
}

/// The key of an EventGroup.
pub fn group_key(name: &str) -> ObjectKey {
    ObjectKey::new(API_VERSION, "EventGroup", name)
}

fn typed(accepted: &Accepted) -> Option<Spec> {
    // What was accepted decoded once; a later program that is stricter leaves it untyped.
    if accepted.typed { spec_of(&accepted.resource).ok() } else { None }
}

fn peers(store: &Store) -> impl Iterator<Item = Result<Peer, StoreError>> {
    store.scan::<Accepted>(&Scan::prefix(&"EventPeer".to_owned())).filter_map(|row| {
        let accepted = match row {
            Ok(accepted) => accepted,
            Err(error) => return Some(Err(error)),
        };
        let Some(Spec::EventPeer(spec)) = typed(&accepted) else { return None };
        let name = accepted.resource.key.name;
        Some(Ok(Peer { name, source: accepted.source, spec: *spec }))
    })
}

/// Reads a group as it is accepted now; `None` if there is none of the name.
pub fn read(store: &Store, name: &str) -> Result<Option<Membership>, StoreError> {
    let Some(accepted) = store.get::<Accepted>(&group_key(name))? else { return Ok(None) };
    let Some(Spec::EventGroup(spec)) = typed(&accepted) else { return Ok(None) };
    let own = |peer: &Result<Peer, StoreError>| match peer {
        Ok(peer) => peer.spec.group_ref == name,
        Err(_) => true,
    };
    Ok(Some(Membership {
        source: accepted.source,
        generation: accepted.generation,
        name: name.to_owned(),
        spec: *spec,
        peers: peers(store).filter(own).collect::<Result<_, _>>()?,
    }))
}

/// Tells which groups may have become others.
pub struct GroupSource {
    store: Store,
    watch: Option<Watch>,
    /// The group that each EventPeer named when it was last read.
    group_of: BTreeMap<String, String>,
}

impl GroupSource {
    /// A source over `store`.
    pub fn new(store: Store) -> Self {
        Self { store, watch: None, group_of: BTreeMap::new() }
    }

    fn list_now(&mut self) -> Result<BTreeSet<Arc<str>>, StoreError> {
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for row in self.store.scan::<Accepted>(&Scan::prefix(&"EventGroup".to_owned())) {
            names.insert(row?.resource.key.name.into());
        }
        let peers: Vec<Peer> = peers(&self.store).collect::<Result<_, _>>()?;
        self.group_of = peers.into_iter().map(|peer| (peer.name, peer.spec.group_ref)).collect();
        Ok(names)
    }

    /// The groups that a change of this object concerns.
    fn concerned(&mut self, key: &ObjectKey) -> Result<Vec<Arc<str>>, StoreError> {
        if key.api_version != API_VERSION {
            return Ok(Vec::new());
        }
        match key.kind.as_str() {
            "EventGroup" => Ok(vec![key.name.as_str().into()]),
            "EventPeer" => {
                let accepted = self.store.get::<Accepted>(key)?;
                let new = match accepted.as_ref().and_then(typed) {
                    Some(Spec::EventPeer(spec)) => Some(spec.group_ref.clone()),
                    _ => None,
                };
                let old = match &new {
                    Some(new) => self.group_of.insert(key.name.clone(), new.clone()),
                    None => self.group_of.remove(&key.name),
                };
                Ok(old.into_iter().chain(new).map(Into::into).collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Source for GroupSource {
    type Listing = BTreeSet<Arc<str>>;
    type Change = Arc<str>;
    type Error = StoreError;

    async fn list(&mut self) -> Result<(Self::Listing, u64), StoreError> {
        let head = self.store.head();
        Ok((self.list_now()?, head))
    }

    async fn next(&mut self, cursor: u64) -> Result<Step<Arc<str>>, StoreError> {
        let watch = match &mut self.watch {
            Some(watch) if watch.cursor() == cursor => watch,
            _ => self.watch.insert(self.store.watch(cursor)),
        };
        match watch.next().await {
            Changes::Batch { upto, keys } => {
                let mut changes = Vec::new();
                for change in keys.iter().filter(|change| change.table == ACCEPTED.prefix) {
                    // A key that does not decode names no object of ours.
                    if let Some(Ok(key)) = change.key_of::<Accepted>() {
                        changes.extend(self.concerned(&key)?);
                    }
                }
                Ok(Step::Changes { changes, revision: upto })
            }
            Changes::Lagged { .. } => Ok(Step::Lagged),
            Changes::Closed => Err(StoreError::Closed),
        }
    }
}

/// Triggers the groups that a source names, and at a listing those that were known before.
pub struct GroupSink<F> {
    /// The way to the reconciler.
    pub groups: TriggerSender<Arc<str>>,
    /// Groups that have something running.
    pub known: F,
}

impl<F: Fn() -> Vec<Arc<str>> + Send + 'static> Sink<GroupSource> for GroupSink<F> {
    fn replace(&mut self, listing: BTreeSet<Arc<str>>) {
        self.groups.extend((self.known)().into_iter().chain(listing), Trigger::Related);
    }

    fn apply(&mut self, changes: Vec<Arc<str>>) {
        self.groups.extend(changes, Trigger::Spec);
    }
}
