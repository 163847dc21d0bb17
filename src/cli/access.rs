//! Who answers: the daemon if one is there, else the store.
//!
//! One method for each question, so that no command knows the difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use serde::Deserialize;
use tokio::time::Instant;

use super::failure::{Failure, UNAVAILABLE};
use super::offline::{self, Opened};
use super::paths::Paths;
use crate::api::clock::Clock;
use crate::api::kinds::federation::EventGroupSpec;
use crate::api::part::Part;
use crate::control::client::{Client, ClientError, Target};
use crate::control::views::{
    DeliveryList, DeliverySummary, EventList, EventView, FailureView, ObjectView, PartView,
    PeerView, RunView, StatusView,
};
use crate::control::{
    Answer, Control, DeliveryFilter, EffectiveRevision, EmitRequest, EventFilter, Offline,
    RenderFormat, RenderReport, RetryAnswer, RetryRequest, WaitAnswer, WaitRequest, WorkAnswer,
    WorkFilter,
};
use crate::store::Store;

/// How long a daemon that is starting or stopping is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How long a daemon may take to say that it is there, which it does from memory: every command asks
/// that first, so none waits longer for one that is stopped or hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Who answers.
pub(super) enum Access {
    Daemon(Client),
    Store(Control),
}

/// A daemon's answer to `version`.
#[derive(Debug, Deserialize)]
pub(super) struct DaemonVersion {
    pub version: String,
}

/// The daemon's version, or why it does not say.
pub(super) async fn probe(client: &Client) -> Result<DaemonVersion, ClientError> {
    client.clone().patience(ANSWER_WAIT).get(&Target::new("/v1/version")).await
}

/// The daemon, for what nobody else can answer.
pub(super) async fn daemon(paths: &Paths) -> Result<Access, Failure> {
    let client = Client::new(&paths.socket);
    probe(&client).await?;
    Ok(Access::Daemon(client))
}

/// The daemon, or the store as it is.
pub(super) async fn reading(paths: &Paths, clock: &Arc<dyn Clock>) -> Result<Access, Failure> {
    match find(paths, clock, false).await? {
        Found::Daemon(client) => Ok(Access::Daemon(client)),
        Found::Store(store) => Ok(Access::Store(on_store(store, clock, Offline::new()))),
        Found::Nothing(failure) => Err(failure),
    }
}

/// The same; none if there is no store yet.
pub(super) async fn reading_if_any(
    paths: &Paths,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Access>, Failure> {
    match find(paths, clock, false).await? {
        Found::Daemon(client) => Ok(Some(Access::Daemon(client))),
        Found::Store(store) => Ok(Some(Access::Store(on_store(store, clock, Offline::new())))),
        Found::Nothing(_) => Ok(None),
    }
}

fn on_store(store: Store, clock: &Arc<dyn Clock>, offline: Offline) -> Control {
    Control::offline(store, Arc::clone(clock), offline)
}

/// The daemon, or a store that may be made for it. `groups` reads the manifests' EventGroups; it is
/// asked only without a daemon.
pub(super) async fn emitting(
    paths: &Paths,
    clock: &Arc<dyn Clock>,
    groups: impl FnOnce() -> BTreeMap<String, EventGroupSpec>,
) -> Result<Access, Failure> {
    let store = match find(paths, clock, false).await? {
        Found::Daemon(client) => return Ok(Access::Daemon(client)),
        Found::Store(store) => Some(store),
        Found::Nothing(_) => None,
    };
    let groups = groups();
    let store = match store {
        Some(store) => store,
        // Without a group nothing can be emitted: no reason to make a store.
        None if groups.is_empty() => {
            return Err(Failure::new(UNAVAILABLE, "no daemon, no store and no EventGroup")
                .hint("start routerd serve, or name the manifests with --config"));
        }
        None => match find(paths, clock, true).await? {
            Found::Daemon(client) => return Ok(Access::Daemon(client)),
            Found::Store(store) => store,
            Found::Nothing(failure) => return Err(failure),
        },
    };
    let offline = Offline::new().with_groups(groups);
    Ok(Access::Store(on_store(store, clock, offline)))
}

enum Found {
    Daemon(Client),
    Store(Store),
    Nothing(Failure),
}

async fn find(paths: &Paths, clock: &Arc<dyn Clock>, create: bool) -> Result<Found, Failure> {
    let client = Client::new(&paths.socket);
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match probe(&client).await {
            Ok(_) => return Ok(Found::Daemon(client)),
            Err(error) if error.is_unanswered() => {}
            Err(error) => return Err(error.into()),
        }
        match offline::open(&paths.state, clock.now(), create)? {
            Opened::Store(store) => return Ok(Found::Store(store)),
            Opened::Absent(failure) => return Ok(Found::Nothing(failure)),
            Opened::Locked if Instant::now() >= deadline => {
                let (state, socket) = (paths.state.display(), paths.socket.display());
                let message = format!("{state} is in use, and no routerd answers on {socket}");
                return Err(Failure::new(UNAVAILABLE, message)
                    .hint("if the daemon has another socket, name it with --socket"));
            }
            Opened::Locked => offline::pause().await,
        }
    }
}

impl Access {
    pub(super) async fn status(&self) -> Result<StatusView, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&Target::new("/v1/status")).await?),
            Self::Store(control) => Ok(control.status()?),
        }
    }

    pub(super) async fn objects(
        &self,
        kind: &str,
        name: Option<&str>,
    ) -> Result<Vec<ObjectView>, Failure> {
        match (self, name) {
            (Self::Daemon(client), _) => {
                let target = Target::new("/v1/objects").segment(kind);
                let target = name.into_iter().fold(target, Target::segment);
                Ok(client.get(&target).await?)
            }
            (Self::Store(control), Some(name)) => Ok(control.object(kind, name)?),
            (Self::Store(control), None) => Ok(control.objects(kind)?),
        }
    }

    pub(super) async fn parts(&self) -> Result<Vec<PartView>, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&Target::new("/v1/parts")).await?),
            Self::Store(control) => Ok(control.parts()?),
        }
    }

    pub(super) async fn part(&self, name: &str) -> Result<PartView, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&Target::new("/v1/parts").segment(name)).await?),
            Self::Store(control) => Ok(control.part(name)?),
        }
    }

    /// The parts as they are stored, inline secrets redacted.
    pub(super) async fn stored_parts(&self) -> Result<Vec<Part>, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&Target::new("/v1/parts:stored")).await?),
            Self::Store(control) => Ok(control.stored_parts()?),
        }
    }

    /// The kept runs, of one plugin or of all, the newest first.
    pub(super) async fn runs(&self, plugin: Option<&str>) -> Result<Vec<RunView>, Failure> {
        match self {
            Self::Daemon(client) => {
                let target = Target::new("/v1/runs");
                let target =
                    plugin.into_iter().fold(target, |target, name| target.query("plugin", name));
                Ok(client.get(&target).await?)
            }
            Self::Store(control) => Ok(control.runs(plugin, None)?),
        }
    }

    pub(super) async fn run(&self, number: u64) -> Result<RunView, Failure> {
        match self {
            Self::Daemon(client) => {
                Ok(client.get(&Target::new("/v1/runs").segment(&number.to_string())).await?)
            }
            Self::Store(control) => Ok(control.run(number)?),
        }
    }

    pub(super) async fn failures(&self) -> Result<Vec<FailureView>, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&Target::new("/v1/failures")).await?),
            Self::Store(control) => Ok(control.failures(None)?),
        }
    }

    pub(super) async fn retry(&self, filter: &WorkFilter) -> Result<WorkAnswer, Failure> {
        match self {
            Self::Daemon(client) => {
                Ok(client.post(&Target::new("/v1/retry"), filter, Duration::ZERO).await?)
            }
            Self::Store(control) => Ok(control.retry(filter).await?),
        }
    }

    pub(super) async fn rerun(&self, filter: &WorkFilter) -> Result<WorkAnswer, Failure> {
        match self {
            Self::Daemon(client) => {
                Ok(client.post(&Target::new("/v1/rerun"), filter, Duration::ZERO).await?)
            }
            Self::Store(control) => Ok(control.rerun(filter).await?),
        }
    }

    pub(super) async fn events(&self, filter: &EventFilter) -> Result<EventList, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&events_target(filter)).await?),
            Self::Store(control) => Ok(control.events(filter)?),
        }
    }

    /// One event by its id, among those that are kept.
    pub(super) async fn event(
        &self,
        filter: &EventFilter,
        id: &str,
    ) -> Result<Vec<EventView>, Failure> {
        let limit = Some(crate::control::MAX_EVENTS_LISTED);
        let filter = EventFilter { include_expired: true, limit, ..filter.clone() };
        let mut list = self.events(&filter).await?;
        list.items.retain(|view| view.event.id == id);
        Ok(list.items)
    }

    pub(super) async fn render(&self, format: RenderFormat) -> Result<Bytes, Failure> {
        Ok(self.rendered(format).await?.0)
    }

    /// The effective config, and which revision of it that is; none without a daemon.
    pub(super) async fn rendered(
        &self,
        format: RenderFormat,
    ) -> Result<(Bytes, Option<EffectiveRevision>), Failure> {
        match self {
            Self::Daemon(client) => {
                let format = match format {
                    RenderFormat::Yaml => "yaml",
                    RenderFormat::Json => "json",
                };
                let target = Target::new("/v1/render").query("format", format);
                Ok(client.get_rendered(&target).await?)
            }
            Self::Store(control) => Ok((control.render(format)?.text, None)),
        }
    }

    pub(super) async fn report(&self) -> Result<RenderReport, Failure> {
        match self {
            Self::Daemon(client) => {
                Ok(client.get(&Target::new("/v1/render").query("report", "true")).await?)
            }
            Self::Store(control) => Ok(control.report()?),
        }
    }

    pub(super) async fn emit(&self, request: EmitRequest) -> Result<Answer, Failure> {
        match self {
            Self::Daemon(client) => {
                let target = Target::new("/v1/events");
                Ok(client.post(&target, &request, Duration::ZERO).await?)
            }
            Self::Store(control) => Ok(control.emit(request).await?),
        }
    }

    /// Answer lines to JSON lines.
    pub(super) async fn emit_lines(
        &self,
        lines: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<BoxStream<'static, Result<Bytes, Failure>>, Failure> {
        match self {
            Self::Daemon(client) => {
                let answers = client.post_chunks(&Target::new("/v1/events:lines"), lines).await?;
                Ok(answers.map(|chunk| chunk.map_err(Failure::from)).boxed())
            }
            Self::Store(control) => Ok(control
                .emit_stream(lines)
                .map(|chunk| chunk.map_err(|never| match never {}))
                .boxed()),
        }
    }

    /// Waits for a revision other than the one that was seen.
    pub(super) async fn revision(
        &self,
        seen: Option<&EffectiveRevision>,
    ) -> Result<EffectiveRevision, Failure> {
        match self {
            Self::Daemon(client) => {
                let target = Target::new("/v1/revision");
                let target = match seen {
                    Some(EffectiveRevision { revision, digest }) => {
                        target.query("after", &revision.to_string()).query("digest", digest)
                    }
                    None => target,
                };
                Ok(client.get(&target).await?)
            }
            Self::Store(control) => {
                let (after, digest) = seen.map(|s| (s.revision, s.digest.clone())).unzip();
                Ok(control.revision(after, digest).await?)
            }
        }
    }

    pub(super) async fn peers(&self) -> Result<Vec<PeerView>, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&Target::new("/v1/federation/peers")).await?),
            Self::Store(control) => Ok(control.peers()?),
        }
    }

    pub(super) async fn deliveries(
        &self,
        filter: &DeliveryFilter,
    ) -> Result<DeliveryList, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.get(&deliveries_target(filter)).await?),
            Self::Store(control) => Ok(control.deliveries(filter)?),
        }
    }

    pub(super) async fn delivery_summary(&self) -> Result<Vec<DeliverySummary>, Failure> {
        match self {
            Self::Daemon(client) => {
                Ok(client.get(&Target::new("/v1/federation/deliveries:summary")).await?)
            }
            Self::Store(control) => Ok(control.delivery_summary()?),
        }
    }

    pub(super) async fn retry_deliveries(
        &self,
        request: RetryRequest,
    ) -> Result<RetryAnswer, Failure> {
        match self {
            Self::Daemon(client) => {
                let target = Target::new("/v1/federation/retry");
                Ok(client.post(&target, &request, Duration::ZERO).await?)
            }
            Self::Store(control) => Ok(control.retry_deliveries(request).await?),
        }
    }

    /// Every row of the store, as a file.
    pub(super) async fn backup(
        &self,
    ) -> Result<BoxStream<'static, Result<Bytes, Failure>>, Failure> {
        match self {
            Self::Daemon(client) => {
                let chunks = client.get_chunks(&Target::new("/v1/backup")).await?;
                Ok(chunks.map(|chunk| chunk.map_err(Failure::from)).boxed())
            }
            Self::Store(control) => {
                Ok(control.backup().map(|chunk| chunk.map_err(Failure::from)).boxed())
            }
        }
    }

    pub(super) async fn wait(&self, request: WaitRequest) -> Result<WaitAnswer, Failure> {
        match self {
            Self::Daemon(client) => {
                let extra = request.timeout.unwrap_or_default().get();
                Ok(client.post(&Target::new("/v1/wait"), &request, extra).await?)
            }
            Self::Store(control) => Ok(control.wait(request).await?),
        }
    }
}

fn deliveries_target(filter: &DeliveryFilter) -> Target {
    let mut target = Target::new("/v1/federation/deliveries");
    let words = [("group", &filter.group), ("peer", &filter.peer), ("eventId", &filter.event_id)];
    for (name, value) in words {
        if let Some(value) = value {
            target = target.query(name, value);
        }
    }
    if let Some(status) = filter.status {
        target = target.query("status", status.as_str());
    }
    match filter.limit {
        Some(limit) => target.query("limit", &limit.to_string()),
        None => target,
    }
}

fn events_target(filter: &EventFilter) -> Target {
    let mut target = Target::new("/v1/events");
    let words = [("group", &filter.group), ("type", &filter.r#type), ("subject", &filter.subject)];
    for (name, value) in words {
        if let Some(value) = value {
            target = target.query(name, value);
        }
    }
    if filter.include_expired {
        target = target.query("includeExpired", "true");
    }
    match filter.limit {
        Some(limit) => target.query("limit", &limit.to_string()),
        None => target,
    }
}
