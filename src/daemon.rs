//! The wiring diagram. Read [`serve`] from top to bottom and you know the program.
//!
//! The path of an event: the control socket (or, for a peer, the
//! [receiver](crate::federation::receiver)) hands it to
//! [`store::events::accept`](crate::store::events::accept) inside a transaction; the
//! [`Follower`](crate::controllers::follow::Follower) hears of the committed change and triggers
//! the [`Planner`](crate::controllers::planner::Planner), whose
//! [`plan`](crate::controllers::plan::plan) finds a run due; the
//! [`Dispatch`](crate::controllers::dispatch::Dispatch) batches it, the
//! [`Runner`](crate::controllers::runner::Runner) runs the plugin, and
//! [`outcome::record`](crate::controllers::outcome::record) commits the part; the follower hears of
//! that too and puts it into the [`render::Index`](crate::render::Index), which `routerctl render`
//! prints. What originates here goes to the peers through the
//! [`Outboxes`].

mod config;
#[cfg(feature = "failpoints")]
pub mod crash_points;
mod listeners;
mod live;
pub mod node;
mod opening;
mod peers;
mod signals;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use self::config::Reports;
use self::listeners::Listeners;
use self::live::Running;
use self::node::{Node, Outside};
use self::peers::Peers;
use self::signals::Signals;
use crate::api::clock::Clock;
use crate::control::{Control, Live, server};
use crate::controllers::output::Reserved;
use crate::federation::files::{Files, LOOK_EVERY};
use crate::federation::outbox::credentials::FileCredentials;
use crate::federation::outbox::http::HttpTransport;
use crate::federation::outbox::{self, Outboxes};
use crate::federation::receiver::{Receivers, limits::Limits};
use crate::plugin::{ProcessSpawner, adopt_orphans, keep_descriptors};
use crate::runtime::{Shutdown, TaskGroup};
use crate::sources::clock_set::ClockSet;
pub use crate::sources::config_dir::RESCAN;
use crate::sources::config_dir::{ConfigDir, Options};
use crate::sources::node_time::SystemClock;
use crate::sources::scan::Manifests;
pub use crate::store::OpenError;
use crate::store::{Health, OpenOptions, OpenReport, Store, Writes};

/// How long runs under way have to end when the daemon is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the store may take to be read before questions are answered all the same.
const READ_ALL: Duration = Duration::from_secs(10);

/// What `routerd serve` is told.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Configuration paths.
    pub config: Vec<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
    /// The control socket; `<state>/control.sock` by default.
    pub socket: Option<PathBuf>,
    /// Reconcile to the fixed point and stop.
    pub once: bool,
}

/// Runs the daemon until it is asked to stop.
pub async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    let mut group = TaskGroup::new(shutdown.clone());
    let node_time = Arc::new(SystemClock::new());
    let clock: Arc<dyn Clock> = Arc::clone(&node_time) as _;

    // The truth comes first: without it there is nothing to serve.
    let socket = options.socket.unwrap_or_else(|| options.state.join("control.sock"));
    let open = OpenOptions::daemon(&options.state, clock.now());
    let (store, report) = opening::open(open, &socket).await?;
    announce(&report);
    group.critical("store-health", watch_health(store.clone(), shutdown.clone()));

    // Plugins run in directories of their own, without what we hold; what escapes them is ended.
    if let Err(error) = keep_descriptors() {
        tracing::warn!(%error, "plugins may get descriptors that the daemon was started with");
    }
    if let Err(error) = adopt_orphans() {
        tracing::warn!(%error, "processes that leave their plugin's group cannot be ended");
    }
    let spawner = ProcessSpawner::new(options.state.join("scratch"), passable(&report.store_id))
        .context("cannot make the working directories of plugins")?;

    // The configuration: files to accepted objects.
    let reserved = Reserved { watched: options.config.clone(), state: options.state.clone() };
    let scans = Options::new(options.config);
    let beat = scans.rescan;
    let (config_dir, config) =
        ConfigDir::new(scans, store.clone(), clock.clone(), Arc::new(Manifests));
    let reports = Arc::new(Reports::default());
    let reported = Arc::clone(&reports);

    // Files that manifests name: secrets, certificates. Noticed when they change.
    let files = Arc::new(Files::new());
    group.background("files", Arc::clone(&files).watch(LOOK_EVERY, shutdown.clone()));

    // The controllers: accepted objects and live facts to parts and the effective config.
    let outboxes = Outboxes::new(clock.clone());
    let told = outboxes.clone();
    let receivers = Receivers::new();
    let heard = receivers.clone();
    let outside = Outside {
        store: store.clone(),
        clock: clock.clone(),
        spawner: Arc::new(spawner),
        identify: Box::new(identify),
        reported: Box::new(move |accepted| {
            let mut conditions = reported.conditions(accepted);
            conditions.extend(told.condition(accepted));
            conditions.extend(heard.condition(accepted));
            conditions
        }),
        reserved,
        beat,
        clock_set: ClockSet::new()
            .inspect_err(|error| tracing::warn!(%error, "nobody tells when the clock is set"))
            .ok(),
    };
    let node = Node::start(outside, &mut group, &shutdown)?;
    let conditions = node.triggers.conditions.clone();
    let accepted = Arc::clone(&node.shared);
    let all = move || accepted.world().objects.iter().map(|a| a.key().clone()).collect();
    let following = Arc::clone(&reports);
    group
        .critical("reports", following.follow(config.reports(), all, conditions, shutdown.clone()));
    group.critical("config", {
        let stop = signals::token(&shutdown);
        async move { config_dir.run(stop).await }
    });

    // To the peers: what originates here and is owed to them.
    let delivering = outboxes.start(
        outbox::Outside {
            store: store.clone(),
            clock: clock.clone(),
            transport: Arc::new(HttpTransport::new(Arc::clone(&files))),
            credentials: Arc::new(FileCredentials::new(Arc::clone(&files))),
        },
        node.triggers.conditions.clone(),
        &mut group,
        &shutdown,
    );
    let peers = Peers::new(outboxes, delivering);
    group.background("peer-files", peers.clone().follow(files.changes(), shutdown.clone()));

    // From the peers: each group that is to listen does, and what it hears goes into the store.
    let listening = receivers.start(
        listeners::outside(&store, &clock, &files, &node),
        Limits::default(),
        node.triggers.conditions.clone(),
        &mut group,
        &shutdown,
    );
    let listeners = Listeners::new(receivers, listening);

    // The operator's door. Whoever comes in should see all that is stored.
    let signals = Signals::new().context("cannot listen for signals")?;
    if tokio::time::timeout(READ_ALL, node.ready.wait()).await.is_err() {
        tracing::warn!("reading the store takes its time; what is in force is not shown yet");
    }
    let live = Arc::new(Running::new(node, node_time, (config.clone(), reports), peers, listeners));
    let door = server::Server::bind(&socket, server::Limits::default())
        .with_context(|| format!("cannot listen on {}", socket.display()))?;
    let control = Control::new(store.clone(), clock, Arc::clone(&live) as Arc<dyn Live>);
    group.background("control", {
        let stop = signals::token(&shutdown);
        async move {
            door.serve(control, stop).await;
            Ok::<_, std::convert::Infallible>(())
        }
    });

    tracing::info!(socket = %socket.display(), state = %options.state.display(), "ready");
    if options.once {
        let stop = shutdown.clone();
        group.critical("once", async move {
            let unread = live.progress().troubled();
            tokio::select! {
                _ = live.converge(false) => stop.drain(),
                Ok(trouble) = unread => return Err(Unread(trouble.error)),
                () = stop.draining() => {}
            }
            Ok(())
        });
    }
    let ended = signals.during(group.run(DRAIN), &shutdown, &config).await;
    store.close().await;
    ended.map_err(Into::into)
}

/// What is stored does not read, so there is no fixed point.
#[derive(Debug, thiserror::Error)]
#[error("cannot read what is stored: {0}")]
struct Unread(Arc<str>);

/// Says what opening the store found.
fn announce(report: &OpenReport) {
    for moved in &report.quarantined {
        tracing::error!(?moved, "the database was damaged and was moved aside; a new one is empty");
    }
    for note in &report.notes {
        tracing::warn!(note, "the store");
    }
    tracing::info!(store = %report.store_id, revision = report.revision, "store open");
}

/// Why the store brings the daemon down.
#[derive(Debug, thiserror::Error)]
#[error("the store takes no more writes: {0}; nothing that was acknowledged is lost")]
struct StoreFailed(String);

/// Ends the daemon when the store can no longer write: what it would acknowledge could be lost.
async fn watch_health(store: Store, shutdown: Shutdown) -> Result<(), StoreFailed> {
    let mut health = store.health();
    drop(store);
    loop {
        let now: Health = health.borrow_and_update().clone();
        if let Writes::Failed(why) = now.writes {
            return Err(StoreFailed(why));
        }
        if !now.is_ok() {
            tracing::warn!(health = ?now, "the store is not well");
        }
        tokio::select! {
            () = shutdown.draining() => return Ok(()),
            changed = health.changed() => if changed.is_err() {
                shutdown.draining().await;
                return Ok(());
            },
        }
    }
}

/// Where plugins work that run as another user, who may not enter the state directory. Only root
/// can start those, and nobody else can make a directory there first.
fn passable(store_id: &impl std::fmt::Display) -> PathBuf {
    PathBuf::from(format!("/run/routerd-{store_id}"))
}

/// Tells one version of a plugin's file from another.
fn identify(path: &str) -> Option<String> {
    let found = std::fs::metadata(path).ok()?;
    Some(format!(
        "{}:{}:{}.{}:{}",
        found.dev(),
        found.ino(),
        found.mtime(),
        found.mtime_nsec(),
        found.size()
    ))
}
