//! A fact whose runs fail, as it is shown.

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::event::Event;
use crate::api::run::{Failing, Work};

/// One fact whose runs fail: tried again later, or given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    /// The name of the part that it would make.
    pub name: String,
    /// The subscription.
    pub subscription: String,
    /// The fact.
    pub fact: String,
    /// The fact's newest event; empty if it is gone.
    pub event_id: String,
    /// That event's subject.
    pub subject: String,
    /// Given up: no more attempts until `retry`, a new observation or a changed plugin file.
    pub dead_lettered: bool,
    /// Attempts of this fact alone that failed; a failure of a batch is nobody's own.
    pub attempts: u32,
    /// Since when it has been failing.
    pub since: Time,
    /// When it last failed.
    pub last_at: Time,
    /// When it is tried again; absent if it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// CamelCase word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The end of what the plugin wrote to stderr.
    pub stderr: String,
    /// The run that failed last, for `get runs`.
    pub run: u64,
    /// The key that failed.
    pub run_key: String,
}

impl FailureView {
    /// The view of failing work; `event` is the newest of its fact.
    pub fn of(work: &Work, failing: Failing, event: Option<Event>) -> Self {
        let (event_id, subject) = event.map(|event| (event.id, event.subject)).unwrap_or_default();
        Self {
            name: work.name(),
            subscription: work.subscription.clone(),
            fact: work.fact.to_string(),
            event_id,
            subject,
            dead_lettered: failing.dead,
            attempts: failing.attempts,
            since: failing.since,
            last_at: failing.last_at,
            due: (!failing.dead).then_some(failing.not_before),
            reason: failing.reason,
            message: failing.message,
            stderr: failing.stderr,
            run: failing.run,
            run_key: failing.run_key,
        }
    }
}
