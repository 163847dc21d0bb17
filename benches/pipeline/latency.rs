//! From `emit` to the part in the effective config, beside the bare spawn of the same plugin.
//!
//! Both take turns in one run, so that a loaded machine moves both. "Visible" is when the control
//! API answers that the effective config has another revision. It was asked for that before, as who
//! consumes the config asks, so nothing but the path itself takes the processors meanwhile.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::control::client::{Client, Target};
use routerd::control::{Answer, EffectiveRevision};
use serde_json::json;

use super::Place;
use super::node::Node;
use super::prepare::event;
use super::report::{Goal, count, figure, percentile};

/// Clients that are observed in turns: the config stays small, so asking for it stays cheap.
const CLIENTS: u32 = 8;
/// How long a question is given to arrive.
const ARRIVAL: Duration = Duration::from_millis(3);

pub async fn run(place: &Place) {
    let node = Node::start(place, "latency");
    node.status_when(|status| status.objects >= 6).await;
    node.converged().await;
    let (mut asked, mut accepted, mut visible, mut bare) = (vec![], vec![], vec![], vec![]);
    let rounds = count(300, 20);
    for round in 0..rounds + CLIENTS {
        let begun = Instant::now();
        let before = revision(&node.client, None).await;
        let question = begun.elapsed();
        let client = node.client.clone();
        let watch = tokio::spawn(async move {
            let after = revision(&client, Some(&before)).await;
            assert!(after != before, "the part never came");
            Instant::now()
        });
        tokio::time::sleep(ARRIVAL).await;
        let now = Time::now();
        let event = event(round % CLIENTS, now, now + Duration::from_secs(1800));
        let begun = Instant::now();
        let answer: Answer = node
            .client
            .post(&Target::new("/v1/events"), &event, Duration::ZERO)
            .await
            .expect("an accepted event");
        let taken = begun.elapsed();
        assert!(answer.accepted, "{answer:?}");
        let seen = watch.await.expect("an answer").duration_since(begun);
        let spawned = spawn(&place.plugin, &event);
        // The first observation of each client warms both up.
        if round >= CLIENTS {
            asked.push(question);
            accepted.push(taken);
            visible.push(seen);
            bare.push(spawned);
        }
    }
    let (p50, spawn) = (percentile(&mut visible, 50), percentile(&mut bare, 50));
    figure(
        "latency: one question to the daemon, p50",
        percentile(&mut asked, 50),
        "ms",
        Goal::None,
    );
    figure("latency: emit → accepted, p50", percentile(&mut accepted, 50), "ms", Goal::None);
    figure("latency: bare spawn of the plugin, p50", spawn, "ms", Goal::None);
    figure("latency: emit → part visible, p50", p50, "ms", Goal::AtMost(spawn + 2.0));
    figure("latency: emit → part visible, p99", percentile(&mut visible, 99), "ms", Goal::None);
    node.stop();
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
fn spawn(plugin: &Path, event: &routerd::api::event::Event) -> Duration {
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
