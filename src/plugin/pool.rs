//! The rules of a pool of warm processes: who is taken, who is put away, when the next may start.
//!
//! Plain and synchronous, with time passed in and processes of any type, so that its tests start
//! none. How many processes there are at once is bounded by the runs that ask for one.

use std::time::Duration;
use tokio::time::Instant;

/// A process that was not asked for this long is ended.
pub(super) const IDLE: Duration = Duration::from_secs(300);
/// Pause before a start after the second failure in a row; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The idle processes of one version of a program, and how the last ones fared.
#[derive(Debug)]
pub(super) struct Pool<P> {
    version: String,
    /// The one used last is at the end.
    idle: Vec<(P, Instant)>,
    failures: u32,
    why: String,
    not_before: Option<Instant>,
}

/// What a run gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take<P> {
    /// A process that waits.
    Idle(P),
    /// None waits: start one.
    Start,
    /// None waits, and the last ones failed: start none yet.
    Rest { failures: u32, why: String, pause: Duration },
}

impl<P> Pool<P> {
    pub(super) fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            idle: Vec::new(),
            failures: 0,
            why: String::new(),
            not_before: None,
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The process that was used last, so that what is not needed grows old.
    pub(super) fn take(&mut self, now: Instant) -> Take<P> {
        if let Some((process, _)) = self.idle.pop() {
            return Take::Idle(process);
        }
        if self.may_start(now) {
            return Take::Start;
        }
        let pause = self.not_before.map_or(Duration::ZERO, |at| at - now);
        Take::Rest { failures: self.failures, why: self.why.clone(), pause }
    }

    pub(super) fn may_start(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// A process that answered well waits for the next run.
    pub(super) fn give_back(&mut self, process: P, now: Instant) {
        self.idle.push((process, now));
        self.answered();
    }

    /// A good answer: the failures before it are forgotten.
    pub(super) fn answered(&mut self) {
        (self.failures, self.not_before) = (0, None);
    }

    /// A process failed. One failure may be its request's fault, so the first costs no pause.
    pub(super) fn failed(&mut self, why: String, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.why = why;
        if let Some(doublings) = self.failures.checked_sub(2) {
            let pause = FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
            self.not_before = Some(now + pause);
        }
    }

    /// Takes out what has waited too long, or is no longer as it should be.
    pub(super) fn take_worn(&mut self, now: Instant, is_good: impl Fn(&P) -> bool) -> Vec<P> {
        let worn = |(process, since): &mut (P, Instant)| {
            now.duration_since(*since) >= IDLE || !is_good(process)
        };
        self.idle.extract_if(.., worn).map(|(process, _)| process).collect()
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    pub(super) fn into_idle(self) -> impl Iterator<Item = P> {
        self.idle.into_iter().map(|(process, _)| process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(pool: &mut Pool<u8>, now: Instant) -> Duration {
        match pool.take(now) {
            Take::Rest { pause, .. } => pause,
            Take::Start => Duration::ZERO,
            Take::Idle(process) => panic!("process {process} waits"),
        }
    }

    #[test]
    fn the_process_used_last_is_taken_first() {
        let (mut pool, now) = (Pool::new("1"), Instant::now());
        assert_eq!(pool.take(now), Take::Start);
        pool.give_back(1, now);
        pool.give_back(2, now);
        assert_eq!(pool.take(now), Take::Idle(2));
        assert_eq!(pool.take(now), Take::Idle(1));
        assert_eq!(pool.take(now), Take::Start);
    }

    #[test]
    fn failures_in_a_row_make_longer_pauses_and_a_good_answer_ends_them() {
        let (mut pool, now) = (Pool::new("1"), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pool.failed("hung".to_owned(), now);
            pauses.push(pause(&mut pool, now).as_millis());
        }
        assert_eq!(
            pauses,
            [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]
        );
        assert_eq!(pause(&mut pool, now + LONGEST_PAUSE), Duration::ZERO, "then one is started");
        pool.give_back(1, now);
        assert_eq!(pool.take(now), Take::Idle(1));
        pool.failed("hung".to_owned(), now);
        assert_eq!(pause(&mut pool, now), Duration::ZERO, "one failure after success is the first");
    }

    #[test]
    fn a_pause_does_not_keep_those_that_wait_from_answering() {
        let (mut pool, now) = (Pool::new("1"), Instant::now());
        pool.give_back(1, now);
        pool.failed("hung".to_owned(), now);
        pool.failed("hung".to_owned(), now);
        assert_eq!(pool.take(now), Take::Idle(1));
        assert!(pause(&mut pool, now) > Duration::ZERO);
    }

    #[test]
    fn what_waited_too_long_or_is_spoilt_is_taken_out_and_nothing_else() {
        let (mut pool, start) = (Pool::new("1"), Instant::now());
        pool.give_back(1, start);
        pool.give_back(2, start + Duration::from_secs(1));
        pool.give_back(3, start + Duration::from_secs(1));
        assert_eq!(pool.take_worn(start + IDLE, |process| *process != 3), [1, 3]);
        assert!(pool.has_idle());
        assert_eq!(pool.into_idle().collect::<Vec<_>>(), [2]);
    }
}
