//! The running daemon as its control socket sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::config::Reports;
use super::listeners::Listeners;
use super::node::Node;
use super::peers::Peers;
use crate::api::Time;
use crate::api::condition::Condition;
use crate::api::fact::add;
use crate::control::{
    self, Converged, Effective, EffectiveRevision, GroupFigures, ListenerView, Live, PeerFigures,
    Pending, RunFigures, WorkFigures,
};
use crate::controllers::publish::Published;
use crate::render::{self, Index};
use crate::runtime::{KeyState, Progress};
use crate::sources::config_dir::ConfigHandle;
use crate::sources::node_time::SystemClock;
use crate::store::events::Reception;

/// Keys of each controller that are listed as pending.
const LISTED: usize = 100;

/// What only the running daemon knows.
pub struct Running {
    node: Node,
    node_time: Arc<SystemClock>,
    config: ConfigHandle,
    reports: Arc<Reports>,
    peers: Peers,
    listeners: Listeners,
    started_at: Time,
    /// The last views of the effective config: made once however often they are read.
    views: Mutex<Views>,
}

/// Views of the effective config at one moment.
#[derive(Default)]
struct Views {
    /// The changes that they know of, and the revision.
    of: Option<(u64, Option<u64>)>,
    whole: Option<Arc<Effective>>,
    /// Without the report.
    document: Option<Arc<Effective>>,
}

impl Running {
    /// Answers for `node`.
    pub fn new(
        node: Node,
        node_time: Arc<SystemClock>,
        (config, reports): (ConfigHandle, Arc<Reports>),
        peers: Peers,
        listeners: Listeners,
    ) -> Self {
        let started_at = node.shared.clock.now();
        Self {
            node,
            node_time,
            config,
            reports,
            peers,
            listeners,
            started_at,
            views: Mutex::default(),
        }
    }
}

impl Running {
    /// How far the world has followed the store.
    pub fn progress(&self) -> &Progress {
        self.node.progress()
    }

    /// The view in this place, made by `make` if it is not of now.
    fn seen(
        &self,
        place: fn(&mut Views) -> &mut Option<Arc<Effective>>,
        make: fn(&Index) -> render::Effective,
    ) -> Arc<Effective> {
        let mut index = self.node.shared.effective();
        index.expire(self.node.shared.clock.now());
        // Half of a state gets no number.
        let revision = self.node.ready.is_ready().then(|| self.node.shared.number(&index).revision);
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (index.changes(), revision);
        if views.of != Some(of) {
            *views = Views { of: Some(of), ..Views::default() };
        }
        let view = place(&mut views).get_or_insert_with(|| {
            let (digest, config) = (index.digest().to_owned(), make(&index));
            Arc::new(Effective { revision, digest, config })
        });
        Arc::clone(view)
    }
}

impl Live for Running {
    fn started_at(&self) -> Time {
        self.started_at
    }

    fn conditions(&self) -> Vec<Condition> {
        let stepped = self.node_time.step().map(|step| step.condition());
        let unread = self.node.progress().trouble().map(|trouble| {
            let since = self.node.shared.clock.now() - trouble.since.elapsed();
            let message = format!("what is shown may be old, or nothing: {}", trouble.error);
            Condition::new("StoreUnread", true, "Unreadable", message, since)
        });
        stepped.into_iter().chain(unread).collect()
    }

    fn config(&self) -> control::ConfigReport {
        let report = Arc::clone(&self.config.reports().borrow());
        // Both sides are the same JSON by contract; a test holds them to it.
        serde_json::to_value(&*report).and_then(serde_json::from_value).unwrap_or_else(|error| {
            control::ConfigReport {
                store_error: Some(format!("the report cannot be shown: {error}")),
                ..control::ConfigReport::default()
            }
        })
    }

    fn is_ready(&self) -> bool {
        self.node.ready.is_ready()
    }

    fn effective(&self) -> Arc<Effective> {
        self.seen(|view| &mut view.whole, Index::view)
    }

    fn document(&self) -> Arc<Effective> {
        self.seen(|view| &mut view.document, Index::document)
    }

    fn converge(&self, deliveries: bool) -> BoxFuture<'_, Converged> {
        async move {
            // What cannot be scanned is reported, not waited for. What is about to be deleted is
            // work at hand; what is held is not.
            match self.config.rescan().await {
                Ok(report) => {
                    let mut reports = self.config.reports();
                    let settled = reports.wait_for(|report| report.findings.settling == 0);
                    let scan = settled.await.map_or(report.scan_revision, |r| r.scan_revision);
                    self.reports.taken_up(scan).await;
                }
                Err(error) => tracing::warn!(%error, "cannot rescan the configuration"),
            }
            let revision = self.node.shared.store.head();
            // Listeners first: what they have to say becomes conditions.
            let listening = self.listeners.converged(&self.node.shared.store).await;
            let converged = if deliveries {
                self.peers.converged(&self.node).await
            } else {
                self.node.converged().await
            };
            if listening.is_err() || converged.is_err() {
                // The daemon stops: whoever waits is cut off with it.
                std::future::pending::<()>().await;
            }
            Converged { revision }
        }
        .boxed()
    }

    fn revision_after(
        &self,
        after: u64,
        digest: Option<String>,
    ) -> BoxFuture<'_, EffectiveRevision> {
        let mut revisions = self.node.shared.revisions();
        async move {
            let is_other = |now: &Published| {
                now.revision != after || digest.as_ref().is_some_and(|seen| *seen != now.digest)
            };
            let other = revisions.wait_for(is_other).await;
            let other = other.ok().map(|published| shown(&published));
            match other {
                Some(revision) => revision,
                // The daemon stops: whoever watches is cut off with it.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn revision(&self) -> EffectiveRevision {
        shown(&self.node.shared.revisions().borrow())
    }

    fn pending(&self, deliveries: bool) -> Vec<Pending> {
        let pending = self.node.pending(LISTED);
        let owed = if deliveries { self.peers.pending(LISTED) } else { Vec::new() };
        let (now, at) = (self.node.shared.clock.now(), Instant::now());
        pending
            .into_iter()
            .map(|(controller, pending)| Pending {
                controller: controller.to_string(),
                key: pending.key.clone(),
                state: state(&controller, pending.state).to_owned(),
                due: pending.due.map(|due| add(now, due.saturating_duration_since(at))),
                message: String::new(),
            })
            .chain(owed)
            .collect()
    }

    fn reception(&self) -> Arc<dyn Reception> {
        self.node.reception()
    }

    fn listener(&self, group: &str) -> Option<ListenerView> {
        self.listeners.view(group)
    }

    fn groups(&self) -> BTreeMap<String, GroupFigures> {
        let world = self.node.shared.world();
        let now = self.node.shared.clock.now();
        let names: Vec<String> = world.objects.groups().map(|(name, _)| name.clone()).collect();
        let live: Vec<u64> = names.iter().map(|name| world.facts.live(name, now) as u64).collect();
        drop(world);
        names
            .into_iter()
            .zip(live)
            .map(|(name, live_facts)| {
                let stored_events = self.node.historian.stored(&name).unwrap_or(0);
                (name, GroupFigures { live_facts, stored_events })
            })
            .collect()
    }

    fn matched(&self) -> BTreeMap<String, u64> {
        let world = self.node.shared.world();
        let now = self.node.shared.clock.now();
        let names = world.objects.subscriptions().map(|(name, _)| name);
        names.map(|name| (name.to_string(), world.matched(name, now) as u64)).collect()
    }

    fn peers(&self) -> Option<BTreeMap<String, PeerFigures>> {
        Some(self.peers.figures())
    }

    fn try_peers(&self, peers: &[String]) {
        self.peers.try_now(peers);
    }

    fn runs(&self, plugin: &str) -> Option<RunFigures> {
        let counts = self.node.shared.counters.of(plugin);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Some(RunFigures {
            total: counts.runs,
            outcomes: counts.outcomes,
            killed: counts.killed,
            host_failures: counts.host_failures,
            total_millis: millis(counts.total),
            longest_millis: millis(counts.longest),
        })
    }

    fn work(&self) -> Option<WorkFigures> {
        let world = self.node.shared.world();
        let now = self.node.shared.clock.now();
        let mut figures = WorkFigures::default();
        for dealing in world.dealings() {
            dealing.part.iter().for_each(|part| figures.count_part(part, now));
            dealing.work.iter().for_each(|work| figures.count_work(work));
        }
        Some(figures)
    }
}

fn shown(published: &Published) -> EffectiveRevision {
    EffectiveRevision { revision: published.revision, digest: published.digest.clone() }
}

fn state(controller: &str, state: KeyState) -> &'static str {
    match state {
        // A plan is held while a failed run waits to be tried again, a run for its window.
        KeyState::Held if controller == "plans" => "BackingOff",
        KeyState::Ready => "Ready",
        KeyState::Running => "Running",
        KeyState::Held => "Debouncing",
        KeyState::BackingOff => "BackingOff",
        KeyState::Delayed => "Delayed",
        KeyState::Parked => "Parked",
    }
}
