//! This node's daemon on its control socket: what was told, what is claimed, and telling.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use routerd::api::Time;
use routerd::api::duration::GoDuration;
use routerd::api::payload::Payload;
use routerd::control::client::{Client, ClientError, Target};
use routerd::control::views::{EventList, EventView};
use routerd::control::{Answer, EffectiveRevision, EmitRequest, MAX_EVENTS_LISTED};
use serde_json::Value;

use crate::evidence::Told;

/// The event that says that a client is there.
pub const OBSERVED: &str = "routerd.client.ipv4.observed";
/// The event that takes that back.
pub const EXPIRED: &str = "routerd.client.ipv4.expired";

/// How long the daemon may take to write one event.
const EMITTING: Duration = Duration::from_secs(5);

/// The node, as one of its groups.
pub struct Node {
    client: Client,
    group: String,
    payload: Payload,
    ttl: Duration,
}

/// Why the node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The daemon did not answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is nobody to speak as.
    #[error("the daemon has no EventGroup {0:?} with a nodeName; add one to its manifests")]
    NoGroup(String),
}

impl Node {
    /// Speaks to the daemon on this socket. Each word holds for `ttl`; `payload` is said with it.
    pub fn new(socket: PathBuf, group: String, payload: Payload, ttl: Duration) -> Self {
        Self { client: Client::new(socket), group, payload, ttl }
    }

    /// What this node has told of clients, and what still holds.
    pub async fn told(&self) -> Result<BTreeMap<Ipv4Addr, Told>, NodeError> {
        let group = Target::new("/v1/objects/EventGroup").segment(&self.group);
        let group: Vec<Value> = self.client.get(&group).await?;
        let name = group.first().and_then(|group| group["spec"]["nodeName"].as_str());
        let name = name.ok_or_else(|| NodeError::NoGroup(self.group.clone()))?;
        let own = |event: &EventView| event.current && event.event.source_node == name;
        let mut told = BTreeMap::new();
        for observed in self.events(OBSERVED).await?.into_iter().filter(own) {
            if let Some(client) = address(&observed.event.subject)
                && observed.live
            {
                told.insert(client, observed);
            }
        }
        // What was taken back at the same time or later does not hold.
        for expired in self.events(EXPIRED).await?.into_iter().filter(own) {
            if let Some(client) = address(&expired.event.subject)
                && told
                    .get(&client)
                    .is_some_and(|told| told.event.observed_at <= expired.event.observed_at)
            {
                told.remove(&client);
            }
        }
        let told = told.into_iter();
        Ok(told
            .map(|(client, of)| (client, Told { id: of.event.id, until: of.live_until }))
            .collect())
    }

    async fn events(&self, of: &str) -> Result<Vec<EventView>, ClientError> {
        let events = Target::new("/v1/events").query("group", &self.group).query("type", of);
        let limit = MAX_EVENTS_LISTED.to_string();
        let list: EventList = self.client.get(&events.query("limit", &limit)).await?;
        Ok(list.items)
    }

    /// The addresses that the effective config has this node capture, and the revision that they
    /// are true of at least.
    pub async fn claimed(&self) -> Result<(BTreeSet<Ipv4Addr>, u64), ClientError> {
        // The revision first: what changes in between is seen twice, never missed.
        let now: EffectiveRevision = self.client.get(&Target::new("/v1/revision")).await?;
        let router: Value =
            self.client.get(&Target::new("/v1/render").query("format", "json")).await?;
        let resources = router["spec"]["resources"].as_array().into_iter().flatten();
        let claims = resources.filter(|of| of["kind"] == "RemoteAddressClaim");
        let addresses = claims.filter_map(|claim| address(claim["spec"]["address"].as_str()?));
        Ok((addresses.collect(), now.revision))
    }

    /// Waits until the effective config is another than that of `revision`, or for some seconds. A
    /// node whose state was replaced counts from the beginning again.
    pub async fn other_than(&self, revision: u64) -> Result<bool, ClientError> {
        let after = Target::new("/v1/revision").query("after", &revision.to_string());
        let now: EffectiveRevision = self.client.get(&after).await?;
        Ok(now.revision != revision)
    }

    /// Tells that a client is there; under the id of the present stretch it is a renewal. Returns
    /// what holds now.
    pub async fn observed(
        &self,
        client: Ipv4Addr,
        id: Option<String>,
        now: Time,
    ) -> Result<Told, ClientError> {
        let answer = self.emit(OBSERVED, client, id, self.ttl).await?;
        let until = now.checked_add(self.ttl).unwrap_or(Time::MAX);
        Ok(Told { id: answer.id, until })
    }

    /// Tells that a client is gone; the word holds for `ttl`.
    pub async fn expired(&self, client: Ipv4Addr, ttl: Duration) -> Result<(), ClientError> {
        self.emit(EXPIRED, client, None, ttl).await.map(drop)
    }

    async fn emit(
        &self,
        event_type: &str,
        client: Ipv4Addr,
        id: Option<String>,
        ttl: Duration,
    ) -> Result<Answer, ClientError> {
        let subject = format!("{client}/32");
        let payload = self.payload.with("address", &subject);
        let request = EmitRequest {
            id,
            group: self.group.clone(),
            r#type: event_type.to_owned(),
            subject: Some(subject),
            payload: Some(payload),
            ttl: Some(GoDuration(ttl).to_string()),
            ..EmitRequest::default()
        };
        self.client.post(&Target::new("/v1/events"), &request, EMITTING).await
    }
}

/// The address of `10.88.60.9/32`.
fn address(subject: &str) -> Option<Ipv4Addr> {
    subject.strip_suffix("/32")?.parse().ok()
}
