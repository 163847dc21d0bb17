//! A dynamic resource as it is shown: the annotations that name its cause, and no inline keys.
//!
//! Pure.

use super::proposal::Proposal;
use crate::api::kinds::redact::redact;
use crate::api::object::annotation;
use crate::api::value::{Map, Value};

/// The body of a dynamic resource: its own annotations, then the four that name its cause.
pub(super) fn annotated(proposal: &Proposal) -> Value {
    let part = proposal.part();
    let mut body = redact(&proposal.resource().body, proposal.key()).into_owned();
    if let Some(annotations) = body
        .as_map_mut()
        .and_then(|map| mapping(map, "metadata"))
        .and_then(|m| mapping(m, "annotations"))
    {
        annotations.insert(annotation::SOURCE, part.source());
        annotations.insert(annotation::GROUP, part.group.as_str());
        annotations.insert(annotation::EVENT_ID, part.event_id.as_str());
        annotations.insert(annotation::SUBJECT, part.subject.as_str());
    }
    body
}

/// The mapping at `key`, made where there is none.
fn mapping<'a>(map: &'a mut Map, key: &str) -> Option<&'a mut Map> {
    if map.get(key).and_then(Value::as_map).is_none() {
        map.insert(key, Map::new());
    }
    map.get_mut(key)?.as_map_mut()
}
