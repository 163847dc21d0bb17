//! One thing that is wrong with a manifest, said so that it can be mended.

use std::fmt;

use crate::api::yaml::Pos;

/// What is wrong, where, and what would be right. Shown as `line:col: path: message (hint)`; the
/// caller knows the file and puts it in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place in the file, if it came from one.
    pub pos: Option<Pos>,
    /// The path in the document, such as `spec.match.types[0]`; empty for the document itself.
    pub path: String,
    /// What is wrong, in lower case.
    pub message: String,
    /// The way out, if one is known.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pos) = self.pos {
            write!(f, "{pos}: ")?;
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

impl std::error::Error for Problem {}
