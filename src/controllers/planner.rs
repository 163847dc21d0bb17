//! The planner: one reconcile for each (subscription, fact).
//!
//! It reads the world, asks [`plan`], writes what the plan says about the part, and hands a due run
//! to the dispatcher. It never runs anything itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::dispatch::{Item, Windows};
use super::part_status;
use super::plan::{Inputs, Observed, PartStep, Plan, Subscribed, plan};
use super::runner::PluginSlot;
use super::world::{Fact, SubFact, Subscription, World};
use crate::api::Time;
use crate::api::fact::{FactId, add};
use crate::api::part::Part;
use crate::api::run::Work;
use crate::runtime::{Action, Failure, Reconciler, TriggerSender};
use crate::store::facts::{find, put_fact};
use crate::store::tables::FactRow;
use crate::store::{StoreError, Txn, WriteError};

/// Reconciles (subscription, fact) pairs.
pub struct Planner {
    shared: Arc<Shared>,
    slots: TriggerSender<PluginSlot>,
}

/// Why a plan was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The store did not take the write.
    #[error("cannot write the plan")]
    Write(#[from] WriteError<StoreError>),
}

/// How long the write of a part waits for a run that is about to replace it.
const SOON: Duration = Duration::from_secs(1);

/// What a plan was made from and what it says.
pub struct Looked {
    /// What to do.
    pub plan: Plan,
    /// The part there is.
    pub part: Option<Arc<Part>>,
    /// The fact, if it is known.
    pub fact: Option<Arc<Fact>>,
    work: Option<Arc<Work>>,
    subscription: Option<Arc<Subscription>>,
    /// How long the part's fact lives where its event has no expiry.
    max_age: Duration,
    now: Time,
}

impl Looked {
    /// Whether there is something to write.
    fn writes(&self) -> bool {
        self.plan.part != PartStep::Keep || self.plan.forget_work || self.plan.forget_failure
    }

    /// Whether the write is only about a part that a due run replaces, and can wait for that: the
    /// part does not end meanwhile.
    fn can_wait(&self) -> bool {
        let lasts = self.part.as_ref().is_some_and(|p| p.expires_at > add(self.now, 2 * SOON));
        let put = matches!(self.plan.part, PartStep::Put(_));
        put && lasts && self.plan.run.is_some()
    }

    /// Whether the intent of the due run is written. It may be being synced.
    pub fn is_intended(&self) -> bool {
        let intent = self.work.as_ref().and_then(|work| work.intent.as_ref());
        let due = self.plan.run.as_ref();
        intent.zip(due).is_some_and(|(intent, due)| intent.run_key == due.run_key)
    }

    /// The uid of the subscription.
    pub fn subscription_uid(&self) -> Option<&str> {
        self.subscription.as_ref().map(|subscription| subscription.accepted.uid.as_str())
    }

    /// Writes what the plan says, unless the rows it was made from have changed since: then their
    /// change triggers the next plan.
    fn carry_out(&self, txn: &mut Txn<'_>, key: &SubFact) -> Result<(), StoreError> {
        let row = (key.subscription.to_string(), key.fact);
        let Self { plan, part, work, .. } = self;
        let (now, planned) = (txn.get::<Work>(&row)?, work.as_deref());
        let same_work = match (&now, planned) {
            // Each newer event writes its intent there: a part must not wait until they pause.
            (Some(now), Some(planned)) if !plan.forget_work => {
                now.is_same_but_for_the_intent(planned)
            }
            _ => now.as_ref() == planned,
        };
        if !same_work || txn.get::<Part>(&row)?.as_ref() != part.as_deref() {
            return Ok(());
        }
        let ends = match &plan.part {
            PartStep::Keep => false,
            PartStep::Put(part) => part.retiring.is_some(),
            PartStep::Delete => true,
        };
        if ends && self.is_overtaken(txn, &key.fact)? {
            return Ok(());
        }
        match &plan.part {
            PartStep::Keep => {}
            PartStep::Put(part) => txn.put(&**part)?,
            PartStep::Delete => {
                txn.delete::<Part>(&row)?;
                if let Some(part) = part {
                    part_status::forget(txn, part)?;
                }
            }
        }
        match now.filter(|_| plan.forget_work || plan.forget_failure) {
            Some(work) if !plan.forget_work && work.is_worth_keeping() => {
                txn.put(&Work { failing: None, ..work })?;
            }
            Some(_) => txn.delete::<Work>(&row)?,
            None => {}
        }
        // In one transaction: once the part retires, no clock brings the fact back.
        if let Some((end, fact)) = plan.ended.zip(self.fact.as_ref()) {
            record_end(txn, &row.1, fact.seq, end)?;
        }
        Ok(())
    }
}

impl Looked {
    /// Whether the store has another observation of the fact, or another end of it, than the world
    /// that this was planned in: it may be what keeps the part.
    fn is_overtaken(&self, txn: &Txn<'_>, fact: &FactId) -> Result<bool, StoreError> {
        let Some(row) = find(txn, fact)? else { return Ok(false) };
        let stored = (row.seq, row.observed_at, row.expires_at);
        match &self.fact {
            Some(known) => Ok((known.seq, known.observed_at, known.event.expires_at) != stored),
            // The world has let it go, or has yet to hear of it.
            None => Ok(!row.is_ended(self.max_age)),
        }
    }
}

impl Planner {
    /// A planner that hands due runs to `slots`.
    pub fn new(shared: Arc<Shared>, slots: TriggerSender<PluginSlot>) -> Self {
        Self { shared, slots }
    }

    async fn write(&self, key: &SubFact, looked: Looked) -> Result<(), PlanError> {
        let key = key.clone();
        self.shared.store.write(move |txn| looked.carry_out(txn, &key)).await?;
        Ok(())
    }

    /// Hands a due run on. Returns whether it is the first of its fact at hand, and not to be waited
    /// for.
    fn dispatch(&self, key: &SubFact, looked: &Looked) -> bool {
        let (Some(due), Some(subscription), Some(fact)) =
            (&looked.plan.run, &looked.subscription, &looked.fact)
        else {
            self.shared.dispatch().forget(key);
            return false;
        };
        let trigger = &subscription.spec.trigger;
        let plugin: Arc<str> = trigger.plugin_ref.as_str().into();
        let windows =
            Windows { debounce: trigger.debounce.get(), batch_window: trigger.batch_window.get() };
        let failing = looked.work.as_ref().and_then(|work| work.failing.as_ref());
        let item = Item {
            fact: key.fact,
            due: due.clone(),
            subject: subject_of(fact),
            cohort: failing.filter(|f| f.run_key == due.run_key).and_then(|f| f.cohort.clone()),
        };
        let concurrency =
            self.shared.world().objects.plugin(&plugin).map_or(1, |p| p.spec.concurrency);
        let mut dispatch = self.shared.dispatch();
        let is_news = windows == Windows::default() && !dispatch.has(key);
        if dispatch.want(&key.subscription, &plugin, windows, item, Instant::now()) {
            // All slots busy: the one that ends first looks again by itself.
            if let Some(slot) = dispatch.idle_slot(&plugin, concurrency) {
                drop(dispatch);
                self.slots.related(PluginSlot { plugin, slot });
            }
        }
        is_news
    }
}

/// Puts it on record that the observation `seq` of a fact was seen to end.
pub(super) fn record_end(
    txn: &mut Txn<'_>,
    fact: &FactId,
    seq: u64,
    end: Time,
) -> Result<(), StoreError> {
    match find(txn, fact)? {
        Some(row) if row.seq == seq && row.ended.is_none_or(|seen| seen < end) => {
            put_fact(txn, Some(&row), FactRow { ended: Some(end), ..row.clone() })
        }
        _ => Ok(()),
    }
}

/// Plans for `key` from what the world holds.
fn look(
    world: &World,
    key: &SubFact,
    now: Time,
    identify: impl Fn(&str) -> Option<String>,
) -> Looked {
    let dealing = world.dealing(key);
    let fact = world.facts.get(&key.fact).cloned();
    let subscription = world.objects.subscription(&key.subscription).cloned();
    let plugin =
        subscription.as_ref().and_then(|s| world.objects.plugin(&s.spec.trigger.plugin_ref));
    let dead = dealing.work.as_ref().is_some_and(|w| w.failing.as_ref().is_some_and(|f| f.dead));
    let executable = plugin.filter(|_| dead).and_then(|p| identify(&p.spec.executable));
    let inputs = Inputs {
        now,
        subscription: subscription.as_ref().map(|s| Subscribed {
            uid: &s.accepted.uid,
            spec: &s.spec,
            has_group: world.objects.group(&s.spec.group_ref).is_some(),
            effect: plugin.map(|p| p.effect.as_str()),
        }),
        fact: fact.as_ref().map(|fact| Observed {
            fact,
            end: fact.end(world.objects.max_age(&fact.event.group)),
            ended: fact.is_ended(world.objects.max_age(&fact.event.group)),
            matches: world
                .objects
                .matcher
                .get(&key.subscription)
                .is_some_and(|m| m.matches(&fact.event)),
            retracted_at: subscription
                .as_ref()
                .and_then(|s| world.facts.retracted_at(fact, &s.spec.r#match.retract_types)),
        }),
        work: dealing.work.as_deref(),
        part: dealing.part.as_deref(),
        executable: executable.as_deref(),
    };
    let plan = plan(&inputs);
    let group = dealing.part.as_ref().map_or("", |part| part.group.as_str());
    let max_age = world.objects.max_age(group);
    Looked { plan, part: dealing.part, work: dealing.work, fact, subscription, max_age, now }
}

/// Plans for `key` as the world is now; for those who must know whether a run is still due.
pub fn plan_now(shared: &Shared, key: &SubFact) -> Looked {
    let world = shared.world();
    look(&world, key, shared.clock.now(), |path| (shared.identify)(path))
}

/// What runs may not overlap about: the subject, or the fact itself where there is none.
fn subject_of(fact: &Fact) -> Arc<str> {
    if fact.event.subject.is_empty() {
        fact.id.to_string().into()
    } else {
        fact.event.subject.as_str().into()
    }
}

/// When to plan again.
fn wait(plan: &Plan, now: Time) -> Action {
    let Some(wake) = plan.wake else { return Action::AwaitChange };
    // Timers round up. Should node time lag behind them, the next look waits for the rest.
    let wait = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
    match plan.retry_at {
        Some(_) => Action::HoldFor(wait),
        None => Action::RequeueAfter(wait),
    }
}

impl Reconciler for Planner {
    type Key = SubFact;
    type Error = PlanError;

    async fn reconcile(&self, key: &SubFact) -> Result<Action, PlanError> {
        let looked = plan_now(&self.shared, key);
        let wait = wait(&looked.plan, looked.now);
        let starts = self.dispatch(key, &looked);
        if starts && looked.can_wait() {
            // The next look writes, for then the run is no news.
            return Ok(Action::HoldFor(SOON));
        }
        if looked.writes() {
            fail::fail_point!("planner::before_write");
            self.write(key, looked).await?;
        }
        Ok(wait)
    }

    fn classify(&self, _: &PlanError) -> Failure {
        Failure::Retry
    }
}

#[cfg(test)]
mod tests;
