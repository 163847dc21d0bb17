//! What there is to say about the configuration, in a form that is shown and served.
//!
//! Plain data over serde, in camelCase: scripts rely on it. It exists apart from acceptance so
//! that printers and the control API need not know how it is decided.

mod index;
mod problem;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::object::ObjectKey;
use crate::sources::scan::{Outcome, Scan};
use crate::store::Revision;

pub use self::index::Index;
pub use self::problem::{ConfigProblem, ProblemKind};

/// The most problems that a report lists; the rest is counted.
pub const MAX_PROBLEMS: usize = 10_000;

/// The state of the configuration after a scan was applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigReport {
    /// What the scan came to.
    #[serde(flatten)]
    pub findings: Findings,
    /// How changes are noticed.
    pub watching: Watching,
    /// When the last scan began; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_scan: Option<Time>,
    /// Scans applied since the start.
    pub scan_revision: u64,
    /// The store's revision that holds what was accepted.
    pub store_revision: Revision,
    /// Why the last decision could not be written; it is tried again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub store_error: Option<String>,
}

/// What one decision has to say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// The configured paths.
    pub roots: Vec<RootStatus>,
    /// Files by what came of reading them.
    pub files: FileCounts,
    /// Objects in force.
    pub accepted: u64,
    /// Objects that are gone from the configuration and will be deleted within seconds.
    pub settling: u64,
    /// What is wrong, by file and place; at most [`MAX_PROBLEMS`].
    pub problems: Vec<ConfigProblem>,
    /// Problems not listed.
    #[serde(default)]
    pub problems_omitted: u64,
    /// What is kept against its absence.
    pub held: Vec<Held>,
}

/// A configured path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootStatus {
    /// The absolute path.
    pub path: String,
    /// Whether it is there.
    pub present: bool,
    /// Manifest files at or below it.
    pub files: u64,
    /// Whether what was accepted from it is held.
    pub held: bool,
}

/// Files by what came of reading them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileCounts {
    /// Read to the end.
    pub read: u64,
    /// Not YAML, or not from some place on.
    pub not_yaml: u64,
    /// Could not be read.
    pub unreadable: u64,
}

impl FileCounts {
    /// Counts the files of a scan.
    pub fn of(scan: &Scan) -> Self {
        let mut counts = Self::default();
        for file in &scan.files {
            match &file.outcome {
                Outcome::Read(parsed) if parsed.error.is_none() => counts.read += 1,
                Outcome::Read(_) => counts.not_yaml += 1,
                Outcome::Unreadable(_) => counts.unreadable += 1,
            }
        }
        counts
    }
}

/// Objects that stay in force although they are gone from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Why.
    pub reason: HoldReason,
    /// The configured path, unless it is about all of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// The way out.
    pub hint: String,
    /// Since when.
    pub since: Time,
    /// When it ends by itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Time>,
    /// The objects.
    pub objects: Vec<ObjectKey>,
}

/// Why objects are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldReason {
    /// A configured path is not there any more.
    PathVanished,
    /// A configured path is empty, and another directory than before.
    PathReplaced,
    /// More than half of at least ten objects are gone at once.
    MassDeletion,
}

/// How changes are noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "mode")]
pub enum Watching {
    /// Not yet.
    #[default]
    Starting,
    /// The kernel tells.
    Inotify,
    /// By looking every second.
    Polling {
        /// Why.
        reason: String,
    },
}

impl Findings {
    /// Takes the problems: sorted, and as many as may be listed.
    pub(super) fn set_problems(&mut self, mut problems: Vec<ConfigProblem>) {
        problems.sort_by(|a, b| {
            (&a.file, a.line, a.column, &a.path).cmp(&(&b.file, b.line, b.column, &b.path))
        });
        self.problems_omitted = problems.len().saturating_sub(MAX_PROBLEMS) as u64;
        problems.truncate(MAX_PROBLEMS);
        self.problems = problems;
    }

    /// Dates what was there before as it was dated then, and the rest `now`. Returns the dates for
    /// the next time.
    pub(super) fn date(
        &mut self,
        before: &HashMap<String, Time>,
        now: Time,
    ) -> HashMap<String, Time> {
        let mut dates = HashMap::new();
        let mut date = |key: String| {
            let since = before.get(&key).copied().unwrap_or(now);
            dates.insert(key, since);
            since
        };
        for problem in &mut self.problems {
            problem.since = date(problem.identity());
        }
        for held in &mut self.held {
            if let Some(path) = &held.path {
                held.since = date(format!("{:?}\n{path}", held.reason));
            }
        }
        dates
    }
}
