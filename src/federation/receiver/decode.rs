//! From the bytes of a body to events: our own JSON, our batch, CloudEvents 1.0.
//!
//! Pure, and called only for bodies whose signature holds. Whatever the bytes are, the answer is
//! events or a refusal. Members that are not known are ignored and counted, so that a newer node may
//! say more; those that are known are strict.

mod cloudevents;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::refusal::Refusal;
use crate::api::event::Event;
use crate::api::payload::Payload;
use crate::federation::wire::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_EVENT_BYTES};

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One event.
    Event,
    /// `{"events": […]}`.
    Batch,
    /// One CloudEvent.
    CloudEvent,
    /// A list of CloudEvents.
    CloudEvents,
}

impl Format {
    /// The format of a body at the path of single events, by its content type.
    pub fn of(content_type: Option<&str>) -> Self {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/cloudevents+json") {
            Self::CloudEvent
        } else if essence.eq_ignore_ascii_case("application/cloudevents-batch+json") {
            Self::CloudEvents
        } else {
            Self::Event
        }
    }

    /// Bytes of such a body at most.
    pub fn limit(self) -> usize {
        match self {
            Self::Event | Self::CloudEvent => MAX_EVENT_BYTES,
            Self::Batch | Self::CloudEvents => MAX_BATCH_BYTES,
        }
    }

    /// Whether the answer is a list as well.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Batch | Self::CloudEvents)
    }
}

/// What a body holds.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded {
    /// In order; what is not an event is so for itself.
    pub events: Vec<Result<Event, Refusal>>,
    /// Members that are not known.
    pub ignored: usize,
}

/// Reads a body that came to the listener of `group`.
pub fn decode(format: Format, group: &str, body: &[u8]) -> Result<Decoded, Refusal> {
    let mut decoded = Decoded::default();
    match format {
        Format::Event => decoded.take(event(body)),
        Format::CloudEvent => decoded.take(cloudevents::event(group, body)),
        Format::Batch => {
            let batch: RawBatch<'_> = serde_json::from_slice(body).map_err(|e| not(&e))?;
            few(batch.events.len())?;
            batch.events.iter().for_each(|raw| decoded.take(event(raw.get().as_bytes())));
        }
        Format::CloudEvents => {
            let list: Vec<&RawValue> = serde_json::from_slice(body).map_err(|e| not(&e))?;
            few(list.len())?;
            let read = |raw: &&RawValue| cloudevents::event(group, raw.get().as_bytes());
            list.iter().for_each(|raw| decoded.take(read(raw)));
        }
    }
    Ok(decoded)
}

impl Decoded {
    fn take(&mut self, read: Result<(Event, usize), Refusal>) {
        self.events.push(read.and_then(|(event, ignored)| {
            event.validate().map_err(|error| Refusal::NotAnEvent(error.to_string()))?;
            self.ignored += ignored;
            Ok(event)
        }));
    }
}

#[derive(Deserialize)]
struct RawBatch<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

fn few(events: usize) -> Result<(), Refusal> {
    if events > MAX_BATCH_EVENTS {
        return Err(Refusal::TooMany(events));
    }
    Ok(())
}

fn not(error: &serde_json::Error) -> Refusal {
    Refusal::NotAnEvent(error.to_string())
}

/// The envelope, and how much of it is not known.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Incoming {
    id: String,
    group: String,
    r#type: String,
    #[serde(default)]
    source_node: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    dedupe_key: String,
    #[serde(default)]
    payload: Option<Payload>,
    #[serde(default)]
    observed_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// Counts members that no field takes; their values are not kept.
#[derive(Default)]
struct Unknown(usize);

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Unknown;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unknown, A::Error> {
                let mut count = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Unknown(count))
            }
        }
        deserializer.deserialize_map(Counter)
    }
}

fn event(json: &[u8]) -> Result<(Event, usize), Refusal> {
    let incoming: Incoming = serde_json::from_slice(json).map_err(|error| not(&error))?;
    let time = |field: &str, text: Option<String>| {
        let parsed = crate::api::event::time_of(text.as_deref());
        parsed.map_err(|error| Refusal::NotAnEvent(format!("{field}: {error}")))
    };
    let event = Event {
        id: incoming.id,
        group: incoming.group,
        r#type: incoming.r#type,
        source_node: incoming.source_node,
        subject: incoming.subject,
        dedupe_key: incoming.dedupe_key,
        payload: incoming.payload.unwrap_or_default(),
        observed_at: time("observedAt", incoming.observed_at)?,
        expires_at: time("expiresAt", incoming.expires_at)?,
    };
    Ok((event, incoming.unknown.0))
}

#[cfg(test)]
mod tests;
