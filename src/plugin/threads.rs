//! On which thread a program is spawned: a child inherits its walls from that thread, so the thread
//! is part of how it is launched.
//!
//! - A plugin without walls: the caller's own thread, which gets `no_new_privs` for good. That costs
//!   a microsecond, takes nothing from the daemon (which executes nothing else), and there is no
//!   hand-over, which would cost as much as the spawn.
//! - A plugin with walls: a thread of its own that ends after the spawn.
//! - A hook: one thread that was made before any plugin ran and never confines itself, because
//!   `no_new_privs` cannot be taken back and is inherited by new threads too.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Enough for a spawn; std's default would be mapped and unmapped for each run.
const STACK: usize = 256 << 10;

/// Runs `work` on a new thread that ends with it. What nobody waits for any more is dropped there.
pub(super) async fn on_own<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name("launch".into())
        .stack_size(STACK)
        .spawn(move || drop(answer.send(work())))?;
    answered.await.map_err(|_| io::Error::other("the launching thread died"))
}

/// The thread that keeps the privileges the daemon was started with.
#[derive(Debug)]
pub(super) struct Privileged {
    jobs: Mutex<mpsc::Sender<Job>>,
}

impl Privileged {
    /// Made when the daemon starts: a thread inherits from its maker. It ends with this value.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("hooks".into())
            .stack_size(STACK)
            .spawn(move || queue.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs: Mutex::new(jobs) })
    }

    /// Runs `work` there, after what was asked for before.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || drop(answer.send(work())));
        let sent = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(job);
        let gone = || io::Error::other("the thread that starts hooks is gone");
        sent.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::{no_new_privs, set_no_new_privs};

    #[tokio::test]
    async fn the_privileged_thread_stays_so_when_others_give_theirs_up() {
        let privileged = Privileged::start().unwrap();
        set_no_new_privs(true).unwrap();
        assert!(on_own(no_new_privs).await.unwrap().unwrap(), "inherited by a new thread");
        assert!(!privileged.run(no_new_privs).await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn what_is_not_waited_for_is_dropped() {
        struct Noted(mpsc::Sender<()>);
        impl Drop for Noted {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let (dropped, heard) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let mut waiting = Box::pin(on_own(move || {
            gone.recv().unwrap();
            Noted(dropped)
        }));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(waiting);
        go.send(()).unwrap();
        heard.recv().unwrap();
    }
}
