//! The requests of one round: what is owed is taken from the index, again and again, until nothing
//! is that may go out now.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::deliver::{Deliverer, PROBE, RoundError, lock};
use super::flight::{Cargo, Landed, Line, load};
use super::index::{Current, Peering};
use super::verdict::{DEFAULT_PARK, Outcome};
use crate::api::fact::FactId;
use crate::federation::wire::MAX_BATCH_EVENTS;
use crate::runtime::Action;

/// Batches under way to one peer at most.
const BATCHES: usize = 3;
/// Single events under way to one peer at most.
const SINGLES: usize = 16;
/// How long a round goes on while there is more: then the queue looks whether anything is new.
const ROUND: Duration = Duration::from_secs(10);
/// Events that were parked one after the other, after which a round waits.
const PARKED_IN_A_ROW: usize = 64;

/// A round under way.
pub(super) struct Round<'a> {
    own: &'a Deliverer,
    name: &'a Arc<str>,
    peering: &'a Peering,
    line: Line,
    started: Instant,
    batches: bool,
    /// Facts under way, and those whose events could not be found.
    busy: HashSet<FactId>,
    /// Sent alone because of what a batch of them came to.
    alone: HashSet<FactId>,
    cursor: u64,
    parked_in_a_row: usize,
    /// Nothing more is sent in this round.
    wait: Option<Duration>,
    trouble: Option<RoundError>,
}

impl<'a> Round<'a> {
    /// A round that begins now.
    pub(super) fn new(
        own: &'a Deliverer,
        name: &'a Arc<str>,
        peering: &'a Peering,
        line: Line,
        batches: bool,
    ) -> Self {
        Self {
            own,
            name,
            peering,
            line,
            started: Instant::now(),
            batches,
            busy: HashSet::new(),
            alone: HashSet::new(),
            cursor: 0,
            parked_in_a_row: 0,
            wait: None,
            trouble: None,
        }
    }

    /// Sends until nothing more may go out. Says when to look again.
    pub(super) async fn run(mut self) -> Result<Action, RoundError> {
        let mut flights = FuturesUnordered::new();
        loop {
            let width = if self.batches { BATCHES } else { SINGLES };
            while flights.len() < width && self.may_send() {
                let Some(cargo) = self.next().await? else { break };
                let (line, own) = (self.line.clone(), self.own);
                let (name, peering) = (self.name, self.peering);
                flights.push(async move {
                    let (landed, store) = line.fly(&cargo).await;
                    let landed = own.settle(name, peering, &cargo, landed, store).await;
                    (cargo, landed)
                });
            }
            match flights.next().await {
                Some((cargo, landed)) => self.land(&cargo, landed),
                None => break,
            }
        }
        match self.trouble.take() {
            Some(trouble) => Err(trouble),
            None => Ok(self.after()),
        }
    }

    fn may_send(&self) -> bool {
        self.trouble.is_none() && self.wait.is_none() && self.started.elapsed() < ROUND
    }

    /// The next request, if anything is owed that may go out now.
    async fn next(&mut self) -> Result<Option<Cargo>, RoundError> {
        let now = Instant::now();
        let wanted = if self.batches { MAX_BATCH_EVENTS } else { 1 };
        let allowed = lock(&self.line.session).allowed(self.peering.spec.rate, wanted, now);
        let limit = match allowed {
            Ok(limit) => limit,
            Err(wait) => {
                self.wait = Some(wait);
                return Ok(None);
            }
        };
        loop {
            let offered = self.offered(limit, now);
            if offered.is_empty() {
                if self.cursor == 0 {
                    return Ok(None);
                }
                // Refreshed events keep their place, which may be behind.
                self.cursor = 0;
                continue;
            }
            let cargo = load(&self.own.store, offered, self.batches).await?;
            let passed = cargo.items.iter().map(|item| &item.current).chain(&cargo.gone);
            for current in passed {
                self.busy.insert(current.fact);
                self.cursor = self.cursor.max(current.offer.seq);
            }
            if !cargo.items.is_empty() {
                lock(&self.line.session).spend(cargo.items.len());
                return Ok(Some(cargo));
            }
        }
    }

    fn offered(&self, limit: usize, now: Instant) -> Vec<Arc<Current>> {
        let session = lock(&self.line.session);
        let time = self.own.clock.now();
        let mut index = self.own.index();
        let busy = |fact: &FactId| self.busy.contains(fact) || session.is_parked(fact, now);
        let mut offered = index.owed(self.name, self.cursor, limit, time, busy);
        // One that has to go alone does not share its request.
        if let Some(at) = offered.iter().position(|c| self.alone.contains(&c.fact)) {
            offered.truncate(at.max(1));
        }
        offered
    }

    /// Takes in what came of a request; what was delivered is on record already.
    fn land(&mut self, cargo: &Cargo, landed: Result<Landed, RoundError>) {
        for item in &cargo.items {
            self.busy.remove(&item.current.fact);
        }
        match landed {
            Ok(Landed::Each(outcomes, trouble)) => {
                let now = Instant::now();
                let mut session = lock(&self.line.session);
                for (item, outcome) in cargo.items.iter().zip(outcomes) {
                    let fact = item.current.fact;
                    match outcome {
                        Some(Outcome::Parked(wait)) => {
                            session.park(fact, wait, now);
                            self.parked_in_a_row += 1;
                        }
                        Some(_) => {
                            session.unpark(&fact);
                            self.parked_in_a_row = 0;
                        }
                        None => {}
                    }
                }
                if self.parked_in_a_row >= PARKED_IN_A_ROW {
                    self.wait = Some(DEFAULT_PARK);
                }
                drop(session);
                if let Some(trouble) = trouble {
                    self.trouble.get_or_insert(trouble.into());
                }
            }
            Ok(Landed::Again { batches }) => {
                if batches {
                    self.alone.extend(cargo.items.iter().map(|item| item.current.fact));
                } else {
                    self.batches = false;
                    if let Some((hello, _)) = &mut lock(&self.line.session).hello {
                        hello.batch = false;
                    }
                }
                self.cursor = 0;
            }
            Ok(Landed::Wait(wait)) => self.wait = Some(wait),
            Ok(Landed::Trouble(trouble)) => _ = self.trouble.get_or_insert(trouble.into()),
            Err(error) => _ = self.trouble.get_or_insert(error),
        }
    }

    /// When to look at the peer again.
    fn after(&self) -> Action {
        let (now, time) = (Instant::now(), self.own.clock.now());
        let mut session = lock(&self.line.session);
        let mut index = self.own.index();
        let free = index.owed(self.name, 0, 1, time, |_| false);
        if free.is_empty() && index.count_owed(self.name) == 0 {
            session.unpark_all();
            return Action::RequeueAfter(PROBE);
        }
        if let Some(wait) = self.wait {
            return Action::HoldFor(wait);
        }
        let busy = |fact: &FactId| self.busy.contains(fact) || session.is_parked(fact, now);
        if !index.owed(self.name, 0, 1, time, busy).is_empty() {
            // The round was long enough.
            return Action::HoldFor(Duration::ZERO);
        }
        let parked = session.next_unparked(now, |fact| index.is_owed(self.name, fact));
        let ahead = index.next_ahead(self.name, time).map(|at| at.duration_since(time));
        let ahead = ahead.and_then(|wait| Duration::try_from(wait).ok());
        Action::HoldFor(parked.into_iter().chain(ahead).min().unwrap_or(PROBE).min(PROBE))
    }
}
