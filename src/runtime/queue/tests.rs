use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    queue: Queue<u32>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self { queue: Queue::new(Backoff::new(SECOND, HOUR), 1, now), now }
    }

    fn trigger(&mut self, key: u32, trigger: Trigger) -> bool {
        self.queue.trigger(key, trigger)
    }

    fn pop(&mut self) -> Option<Run<u32>> {
        self.queue.pop(self.now)
    }

    fn popped(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.pop().map(|run| run.key)).collect()
    }

    fn run(&mut self, outcome: Outcome) -> Option<Duration> {
        let run = self.pop().expect("a key is ready");
        self.queue.done(run, outcome, self.now)
    }

    fn after(&mut self, delay: Duration) -> &mut Self {
        self.now += delay;
        self
    }

    fn failed(outcome: Outcome) -> (Self, Option<Duration>) {
        let mut bench = Self::new();
        bench.trigger(1, Trigger::Related);
        let delay = bench.run(outcome);
        (bench, delay)
    }
}

#[test]
fn many_triggers_of_a_ready_key_give_one_run() {
    let mut bench = Bench::new();
    assert!(bench.trigger(1, Trigger::Related));
    assert!(!bench.trigger(1, Trigger::Related));
    assert!(!bench.trigger(1, Trigger::Spec));
    assert_eq!(bench.popped(), [1]);
}

#[test]
fn ready_keys_run_in_the_order_they_became_ready() {
    let mut bench = Bench::new();
    for key in [3, 1, 2, 1, 3] {
        bench.trigger(key, Trigger::Related);
    }
    assert_eq!(bench.popped(), [3, 1, 2]);
}

#[test]
fn a_key_that_runs_is_not_popped_again_until_it_is_done() {
    let mut bench = Bench::new();
    bench.trigger(1, Trigger::Related);
    let run = bench.pop().unwrap();
    bench.trigger(1, Trigger::Spec);
    assert!(bench.pop().is_none());
    bench.queue.done(run, Outcome::Done, bench.now);
    assert_eq!(bench.popped(), [1]);
}

#[test]
fn triggers_during_a_run_give_exactly_one_more_run_at_the_end_of_the_line() {
    let mut bench = Bench::new();
    bench.trigger(1, Trigger::Related);
    let run = bench.pop().unwrap();
    for key in [1, 2, 1, 1] {
        bench.trigger(key, Trigger::Related);
    }
    bench.queue.done(run, Outcome::Done, bench.now);
    assert_eq!(bench.run(Outcome::Done), None);
    assert_eq!(bench.popped(), [1]);
}

#[test]
fn a_trigger_during_a_run_wins_over_the_delay_the_run_asked_for() {
    for outcome in [Outcome::RequeueAfter(HOUR), Outcome::HoldFor(HOUR)] {
        let mut bench = Bench::new();
        bench.trigger(1, Trigger::Related);
        let run = bench.pop().unwrap();
        bench.trigger(1, Trigger::Related);
        bench.queue.done(run, outcome, bench.now);
        assert_eq!(bench.queue.next_deadline(), None);
        bench.run(Outcome::Done);
        assert!(bench.queue.is_empty());
    }
}

#[test]
fn a_delayed_key_runs_at_its_deadline_and_not_a_nanosecond_before() {
    let (mut bench, delay) = Bench::failed(Outcome::RequeueAfter(SECOND));
    assert_eq!(delay, Some(SECOND));
    assert_eq!(bench.queue.next_deadline(), Some(bench.now + SECOND));
    let nanosecond = Duration::from_nanos(1);
    assert!(bench.after(SECOND.saturating_sub(nanosecond)).pop().is_none());
    assert_eq!(bench.after(nanosecond).popped(), [1]);
}

#[test]
fn deadlines_that_have_passed_come_in_their_own_order() {
    let mut bench = Bench::new();
    for (key, seconds) in [(1, 3), (2, 1), (3, 2)] {
        bench.trigger(key, Trigger::Related);
        bench.run(Outcome::RequeueAfter(SECOND * seconds));
    }
    assert_eq!(bench.after(HOUR).popped(), [2, 3, 1]);
}

#[test]
fn an_earlier_trigger_wins_over_a_delay_and_leaves_no_timer_behind() {
    for trigger in [Trigger::Related, Trigger::Spec] {
        let (mut bench, _) = Bench::failed(Outcome::RequeueAfter(SECOND));
        assert!(bench.trigger(1, trigger));
        assert_eq!(bench.queue.next_deadline(), None);
        bench.run(Outcome::Done);
        assert!(bench.after(HOUR).pop().is_none());
    }
}

#[test]
fn a_key_that_is_retriggered_a_million_times_keeps_one_timer() {
    let (mut bench, _) = Bench::failed(Outcome::RequeueAfter(HOUR));
    for _ in 0..1_000_000 {
        bench.trigger(1, Trigger::Related);
        bench.run(Outcome::RequeueAfter(HOUR));
    }
    assert_eq!(bench.queue.timers.len(), 1);
}

#[test]
fn failures_in_a_row_back_off_longer_each_time() {
    let (mut bench, first) = Bench::failed(Outcome::Retry);
    let mut delay = first.unwrap();
    for attempt in 2..8 {
        let run = bench.after(delay).pop().unwrap();
        assert_eq!(run.attempt, attempt);
        let next = bench.queue.done(run, Outcome::Retry, bench.now).unwrap();
        // The drawn half never overlaps the certain half of the next delay.
        assert!(next >= delay, "{next:?} after {delay:?}");
        delay = next;
    }
}

#[test]
fn a_related_trigger_never_shortens_a_backoff() {
    let (mut bench, delay) = Bench::failed(Outcome::Retry);
    let deadline = bench.now + delay.unwrap();
    assert!(!bench.trigger(1, Trigger::Related));
    assert!(bench.pop().is_none());
    assert_eq!(bench.queue.next_deadline(), Some(deadline));
    bench.now = deadline;
    assert_eq!(bench.run(Outcome::Done), None);
    assert!(bench.queue.is_empty(), "the retry also served the trigger");
}

#[test]
fn a_related_trigger_during_a_run_that_fails_does_not_shorten_its_backoff() {
    let mut bench = Bench::new();
    bench.trigger(1, Trigger::Related);
    let run = bench.pop().unwrap();
    bench.trigger(1, Trigger::Related);
    assert!(bench.queue.done(run, Outcome::Retry, bench.now).is_some());
    assert!(bench.pop().is_none());
}

#[test]
fn a_spec_trigger_ends_a_backoff_and_forgets_the_failures() {
    let (mut bench, delay) = Bench::failed(Outcome::Retry);
    bench.after(delay.unwrap()).run(Outcome::Retry);
    assert!(bench.trigger(1, Trigger::Spec));
    let run = bench.pop().unwrap();
    assert_eq!(run.attempt, 1);
    let delay = bench.queue.done(run, Outcome::Retry, bench.now).unwrap();
    assert!(delay <= SECOND, "the backoff began anew, not at {delay:?}");
}

#[test]
fn a_spec_trigger_during_a_run_that_fails_runs_it_again_at_once() {
    for outcome in [Outcome::Retry, Outcome::Terminal] {
        let mut bench = Bench::new();
        bench.trigger(1, Trigger::Related);
        let run = bench.pop().unwrap();
        bench.trigger(1, Trigger::Spec);
        bench.trigger(1, Trigger::Related);
        assert_eq!(bench.queue.done(run, outcome, bench.now), None);
        assert_eq!(bench.pop().unwrap().attempt, 1);
    }
}

#[test]
fn a_spec_trigger_forgets_the_failures_of_a_retry_that_waits_for_its_turn() {
    let (mut bench, _) = Bench::failed(Outcome::Retry);
    bench.trigger(2, Trigger::Related);
    let now = bench.after(HOUR).now;
    bench.queue.promote(now);
    bench.trigger(1, Trigger::Spec);
    assert_eq!(bench.pop().unwrap().key, 2);
    assert_eq!(bench.pop().unwrap().attempt, 1);
}

#[test]
fn a_success_forgets_the_failures() {
    for outcome in [Outcome::Done, Outcome::RequeueAfter(SECOND), Outcome::HoldFor(SECOND)] {
        let (mut bench, _) = Bench::failed(Outcome::Retry);
        bench.after(HOUR).run(outcome);
        bench.trigger(1, Trigger::Related);
        assert_eq!(bench.after(HOUR).pop().unwrap().attempt, 1);
    }
}

#[test]
fn a_terminal_failure_parks_the_key_until_its_spec_changes() {
    let (mut bench, delay) = Bench::failed(Outcome::Terminal);
    assert_eq!(delay, None);
    assert!(!bench.trigger(1, Trigger::Related));
    assert!(bench.after(HOUR).pop().is_none());
    assert_eq!(bench.queue.depth(), Depth { parked: 1, ..Depth::default() });
    assert!(bench.trigger(1, Trigger::Spec));
    assert_eq!(bench.popped(), [1]);
}

#[test]
fn a_related_trigger_during_a_run_that_fails_for_good_does_not_revive_it() {
    let mut bench = Bench::new();
    bench.trigger(1, Trigger::Related);
    let run = bench.pop().unwrap();
    bench.trigger(1, Trigger::Related);
    bench.queue.done(run, Outcome::Terminal, bench.now);
    assert!(bench.pop().is_none());
}

#[test]
fn delayed_and_parked_keys_are_settled_and_all_others_are_pending() {
    let mut bench = Bench::new();
    let outcomes = [
        Outcome::RequeueAfter(HOUR),
        Outcome::HoldFor(HOUR),
        Outcome::Retry,
        Outcome::Terminal,
        Outcome::Done,
    ];
    for (key, outcome) in (0..).zip(outcomes) {
        bench.trigger(key, Trigger::Related);
        bench.run(outcome);
    }
    bench.trigger(8, Trigger::Related);
    let _running = bench.pop().unwrap();
    bench.trigger(9, Trigger::Related);
    let depth = bench.queue.depth();
    assert_eq!(
        depth,
        Depth { ready: 1, running: 1, delayed: 1, held: 1, backing_off: 1, parked: 1 }
    );
    assert_eq!((depth.pending(), depth.total(), bench.queue.len()), (4, 6, 6));
    let pending = bench.queue.keys().filter(|(_, state)| state.is_pending()).count();
    assert_eq!(pending, 4);
}

#[test]
fn a_waiting_key_costs_twenty_bytes_beside_itself_and_its_index() {
    assert_eq!(size_of::<Entry>(), 16);
    assert_eq!(Keyed::<u64, Entry>::SLOT, size_of::<u64>() + 16 + 4 + 4, "padded to eight");
}

#[test]
fn idle_keys_cost_no_memory() {
    let mut bench = Bench::new();
    for key in 0..100_000 {
        bench.trigger(key, Trigger::Related);
        bench.run(Outcome::Done);
    }
    assert!(bench.queue.is_empty());
    assert!(bench.queue.entries.capacity() < 100, "slots of idle keys are used again");
}

#[test]
fn the_memory_of_a_burst_is_given_back_when_the_queue_is_empty() {
    let mut bench = Bench::new();
    for key in 0..100_000 {
        bench.trigger(key, Trigger::Related);
    }
    while !bench.queue.is_empty() {
        bench.run(Outcome::Done);
    }
    assert_eq!(bench.queue.entries.capacity(), 0);
    bench.trigger(7, Trigger::Related);
    assert_eq!(bench.popped(), [7]);
}

#[test]
fn a_delay_beyond_all_time_saturates_and_a_trigger_still_wins() {
    let (mut bench, _) = Bench::failed(Outcome::RequeueAfter(Duration::MAX));
    assert!(bench.after(HOUR * 24 * 365 * 100).pop().is_none());
    assert!(bench.trigger(1, Trigger::Related));
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let delays = |seed| {
        let now = Instant::now();
        let mut queue = Queue::new(Backoff::default(), seed, now);
        (0..20)
            .map(|key| {
                queue.trigger(key, Trigger::Related);
                let run = queue.pop(now).unwrap();
                queue.done(run, Outcome::Retry, now)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(delays(5), delays(5));
    assert_ne!(delays(5), delays(6));
}
