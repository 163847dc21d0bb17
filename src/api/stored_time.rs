//! Times through serde, for the fields of rows of which there are many: RFC 3339 for people, a
//! number in the store.
//!
//! As text a time takes 31 bytes of a row that holds up to seven of them, and has to be parsed. In formats that are not for people it is the nanoseconds since 1970
//! where they fit into 64 bits (from 1677 to 2262), else text. Reading takes either, so rows of
//! before, which have text, read as they did.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Time;

/// For `#[serde(with = "stored_time")]`.
pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(time.as_nanosecond()) {
        Ok(nanoseconds) if !serializer.is_human_readable() => serializer.serialize_i64(nanoseconds),
        _ => time.serialize(serializer),
    }
}

/// For `#[serde(with = "stored_time")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    if deserializer.is_human_readable() {
        Time::deserialize(deserializer)
    } else {
        deserializer.deserialize_any(Either)
    }
}

/// For `#[serde(default, with = "stored_time::optional")]`.
pub mod optional {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Time};

    /// A time that may be absent.
    pub fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        time.map(Stored).serialize(to)
    }

    /// A time that may be absent or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        let time: Option<Stored> = Option::deserialize(from)?;
        Ok(time.map(|Stored(time)| time))
    }

    /// What stands in the option.
    #[derive(Serialize, Deserialize)]
    struct Stored(#[serde(with = "super")] Time);
}

/// Takes a number and a text.
struct Either;

impl de::Visitor<'_> for Either {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nanoseconds since 1970, or a time as text")
    }

    fn visit_i64<E: de::Error>(self, nanoseconds: i64) -> Result<Time, E> {
        Time::from_nanosecond(nanoseconds.into()).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, nanoseconds: u64) -> Result<Time, E> {
        Time::from_nanosecond(nanoseconds.into()).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests;
