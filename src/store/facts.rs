//! Where facts are kept: those that may still have a say apart from all others, so that a start need
//! not look at a long history of facts that have ended.
//!
//! A fact may have a say from its first observation until its end is on record; those of types that
//! retract, for as long as they are stored. Which types those are, and how long a group's facts live,
//! is the manifests' to say; [`Reach`] is what was made of that when the two were last told apart.
//! Whoever finds that the manifests reach further looks at all facts, and moves those within reach.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tables::{ENDED_FACTS, EndedFact, FACTS, FactEnd, FactRow, Single};
use super::{Change, Record, Scan, Store, StoreError, Txn};
use crate::api::fact::FactId;
use crate::api::kinds::federation::Retention;

/// Where the reach is kept.
const REACH: &str = "reach-of-facts";

/// What rows are looked up in: the store, or a transaction.
pub trait Lookup {
    /// Whether rows may be moved between two looks.
    const MOVES: bool;
    /// The row with this key.
    fn row<T: Record>(&self, key: &T::Key) -> Result<Option<T>, StoreError>;
}

impl Lookup for Store {
    const MOVES: bool = true;

    fn row<T: Record>(&self, key: &T::Key) -> Result<Option<T>, StoreError> {
        self.get(key)
    }
}

impl Lookup for Txn<'_> {
    const MOVES: bool = false;

    fn row<T: Record>(&self, key: &T::Key) -> Result<Option<T>, StoreError> {
        self.get(key)
    }
}

/// The fact, wherever it is kept.
pub fn find<L: Lookup>(rows: &L, id: &FactId) -> Result<Option<FactRow>, StoreError> {
    if let Some(row) = rows.row::<FactRow>(id)? {
        return Ok(Some(row));
    }
    if let Some(EndedFact(row)) = rows.row::<EndedFact>(id)? {
        return Ok(Some(row));
    }
    // Between the two looks it may have begun anew.
    if L::MOVES { rows.row::<FactRow>(id) } else { Ok(None) }
}

/// All facts, those that may have a say last. One that begins anew meanwhile may be met twice; one
/// whose end is put on record meanwhile may be missed.
pub fn all(store: &Store) -> impl Iterator<Item = Result<FactRow, StoreError>> {
    let ended = store.scan::<EndedFact>(&Scan::all()).map(|row| row.map(|EndedFact(row)| row));
    ended.chain(store.scan::<FactRow>(&Scan::all()))
}

/// What the manifests give a say to beyond their end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Groups, and types of event that end facts there.
    pub retracting: BTreeSet<(String, String)>,
    /// How long a fact without an expiry lives in each group.
    pub max_age: BTreeMap<String, Duration>,
    /// Whether all that is within reach was moved. A crash meanwhile leaves this false.
    #[serde(default)]
    pub complete: bool,
}

impl Reach {
    /// The one that facts were told apart by.
    pub fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self::read(store.get::<Single>(&REACH.to_owned())?))
    }

    fn of(txn: &Txn<'_>) -> Result<Self, StoreError> {
        Ok(Self::read(txn.get::<Single>(&REACH.to_owned())?))
    }

    /// A value that does not read is as good as none: all facts are looked at.
    fn read(row: Option<Single>) -> Self {
        row.and_then(|row| serde_json::from_str(&row.value).ok()).unwrap_or_default()
    }

    /// Makes this the one that facts are told apart by from now on.
    pub fn save(&self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let value = serde_json::to_string(self).expect("plain data");
        txn.put(&Single { name: REACH.to_owned(), value })
    }

    /// Whether all that `wanted` reaches is within this one.
    pub fn covers(&self, wanted: &Self) -> bool {
        self.complete
            && wanted.retracting.is_subset(&self.retracting)
            && wanted.max_age.iter().all(|(group, age)| self.age(group) >= *age)
    }

    fn age(&self, group: &str) -> Duration {
        let default = || Retention::default().max_age.get();
        self.max_age.get(group).copied().unwrap_or_else(default)
    }

    /// Whether a fact may have a say.
    fn holds(&self, row: &FactRow) -> bool {
        self.reaches(&row.group, &row.event_type, |age| row.is_ended(age))
    }

    /// The same of the fields that say so.
    pub fn holds_end(&self, row: &FactEnd) -> bool {
        self.reaches(&row.group, &row.event_type, |age| row.is_ended(age))
    }

    fn reaches(&self, group: &str, r#type: &str, is_ended: impl Fn(Duration) -> bool) -> bool {
        !is_ended(self.age(group))
            || self.retracting.contains(&(group.to_owned(), r#type.to_owned()))
    }
}

/// Whether a change is to a fact, wherever that is kept.
pub fn is_fact(change: &Change) -> bool {
    change.table == FACTS.prefix || change.table == ENDED_FACTS.prefix
}

/// The fact that such a change is to.
pub fn changed(change: &Change) -> Result<FactId, StoreError> {
    let ended = change.table == ENDED_FACTS.prefix;
    if ended { change.row_key::<EndedFact>() } else { change.row_key::<FactRow>() }
}

/// Writes a fact in the place of `old`, where it belongs.
pub fn put_fact(txn: &mut Txn<'_>, old: Option<&FactRow>, new: FactRow) -> Result<(), StoreError> {
    let may_speak = new.ended.is_none() || Reach::of(txn)?.holds(&new);
    if may_speak {
        // Without an earlier end it was not among those whose end is on record.
        if old.is_some_and(|old| old.ended.is_some()) {
            txn.delete::<EndedFact>(&new.fact)?;
        }
        txn.put(&new)
    } else {
        if old.is_some() {
            txn.delete::<FactRow>(&new.fact)?;
        }
        txn.put(&EndedFact(new))
    }
}

/// Forgets a fact.
pub fn delete_fact(txn: &mut Txn<'_>, id: &FactId) -> Result<(), StoreError> {
    txn.delete::<FactRow>(id)?;
    txn.delete::<EndedFact>(id)
}

#[cfg(test)]
mod tests;
