use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::super::queue::{Depth, KeyState};
use super::super::readiness::readiness;
use super::super::reconciler::{Action, Failure};
use super::super::stats::{Counters, Phase, Stopped};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the valve is stuck")]
    Stuck(#[source] std::io::Error),
    #[error("no such valve")]
    Absent,
}

fn stuck() -> Broken {
    Broken::Stuck(std::io::Error::other("rust"))
}

type Answer = Result<Action, Broken>;
type Script = dyn Fn(u32, usize) -> BoxFuture<'static, Answer> + Send + Sync;

/// Plays a script and keeps a record: when did which key run, and how many at once.
struct Scripted {
    script: Box<Script>,
    started: Instant,
    runs: Mutex<Vec<(u32, Duration)>>,
    active: AtomicUsize,
    peak: AtomicUsize,
}

impl Scripted {
    /// The script gets the key and how often it ran before.
    fn new<F>(script: impl Fn(u32, usize) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Arc::new(Self {
            script: Box::new(move |key, run| Box::pin(script(key, run))),
            started: Instant::now(),
            runs: Mutex::default(),
            active: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    fn keys(&self) -> Vec<u32> {
        self.runs.lock().unwrap().iter().map(|(key, _)| *key).collect()
    }

    fn times(&self, key: u32) -> Vec<Duration> {
        let runs = self.runs.lock().unwrap();
        runs.iter().filter(|(k, _)| *k == key).map(|(_, at)| *at).collect()
    }
}

/// Counts a run as active until it ends, also when it panics or is dropped.
struct Active<'a>(&'a AtomicUsize);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Reconciler for Scripted {
    type Key = u32;
    type Error = Broken;

    async fn reconcile(&self, key: &u32) -> Answer {
        let _active = Active(&self.active);
        self.peak.fetch_max(self.active.fetch_add(1, SeqCst) + 1, SeqCst);
        let before = self.times(*key).len();
        self.runs.lock().unwrap().push((*key, self.started.elapsed()));
        (self.script)(*key, before).await
    }

    fn classify(&self, error: &Broken) -> Failure {
        match error {
            Broken::Stuck(_) => Failure::Retry,
            Broken::Absent => Failure::Terminal,
        }
    }
}

struct Running {
    reconciler: Arc<Scripted>,
    triggers: TriggerSender<u32>,
    observer: Observer,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), NeverReady>>,
}

fn controller() -> Controller<u32> {
    Controller::new("valves", Backoff::new(SECOND, HOUR)).timeout(HOUR)
}

fn start(controller: Controller<u32>, reconciler: Arc<Scripted>) -> Running {
    let (triggers, observer) = (controller.triggers(), controller.observer());
    let shutdown = Shutdown::new();
    let task = tokio::spawn(controller.run(Arc::clone(&reconciler), shutdown.clone()));
    Running { reconciler, triggers, observer, shutdown, task }
}

fn runs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

impl Running {
    async fn settled(&self) {
        self.observer.settled().await.expect("the controller runs");
    }

    /// Waits, on paused time, until everything that can happen now has happened.
    async fn quiet(&self) {
        sleep(Duration::from_millis(1)).await;
    }
}

async fn done(_: u32, _: usize) -> Answer {
    Ok(Action::await_change())
}

#[tokio::test(start_paused = true)]
async fn a_trigger_runs_its_key_and_a_key_that_is_done_stays_idle() {
    let run = start(controller(), Scripted::new(done));
    run.triggers.related(7);
    run.settled().await;
    sleep(HOUR).await;
    assert_eq!(run.reconciler.keys(), [7]);
    assert_eq!(run.observer.stats().depth, Depth::default());
}

#[tokio::test(start_paused = true)]
async fn triggers_sent_before_the_start_are_not_lost() {
    let controller = controller();
    controller.triggers().extend(0..1_000, Trigger::Related);
    let run = start(controller, Scripted::new(done));
    run.settled().await;
    assert_eq!(run.reconciler.keys(), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_triggers_during_a_run_give_one_more_run() {
    let slow = |_, before| async move {
        if before == 0 {
            sleep(SECOND).await;
        }
        Ok(Action::await_change())
    };
    let run = start(controller(), Scripted::new(slow));
    run.triggers.related(7);
    run.quiet().await;
    for _ in 0..1_000 {
        run.triggers.related(7);
    }
    run.settled().await;
    assert_eq!(run.reconciler.keys(), [7, 7]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_allowed_number_of_runs_are_active_and_none_twice_for_a_key() {
    let slow = |_, _| async {
        sleep(SECOND).await;
        Ok(Action::await_change())
    };
    let run = start(controller().concurrency(runs(3)), Scripted::new(slow));
    run.triggers.extend(0..9, Trigger::Related);
    run.settled().await;
    assert_eq!(run.reconciler.peak.load(SeqCst), 3);
    assert_eq!(run.reconciler.keys().len(), 9);
    // One key that is always triggered has one run at a time, although there is room for three.
    run.reconciler.peak.store(0, SeqCst);
    for _ in 0..5 {
        run.triggers.related(7);
        run.quiet().await;
    }
    run.settled().await;
    assert_eq!(run.reconciler.peak.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_requeue_runs_at_its_time() {
    let hourly = |_, before| async move {
        Ok(if before < 3 { Action::requeue_after(HOUR) } else { Action::await_change() })
    };
    let run = start(controller(), Scripted::new(hourly));
    run.triggers.related(7);
    sleep(HOUR * 10).await;
    let hours: Vec<_> = run.reconciler.times(7).iter().map(Duration::as_secs).collect();
    assert_eq!(hours, [0, 3600, 7200, 10800]);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_that_comes_up_later_is_not_missed() {
    let by_key = |key, before| async move {
        let delay = if key == 1 { HOUR } else { SECOND };
        Ok(if before == 0 { Action::requeue_after(delay) } else { Action::await_change() })
    };
    let run = start(controller(), Scripted::new(by_key));
    run.triggers.related(1);
    run.quiet().await;
    run.triggers.related(2);
    sleep(HOUR * 2).await;
    assert_eq!(run.reconciler.keys(), [1, 2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_backs_off_and_does_not_hold_up_the_others() {
    let failing = |key, before| async move {
        if key == 1 && before < 3 { Err(stuck()) } else { Ok(Action::await_change()) }
    };
    let run = start(controller().concurrency(runs(1)), Scripted::new(failing));
    run.triggers.extend([1, 2, 3], Trigger::Related);
    run.settled().await;
    assert_eq!(run.reconciler.keys(), [1, 2, 3, 1, 1, 1]);
    let times = run.reconciler.times(1);
    for (pair, ceiling) in times.windows(2).zip([1, 2, 4]) {
        let (waited, ceiling) = (pair[1].saturating_sub(pair[0]), SECOND * ceiling);
        let tick = Duration::from_millis(1);
        assert!(waited >= ceiling / 2 && waited <= ceiling + tick, "{waited:?} of {ceiling:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_under_a_storm_of_related_triggers_keeps_to_its_backoff() {
    let run = start(controller(), Scripted::new(|_, _| async { Err(stuck()) }));
    for _ in 0..60 * 1_000 {
        run.triggers.related(7);
        run.quiet().await;
    }
    // Within a minute the ceilings 1, 2, 4, 8, 16, 32 s allow six retries, seven with luck.
    let attempts = run.reconciler.times(7).len();
    assert!((6..=8).contains(&attempts), "{attempts} attempts");
}

#[tokio::test(start_paused = true)]
async fn a_terminal_failure_waits_for_the_spec_to_change() {
    let first_fails = |_, before| async move {
        if before == 0 { Err(Broken::Absent) } else { Ok(Action::await_change()) }
    };
    let run = start(controller(), Scripted::new(first_fails));
    run.triggers.related(7);
    run.settled().await;
    run.triggers.related(7);
    sleep(HOUR).await;
    assert_eq!(run.reconciler.keys(), [7]);
    assert_eq!(run.observer.stats().depth.parked, 1);
    run.triggers.spec(7);
    run.settled().await;
    assert_eq!(run.reconciler.keys(), [7, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_is_dropped_and_retried() {
    let first_hangs = |_, before| async move {
        if before == 0 {
            sleep(HOUR).await;
        }
        Ok(Action::await_change())
    };
    let run = start(controller().timeout(SECOND), Scripted::new(first_hangs));
    run.triggers.related(7);
    run.quiet().await;
    sleep(SECOND).await;
    assert_eq!(run.reconciler.active.load(SeqCst), 0, "the run was dropped");
    let stats = run.observer.stats();
    assert_eq!((stats.counters.timeouts, stats.depth.backing_off), (1, 1));
    assert_eq!(stats.errors[0].message, "took longer than 1s");
    run.settled().await;
    assert_eq!(run.reconciler.keys(), [7, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_key_one_attempt() {
    let first_panics = |key, before| async move {
        assert!(key != 7 || before > 0, "valve {key} burst");
        Ok(Action::await_change())
    };
    let run = start(controller(), Scripted::new(first_panics));
    run.triggers.extend([7, 8], Trigger::Related);
    run.quiet().await;
    let stats = run.observer.stats();
    assert_eq!((stats.counters.panics, stats.depth.backing_off), (1, 1));
    assert_eq!(stats.errors[0].message, "panicked: valve 7 burst");
    run.settled().await;
    assert_eq!(run.reconciler.keys(), [7, 8, 7]);
    assert!(run.observer.stats().errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_reconcile_starts_before_every_cache_is_ready() {
    let ((zones, zones_ready), (pumps, pumps_ready)) = (readiness("zones"), readiness("pumps"));
    let controller = controller().after(zones_ready).after(pumps_ready);
    let run = start(controller, Scripted::new(done));
    run.triggers.related(7);
    pumps.set();
    sleep(HOUR).await;
    assert!(run.reconciler.keys().is_empty());
    zones.set();
    run.settled().await;
    assert_eq!(run.reconciler.keys(), [7]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_caches_are_ready_is_a_stop_and_no_failure() {
    // Both are known at the same moment, and which is looked at first must not be chance.
    for _ in 0..50 {
        let (setter, ready) = readiness("zones");
        let run = start(controller().after(ready), Scripted::new(done));
        run.quiet().await;
        run.shutdown.drain();
        drop(setter);
        assert_eq!(run.task.await.unwrap(), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_can_never_be_ready_ends_the_controller_with_its_name() {
    let (setter, ready) = readiness("zones");
    let run = start(controller().after(ready), Scripted::new(done));
    drop(setter);
    assert_eq!(run.task.await.unwrap(), Err(NeverReady { name: "zones".into() }));
    assert_eq!(run.observer.settled().await, Err(Stopped { name: "valves".into() }));
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_waits_for_its_caches_is_not_settled_although_nothing_is_queued() {
    let (setter, ready) = readiness("zones");
    let run = start(controller().after(ready).full_pass(HOUR, || vec![7]), Scripted::new(done));
    run.quiet().await;
    assert!(!run.observer.is_settled());
    assert_eq!(run.observer.stats().phase, Phase::Waiting);
    setter.set();
    run.settled().await;
    assert_eq!(run.reconciler.keys(), [7], "settled includes the first pass");
}

#[tokio::test(start_paused = true)]
async fn a_full_pass_runs_every_key_at_the_start_and_at_each_interval() {
    let run = start(controller().full_pass(HOUR, || vec![1, 2]), Scripted::new(done));
    sleep(HOUR * 2 + SECOND).await;
    assert_eq!(run.reconciler.keys(), [1, 2, 1, 2, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_full_pass_comes_also_under_endless_work() {
    let busy = |key, _| async move {
        sleep(SECOND).await;
        Ok(if key == 1 { Action::requeue_after(Duration::ZERO) } else { Action::await_change() })
    };
    let run = start(controller().full_pass(HOUR, || vec![1, 2]), Scripted::new(busy));
    sleep(HOUR * 2 + SECOND).await;
    assert_eq!(run.reconciler.times(2).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_runs_and_starts_nothing_new() {
    let slow = |_, _| async {
        sleep(SECOND).await;
        Ok(Action::await_change())
    };
    let run = start(controller().concurrency(runs(2)), Scripted::new(slow));
    run.triggers.extend(0..10, Trigger::Related);
    run.quiet().await;
    run.shutdown.request();
    assert_eq!(run.task.await.unwrap(), Ok(()));
    assert_eq!(run.observer.stats().counters.reconciles, 2);
    assert_eq!(run.reconciler.keys(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_second_request_drops_what_runs() {
    let hangs = |_, _| std::future::pending();
    let run = start(controller().timeout(Duration::MAX), Scripted::new(hangs));
    run.triggers.related(7);
    run.quiet().await;
    run.shutdown.request();
    run.quiet().await;
    assert!(!run.task.is_finished(), "draining waits for the run");
    run.shutdown.request();
    assert_eq!(run.task.await.unwrap(), Ok(()));
    sleep(SECOND).await;
    assert_eq!(run.reconciler.active.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_stop_also_ends_the_wait_for_caches() {
    let (_setter, ready) = readiness("zones");
    let run = start(controller().after(ready), Scripted::new(done));
    run.quiet().await;
    run.shutdown.request();
    assert_eq!(run.task.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_controller_drops_triggers_and_lets_waiters_go() {
    let run = start(controller(), Scripted::new(|_, _| async { Err(stuck()) }));
    run.triggers.related(7);
    run.quiet().await;
    let waiter = tokio::spawn({
        let observer = run.observer.clone();
        async move { observer.settled().await }
    });
    run.quiet().await;
    run.task.abort();
    assert_eq!(waiter.await.unwrap(), Err(Stopped { name: "valves".into() }));
    run.triggers.related(8);
    assert_eq!(run.observer.stats().depth.total(), 1);
    assert_eq!(run.observer.stats().phase, Phase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_was_sent_before_the_question_is_part_of_the_answer() {
    let run = start(controller(), Scripted::new(done));
    run.settled().await;
    run.triggers.related(7);
    // No await in between: the controller has had no chance to see it.
    assert!(!run.observer.is_settled());
    let pending = run.observer.pending(10);
    assert_eq!((pending[0].key.as_str(), pending[0].state), ("7", KeyState::Ready));
    run.settled().await;
    assert!(run.observer.pending(10).is_empty());
}

#[tokio::test(start_paused = true)]
async fn held_keys_are_pending_and_delayed_keys_are_not() {
    let by_key = |key, before| async move {
        Ok(match (key, before) {
            (1, 0) => Action::hold_for(SECOND),
            (2, 0) => Action::requeue_after(HOUR),
            _ => Action::await_change(),
        })
    };
    let run = start(controller(), Scripted::new(by_key));
    run.triggers.extend([1, 2], Trigger::Related);
    run.quiet().await;
    let pending = run.observer.pending(10);
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].key.as_str(), pending[0].state), ("1", KeyState::Held));
    run.settled().await;
    assert_eq!(run.reconciler.started.elapsed().as_secs(), 1);
    assert_eq!(run.observer.stats().depth.delayed, 1);
}

#[tokio::test(start_paused = true)]
async fn settled_twice_in_one_epoch_is_settled_in_between() {
    let by_key = |key, before| async move {
        let later = key == 1 && before == 0;
        Ok(if later { Action::requeue_after(HOUR) } else { Action::await_change() })
    };
    let run = start(controller(), Scripted::new(by_key));
    run.triggers.related(1);
    let first = run.observer.settled().await.unwrap();
    assert_eq!(run.observer.settled().await, Ok(first));
    run.triggers.related(2);
    let triggered = run.observer.settled().await.unwrap();
    assert_ne!(triggered, first);
    sleep(HOUR * 2).await;
    assert_ne!(run.observer.settled().await, Ok(triggered), "a deadline came");
}

#[tokio::test(start_paused = true)]
async fn the_list_of_what_is_pending_is_bounded() {
    let run = start(controller(), Scripted::new(done));
    run.triggers.extend(0..100, Trigger::Related);
    assert_eq!(run.observer.pending(5).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_end_is_counted_and_errors_tell_their_sources() {
    let by_key = |key, before| async move {
        match (key, before) {
            (1, 0) => Err(stuck()),
            (2, _) => Err(Broken::Absent),
            (3, 0) => panic!("burst"),
            (4, 0) => std::future::pending().await,
            _ => Ok(Action::await_change()),
        }
    };
    let run = start(controller().timeout(SECOND / 10), Scripted::new(by_key));
    run.triggers.extend(0..=4, Trigger::Related);
    // After the timeout, before the first retry.
    sleep(SECOND / 5).await;
    let errors: BTreeMap<_, _> =
        run.observer.stats().errors.into_iter().map(|e| (e.key, e.message)).collect();
    assert_eq!(errors["1"], "the valve is stuck: rust");
    assert_eq!(errors["2"], "no such valve");
    run.settled().await;
    let stats = run.observer.stats();
    let expected =
        Counters { reconciles: 8, failures: 1, terminal_failures: 1, panics: 1, timeouts: 1 };
    assert_eq!(stats.counters, expected);
    assert_eq!(stats.errors.len(), 1, "only the parked key still has an error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_trigger_is_lost_between_threads() {
    // A key that was triggered after its value was raised must be run after that: if one trigger
    // were lost, a key would never see its last value.
    const KEYS: u32 = 8;
    let wanted: Arc<Vec<AtomicUsize>> = Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect());
    let seen: Arc<Vec<AtomicUsize>> = Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect());
    let reconciler = Scripted::new({
        let (wanted, seen) = (Arc::clone(&wanted), Arc::clone(&seen));
        move |key, _| {
            let key = usize::try_from(key).unwrap();
            let value = wanted[key].load(SeqCst);
            let seen = Arc::clone(&seen);
            async move {
                tokio::task::yield_now().await;
                seen[key].store(value, SeqCst);
                Ok(Action::await_change())
            }
        }
    });
    let run = start(controller(), reconciler);
    let gate = Arc::new(Semaphore::new(0));
    let senders: Vec<_> = (0..KEYS)
        .map(|key| {
            let (wanted, triggers) = (Arc::clone(&wanted), run.triggers.clone());
            let gate = Arc::clone(&gate);
            tokio::spawn(async move {
                gate.acquire().await.unwrap().forget();
                for _ in 0..500 {
                    wanted[usize::try_from(key).unwrap()].fetch_add(1, SeqCst);
                    triggers.related(key);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    gate.add_permits(senders.len());
    for sender in senders {
        sender.await.unwrap();
    }
    run.settled().await;
    for (wanted, seen) in wanted.iter().zip(seen.iter()) {
        assert_eq!(seen.load(SeqCst), wanted.load(SeqCst));
    }
}
