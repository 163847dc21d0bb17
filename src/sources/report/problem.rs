//! One thing that is wrong with the configuration, at a place in a file.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::accepted::SourceRef;
use crate::api::decode::Problem;
use crate::api::object::ObjectKey;
use crate::api::yaml::{Pos, YamlError};
use crate::sources::scan::{Claim, Fit, is_below};

/// What is wrong, where, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigProblem {
    /// What kind of problem it is.
    pub kind: ProblemKind,
    /// The file or directory.
    pub file: String,
    /// Line, from 1; 0 if it is about the whole file.
    pub line: u32,
    /// Column in characters, from 1; 0 if it is about the whole file.
    pub column: u32,
    /// The object, if that much could be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<ObjectKey>,
    /// The path in the document, such as `spec.match.types[0]`; may be empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub path: String,
    /// What is wrong, in lower case.
    pub message: String,
    /// The way out, if one is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Whether a version of the object is in force.
    pub in_force: bool,
    /// Whether this is what keeps the object at the version that was good last.
    #[serde(default)]
    pub blocks: bool,
    /// Objects that were accepted from this file, are not seen in it now, and stay in force
    /// because they may be where it cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub keeps: Vec<ObjectKey>,
    /// Since when it is reported.
    pub since: Time,
    #[serde(skip)]
    may_hide_others: bool,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProblemKind {
    /// A resource does not fit its Kind.
    Broken,
    /// Another claim to the same identity is in force.
    Shadowed,
    /// A file or directory cannot be read.
    Unreadable,
    /// A file is not YAML from some place on.
    NotYaml,
    /// Something was ignored, or is most likely not what was meant.
    Note,
}

impl ConfigProblem {
    fn at(kind: ProblemKind, file: &str, pos: Option<Pos>, message: impl Into<String>) -> Self {
        Self {
            kind,
            file: file.to_owned(),
            line: pos.map_or(0, |pos| pos.line),
            column: pos.map_or(0, |pos| pos.column),
            object: None,
            path: String::new(),
            message: message.into(),
            hint: None,
            in_force: false,
            blocks: false,
            keeps: Vec::new(),
            since: Time::UNIX_EPOCH,
            may_hide_others: false,
        }
    }

    /// A file or directory that cannot be read.
    pub(in crate::sources) fn unreadable(path: &str, message: &str) -> Self {
        Self::at(ProblemKind::Unreadable, path, None, message)
    }

    /// A file that is not YAML from some place on.
    pub(in crate::sources) fn not_yaml(file: &str, error: &YamlError) -> Self {
        Self::at(ProblemKind::NotYaml, file, Some(error.pos), &*error.message)
    }

    /// What is wrong with a refused claim.
    pub(in crate::sources) fn broken(file: &str, claim: &Claim, in_force: bool) -> Vec<Self> {
        let Err(refusal) = &claim.outcome else { return Vec::new() };
        let to_problem = |problem: &Problem| Self {
            object: refusal.key.clone(),
            in_force,
            may_hide_others: claim.may_hide_others(),
            ..Self::of(ProblemKind::Broken, file, claim, problem)
        };
        refusal.problems.iter().map(to_problem).collect()
    }

    /// What was ignored in a claim that is in force.
    pub(in crate::sources) fn notes(file: &str, claim: &Claim, fit: &Fit) -> Vec<Self> {
        let to_problem = |problem: &Problem| Self {
            object: Some(fit.resource.key.clone()),
            in_force: true,
            ..Self::of(ProblemKind::Note, file, claim, problem)
        };
        fit.notes.iter().map(to_problem).collect()
    }

    /// A good claim that another one outranks.
    pub(in crate::sources) fn shadowed(file: &str, claim: &Claim, winner: &SourceRef) -> Self {
        Self {
            object: claim.key().cloned(),
            in_force: true,
            hint: Some("give one of the two another name, or take it out".to_owned()),
            ..Self::at(
                ProblemKind::Shadowed,
                file,
                Some(claim.pos),
                format!("the same object at {winner} comes first and is in force"),
            )
        }
    }

    fn of(kind: ProblemKind, file: &str, claim: &Claim, problem: &Problem) -> Self {
        Self {
            path: problem.path.clone(),
            hint: problem.hint.clone(),
            ..Self::at(kind, file, Some(problem.pos.unwrap_or(claim.pos)), &*problem.message)
        }
    }

    /// Notes which of the objects that are kept, by file, are kept because of this.
    pub(in crate::sources) fn keep(&mut self, kept: &HashMap<&str, Vec<ObjectKey>>) {
        match self.kind {
            ProblemKind::Unreadable | ProblemKind::NotYaml => {}
            ProblemKind::Broken if self.may_hide_others => {}
            _ => return,
        }
        let here = kept.iter().filter(|(file, _)| is_below(file, &self.file));
        self.keeps = here.flat_map(|(_, keys)| keys.iter().cloned()).collect();
        self.keeps.sort();
    }

    /// The same for the same problem in another scan, also when lines moved.
    pub(in crate::sources) fn identity(&self) -> String {
        let object = self.object.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{:?}\n{}\n{object}\n{}\n{}", self.kind, self.file, self.path, self.message)
    }
}

impl fmt::Display for ConfigProblem {
    /// `file:line:col: object: path: message (hint)`, with what there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
