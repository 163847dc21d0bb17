//! A place in a resource, where a check stands when it finds something wrong.
//!
//! Pure. It exists so that a rule that looks at a decoded struct (`spec.timeout` is too long) can
//! complain at the line and column of the field, which the struct has forgotten.

use std::cell::RefCell;

use serde::de::DeserializeOwned;

use super::classify::Misnamed;
use crate::api::decode::path::Path;
use crate::api::decode::{self, Problem};
use crate::api::value::Value;
use crate::api::yaml::{Node, NodeKind, Pos};

/// A resource from a file, or one that was stored or came from a plugin.
#[derive(Clone, Copy)]
pub(super) enum Tree<'a> {
    /// With places.
    Node(&'a Node),
    /// Without.
    Value(&'a Value),
}

impl<'a> Tree<'a> {
    pub(super) fn decode<T: DeserializeOwned>(self, base: &str) -> Result<T, Vec<Problem>> {
        match self {
            Self::Node(node) => decode::decode(node, base),
            Self::Value(value) => decode::decode_value(value, base),
        }
    }

    pub(super) fn get(self, key: &str) -> Option<Self> {
        match self {
            Self::Node(node) => node.get(key).map(Self::Node),
            Self::Value(value) => value.get(key).map(Self::Value),
        }
    }

    fn item(self, index: usize) -> Option<Self> {
        match self {
            Self::Node(node) => node.items()?.get(index).map(Self::Node),
            Self::Value(value) => value.as_seq()?.get(index).map(Self::Value),
        }
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Node(node) => node.text(),
            Self::Value(value) => value.as_str(),
        }
    }

    fn is_null(self) -> bool {
        match self {
            Self::Node(node) => node.is_null(),
            Self::Value(value) => value.is_null(),
        }
    }

    pub(super) fn pos(self) -> Option<Pos> {
        match self {
            Self::Node(node) => Some(node.pos),
            Self::Value(_) => None,
        }
    }

    /// The keys, if this is a mapping.
    pub(super) fn keys(self) -> Vec<&'a str> {
        match self {
            Self::Node(node) => match &node.kind {
                NodeKind::Map(entries) => entries.iter().map(|entry| &*entry.key.text).collect(),
                _ => Vec::new(),
            },
            Self::Value(value) => {
                value.as_map().into_iter().flat_map(|map| map.iter().map(|(key, _)| key)).collect()
            }
        }
    }

    /// What stands here, in an operator's words.
    fn describe(self) -> &'static str {
        match self {
            _ if self.is_null() => "nothing",
            Self::Node(Node { kind: NodeKind::Seq(_), .. }) | Self::Value(Value::Seq(_)) => {
                "a list"
            }
            Self::Node(Node { kind: NodeKind::Map(_), .. }) | Self::Value(Value::Map(_)) => {
                "a mapping"
            }
            _ => "a scalar",
        }
    }
}

/// What `check` returns for a resource, and the complaints it made, in the order of the file.
/// `base` is the path of the resource.
pub(super) fn inspect<R>(
    tree: Tree<'_>,
    base: &str,
    check: impl FnOnce(&Place<'_>) -> R,
) -> (R, Vec<Problem>) {
    let found = RefCell::new(Vec::new());
    let root = Place { tree: Some(tree), pos: tree.pos(), path: Path::root(base), found: &found };
    let result = check(&root);
    let mut problems = found.into_inner();
    problems.sort_by_key(|problem| problem.pos);
    (result, problems)
}

/// A place; complaints made at it are collected in one list.
pub(super) struct Place<'p> {
    tree: Option<Tree<'p>>,
    pos: Option<Pos>,
    path: Path<'p>,
    found: &'p RefCell<Vec<Problem>>,
}

impl<'p> Place<'p> {
    /// A field or key below. One that is not there stands where its parent does.
    pub(super) fn field<'q>(&'q self, key: &'q str) -> Place<'q> {
        self.below(self.tree.and_then(|tree| tree.get(key)), self.path.key(key))
    }

    /// An item of the list here.
    pub(super) fn item(&self, index: usize) -> Place<'_> {
        self.below(self.tree.and_then(|tree| tree.item(index)), self.path.index(index))
    }

    /// A key of a mapping itself: complaints stand at the key, not at its value.
    pub(super) fn key<'q>(&'q self, key: &'q str) -> Place<'q> {
        let mut place = self.field(key);
        if let Some(Tree::Node(node)) = self.tree
            && let Some(entry) = node.entry(key)
        {
            place.pos = Some(entry.key.pos);
        }
        place
    }

    fn below<'q>(&'q self, tree: Option<Tree<'q>>, path: Path<'q>) -> Place<'q> {
        let pos = tree.and_then(Tree::pos).or(self.pos);
        Place { tree, pos, path, found: self.found }
    }

    /// The text here, if it is one.
    pub(super) fn text(&self) -> Option<&'p str> {
        self.tree.and_then(Tree::text)
    }

    /// Whether a field is here, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.tree.is_some_and(|tree| tree.get(key).is_some())
    }

    /// Whether something other than null stands here.
    pub(super) fn is_given(&self) -> bool {
        self.tree.is_some_and(|tree| !tree.is_null())
    }

    /// Complains.
    pub(super) fn refuse(&self, message: impl Into<String>) {
        self.push(message.into(), None);
    }

    /// Complains and says the way out.
    pub(super) fn refuse_with(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.push(message.into(), Some(hint.into()));
    }

    /// Complains about two words below that name no Kind.
    pub(super) fn refuse_misnamed(&self, misnamed: Misnamed) {
        self.field(misnamed.field).push(misnamed.message, misnamed.hint);
    }

    fn push(&self, message: String, hint: Option<String>) {
        let path = self.path.to_string();
        self.found.borrow_mut().push(Problem { pos: self.pos, path, message, hint });
    }

    /// The required text of `key`; complains and gives none if it is not there or no text.
    pub(super) fn required_text(&self, key: &str) -> Option<&'p str> {
        match self.tree.and_then(|tree| tree.get(key)) {
            Some(tree) if tree.text().is_some() => return tree.text(),
            Some(tree) if !tree.is_null() => {
                let message = format!("expected a string, found {}", tree.describe());
                self.field(key).refuse(message);
            }
            found => self.refuse_missing(key, found.is_some()),
        }
        None
    }

    /// Complains that a required field is not here. `empty`: its key is, without a value.
    pub(super) fn refuse_missing(&self, key: &str, empty: bool) {
        let message = format!("missing field {key:?}");
        if empty {
            self.key(key).parent_of(&self.path).refuse_with(message, "it is there, but empty");
            return;
        }
        let keys = self.tree.map(Tree::keys).unwrap_or_default();
        match decode::nearest(key, keys) {
            Some(near) => self.refuse_with(message, format!("is {near:?} meant to be it?")),
            None => self.refuse(message),
        }
    }

    /// This place under the path of the mapping around it, as the decoder names missing fields.
    fn parent_of<'q>(&'q self, path: &'q Path<'q>) -> Place<'q> {
        Place { tree: self.tree, pos: self.pos, path: *path, found: self.found }
    }

    /// Complains unless a mapping is here. Says whether one is.
    pub(super) fn expect_mapping(&self, hint: &str) -> bool {
        match self.tree {
            Some(Tree::Node(Node { kind: NodeKind::Map(_), .. }) | Tree::Value(Value::Map(_))) => {
                true
            }
            tree => {
                let found = tree.map_or("nothing", Tree::describe);
                self.refuse_with(format!("expected a mapping, found {found}"), hint);
                false
            }
        }
    }
}
