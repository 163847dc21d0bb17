//! The event envelope: what one node observed, as it travels and as it is kept.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::Time;
use super::payload::Payload;
use super::stored_time;

/// The longest `id`, in bytes.
pub const MAX_ID: usize = 256;
/// The longest `type`, `subject`, `dedupeKey`, `sourceNode` and `group`, in bytes.
pub const MAX_WORD: usize = 512;
/// The largest payload, encoded as JSON, in bytes.
pub const MAX_PAYLOAD: usize = 32 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique within the group; the same id with other content is a conflict.
    pub id: String,
    /// The EventGroup it belongs to.
    pub group: String,
    /// Such as `routerd.client.ipv4.observed`.
    pub r#type: String,
    /// The node that observed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_node: String,
    /// What it is about, such as `10.88.60.9/32`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Names the fact where the subject does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dedupe_key: String,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Payload::is_empty", deserialize_with = "nullable")]
    pub payload: Payload,
    /// When it was observed, by the observer's clock; absent means the time of receipt.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "envelope_time")]
    pub observed_at: Option<Time>,
    /// When it stops being true; absent leaves it to the group's `retention.maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "envelope_time")]
    pub expires_at: Option<Time>,
}

fn nullable<'de, D: Deserializer<'de>>(d: D) -> Result<Payload, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A time of the envelope: as people and peers write it, or as rows have it.
mod envelope_time {
    use super::{Deserialize, Deserializer, Time, stored_time, time_of};

    pub(super) use stored_time::optional::serialize;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Time>, D::Error> {
        if !d.is_human_readable() {
            return stored_time::optional::deserialize(d);
        }
        let text: Option<String> = Option::deserialize(d)?;
        time_of(text.as_deref()).map_err(serde::de::Error::custom)
    }
}

/// A text that no time is read from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotATime {
    /// It is not written as one.
    #[error("{0:?} is not an RFC 3339 time (write it like 2026-05-30T12:00:00Z)")]
    Malformed(String),
    /// It is one, and too late to be computed with.
    #[error("{0:?} is after {max}, the latest time that is understood", max = Time::MAX)]
    TooLate(String),
}

/// Reads a time of the envelope. Those at or before year 1 mean absent: it is how Go programs write
/// a zero time. So does the empty text.
pub fn time_of(text: Option<&str>) -> Result<Option<Time>, NotATime> {
    const YEAR_ONE: i64 = -62_135_596_800;
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    let refusal = if is_time(text) { NotATime::TooLate } else { NotATime::Malformed };
    let time: Time = text.parse().map_err(|_| refusal(text.to_owned()))?;
    Ok((time.as_nanosecond() > i128::from(YEAR_ONE) * 1_000_000_000).then_some(time))
}

/// Whether a text that is no instant is written as one all the same: the last day of the calendar
/// is kept free, so that every instant has a date at every offset.
fn is_time(text: &str) -> bool {
    jiff::fmt::temporal::Pieces::parse(text)
        .is_ok_and(|pieces| pieces.time().is_some() && pieces.offset().is_some())
}

/// Why an event cannot be taken, whoever sends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A member that must be there is absent or empty.
    #[error("{field}: is required")]
    Missing {
        /// The member.
        field: &'static str,
    },
    /// A member is over its limit.
    #[error("{field}: is {size} bytes; {limit} at most")]
    TooLong {
        /// The member.
        field: &'static str,
        /// What it measures.
        size: usize,
        /// What it may measure.
        limit: usize,
    },
    /// A member holds a control character.
    #[error("{field}: holds the control character U+{code:04X}")]
    Control {
        /// The member.
        field: &'static str,
        /// The character.
        code: u32,
    },
    /// `observedAt` is further ahead than `replayWindow` allows.
    #[error(
        "observedAt: {observed_at} is further ahead of this node's {now} than the replayWindow of {window:?}; check the sender's clock"
    )]
    Future {
        /// What it says.
        observed_at: Time,
        /// This node's time.
        now: Time,
        /// The group's window.
        window: Duration,
    },
}

impl Event {
    /// Checks the members and their limits.
    pub fn validate(&self) -> Result<(), EventError> {
        word("id", &self.id, MAX_ID, true)?;
        word("group", &self.group, MAX_WORD, true)?;
        word("type", &self.r#type, MAX_WORD, true)?;
        word("sourceNode", &self.source_node, MAX_WORD, false)?;
        word("subject", &self.subject, MAX_WORD, false)?;
        word("dedupeKey", &self.dedupe_key, MAX_WORD, false)?;
        for (key, value) in self.payload.iter() {
            control("payload", key)?;
            // Line breaks and tabs are text; what moves a terminal's cursor is not.
            control("payload", value.trim_matches(['\n', '\r', '\t'])).or_else(|e| {
                if value.contains(['\n', '\r', '\t']) { inner(value) } else { Err(e) }
            })?;
        }
        let size = encoded_size(&self.payload);
        if size > MAX_PAYLOAD {
            return Err(EventError::TooLong { field: "payload", size, limit: MAX_PAYLOAD });
        }
        Ok(())
    }

    /// Checks `observedAt` against this node's time. A request's timestamp is in whole seconds: a
    /// clock that passes by it does not fail by the fraction of the event's own time.
    pub fn validate_time(&self, now: Time, window: Duration) -> Result<(), EventError> {
        let latest = window.saturating_add(Duration::from_secs(1));
        match self.observed_at {
            Some(observed_at) if observed_at.duration_since(now) >= signed(latest) => {
                Err(EventError::Future { observed_at, now, window })
            }
            _ => Ok(()),
        }
    }

    /// What names the fact among those of one (group, sourceNode, type).
    pub fn fact_name(&self) -> &str {
        if !self.dedupe_key.is_empty() && self.dedupe_key != self.id {
            &self.dedupe_key
        } else if !self.subject.is_empty() {
            &self.subject
        } else {
            &self.id
        }
    }

    /// Whether the two say the same: all but the times and the identity itself.
    pub fn has_content_of(&self, other: &Self) -> bool {
        self.r#type == other.r#type
            && self.source_node == other.source_node
            && self.subject == other.subject
            && self.dedupe_key == other.dedupe_key
            && self.payload == other.payload
    }

    /// Digest of the content, see [`Event::has_content_of`].
    pub fn content_digest(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for part in [&self.r#type, &self.source_node, &self.subject, &self.dedupe_key] {
            feed(&mut hash, part);
        }
        for (key, value) in self.payload.iter() {
            feed(&mut hash, key);
            feed(&mut hash, value);
        }
        first16(&hash.finalize())
    }
}

fn inner(value: &str) -> Result<(), EventError> {
    control("payload", &value.replace(['\n', '\r', '\t'], " "))
}

fn signed(window: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(window).unwrap_or(jiff::SignedDuration::MAX)
}

fn word(field: &'static str, text: &str, limit: usize, required: bool) -> Result<(), EventError> {
    if required && text.trim().is_empty() {
        return Err(EventError::Missing { field });
    }
    if text.len() > limit {
        return Err(EventError::TooLong { field, size: text.len(), limit });
    }
    control(field, text)
}

fn control(field: &'static str, text: &str) -> Result<(), EventError> {
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(c) => Err(EventError::Control { field, code: u32::from(c) }),
    }
}

fn encoded_size(payload: &Payload) -> usize {
    // Cheap upper bound first: most payloads are a few hundred bytes.
    let raw: usize = payload.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
    if raw * 6 <= MAX_PAYLOAD {
        return raw;
    }
    serde_json::to_vec(payload).map_or(usize::MAX, |encoded| encoded.len())
}

/// Feeds one length-prefixed text, so that no two lists of texts hash alike.
pub(crate) fn feed(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

pub(crate) fn first16(digest: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: serde_json::Value) -> Event {
        serde_json::from_value(json).unwrap()
    }

    fn minimal() -> Event {
        event(serde_json::json!({"id": "e", "group": "g", "type": "t"}))
    }

    #[test]
    fn a_zero_time_and_a_null_payload_mean_absent() {
        let parsed = event(serde_json::json!({
            "id": "e", "group": "g", "type": "t", "payload": null,
            "observedAt": "0001-01-01T00:00:00Z", "expiresAt": "",
        }));
        assert_eq!(parsed, minimal());
    }

    #[test]
    fn a_time_after_the_last_one_is_refused_by_its_limit_and_not_by_its_form() {
        assert!(time_of(Some("9999-12-30T22:00:00Z")).unwrap().is_some());
        for late in ["9999-12-31T23:59:59Z", "9999-12-31T00:00:00+01:00"] {
            let error = time_of(Some(late)).unwrap_err().to_string();
            assert!(error.contains("after 9999-12-30T22:00:00"), "{error}");
        }
        for none in ["tomorrow", "9999-12-31", "9999-13-01T00:00:00Z", "9999-12-31T23:59:59"] {
            let error = time_of(Some(none)).unwrap_err().to_string();
            assert!(error.contains("not an RFC 3339 time"), "{error}");
        }
    }

    #[test]
    fn limits_and_control_characters_are_named() {
        let mut blank = minimal();
        blank.r#type = "  ".into();
        assert_eq!(blank.validate(), Err(EventError::Missing { field: "type" }));
        let mut long = minimal();
        long.id = "x".repeat(257);
        assert_eq!(
            long.validate(),
            Err(EventError::TooLong { field: "id", size: 257, limit: MAX_ID })
        );
        let mut bell = minimal();
        bell.subject = "a\u{7}".into();
        assert_eq!(bell.validate(), Err(EventError::Control { field: "subject", code: 7 }));
        let mut escape = minimal();
        escape.payload = escape.payload.with("k", "a\n\u{1b}[2J");
        assert_eq!(escape.validate(), Err(EventError::Control { field: "payload", code: 0x1b }));
        let mut text = minimal();
        text.payload = text.payload.with("k", "two\nlines\t");
        assert_eq!(text.validate(), Ok(()));
        let mut big = minimal();
        big.payload = big.payload.with("k", &"\"".repeat(17_000));
        assert!(matches!(big.validate(), Err(EventError::TooLong { field: "payload", .. })));
    }

    #[test]
    fn content_ignores_times_and_nothing_else() {
        let base = minimal();
        let mut later = base.clone();
        later.observed_at = Some(Time::UNIX_EPOCH);
        later.expires_at = Some(Time::UNIX_EPOCH);
        assert_eq!(base.content_digest(), later.content_digest());
        let mut moved = base.clone();
        moved.subject = "s".into();
        let mut deduped = base.clone();
        deduped.dedupe_key = "s".into();
        let mut paid = base.clone();
        paid.payload = paid.payload.with("a", "b");
        for other in [&moved, &deduped, &paid] {
            assert_ne!(base.content_digest(), other.content_digest());
        }
        assert_ne!(moved.content_digest(), deduped.content_digest());
    }

    #[test]
    fn the_fact_is_named_by_dedupe_key_then_subject_then_id() {
        let mut e = minimal();
        assert_eq!(e.fact_name(), "e");
        e.subject = "s".into();
        assert_eq!(e.fact_name(), "s");
        e.dedupe_key = "e".into();
        assert_eq!(e.fact_name(), "s", "a dedupeKey that repeats the id names nothing");
        e.dedupe_key = "d".into();
        assert_eq!(e.fact_name(), "d");
    }
}
