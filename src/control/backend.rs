//! What only a running daemon knows, as the API needs it.
//!
//! The daemon implements [`Live`] on its caches and controllers; a `routerctl` without a daemon
//! answers from the store alone. The types are the API's own, because the layers below do not know
//! one another.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::object::ObjectKey;
use crate::api::value::Value;
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

/// The effective config and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Moves only when the bytes change; `None` where nobody counts (offline).
    pub revision: Option<u64>,
    /// Digest of the content.
    pub digest: String,
    /// One Router document, inline secrets redacted.
    pub document: Value,
    /// Names of the parts that something of is in force.
    pub parts: u64,
    /// What was left out, and why.
    pub left_out: Vec<LeftOut>,
}

/// Something that a part proposed and that is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The resource, or the target of a directive.
    pub object: ObjectKey,
    /// The part that proposed it.
    pub part: String,
    /// `EventSubscription/<name>`.
    pub source: String,
    /// CamelCase word for programs: `Conflicted`, `Unresolved`, `NotAllowed` …
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// The watched config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigReport {
    /// The paths given by `--config`, absolute.
    pub roots: Vec<String>,
    /// How changes are noticed: `notify` or `polling`.
    pub watching: String,
    /// When the last scan ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanned_at: Option<Time>,
    /// Files read by the last scan.
    pub files: u64,
    /// What is wrong in the files now.
    pub problems: Vec<ProblemView>,
    /// Deletions that are held back, and why.
    pub held: Vec<HeldView>,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemView {
    /// The file.
    pub file: String,
    /// 1-based; absent when the file as a whole is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// 1-based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The path in the document, such as `spec.match.types[0]`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl std::fmt::Display for ProblemView {
    /// `file:line:col: path: message`, as editors and CI jump to it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}:{}", self.column.unwrap_or(1))?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Deletions that are held back (`ConfigHeld`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldView {
    /// The file or directory.
    pub path: String,
    /// How many objects stay in force because of it.
    pub objects: u64,
    /// Why.
    pub message: String,
    /// Since when.
    pub since: Time,
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
