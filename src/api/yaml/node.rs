//! The node tree: what a document says, where, and how it was written.
//!
//! Plain data, made by the parser, read by the decoder and by `Value`. What is wrong inside one
//! document but leaves the rest of the file readable (a key given twice, an unknown tag) is kept
//! in the tree as an `Invalid` node, so that only the resource around it fails.

use std::fmt;

use crate::api::decode::{Problem, path::Path};

/// A place in a file: line and column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pos {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Pos {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One node of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where the node begins; for an aliased node, where its anchor stands.
    pub pos: Pos,
    /// What it is.
    pub kind: NodeKind,
}

/// The content of a node. Aliases are expanded and merge keys applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A scalar: its text, and whether it stood without quotes.
    Scalar {
        /// The text without quotes and escapes.
        text: Box<str>,
        /// Written without quotes, so that `1` and `null` are not strings.
        plain: bool,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A mapping in the order of the file; keys are unique among entries that are not invalid.
    Map(Vec<Entry>),
    /// What cannot be used, with the reason.
    Invalid(Box<str>),
}

/// One key of a mapping and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// The key of a mapping entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The text without quotes and escapes.
    pub text: Box<str>,
    /// Written without quotes.
    pub plain: bool,
    /// Where it stands.
    pub pos: Pos,
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of `key`, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            NodeKind::Map(entries) => entries.iter().find(|entry| &*entry.key.text == key),
            _ => None,
        }
    }

    /// The source text, if this is a scalar other than null.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            NodeKind::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// Whether this is a null: nothing, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, plain: true }
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Every invalid node at or under this one; `base` is the path of this node (may be empty).
    pub fn faults(&self, base: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        self.collect_faults(&Path::root(base), &mut found);
        found
    }

    fn collect_faults(&self, path: &Path<'_>, found: &mut Vec<Problem>) {
        match &self.kind {
            NodeKind::Scalar { .. } => {}
            NodeKind::Seq(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_faults(&path.index(index), found);
                }
            }
            NodeKind::Map(entries) => {
                for entry in entries {
                    entry.value.collect_faults(&path.key(&entry.key.text), found);
                }
            }
            NodeKind::Invalid(message) => found.push(Problem {
                pos: Some(self.pos),
                path: path.to_string(),
                message: message.to_string(),
                hint: None,
            }),
        }
    }
}
