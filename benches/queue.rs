//! The work queue and the controller around it, measured on the real parts.
//!
//! Prints cycles per second (add, pop, done), resident bytes per waiting key, and the time from a
//! trigger to the start of its reconcile. Plain code instead of a framework: each number is one line.

#[path = "common/report.rs"]
mod report;

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use routerd::runtime::{
    Action, Backoff, Controller, Failure, Outcome, Queue, Reconciler, Shutdown, Trigger,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::report::{Goal, count, figure, percentile};

fn main() {
    let numbers: Vec<u64> = (0..10_000).collect();
    figure("queue: cycles, numbers as keys", cycles(&numbers), "/s", Goal::None);
    figure("queue: cycles, names as keys", cycles(&names(10_000)), "/s", Goal::AtLeast(2e6));
    figure("queue: memory per waiting key", bytes_per_waiting_key(), "bytes", Goal::None);
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
    let (mut done, enough) = (0, count(8_000_000, 100_000));
    while done < enough {
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
    let waiting = count(1_000_000, 100_000);
    let names = names(waiting);
    let mut queue = Queue::new(Backoff::default(), 1, Instant::now());
    let before = resident_bytes();
    for name in &names {
        queue.trigger(Arc::clone(name), Trigger::Related);
    }
    let after = resident_bytes();
    assert_eq!(queue.len(), names.len());
    (after - before) / f64::from(waiting)
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
    let activations = count(20_000, 500);
    let tokio = tokio::runtime::Runtime::new().expect("a tokio runtime starts");
    let mut times: Vec<Duration> = tokio.block_on(async {
        let (sender, mut started) = mpsc::unbounded_channel();
        let (controller, shutdown) =
            (Controller::new("bench", Backoff::default()), Shutdown::new());
        let (triggers, observer) = (controller.triggers(), controller.observer());
        let task = tokio::spawn(controller.run(Arc::new(Started(sender)), shutdown.clone()));
        let mut times = Vec::with_capacity(activations);
        for key in 0.. {
            if times.len() == activations {
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
    for percent in [50, 99] {
        let name = format!("activation: trigger → reconcile, p{percent}");
        figure(&name, percentile(&mut times, percent) * 1e3, "µs", Goal::None);
    }
}
