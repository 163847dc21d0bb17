//! Simulation of a federation: five nodes with the real outbox on engines in memory, under clocks
//! and a network that only the test moves.
//!
//! `FEDSIM_SEED=<n> cargo test --test fedsim histories` replays one history and prints what happened
//! in it; `FEDSIM_COUNT=<n>` says how many are played, `FEDSIM_FIRST=<n>` from which seed on.

#[path = "../sim/clock.rs"]
mod clock;
#[expect(dead_code, reason = "the other simulation uses the rest of it")]
#[path = "../sim/dice.rs"]
mod dice;
mod history;
mod host;
mod net;
mod promises;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Histories in an ordinary test run.
const HISTORIES: u64 = 500;

/// Runs `future` on a paused clock of its own.
pub fn simulate<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is not a number")))
}

#[test]
fn histories_end_with_every_fact_on_every_node_that_is_meant_to_have_it() {
    if let Some(seed) = number("FEDSIM_SEED") {
        return simulate(history::play(seed));
    }
    let count = number("FEDSIM_COUNT").unwrap_or(HISTORIES);
    let first = number("FEDSIM_FIRST").unwrap_or(0);
    println!("histories of the seeds {first} to {}", first + count - 1);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= first + count || failed.lock().expect("no panic").len() >= 5 {
                        return;
                    }
                    let played = catch_unwind(AssertUnwindSafe(|| simulate(history::play(seed))));
                    if played.is_err() {
                        failed.lock().expect("no panic").push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(
        failed.is_empty(),
        "replay with FEDSIM_SEED=<seed> cargo test --test fedsim: {failed:?}"
    );
}
