//! A common beat: what has to look again now and then does so together, so that an idle machine
//! wakes up once for all of it.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Moments that lie one duration apart, the same for all that hold a copy.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    origin: Instant,
    every: Duration,
}

impl Beat {
    /// Counted from now; a millisecond apart at least, for none would be a busy loop.
    pub fn every(every: Duration) -> Self {
        Self { origin: Instant::now(), every: every.max(Duration::from_millis(1)) }
    }

    /// The next moment from now on.
    pub fn next(&self) -> Instant {
        let since_last = self.origin.elapsed().as_nanos() % self.every.as_nanos();
        let since_last = u64::try_from(since_last).map_or(Duration::ZERO, Duration::from_nanos);
        Instant::now() + self.every.saturating_sub(since_last)
    }

    /// Ticks at these moments. One that was missed is made up for once, and the beat is kept.
    pub(super) fn interval(&self) -> Interval {
        let mut interval = interval_at(self.next(), self.every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        interval
    }
}

/// A beat of one's own.
impl From<Duration> for Beat {
    fn from(every: Duration) -> Self {
        Self::every(every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_joins_later_joins_the_beat() {
        let beat = Beat::every(Duration::from_secs(45));
        let origin = Instant::now();
        let mut first = beat.interval();
        tokio::time::sleep(Duration::from_millis(44_300)).await;
        let mut second = beat.interval();
        assert_eq!(beat.next() - origin, Duration::from_secs(45));
        for beats in 1..4 {
            let at = origin + Duration::from_secs(45 * beats);
            assert_eq!((first.tick().await, second.tick().await), (at, at));
            assert_eq!(beat.next() - origin, Duration::from_secs(45 * (beats + 1)));
        }
        tokio::time::sleep(Duration::from_secs(100)).await;
        first.tick().await;
        assert_eq!(first.tick().await - origin, Duration::from_secs(45 * 6), "the beat is kept");
    }
}
