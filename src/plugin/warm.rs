//! The warm processes of all programs: kept between runs, ended when nobody needs them.
//!
//! Processes end when their pool is told so (another version, none), when their file changes, when
//! they have waited for [`IDLE`], when an answer was none, and when all is closed. A file is looked
//! at before every request; for those that nobody asks, a sweep comes round every few seconds while
//! any waits, and not otherwise.

use super::contract::{Exit, HostError, Outcome, RunSpec, WarmSpec};
#[cfg(doc)]
use super::pool::IDLE;
use super::pool::{Pool, Take};
use super::stream::{Asked, Process};
use futures::future::join_all;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(5);

/// All pools.
#[derive(Debug, Default)]
pub(super) struct Warm {
    state: Mutex<State>,
    /// Processes that are being ended.
    ending: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    pools: HashMap<String, Pool<Process>>,
    closed: bool,
    sweeping: bool,
}

/// A warm process that answered, until somebody says whether the answer was one.
#[derive(Debug)]
pub struct Lease {
    warm: Arc<Warm>,
    spec: WarmSpec,
    /// `None` where the answer is all that is left of it.
    process: Option<Process>,
    judged: bool,
}

impl Lease {
    /// The answer was one: the process waits for the next run.
    pub fn keep(mut self) {
        self.judged = true;
        match self.process.take() {
            Some(process) => self.warm.give_back(&self.spec, process),
            None => self.warm.note(&self.spec, Pool::answered),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.judged {
            self.warm.failed(&self.spec, "gave an answer that is no result".to_owned());
        }
        if let Some(process) = self.process.take() {
            self.warm.retire(process);
        }
    }
}

impl Warm {
    /// One run: a process that waits or a new one by `start`, one line for one line.
    ///
    /// One that waited and ends without a word may have been about to end anyway. So the request,
    /// whose run may happen more than once in any case, is put to a new one before it is blamed.
    pub(super) async fn run<S>(
        self: &Arc<Self>,
        spec: &RunSpec,
        warm: &WarmSpec,
        cancel: &CancellationToken,
        start: impl Fn() -> S,
    ) -> Result<Outcome, HostError>
    where
        S: Future<Output = Result<Process, HostError>>,
    {
        let (process, waited) = loop {
            match self.take(warm) {
                None => return Err(HostError::Cancelled),
                Some(Take::Idle(process)) if process.is_good() => break (process, true),
                Some(Take::Idle(process)) => self.retire(process),
                Some(Take::Start) => break (start().await?, false),
                Some(Take::Rest { failures, why, pause }) => {
                    return Err(HostError::Resting { failures, why, pause });
                }
            }
        };
        let mut outcome = self.ask(process, spec, warm, cancel).await;
        if waited && ended_without_a_word(&outcome) && self.may_start(warm) {
            outcome = self.ask(start().await?, spec, warm, cancel).await;
        }
        // One that answers and exits is not ill, only slow.
        let answered = outcome.exit.success() && !outcome.stdout.is_empty();
        if !answered && outcome.exit != Exit::Cancelled {
            self.failed(warm, outcome.exit.to_string());
        }
        Ok(outcome)
    }

    async fn ask(
        self: &Arc<Self>,
        process: Process,
        spec: &RunSpec,
        warm: &WarmSpec,
        cancel: &CancellationToken,
    ) -> Outcome {
        let (digest, warnings) = (process.digest(), process.warnings().to_vec());
        let started = Instant::now();
        match process.ask(spec, cancel).await {
            Asked::Over(outcome) => outcome,
            Asked::Answered { process, line, stderr, in_step } => {
                let process = if in_step {
                    Some(process)
                } else {
                    let run = &spec.label;
                    tracing::debug!(
                        run,
                        "a process that wrote more than a line, or ended, is ended"
                    );
                    self.retire(process);
                    None
                };
                let lease =
                    Lease { warm: Arc::clone(self), spec: warm.clone(), process, judged: false };
                Outcome {
                    exit: Exit::Code(0),
                    stdout: line,
                    stderr,
                    pipes_held: false,
                    duration: started.elapsed(),
                    digest,
                    warnings,
                    lease: Some(lease),
                }
            }
        }
    }

    /// Ends what waits in this pool and is not of `version`.
    pub(super) fn keep_only(&self, pool: &str, version: Option<&str>) {
        let old = {
            let mut state = self.lock();
            match state.pools.get(pool) {
                Some(kept) if Some(kept.version()) != version => state.pools.remove(pool),
                _ => None,
            }
        };
        old.into_iter().flat_map(Pool::into_idle).for_each(|process| self.retire(process));
    }

    /// Ends all that waits and keeps none from then on.
    pub(super) async fn close(&self) {
        let pools = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.pools)
        };
        join_all(pools.into_values().flat_map(Pool::into_idle).map(Process::end)).await;
        self.ending.close();
        self.ending.wait().await;
    }

    /// `None` when all is closed.
    fn take(&self, spec: &WarmSpec) -> Option<Take<Process>> {
        self.keep_only(&spec.pool, Some(&spec.version));
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let new = || Pool::new(&spec.version);
        Some(state.pools.entry(spec.pool.clone()).or_insert_with(new).take(Instant::now()))
    }

    /// Whether no pause keeps the pool from starting a process.
    fn may_start(&self, spec: &WarmSpec) -> bool {
        let state = self.lock();
        !state.closed && state.pools.get(&spec.pool).is_some_and(|p| p.may_start(Instant::now()))
    }

    fn give_back(self: &Arc<Self>, spec: &WarmSpec, process: Process) {
        let mut state = self.lock();
        let sweep = !std::mem::replace(&mut state.sweeping, true);
        let pool = state.pools.get_mut(&spec.pool).filter(|pool| pool.version() == spec.version);
        if let Some(pool) = pool {
            pool.give_back(process, Instant::now());
        } else {
            drop(state);
            self.retire(process);
        }
        if sweep {
            tokio::spawn(sweep_while_any_waits(Arc::downgrade(self)));
        }
    }

    fn failed(&self, spec: &WarmSpec, why: String) {
        self.note(spec, |pool| pool.failed(why, Instant::now()));
    }

    /// Of a pool that is still there.
    fn note(&self, spec: &WarmSpec, what: impl FnOnce(&mut Pool<Process>)) {
        let mut state = self.lock();
        let pool = state.pools.get_mut(&spec.pool);
        if let Some(pool) = pool.filter(|pool| pool.version() == spec.version) {
            what(pool);
        }
    }

    /// Ends a process beside what goes on. Without a runtime it is killed at once, by its drop.
    fn retire(&self, process: Process) {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.ending.spawn(process.end());
        }
    }

    /// One sweep; answers whether there is reason for another. Looks at files under the lock: they
    /// are those that the next request would look at anyway.
    fn sweep(&self) -> bool {
        let worn: Vec<Process> = {
            let mut state = self.lock();
            let now = Instant::now();
            let pools = state.pools.values_mut();
            let worn = pools.flat_map(|pool| pool.take_worn(now, Process::is_good)).collect();
            state.sweeping = state.pools.values().any(Pool::has_idle);
            worn
        };
        worn.into_iter().for_each(|process| self.retire(process));
        self.lock().sweeping
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended_without_a_word(outcome: &Outcome) -> bool {
    matches!(outcome.exit, Exit::Code(_) | Exit::Signal(_)) && outcome.stdout.is_empty()
}

async fn sweep_while_any_waits(warm: Weak<Warm>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        match warm.upgrade() {
            Some(warm) if warm.sweep() => {}
            _ => return,
        }
    }
}
