//! What a report says about one object, as conditions.
//!
//! Pure. The index exists because ten thousand objects must not each read ten thousand problems.

use std::collections::HashMap;

use super::{ConfigProblem, Findings, Held, ProblemKind};
use crate::api::accepted::Accepted;
use crate::api::condition::{Condition, ConditionStatus};
use crate::api::object::ObjectKey;

/// The findings by object.
#[derive(Debug)]
pub struct Index<'r> {
    problems: HashMap<&'r ObjectKey, Vec<&'r ConfigProblem>>,
    kept: HashMap<&'r ObjectKey, &'r ConfigProblem>,
    held: HashMap<&'r ObjectKey, &'r Held>,
}

impl<'r> Index<'r> {
    /// Indexes the findings.
    pub fn of(findings: &'r Findings) -> Self {
        let mut index =
            Self { problems: HashMap::new(), kept: HashMap::new(), held: HashMap::new() };
        for problem in &findings.problems {
            if let Some(object) = &problem.object {
                index.problems.entry(object).or_default().push(problem);
            }
            for object in &problem.keeps {
                index.kept.entry(object).or_insert(problem);
            }
        }
        for held in &findings.held {
            index.held.extend(held.objects.iter().map(|object| (object, held)));
        }
        index
    }

    /// What is wrong with an object, in the order of the files.
    pub fn problems(&self, object: &ObjectKey) -> &[&'r ConfigProblem] {
        self.problems.get(object).map_or(&[], Vec::as_slice)
    }

    /// The conditions of an object that is in force: `Accepted` (the version that stands in the
    /// file is the one in force) and `Typed` always, `Shadowed` and `ConfigHeld` while they are
    /// true. Sorted by type; the caller keeps the times of those that did not flip.
    pub fn conditions_of(&self, object: &Accepted) -> Vec<Condition> {
        let mut conditions = vec![self.accepted(object)];
        conditions.extend(self.config_held(object));
        conditions.extend(self.shadowed(object));
        conditions.push(typed(object));
        for condition in &mut conditions {
            condition.observed_generation = object.generation;
        }
        conditions
    }

    fn accepted(&self, object: &Accepted) -> Condition {
        let generation = object.generation;
        let blocking: Vec<_> =
            self.problems(object.key()).iter().filter(|problem| problem.blocks).collect();
        if let Some(first) = blocking.first() {
            let more = match blocking.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let message = format!("{first}{more}; generation {generation} stays in force");
            return Condition::new("Accepted", false, "Invalid", message, first.since);
        }
        if let Some(problem) = self.kept.get(object.key()) {
            let message = format!("{problem}; generation {generation} stays in force");
            let unknown = ConditionStatus::Unknown;
            return Condition::new("Accepted", unknown, "SourceUnreadable", message, problem.since);
        }
        let message = format!("from {}", object.source);
        Condition::new("Accepted", true, "Accepted", message, object.accepted_at)
    }

    fn config_held(&self, object: &Accepted) -> Option<Condition> {
        let held = self.held.get(object.key())?;
        let reason = format!("{:?}", held.reason);
        let message = format!("{}; {}", held.message, held.hint);
        Some(Condition::new("ConfigHeld", true, &reason, message, held.since))
    }

    fn shadowed(&self, object: &Accepted) -> Option<Condition> {
        let problems = self.problems(object.key()).iter();
        let first = problems.clone().find(|problem| problem.kind == ProblemKind::Shadowed)?;
        Some(Condition::new("Shadowed", true, "ClaimedTwice", first.to_string(), first.since))
    }
}

fn typed(object: &Accepted) -> Condition {
    let (reason, message) = if object.typed {
        ("Known", "the Kind is known and its spec was checked")
    } else {
        ("Opaque", "the Kind is not one of routerd's; it is carried as it was written")
    };
    Condition::new("Typed", object.typed, reason, message, object.created_at)
}
