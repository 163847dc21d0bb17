//! Rates: a bucket for each source or peer, filled by time and emptied by requests.
//!
//! Plain and synchronous; the time is passed in. A bucket may be overdrawn once, by as much as one
//! request holds: a batch that is larger than the burst gets through, and is paid for by waiting.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Buckets that are kept; those that are full again are forgotten first.
const MAX_BUCKETS: usize = 4096;

/// How much in how much time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// What a second adds.
    pub per_second: f64,
    /// What there is at most.
    pub burst: f64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * rate.per_second).min(rate.burst);
        self.at = now;
    }
}

/// Buckets by key.
#[derive(Debug)]
pub struct Buckets<K> {
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self { buckets: Mutex::default() }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// Takes `amount` for `key`; else tells how long to wait.
    pub fn take<Q>(&self, key: &Q, rate: Rate, amount: usize, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.with(key, rate, now, |bucket| {
            if bucket.level < 1.0 {
                return Err((1.0 - bucket.level) / rate.per_second);
            }
            // Far below 2^52: a request holds a thousand events at most.
            #[allow(clippy::cast_precision_loss)]
            let amount = amount as f64;
            bucket.level -= amount;
            Ok(())
        })
    }

    /// Whether there is anything left for `key`; else how long to wait. Takes nothing.
    pub fn look<Q>(&self, key: &Q, rate: Rate, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get_mut(key) else { return Ok(()) };
        bucket.fill(rate, now);
        if bucket.level < 1.0 {
            return Err(wait((1.0 - bucket.level) / rate.per_second));
        }
        Ok(())
    }

    fn with<Q>(
        &self,
        key: &Q,
        rate: Rate,
        now: Instant,
        take: impl FnOnce(&mut Bucket) -> Result<(), f64>,
    ) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.fill(rate, now);
            return take(bucket).map_err(wait);
        }
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| {
                bucket.fill(rate, now);
                bucket.level < rate.burst
            });
            if buckets.len() >= MAX_BUCKETS {
                // So many that are all busy are no peers.
                return Err(Duration::from_secs(1));
            }
        }
        let mut bucket = Bucket { level: rate.burst, at: now };
        let taken = take(&mut bucket);
        buckets.insert(key.to_owned(), bucket);
        taken.map_err(wait)
    }
}

/// A wait that can be told, however slow the rate.
fn wait(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10.0, burst: 5.0 };

    #[test]
    fn a_burst_passes_and_then_the_rate_holds_and_says_how_long_to_wait() {
        let buckets: Buckets<String> = Buckets::default();
        let start = Instant::now();
        for _ in 0..5 {
            assert_eq!(buckets.take("a", RATE, 1, start), Ok(()));
        }
        assert_eq!(buckets.take("a", RATE, 1, start), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take("b", RATE, 1, start), Ok(()), "each has its own");
        let later = start + Duration::from_millis(100);
        assert_eq!(buckets.take("a", RATE, 1, later), Ok(()));
        assert!(buckets.take("a", RATE, 1, later).is_err());
    }

    #[test]
    fn a_batch_larger_than_the_burst_passes_once_and_is_paid_for() {
        let buckets: Buckets<String> = Buckets::default();
        let start = Instant::now();
        assert_eq!(buckets.take("a", RATE, 100, start), Ok(()));
        assert_eq!(buckets.take("a", RATE, 1, start), Err(Duration::from_millis(9_600)));
        assert_eq!(buckets.take("a", RATE, 1, start + Duration::from_secs(10)), Ok(()));
    }

    #[test]
    fn looking_takes_nothing_and_those_that_are_full_again_are_forgotten() {
        let buckets: Buckets<u32> = Buckets::default();
        let start = Instant::now();
        assert_eq!(buckets.look(&1, RATE, start), Ok(()));
        assert!(buckets.buckets.lock().unwrap().is_empty());
        for source in 0..u32::try_from(MAX_BUCKETS).unwrap() {
            buckets.take(&source, RATE, 5, start).unwrap();
        }
        assert!(buckets.take(&u32::MAX, RATE, 1, start).is_err(), "all are busy");
        assert!(buckets.look(&0, RATE, start).is_err());
        let later = start + Duration::from_secs(1);
        assert_eq!(buckets.take(&u32::MAX, RATE, 1, later), Ok(()));
        assert_eq!(buckets.buckets.lock().unwrap().len(), 1);
    }
}
