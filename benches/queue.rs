//! The work queue and the controller around it, measured on the real parts.
//!
//! Prints cycles per second (add, pop, done), resident bytes per waiting key, and the time from a
//! trigger to the start of its reconcile. Plain code instead of a framework: each number is one line.

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use routerd::runtime::{
    Action, Backoff, Controller, Failure, Outcome, Queue, Reconciler, Shutdown, Trigger,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

const CYCLES: u32 = 8_000_000;
const WAITING: u32 = 1_000_000;
const ACTIVATIONS: usize = 20_000;

fn main() {
    let numbers: Vec<u64> = (0..10_000).collect();
    println!("queue: {:.0} cycles/s with numbers as keys", cycles(&numbers));
    let (cycles, bytes) = (cycles(&names(10_000)), bytes_per_waiting_key());
    println!("queue: {cycles:.0} cycles/s, {bytes:.0} bytes per waiting key");
    activation();
}

/// Names as real keys have them.
fn names(count: u32) -> Vec<Arc<str>> {
    (0..count).map(|i| format!("cloud-claims-{i:016x}").into()).collect()
}

/// Adds all keys, then pops and finishes all of them, until there were enough.
fn cycles<K: Clone + Eq + Hash>(keys: &[K]) -> f64 {
    let now = Instant::now();
    let mut queue = Queue::new(Backoff::default(), 1, now);
    let start = Clock::now();
    let mut done = 0;
    while done < CYCLES {
        for key in keys {
            queue.trigger(key.clone(), Trigger::Related);
        }
        while let Some(run) = queue.pop(now) {
            queue.done(run, Outcome::Done, now);
            done += 1;
        }
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

/// Resident memory, as only the system knows it: with the table, the slack of growth and all. The
/// text of the keys is not the queue's.
fn bytes_per_waiting_key() -> f64 {
    let names = names(WAITING);
    let mut queue = Queue::new(Backoff::default(), 1, Instant::now());
    let before = resident_bytes();
    for name in &names {
        queue.trigger(Arc::clone(name), Trigger::Related);
    }
    let after = resident_bytes();
    assert_eq!(queue.len(), names.len());
    (after - before) / f64::from(WAITING)
}

fn resident_bytes() -> f64 {
    let status =
        std::fs::read_to_string("/proc/self/status").expect("Linux tells a process's memory");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<f64>().ok()).expect("VmRSS is a number of KiB") * 1024.0
}

/// Tells when it started.
struct Started(mpsc::UnboundedSender<Clock>);

impl Reconciler for Started {
    type Key = u64;
    type Error = Infallible;

    async fn reconcile(&self, _: &u64) -> Result<Action, Infallible> {
        let _ = self.0.send(Clock::now());
        Ok(Action::await_change())
    }

    fn classify(&self, error: &Infallible) -> Failure {
        match *error {}
    }
}

/// From a trigger, sent to an idle controller, to the start of the reconcile.
fn activation() {
    let tokio = tokio::runtime::Runtime::new().expect("a tokio runtime starts");
    let mut times: Vec<Duration> = tokio.block_on(async {
        let (sender, mut started) = mpsc::unbounded_channel();
        let (controller, shutdown) =
            (Controller::new("bench", Backoff::default()), Shutdown::new());
        let (triggers, observer) = (controller.triggers(), controller.observer());
        let task = tokio::spawn(controller.run(Arc::new(Started(sender)), shutdown.clone()));
        let mut times = Vec::with_capacity(ACTIVATIONS);
        for key in 0.. {
            if times.len() == ACTIVATIONS {
                break;
            }
            observer.settled().await.expect("the controller runs");
            let sent = Clock::now();
            triggers.related(key);
            let start = started.recv().await.expect("the reconciler runs");
            times.push(start - sent);
        }
        shutdown.drain();
        task.await.expect("no panic").expect("no caches to wait for");
        times
    });
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    println!("activation: p50 {:.1} µs, p99 {:.1} µs from trigger to reconcile", at(50), at(99));
}
