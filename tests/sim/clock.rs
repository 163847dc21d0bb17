//! Node time on the paused clock of the runtime, with a wall that can be set.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use routerd::api::Time;
use routerd::api::clock::Clock;
use tokio::time::Instant;

/// When every simulation begins: 2026-01-01T00:00:00Z.
const ORIGIN: i64 = 1_767_225_600;

/// Time that passes with the runtime's.
#[derive(Debug)]
pub struct SimClock {
    start: Instant,
    stepped: AtomicI64,
}

impl SimClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self { start: Instant::now(), stepped: AtomicI64::new(0) }
    }

    /// Sets the clock by this many seconds forward, or back.
    pub fn step(&self, seconds: i64) {
        self.stepped.fetch_add(seconds, SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Time {
        let passed = jiff::SignedDuration::try_from(self.start.elapsed()).expect("a short time");
        let stepped = jiff::SignedDuration::from_secs(self.stepped.load(SeqCst));
        Time::from_second(ORIGIN).expect("a time") + passed + stepped
    }
}
