//! The store as a source: a full listing, and the rows behind each change.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::facts::with_a_say;
use crate::api::accepted::Accepted;
use crate::api::fact::FactId;
use crate::api::kinds::decode::spec_of;
use crate::api::kinds::federation::{self, Retention};
use crate::api::kinds::spec::Spec;
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::api::run::Work;
use crate::controllers::world::{Fact, SubFact, World};
use crate::runtime::{Source, Step};
use crate::store::facts::{self, Reach};
use crate::store::tables::{ACCEPTED, EVENTS, EventRow, FACTS, PARTS, WORKS};
use crate::store::{Change, Changes, Scan, Store, StoreError, Watch};

/// A row as it is now; `None` when it is gone.
#[derive(Debug, Clone)]
pub enum RowChange {
    /// A manifest object.
    Object(ObjectKey, Option<Arc<Accepted>>),
    /// A fact.
    Fact(FactId, Option<Arc<Fact>>),
    /// A part.
    Part(SubFact, Option<Arc<Part>>),
    /// Work.
    Work(SubFact, Option<Arc<Work>>),
    /// An event of this group was stored, refreshed or pruned.
    Event(String),
}

/// All rows that the world is made of.
#[derive(Debug, Default)]
pub struct Listing {
    objects: Vec<Arc<Accepted>>,
    facts: Vec<Arc<Fact>>,
    parts: Vec<Arc<Part>>,
    works: Vec<Arc<Work>>,
}

/// Which ended facts the manifests give a say: those within `maxAge` and those that retract. What
/// had none was let go of, so when the scope widens everything is listed again.
#[derive(Debug, Default)]
struct Scope {
    max_age: HashMap<String, Duration>,
    /// By subscription: its group and the types that retract in it.
    retracting: HashMap<String, BTreeSet<(String, String)>>,
}

impl Scope {
    fn of<'a>(objects: impl Iterator<Item = &'a Accepted>) -> Self {
        let mut scope = Self::default();
        for accepted in objects {
            scope.set(accepted.key(), Some(accepted));
        }
        scope
    }

    /// Notes an object as it is now. Returns whether an ended fact may have a say that had none.
    fn set(&mut self, key: &ObjectKey, accepted: Option<&Accepted>) -> bool {
        if key.api_version != federation::API_VERSION {
            return false;
        }
        let spec = accepted.filter(|a| a.typed).and_then(|a| spec_of(&a.resource).ok());
        match (key.kind.as_str(), spec) {
            ("EventGroup", spec) => {
                let default = Retention::default().max_age.get();
                let age = match spec {
                    Some(Spec::EventGroup(group)) => group.retention.max_age.get(),
                    _ => default,
                };
                age > self.max_age.insert(key.name.clone(), age).unwrap_or(default)
            }
            ("EventSubscription", Some(Spec::EventSubscription(spec))) => {
                let group = &spec.group_ref;
                let retract = spec.r#match.retract_types.iter();
                let new: BTreeSet<_> = retract.map(|t| (group.clone(), t.clone())).collect();
                let known = |entry| self.retracting.values().any(|own| own.contains(entry));
                let wider = new.iter().any(|entry| !known(entry));
                self.retracting.insert(key.name.clone(), new);
                wider
            }
            ("EventSubscription", _) => {
                self.retracting.remove(&key.name);
                false
            }
            _ => false,
        }
    }

    /// The same, as facts are told apart by it.
    fn reach(&self) -> Reach {
        Reach {
            retracting: self.retracting.values().flatten().cloned().collect(),
            max_age: self.max_age.iter().map(|(group, age)| (group.clone(), *age)).collect(),
            complete: true,
        }
    }
}

/// Lists and follows a [`Store`].
pub struct StoreSource {
    store: Store,
    watch: Option<Watch>,
    scope: Scope,
}

impl StoreSource {
    /// A source over `store`.
    pub fn new(store: Store) -> Self {
        Self { store, watch: None, scope: Scope::default() }
    }

    fn read(&self, change: &Change) -> Result<Option<RowChange>, StoreError> {
        Ok(Some(match change.table {
            table if table == ACCEPTED.prefix => {
                let key = change.row_key::<Accepted>()?;
                let row = self.store.get::<Accepted>(&key)?.map(Arc::new);
                RowChange::Object(key, row)
            }
            _ if facts::is_fact(change) => {
                let id = facts::changed(change)?;
                RowChange::Fact(id, super::facts::read(&self.store, &id)?)
            }
            table if table == PARTS.prefix => {
                let (subscription, fact) = change.row_key::<Part>()?;
                let row = self.store.get::<Part>(&(subscription.clone(), fact))?.map(Arc::new);
                RowChange::Part(SubFact { subscription: subscription.into(), fact }, row)
            }
            table if table == WORKS.prefix => {
                let (subscription, fact) = change.row_key::<Work>()?;
                let row = self.store.get::<Work>(&(subscription.clone(), fact))?.map(Arc::new);
                RowChange::Work(SubFact { subscription: subscription.into(), fact }, row)
            }
            table if table == EVENTS.prefix => {
                let (group, _) = change.row_key::<EventRow>()?;
                RowChange::Event(group)
            }
            _ => return Ok(None),
        }))
    }
}

/// Reads all that matters now. Facts whose end is on record are left out, except those that
/// somebody deals with and those that retract.
fn list(store: &Store) -> Result<Listing, StoreError> {
    let mut listing = Listing::default();
    for accepted in store.scan::<Accepted>(&Scan::all()) {
        listing.objects.push(Arc::new(accepted?));
    }
    let mut dealt = HashSet::new();
    for part in store.scan::<Part>(&Scan::all()) {
        let part = Arc::new(part?);
        dealt.insert(part.fact);
        listing.parts.push(part);
    }
    for work in store.scan::<Work>(&Scan::all()) {
        let work = Arc::new(work?);
        dealt.insert(work.fact);
        listing.works.push(work);
    }
    let reach = Scope::of(listing.objects.iter().map(Arc::as_ref)).reach();
    listing.facts = with_a_say(store, &reach, dealt)?;
    Ok(listing)
}

impl Listing {
    /// The changes that lead from `world` to this listing.
    pub(super) fn against(self, world: &World) -> Vec<RowChange> {
        let mut changes = Vec::new();
        let mut gone: BTreeSet<ObjectKey> =
            world.objects.iter().map(|accepted| accepted.key().clone()).collect();
        for accepted in self.objects {
            gone.remove(accepted.key());
            changes.push(RowChange::Object(accepted.key().clone(), Some(accepted)));
        }
        changes.extend(gone.into_iter().map(|key| RowChange::Object(key, None)));
        // Dealings before facts: a fact that ended is let go of if nobody deals with it.
        let (mut parts, mut works) = world.dealt_keys();
        for part in self.parts {
            let key = SubFact { subscription: part.subscription.as_str().into(), fact: part.fact };
            parts.remove(&key);
            changes.push(RowChange::Part(key, Some(part)));
        }
        changes.extend(parts.into_iter().map(|key| RowChange::Part(key, None)));
        for work in self.works {
            let key = SubFact { subscription: work.subscription.as_str().into(), fact: work.fact };
            works.remove(&key);
            changes.push(RowChange::Work(key, Some(work)));
        }
        changes.extend(works.into_iter().map(|key| RowChange::Work(key, None)));
        let mut gone: HashSet<FactId> = world.facts.iter().map(|fact| fact.id).collect();
        for fact in self.facts {
            gone.remove(&fact.id);
            changes.push(RowChange::Fact(fact.id, Some(fact)));
        }
        changes.extend(gone.into_iter().map(|id| RowChange::Fact(id, None)));
        changes
    }
}

impl Source for StoreSource {
    type Listing = Listing;
    type Change = RowChange;
    type Error = StoreError;

    async fn list(&mut self) -> Result<(Listing, u64), StoreError> {
        let head = self.store.head();
        let store = self.store.clone();
        let listing = tokio::task::spawn_blocking(move || list(&store)).await;
        let listing = listing.map_err(|error| StoreError::Failed(error.to_string()))??;
        self.scope = Scope::of(listing.objects.iter().map(Arc::as_ref));
        Ok((listing, head))
    }

    async fn next(&mut self, cursor: u64) -> Result<Step<RowChange>, StoreError> {
        let watch = match &mut self.watch {
            Some(watch) if watch.cursor() == cursor => watch,
            _ => self.watch.insert(self.store.watch_applied(cursor)),
        };
        match watch.next().await {
            Changes::Batch { upto, keys } => {
                let mut seen = HashSet::new();
                let mut changes = Vec::with_capacity(keys.len());
                // One read for a row, however often it changed, and for a fact, wherever it is kept.
                for change in &keys {
                    let table = if facts::is_fact(change) { FACTS.prefix } else { change.table };
                    if seen.insert((table, &change.key)) {
                        changes.extend(self.read(change)?);
                    }
                }
                let mut wider = false;
                for change in &changes {
                    if let RowChange::Object(key, accepted) = change {
                        wider |= self.scope.set(key, accepted.as_deref());
                    }
                }
                Ok(if wider { Step::Lagged } else { Step::Changes { changes, revision: upto } })
            }
            Changes::Lagged { .. } => Ok(Step::Lagged),
            Changes::Closed => Err(StoreError::Closed),
        }
    }
}
