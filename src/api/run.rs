//! Runs: what makes one run different from another, and what is remembered of each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Time;
use super::event::feed;
use super::fact::FactId;
use super::kinds::plugin::PluginSpec;
use super::stored_time;

/// Digest of what shapes a plugin's result: name, executable, args, env, sha256, capabilities,
/// produces and protocol. Timeouts, retries and concurrency are not in it, so that changing them
/// runs nothing again.
pub fn effect_digest(plugin: &str, spec: &PluginSpec) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, plugin);
    feed(&mut hash, &spec.executable);
    let mut list = |label: &str, items: &mut dyn Iterator<Item = String>| {
        feed(&mut hash, label);
        let items: Vec<String> = items.collect();
        hash.update((items.len() as u64).to_be_bytes());
        items.iter().for_each(|item| feed(&mut hash, item));
    };
    list("args", &mut spec.args.iter().cloned());
    list("env", &mut spec.env.iter().flat_map(|(k, v)| [k.clone(), v.clone()]));
    list("sha256", &mut spec.sha256.iter().cloned());
    // A set, not a list: writing the same capabilities in another order changes nothing.
    let mut capabilities: Vec<String> =
        spec.capabilities.iter().map(|c| c.as_str().to_owned()).collect();
    capabilities.sort();
    list("capabilities", &mut capabilities.into_iter());
    let mut produces: Vec<String> =
        spec.produces.iter().map(|p| format!("{}/{}", p.api_version, p.kind)).collect();
    produces.sort();
    list("produces", &mut produces.into_iter());
    list("protocol", &mut std::iter::once(spec.protocol.as_str().to_owned()));
    hex::encode(hash.finalize())
}

/// The key under which a run happens at most once successfully.
pub fn run_key(
    subscription_uid: &str,
    group: &str,
    event_id: &str,
    effect: &str,
    renewal: u64,
) -> String {
    let mut hash = Sha256::new();
    for part in [subscription_uid, group, event_id, effect] {
        feed(&mut hash, part);
    }
    hash.update(renewal.to_be_bytes());
    hex::encode(&hash.finalize()[..16])
}

/// What is remembered of one subscription's work on one fact. It holds the durable intent
/// until its run has ended, and the memory of success and failure between runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// The EventSubscription's name.
    pub subscription: String,
    /// The fact.
    pub fact: FactId,
    /// The uid that the rest speaks of; another one makes it void.
    pub subscription_uid: String,
    /// The least number that the next run's key may have; a rerun raises it above the last success.
    pub renewal: u64,
    /// The run that is to come, is under way, or was interrupted by a crash.
    pub intent: Option<Intent>,
    /// The run that last succeeded.
    pub succeeded: Option<Success>,
    /// Failures since the last success, by the key that failed.
    pub failing: Option<Failing>,
}

/// The run that last succeeded. What makes the next run necessary (a renewal, another effect, a
/// rerun) gives it the next number, so that no key that succeeded ever comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Success {
    /// The run key.
    pub run_key: String,
    /// The renewal number in the key.
    pub renewal: u64,
}

/// The durable intent to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The run key.
    pub run_key: String,
    /// When it was written.
    #[serde(with = "stored_time")]
    pub at: Time,
}

/// The memory of failed attempts under one run key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// The key that failed; another key starts afresh.
    pub run_key: String,
    /// Attempts that ran this item alone and failed.
    pub attempts: u32,
    /// Since when it has been failing.
    #[serde(with = "stored_time")]
    pub since: Time,
    /// When it last failed.
    #[serde(with = "stored_time")]
    pub last_at: Time,
    /// Not to run again before this.
    #[serde(with = "stored_time")]
    pub not_before: Time,
    /// CamelCase word for programs: `ExitCode`, `TimedOut`, `BadResult` …
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The end of what the plugin wrote to stderr.
    pub stderr: String,
    /// The run that failed last, for `get runs`.
    pub run: u64,
    /// While a failed batch is being halved: which items run together.
    pub cohort: Option<Cohort>,
    /// Given up until `retry`, a new observation or a changed plugin file.
    pub dead: bool,
    /// The identity of the plugin's file when it was given up.
    pub executable: Option<String>,
}

/// Items of a failed batch that are retried together until the poison stands alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cohort {
    /// The run that failed.
    pub run: u64,
    /// Which part of its items, from 0: items of equal cohorts run together.
    pub place: u32,
}

/// The outcome of a run in which nothing failed.
pub const SUCCEEDED: &str = "Succeeded";

/// One finished run, kept for people and for replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Number of the run on this node.
    pub run: u64,
    /// The plugin.
    pub plugin: String,
    /// The subscription.
    pub subscription: String,
    /// The run keys of its items, in order.
    pub run_keys: Vec<String>,
    /// The events of its items, in order.
    pub event_ids: Vec<String>,
    /// When it started.
    #[serde(with = "stored_time")]
    pub started_at: Time,
    /// How long it took.
    pub duration: Duration,
    /// How it ended: [`SUCCEEDED`], or the reason of the failure.
    pub outcome: String,
    /// What failed, for people.
    pub message: String,
    /// The end of stderr.
    pub stderr: String,
    /// Digest of stdout.
    pub stdout_digest: String,
    /// What the plugin was sent, up to a limit.
    pub request: String,
    /// What it answered, up to a limit.
    pub response: String,
    /// What the result carried that is not known, tolerated and reported.
    pub warnings: Vec<String>,
    /// Resources, directives and plans per outcome, for a summary.
    pub counts: BTreeMap<String, u64>,
    /// How the process ended, or that it lives on.
    #[serde(default)]
    pub exit: String,
    /// SHA-256 of the executable in hex, where the Plugin pins one.
    #[serde(default)]
    pub executable_digest: String,
    /// The request or the answer was over its limit, so that the run cannot be run again.
    #[serde(default)]
    pub shortened: bool,
}

impl Failing {
    /// Whether it may be tried again: the pause is over, or the plugin's file is another one than
    /// that with which it was given up. A file that is gone has not been mended.
    pub fn is_over(&self, now: Time, executable: Option<&str>) -> bool {
        if self.dead {
            return executable.is_some() && self.executable.as_deref() != executable;
        }
        // A pause that began later than now was measured by a clock that was set back since.
        self.not_before <= now || self.last_at > now
    }
}

impl Work {
    /// No work yet.
    pub fn new(subscription: &str, fact: FactId, uid: &str) -> Self {
        Self {
            subscription: subscription.to_owned(),
            fact,
            subscription_uid: uid.to_owned(),
            renewal: 0,
            intent: None,
            succeeded: None,
            failing: None,
        }
    }

    /// The name of the part that it makes or would make: what `status` and logs call it.
    pub fn name(&self) -> String {
        format!("{}-{}", self.subscription, self.fact.short())
    }

    /// Whether anything but failures is remembered. An intent is: its run may be under way, and what
    /// comes of it must find the fact known, or the success would be forgotten with it.
    pub fn is_worth_keeping(&self) -> bool {
        self.renewal > 0 || self.intent.is_some() || self.succeeded.is_some()
    }

    /// Whether the other is the same but for the intent.
    pub fn is_same_but_for_the_intent(&self, other: &Self) -> bool {
        let Self { subscription, fact, subscription_uid, renewal, intent: _, succeeded, failing } =
            self;
        (subscription, fact, subscription_uid)
            == (&other.subscription, &other.fact, &other.subscription_uid)
            && (renewal, succeeded, failing) == (&other.renewal, &other.succeeded, &other.failing)
    }

    /// The renewal number of the next run.
    pub fn next_renewal(&self) -> u64 {
        self.succeeded.as_ref().map_or(self.renewal, |last| self.renewal.max(last.renewal + 1))
    }
}

#[cfg(test)]
mod tests;
