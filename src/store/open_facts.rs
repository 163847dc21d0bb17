//! The facts that may still have a say, listed apart, so that a start need not look at a long history
//! of facts that have ended.
//!
//! A fact is listed from its first observation until its end is on record; those of types that
//! retract are listed for as long as they are stored. Which types those are, and how long a group's
//! facts live, is the manifests' to say; [`Reach`] is what was made of that when the list was last
//! complete. Whoever finds that the manifests reach further reads all facts, and completes the list.
//!
//! The list is in the order in which facts were opened: what is listed anew goes to its end, which
//! costs little.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tables::{FactEnd, FactRow, Single};
use super::{Record, Store, StoreError, Table, Txn};
use crate::api::fact::FactId;
use crate::api::kinds::federation::Retention;

/// Facts that may have a say, by the number of the event that opened them.
pub const OPEN_FACTS: Table = Table::new(0x24, "open facts", 1);
/// Where the reach is kept.
const REACH: &str = "open-facts";

/// A fact that may have a say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenFact {
    /// Its place in the list; in the fact's row as well.
    pub opened: u64,
    /// The fact.
    pub fact: FactId,
}

impl Record for OpenFact {
    const TABLE: Table = OPEN_FACTS;
    type Key = u64;

    fn key(&self) -> u64 {
        self.opened
    }
}

/// What the manifests give a say to beyond their end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Groups, and types of event that end facts there.
    pub retracting: BTreeSet<(String, String)>,
    /// How long a fact without an expiry lives in each group.
    pub max_age: BTreeMap<String, Duration>,
    /// Whether the list holds all that is within reach. A crash while it is being completed leaves
    /// this false.
    #[serde(default)]
    pub complete: bool,
}

impl Reach {
    /// The one that the list was made for.
    pub fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self::read(store.get::<Single>(&REACH.to_owned())?))
    }

    fn of(txn: &Txn<'_>) -> Result<Self, StoreError> {
        Ok(Self::read(txn.get::<Single>(&REACH.to_owned())?))
    }

    /// A value that does not read is as good as none: the list is completed.
    fn read(row: Option<Single>) -> Self {
        row.and_then(|row| serde_json::from_str(&row.value).ok()).unwrap_or_default()
    }

    /// Makes this the one that facts are listed by from now on.
    pub fn save(&self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let value = serde_json::to_string(self).expect("plain data");
        txn.put(&Single { name: REACH.to_owned(), value })
    }

    /// Whether a list that was made for this one holds all that `wanted` reaches.
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

/// Writes a fact in the place of `old`, and lists it if it may have a say.
pub fn put_fact(
    txn: &mut Txn<'_>,
    old: Option<&FactRow>,
    mut new: FactRow,
) -> Result<(), StoreError> {
    let opened = old.and_then(|old| old.opened);
    let may_speak = new.ended.is_none() || Reach::of(txn)?.holds(&new);
    new.opened = match opened {
        Some(at) if !may_speak => {
            txn.delete::<OpenFact>(&at)?;
            None
        }
        None if may_speak => {
            txn.put(&OpenFact { opened: new.seq, fact: new.fact })?;
            Some(new.seq)
        }
        unchanged => unchanged,
    };
    if old == Some(&new) { Ok(()) } else { txn.put(&new) }
}

/// Forgets a fact.
pub fn delete_fact(txn: &mut Txn<'_>, row: &FactRow) -> Result<(), StoreError> {
    if let Some(opened) = row.opened {
        txn.delete::<OpenFact>(&opened)?;
    }
    txn.delete::<FactRow>(&row.fact)
}

#[cfg(test)]
mod tests;
