//! Wakes a write that sled forgot.
//!
//! When one of sled's background writes fails, it notes the error but on one path does not notify
//! the thread that waits in `flush`, which then waits for ever. Any other flush notices the error
//! and notifies. So while a write lasts longer than [`PATIENCE`], this thread flushes too: the
//! waiting one wakes and returns the error. Asleep while nothing is written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

/// How long a write may take before it is looked after.
const PATIENCE: Duration = Duration::from_secs(2);

/// The thread's handle; ends it when dropped.
pub(super) struct Watchdog {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Odd while a write is under way.
    step: AtomicU64,
    /// Whether the thread looks at `step` by itself.
    awake: AtomicBool,
    stop: AtomicBool,
}

/// A write under way.
pub(super) struct Watched<'a>(&'a State);

impl Watchdog {
    pub(super) fn start(flush: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let seen = Arc::downgrade(&state);
        let thread = std::thread::Builder::new()
            .name("store-watchdog".to_owned())
            .spawn(move || run(&seen, flush))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Marks a write as under way until the answer is dropped. One at a time.
    pub(super) fn watch(&self) -> Watched<'_> {
        self.state.step.fetch_add(1, Ordering::SeqCst);
        if !self.state.awake.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.thread.as_ref().map(JoinHandle::thread)
        {
            Thread::unpark(thread);
        }
        Watched(&self.state)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.step.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic was reported by its hook when it happened.
            _ = thread.join();
        }
    }
}

fn run(state: &Weak<State>, flush: impl Fn()) {
    let mut last_step = 0;
    while let Some(state) = state.upgrade() {
        if state.stop.load(Ordering::SeqCst) {
            return;
        }
        let step = state.step.load(Ordering::SeqCst);
        if step % 2 == 1 && step == last_step {
            flush();
        }
        if step % 2 == 0 && step == last_step {
            // Nothing was written since the last look: sleep until something is.
            state.awake.store(false, Ordering::SeqCst);
            if state.step.load(Ordering::SeqCst) == step {
                std::thread::park();
            }
        } else {
            last_step = step;
            std::thread::park_timeout(PATIENCE);
        }
    }
}
