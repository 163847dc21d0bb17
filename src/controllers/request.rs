//! What a plugin is told: the PluginRequest, and the environment of the run. Pure.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dispatch::Item;
use super::world::Fact;
use crate::api::Time;
use crate::api::kinds::plugin::{PluginSpec, Protocol};
use crate::api::plugin::{
    API_VERSION, PROTOCOL, PluginRequest, RequestEvent, RequestMetadata, RequestSpec, TOPIC,
    Trigger,
};

/// Where plugins find programs; nothing of the daemon's own environment is inherited.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One item of a run with what it speaks of.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The due run.
    pub item: Item,
    /// Its fact, whose newest event is the one that the run answers.
    pub fact: Arc<Fact>,
    /// Generation of the part in force, 0 without one.
    pub previous_generation: u64,
}

/// The request for a run of `subjects`.
pub fn request(plugin: &str, subscription: &str, subjects: &[Subject], now: Time) -> PluginRequest {
    let events: Vec<RequestEvent> = subjects
        .iter()
        .map(|subject| RequestEvent {
            event: subject.fact.event.clone(),
            run_key: subject.item.due.run_key.clone(),
            previous_dynamic_generation: subject.previous_generation,
        })
        .collect();
    let single = match events.as_slice() {
        [only] => Some(only.run_key.clone()),
        _ => None,
    };
    PluginRequest {
        api_version: API_VERSION.to_owned(),
        kind: "PluginRequest".to_owned(),
        metadata: RequestMetadata { name: plugin.to_owned() },
        spec: RequestSpec {
            trigger: Trigger {
                r#type: "federation-subscription".to_owned(),
                topic: format!("{TOPIC}{subscription}"),
            },
            now,
            run_key: single,
            startup_config_hash: String::new(),
            previous_dynamic_generation: subjects.first().map_or(0, |s| s.previous_generation),
            events,
        },
    }
}

/// The complete environment of a run: PATH unless the plugin sets its own, the plugin's `env`, and
/// the run's variables. A process that serves many runs learns its protocol instead of a run key.
pub fn environment(name: &str, spec: &PluginSpec, run_key: &str) -> Vec<(String, String)> {
    let mut env = Vec::with_capacity(spec.env.len() + 4);
    if !spec.env.contains_key("PATH") {
        env.push(("PATH".to_owned(), PATH.to_owned()));
    }
    env.extend(spec.env.iter().map(|(key, value)| (key.clone(), value.clone())));
    env.push(("ROUTERD_PLUGIN_NAME".to_owned(), name.to_owned()));
    if spec.protocol == Protocol::Stream {
        env.push((PROTOCOL.to_owned(), spec.protocol.as_str().to_owned()));
        return env;
    }
    env.push(("ROUTERD_RUN_KEY".to_owned(), run_key.to_owned()));
    env.push(("TRACEPARENT".to_owned(), traceparent(run_key)));
    env
}

/// A W3C trace context whose trace is the run: the same key gives the same trace, so that a
/// repeated run is found beside the one it repeats.
fn traceparent(run_key: &str) -> String {
    let hex: String = run_key
        .chars()
        .filter(char::is_ascii_hexdigit)
        .chain("0".repeat(32).chars())
        .take(32)
        .collect();
    format!("00-{hex}-{}-01", &hex[..16])
}

/// The key that names a whole run: the item's own, or one made of all of them.
pub fn batch_key(subjects: &[Subject]) -> String {
    if let [only] = subjects {
        return only.item.due.run_key.clone();
    }
    let mut hash = Sha256::new();
    subjects.iter().for_each(|subject| hash.update(subject.item.due.run_key.as_bytes()));
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests;
