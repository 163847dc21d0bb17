//! The way from the document to a node, kept on the stack and written out only for a problem.

use std::fmt;

/// A path as a chain to its parent; costs nothing until it is shown.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum Path<'p> {
    /// Where decoding began.
    Root(&'p str),
    /// A field or key of a mapping.
    Key(&'p Path<'p>, &'p str),
    /// An item of a list, from 0.
    Index(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    /// The path of the tree's root, which may be empty.
    pub(in crate::api) fn root(base: &'p str) -> Self {
        Self::Root(base)
    }

    /// The path of a key under this one.
    pub(in crate::api) fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }

    /// The path of an item under this one.
    pub(in crate::api) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Root(base) if base.is_empty())
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(base) => f.write_str(base),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Key(parent, key) if !is_simple(key) => write!(f, "{parent}[{key:?}]"),
            Self::Key(parent, key) if parent.is_empty() => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
        }
    }
}

/// Whether a key can stand between dots.
fn is_simple(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
