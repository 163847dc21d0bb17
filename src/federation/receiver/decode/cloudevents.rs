//! One CloudEvent 1.0 in the JSON format: `id`, `type`, `subject` and `time` are the event's own,
//! the last segment of `source` is its sourceNode, `data` is its payload. The group is the
//! listener's. The extensions `expirytime` (of the CloudEvents documents) and `dedupekey` have their
//! counterparts; any other attribute is ignored and counted.

use super::{no_event, time};
use crate::api::event::Event;
use crate::api::members::Members;
use crate::federation::receiver::refusal::Refusal;

pub(super) fn event(group: &str, json: &[u8]) -> Result<(Event, usize), Refusal> {
    let mut members = Members::read(json).map_err(no_event)?;
    let refuse = |why: String| Err(Refusal::NotAnEvent(why));
    let version = members.required("specversion").map_err(no_event)?;
    if version != "1.0" {
        return refuse(format!("specversion: {version:?}, expected \"1.0\""));
    }
    if members.take("data_base64").map_err(no_event)?.is_some_and(|data| data.get() != "null") {
        return refuse("data_base64: data must be an object of strings".to_owned());
    }
    if let Some(content_type) = members.nullable("datacontenttype").map_err(no_event)?
        && !is_json(&content_type)
    {
        return refuse(format!("datacontenttype: {content_type:?}, expected application/json"));
    }
    let mut text = |name| members.nullable(name).map_err(no_event).map(Option::unwrap_or_default);
    let (subject, dedupe_key) = (text("subject")?, text("dedupekey")?);
    let event = Event {
        id: members.required("id").map_err(no_event)?,
        group: group.to_owned(),
        r#type: members.required("type").map_err(no_event)?,
        source_node: source_node(&members.required("source").map_err(no_event)?).to_owned(),
        subject,
        dedupe_key,
        payload: members.texts("data").map_err(no_event)?.unwrap_or_default(),
        observed_at: time(&mut members, "time")?,
        expires_at: time(&mut members, "expirytime")?,
    };
    Ok((event, members.rest().len()))
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
