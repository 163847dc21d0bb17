//! The queue against a naive model: random operations, and after each of them the two agree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEYS: u8 = 6;

/// Written to be obviously right, not fast: one map, searched from end to end.
#[derive(Default)]
struct Model {
    keys: BTreeMap<u8, Entry>,
    // Grows with each key made ready; keys of one deadline share a number, as their order is free.
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    state: KeyState,
    failures: u32,
    turn: u64,
    at: Option<Instant>,
    again: Option<Trigger>,
}

impl Model {
    fn ready(&mut self, key: u8, failures: u32) {
        self.turn += 1;
        let state = KeyState::Ready;
        self.keys.insert(key, Entry { state, failures, turn: self.turn, at: None, again: None });
    }

    fn trigger(&mut self, key: u8, trigger: Trigger) -> bool {
        let Some(entry) = self.keys.get_mut(&key) else {
            self.ready(key, 0);
            return true;
        };
        let spec = trigger == Trigger::Spec;
        match entry.state {
            KeyState::Running => {
                let spec = spec || entry.again == Some(Trigger::Spec);
                entry.again = Some(if spec { Trigger::Spec } else { Trigger::Related });
                return false;
            }
            KeyState::Ready => {
                entry.failures = if spec { 0 } else { entry.failures };
                return false;
            }
            KeyState::BackingOff | KeyState::Parked if !spec => return false,
            _ => {}
        }
        self.ready(key, 0);
        true
    }

    fn promote(&mut self, now: Instant) {
        let due = |entry: &Entry| entry.at.filter(|at| *at <= now);
        while let Some(at) = self.keys.values().filter_map(due).min() {
            self.turn += 1;
            for entry in self.keys.values_mut().filter(|entry| entry.at == Some(at)) {
                *entry = Entry { state: KeyState::Ready, at: None, turn: self.turn, ..*entry };
            }
        }
    }

    /// The keys that may be popped next.
    fn first(&self) -> Vec<u8> {
        let ready = || self.keys.iter().filter(|(_, entry)| entry.state == KeyState::Ready);
        let turn = ready().map(|(_, entry)| entry.turn).min();
        ready().filter(|(_, entry)| Some(entry.turn) == turn).map(|(key, _)| *key).collect()
    }

    fn done(&mut self, key: u8, outcome: Outcome, now: Instant, waits: Option<Duration>) {
        let entry = self.keys.get_mut(&key).unwrap();
        let wait = |state, failures| Entry {
            state,
            failures,
            at: waits.map(|delay| now + delay),
            turn: 0,
            again: None,
        };
        let next = match (outcome, entry.again) {
            (_, Some(Trigger::Spec)) => None,
            (Outcome::Retry, _) => Some(wait(KeyState::BackingOff, entry.failures + 1)),
            (Outcome::Terminal, _) => Some(wait(KeyState::Parked, entry.failures)),
            (_, Some(Trigger::Related)) => None,
            (Outcome::RequeueAfter(_), None) => Some(wait(KeyState::Delayed, 0)),
            (Outcome::HoldFor(_), None) => Some(wait(KeyState::Held, 0)),
            (Outcome::Done, None) => {
                self.keys.remove(&key);
                return;
            }
        };
        match next {
            Some(next) => *entry = next,
            None => self.ready(key, 0),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Trigger(u8, Trigger),
    Pop,
    Done(usize, Outcome),
    Pass(Duration),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let millis = || (0..3_000_u64).prop_map(Duration::from_millis);
    let trigger = prop_oneof![3 => Just(Trigger::Related), 1 => Just(Trigger::Spec)];
    let outcome = prop_oneof![
        3 => Just(Outcome::Done),
        2 => millis().prop_map(Outcome::RequeueAfter),
        1 => Just(Outcome::RequeueAfter(Duration::from_secs(1))),
        2 => millis().prop_map(Outcome::HoldFor),
        3 => Just(Outcome::Retry),
        1 => Just(Outcome::Terminal),
    ];
    let step = prop_oneof![
        4 => (0..KEYS, trigger).prop_map(|(key, trigger)| Step::Trigger(key, trigger)),
        4 => Just(Step::Pop),
        4 => (any::<prop::sample::Index>(), outcome)
            .prop_map(|(run, outcome)| Step::Done(run.index(usize::from(KEYS)), outcome)),
        2 => millis().prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

fn check_agreement(queue: &Queue<u8>, model: &Model) -> Result<(), TestCaseError> {
    let states: BTreeMap<u8, KeyState> = queue.keys().map(|(key, state)| (*key, state)).collect();
    let expected: BTreeMap<u8, KeyState> =
        model.keys.iter().map(|(key, entry)| (*key, entry.state)).collect();
    prop_assert_eq!(&states, &expected);
    prop_assert_eq!(queue.next_deadline(), model.keys.values().filter_map(|e| e.at).min());
    let mut depth = Depth::default();
    for state in expected.values() {
        *depth.count(*state) += 1;
    }
    prop_assert_eq!(queue.depth(), depth);
    Ok(())
}

/// The wait that the queue reported is the one its outcome allows.
fn check_wait(
    outcome: Outcome,
    before: &Entry,
    waits: Option<Duration>,
) -> Result<(), TestCaseError> {
    let Some(waits) = waits else { return Ok(()) };
    match outcome {
        Outcome::RequeueAfter(delay) | Outcome::HoldFor(delay) => prop_assert_eq!(waits, delay),
        Outcome::Retry => {
            let failures = u16::try_from(before.failures + 1).unwrap();
            let ceiling = backoff().ceiling(failures);
            prop_assert!(waits >= ceiling / 2 && waits <= ceiling);
        }
        Outcome::Done | Outcome::Terminal => prop_assert!(false, "{outcome:?} waits {waits:?}"),
    }
    Ok(())
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(2))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_queue_does_what_the_naive_model_does(steps in steps(), seed: u64) {
        let mut now = Instant::now();
        let mut queue = Queue::new(backoff(), seed, now);
        let mut model = Model::default();
        let mut running: Vec<Run<u8>> = Vec::new();
        for step in steps {
            match step {
                Step::Trigger(key, trigger) => {
                    prop_assert_eq!(queue.trigger(key, trigger), model.trigger(key, trigger));
                }
                Step::Pop => {
                    model.promote(now);
                    let first = model.first();
                    let run = queue.pop(now);
                    prop_assert_eq!(run.is_some(), !first.is_empty());
                    if let Some(run) = run {
                        prop_assert!(first.contains(&run.key), "{} before {first:?}", run.key);
                        let entry = model.keys.get_mut(&run.key).unwrap();
                        prop_assert_eq!(run.attempt, entry.failures + 1);
                        entry.state = KeyState::Running;
                        running.push(run);
                    }
                }
                Step::Done(run, outcome) if !running.is_empty() => {
                    let run = running.swap_remove(run % running.len());
                    let (key, before) = (run.key, model.keys[&run.key]);
                    let waits = queue.done(run, outcome, now);
                    check_wait(outcome, &before, waits)?;
                    model.done(key, outcome, now, waits);
                }
                Step::Done(..) => {}
                Step::Pass(time) => now += time,
            }
            check_agreement(&queue, &model)?;
        }
    }
}
