//! How long an event takes to show in the effective config, beside the bare spawn of the plugin.
//!
//! "Visible" is when the control API answers that the effective config has another revision. It was
//! asked for that before, as who consumes the config asks, so nothing but the path itself takes the
//! processors meanwhile.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::api::event::Event;
use routerd::control::client::{Client, Target};
use routerd::control::{Answer, EffectiveRevision};
use serde_json::json;

/// How long a question is given to arrive.
const ARRIVAL: Duration = Duration::from_millis(3);

/// What one observation took.
pub struct Took {
    /// The question which revision there is now.
    pub question: Duration,
    /// From the emit to its answer.
    pub accepted: Duration,
    /// From the emit to another effective config.
    pub visible: Duration,
}

/// Emits an event on one node, and waits for what comes of it on one, which may be another.
pub async fn observe(emitting: &Client, consuming: &Client, event: &Event) -> Took {
    let begun = Instant::now();
    let before = revision(consuming, None).await;
    let question = begun.elapsed();
    let consumer = consuming.clone();
    let watch = tokio::spawn(async move {
        let after = revision(&consumer, Some(&before)).await;
        assert!(after != before, "the part never came");
        Instant::now()
    });
    tokio::time::sleep(ARRIVAL).await;
    let begun = Instant::now();
    let answer = emitting.post(&Target::new("/v1/events"), event, Duration::ZERO).await;
    let answer: Answer = answer.expect("an accepted event");
    let accepted = begun.elapsed();
    assert!(answer.accepted, "{answer:?}");
    let visible = watch.await.expect("an answer").duration_since(begun);
    Took { question, accepted, visible }
}

/// The revision of the effective config: of now, or the next one after another.
async fn revision(client: &Client, after: Option<&EffectiveRevision>) -> EffectiveRevision {
    let mut target = Target::new("/v1/revision");
    if let Some(seen) = after {
        target = target.query("after", &seen.revision.to_string()).query("digest", &seen.digest);
    }
    client.get(&target).await.expect("an answer")
}

/// The least that gives the plugin a request and takes its answer.
pub fn spawn(plugin: &Path, event: &Event) -> Duration {
    let mut spoken = serde_json::to_value(event).expect("plain data");
    spoken["runKey"] = json!("0123456789abcdef");
    spoken["previousDynamicGeneration"] = json!(1);
    let request = json!({
        "apiVersion": "plugin.routerd.net/v1alpha1",
        "kind": "PluginRequest",
        "metadata": {"name": "event-to-remote-claim"},
        "spec": {
            "trigger": {"type": "federation-subscription", "topic": "routerd.federation.subscription/cloud-claims"},
            "now": Time::now(), "runKey": "0123456789abcdef", "startupConfigHash": "",
            "previousDynamicGeneration": 1, "events": [spoken],
        },
    });
    let input = serde_json::to_vec(&request).expect("plain data");
    let begun = Instant::now();
    let mut child = Command::new(plugin)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    child.stdin.take().expect("stdin").write_all(&input).expect("write");
    let mut out = Vec::new();
    child.stdout.take().expect("stdout").read_to_end(&mut out).expect("read");
    child.stderr.take().expect("stderr").read_to_end(&mut out).expect("read");
    assert!(child.wait().expect("wait").success() && !out.is_empty());
    begun.elapsed()
}
