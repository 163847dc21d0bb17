//! `Value`: what is carried without being understood, as it was written.
//!
//! Plain data over serde. It exists because an opaque Kind's `version: 1.10`, `mode: 0755` and
//! `on: yes` must come out as they went in, which no number type survives. In JSON a scalar is what
//! the YAML 1.2 core schema says it is; in the store it is its text.

mod canonical;
mod codec;
mod json;
mod map;

pub use self::canonical::canonical_bytes;
pub(in crate::api) use self::codec::TOKEN;
pub use self::map::Map;

use crate::api::decode::Problem;
use crate::api::yaml::{Node, NodeKind, Resolved, Scalar};

/// A scalar, a list or a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A scalar: its text, and whether it stands without quotes.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Value>),
    /// A mapping in the order it was written.
    Map(Map),
}

/// Why something cannot be carried as a `Value`.
#[derive(Debug, thiserror::Error)]
#[error("cannot be carried as a value")]
pub struct ToValueError(#[source] serde_json::Error);

impl Value {
    /// The null that is written `null`.
    pub fn null() -> Self {
        Self::Scalar(Scalar::plain("null"))
    }

    /// A string.
    pub fn string(text: impl Into<Box<str>>) -> Self {
        Self::Scalar(Scalar::string(text))
    }

    /// What `source` serializes to in JSON.
    pub fn from_serialize(source: &impl serde::Serialize) -> Result<Self, ToValueError> {
        let json = serde_json::to_value(source).map_err(ToValueError)?;
        serde::Deserialize::deserialize(json).map_err(ToValueError)
    }

    /// The text of a scalar other than null, as a string field takes it: `1` for `1`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) if !self.is_null() => Some(scalar.text()),
            _ => None,
        }
    }

    /// The boolean, if this is one by the core schema.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Scalar(scalar) => match scalar.resolve() {
                Resolved::Bool(truth) => Some(truth),
                _ => None,
            },
            _ => None,
        }
    }

    /// The integer, if this is one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Scalar(scalar) => match scalar.resolve() {
                Resolved::Unsigned(number) => Some(number),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(scalar) if scalar.resolve() == Resolved::Null)
    }

    /// The items, if this is a list.
    pub fn as_seq(&self) -> Option<&[Self]> {
        match self {
            Self::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping, if this is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// The value at a path of keys with dots between: `spec.capture.type`. Keys that hold a dot
    /// themselves are out of its reach: use [`Value::get`].
    pub fn get_path(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |value, key| value.get(key))
    }
}

/// Carries a node. The error holds every fault under it; paths begin at the node.
impl TryFrom<&Node> for Value {
    type Error = Vec<Problem>;

    fn try_from(node: &Node) -> Result<Self, Self::Error> {
        convert(node).ok_or_else(|| node.faults(""))
    }
}

/// `None` if something under the node is invalid.
fn convert(node: &Node) -> Option<Value> {
    match &node.kind {
        NodeKind::Scalar { text, plain } => Some(Value::Scalar(scalar(text, *plain))),
        NodeKind::Seq(items) => items.iter().map(convert).collect::<Option<_>>().map(Value::Seq),
        NodeKind::Map(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for entry in entries {
                map.push(scalar(&entry.key.text, entry.key.plain), convert(&entry.value)?);
            }
            Some(Value::Map(map))
        }
        NodeKind::Invalid(_) => None,
    }
}

fn scalar(text: &str, plain: bool) -> Scalar {
    if plain { Scalar::plain(text) } else { Scalar::string(text) }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::string(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Scalar(Scalar::plain(if truth { "true" } else { "false" }))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Scalar(Scalar::plain(number.to_string()))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Scalar(Scalar::plain(number.to_string()))
    }
}

/// Written so that YAML 1.1 readers see a number too, which need a point before the exponent.
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        if number.is_nan() {
            return Self::Scalar(Scalar::plain(".nan"));
        }
        if number.is_infinite() {
            return Self::Scalar(Scalar::plain(if number > 0.0 { ".inf" } else { "-.inf" }));
        }
        let text = format!("{number:?}");
        let text = match text.split_once('e') {
            Some((digits, exponent)) => {
                let point = if digits.contains('.') { "" } else { ".0" };
                let sign = if exponent.starts_with('-') { "" } else { "+" };
                format!("{digits}{point}e{sign}{exponent}")
            }
            None => text,
        };
        Self::Scalar(Scalar::plain(text))
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Seq(items)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

#[cfg(test)]
mod tests;
