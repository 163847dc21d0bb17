//! A finished run as it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::duration::GoDuration;
use crate::api::kinds::redact::redact_answer;
use crate::api::run::{RunRecord, SUCCEEDED};

/// One finished run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
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
    pub started_at: Time,
    /// How long it took.
    pub duration: GoDuration,
    /// How it ended: `Succeeded`, or the reason of the failure.
    pub outcome: String,
    /// What failed.
    pub message: String,
    /// The end of stderr.
    pub stderr: String,
    /// Digest of stdout.
    pub stdout_digest: String,
    /// What the plugin was sent, up to a limit.
    pub request: String,
    /// What it answered, up to a limit; keys are redacted.
    pub response: String,
    /// What the result carried that is not known.
    pub warnings: Vec<String>,
    /// Resources, directives and plans per outcome.
    pub counts: BTreeMap<String, u64>,
    /// How the process ended.
    #[serde(default)]
    pub exit: String,
    /// SHA-256 of the executable, where the Plugin pins one.
    #[serde(default)]
    pub executable_digest: String,
    /// The request or the answer was over its limit.
    #[serde(default)]
    pub shortened: bool,
}

impl RunView {
    /// Whether nothing of it failed.
    pub fn succeeded(&self) -> bool {
        self.outcome == SUCCEEDED
    }
}

impl From<RunRecord> for RunView {
    fn from(run: RunRecord) -> Self {
        Self {
            run: run.run,
            plugin: run.plugin,
            subscription: run.subscription,
            run_keys: run.run_keys,
            event_ids: run.event_ids,
            started_at: run.started_at,
            duration: GoDuration(run.duration),
            outcome: run.outcome,
            message: run.message,
            stderr: run.stderr,
            stdout_digest: run.stdout_digest,
            request: run.request,
            response: redact_answer(&run.response).into_owned(),
            warnings: run.warnings,
            counts: run.counts,
            exit: run.exit,
            executable_digest: run.executable_digest,
            shortened: run.shortened,
        }
    }
}
