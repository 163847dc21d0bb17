//! The decoder's error: one problem, which gets its place from the node it rises through.

use std::fmt;

use serde::de;

use super::path::Path;
use super::problem::Problem;
use super::suggest::hint;
use crate::api::yaml::Pos;

/// What serde passes around while decoding. Boxed, since it travels in every `Result`.
#[derive(Debug)]
pub(super) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    problem: Problem,
    /// Whether position and path are set.
    placed: bool,
    /// The required field whose absence this is about.
    missing: Option<&'static str>,
}

impl Error {
    /// An error that stands at a known place.
    pub(super) fn at(
        pos: Option<Pos>,
        path: &Path<'_>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let problem = Problem { pos, path: path.to_string(), message: message.into(), hint };
        Self(Box::new(Inner { problem, placed: true, missing: None }))
    }

    fn unplaced(message: String, hint: Option<String>) -> Self {
        let problem = Problem { pos: None, path: String::new(), message, hint };
        Self(Box::new(Inner { problem, placed: false, missing: None }))
    }

    /// Sets the place, unless a deeper node already did.
    pub(super) fn place(mut self, pos: Option<Pos>, path: &Path<'_>) -> Self {
        if !self.0.placed {
            self.0.problem.pos = pos;
            self.0.problem.path = path.to_string();
            self.0.placed = true;
        }
        self
    }

    /// The field that is missing, as long as no place is set.
    pub(super) fn missing(&self) -> Option<&'static str> {
        if self.0.placed { None } else { self.0.missing }
    }

    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        self.0.problem.hint = Some(hint.to_owned());
        self
    }

    pub(super) fn into_problem(self) -> Problem {
        self.0.problem
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.problem.fmt(f)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::unplaced(message.to_string(), None)
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::unplaced(format!("missing field {field:?}"), None);
        error.0.missing = Some(field);
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = hint(field, expected, "known fields");
        Self::unplaced(format!("unknown field {field:?}"), hint)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let listed = match expected {
            [] => "nothing".to_owned(),
            [one] => format!("{one:?}"),
            many => {
                let quoted: Vec<String> = many.iter().map(|name| format!("{name:?}")).collect();
                format!("one of {}", quoted.join(", "))
            }
        };
        let near = super::nearest(variant, expected.iter().copied());
        let hint = near.map(|near| format!("did you mean {near:?}?"));
        Self::unplaced(format!("expected {listed}, found {}", quote(variant)), hint)
    }
}

/// Text between quotes, cut to a length that a terminal line can bear.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
