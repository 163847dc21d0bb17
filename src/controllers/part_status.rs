//! Conditions of parts: whether what they propose is in force, and since when. One reconcile for
//! each part.
//!
//! A part that has been in force since it was made needs no row: that is what a reader assumes. So
//! ten thousand healthy parts cost nothing here, and a row is written when one of them loses, and
//! again when it recovers. The row goes with its part, in the same transaction.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use super::Shared;
use super::world::SubFact;
use crate::api::Time;
use crate::api::condition::{Condition, set_condition};
use crate::api::kinds::config;
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::render::{Index, LeftOut, PartKey, PartOutcome, Reason, Touched};
use crate::runtime::{Action, Failure, Reconciler};
use crate::store::tables::StatusRow;
use crate::store::{Scan, Store, StoreError, Txn, WriteError};

const KIND: &str = "DynamicConfigPart";
/// Items that a message names; the rest is counted.
const NAMED: usize = 3;

/// Writes conditions of parts.
pub struct PartConditions {
    shared: Arc<Shared>,
}

/// Why conditions were not written; they are written later.
#[derive(Debug, thiserror::Error)]
pub enum PartConditionsError {
    /// The store could not be read.
    #[error("cannot read the conditions of a part")]
    Read(#[from] StoreError),
    /// The store did not take the write.
    #[error("cannot write the conditions of a part")]
    Write(#[from] WriteError<StoreError>),
}

/// A part as an object.
pub(super) fn object(name: impl Into<String>) -> ObjectKey {
    ObjectKey::new(config::API_VERSION, KIND, name)
}

/// Names of the parts that have stored conditions.
pub(super) fn noted(store: &Store) -> Result<HashSet<String>, StoreError> {
    let rows = store.scan::<StatusRow>(&Scan::prefix(&KIND.to_owned()));
    rows.map(|row| row.map(|row| row.object.name)).collect()
}

/// Takes the conditions along with a part that goes.
pub(super) fn forget(txn: &mut Txn<'_>, part: &Part) -> Result<(), StoreError> {
    txn.delete::<StatusRow>(&object(part.name()))
}

impl Shared {
    /// Whose conditions may be others now: parts that have something to say or had, and objects.
    pub(super) fn take_touched(&self, effective: &mut Index) -> (Vec<SubFact>, Vec<ObjectKey>) {
        let Touched { parts, objects } = effective.take_touched();
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let sub_fact = |key: PartKey| SubFact {
            subscription: key.subscription.as_str().into(),
            fact: key.fact,
        };
        let is_news = |key: &PartKey| {
            let known = || noted.contains(&format!("{}-{}", key.subscription, key.fact.short()));
            effective.is_left_out(key) || (!noted.is_empty() && known())
        };
        let parts = parts.into_iter().filter(is_news).map(sub_fact).collect();
        (parts, objects.into_iter().collect())
    }
}

impl PartConditions {
    /// A writer of conditions.
    pub fn new(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let noted = noted(&shared.store)?;
        *shared.noted.lock().unwrap_or_else(PoisonError::into_inner) = noted;
        Ok(Self { shared })
    }

    /// What is true of the part now; `None` when it is gone.
    fn observe(&self, key: &SubFact) -> Option<(Arc<Part>, PartOutcome)> {
        let key = PartKey { subscription: key.subscription.to_string(), fact: key.fact };
        let effective = self.shared.effective();
        let part = effective.part(&key)?;
        let mut outcome = effective.outcome_of(&key)?;
        for item in &mut outcome.left_out {
            // Each newer winner would be news to all of them.
            let lost = matches!(item.reason, Reason::Conflicted | Reason::AddressConflict);
            if lost && effective.is_crowded(&item.object) {
                CROWDED.clone_into(&mut item.message);
            }
        }
        Some((Arc::clone(part), outcome))
    }

    fn set_noted(&self, name: &str, has_row: bool) {
        let mut noted = self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if has_row {
            noted.insert(name.to_owned());
        } else {
            noted.remove(name);
        }
    }
}

/// What is true of a part of which this came.
fn conditions(part: &Part, outcome: &PartOutcome, now: Time) -> Vec<Condition> {
    let left_out = &outcome.left_out;
    let because = |reasons: &[Reason]| -> Vec<&LeftOut> {
        left_out.iter().filter(|item| reasons.contains(&item.reason)).collect()
    };
    let abnormal = |r#type: &str, reasons: &[Reason]| {
        let items = because(reasons);
        let first = items.first()?;
        Some(Condition::new(r#type, true, first.reason.as_str(), said(&items), now))
    };
    let effective = if left_out.is_empty() {
        Condition::new("Effective", true, "InForce", IN_FORCE, now)
    } else {
        let all: Vec<&LeftOut> = left_out.iter().collect();
        let in_force = outcome.effective.len() + outcome.masks.len();
        let reason = if in_force > 0 { "PartlyLeftOut" } else { all[0].reason.as_str() };
        Condition::new("Effective", false, reason, said(&all), now)
    };
    let conflicts = [Reason::Conflicted, Reason::AddressConflict, Reason::StartupWins];
    let unresolved = [Reason::Unresolved, Reason::OutsideDomain, Reason::MaskTargetMissing];
    [Some(effective), abnormal("Conflicted", &conflicts), abnormal("Unresolved", &unresolved)]
        .into_iter()
        .flatten()
        .map(|condition| condition.at_generation(part.generation))
        .collect()
}

/// What is said to one of very many losers.
const CROWDED: &str =
    "another of the many parts that want it wins; routerctl render --report names it";

/// What is said of a part that is in force.
const IN_FORCE: &str = "everything that it proposes is in force";

fn said(items: &[&LeftOut]) -> String {
    let named = items.iter().take(NAMED);
    let mut text: Vec<String> = named
        .map(|item| format!("{}: {}: {}", item.object, item.reason.as_str(), item.message))
        .collect();
    if items.len() > NAMED {
        text.push(format!("and {} more", items.len() - NAMED));
    }
    text.join("; ")
}

/// The row to store: `old` brought up to date; `None` if none is needed.
fn updated(
    name: &str,
    old: Option<StatusRow>,
    new: Vec<Condition>,
    is_fine: bool,
) -> Option<StatusRow> {
    if old.is_none() && is_fine {
        return None;
    }
    let mut conditions = old.map_or_else(Vec::new, |row| row.conditions);
    conditions.retain(|old| new.iter().any(|new| new.r#type == old.r#type));
    for condition in new {
        set_condition(&mut conditions, condition);
    }
    Some(StatusRow { object: object(name), conditions })
}

impl Reconciler for PartConditions {
    type Key = SubFact;
    type Error = PartConditionsError;

    async fn reconcile(&self, key: &SubFact) -> Result<Action, PartConditionsError> {
        let name = format!("{key:?}");
        let Some((part, outcome)) = self.observe(key) else {
            // Its conditions went with it.
            self.set_noted(&name, false);
            return Ok(Action::AwaitChange);
        };
        let now = self.shared.clock.now();
        if !part.is_served(now) {
            // It is about to go.
            return Ok(Action::AwaitChange);
        }
        let new = conditions(&part, &outcome, now);
        let is_fine = outcome.left_out.is_empty();
        let old = self.shared.store.get::<StatusRow>(&object(name.as_str()))?;
        if updated(&name, old.clone(), new.clone(), is_fine) == old {
            return Ok(Action::AwaitChange);
        }
        let (row, own) = ((key.subscription.to_string(), key.fact), name.clone());
        let wrote = self.shared.store.write(move |txn| {
            // Without the part there is nothing to speak of.
            if !txn.contains::<Part>(&row)? {
                return Ok::<_, StoreError>(false);
            }
            let old = txn.get::<StatusRow>(&object(own.as_str()))?;
            let Some(row) = updated(&own, old, new, is_fine) else { return Ok(false) };
            txn.put(&row)?;
            Ok(true)
        });
        let has_row = wrote.await?.value;
        self.set_noted(&name, has_row);
        Ok(Action::AwaitChange)
    }

    fn classify(&self, _: &PartConditionsError) -> Failure {
        Failure::Retry
    }
}
