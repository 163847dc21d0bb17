//! What is remembered of a peer between two rounds, in memory only: a restart asks again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::verdict::{DEFAULT_PARK, Hello, MAX_PARK};
use crate::api::Time;
use crate::api::fact::FactId;
use crate::api::kinds::federation::Rate;

/// How the peer fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// It has not been spoken to.
    #[default]
    Unknown,
    /// It takes what is owed to it.
    Delivering,
    /// It takes nothing at present.
    Failing {
        /// A CamelCase word.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
    /// Nothing is sent to it.
    Off {
        /// A CamelCase word.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
}

/// One peer's.
#[derive(Debug, Default)]
pub struct Session {
    /// What the peer said of itself, and when.
    pub hello: Option<(Hello, Instant)>,
    /// Which of the keys it took last.
    pub key: usize,
    /// How it fares.
    pub health: Health,
    /// Rounds that ended in trouble since the last that did not.
    pub failures: u32,
    /// When it was last tried.
    pub tried_at: Option<Time>,
    parked: HashMap<FactId, Parked>,
    bucket: Option<Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Parked {
    until: Instant,
    times: u32,
}

impl Session {
    /// Parks an event that the peer does not want now: as long as it says, longer each time.
    pub fn park(&mut self, fact: FactId, wait: Duration, now: Instant) {
        let times = self.parked.get(&fact).map_or(0, |parked| parked.times);
        let growing = DEFAULT_PARK.saturating_mul(1 << times.min(6)).min(MAX_PARK);
        // The first time the peer's word is enough.
        let wait = if times == 0 { wait } else { wait.max(growing) };
        self.parked.insert(fact, Parked { until: now + wait, times: times + 1 });
    }

    /// Whether an event is to be left alone for now.
    pub fn is_parked(&self, fact: &FactId, now: Instant) -> bool {
        self.parked.get(fact).is_some_and(|parked| parked.until > now)
    }

    /// The event was dealt with.
    pub fn unpark(&mut self, fact: &FactId) {
        self.parked.remove(fact);
    }

    /// All events may be tried.
    pub fn unpark_all(&mut self) {
        self.parked.clear();
    }

    /// How long until a parked event may be tried; forgets those of which `is_owed` does not know.
    pub fn next_unparked(
        &mut self,
        now: Instant,
        is_owed: impl Fn(&FactId) -> bool,
    ) -> Option<Duration> {
        self.parked.retain(|fact, _| is_owed(fact));
        self.parked.values().map(|parked| parked.until.saturating_duration_since(now)).min()
    }

    /// Of `wanted` events, those that the rate allows now; else how long until the next.
    pub fn allowed(
        &mut self,
        rate: Option<Rate>,
        wanted: usize,
        now: Instant,
    ) -> Result<usize, Duration> {
        let Some(rate) = rate else { return Ok(wanted) };
        let bucket = self.bucket.get_or_insert(Bucket { tokens: burst(rate), at: now });
        bucket.fill(rate, now);
        if bucket.tokens < 1.0 {
            let missing = (1.0 - bucket.tokens) / rate.per_second;
            return Err(Duration::try_from_secs_f64(missing).unwrap_or(MAX_PARK).min(MAX_PARK));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 or more")]
        Ok((bucket.tokens as usize).min(wanted))
    }

    /// These many events are sent.
    pub fn spend(&mut self, events: usize) {
        if let Some(bucket) = &mut self.bucket {
            #[expect(clippy::cast_precision_loss, reason = "a thousand at most")]
            let spent = events as f64;
            bucket.tokens -= spent;
        }
    }
}

fn burst(rate: Rate) -> f64 {
    rate.burst.map_or(rate.per_second.max(1.0), f64::from)
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = passed.mul_add(rate.per_second, self.tokens).min(burst(rate));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_lets_the_burst_through_and_then_its_share_of_each_second() {
        let (mut session, start) = (Session::default(), Instant::now());
        let rate = Some(Rate { per_second: 10.0, burst: Some(5) });
        assert_eq!(session.allowed(rate, 1000, start), Ok(5));
        session.spend(5);
        let wait = session.allowed(rate, 1000, start).unwrap_err();
        assert!(wait > Duration::from_millis(90) && wait < Duration::from_millis(110), "{wait:?}");
        assert_eq!(session.allowed(rate, 1000, start + Duration::from_millis(301)), Ok(3));
        assert_eq!(session.allowed(rate, 1000, start + 100 * SECOND), Ok(5), "no more than burst");
        assert_eq!(Session::default().allowed(None, 1000, start), Ok(1000));
        let slow = Some(Rate { per_second: 0.1, burst: None });
        let (mut session, start) = (Session::default(), Instant::now());
        assert_eq!(session.allowed(slow, 9, start), Ok(1), "a slow rate still lets one through");
    }

    #[test]
    fn what_is_parked_again_and_again_waits_longer_and_what_is_owed_no_more_is_forgotten() {
        let (mut session, now) = (Session::default(), Instant::now());
        let fact = FactId([1; 16]);
        session.park(fact, SECOND, now);
        assert!(session.is_parked(&fact, now) && !session.is_parked(&fact, now + SECOND));
        for (times, expected) in [(1, 10), (2, 20), (3, 40), (6, 300), (20, 300)] {
            for _ in 0..times {
                session.park(fact, SECOND, now);
            }
            assert_eq!(session.next_unparked(now, |_| true), Some(expected * SECOND), "{times}");
            session.unpark_all();
            session.park(fact, SECOND, now);
        }
        assert_eq!(session.next_unparked(now, |_| false), None);
        assert!(!session.is_parked(&fact, now));
    }
}
