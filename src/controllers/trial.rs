//! One run of a plugin for an operator: the process, the limits and the judgement of every run, and
//! nothing is stored, matched or remembered.

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::process::{run_spec, verdict};
use super::verdict::{Fault, Verdict};
use crate::api::fact::add;
use crate::api::kinds::plugin::{PluginSpec, Protocol};
use crate::api::plugin::{
    API_VERSION, PluginRequest, RequestEvent, RequestMetadata, RequestSpec, TOPIC, Trigger,
};
use crate::api::{Time, event::Event};
use crate::plugin::{Exit, HostError, Spawner, StderrTail, WarmSpec};
use sha2::{Digest, Sha256};

/// What came of it.
#[derive(Debug)]
pub struct Trial {
    /// How the process ended; a warm one that answered lives on, and that is status 0.
    pub exit: Exit,
    /// What it answered.
    pub stdout: Bytes,
    /// The end of what it said beside that.
    pub stderr: StderrTail,
    /// From its start, or from the request to a warm one, to its end.
    pub duration: Duration,
    /// What the answer is worth, event by event.
    pub verdict: Result<Verdict, Fault>,
}

/// A request as the daemon would make it for these events, with run keys that are none of its own.
pub fn request(plugin: &str, subscription: &str, events: Vec<Event>, now: Time) -> PluginRequest {
    let events: Vec<RequestEvent> = events
        .into_iter()
        .map(|event| RequestEvent {
            run_key: hex::encode(&Sha256::digest(format!("trial {}", event.id))[..16]),
            event,
            previous_dynamic_generation: 0,
        })
        .collect();
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
            run_key: match events.as_slice() {
                [only] => Some(only.run_key.clone()),
                _ => None,
            },
            startup_config_hash: String::new(),
            previous_dynamic_generation: events
                .first()
                .map_or(0, |event| event.previous_dynamic_generation),
            events,
        },
    }
}

/// Runs the plugin with this very request. It is judged as if it ran at the request's own time, so
/// that what was asked long ago is answered as it was then.
pub async fn trial(
    spawner: &dyn Spawner,
    name: &str,
    plugin: &PluginSpec,
    request: &PluginRequest,
    cancel: CancellationToken,
) -> Result<Trial, HostError> {
    let stdin = serde_json::to_vec(request).expect("a request is plain data");
    let key = request.spec.run_key.clone().unwrap_or_else(|| "trial".to_owned());
    let mut spec = run_spec(name, plugin, &key, stdin.into());
    if plugin.protocol == Protocol::Stream {
        spec.warm = Some(WarmSpec { pool: name.to_owned(), version: "trial".to_owned() });
    }
    let mut outcome = spawner.run(spec, cancel).await?;
    if let Some(lease) = outcome.lease.take() {
        lease.keep();
    }
    let ids: Vec<&str> = request.spec.events.iter().map(|item| item.event.id.as_str()).collect();
    let now = request.spec.now;
    let verdict = verdict(&outcome, plugin, &ids, (now, add(now, outcome.duration)));
    Ok(Trial {
        exit: outcome.exit,
        stdout: outcome.stdout,
        stderr: outcome.stderr,
        duration: outcome.duration,
        verdict,
    })
}
