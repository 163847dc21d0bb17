//! What an operator may ask for by hand: to retry what failed, and to run again what succeeded.
//!
//! Both change only the memory of the work; what follows from that is the planner's business, as
//! with every other change. Asked twice, they do no more than once for what has not run since.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::duration::GoDuration;
use crate::api::fact::FactId;
use crate::api::kinds::decode::spec_of;
use crate::api::kinds::federation::{API_VERSION, EventGroupSpec};
use crate::api::kinds::spec::Spec;
use crate::api::object::ObjectKey;
use crate::api::run::Work;
use crate::store::facts::find;
use crate::store::tables::FactRow;
use crate::store::{Scan, Store, StoreError, Txn, WriteError};

/// Rows changed in one transaction at most: other writers wait for it.
const SLICE: usize = 256;
/// Names in one filter, and in one answer, at most.
const MAX_NAMES: usize = 1_000;

/// Which work is meant: all of it that fits every given word. Nothing given means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(expecting = "an object with subscription, plugin, event, names")]
pub struct WorkFilter {
    /// The EventSubscription's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// The Plugin's name, as the subscription names it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The id of the fact's newest event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Names of parts, made or to be made; empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkAnswer {
    /// Facts that run again because of this.
    pub changed: u64,
    /// Of these, facts of suspended subscriptions: they run when those are resumed.
    #[serde(default)]
    pub suspended: u64,
    /// Facts that fit and have nothing to retry, or were asked for already.
    pub unchanged: u64,
    /// Facts that fit and have ended: there is nothing to run for them.
    pub ended: u64,
    /// What changed, by the names of the parts; 1,000 at most.
    pub names: Vec<String>,
}

/// Names the work of one subscription on one fact.
type WorkKey = (String, FactId);
/// Changes work at a moment; says whether it did.
type Change = fn(&mut Work, Time) -> bool;

/// Runs what failed again at once: what was given up as if for the first time, what waits for its
/// next attempt without the rest of its pause.
pub async fn retry(
    store: &Store,
    filter: &WorkFilter,
    now: Time,
) -> Result<WorkAnswer, WriteError<ApiError>> {
    each(store, filter, now, revive).await
}

/// Runs again what succeeded, under a new run key, and what failed. Asked again before that run has
/// ended, it changes nothing.
pub async fn rerun(
    store: &Store,
    filter: &WorkFilter,
    now: Time,
) -> Result<WorkAnswer, WriteError<ApiError>> {
    each(store, filter, now, renew).await
}

/// Takes the memory of a failure that was given up, and the pause of one that was not.
fn revive(work: &mut Work, now: Time) -> bool {
    if work.failing.take_if(|failing| failing.dead).is_some() {
        return true;
    }
    match &mut work.failing {
        Some(failing) if failing.not_before > now => {
            failing.not_before = now;
            true
        }
        _ => false,
    }
}

/// Raises the number of the next run above that of the last success.
fn renew(work: &mut Work, now: Time) -> bool {
    let revived = revive(work, now);
    let next = work.next_renewal();
    let raised = work.succeeded.is_some() && work.renewal < next;
    work.renewal = next;
    revived || raised
}

async fn each(
    store: &Store,
    filter: &WorkFilter,
    now: Time,
    change: Change,
) -> Result<WorkAnswer, WriteError<ApiError>> {
    if filter.names.len() > MAX_NAMES {
        let message = format!("names: {} of them; {MAX_NAMES} at most", filter.names.len());
        return Err(WriteError::Rejected(ApiError::invalid(message)));
    }
    let (own, wanted) = (store.clone(), filter.clone());
    // As long as the stored work takes to read.
    let meant = tokio::task::spawn_blocking(move || meant(&own, &wanted)).await;
    let meant = meant
        .map_err(|error| WriteError::Panicked(error.to_string()))?
        .map_err(|error| WriteError::Rejected(error.into()))?;
    let mut answer = WorkAnswer::default();
    for slice in meant.chunks(SLICE) {
        let (slice, filter) = (slice.to_vec(), filter.clone());
        let wrote = store.write(move |txn| change_all(txn, &slice, &filter, now, change));
        let part = wrote.await?.value;
        answer.changed += part.changed;
        answer.suspended += part.suspended;
        answer.unchanged += part.unchanged;
        answer.ended += part.ended;
        let room = MAX_NAMES - answer.names.len();
        answer.names.extend(part.names.into_iter().take(room));
    }
    Ok(answer)
}

/// The work that may fit, as stored now.
fn meant(store: &Store, filter: &WorkFilter) -> Result<Vec<WorkKey>, StoreError> {
    let scan = match &filter.subscription {
        Some(name) => Scan::prefix(name),
        None => Scan::all(),
    };
    let mut meant = Vec::new();
    for work in store.scan::<Work>(&scan) {
        let work = work?;
        if filter.names.is_empty() || filter.names.contains(&work.name()) {
            meant.push((work.subscription, work.fact));
        }
    }
    Ok(meant)
}

fn change_all(
    txn: &mut Txn<'_>,
    slice: &[WorkKey],
    filter: &WorkFilter,
    now: Time,
    change: Change,
) -> Result<WorkAnswer, ApiError> {
    let mut answer = WorkAnswer::default();
    for key in slice {
        let Some(mut work) = txn.get::<Work>(key)? else { continue };
        let fact = find(txn, &work.fact)?;
        if !fits(txn, filter, &work, fact.as_ref())? {
            continue;
        }
        if is_over(txn, fact.as_ref(), now)? {
            answer.ended += 1;
        } else if change(&mut work, now) {
            txn.put(&work)?;
            answer.changed += 1;
            answer.suspended += u64::from(is_suspended(txn, &work.subscription)?);
            answer.names.push(work.name());
        } else {
            answer.unchanged += 1;
        }
    }
    Ok(answer)
}

fn fits(
    txn: &Txn<'_>,
    filter: &WorkFilter,
    work: &Work,
    fact: Option<&FactRow>,
) -> Result<bool, StoreError> {
    if filter.subscription.as_ref().is_some_and(|name| *name != work.subscription) {
        return Ok(false);
    }
    if let Some(event) = &filter.event
        && fact.is_none_or(|fact| fact.event_id != *event)
    {
        return Ok(false);
    }
    let Some(plugin) = &filter.plugin else { return Ok(true) };
    Ok(match typed(txn, "EventSubscription", &work.subscription)? {
        Some(Spec::EventSubscription(spec)) => spec.trigger.plugin_ref == *plugin,
        _ => false,
    })
}

fn is_suspended(txn: &Txn<'_>, subscription: &str) -> Result<bool, StoreError> {
    let spec = typed(txn, "EventSubscription", subscription)?;
    Ok(matches!(spec, Some(Spec::EventSubscription(spec)) if spec.suspend))
}

/// Whether there is nothing left to run for.
fn is_over(txn: &Txn<'_>, fact: Option<&FactRow>, now: Time) -> Result<bool, StoreError> {
    let Some(fact) = fact else { return Ok(true) };
    let group: Option<EventGroupSpec> = match typed(txn, "EventGroup", &fact.group)? {
        Some(Spec::EventGroup(group)) => Some(*group),
        _ => None,
    };
    let max_age = group.map(|group| group.retention.max_age);
    Ok(max_age.is_none_or(|max_age: GoDuration| fact.is_over(max_age.get(), now)))
}

fn typed(txn: &Txn<'_>, kind: &str, name: &str) -> Result<Option<Spec>, StoreError> {
    let accepted = txn.get::<Accepted>(&ObjectKey::new(API_VERSION, kind, name))?;
    Ok(accepted.and_then(|accepted| spec_of(&accepted.resource).ok()))
}
