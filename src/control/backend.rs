//! What only a running daemon knows, as the API needs it.
//!
//! The daemon implements [`Live`] on its caches and controllers; a `routerctl` without a daemon
//! answers from the store alone. The types are the API's own, because the layers below do not know
//! one another.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::config_report::ConfigReport;
use super::effective::Effective;
use crate::api::Time;
use crate::store::Revision;

/// The running daemon, seen from its control socket. All but [`converge`](Live::converge) answer
/// from memory at once: they are called on the tasks of the server.
pub trait Live: Send + Sync + 'static {
    /// When the daemon started, by node time.
    fn started_at(&self) -> Time;

    /// What the watched config looks like.
    fn config(&self) -> ConfigReport;

    /// The effective config of this moment.
    fn effective(&self) -> Arc<Effective>;

    /// Forces a rescan, takes the store's head, and returns when all up to there is processed; with
    /// `deliveries` the outboxes too. Cancel safe: the server drops it at the timeout.
    fn converge(&self, deliveries: bool) -> BoxFuture<'_, Converged>;

    /// The revision of the effective config and its digest, as soon as it is above `after`. Cancel
    /// safe: the server drops it at the timeout.
    fn revision_after(&self, after: u64) -> BoxFuture<'_, EffectiveRevision>;

    /// The revision of the effective config now.
    fn revision(&self) -> EffectiveRevision;

    /// What is ready, running, debouncing or backing off now.
    fn pending(&self) -> Vec<Pending>;

    /// Room for new live facts in a group, or `None` where the limit does not count for this type:
    /// a retraction must go through when the group is full. Called on the store's writer.
    fn room(&self, group: &str, event_type: &str) -> Option<u64>;

    /// Figures of each group, by name.
    fn groups(&self) -> BTreeMap<String, GroupFigures>;

    /// Live facts that each subscription matches, by name.
    fn matched(&self) -> BTreeMap<String, u64>;
}

/// A revision of the effective config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRevision {
    /// Moves only when the bytes change, over restarts.
    pub revision: u64,
    /// Digest of the content.
    pub digest: String,
}

/// Figures of one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupFigures {
    /// Facts that are live now.
    pub live_facts: u64,
    /// Events that are kept.
    pub stored_events: u64,
}

/// All is processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Converged {
    /// The store's revision up to which all is processed.
    pub revision: Revision,
}

/// One thing that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Which controller has it: `subscriptions`, `outputs` …
    pub controller: String,
    /// What: the key, as people name it.
    pub key: String,
    /// CamelCase word for programs: `Ready`, `Running`, `Debouncing`, `BackingOff` …
    pub state: String,
    /// When it runs next, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// Why it is not settled, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
