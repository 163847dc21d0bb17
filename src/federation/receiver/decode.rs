//! From the bytes of a body to events: our own JSON, our batch, CloudEvents 1.0.
//!
//! Pure, and called only for bodies whose signature holds. Whatever the bytes are, the answer is
//! events or a refusal. Members that are not known are ignored and counted, so that a newer node may
//! say more; those that are known are strict.

mod cloudevents;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal::Refusal;
use crate::api::Time;
use crate::api::event::{Event, time_of};
use crate::api::members::{Members, MembersError};
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
#[serde(expecting = "an object with the list events")]
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

fn no_event(error: MembersError) -> Refusal {
    Refusal::NotAnEvent(error.to_string())
}

/// Reads a time that may be null.
fn time(members: &mut Members<'_>, name: &str) -> Result<Option<Time>, Refusal> {
    let text = members.nullable(name).map_err(no_event)?;
    time_of(text.as_deref()).map_err(|error| Refusal::NotAnEvent(format!("{name}: {error}")))
}

/// The event, and how many members are not known.
fn event(json: &[u8]) -> Result<(Event, usize), Refusal> {
    let mut members = Members::read(json).map_err(no_event)?;
    let mut text = |name| members.text(name).map_err(no_event).map(Option::unwrap_or_default);
    let (source_node, subject, dedupe_key) =
        (text("sourceNode")?, text("subject")?, text("dedupeKey")?);
    let event = Event {
        id: members.required("id").map_err(no_event)?,
        group: members.required("group").map_err(no_event)?,
        r#type: members.required("type").map_err(no_event)?,
        source_node,
        subject,
        dedupe_key,
        payload: members.texts("payload").map_err(no_event)?.unwrap_or_default(),
        observed_at: time(&mut members, "observedAt")?,
        expires_at: time(&mut members, "expiresAt")?,
    };
    Ok((event, members.rest().len()))
}

#[cfg(test)]
mod tests;
