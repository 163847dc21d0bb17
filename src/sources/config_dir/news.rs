//! What a scan changed, for the log: each object and each problem once, when it is new.
//!
//! A problem that stays is not repeated, however often the files are looked at; `status` lists what
//! is wrong now.

use std::collections::HashSet;

use crate::sources::acceptance::{AcceptedSet, Decision};
use crate::sources::report::{ConfigProblem, Findings, Held, ProblemKind, RootStatus};

/// Objects of one scan that are logged one by one; the rest is counted.
const MAX_LINES: usize = 20;

/// The news of one scan, put together before it is written and told after.
pub(super) struct News {
    objects: Vec<String>,
    omitted: usize,
    first: bool,
}

impl News {
    /// What `decision` does to the objects in `accepted`.
    pub(super) fn of(accepted: &AcceptedSet, decision: &Decision, first: bool) -> Self {
        let upserts = decision.upserts.iter().filter_map(|new| {
            let what = match accepted.objects.get(new.key()) {
                None => "accepted",
                Some(old) if old.generation != new.generation => "changed",
                Some(old) if old.source.file != new.source.file => "moved",
                // Only the lines before it changed.
                Some(_) => return None,
            };
            Some(format!("{what} {} from {}", new.key(), new.source))
        });
        let deletes = decision.deletes.iter().map(|key| format!("deleted {key}"));
        let mut all = upserts.chain(deletes);
        let objects = all.by_ref().take(MAX_LINES).collect();
        Self { objects, omitted: all.count(), first }
    }

    /// Logs the objects, now that they are durable.
    pub(super) fn tell(self) {
        if self.first && self.omitted > 0 {
            let count = self.objects.len() + self.omitted;
            return tracing::info!(
                "config: {count} objects accepted, changed or deleted since the last run"
            );
        }
        for line in &self.objects {
            tracing::info!("config: {line}");
        }
        if self.omitted > 0 {
            tracing::info!("config: and {} more objects", self.omitted);
        }
    }
}

/// Logs the problems and holds that are in `new` and not in `old`, and the end of those that went.
pub(super) fn tell_findings(old: &Findings, new: &Findings) {
    let is_absent = |root: &&RootStatus| !root.present && !root.held;
    for root in new.roots.iter().filter(is_absent) {
        if !old.roots.iter().filter(is_absent).any(|known| known.path == root.path) {
            tracing::warn!("config: {} is not there; what is put there is taken up", root.path);
        }
    }
    let appeared = difference(&new.problems, &old.problems);
    for problem in appeared.iter().take(MAX_LINES) {
        if problem.kind == ProblemKind::Note {
            tracing::info!("config: {problem}");
        } else {
            tracing::warn!("config: {problem}");
        }
    }
    if appeared.len() > MAX_LINES {
        tracing::warn!("config: and {} more problems", appeared.len() - MAX_LINES);
    }
    let gone = difference(&old.problems, &new.problems);
    for problem in gone.iter().take(MAX_LINES) {
        tracing::info!("config: resolved: {problem}");
    }
    if gone.len() > MAX_LINES {
        tracing::info!("config: and {} more problems resolved", gone.len() - MAX_LINES);
    }
    let same = |a: &Held, b: &Held| a.reason == b.reason && a.path == b.path;
    for held in new.held.iter().filter(|held| !old.held.iter().any(|old| same(old, held))) {
        tracing::warn!("config held: {} ({})", held.message, held.hint);
    }
    for held in old.held.iter().filter(|held| !new.held.iter().any(|new| same(new, held))) {
        tracing::info!("config no longer held: {}", held.path.as_deref().unwrap_or("all paths"));
    }
}

fn difference<'a>(these: &'a [ConfigProblem], those: &[ConfigProblem]) -> Vec<&'a ConfigProblem> {
    let those: HashSet<String> = those.iter().map(ConfigProblem::identity).collect();
    these.iter().filter(|problem| !those.contains(&problem.identity())).collect()
}
