//! The end of a run: parts, work and the run's record in one transaction.
//!
//! Also the rules of failure: a failing item backs off on its own and is given up after
//! `maxAttempts`; a failed batch is retried whole once, then halved until the poison stands alone.

mod kept;

pub use kept::Kept;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Shared;
use super::plan::expires_at;
use super::planner::plan_now;
use super::request::Subject;
use super::runner::RunError;
use super::verdict::{Content, Fault, Verdict};
use super::voice::Voice;
use super::world::{Plugin, SubFact, Subscription};
use crate::api::Time;
use crate::api::fact::add;
use crate::api::kinds::federation::Retry;
use crate::api::part::Part;
use crate::api::run::{Cohort, Failing, RunRecord, SUCCEEDED, Success, Work};
use crate::plugin::Outcome;
use crate::runtime::{Backoff, Jitter};
use crate::store::{StoreError, Txn};

/// How much of a request, and how much of an answer, is remembered, in bytes.
const KEPT_BYTES: usize = 64 * 1024;
/// How much of stderr is remembered with a run, in bytes.
const KEPT_OUTPUT: usize = 16 * 1024;
/// How much of stderr is kept with a failing item, in bytes.
const KEPT_STDERR: usize = 2 * 1024;

/// A run that has ended, however it did.
pub struct Ended {
    /// The plugin as it was run.
    pub plugin: Arc<Plugin>,
    /// The subscription's name.
    pub subscription: Arc<str>,
    /// Its uid when the run began.
    pub subscription_uid: String,
    /// What it was about.
    pub subjects: Vec<Subject>,
    /// What it was sent.
    pub request: Vec<u8>,
    /// How the process ended.
    pub outcome: Outcome,
    /// What its answer is worth.
    pub verdict: Result<Verdict, Fault>,
    /// When it started.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// Identity of the file that ran.
    pub executable: Option<String>,
}

/// What a transaction needs of one item.
struct Item {
    subject: Subject,
    share: Result<Content, Fault>,
    /// What its failure says of it: itself is at fault, or someone in its batch is.
    blame: Blame,
    /// Whether the part is still wanted, and when its fact ends.
    end: Option<Time>,
    since: Time,
}

/// Whom a failure is put down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// This item: it ran alone, or its own share was bad. `place` tells it from the others.
    Own { place: u32 },
    /// Some item of the batch, which has not been retried whole yet.
    Batch,
    /// Some item of this half of the batch.
    Half { place: u32 },
}

/// Writes the end of a run.
pub async fn record(
    shared: &Shared,
    ended: Ended,
    runs: &Mutex<Kept>,
    voice: &Voice,
) -> Result<(), RunError> {
    // One that was deleted meanwhile, and perhaps made anew, has nothing to do with this run.
    let subscription = shared.world().objects.subscription(&ended.subscription).cloned();
    let Some(subscription) = subscription.filter(|s| s.accepted.uid == ended.subscription_uid)
    else {
        return Ok(());
    };
    let (shares, warnings, whole_fault) = shares(&ended);
    let items = items(shared, &ended, shares, whole_fault.is_some());
    let mut run = run_record(&ended, &items, warnings);
    let size = kept::size(&run);
    let oldest = runs.lock().unwrap_or_else(PoisonError::into_inner).make_room(size);
    let context = Context {
        now: ended.ended,
        subscription,
        plugin: ended.plugin.accepted.resource.key.name.clone(),
        executable: ended.executable.clone(),
        stderr: tail(&ended.outcome.stderr.bytes, KEPT_STDERR),
    };
    fail::fail_point!("runner::before_outcome");
    let committed = shared.store.write(move |txn| {
        run.run = txn.revision();
        let mut given_up = 0;
        for item in &items {
            let work = settle(txn, &context, item, run.run)?;
            given_up += u32::from(work.failing.is_some_and(|failing| failing.dead));
        }
        for number in &oldest {
            txn.delete::<RunRecord>(number)?;
        }
        txn.put(&run)?;
        Ok::<_, StoreError>((run, given_up))
    });
    let (run, given_up) = committed.await?.value;
    fail::fail_point!("runner::after_outcome");
    if run.outcome != SUCCEEDED {
        voice.failure(&run, given_up);
    }
    shared.counters.ran(&run.plugin, &run.outcome, &ended.outcome);
    runs.lock().unwrap_or_else(PoisonError::into_inner).add(run.run, size);
    Ok(())
}

/// Each item's share of the answer; and the fault of the whole, if the run failed as one.
fn shares(ended: &Ended) -> (Vec<Result<Content, Fault>>, Vec<String>, Option<Fault>) {
    match &ended.verdict {
        Ok(verdict) => (verdict.items.clone(), verdict.warnings.clone(), None),
        Err(fault) => {
            let all = ended.subjects.iter().map(|_| Err(fault.clone())).collect();
            (all, Vec::new(), Some(fault.clone()))
        }
    }
}

fn items(
    shared: &Shared,
    ended: &Ended,
    shares: Vec<Result<Content, Fault>>,
    failed_whole: bool,
) -> Vec<Item> {
    let count = ended.subjects.len();
    let blame = |at: usize, cohort: Option<&Cohort>| match cohort {
        _ if count == 1 || !failed_whole => Blame::Own { place: u32::try_from(at).unwrap_or(0) },
        None => Blame::Batch,
        Some(_) => Blame::Half { place: u32::from(at >= count / 2) },
    };
    let world_end = |subject: &Subject| {
        let key =
            SubFact { subscription: Arc::clone(&ended.subscription), fact: subject.item.fact };
        plan_now(shared, &key).plan.wanted
    };
    ended
        .subjects
        .iter()
        .zip(shares)
        .enumerate()
        .map(|(at, (subject, share))| Item {
            end: world_end(subject),
            since: subject.fact.since(),
            blame: blame(at, subject.item.cohort.as_ref()),
            subject: subject.clone(),
            share,
        })
        .collect()
}

struct Context {
    now: Time,
    subscription: Arc<Subscription>,
    plugin: String,
    executable: Option<String>,
    stderr: String,
}

/// Writes one item's outcome: its part and its work.
fn settle(txn: &mut Txn<'_>, context: &Context, item: &Item, run: u64) -> Result<Work, StoreError> {
    let name = context.subscription.accepted.resource.key.name.as_str();
    let uid = context.subscription.accepted.uid.as_str();
    let due = item.subject.item.due.clone();
    let row = (name.to_owned(), item.subject.item.fact);
    let mut work = txn
        .get::<Work>(&row)?
        .filter(|work| work.subscription_uid == uid)
        .unwrap_or_else(|| Work::new(name, row.1, uid));
    // A newer event may have written its own.
    work.intent.take_if(|intent| intent.run_key == due.run_key);
    match &item.share {
        Ok(content) => {
            // Without a wanted fact there is nothing to serve. The success is remembered all the
            // same: if the fact comes back, it runs under another key.
            let old: Option<Part> = txn.get::<Part>(&row)?;
            if let Some(part) =
                item.end.and_then(|end| part(context, item, content, end, old.as_ref()))
            {
                txn.put(&part)?;
            }
            work.succeeded = Some(Success { run_key: due.run_key, renewal: due.renewal });
            work.failing = None;
        }
        Err(fault) => {
            let old = work.failing.take().filter(|f| f.run_key == due.run_key);
            work.failing = Some(failing(context, item, fault, old.as_ref(), run));
        }
    }
    txn.put(&work)?;
    Ok(work)
}

/// The part with the new content; `None` when it would be over before it is written.
fn part(
    context: &Context,
    item: &Item,
    content: &Content,
    end: Time,
    old: Option<&Part>,
) -> Option<Part> {
    let spec = &context.subscription.spec;
    let grace = spec.retire.grace.get();
    let expires_at = expires_at(content.expires_at, end, grace);
    if expires_at <= context.now {
        return None;
    }
    let event = &item.subject.fact.event;
    let generation = old.map_or(1, |old| old.generation + u64::from(old.digest != content.digest));
    Some(Part {
        subscription: context.subscription.accepted.resource.key.name.clone(),
        fact: item.subject.item.fact,
        subscription_uid: context.subscription.accepted.uid.clone(),
        uid: old.map_or_else(|| uuid::Uuid::now_v7().to_string(), |old| old.uid.clone()),
        group: event.group.clone(),
        event_id: event.id.clone(),
        subject: event.subject.clone(),
        source_node: event.source_node.clone(),
        event_type: event.r#type.clone(),
        event_observed_at: item.subject.fact.observed_at,
        since: item.since,
        plugin: context.plugin.clone(),
        run_key: item.subject.item.due.run_key.clone(),
        generation,
        created_at: old.map_or(context.now, |old| old.created_at),
        observed_at: content.observed_at,
        result_expires_at: content.expires_at,
        expires_at,
        grace,
        retiring: None,
        digest: content.digest.clone(),
        resources: content.resources.clone(),
        directives: content.directives.clone(),
        action_plans: content.action_plans.clone(),
    })
}

/// The memory of a failure, and what follows from it.
fn failing(
    context: &Context,
    item: &Item,
    fault: &Fault,
    old: Option<&Failing>,
    run: u64,
) -> Failing {
    let retry = &context.subscription.spec.trigger.retry;
    let run_key = item.subject.item.due.run_key.clone();
    let attempts = old.map_or(0, |old| old.attempts);
    let (attempts, cohort, wait) = match item.blame {
        // It stays alone: its failures count, and it must not spoil another batch.
        Blame::Own { place } => {
            let attempts = attempts + 1;
            (attempts, Cohort { run, place }, backoff(retry, attempts, &run_key))
        }
        // One pause for all of them: they are retried whole.
        Blame::Batch => (attempts, Cohort { run, place: 0 }, backoff(retry, 1, &run.to_string())),
        Blame::Half { place } => (attempts, Cohort { run, place }, Duration::ZERO),
    };
    Failing {
        run_key,
        attempts,
        since: old.map_or(context.now, |old| old.since),
        last_at: context.now,
        not_before: add(context.now, wait),
        reason: fault.reason.to_owned(),
        message: fault.message.clone(),
        stderr: context.stderr.clone(),
        run,
        cohort: Some(cohort),
        dead: attempts >= retry.max_attempts,
        executable: context.executable.clone(),
    }
}

/// The pause after an attempt. The jitter is drawn from what failed, so that items which failed
/// alone spread, and a replay of the same history gives the same pauses.
fn backoff(retry: &Retry, attempts: u32, failed: &str) -> Duration {
    let backoff = Backoff::new(retry.backoff.get(), retry.max_backoff.get());
    let seed = Sha256::digest(failed.as_bytes());
    let seed = u64::from_be_bytes(seed[..8].try_into().expect("a digest has 32 bytes"));
    let mut jitter = Jitter::seeded(seed.wrapping_add(u64::from(attempts)));
    backoff.delay(u16::try_from(attempts).unwrap_or(u16::MAX), &mut jitter)
}

fn run_record(ended: &Ended, items: &[Item], warnings: Vec<String>) -> RunRecord {
    let fault = match &ended.verdict {
        Err(fault) => Some(fault),
        Ok(verdict) => verdict.items.iter().find_map(|item| item.as_ref().err()),
    };
    let mut counts = BTreeMap::new();
    for item in items {
        let outcome = item.share.as_ref().map_or_else(|fault| fault.reason, |_| SUCCEEDED);
        *counts.entry(outcome.to_owned()).or_insert(0) += 1;
    }
    RunRecord {
        run: 0,
        plugin: ended.plugin.accepted.resource.key.name.clone(),
        subscription: ended.subscription.to_string(),
        run_keys: ended.subjects.iter().map(|s| s.item.due.run_key.clone()).collect(),
        event_ids: ended.subjects.iter().map(|s| s.fact.event.id.clone()).collect(),
        started_at: ended.started,
        duration: ended.outcome.duration,
        outcome: fault.map_or_else(|| SUCCEEDED.to_owned(), |fault| fault.reason.to_owned()),
        message: fault.map_or_else(String::new, |fault| fault.message.clone()),
        stderr: tail(&ended.outcome.stderr.bytes, KEPT_OUTPUT),
        stdout_digest: hex::encode(Sha256::digest(&ended.outcome.stdout)),
        request: head(&ended.request, KEPT_BYTES),
        response: head(&ended.outcome.stdout, KEPT_BYTES),
        warnings,
        counts,
        exit: ended.outcome.exit.to_string(),
        executable_digest: ended.outcome.digest.map(|d| d.to_string()).unwrap_or_default(),
        shortened: ended.request.len().max(ended.outcome.stdout.len()) > KEPT_BYTES,
    }
}

fn head(bytes: &[u8], limit: usize) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned();
    if bytes.len() > limit {
        text.push_str("… (shortened)");
    }
    text
}

fn tail(bytes: &[u8], limit: usize) -> String {
    let from = bytes.len().saturating_sub(limit);
    let text = String::from_utf8_lossy(&bytes[from..]).into_owned();
    if from > 0 { format!("(shortened) …{text}") } else { text }
}

#[cfg(test)]
mod tests;
