//! A resource as it is shown: the annotations that name its cause, and no inline keys.
//!
//! Pure.

use std::borrow::Cow;

use super::proposal::Proposal;
use crate::api::kinds::net;
use crate::api::object::{Resource, annotation};
use crate::api::value::{Map, Value};

/// What stands in place of an inline key.
const REDACTED: &str = "<redacted>";

/// The inline key of a Kind, if it has one.
fn inline_key(resource: &Resource) -> Option<&'static str> {
    if resource.key.api_version != net::API_VERSION {
        return None;
    }
    match resource.key.kind.as_str() {
        "WireGuardInterface" => Some("privateKey"),
        "WireGuardPeer" => Some("presharedKey"),
        _ => None,
    }
}

/// The body with its inline key, if any, put out of sight.
pub(super) fn redacted(resource: &Resource) -> Cow<'_, Value> {
    let held = inline_key(resource)
        .filter(|key| resource.body.get("spec").is_some_and(|spec| spec.get(key).is_some()));
    match held {
        None => Cow::Borrowed(&resource.body),
        Some(key) => {
            let mut body = resource.body.clone();
            let spec = body.as_map_mut().and_then(|map| map.get_mut("spec"));
            if let Some(spec) = spec.and_then(Value::as_map_mut) {
                spec.insert(key, REDACTED);
            }
            Cow::Owned(body)
        }
    }
}

/// The body of a dynamic resource: its own annotations, then the four that name its cause.
pub(super) fn annotated(proposal: &Proposal) -> Value {
    let part = proposal.part();
    let mut body = redacted(proposal.resource()).into_owned();
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
