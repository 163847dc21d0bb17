//! `Value` through serde: JSON for people and plugins, text kept for the store.
//!
//! Formats for people (`is_human_readable`) get null, booleans, numbers and strings. Binary ones
//! get a scalar that stands without quotes as bytes and every other as a string, which costs
//! nothing and loses nothing. Reading takes either, from any format that describes itself.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Map, Value};
use crate::api::yaml::{Resolved, Scalar};

/// The newtype name by which our own deserializer knows that it may hand out text as written.
pub(in crate::api) const TOKEN: &str = "$routerd::Value";

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(scalar) => serialize_scalar(scalar, serializer),
            Self::Seq(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Self::Map(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.entries() {
            map.serialize_entry(&KeyOf(key), value)?;
        }
        map.end()
    }
}

fn serialize_scalar<S: Serializer>(scalar: &Scalar, serializer: S) -> Result<S::Ok, S::Error> {
    if !serializer.is_human_readable() && scalar.is_verbatim() {
        return serializer.serialize_bytes(scalar.text().as_bytes());
    }
    match scalar.resolve() {
        Resolved::Null => serializer.serialize_unit(),
        Resolved::Bool(truth) => serializer.serialize_bool(truth),
        Resolved::Unsigned(number) => serializer.serialize_u64(number),
        Resolved::Signed(number) => serializer.serialize_i64(number),
        Resolved::Float(number) => serializer.serialize_f64(number),
        Resolved::Str(text) => serializer.serialize_str(text),
    }
}

/// A key: text for people, bytes in the store if it stood without quotes.
struct KeyOf<'a>(&'a Scalar);

impl Serialize for KeyOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() && self.0.is_verbatim() {
            return serializer.serialize_bytes(self.0.text().as_bytes());
        }
        serializer.serialize_str(self.0.text())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TOKEN, ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(map) => Ok(map),
            _ => Err(de::Error::custom("expected a mapping")),
        }
    }
}

struct ValueVisitor;

/// Keys that are compared one by one.
const FEW_KEYS: usize = 16;

fn plain_bytes<E: de::Error>(bytes: &[u8]) -> Result<Scalar, E> {
    std::str::from_utf8(bytes).map(Scalar::plain).map_err(E::custom)
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::null())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::null())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        plain_bytes(bytes).map(Value::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::with_capacity(told(seq.size_hint()));
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        items.shrink_to_fit();
        Ok(Value::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::with_capacity(told(access.size_hint()));
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = access.next_key_seed(KeySeed)? {
            // Nearly all are small, and a scan of those is cheaper than a hash of each key.
            let twice = match map.len() {
                0..FEW_KEYS => map.get(key.text()).is_some(),
                FEW_KEYS => {
                    seen.extend(map.iter().map(|(key, _)| Box::<str>::from(key)));
                    !seen.insert(Box::from(key.text()))
                }
                _ => !seen.insert(Box::from(key.text())),
            };
            if twice {
                return Err(de::Error::custom(format_args!("key {:?} given twice", key.text())));
            }
            map.push(key, access.next_value()?);
        }
        map.shrink_to_fit();
        Ok(Value::Map(map))
    }
}

/// Room for as many entries as a decoder announces, within reason: what it announces may be a lie.
fn told(size: Option<usize>) -> usize {
    size.unwrap_or(0).min(64)
}

/// Reads a key by the same convention as a scalar.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_newtype_struct(TOKEN, self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Scalar, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::string(text))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Scalar, E> {
        plain_bytes(bytes)
    }
}
