//! What the runs of each plugin came to since the daemon started. In memory: the records of runs
//! are kept in the store, these only add them up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::plugin::{Exit, Outcome};

/// Of one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Runs that ended, stopped ones of a shutdown left out.
    pub runs: u64,
    /// The same by outcome: `Succeeded`, or the reason of the failure.
    pub outcomes: BTreeMap<String, u64>,
    /// Runs that had to be ended, or that left a process behind which had to be.
    pub killed: u64,
    /// Times that the host could not run it. No runs.
    pub host_failures: u64,
    /// How long all of them took together.
    pub total: Duration,
    /// How long the longest took.
    pub longest: Duration,
}

/// Of all plugins. One entry for each name that ever ran; names are the operator's.
#[derive(Debug, Default)]
pub struct Counters(Mutex<HashMap<Arc<str>, RunCounts>>);

impl Counters {
    /// Counts a run that ended.
    pub fn ran(&self, plugin: &str, outcome: &str, run: &Outcome) {
        self.count(plugin, |counts| {
            counts.runs += 1;
            *counts.outcomes.entry(outcome.to_owned()).or_insert(0) += 1;
            let ended = matches!(run.exit, Exit::TimedOut | Exit::OutputTooLarge);
            counts.killed += u64::from(ended || run.pipes_held);
            counts.total += run.duration;
            counts.longest = counts.longest.max(run.duration);
        });
    }

    /// Counts a start that the host refused or could not make.
    pub fn host_failed(&self, plugin: &str) {
        self.count(plugin, |counts| counts.host_failures += 1);
    }

    /// Of one plugin; zeros if it never ran.
    pub fn of(&self, plugin: &str) -> RunCounts {
        self.lock().get(plugin).cloned().unwrap_or_default()
    }

    fn count(&self, plugin: &str, add: impl FnOnce(&mut RunCounts)) {
        let mut all = self.lock();
        match all.get_mut(plugin) {
            Some(counts) => add(counts),
            None => add(all.entry(plugin.into()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, RunCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::StderrTail;
    use bytes::Bytes;

    #[test]
    fn runs_add_up_by_plugin_and_outcome() {
        let run = |exit, pipes_held, millis| Outcome {
            exit,
            pipes_held,
            duration: Duration::from_millis(millis),
            stdout: Bytes::new(),
            stderr: StderrTail::default(),
            digest: None,
            warnings: Vec::new(),
            lease: None,
        };
        let counters = Counters::default();
        counters.ran("p", "Succeeded", &run(Exit::Code(0), false, 5));
        counters.ran("p", "Succeeded", &run(Exit::Code(0), true, 7));
        counters.ran("p", "TimedOut", &run(Exit::TimedOut, false, 90));
        counters.host_failed("p");
        let counts = counters.of("p");
        assert_eq!((counts.runs, counts.killed, counts.host_failures), (3, 2, 1));
        assert_eq!(counts.outcomes["Succeeded"], 2);
        assert_eq!((counts.total.as_millis(), counts.longest.as_millis()), (102, 90));
        assert_eq!(counters.of("q"), RunCounts::default());
    }
}
