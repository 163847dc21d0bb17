//! From `emit` to the part in the effective config, beside the bare spawn of the same plugin.
//!
//! Both take turns in one run, so that a loaded machine moves both.

use std::time::Duration;

use routerd::api::Time;

use super::Place;
use super::node::Node;
use super::prepare::event;
use super::report::{Goal, count, figure, percentile};
use super::visible::{observe, spawn};

/// Clients that are observed in turns: the config stays small, so asking for it stays cheap.
const CLIENTS: u32 = 8;

pub async fn run(place: &Place) {
    let node = Node::start(place, "latency");
    node.status_when(|status| status.objects >= 6).await;
    node.converged().await;
    let (mut asked, mut accepted, mut visible, mut bare) = (vec![], vec![], vec![], vec![]);
    let rounds = count(300, 20);
    for round in 0..rounds + CLIENTS {
        let now = Time::now();
        let event = event(round % CLIENTS, now, now + Duration::from_secs(1800));
        let took = observe(&node.client, &node.client, &event).await;
        let spawned = spawn(&place.plugin, &event);
        // The first observation of each client warms both up.
        if round >= CLIENTS {
            asked.push(took.question);
            accepted.push(took.accepted);
            visible.push(took.visible);
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
