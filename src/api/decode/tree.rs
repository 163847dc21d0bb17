//! What the decoder needs of a tree, so that nodes and values are decoded by the same code.

use crate::api::value::Value;
use crate::api::yaml::{Entry, Node, NodeKind, Pos, Scalar};

/// A tree of scalars, lists and mappings.
pub(super) trait Tree: Sized {
    /// A key of a mapping with its value.
    type Entry;

    /// Where this stands in a file, if it does.
    fn pos(&self) -> Option<Pos>;
    /// What this is.
    fn shape(&self) -> Shape<'_, Self>;
    /// The key of an entry.
    fn key(entry: &Self::Entry) -> KeyRef<'_>;
    /// The value of an entry.
    fn value(entry: &Self::Entry) -> &Self;
}

/// What one node is.
pub(super) enum Shape<'a, N: Tree> {
    /// A scalar; `plain` if it stood without quotes.
    Scalar { text: &'a str, plain: bool },
    /// A list.
    Seq(&'a [N]),
    /// A mapping.
    Map(&'a [N::Entry]),
    /// What cannot be used, with the reason.
    Invalid(&'a str),
}

/// A key with what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyRef<'a> {
    pub(super) text: &'a str,
    pub(super) plain: bool,
    pub(super) pos: Option<Pos>,
}

impl Tree for Node {
    type Entry = Entry;

    fn pos(&self) -> Option<Pos> {
        Some(self.pos)
    }

    fn shape(&self) -> Shape<'_, Self> {
        match &self.kind {
            NodeKind::Scalar { text, plain } => Shape::Scalar { text, plain: *plain },
            NodeKind::Seq(items) => Shape::Seq(items),
            NodeKind::Map(entries) => Shape::Map(entries),
            NodeKind::Invalid(message) => Shape::Invalid(message),
        }
    }

    fn key(entry: &Entry) -> KeyRef<'_> {
        let key = &entry.key;
        KeyRef { text: &key.text, plain: key.plain, pos: Some(key.pos) }
    }

    fn value(entry: &Entry) -> &Self {
        &entry.value
    }
}

impl Tree for Value {
    type Entry = (Scalar, Self);

    fn pos(&self) -> Option<Pos> {
        None
    }

    fn shape(&self) -> Shape<'_, Self> {
        match self {
            Self::Scalar(scalar) => {
                Shape::Scalar { text: scalar.text(), plain: scalar.is_verbatim() }
            }
            Self::Seq(items) => Shape::Seq(items),
            Self::Map(map) => Shape::Map(map.entries()),
        }
    }

    fn key((key, _): &Self::Entry) -> KeyRef<'_> {
        KeyRef { text: key.text(), plain: key.is_verbatim(), pos: None }
    }

    fn value((_, value): &Self::Entry) -> &Self {
        value
    }
}
