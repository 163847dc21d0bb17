//! Keeps sled's threads from waking an idle machine.
//!
//! sled keeps a pool of threads that look for work once a second: seven at least, an interval that
//! stands in its code (`perform_work` in `threadpool.rs`), no option to change either. But a thread
//! inherits the timer slack of the one that starts it, which is how late the kernel may let a timer
//! go off so that it goes off together with others. So whoever calls sled holds a [`Slack`]: then
//! those looks cost no wake-up of their own. Work is not delayed: the pool is told of it by a
//! signal, not by a timer. What runs on the pool and does wait by a timer (our `fdatasync`, for a
//! marker's batch) takes the slack off meanwhile.

use std::num::NonZeroU64;
use std::time::Duration;

use rustix::thread::set_current_timer_slack;

/// How late a pool thread's look for work may come.
const SLACK: Duration = Duration::from_secs(600);
/// How late the system lets timers be by itself.
const USUAL: Duration = Duration::from_micros(50);

/// Until this is dropped, timers of the calling thread are as late as it says.
pub(super) struct Slack {
    after: Duration,
}

impl Slack {
    /// For the time of one call of sled's. Threads that are started meanwhile keep the slack.
    pub(super) fn give() -> Self {
        set(SLACK);
        Self { after: USUAL }
    }

    /// For a wait of code that sled calls: on one of the pool's threads, or on one that holds a
    /// [`Slack::give`].
    pub(super) fn take_off() -> Self {
        set(USUAL);
        Self { after: SLACK }
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        set(self.after);
    }
}

/// The slack there was is not asked for: the call that tells it has room for two seconds.
fn set(slack: Duration) {
    let slack = u64::try_from(slack.as_nanos()).ok().and_then(NonZeroU64::new);
    // Without it all works as well, with seven wake-ups a second more.
    _ = set_current_timer_slack(slack);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Duration {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let told = std::fs::read_to_string(format!("/proc/{thread}/timerslack_ns")).unwrap();
        Duration::from_nanos(told.trim().parse().unwrap())
    }

    #[test]
    fn only_threads_started_meanwhile_keep_the_slack() {
        let slack = Slack::give();
        let pool = std::thread::spawn(|| {
            assert_eq!(own(), SLACK);
            let wait = Slack::take_off();
            assert_eq!(own(), USUAL);
            drop(wait);
            assert_eq!(own(), SLACK);
        });
        pool.join().unwrap();
        drop(slack);
        assert_eq!(own(), USUAL);
        let other = std::thread::spawn(own);
        assert_eq!(other.join().unwrap(), USUAL);
    }
}
