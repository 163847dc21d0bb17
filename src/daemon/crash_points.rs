//! Ends the daemon, as `kill -9` does, at a named point: for tests, under the feature `failpoints`
//! only.
//!
//! `fail` knows how to panic or to sleep, but not how to die: a panic on the store's writer is
//! caught or unwinds, and an unwinding process tidies up. A crash must not.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// Names the point and which arrival there is the last: `store::before_sync:3`. The points are the
/// `fail_point!`s in the source.
pub const VARIABLE: &str = "ROUTERD_CRASH_AT";

/// Why the variable cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}={0:?}: write it as POINT:N, such as store::before_sync:1")]
pub struct CrashPointError(String);

/// Sets the point that the environment names, if it names one. Call it after
/// `FailScenario::setup`.
pub fn arm() -> Result<(), CrashPointError> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let refused = || CrashPointError(text.clone());
    let (point, nth) = text.rsplit_once(':').ok_or_else(refused)?;
    let nth: u64 = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(refused)?;
    let arrivals = AtomicU64::new(0);
    let crash = move || {
        if arrivals.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            // It cannot fail: a process may always end itself.
            _ = kill_process(getpid(), Signal::KILL);
        }
    };
    fail::cfg_callback(point, crash).map_err(|_| refused())
}
