//! The plan: what one subscription should do about one fact, now. Pure; reads values, returns
//! values.
//!
//! It is asked again after every change and at every deadline it names, and what it answers must
//! be right whatever happened in between: a part is wanted, or it is not; a run is due, or it is
//! not. Nobody tells it what changed.

use std::borrow::Cow;
use std::time::Duration;

use super::world::Fact;
use crate::api::Time;
use crate::api::fact::add;
use crate::api::kinds::federation::EventSubscriptionSpec;
use crate::api::part::{Part, RetireReason, Retiring};
use crate::api::run::{Work, run_key};

/// What there is.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Node time.
    pub now: Time,
    /// The subscription, if it exists.
    pub subscription: Option<Subscribed<'a>>,
    /// The fact, if it is known.
    pub fact: Option<Observed<'a>>,
    /// The work remembered.
    pub work: Option<&'a Work>,
    /// The part there is.
    pub part: Option<&'a Part>,
    /// The identity of the plugin's file, to tell a changed file from one that failed.
    pub executable: Option<&'a str>,
}

/// An existing subscription.
#[derive(Debug, Clone, Copy)]
pub struct Subscribed<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// Its spec.
    pub spec: &'a EventSubscriptionSpec,
    /// Whether its group exists.
    pub has_group: bool,
    /// The effect digest of its plugin, if that exists.
    pub effect: Option<&'a str>,
}

/// A known fact, as the subscription sees it.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The fact.
    pub fact: &'a Fact,
    /// When it ends.
    pub end: Time,
    /// Its end was seen to pass, whatever the clock says now.
    pub ended: bool,
    /// Whether the subscription matches it.
    pub matches: bool,
    /// When it was retracted for the subscription.
    pub retracted_at: Option<Time>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// With the part.
    pub part: PartStep,
    /// Whether the memory of the work is of no more use.
    pub forget_work: bool,
    /// Whether the memory of its failures is: there is nothing to run for.
    pub forget_failure: bool,
    /// The run that is due.
    pub run: Option<Due>,
    /// When the fact of a part that is wanted ends.
    pub wanted: Option<Time>,
    /// The end of the fact, if that is what took its reason from the part.
    pub ended: Option<Time>,
    /// When to ask again if nothing happens.
    pub wake: Option<Time>,
    /// A run failed and is tried again then: there is work at hand meanwhile.
    pub retry_at: Option<Time>,
    /// Whether the last run under the present key was given up.
    pub dead: bool,
}

/// What to do with a part.
#[derive(Debug, Clone, PartialEq)]
pub enum PartStep {
    /// Nothing.
    Keep,
    /// Write it as it is here.
    Put(Box<Part>),
    /// Take it away.
    Delete,
}

/// A run that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its key.
    pub run_key: String,
    /// The renewal number in the key.
    pub renewal: u64,
    /// The event it answers.
    pub event_id: String,
    /// A retry of something that failed: it has waited already.
    pub retry: bool,
}

impl Plan {
    fn nothing() -> Self {
        Self {
            part: PartStep::Keep,
            forget_work: false,
            forget_failure: false,
            run: None,
            wanted: None,
            ended: None,
            wake: None,
            retry_at: None,
            dead: false,
        }
    }
}

/// Plans.
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    match desire(inputs) {
        Desire::Wanted { subscription, observed, effect } => {
            keep(inputs, subscription, observed, effect)
        }
        Desire::Gone { reason, since } => retire(inputs, reason, since),
    }
}

enum Desire<'a> {
    Wanted { subscription: Subscribed<'a>, observed: Observed<'a>, effect: &'a str },
    Gone { reason: RetireReason, since: Time },
}

fn desire<'a>(inputs: &Inputs<'a>) -> Desire<'a> {
    let now = inputs.now;
    let gone = |reason, since: Time| Desire::Gone { reason, since: since.min(now) };
    let Some(subscription) = inputs.subscription else {
        return gone(RetireReason::SubscriptionDeleted, now);
    };
    if !subscription.has_group {
        return gone(RetireReason::GroupDeleted, now);
    }
    let Some(effect) = subscription.effect else { return gone(RetireReason::PluginDeleted, now) };
    let Some(observed) = inputs.fact else { return gone(RetireReason::FactExpired, now) };
    if !observed.matches {
        return gone(RetireReason::NoLongerMatches, now);
    }
    // Whichever came first took the reason away. A retraction counts when it is known, also one by
    // an observer whose clock is ahead.
    match observed.retracted_at {
        Some(at) if at <= observed.end => gone(RetireReason::FactRetracted, at),
        _ if observed.end <= now || observed.ended => gone(RetireReason::FactExpired, observed.end),
        Some(at) => gone(RetireReason::FactRetracted, at),
        None => Desire::Wanted { subscription, observed, effect },
    }
}

/// The part has lost its reason: it gets one durable write, lives out its grace, and goes.
fn retire(inputs: &Inputs<'_>, reason: RetireReason, since: Time) -> Plan {
    let mut plan = Plan::nothing();
    // A success is remembered while the same fact may match again; nothing else is.
    plan.forget_work = inputs.work.is_some_and(|work| {
        inputs.fact.is_none() || inputs.subscription.is_none_or(|s| s.uid != work.subscription_uid)
    });
    // What failed for a reason that is gone is nobody's concern: should the reason come back, it is
    // tried as on a node that never failed.
    plan.forget_failure =
        !plan.forget_work && inputs.work.is_some_and(|work| work.failing.is_some());
    let Some(part) = inputs.part else { return plan };
    if reason == RetireReason::FactExpired {
        plan.ended = inputs.fact.map(|fact| fact.end);
    }
    match retired(part, reason, since) {
        // What was over already stays over: a grace is for what was still served.
        retired if retired.expires_at <= inputs.now || !part.is_served(inputs.now) => {
            plan.part = PartStep::Delete;
        }
        retired => {
            plan.wake = Some(retired.expires_at);
            if let Cow::Owned(retired) = retired {
                plan.part = PartStep::Put(Box::new(retired));
            }
        }
    }
    plan
}

/// The part as it lives out its grace.
fn retired(part: &Part, reason: RetireReason, since: Time) -> Cow<'_, Part> {
    if part.retiring.is_some() {
        return Cow::Borrowed(part);
    }
    let (expires_at, retiring) = (add(since, part.grace), Some(Retiring { since, reason }));
    Cow::Owned(Part { expires_at, retiring, ..part.clone() })
}

/// The part is wanted: keep what is there true to its fact, and say whether a run is due.
fn keep(
    inputs: &Inputs<'_>,
    subscription: Subscribed<'_>,
    observed: Observed<'_>,
    effect: &str,
) -> Plan {
    let (now, fact) = (inputs.now, observed.fact);
    let grace = subscription.spec.retire.grace.get();
    let mut plan = Plan { wanted: Some(observed.end), ..Plan::nothing() };
    let mut wakes = vec![observed.end];
    let work = inputs.work.filter(|work| work.subscription_uid == subscription.uid);
    let renewal = work.map_or(0, Work::next_renewal);
    let key = run_key(subscription.uid, &fact.event.group, &fact.event.id, effect, renewal);
    let failing = work.and_then(|work| work.failing.as_ref()).filter(|f| f.run_key == key);
    // The part as it should be written, without a run.
    let part = inputs.part.map(|part| match failing {
        _ if is_of_effect(work, subscription.uid, part, effect) => {
            tended(part, fact, observed.end, grace, now)
        }
        // It was made under another rule, and the present one does not allow what is proposed: on a
        // node that never had the other rule there would be none. Once that is known a newer
        // observation, or another failure, gives it no new reason.
        _ if part.retiring.as_ref().is_some_and(|r| r.reason == RetireReason::NoLongerAllowed) => {
            Cow::Borrowed(part)
        }
        Some(failing) if NOT_ALLOWED.contains(&failing.reason.as_str()) => {
            retired(part, RetireReason::NoLongerAllowed, failing.last_at)
        }
        _ => tended(part, fact, observed.end, grace, now),
    });
    let part = part.filter(|part| part.is_served(now));
    match (&part, inputs.part) {
        (Some(Cow::Owned(new)), _) => plan.part = PartStep::Put(Box::new(new.clone())),
        (None, Some(_)) => plan.part = PartStep::Delete,
        _ => {}
    }
    if let Some(part) = &part {
        wakes.push(part.expires_at);
    }
    if work.is_some_and(|work| is_current(work, subscription.uid, fact, effect)) {
        match part.as_ref().map(|part| renew_at(part, observed.end)) {
            // It is there and nothing renews it: its fact's end is what caps it.
            Some(None) => return plan.waking(&wakes, now),
            Some(Some(at)) if now < at => {
                wakes.push(at);
                return plan.waking(&wakes, now);
            }
            // Its lifetime runs out, or it went.
            Some(Some(_)) | None => {}
        }
    }
    if let Some(failing) = failing {
        let is_over = failing.is_over(now, inputs.executable);
        if failing.dead && !is_over {
            plan.dead = true;
            return plan.waking(&wakes, now);
        }
        if !is_over {
            wakes.push(failing.not_before);
            plan.retry_at = (!subscription.spec.suspend).then_some(failing.not_before);
            return plan.waking(&wakes, now);
        }
    }
    if !subscription.spec.suspend {
        let event_id = fact.event.id.clone();
        plan.run = Some(Due { run_key: key, renewal, event_id, retry: failing.is_some() });
    }
    plan.waking(&wakes, now)
}

/// What an answer is refused for that the plugin's manifest does not allow.
const NOT_ALLOWED: &[&str] = &["NotCapable", "UnknownKind", "ForbiddenKind"];

/// Whether the run that made the part had this effect digest.
fn is_of_effect(work: Option<&Work>, uid: &str, part: &Part, effect: &str) -> bool {
    let last = work.and_then(|work| work.succeeded.as_ref());
    last.is_some_and(|last| {
        last.run_key == run_key(uid, &part.group, &part.event_id, effect, last.renewal)
    })
}

/// Whether what last succeeded is what would run now, and nobody asked for another run.
fn is_current(work: &Work, uid: &str, fact: &Fact, effect: &str) -> bool {
    work.succeeded.as_ref().is_some_and(|last| {
        let (group, event) = (&fact.event.group, &fact.event.id);
        work.renewal <= last.renewal
            && last.run_key == run_key(uid, group, event, effect, last.renewal)
    })
}

impl Plan {
    fn waking(mut self, at: &[Time], now: Time) -> Self {
        self.wake = at.iter().copied().filter(|at| *at > now).min();
        self
    }
}

/// The part with what follows from its fact brought up to date. It is asked for at every plan and
/// nearly always the same: only a part that changes is copied.
fn tended<'a>(part: &'a Part, fact: &Fact, end: Time, grace: Duration, now: Time) -> Cow<'a, Part> {
    let expires_at = if part.result_expires_at <= now {
        // Served beyond its result, so its fact revived in the grace: until a run renews it, it
        // keeps the end that it got when it retired. To take it away now would be the flapping
        // that the grace is there against.
        part.expires_at
    } else {
        expires_at(part.result_expires_at, end, grace)
    };
    let since = fact.since();
    let event_observed_at =
        if part.event_id == fact.event.id { fact.observed_at } else { part.event_observed_at };
    let same = part.retiring.is_none()
        && part.grace == grace
        && part.expires_at == expires_at
        && part.since == since
        && part.event_observed_at == event_observed_at;
    if same {
        return Cow::Borrowed(part);
    }
    let retiring = None;
    Cow::Owned(Part { event_observed_at, since, expires_at, grace, retiring, ..part.clone() })
}

/// When a part ends if nothing else happens: the result's own end; or, where the fact ends first,
/// the fact's end and the grace after it.
pub fn expires_at(result_expires_at: Time, fact_end: Time, grace: Duration) -> Time {
    if result_expires_at < fact_end { result_expires_at } else { add(fact_end, grace) }
}

/// When to renew: at two thirds of the lifetime, unless the fact's end is what caps it.
fn renew_at(part: &Part, fact_end: Time) -> Option<Time> {
    if part.result_expires_at >= fact_end {
        return None;
    }
    let lifetime = part.result_expires_at.duration_since(part.observed_at);
    let lifetime = Duration::try_from(lifetime).unwrap_or_default();
    Some(add(part.observed_at, lifetime * 2 / 3))
}

#[cfg(test)]
mod tests;
