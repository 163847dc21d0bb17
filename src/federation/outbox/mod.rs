//! The sending half: what originates here goes to the peers that are meant to have it.
//!
//! **Owed, not queued.** Nothing remembers "event 17 has to go to cloud-router". What is owed to a
//! peer is computed: the current events that originate here and pass its filter, minus what its
//! present store acknowledged ([`standing`](crate::api::delivery::standing)). So a new peer, a wider
//! filter, a store that was replaced, a crash between the answer and its record are all the same
//! case: something is owed.
//!
//! | file | what it is |
//! | -- | -- |
//! | [`index`] | pure: what is owed to whom, kept up to date from changed rows |
//! | [`source`] | the store's rows as changes of the index; wakes the peers they concern |
//! | [`deliver`], `round` | the reconciler, one key for each peer: a round sends what is owed |
//! | `flight` | one request: filled, signed, sent |
//! | [`verdict`] | pure: what an answer means, for the event or for the peer |
//! | `record` | the transactions that put it on record |
//! | `session` | what is remembered of a peer between rounds, in memory |
//! | [`credentials`], [`transport`], [`http`] | secrets and network, passed in |
//!
//! **The peer or the event.** A refusal of the event is a dead letter. Anything else that is not an
//! acceptance says something of the peer: its rounds pause with the runtime's backoff, half a second
//! up to five minutes with jitter, and everything stays owed until it expires.

pub mod credentials;
pub mod deliver;
mod flight;
pub mod http;
pub mod index;
mod record;
mod round;
mod session;
pub mod source;
pub mod transport;
pub mod verdict;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::credentials::Credentials;
use self::deliver::Deliverer;
use self::index::{Figures, Index};
use self::session::{Health, Session};
use self::source::{IndexSink, OutboxSource};
use self::transport::Transport;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::clock::Clock;
use crate::api::condition::Condition;
use crate::api::kinds::federation::API_VERSION;
use crate::api::object::ObjectKey;
use crate::runtime::{
    Backoff, Controller, Observer, Progress, Reflector, Shutdown, TaskGroup, Trigger, TriggerSender,
};
use crate::store::Store;

/// Peers that are delivered to at the same time.
pub const MAX_PEERS: usize = 1024;
/// The first pause of a peer that takes nothing; it doubles.
pub const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A round ends by itself; this one only catches what must not happen.
const ROUND_TIMEOUT: Duration = Duration::from_secs(300);

/// The condition of an EventPeer.
pub const DELIVERING: &str = "Delivering";

/// What the outboxes are made of.
pub struct Outside {
    /// The truth.
    pub store: Store,
    /// Node time.
    pub clock: Arc<dyn Clock>,
    /// The way to the peers.
    pub transport: Arc<dyn Transport>,
    /// Finds secrets.
    pub credentials: Arc<dyn Credentials>,
}

/// The outboxes of a node.
#[derive(Clone)]
pub struct Outboxes {
    index: Arc<Mutex<Index>>,
    sessions: Arc<Mutex<HashMap<Arc<str>, Arc<Mutex<Session>>>>>,
    clock: Arc<dyn Clock>,
}

/// Outboxes that run, to wake and to wait for.
#[derive(Clone, Debug)]
pub struct Running {
    peers: TriggerSender<Arc<str>>,
    observer: Observer,
    progress: Progress,
}

/// One peer, as its outbox sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// What is owed and what is not.
    pub figures: Figures,
    /// `Delivering`, `Off`, or why it takes nothing.
    pub reason: String,
    /// The same for people; empty while all is well.
    pub message: String,
    /// Whether it takes what is owed; `None` before it was spoken to.
    pub delivering: Option<bool>,
    /// When it was last tried.
    pub tried_at: Option<Time>,
    /// Rounds that ended in trouble since the last that did not.
    pub failures: u32,
}

impl Outboxes {
    /// Outboxes that do not run yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { index: Arc::default(), sessions: Arc::default(), clock }
    }

    /// Starts to deliver. `conditions` is triggered when a peer fares otherwise than before.
    pub fn start(
        &self,
        outside: Outside,
        conditions: TriggerSender<ObjectKey>,
        group: &mut TaskGroup,
        shutdown: &Shutdown,
    ) -> Running {
        let Outside { store, clock, transport, credentials } = outside;
        let reflector = Reflector::new("deliveries", Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
        let controller =
            Controller::<Arc<str>>::new("deliveries", Backoff::new(FIRST_PAUSE, LONGEST_PAUSE))
                .concurrency(NonZeroUsize::new(MAX_PEERS).unwrap_or(NonZeroUsize::MIN))
                .timeout(ROUND_TIMEOUT)
                .after(reflector.ready());
        let running = Running {
            peers: controller.triggers(),
            observer: controller.observer(),
            progress: reflector.progress(),
        };
        let sink = IndexSink {
            index: Arc::clone(&self.index),
            clock: Arc::clone(&clock),
            peers: running.peers.clone(),
        };
        let news = Box::new(move |peer: &str| {
            conditions.related(ObjectKey::new(API_VERSION, "EventPeer", peer));
        });
        let deliverer = Arc::new(Deliverer {
            store: store.clone(),
            clock,
            transport,
            credentials,
            index: Arc::clone(&self.index),
            sessions: Arc::clone(&self.sessions),
            news,
            shutdown: shutdown.clone(),
        });
        let source = OutboxSource::new(store);
        group.critical("delivery-index", reflector.run(source, sink, shutdown.clone()));
        group.critical("deliveries", controller.run(deliverer, shutdown.clone()));
        running
    }

    /// What is true of an EventPeer; nothing of other objects, and before it was spoken to.
    pub fn condition(&self, accepted: &Accepted) -> Option<Condition> {
        let key = accepted.key();
        if key.kind != "EventPeer" || key.api_version != API_VERSION {
            return None;
        }
        self.index().peer(&key.name)?;
        let (health, _, _) = self.health(&key.name)?;
        let now = self.clock.now();
        Some(match health {
            Health::Unknown => return None,
            Health::Delivering => {
                let message = "the peer takes what is owed to it";
                Condition::new(DELIVERING, true, "Delivering", message, now)
            }
            Health::Failing { reason, message } | Health::Off { reason, message } => {
                Condition::new(DELIVERING, false, reason, message, now)
            }
        })
    }

    /// How a peer stands; `None` where nothing is pushed.
    pub fn peer(&self, name: &str) -> Option<PeerState> {
        let (health, failures, tried_at) = self.health(name).unwrap_or_default();
        let figures = self.index().figures(name, self.clock.now())?;
        let (delivering, reason, message) = match health {
            Health::Unknown => (None, "Unknown", String::new()),
            Health::Delivering => (Some(true), "Delivering", String::new()),
            Health::Failing { reason, message } | Health::Off { reason, message } => {
                (Some(false), reason, message)
            }
        };
        Some(PeerState {
            figures,
            reason: reason.to_owned(),
            message,
            delivering,
            tried_at,
            failures,
        })
    }

    /// Events that a peer did not want for the time being may be tried again.
    pub fn unpark(&self, name: &str) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(name).cloned() {
            drop(sessions);
            session.lock().unwrap_or_else(PoisonError::into_inner).unpark_all();
        }
    }

    fn health(&self, name: &str) -> Option<(Health, u32, Option<Time>)> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Arc::clone(sessions.get(name)?);
        drop(sessions);
        let session = session.lock().unwrap_or_else(PoisonError::into_inner);
        Some((session.health.clone(), session.failures, session.tried_at))
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of the peers that are pushed to.
    pub fn peers(&self) -> Vec<Arc<str>> {
        let index = self.index();
        index.names().into_iter().filter(|name| index.peer(name).is_some()).collect()
    }
}

impl Running {
    /// Tries these peers now, whatever they failed before: a file that they use has changed, or an
    /// operator asks.
    pub fn try_now(&self, peers: impl IntoIterator<Item = Arc<str>>) {
        self.peers.extend(peers, Trigger::Spec);
    }

    /// Tells whether all is delivered, and what is not.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Tells how far the index has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}
