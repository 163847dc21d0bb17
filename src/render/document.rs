//! The one `Router` document that the effective config is printed as.
//!
//! Pure and deterministic: equal inputs give equal bytes. The resources are emitted one by one,
//! so that printing ten thousand of them builds no second copy of them all.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::effective::Effective;
use super::proposal::Origin;
use super::refs;
use crate::api::accepted::Accepted;
use crate::api::kinds::router;
use crate::api::value::{Map, Value};
use crate::api::yaml::emit_into;

/// The name of the document when nothing gives it one.
const DEFAULT_NAME: &str = "routerd";

/// Everything of the document but its resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    metadata: Map,
    spec: Map,
}

impl Header {
    /// From the accepted Routers and EventGroups, both in the order of the files. The only
    /// Router's metadata is carried; the fields of several Routers' specs are put together, the
    /// first in that order winning.
    pub(super) fn of<'a>(
        routers: impl Iterator<Item = &'a Accepted>,
        groups: impl Iterator<Item = &'a Accepted>,
    ) -> Self {
        let routers: Vec<&Accepted> = routers.collect();
        let mut spec = Map::new();
        let fields = |router: &&'a Accepted| router.resource.body.get("spec")?.as_map();
        for (key, value) in routers.iter().filter_map(fields).flat_map(Map::iter) {
            if key != "resources" && spec.get(key).is_none() {
                spec.insert(key, value.clone());
            }
        }
        let metadata = if let [router] = routers[..] {
            let written = router.resource.body.get("metadata").and_then(Value::as_map);
            let mut metadata: Map =
                [("name", Value::string(router.key().name.as_str()))].into_iter().collect();
            for (key, value) in written.into_iter().flat_map(Map::iter) {
                metadata.insert(key, value.clone());
            }
            metadata
        } else {
            [("name", Value::string(node_name(groups)))].into_iter().collect()
        };
        Self { metadata, spec }
    }

    /// The document without its resources, and without a spec if it has no other fields.
    pub(super) fn value(&self) -> Value {
        let mut map: Map =
            [("apiVersion", Value::from(router::API_VERSION)), ("kind", refs::ROUTER.into())]
                .into_iter()
                .collect();
        map.insert("metadata", self.metadata.clone());
        if !self.spec.is_empty() {
            map.insert("spec", self.spec.clone());
        }
        Value::Map(map)
    }

    /// The document's name.
    pub fn name(&self) -> &str {
        self.metadata.get("name").and_then(Value::as_str).unwrap_or(DEFAULT_NAME)
    }
}

/// The name that all groups give this node, if they agree.
fn node_name<'a>(groups: impl Iterator<Item = &'a Accepted>) -> &'a str {
    let mut names = groups.filter_map(|group| refs::node_name(&group.resource));
    let Some(first) = names.next() else { return DEFAULT_NAME };
    if names.all(|name| name == first) { first } else { DEFAULT_NAME }
}

/// An effective config as the document that is printed. Serializes to JSON as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a>(pub &'a Effective);

impl Document<'_> {
    /// The document in YAML, ending in a line break.
    pub fn yaml(&self) -> String {
        let Effective { header, resources, .. } = self.0;
        let mut out = String::with_capacity(512 + resources.len() * 1024);
        emit_into(&mut out, &header.value());
        if header.spec.is_empty() {
            out.push_str("spec:\n");
        }
        if resources.is_empty() {
            out.push_str("  resources: []\n");
            return out;
        }
        out.push_str("  resources:\n");
        let mut piece = String::with_capacity(2048);
        for origin in resources {
            piece.clear();
            emit_into(&mut piece, &origin.body());
            push_item(&mut out, &piece);
        }
        out
    }

    /// The document in JSON, indented as people read it, ending in a line break.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let mut out = serde_json::to_string_pretty(self)?;
        out.push('\n');
        Ok(out)
    }
}

/// Puts a block at the place of a list item under `  resources:`. Empty lines, which only block
/// scalars have, stay empty.
fn push_item(out: &mut String, block: &str) {
    for (at, line) in block.split_inclusive('\n').enumerate() {
        match (at, line) {
            (0, _) => out.push_str("  - "),
            (_, "\n") => {}
            _ => out.push_str("    "),
        }
        out.push_str(line);
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let header = &self.0.header;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("apiVersion", router::API_VERSION)?;
        map.serialize_entry("kind", refs::ROUTER)?;
        map.serialize_entry("metadata", &header.metadata)?;
        map.serialize_entry("spec", &Spec(self.0))?;
        map.end()
    }
}

struct Spec<'a>(&'a Effective);

impl Serialize for Spec<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let others = &self.0.header.spec;
        let mut map = serializer.serialize_map(Some(others.len() + 1))?;
        for (key, value) in others.iter() {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("resources", &Resources(&self.0.resources))?;
        map.end()
    }
}

struct Resources<'a>(&'a [Origin]);

impl Serialize for Resources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for origin in self.0 {
            seq.serialize_element(&*origin.body())?;
        }
        seq.end()
    }
}
