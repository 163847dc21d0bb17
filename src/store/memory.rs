//! An engine in memory that models crashes, for simulation and tests.
//!
//! It keeps apart what was applied and what was synced. [`MemoryEngine::crash`] gives the engine a
//! restart would find; a seed can let some of the unsynced batches survive, whole and in order, as
//! a real disk may. Clones share one engine, so a test keeps its handle across restarts.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::engine::{Engine, EngineBatch, EngineError, RawRow, RawRows};

/// Rows copied per lock while iterating.
const PAGE_ROWS: usize = 256;

/// The operation a [`Fault`] strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Engine::apply`].
    Apply,
    /// [`Engine::sync`].
    Sync,
}

/// What goes wrong when a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No room; nothing is touched.
    DiskFull,
    /// An I/O error.
    Io,
    /// A panic, as a bug in the engine would be one.
    Panic,
}

/// The engine; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryEngine {
    state: Arc<Mutex<State>>,
    /// Signalled when syncs stall no more.
    moves_on: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct State {
    applied: BTreeMap<Vec<u8>, Vec<u8>>,
    synced: BTreeMap<Vec<u8>, Vec<u8>>,
    unsynced: Vec<EngineBatch>,
    applies: u64,
    syncs: u64,
    rows_written: u64,
    stalls: bool,
    faults: Vec<(Operation, u64, Fault)>,
    damage: Vec<String>,
}

/// Syncs that wait.
#[derive(Debug)]
pub struct Stall(MemoryEngine);

impl Drop for Stall {
    fn drop(&mut self) {
        self.0.state().stalls = false;
        self.0.moves_on.notify_all();
    }
}

impl MemoryEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a restart finds when everything that was not synced is lost.
    #[must_use]
    pub fn crash(&self) -> Self {
        let synced = self.state().synced.clone();
        Self::holding(synced)
    }

    /// What a restart may find: the synced state and, chosen by `seed`, the first few of the
    /// unsynced batches. A batch survives whole or not at all.
    #[must_use]
    pub fn crash_with_seed(&self, seed: u64) -> Self {
        let state = self.state();
        let mut rows = state.synced.clone();
        let survivors = scramble(seed) % (state.unsynced.len() as u64 + 1);
        for (batch, _) in state.unsynced.iter().zip(0..survivors) {
            write_rows(&mut rows, batch);
        }
        drop(state);
        Self::holding(rows)
    }

    /// Lets the `nth` call from now (1 is the next) of an operation fail, once.
    pub fn fail(&self, operation: Operation, nth: u64, fault: Fault) {
        let mut state = self.state();
        let calls = match operation {
            Operation::Apply => state.applies,
            Operation::Sync => state.syncs,
        };
        state.faults.push((operation, calls + nth, fault));
    }

    /// Until this is dropped syncs wait, as for a disk that is busy. Only for a store whose writer
    /// has a thread of its own.
    pub fn stall_syncs(&self) -> Stall {
        self.state().stalls = true;
        Stall(self.clone())
    }

    /// Calls of [`Engine::apply`] so far: 0 more means that nothing was written.
    pub fn applies(&self) -> u64 {
        self.state().applies
    }

    /// Calls of [`Engine::sync`] so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Rows put or deleted so far, the store's own included.
    pub fn rows_written(&self) -> u64 {
        self.state().rows_written
    }

    /// The damage notes received so far.
    pub fn damage(&self) -> Vec<String> {
        self.state().damage.clone()
    }

    fn holding(rows: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let state = State { applied: rows.clone(), synced: rows, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), moves_on: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>, reverse: bool) -> VecDeque<RawRow> {
        if is_empty_range(from, to) {
            return VecDeque::new();
        }
        let state = self.state();
        let rows = state.applied.range((from.clone(), to.clone()));
        let copy = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        if reverse {
            rows.rev().take(PAGE_ROWS).map(copy).collect()
        } else {
            rows.take(PAGE_ROWS).map(copy).collect()
        }
    }
}

/// `BTreeMap::range` panics on a range that ends before it starts.
fn is_empty_range(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}

/// A well-mixed number from a seed (the finalizer of SplitMix64).
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn write_rows(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, batch: &EngineBatch) {
    for (key, value) in &batch.rows {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

impl State {
    fn strike(&mut self, operation: Operation, call: u64) -> Result<(), EngineError> {
        let due = self.faults.iter().position(|(op, at, _)| *op == operation && *at == call);
        let Some(index) = due else { return Ok(()) };
        match self.faults.swap_remove(index).2 {
            Fault::DiskFull => Err(EngineError::DiskFull { available: 0, reserve: 1 }),
            Fault::Io => Err(EngineError::Io {
                operation: if operation == Operation::Apply { "apply" } else { "sync" },
                message: "injected by the simulation".to_owned(),
            }),
            Fault::Panic => panic!("injected by the simulation"),
        }
    }
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.state().applied.get(key).cloned())
    }

    fn range(
        &self,
        mut from: Bound<Vec<u8>>,
        mut to: Bound<Vec<u8>>,
        reverse: bool,
    ) -> RawRows<'_> {
        let mut page = VecDeque::new();
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            if page.is_empty() && !ended {
                page = self.page(&from, &to, reverse);
                ended = page.len() < PAGE_ROWS;
                if let Some((last, _)) = page.back() {
                    let edge = if reverse { &mut to } else { &mut from };
                    *edge = Bound::Excluded(last.clone());
                }
            }
            page.pop_front().map(Ok)
        }))
    }

    fn apply(&self, batch: EngineBatch) -> Result<(), EngineError> {
        let mut state = self.state();
        state.applies += 1;
        let call = state.applies;
        state.strike(Operation::Apply, call)?;
        state.rows_written += batch.rows.len() as u64;
        write_rows(&mut state.applied, &batch);
        state.unsynced.push(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let waited = self.moves_on.wait_while(self.state(), |state| state.stalls);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.syncs += 1;
        let call = state.syncs;
        state.strike(Operation::Sync, call)?;
        for batch in std::mem::take(&mut state.unsynced) {
            write_rows(&mut state.synced, &batch);
        }
        Ok(())
    }

    fn note_damage(&self, why: &str) {
        self.state().damage.push(why.to_owned());
    }
}

#[cfg(test)]
mod tests;
