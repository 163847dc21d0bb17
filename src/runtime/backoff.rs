//! How long to wait after a failure: exponential, capped, jittered, and deterministic by seed.

use std::time::Duration;

/// Delays that double from `first` up to `max`, each drawn from the upper half of its range.
///
/// Half of the delay is certain, so a failing dependency gets its rest; half is drawn, so keys that
/// failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

/// A shorter delay would be a busy loop: the timer has millisecond resolution.
const SHORTEST: Duration = Duration::from_millis(1);

impl Backoff {
    /// Doubles from `first` (at least 1 ms) up to `max` (at least `first`).
    pub fn new(first: Duration, max: Duration) -> Self {
        let first = first.max(SHORTEST);
        Self { first, max: max.max(first) }
    }

    /// The longest delay after the `failures`-th failure in a row, counted from 1. The delay drawn
    /// is between half of it and all of it.
    pub fn ceiling(&self, failures: u16) -> Duration {
        let doublings = u32::from(failures).saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// Draws the delay after the `failures`-th failure in a row.
    pub fn delay(&self, failures: u16, jitter: &mut Jitter) -> Duration {
        let ceiling = self.ceiling(failures);
        let certain = ceiling / 2;
        certain + jitter.up_to(ceiling.saturating_sub(certain))
    }
}

impl Default for Backoff {
    /// One second, doubling up to five minutes.
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(300))
    }
}

/// The source of jitter: SplitMix64, which needs no more than spread, so no dependency either.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// The same seed gives the same delays.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A duration between zero and `limit`, both included.
    fn up_to(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.draw()) * (u128::from(limit) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(limit))
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn the_ceiling_doubles_with_each_failure_and_stops_at_the_maximum() {
        let backoff = Backoff::new(FIRST, MAX);
        let ceilings: Vec<_> = (1..=9).map(|n| backoff.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.ceiling(u16::MAX), MAX);
    }

    #[test]
    fn a_delay_is_at_least_half_of_its_ceiling_and_never_above_it() {
        let (backoff, mut jitter) = (Backoff::new(FIRST, MAX), Jitter::seeded(7));
        for failures in (1..=40).cycle().take(10_000) {
            let (delay, ceiling) =
                (backoff.delay(failures, &mut jitter), backoff.ceiling(failures));
            assert!(delay >= ceiling / 2 && delay <= ceiling, "{failures}: {delay:?}");
        }
    }

    #[test]
    fn delays_spread_over_the_upper_half() {
        let (backoff, mut jitter) = (Backoff::new(FIRST, MAX), Jitter::seeded(7));
        let delays: Vec<_> = (0..1_000).map(|_| backoff.delay(1, &mut jitter)).collect();
        let (low, high) = (Duration::from_millis(55), Duration::from_millis(95));
        assert!(delays.iter().any(|d| *d < low) && delays.iter().any(|d| *d > high));
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let draw = |seed| {
            let mut jitter = Jitter::seeded(seed);
            (1..10).map(|n| Backoff::default().delay(n, &mut jitter)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_zero_first_delay_is_raised_so_that_no_failure_spins() {
        let backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(backoff.ceiling(1), SHORTEST);
    }
}
