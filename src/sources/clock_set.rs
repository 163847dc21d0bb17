//! Hears of it when somebody sets the wall clock, and when the machine wakes from sleep: the kernel
//! then cancels a timer that asks for it. So nobody has to look at the clock again and again.
//!
//! A thread waits for that in a plain read, which costs nothing while it waits; it ends with the
//! process.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::sync::Notify;

/// A time that does not come: the year 2262, in seconds.
const NEVER: i64 = i64::MAX / 1_000_000_000;
/// Bytes of stack of the thread.
const STACK: usize = 64 * 1024;

/// Tells when the clock was set.
#[derive(Debug)]
pub struct ClockSet(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    news: Notify,
    /// Nobody tells any more.
    broken: AtomicBool,
}

impl ClockSet {
    /// Listens from now on.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
        arm(&timer)?;
        let own = Arc::new(Told::default());
        let told = Arc::clone(&own);
        let thread = std::thread::Builder::new().name("clock-set".to_owned()).stack_size(STACK);
        thread.spawn(move || listen(&timer, &told))?;
        Ok(Self(own))
    }

    /// Returns when the clock was set since the last call, or since the beginning; or when nobody
    /// tells any more, which is false. Cancel safe.
    pub async fn happened(&self) -> bool {
        if !self.0.broken.load(Ordering::Acquire) {
            self.0.news.notified().await;
        }
        !self.0.broken.load(Ordering::Acquire)
    }
}

fn arm(timer: &OwnedFd) -> rustix::io::Result<()> {
    let once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let never = Timespec { tv_sec: NEVER, tv_nsec: 0 };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    let new = Itimerspec { it_interval: once, it_value: never };
    match timerfd_settime(timer, flags, &new) {
        // It was set once more meanwhile; the timer is armed all the same.
        Ok(_) | Err(Errno::CANCELED) => Ok(()),
        Err(error) => Err(error),
    }
}

fn listen(timer: &OwnedFd, told: &Told) {
    let mut expirations = [0; 8];
    loop {
        let heard = match rustix::io::read(timer, &mut expirations) {
            Err(Errno::INTR) => continue,
            Ok(_) | Err(Errno::CANCELED) => arm(timer),
            Err(error) => Err(error),
        };
        told.broken.store(heard.is_err(), Ordering::Release);
        told.news.notify_one();
        if let Err(error) = heard {
            return tracing::warn!(%error, "nobody tells any more when the clock is set");
        }
    }
}
