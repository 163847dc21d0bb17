//! Documents to resources: which Kind, the strict decoding, the checks, and the body to keep.
//!
//! Pure. The resource is the unit of acceptance: every item of a Router stands or falls alone, and
//! a Router whose own frame is broken still yields what can be read in it.

use super::advice;
use super::classify::{Class, classify};
use super::metadata::{SERVER_SET, check_name};
use super::place::{Tree, inspect};
use super::router;
use super::spec::Spec;
use crate::api::decode::Problem;
use crate::api::object::{ObjectKey, Resource, is_valid_name};
use crate::api::value::Value;
use crate::api::yaml::{Entry, Node, NodeKind, Pos};

/// A resource that can be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Its identity and its body, without `status` and what only a server sets. The body of a
    /// Router is without `spec.resources`.
    pub resource: Resource,
    /// Its typed spec.
    pub spec: Spec,
    /// Whether the Kind is one that we know.
    pub typed: bool,
    /// Where it begins; the start of the file for a value, which has no place.
    pub pos: Pos,
    /// What was ignored, and what is most likely not what was meant.
    pub notes: Vec<Problem>,
}

/// A resource that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its identity, if it could be read.
    pub key: Option<ObjectKey>,
    /// Where it begins.
    pub pos: Pos,
    /// Why; never empty.
    pub problems: Vec<Problem>,
    /// Whether other resources may stand in what could not be read, or this one may be another
    /// than it says: nothing that is missing from the file may then be taken for deleted.
    pub hides: bool,
}

/// One resource of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its place in `spec.resources` of a Router, or in a list, from 0; none for the document itself.
    pub index: Option<u32>,
    /// What came of it.
    pub outcome: Result<Decoded, Rejected>,
}

/// Decodes one resource of a file. `base` is its path in the document: empty, or
/// `spec.resources[3]`.
pub fn decode_resource(node: &Node, base: &str) -> Result<Decoded, Rejected> {
    let reject = |problems, hides| rejected(Tree::Node(node), problems, hides);
    let faults = node.faults(base);
    if !faults.is_empty() {
        return Err(reject(faults, false));
    }
    let (class, spec) = read(Tree::Node(node), base)?;
    let body = Value::try_from(node).map_err(|faults| reject(faults, false))?;
    let mut notes = ignored(node, base);
    notes.extend(advice::on(&spec, node, base));
    Ok(finish(class, spec, body, node.pos, notes))
}

/// Decodes a resource that was stored, or that a plugin proposed.
pub fn decode_value(value: &Value, base: &str) -> Result<Decoded, Rejected> {
    let (class, spec) = read(Tree::Value(value), base)?;
    Ok(finish(class, spec, value.clone(), Pos::START, Vec::new()))
}

/// The typed spec of an accepted resource.
pub fn spec_of(resource: &Resource) -> Result<Spec, Vec<Problem>> {
    read(Tree::Value(&resource.body), "")
        .map(|(_, spec)| spec)
        .map_err(|rejected| rejected.problems)
}

/// Decodes a document: one resource, a Router and the resources in it, or a list as `get -o json`
/// and kubectl print it.
pub fn decode_document(node: &Node) -> Vec<Item> {
    if let Some((list, base)) = list_of(node) {
        let items = (0..).zip(list).map(|(index, node)| {
            let outcome = decode_listed(node, &format!("{base}[{index}]"));
            Item { index: Some(index), outcome }
        });
        return items.collect();
    }
    if !is_router(node) {
        return vec![Item { index: None, outcome: decode_resource(node, "") }];
    }
    let resources = node.get("spec").and_then(|spec| spec.get("resources"));
    let frame = decode_frame(node, resources);
    let inner = resources.and_then(Node::items).unwrap_or_default();
    let mut items = Vec::with_capacity(inner.len() + 1);
    items.push(Item { index: None, outcome: frame });
    for (index, node) in (0..).zip(inner) {
        let outcome = decode_resource(node, &format!("spec.resources[{index}]"))
            .and_then(|decoded| refuse_nested(decoded, index));
        items.push(Item { index: Some(index), outcome });
    }
    items
}

/// The resources of a document that is nothing but a list of them, and the path of that list.
fn list_of(node: &Node) -> Option<(&[Node], &'static str)> {
    if let Some(list) = node.items() {
        return Some((list, ""));
    }
    let is = |key, word| node.get(key).and_then(Node::text) == Some(word);
    let items = node.get("items").filter(|_| is("apiVersion", "v1") && is("kind", "List"))?;
    Some((items.items()?, "items"))
}

/// Decodes a resource of a list. A Router in it is a frame: what it would hold has no place of its
/// own there.
fn decode_listed(node: &Node, base: &str) -> Result<Decoded, Rejected> {
    let resources = node.get("spec").and_then(|spec| spec.get("resources"));
    let held = resources.is_some_and(|held| held.items().is_none_or(|items| !items.is_empty()));
    if is_router(node) && held {
        let ((), problems) = inspect(Tree::Node(node), base, |root| {
            let hint = "put the Router into a document of its own";
            let resources = root.field("spec");
            resources.key("resources").refuse_with("a Router in a list holds no resources", hint);
        });
        return Err(rejected(Tree::Node(node), problems, true));
    }
    decode_resource(&without_resources(node), base)
}

/// Whether a document is meant as a Router. A misspelt one is taken for one too: its resources
/// must not depend on the spelling of the frame.
fn is_router(node: &Node) -> bool {
    let text = |key| node.get(key).and_then(Node::text).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let opaque = matches!(classify(api_version, kind), Ok(Class::Opaque));
    !opaque && (kind == "Router" || api_version == router::API_VERSION)
}

/// Decodes a Router without its resources.
fn decode_frame(node: &Node, resources: Option<&Node>) -> Result<Decoded, Rejected> {
    let frame = without_resources(node);
    let outcome = decode_resource(&frame, "");
    if resources.is_some_and(|list| list.items().is_none() && !list.is_null()) {
        let ((), misshapen) = inspect(Tree::Node(node), "", |root| {
            let hint = "each item is one resource: apiVersion, kind, metadata, spec";
            root.field("spec").field("resources").refuse_with("expected a list of resources", hint);
        });
        let mut problems = outcome.err().map(|rejected| rejected.problems).unwrap_or_default();
        problems.extend(misshapen);
        return Err(rejected(Tree::Node(node), problems, true));
    }
    // What a frame hides is a second `resources`, or a spec that is none.
    outcome.map_err(|rejected| {
        let unread = node.get("spec").is_none_or(|spec| !matches!(spec.kind, NodeKind::Map(_)));
        let hides = rejected.hides || unread || !frame.faults("").is_empty();
        Rejected { hides, ..rejected }
    })
}

/// The Router with all but its resources. Only the frame is copied.
fn without_resources(node: &Node) -> Node {
    let NodeKind::Map(entries) = &node.kind else { return node.clone() };
    let entries = entries
        .iter()
        .map(|entry| match &entry.value.kind {
            NodeKind::Map(fields) if &*entry.key.text == "spec" => {
                let is_resources = |field: &&Entry| {
                    &*field.key.text == "resources"
                        && !matches!(field.value.kind, NodeKind::Invalid(_))
                };
                let kept = fields.iter().filter(|field| !is_resources(field)).cloned().collect();
                let value = Node { pos: entry.value.pos, kind: NodeKind::Map(kept) };
                Entry { key: entry.key.clone(), value }
            }
            _ => entry.clone(),
        })
        .collect();
    Node { pos: node.pos, kind: NodeKind::Map(entries) }
}

fn refuse_nested(decoded: Decoded, index: u32) -> Result<Decoded, Rejected> {
    if !matches!(decoded.spec, Spec::Router(_)) {
        return Ok(decoded);
    }
    let problem = Problem {
        pos: Some(decoded.pos),
        path: format!("spec.resources[{index}].kind"),
        message: "a Router cannot stand inside a Router".to_owned(),
        hint: Some("put it into a document of its own".to_owned()),
    };
    let key = Some(decoded.resource.key);
    Err(Rejected { key, pos: decoded.pos, problems: vec![problem], hides: true })
}

/// Which Kind, and its spec.
fn read(tree: Tree<'_>, base: &str) -> Result<(Class, Spec), Rejected> {
    let class = match head(tree, base) {
        Ok(class) => class,
        Err(problems) => return Err(rejected(tree, problems, true)),
    };
    match class {
        Class::Typed(info) => match info.decode(tree, base) {
            Ok(spec) => Ok((class, spec)),
            Err(problems) => Err(rejected(tree, problems, false)),
        },
        Class::Opaque => match name(tree, base) {
            Ok(()) => Ok((class, Spec::Opaque)),
            Err(problems) => Err(rejected(tree, problems, false)),
        },
    }
}

/// What `apiVersion` and `kind` say.
fn head(tree: Tree<'_>, base: &str) -> Result<Class, Vec<Problem>> {
    let (class, problems) = inspect(tree, base, |root| {
        if !root.expect_mapping("a resource has apiVersion, kind, metadata and spec") {
            return None;
        }
        let (api_version, kind) = (root.required_text("apiVersion"), root.required_text("kind"));
        let outcome = classify(api_version?, kind?);
        outcome.map_err(|misnamed| root.refuse_misnamed(misnamed)).ok()
    });
    class.ok_or(problems)
}

/// Checks `metadata.name` of an opaque resource, the only thing that must be right about it.
fn name(tree: Tree<'_>, base: &str) -> Result<(), Vec<Problem>> {
    let ((), problems) = inspect(tree, base, |root| {
        let metadata = root.field("metadata");
        if !metadata.is_given() {
            root.refuse_missing("metadata", tree.get("metadata").is_some());
        } else if metadata.expect_mapping("metadata holds the resource's name")
            && let Some(name) = metadata.required_text("name")
        {
            check_name(name, &metadata.field("name"));
        }
    });
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Complaints that are kept of one resource: whoever made more mistakes mends these first, and
/// hostile input does not fill the store with them.
const MOST_PROBLEMS: usize = 20;

fn rejected(tree: Tree<'_>, mut problems: Vec<Problem>, hides: bool) -> Rejected {
    let left = problems.len().saturating_sub(MOST_PROBLEMS);
    if left > 0 {
        problems.truncate(MOST_PROBLEMS);
        let message = format!("and {left} more problems");
        problems.push(Problem { pos: tree.pos(), path: String::new(), message, hint: None });
    }
    let key = key_of(tree);
    let pos = tree.pos().unwrap_or(Pos::START);
    Rejected { hides: hides || key.is_none(), key, pos, problems }
}

/// The identity, if all of it is there and well formed.
fn key_of(tree: Tree<'_>) -> Option<ObjectKey> {
    const LONGEST: usize = 253;
    let word = |tree: Option<Tree<'_>>| {
        let text = tree?.text()?;
        let fits = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    };
    let name = word(tree.get("metadata").and_then(|metadata| metadata.get("name")))?;
    if !is_valid_name(&name) {
        return None;
    }
    Some(ObjectKey::new(word(tree.get("apiVersion"))?, word(tree.get("kind"))?, name))
}

fn finish(class: Class, spec: Spec, body: Value, pos: Pos, notes: Vec<Problem>) -> Decoded {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = ObjectKey::new(
        text(body.get("apiVersion")),
        text(body.get("kind")),
        text(body.get("metadata").and_then(|metadata| metadata.get("name"))),
    );
    let body = without_server_set(body);
    let typed = matches!(class, Class::Typed(_));
    Decoded { resource: Resource { key, body }, spec, typed, pos, notes }
}

fn without_server_set(mut body: Value) -> Value {
    if let Some(map) = body.as_map_mut() {
        map.remove("status");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_map_mut) {
            for field in SERVER_SET {
                metadata.remove(field);
            }
        }
    }
    body
}

/// A note on each field that is there and ignored.
fn ignored(node: &Node, base: &str) -> Vec<Problem> {
    const MESSAGE: &str = "ignored: only the daemon sets it";
    let ((), notes) = inspect(Tree::Node(node), base, |root| {
        let metadata = root.field("metadata");
        for field in SERVER_SET.into_iter().filter(|field| metadata.has(field)) {
            metadata.key(field).refuse(MESSAGE);
        }
        if root.has("status") {
            root.key("status").refuse(MESSAGE);
        }
    });
    notes
}

#[cfg(test)]
mod tests;
