//! What changed between two effective configs, resource by resource and field by field.
//!
//! Pure. Compares what is shown, so a new key behind the same redaction is no change.

use std::collections::BTreeMap;

use serde::Serialize;

use super::effective::Effective;
use super::proposal::Origin;
use crate::api::object::ObjectKey;
use crate::api::value::Value;

/// The difference between two effective configs, by identity. Empty for equal bytes, except that
/// resources which only trade places are not told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Fields of the document around the resources.
    pub document: Vec<FieldChange>,
    /// Resources that came.
    pub added: Vec<ObjectKey>,
    /// Resources that went.
    pub removed: Vec<ObjectKey>,
    /// Resources that stayed and show something else.
    pub changed: Vec<ResourceChange>,
}

/// One resource that shows something else.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceChange {
    /// Its identity.
    pub object: ObjectKey,
    /// Where.
    pub fields: Vec<FieldChange>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Such as `spec.capture.nicRef` or `spec.allowedIPs[1]`.
    pub path: String,
    /// What was there; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Diff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What leads from `before` to `after`.
pub fn diff(before: &Effective, after: &Effective) -> Diff {
    let by_key = |effective: &'_ Effective| -> BTreeMap<ObjectKey, Origin> {
        effective.resources.iter().map(|o| (o.key().clone(), o.clone())).collect()
    };
    let (old, new) = (by_key(before), by_key(after));
    let mut out = Diff::default();
    compare("", &before.header.value(), &after.header.value(), &mut out.document);
    out.removed.extend(old.keys().filter(|key| !new.contains_key(*key)).cloned());
    for (key, origin) in new {
        let Some(previous) = old.get(&key) else {
            out.added.push(key);
            continue;
        };
        let mut fields = Vec::new();
        compare("", &previous.body(), &origin.body(), &mut fields);
        if !fields.is_empty() {
            out.changed.push(ResourceChange { object: key, fields });
        }
    }
    out
}

/// What leads from one value to another, field by field; empty for equal ones.
pub fn differences(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found
}

/// Walks two values side by side. Recursion is bounded by the depth that the decoder allows.
fn compare(path: &str, before: &Value, after: &Value, out: &mut Vec<FieldChange>) {
    match (before, after) {
        (Value::Map(old), Value::Map(new)) => {
            let gone = old.iter().filter(|(key, _)| new.get(key).is_none());
            out.extend(gone.map(|(key, was)| change(join(path, key), Some(was), None)));
            for (key, is) in new.iter() {
                match old.get(key) {
                    Some(was) => compare(&join(path, key), was, is, out),
                    None => out.push(change(join(path, key), None, Some(is))),
                }
            }
        }
        (Value::Seq(old), Value::Seq(new)) => {
            for at in 0..old.len().max(new.len()) {
                let path = format!("{path}[{at}]");
                match (old.get(at), new.get(at)) {
                    (Some(was), Some(is)) => compare(&path, was, is, out),
                    (was, is) => out.push(change(path, was, is)),
                }
            }
        }
        (was, is) if was == is => {}
        (was, is) => out.push(change(path.to_owned(), Some(was), Some(is))),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn change(path: String, before: Option<&Value>, after: Option<&Value>) -> FieldChange {
    FieldChange { path, before: before.cloned(), after: after.cloned() }
}
