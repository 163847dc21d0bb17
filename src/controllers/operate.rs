//! What an operator may ask for by hand: to retry what was given up, and to run again what
//! succeeded.
//!
//! Both change only the memory of the work; what follows from that is the planner's business, as
//! with every other change. Asked twice, they do no more than once for what has not run since.

use crate::api::accepted::Accepted;
use crate::api::fact::FactId;
use crate::api::kinds::decode::spec_of;
use crate::api::kinds::federation::API_VERSION;
use crate::api::kinds::spec::Spec;
use crate::api::object::ObjectKey;
use crate::api::run::Work;
use crate::store::tables::FactRow;
use crate::store::{Scan, Store, StoreError, Txn, WriteError};

/// Rows changed in one transaction at most: other writers wait for it.
const SLICE: usize = 256;

/// Which work is meant: all of it that fits every given word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The EventSubscription's name.
    pub subscription: Option<String>,
    /// The Plugin's name, as the subscription names it now.
    pub plugin: Option<String>,
    /// The id of the fact's newest event.
    pub event: Option<String>,
}

/// Why it was not done, or not for all.
pub type OperateError = WriteError<StoreError>;

/// Names the work of one subscription on one fact.
type WorkKey = (String, FactId);

/// Runs again, as if for the first time, what was given up. Returns how many it concerned.
///
/// Blocks for as long as the stored work takes to read.
pub async fn retry(store: &Store, filter: &Filter) -> Result<u64, OperateError> {
    each(store, filter, revive).await
}

/// Runs again what succeeded, under a new run key, and what was given up. Asked again before that
/// run has ended, it changes nothing. Returns how many it concerned.
///
/// Blocks for as long as the stored work takes to read.
pub async fn rerun(store: &Store, filter: &Filter) -> Result<u64, OperateError> {
    each(store, filter, renew).await
}

/// Takes the memory of a failure that was given up.
fn revive(work: &mut Work) -> bool {
    work.failing.take_if(|failing| failing.dead).is_some()
}

/// Raises the number of the next run above that of the last success.
fn renew(work: &mut Work) -> bool {
    let revived = revive(work);
    let next = work.next_renewal();
    let raised = work.succeeded.is_some() && work.renewal < next;
    work.renewal = next;
    revived || raised
}

async fn each(
    store: &Store,
    filter: &Filter,
    change: fn(&mut Work) -> bool,
) -> Result<u64, OperateError> {
    let meant: Vec<WorkKey> = meant(store, filter, change).map_err(WriteError::Store)?;
    let mut changed = 0;
    for slice in meant.chunks(SLICE) {
        let (slice, filter) = (slice.to_vec(), filter.clone());
        let wrote = store.write(move |txn| change_all(txn, &slice, &filter, change));
        changed += wrote.await?.value;
    }
    Ok(changed)
}

/// The work that fits and that the change would change, as stored now.
fn meant(
    store: &Store,
    filter: &Filter,
    change: fn(&mut Work) -> bool,
) -> Result<Vec<WorkKey>, StoreError> {
    let scan = match &filter.subscription {
        Some(name) => Scan::prefix(name),
        None => Scan::all(),
    };
    let mut meant = Vec::new();
    for work in store.scan::<Work>(&scan) {
        let mut work = work?;
        if change(&mut work) {
            meant.push((work.subscription, work.fact));
        }
    }
    Ok(meant)
}

fn change_all(
    txn: &mut Txn<'_>,
    slice: &[WorkKey],
    filter: &Filter,
    change: fn(&mut Work) -> bool,
) -> Result<u64, StoreError> {
    let mut changed = 0;
    for key in slice {
        let Some(mut work) = txn.get::<Work>(key)? else { continue };
        if fits(txn, filter, &work)? && change(&mut work) {
            txn.put(&work)?;
            changed += 1;
        }
    }
    Ok(changed)
}

fn fits(txn: &Txn<'_>, filter: &Filter, work: &Work) -> Result<bool, StoreError> {
    if filter.subscription.as_ref().is_some_and(|name| *name != work.subscription) {
        return Ok(false);
    }
    if let Some(event) = &filter.event {
        let fact = txn.get::<FactRow>(&work.fact)?;
        if fact.is_none_or(|fact| fact.event_id != *event) {
            return Ok(false);
        }
    }
    let Some(plugin) = &filter.plugin else { return Ok(true) };
    let key = ObjectKey::new(API_VERSION, "EventSubscription", work.subscription.as_str());
    let accepted = txn.get::<Accepted>(&key)?;
    Ok(accepted.is_some_and(|accepted| match spec_of(&accepted.resource) {
        Ok(Spec::EventSubscription(spec)) => spec.trigger.plugin_ref == *plugin,
        _ => false,
    }))
}
