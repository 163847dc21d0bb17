//! One round for one peer: what is owed goes out, what came of it is put on record.
//!
//! Level-triggered. A round takes no event to send; it asks the index what is owed now, again and
//! again until nothing is, so it does not matter which commit woke it, or how many. Requests of one
//! round are under way together, never two with events of one fact. Peers run beside each other: a
//! round that waits for its peer holds up nobody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::credentials::{Credentials, Off, Proof};
use super::flight::{Cargo, Landed, Line};
use super::index::{Change, Index, Peering};
use super::record::{self, Ending, SLICE};
use super::round::Round;
use super::session::{Health, Session};
use super::transport::{Endpoint, Transport};
use super::verdict::{Outcome, Trouble};
use crate::api::clock::Clock;
use crate::api::delivery::Verdict;
use crate::runtime::{Action, Failure, Reconciler, Shutdown};
use crate::store::{Store, StoreError, WriteError};

/// How often a peer is asked which store it has, while nothing else happens.
pub const PROBE: Duration = Duration::from_secs(60);
/// How often a peer that is switched off is looked at, though nothing says that it changed.
const OFF: Duration = Duration::from_secs(300);

/// Tells of a peer by name.
pub type News = Box<dyn Fn(&str) + Send + Sync>;

/// Delivers; one key for each EventPeer.
pub struct Deliverer {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) credentials: Arc<dyn Credentials>,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) sessions: Arc<Mutex<HashMap<Arc<str>, Arc<Mutex<Session>>>>>,
    /// Somebody fares otherwise than before.
    pub(super) news: News,
    pub(super) shutdown: Shutdown,
}

/// Why a round ended early; the next begins after a pause.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The peer takes nothing at present.
    #[error(transparent)]
    Peer(#[from] Trouble),
    /// The store could not be read.
    #[error("cannot read what is owed")]
    Read(#[from] StoreError),
    /// The store did not take what came of it.
    #[error("cannot write what was delivered")]
    Write(#[from] WriteError<StoreError>),
}

impl Deliverer {
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, name: &Arc<str>) -> Arc<Mutex<Session>> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sessions.entry(Arc::clone(name)).or_default())
    }

    fn forget_session(&self, name: &str) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn note(&self, name: &Arc<str>, health: Health) {
        let news = {
            let session = self.session(name);
            let mut session = lock(&session);
            session.tried_at = Some(self.clock.now());
            match &health {
                Health::Failing { .. } => session.failures = session.failures.saturating_add(1),
                _ => session.failures = 0,
            }
            let news = session.health != health;
            session.health = health;
            news
        };
        if news {
            (self.news)(name);
        }
    }

    /// How the peer is reached, if it can be.
    fn line(&self, name: &Arc<str>, peering: &Peering) -> Result<Line, Off> {
        let group = self.index().group(&peering.spec.group_ref).cloned();
        let group = group.ok_or_else(|| Off {
            reason: "GroupMissing",
            message: format!("there is no EventGroup {:?}", peering.spec.group_ref),
        })?;
        let proof: Proof = self.credentials.proof(peering, &group)?;
        let endpoint = Endpoint {
            url: peering.spec.endpoint.clone().unwrap_or_default(),
            tls: peering.spec.tls.clone(),
        };
        Ok(Line {
            transport: Arc::clone(&self.transport),
            clock: Arc::clone(&self.clock),
            endpoint: Arc::new(endpoint),
            proof,
            session: self.session(name),
        })
    }

    async fn clean_up(&self, name: &Arc<str>) -> Result<(), RoundError> {
        while record::clean_up(&self.store, name).await? {}
        self.forget_session(name);
        self.index().cleaned(name);
        Ok(())
    }

    /// Puts on record what expired, and forgets what is on record of facts that are gone.
    async fn book(&self, name: &Arc<str>, peering: &Peering) -> Result<(), RoundError> {
        loop {
            let now = self.clock.now();
            let (lapsed, stale, epoch) = {
                let mut index = self.index();
                let epoch = index.account(name).map_or(0, |account| account.epoch);
                (index.lapsed(name, SLICE, now), index.stale(name, SLICE), epoch)
            };
            if lapsed.is_empty() && stale.is_empty() {
                return Ok(());
            }
            if !stale.is_empty() {
                record::forget(&self.store, name, stale.clone()).await?;
                let mut index = self.index();
                for fact in stale {
                    index.apply(Change::Ack(Arc::clone(name), fact, None), now);
                }
            }
            let given_up = lapsed.into_iter().map(|current| Ending {
                observed_at: current.offer.observed_at,
                expires_at: current.offer.expires_at,
                verdict: Verdict::Expired,
                reason: "it expired before the peer took it".to_owned(),
                current,
            });
            self.put(name, peering, epoch, given_up.collect()).await?;
        }
    }

    /// Puts endings on record and into the index.
    async fn put(
        &self,
        name: &Arc<str>,
        peering: &Peering,
        epoch: u32,
        endings: Vec<Ending>,
    ) -> Result<(), RoundError> {
        if endings.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let wrote = record::endings(&self.store, name, peering, epoch, endings, now).await?;
        let (outbox, rows) = wrote;
        let mut index = self.index();
        // The follower brings them too; until then what went out would still seem owed.
        for row in rows {
            index.apply(Change::Ack(Arc::clone(name), row.fact, Some(row.ack)), now);
        }
        index.apply(Change::Outbox(Arc::clone(name), Some(outbox)), now);
        Ok(())
    }

    /// Asks the peer who it is, unless it said so lately.
    async fn greet(
        &self,
        name: &Arc<str>,
        peering: &Peering,
        line: &Line,
    ) -> Result<bool, RoundError> {
        let known = {
            let session = lock(&line.session);
            session.hello.clone().filter(|(_, at)| at.elapsed() < PROBE)
        };
        if let Some((hello, _)) = known {
            return Ok(hello.batch);
        }
        let hello = line.ask().await?;
        let known = self.index().row(name).is_some_and(|row| {
            row.uid == peering.accepted.uid && row.store == hello.store && row.epoch > 0
        });
        if !known {
            let now = self.clock.now();
            let met = record::meet(&self.store, name, peering, hello.store.clone(), now);
            let row = met.await?;
            tracing::info!(peer = %name, store = hello.store, "the peer's store is another one; it is offered everything");
            self.index().apply(Change::Outbox(Arc::clone(name), Some(row)), now);
        }
        let batch = hello.batch;
        lock(&line.session).hello = Some((hello, Instant::now()));
        Ok(batch)
    }

    async fn round(
        &self,
        name: &Arc<str>,
        peering: &Peering,
        line: Line,
    ) -> Result<Action, RoundError> {
        let batches = self.greet(name, peering, &line).await?;
        Round::new(self, name, peering, line, batches).run().await
    }

    async fn deliver(&self, name: &Arc<str>) -> Result<Action, RoundError> {
        if self.index().orphaned(name) {
            self.clean_up(name).await?;
        }
        let Some(peering) = self.index().peer(name).cloned() else {
            self.forget_session(name);
            (self.news)(name);
            return Ok(Action::AwaitChange);
        };
        self.book(name, &peering).await?;
        let line = match self.line(name, &peering) {
            Ok(line) => line,
            Err(off) => {
                self.note(name, Health::Off { reason: off.reason, message: off.message });
                let owed = self.index().count_owed(name) > 0;
                // What is owed and cannot be sent is work at hand.
                return Ok(if owed { Action::HoldFor(OFF) } else { Action::RequeueAfter(OFF) });
            }
        };
        let session = Arc::clone(&line.session);
        let action = self.round(name, &peering, line).await;
        match &action {
            Ok(_) => self.note(name, Health::Delivering),
            Err(error) => {
                // Whoever comes back may be another.
                lock(&session).hello = None;
                if let RoundError::Peer(trouble) = error {
                    let (reason, message) = (trouble.reason, trouble.message.clone());
                    self.note(name, Health::Failing { reason, message });
                }
            }
        }
        action
    }
}

impl Deliverer {
    /// Puts on record what a request came to, for the store that answered.
    pub(super) async fn settle(
        &self,
        name: &Arc<str>,
        peering: &Peering,
        cargo: &Cargo,
        landed: Landed,
        store: Option<String>,
    ) -> Result<Landed, RoundError> {
        let Landed::Each(outcomes, _) = &landed else { return Ok(landed) };
        let (epoch, known) = {
            let index = self.index();
            let row = index.row(name);
            (row.map_or(0, |row| row.epoch), row.map(|row| row.store.clone()))
        };
        if store.is_some() && store != known {
            // It is asked who it is before anything counts.
            return Err(Trouble {
                reason: "StoreReplaced",
                message: "the peer's store was replaced; it is offered everything again".to_owned(),
                status: None,
            }
            .into());
        }
        let endings = cargo.items.iter().zip(outcomes).filter_map(|(item, outcome)| {
            let (verdict, reason) = match outcome.as_ref()? {
                Outcome::Delivered => (Verdict::Delivered, String::new()),
                Outcome::Dead(reason) => (Verdict::Dead, reason.clone()),
                Outcome::Parked(_) => return None,
            };
            Some(Ending {
                current: Arc::clone(&item.current),
                observed_at: item.observed_at,
                expires_at: item.expires_at,
                verdict,
                reason,
            })
        });
        self.put(name, peering, epoch, endings.collect()).await?;
        Ok(landed)
    }
}

impl Reconciler for Deliverer {
    type Key = Arc<str>;
    type Error = RoundError;

    async fn reconcile(&self, name: &Arc<str>) -> Result<Action, RoundError> {
        tokio::select! {
            // What is under way is given up: the peer may have taken it, and is told again later.
            () = self.shutdown.draining() => Ok(Action::AwaitChange),
            action = self.deliver(name) => action,
        }
    }

    fn classify(&self, _: &RoundError) -> Failure {
        Failure::Retry
    }
}

/// A session is locked before the index, never after it.
pub(super) fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
