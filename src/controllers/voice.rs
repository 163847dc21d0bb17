//! What the log says about runs: enough to know, never a flood.
//!
//! One plugin that fails for ten thousand events would bury everything else that happens. So each
//! subscription has so many lines a minute; what was left out is counted, and `get runs` has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::run::RunRecord;
use crate::plugin::Outcome;

/// Failed runs of one subscription that are logged in a minute.
const RUNS: u32 = 10;
/// Lines of stderr of one subscription's runs that are logged in a minute.
const LINES: u32 = 100;
/// How many lines of one run's stderr go to the log.
const LINES_OF_A_RUN: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// Subscriptions that are kept count of; more begin anew together.
const SUBSCRIPTIONS: usize = 10_000;

/// Speaks for the runs of all subscriptions.
#[derive(Debug, Default)]
pub struct Voice(Mutex<HashMap<Arc<str>, Said>>);

/// What was said about one subscription in this minute.
#[derive(Debug)]
struct Said {
    since: Instant,
    runs: Count,
    lines: Count,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    said: u32,
    omitted: u64,
}

impl Count {
    /// Whether one more may be said.
    fn take(&mut self, most: u32) -> bool {
        let may = self.said < most;
        if may {
            self.said += 1;
        } else {
            self.omitted += 1;
        }
        may
    }
}

impl Voice {
    /// What a run wrote to stderr.
    pub fn stderr(&self, subscription: &Arc<str>, run: &str, outcome: &Outcome) {
        let text = String::from_utf8_lossy(&outcome.stderr.bytes);
        let lines: Vec<&str> = text.lines().rev().take(LINES_OF_A_RUN).collect();
        for line in lines.into_iter().rev() {
            if self.may(subscription, |said| said.lines.take(LINES)) {
                tracing::info!(run, line, "plugin stderr");
            }
        }
    }

    /// A run that failed, once, with its reason; what it wrote to stderr stands before it.
    pub fn failure(&self, run: &RunRecord, given_up: u32) {
        let RunRecord { run: number, plugin, subscription, outcome, message, .. } = run;
        let events = run.event_ids.len();
        let name: Arc<str> = subscription.as_str().into();
        if self.may(&name, |said| said.runs.take(RUNS)) {
            tracing::warn!(
                run = number, %plugin, %subscription, reason = outcome, events, given_up,
                "a run failed: {message}"
            );
        }
    }

    fn may(&self, subscription: &Arc<str>, take: impl FnOnce(&mut Said) -> bool) -> bool {
        let now = Instant::now();
        let fresh = || Said { since: now, runs: Count::default(), lines: Count::default() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SUBSCRIPTIONS && !all.contains_key(subscription) {
            all.clear();
        }
        let said = all.entry(Arc::clone(subscription)).or_insert_with(fresh);
        if now.duration_since(said.since) >= MINUTE {
            let old = std::mem::replace(said, fresh());
            if old.runs.omitted + old.lines.omitted > 0 {
                tracing::warn!(
                    %subscription, runs = old.runs.omitted, lines = old.lines.omitted,
                    "more runs failed, and plugins wrote more, than was logged"
                );
            }
        }
        take(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_failures_a_minute_are_said_of_each_subscription_and_the_rest_is_counted() {
        let voice = Voice::default();
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let ask = |name: &Arc<str>| voice.may(name, |said| said.runs.take(RUNS));
        assert_eq!((0..1_000).filter(|_| ask(&one)).count(), 10);
        assert!(ask(&other), "another subscription has its own lines");
        assert_eq!(voice.0.lock().unwrap()[&one].runs.omitted, 990);
        tokio::time::sleep(Duration::from_millis(59_999)).await;
        assert!(!ask(&one));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(ask(&one), "a new minute");
    }
}
