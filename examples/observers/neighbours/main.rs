//! Tells this node's daemon which clients are behind it.
//!
//! The kernel's neighbour table and the lease file of dnsmasq say who is there; for each client
//! that is, the fact `routerd.client.ipv4.observed` is kept alive, and taken back by
//! `routerd.client.ipv4.expired` when the client is known to have gone. An address that this node
//! itself captures is never told of: whoever answers for it here is this node.
//!
//! It is a controller like those of the daemon, on the same runtime, one key a client: a change of
//! the table, the file or the claims is a hint to look, a renewal is a deadline, and a daemon that
//! does not answer is a failure to retry.

mod evidence;
mod kernel;
mod leases;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use ipnet::Ipv4Net;
use routerd::api::Time;
use routerd::api::clock::Clock;
use routerd::api::duration::GoDuration;
use routerd::control::Reason;
use routerd::control::client::ClientError;
use routerd::runtime::{
    Action, Backoff, Controller, Failure, Reconciler, Shutdown, TaskGroup, Trigger, TriggerSender,
};
use routerd::sources::node_time::SystemClock;
use tokio::time::{sleep, timeout};

use crate::evidence::{Evidence, Say, Told, say};
use crate::kernel::Kernel;
use crate::node::Node;

/// Changes of the table that come together are read together.
const SETTLE: Duration = Duration::from_millis(200);
/// The table and the file are read again after this long even if nothing is heard of them.
const FULL_PASS: Duration = Duration::from_secs(60);
/// How long an unanswered question waits before it is asked again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long words under way have to end when the observer is stopped.
const DRAIN: Duration = Duration::from_secs(5);
/// A shorter ttl would be renewed more than once a second for each client.
const MIN_TTL: Duration = Duration::from_secs(3);

/// Tell routerd which clients the neighbour table and the DHCP leases show
#[derive(Debug, Parser)]
#[command(name = "neighbours", version, max_term_width = 100)]
struct Args {
    /// The EventGroup to speak in
    #[arg(long)]
    group: String,
    /// An interface whose neighbours are clients; repeat for more
    #[arg(long = "interface", value_name = "NAME", required_unless_present = "leases")]
    interfaces: Vec<String>,
    /// The lease file of dnsmasq
    #[arg(long, value_name = "FILE")]
    leases: Option<PathBuf>,
    /// Only clients in this network; repeat for more [default: all]
    #[arg(long = "prefix", value_name = "CIDR")]
    prefixes: Vec<Ipv4Net>,
    /// How long a word holds; it is renewed when a third of that is over. At least 3s
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    ttl: GoDuration,
    /// An entry of the payload of each event; repeat for more. `address` is there anyway
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    payload: Vec<(String, String)>,
    /// The daemon's control socket
    #[arg(
        long,
        value_name = "PATH",
        env = "ROUTERD_SOCKET",
        default_value = "/var/lib/routerd/routerd.db/control.sock"
    )]
    socket: PathBuf,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it like domain=cloudedge-same-subnet")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Keeps the facts of this node's clients true.
struct Observer {
    node: Node,
    clock: SystemClock,
    ttl: Duration,
    prefixes: Vec<Ipv4Net>,
    evidence: Mutex<Evidence>,
    told: Mutex<BTreeMap<Ipv4Addr, Told>>,
}

impl Observer {
    fn evidence(&self) -> MutexGuard<'_, Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_client(&self, address: Ipv4Addr) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|net| net.contains(&address))
    }

    /// All clients that anything is known of.
    fn clients(&self) -> Vec<Ipv4Addr> {
        let evidence = self.evidence();
        let seen = evidence.neighbours.keys().chain(evidence.leases.keys()).copied();
        let clients: BTreeSet<_> = seen.chain(self.told().keys().copied()).collect();
        clients.into_iter().filter(|address| self.is_client(*address)).collect()
    }

    /// Says it, and returns how long that holds without being said again.
    async fn tell(
        &self,
        client: Ipv4Addr,
        said: Say,
        now: Time,
    ) -> Result<Option<Duration>, ClientError> {
        match said {
            Say::Nothing(next) => Ok(next),
            Say::Observed(id) => {
                let renewed = id.is_some();
                let told = match self.node.observed(client, id, now).await {
                    // The payload has been changed since: what is there now is another event.
                    Err(ClientError::Refused(why)) if renewed && why.reason == Reason::Conflict => {
                        self.node.observed(client, None, now).await?
                    }
                    answered => answered?,
                };
                if !renewed {
                    tracing::info!(%client, id = told.id, "here");
                }
                self.told().insert(client, told);
                Ok(Some(self.ttl / 3))
            }
            Say::Expired(ttl) => {
                self.node.expired(client, ttl).await?;
                tracing::info!(%client, "gone");
                self.told().remove(&client);
                Ok(None)
            }
        }
    }
}

impl Reconciler for Observer {
    type Key = Ipv4Addr;
    type Error = ClientError;

    async fn reconcile(&self, client: &Ipv4Addr) -> Result<Action, ClientError> {
        if !self.is_client(*client) {
            return Ok(Action::await_change());
        }
        let now = self.clock.now();
        let seen = self.evidence().seen(*client, now);
        let told = self.told().get(client).cloned();
        let next = self.tell(*client, say(seen, told.as_ref(), now, self.ttl), now).await?;
        Ok(next.map_or(Action::await_change(), Action::requeue_after))
    }

    fn classify(&self, _: &ClientError) -> Failure {
        // A full group, a missing group, a daemon that is down: all of them may pass.
        Failure::Retry
    }
}

/// Reads the neighbour table at every change.
async fn follow_kernel(
    mut kernel: Kernel,
    observer: Arc<Observer>,
    clients: TriggerSender<Ipv4Addr>,
) -> anyhow::Result<()> {
    loop {
        match kernel.table().await {
            Ok(table) => {
                let changed = observer.evidence().set_neighbours(table);
                clients.extend(changed, Trigger::Related);
            }
            Err(error) => tracing::warn!(%error, "cannot read the neighbour table"),
        }
        if let Ok(heard) = timeout(FULL_PASS, kernel.changed()).await {
            heard?;
            sleep(SETTLE).await;
        }
    }
}

/// Reads the lease file at every change of its directory.
async fn follow_leases(
    path: PathBuf,
    observer: Arc<Observer>,
    clients: TriggerSender<Ipv4Addr>,
) -> anyhow::Result<()> {
    let watching = leases::watch(&path);
    let (_watcher, mut changes) = watching.with_context(|| {
        format!("cannot watch the directory of {}; make it, or check --leases", path.display())
    })?;
    loop {
        changes.mark_unchanged();
        match leases::read(&path) {
            Ok(leases) => {
                let changed = observer.evidence().set_leases(leases);
                clients.extend(changed, Trigger::Related);
            }
            Err(error) => tracing::warn!(%error, path = %path.display(), "cannot read the leases"),
        }
        if let Ok(heard) = timeout(FULL_PASS, changes.changed()).await {
            heard?;
        }
    }
}

/// Reads what this node captures at every change of the effective config.
async fn follow_claims(observer: Arc<Observer>, clients: TriggerSender<Ipv4Addr>) -> Infallible {
    loop {
        match observer.node.claimed().await {
            Ok((claimed, revision)) => {
                let changed = observer.evidence().set_claimed(claimed);
                clients.extend(changed, Trigger::Related);
                while let Ok(false) = observer.node.other_than(revision).await {}
            }
            Err(error) => {
                tracing::warn!(%error, "cannot ask the daemon what it captures");
                sleep(PATIENCE).await;
            }
        }
    }
}

/// What a node that may still be starting has told so far and captures now.
async fn start(node: &Node) -> (BTreeMap<Ipv4Addr, Told>, BTreeSet<Ipv4Addr>) {
    loop {
        let asked =
            async { Ok::<_, node::NodeError>((node.told().await?, node.claimed().await?.0)) };
        match asked.await {
            Ok(known) => return known,
            Err(error) => tracing::warn!(%error, "waiting for the daemon"),
        }
        sleep(PATIENCE).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    anyhow::ensure!(args.ttl.get() >= MIN_TTL, "--ttl {}: at least 3s", args.ttl);
    let ttl = args.ttl.get();
    let payload = args.payload.into_iter().collect();
    let node = Node::new(args.socket, args.group, payload, ttl);

    // First what this node itself captures, then who is there: never the other way round.
    let (told, claimed) = tokio::select! {
        known = start(&node) => known,
        signal = stop_asked() => return signal,
    };
    let evidence = Mutex::new(Evidence { claimed, ..Evidence::default() });
    let observer = Arc::new(Observer {
        node,
        clock: SystemClock::new(),
        ttl,
        prefixes: args.prefixes,
        evidence,
        told: Mutex::new(told),
    });

    let shutdown = Shutdown::new();
    let mut group = TaskGroup::new(shutdown.clone());
    let known = Arc::clone(&observer);
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let controller = Controller::<Ipv4Addr>::new("clients", backoff)
        .full_pass(FULL_PASS, move || known.clients());
    let clients = controller.triggers();
    group.background::<Infallible>("claims", {
        let follow = follow_claims(Arc::clone(&observer), clients.clone());
        until_draining(shutdown.clone(), async move { match follow.await {} })
    });
    if !args.interfaces.is_empty() {
        let kernel = Kernel::connect(args.interfaces).context("cannot ask the kernel")?;
        let follow = follow_kernel(kernel, Arc::clone(&observer), clients.clone());
        group.critical("kernel", until_draining(shutdown.clone(), follow));
    }
    if let Some(path) = args.leases {
        let follow = follow_leases(path, Arc::clone(&observer), clients);
        group.critical("leases", until_draining(shutdown.clone(), follow));
    }
    group.critical("clients", controller.run(observer, shutdown.clone()));
    group.background("signals", {
        let shutdown = shutdown.clone();
        async move {
            stop_asked().await?;
            shutdown.request();
            anyhow::Ok(())
        }
    });
    group.run(DRAIN).await.map_err(Into::into)
}

/// Ends `task` when the process is asked to stop.
async fn until_draining<E>(
    shutdown: Shutdown,
    task: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    tokio::select! {
        ended = task => ended,
        () = shutdown.draining() => Ok(()),
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stop_asked() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
