//! The runner: one reconcile for each slot of a plugin. Takes the next batch, sees to its intents,
//! runs the plugin, judges the answer, writes the outcome.
//!
//! The intent is durable before the plugin starts; parts, work and the run's record are one
//! transaction after it ended. A crash in between runs the plugin again under the same run key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod room;
mod trouble;

use self::room::Further;
pub use self::room::MAX_RUNS;
use self::trouble::HostTrouble;
use super::Shared;
use super::dispatch::{Item, Pick};
use super::outcome::{Ended, Kept, record};
use super::plan::Due;
use super::planner::plan_now;
use super::process::{run_spec, verdict};
use super::request::{Subject, batch_key, request};
use super::voice::Voice;
use super::world::{Plugin, SubFact};
use crate::api::Time;
use crate::api::fact::FactId;
use crate::api::kinds::plugin::Protocol;
use crate::api::object::ObjectKey;
use crate::api::run::{Intent, Work};
use crate::plugin::{Exit, HostError, Spawner, TrustWarning, WarmSpec};
use crate::runtime::{Action, Backoff, Failure, Jitter, Reconciler, TriggerSender};
use crate::store::facts::{Lookup, find};
use crate::store::{StoreError, WriteError};

/// One of the runs that a plugin may have at the same time.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PluginSlot {
    /// The Plugin's name.
    pub plugin: Arc<str>,
    /// From 0 to `spec.concurrency` - 1.
    pub slot: u32,
}

impl std::fmt::Debug for PluginSlot {
    /// As `status` and logs call it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.plugin, self.slot)
    }
}

/// Whether the host can run a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The version of the Plugin that was tried.
    pub version: Version,
    /// It could when it last tried.
    pub ready: bool,
    /// CamelCase word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// A version of a plugin: a Plugin that was deleted and made anew counts from 1 again.
pub type Version = (String, u64);

/// Runs plugins.
pub struct Runner {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
    slots: TriggerSender<PluginSlot>,
    plans: TriggerSender<SubFact>,
    conditions: TriggerSender<ObjectKey>,
    cancel: CancellationToken,
    backoff: Backoff,
    jitter: Mutex<Jitter>,
    trouble: Mutex<HashMap<Arc<str>, HostTrouble>>,
    further: Mutex<Further>,
    /// Which runs are recorded.
    runs: Mutex<Kept>,
    voice: Voice,
}

/// Why a batch did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store did not take the intent or the outcome.
    #[error("cannot write the run")]
    Write(#[from] WriteError<StoreError>),
    /// The store could not be read.
    #[error("cannot read the runs")]
    Read(#[from] StoreError),
}

/// What to do when a batch is over.
enum Next {
    /// Nothing ran: it was no longer due, or the daemon stops.
    Nothing,
    /// A run ended, and its outcome is stored.
    Ended {
        /// Whether the answer could be read.
        answered: bool,
        /// What was put up with when its file was checked.
        warnings: Vec<TrustWarning>,
    },
    HostFailed(HostError),
}

impl Runner {
    /// A runner on `spawner`; `cancel` stops plugins when the daemon stops.
    pub fn new(
        shared: Arc<Shared>,
        spawner: Arc<dyn Spawner>,
        slots: TriggerSender<PluginSlot>,
        plans: TriggerSender<SubFact>,
        conditions: TriggerSender<ObjectKey>,
        cancel: CancellationToken,
    ) -> Result<Self, RunError> {
        let recorded = Kept::of(&shared.store)?;
        Ok(Self {
            shared,
            spawner,
            slots,
            plans,
            conditions,
            cancel,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            jitter: Mutex::new(Jitter::seeded(0)),
            trouble: Mutex::default(),
            further: Mutex::default(),
            runs: Mutex::new(recorded),
            voice: Voice::default(),
        })
    }

    async fn run_batch(
        &self,
        plugin: &Arc<Plugin>,
        subscription: &Arc<str>,
        items: &[Item],
    ) -> Result<Next, RunError> {
        let Some(uid) =
            self.shared.world().objects.subscription(subscription).map(|s| s.accepted.uid.clone())
        else {
            return Ok(Next::Nothing);
        };
        let due = self.still_due(subscription, &uid, items);
        let subjects = self.intend(plugin, subscription, &uid, due).await?;
        if subjects.is_empty() {
            return Ok(Next::Nothing);
        }
        let name = plugin.accepted.resource.key.name.as_str();
        let started = self.shared.clock.now();
        let asked = request(name, subscription, &subjects, started);
        let stdin = serde_json::to_vec(&asked).expect("a request is plain data");
        let key = batch_key(&subjects);
        let mut spec = run_spec(name, &plugin.spec, &key, Bytes::from(stdin.clone()));
        spec.warm = warm_version(plugin).map(|version| WarmSpec { pool: name.to_owned(), version });
        let run_label = spec.label.clone();
        let mut outcome = match self.spawner.run(spec, self.cancel.clone()).await {
            Ok(outcome) if outcome.exit == Exit::Cancelled => return Ok(Next::Nothing),
            Ok(outcome) => outcome,
            Err(error) => return Ok(Next::HostFailed(error)),
        };
        self.voice.stderr(subscription, &run_label, &outcome);
        let warnings = outcome.warnings.clone();
        let ended_at = self.shared.clock.now();
        let ids: Vec<&str> = subjects.iter().map(|s| s.fact.event.id.as_str()).collect();
        let verdict = verdict(&outcome, &plugin.spec, &ids, (started, ended_at));
        // A process whose answer was none is not asked again.
        if let (Some(lease), Ok(_)) = (outcome.lease.take(), &verdict) {
            lease.keep();
        }
        let answered = verdict.is_ok();
        let ended = Ended {
            plugin: Arc::clone(plugin),
            subscription: Arc::clone(subscription),
            subscription_uid: uid,
            subjects,
            request: stdin,
            outcome,
            verdict,
            started,
            ended: ended_at,
            executable: (self.shared.identify)(&plugin.spec.executable),
        };
        record(&self.shared, ended, &self.runs, &self.voice).await?;
        Ok(Next::Ended { answered, warnings })
    }

    /// The items that the planner would still run, with their facts.
    fn still_due(&self, subscription: &Arc<str>, uid: &str, items: &[Item]) -> Vec<Wanted> {
        let mut subjects = Vec::with_capacity(items.len());
        for item in items {
            let key = SubFact { subscription: Arc::clone(subscription), fact: item.fact };
            let looked = plan_now(&self.shared, &key);
            let is_of_uid = looked.subscription_uid() == Some(uid);
            let (Some(due), Some(fact), true) = (&looked.plan.run, &looked.fact, is_of_uid) else {
                // Due no more, or not yet again: whoever asked for it thought it in hand, and nobody
                // else knows when it will be.
                self.plans.related(key);
                continue;
            };
            // The newest observation runs, whichever was asked for first.
            let item = Item { due: due.clone(), ..item.clone() };
            let previous_generation = looked.part.as_ref().map_or(0, |part| part.generation);
            let subject = Subject { item, fact: Arc::clone(fact), previous_generation };
            subjects.push(Wanted { subject, is_intended: looked.is_intended() });
        }
        subjects
    }

    /// Sees to it that the intents are durable; most were written with their events. What the store
    /// says counts, for the world may not have taken it in yet: a run that succeeded or failed just
    /// now, or whose event is no longer the newest, is left out.
    async fn intend(
        &self,
        plugin: &Plugin,
        subscription: &Arc<str>,
        uid: &str,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Subject>, RunError> {
        let stand = Stand {
            subscription: subscription.to_string(),
            uid: uid.to_owned(),
            now: self.shared.clock.now(),
            executable: (self.shared.identify)(&plugin.spec.executable),
        };
        let mut kept = Vec::with_capacity(wanted.len());
        if wanted.is_empty() {
            return Ok(kept);
        }
        if wanted.iter().all(|wanted| wanted.is_intended) {
            // The intents, and all else that says that the runs are due.
            self.shared.store.settled().await?;
            for Wanted { subject, .. } in wanted {
                let intent = stand.work(&self.shared.store, &subject)?.and_then(|work| work.intent);
                if intent.is_some_and(|intent| intent.run_key == subject.item.due.run_key) {
                    kept.push(subject);
                }
            }
        } else {
            let intended = self.shared.store.write(move |txn| {
                for Wanted { subject, .. } in wanted {
                    let Some(mut work) = stand.work(txn, &subject)? else { continue };
                    let run_key = &subject.item.due.run_key;
                    if work.intent.as_ref().is_none_or(|intent| intent.run_key != *run_key) {
                        work.intent = Some(Intent { run_key: run_key.clone(), at: stand.now });
                    }
                    txn.put(&work)?;
                    kept.push(subject);
                }
                Ok::<_, StoreError>(kept)
            });
            kept = intended.await?.value;
        }
        fail::fail_point!("runner::after_intent");
        Ok(kept)
    }

    /// A plan made while a run was under way asked for nothing, because it found it so: what is due
    /// by now, a retry for instance, would be forgotten.
    fn plan_again(&self, subscription: &Arc<str>, facts: Vec<FactId>) {
        for fact in facts {
            self.plans.related(SubFact { subscription: Arc::clone(subscription), fact });
        }
    }
}

/// A run that is about to start.
struct Wanted {
    subject: Subject,
    /// Whether its intent is written; it may be being synced.
    is_intended: bool,
}

/// How runs that are about to start stand with the store.
struct Stand {
    subscription: String,
    uid: String,
    now: Time,
    executable: Option<String>,
}

impl Stand {
    /// The work as it is stored; `None` if the run is no longer due.
    fn work<L: Lookup>(&self, rows: &L, subject: &Subject) -> Result<Option<Work>, StoreError> {
        let (fact, due): (_, &Due) = (subject.item.fact, &subject.item.due);
        let newest = find(rows, &fact)?;
        if newest.is_none_or(|row| row.event_id != due.event_id) {
            return Ok(None);
        }
        let old = rows.row::<Work>(&(self.subscription.clone(), fact))?;
        let old = old.filter(|work| work.subscription_uid == self.uid);
        let work = old.unwrap_or_else(|| Work::new(&self.subscription, fact, &self.uid));
        // It succeeded meanwhile, or an operator asked for another run.
        if due.renewal < work.next_renewal() {
            return Ok(None);
        }
        let failed = work.failing.as_ref().filter(|failed| failed.run_key == due.run_key);
        let failed =
            failed.is_some_and(|failed| !failed.is_over(self.now, self.executable.as_deref()));
        Ok((!failed).then_some(work))
    }
}

/// What a warm process of the plugin is made of; `None` where each run has a process of its own.
/// Any change of the spec makes another, so nothing that was changed is ever still in force.
fn warm_version(plugin: &Plugin) -> Option<String> {
    let Plugin { accepted, spec, .. } = plugin;
    let stream = spec.protocol == Protocol::Stream;
    stream.then(|| format!("{}/{}", accepted.uid, accepted.generation))
}

/// A batch that was taken from the dispatcher. However the run ends, its subjects become free
/// again; unless it was completed, its items go back.
struct Taken<'a> {
    runner: &'a Runner,
    plugin: &'a Arc<str>,
    subscription: Arc<str>,
    items: Vec<Item>,
    completed: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut dispatch = self.runner.shared.dispatch();
        let (next, asked) = dispatch.finish(&self.subscription, &self.items);
        // Who asked for what was under way has to ask again, should nothing have come of it.
        self.runner.plan_again(&self.subscription, asked);
        if let Some(plugin) = next.filter(|plugin| plugin != self.plugin) {
            self.runner.slots.related(PluginSlot { plugin, slot: 0 });
        }
        if self.completed {
            return;
        }
        let items = std::mem::take(&mut self.items);
        dispatch.put_back(&self.subscription, self.plugin, items, Instant::now());
    }
}

/// A slot that has a batch, so that due work is offered to the others. It looks again when it is
/// done, so nobody has to wake it.
struct Running<'a>(&'a Shared, &'a PluginSlot);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.dispatch().set_running(&self.1.plugin, self.1.slot, false);
    }
}

impl Reconciler for Runner {
    type Key = PluginSlot;
    type Error = RunError;

    async fn reconcile(&self, key: &PluginSlot) -> Result<Action, RunError> {
        let plugin = self.shared.world().objects.plugin(&key.plugin).cloned();
        let version = plugin.as_deref().and_then(warm_version);
        self.spawner.keep_warm(&key.plugin, version.as_deref());
        let Some(plugin) = plugin else {
            self.pass_on(key);
            return Ok(Action::AwaitChange);
        };
        let concurrency = plugin.spec.concurrency;
        if key.slot >= concurrency {
            // What waited for a subject that ran here until now is left to the slots there are.
            self.slots.related(PluginSlot { plugin: Arc::clone(&key.plugin), slot: 0 });
            self.pass_on(key);
            return Ok(Action::AwaitChange);
        }
        let version = (plugin.accepted.uid.clone(), plugin.accepted.generation);
        if let Some(held) = self.held_back(&key.plugin, &version) {
            self.pass_on(key);
            return Ok(held);
        }
        let Some(_room) = self.room_for(key) else { return Ok(Action::AwaitChange) };
        let max = usize::try_from(plugin.spec.batch.max_events).unwrap_or(1);
        let (pick, idle) = {
            let mut dispatch = self.shared.dispatch();
            let pick = dispatch.pick(&key.plugin, max, Instant::now());
            // In the same breath as the pick: a slot that found nothing must count as idle before
            // the next run is wanted, or nobody would look for that one.
            dispatch.set_running(&key.plugin, key.slot, matches!(pick, Pick::Batch { .. }));
            (pick, dispatch.idle_slot(&key.plugin, concurrency))
        };
        let (subscription, items) = match pick {
            Pick::Idle => return Ok(Action::AwaitChange),
            Pick::Wait(at) => {
                return Ok(Action::HoldFor(at.saturating_duration_since(Instant::now())));
            }
            Pick::Batch { subscription, items, more } => {
                if let Some(slot) = idle.filter(|_| more) {
                    self.slots.related(PluginSlot { plugin: Arc::clone(&key.plugin), slot });
                }
                (subscription, items)
            }
        };
        let _running = Running(&self.shared, key);
        let mut taken = Taken {
            runner: self,
            plugin: &key.plugin,
            subscription: Arc::clone(&subscription),
            items,
            completed: false,
        };
        match self.run_batch(&plugin, &subscription, &taken.items).await? {
            Next::HostFailed(error) => Ok(self.host_failed(&key.plugin, version, &error)),
            next => {
                taken.completed = true;
                let facts: Vec<_> = taken.items.iter().map(|item| item.fact).collect();
                drop(taken);
                // What was left out because the world has yet to hear of something is planned when it
                // has; to plan it now would be to go in circles.
                if let Next::Ended { answered, warnings } = next {
                    self.host_worked(&key.plugin, version, answered, &warnings);
                    self.plan_again(&subscription, facts);
                }
                // There may be more; the look is cheap, and a slot never sleeps on work.
                Ok(Action::HoldFor(Duration::ZERO))
            }
        }
    }

    fn classify(&self, _: &RunError) -> Failure {
        Failure::Retry
    }
}

#[cfg(test)]
mod tests;
