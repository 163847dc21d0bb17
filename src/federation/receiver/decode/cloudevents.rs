//! One CloudEvent 1.0 in the JSON format: `id`, `type`, `subject` and `time` are the event's own,
//! the last segment of `source` is its sourceNode, `data` is its payload. The group is the
//! listener's. The extensions `expirytime` (of the CloudEvents documents) and `dedupekey` have their
//! counterparts; any other attribute is ignored and counted.

use serde::Deserialize;

use super::{Unknown, not};
use crate::api::event::{Event, time_of};
use crate::api::payload::Payload;
use crate::federation::receiver::refusal::Refusal;

#[derive(Deserialize)]
struct Incoming {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    datacontenttype: Option<String>,
    #[serde(default)]
    data: Option<Payload>,
    #[serde(default)]
    data_base64: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    expirytime: Option<String>,
    #[serde(default)]
    dedupekey: Option<String>,
    #[serde(flatten)]
    unknown: Unknown,
}

pub(super) fn event(group: &str, json: &[u8]) -> Result<(Event, usize), Refusal> {
    let incoming: Incoming = serde_json::from_slice(json).map_err(|error| not(&error))?;
    let refuse = |why: String| Err(Refusal::NotAnEvent(why));
    if incoming.specversion != "1.0" {
        return refuse(format!("specversion: {:?}, expected \"1.0\"", incoming.specversion));
    }
    if incoming.data_base64.is_some() {
        return refuse("data_base64: data must be an object of strings".to_owned());
    }
    if let Some(content_type) = &incoming.datacontenttype
        && !is_json(content_type)
    {
        return refuse(format!("datacontenttype: {content_type:?}, expected application/json"));
    }
    let time = |attribute: &str, text: Option<String>| {
        let parsed = time_of(text.as_deref());
        parsed.map_err(|error| Refusal::NotAnEvent(format!("{attribute}: {error}")))
    };
    let event = Event {
        id: incoming.id,
        group: group.to_owned(),
        r#type: incoming.r#type,
        source_node: source_node(&incoming.source).to_owned(),
        subject: incoming.subject.unwrap_or_default(),
        dedupe_key: incoming.dedupekey.unwrap_or_default(),
        payload: incoming.data.unwrap_or_default(),
        observed_at: time("time", incoming.time)?,
        expires_at: time("expirytime", incoming.expirytime)?,
    };
    Ok((event, incoming.unknown.0))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.eq_ignore_ascii_case("text/json")
}

/// The last segment of the path of a URI reference, as it stands there.
fn source_node(source: &str) -> &str {
    let path = source.split(['?', '#']).next().unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().unwrap_or_default()
}
