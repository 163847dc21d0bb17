use super::*;

fn item(n: u8, key: &str) -> Item {
    Item {
        fact: FactId([n; 16]),
        due: Due { run_key: key.into(), renewal: 0, event_id: format!("e{n}"), retry: false },
        subject: format!("s{n}").into(),
        cohort: None,
    }
}

fn names() -> (Arc<str>, Arc<str>) {
    ("sub".into(), "plugin".into())
}

fn batch(pick: Pick) -> Vec<u8> {
    match pick {
        Pick::Batch { items, .. } => items.iter().map(|i| i.fact.0[0]).collect(),
        other => panic!("{other:?}"),
    }
}

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn without_windows_a_run_starts_at_once_and_what_came_meanwhile_goes_together() {
    let (sub, plugin) = names();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &plugin, Windows::default(), item(1, "a"), now);
    assert_eq!(batch(dispatch.pick(&plugin, 10, now)), [1]);
    for n in 2..5 {
        dispatch.want(&sub, &plugin, Windows::default(), item(n, "a"), now);
    }
    dispatch.finish(&sub, &[item(1, "a")]);
    assert_eq!(batch(dispatch.pick(&plugin, 2, now)), [2, 3]);
    assert_eq!(batch(dispatch.pick(&plugin, 2, now)), [4]);
    assert_eq!(dispatch.pick(&plugin, 2, now), Pick::Idle);
}

#[test]
fn debounce_waits_for_quiet_exactly_and_the_window_bounds_it() {
    let (sub, plugin) = names();
    let start = Instant::now();
    let windows = Windows { debounce: MS(300), batch_window: MS(1000) };
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &plugin, windows, item(1, "a"), start);
    assert_eq!(dispatch.pick(&plugin, 10, start), Pick::Wait(start + MS(300)));
    for n in 1..4u8 {
        let at = start + MS(u64::from(n) * 250);
        assert!(matches!(dispatch.pick(&plugin, 10, at), Pick::Wait(_)), "{n}");
        dispatch.want(&sub, &plugin, windows, item(n + 1, "a"), at);
    }
    assert_eq!(dispatch.pick(&plugin, 10, start + MS(999)), Pick::Wait(start + MS(1000)));
    assert_eq!(batch(dispatch.pick(&plugin, 10, start + MS(1000))), [1, 2, 3, 4]);
}

#[test]
fn a_replan_of_the_same_run_does_not_restart_the_quiet() {
    let (sub, plugin) = names();
    let start = Instant::now();
    let windows = Windows { debounce: MS(300), batch_window: MS(0) };
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &plugin, windows, item(1, "a"), start);
    dispatch.want(&sub, &plugin, windows, item(1, "a"), start + MS(200));
    assert_eq!(dispatch.pick(&plugin, 1, start + MS(299)), Pick::Wait(start + MS(300)));
    // A newer observation is news.
    dispatch.want(&sub, &plugin, windows, item(1, "b"), start + MS(299));
    assert_eq!(dispatch.pick(&plugin, 1, start + MS(300)), Pick::Wait(start + MS(599)));
    match dispatch.pick(&plugin, 1, start + MS(599)) {
        Pick::Batch { items, .. } => assert_eq!(items[0].due.run_key, "b"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn endless_news_cannot_hold_a_debounce_longer_than_its_bound() {
    let (sub, plugin) = names();
    let start = Instant::now();
    let windows = Windows { debounce: MS(30_000), batch_window: MS(0) };
    let mut dispatch = Dispatch::default();
    for n in 0..6u8 {
        let at = start + MS(u64::from(n) * 10_000);
        dispatch.want(&sub, &plugin, windows, item(n, "a"), at);
    }
    let bound = start + MAX_DEBOUNCE;
    assert_eq!(dispatch.pick(&plugin, 10, start + MS(59_000)), Pick::Wait(bound));
    assert_eq!(batch(dispatch.pick(&plugin, 10, bound)).len(), 6);
}

#[test]
fn runs_about_one_subject_never_overlap() {
    let (sub, plugin) = names();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    let windows = Windows::default();
    dispatch.want(&sub, &plugin, windows, item(1, "a"), now);
    assert_eq!(batch(dispatch.pick(&plugin, 1, now)), [1]);
    dispatch.want(&sub, &plugin, windows, item(1, "b"), now);
    dispatch.want(&sub, &plugin, windows, item(2, "a"), now);
    assert_eq!(batch(dispatch.pick(&plugin, 10, now)), [2]);
    assert_eq!(dispatch.pick(&plugin, 10, now), Pick::Idle);
    dispatch.finish(&sub, &[item(1, "a")]);
    assert_eq!(batch(dispatch.pick(&plugin, 10, now)), [1]);
}

#[test]
fn halves_of_a_failed_batch_stay_apart() {
    let (sub, plugin) = names();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    for n in 0..6u8 {
        let mut item = item(n, "a");
        item.due.retry = true;
        item.cohort = (n < 4).then(|| Cohort { run: 1, place: u32::from(n / 2) });
        dispatch.want(&sub, &plugin, Windows::default(), item, now);
    }
    assert_eq!(batch(dispatch.pick(&plugin, 10, now)), [4, 5], "they were in no batch");
    let gathered = now + GATHER;
    assert_eq!(batch(dispatch.pick(&plugin, 10, gathered)), [0, 1]);
    assert_eq!(batch(dispatch.pick(&plugin, 10, gathered)), [2, 3]);
}

#[test]
fn what_never_failed_waits_for_one_failing_run_at_most() {
    let (sub, plugin) = names();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    for n in 0..100u8 {
        let mut poison = item(n, "a");
        poison.due.retry = true;
        poison.cohort = Some(Cohort { run: u64::from(n), place: 0 });
        dispatch.want(&sub, &plugin, Windows::default(), poison, now);
    }
    let now = now + GATHER;
    assert_eq!(batch(dispatch.pick(&plugin, 10, now)), [0]);
    for n in 100..103 {
        dispatch.want(&sub, &plugin, Windows::default(), item(n, "a"), now);
    }
    assert_eq!(batch(dispatch.pick(&plugin, 10, now)), [100, 101, 102]);
    // Nor does what never failed keep the failing from their turn.
    for n in 103..106 {
        dispatch.want(&sub, &plugin, Windows::default(), item(n, "a"), now);
    }
    assert_eq!(batch(dispatch.pick(&plugin, 1, now)), [1]);
    assert_eq!(batch(dispatch.pick(&plugin, 1, now)), [103]);
    assert_eq!(batch(dispatch.pick(&plugin, 1, now)), [2]);
}

#[test]
fn subscriptions_of_one_plugin_take_turns() {
    let (_, plugin) = names();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    for sub in ["a", "b"] {
        for n in 0..2u8 {
            dispatch.want(&sub.into(), &plugin, Windows::default(), item(n, "k"), now);
        }
    }
    let mut order = Vec::new();
    while let Pick::Batch { subscription, .. } = dispatch.pick(&plugin, 1, now) {
        order.push(subscription.to_string());
    }
    assert_eq!(order, ["a", "b", "a", "b"]);
}

#[test]
fn what_is_finished_or_forgotten_leaves_nothing_behind() {
    let (sub, plugin) = names();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &plugin, Windows::default(), item(1, "a"), now);
    dispatch.want(&sub, &plugin, Windows::default(), item(2, "a"), now);
    assert_eq!(batch(dispatch.pick(&plugin, 1, now)), [1]);
    // Asked for again while it runs: it is already under way.
    assert!(!dispatch.want(&sub, &plugin, Windows::default(), item(1, "a"), now));
    dispatch.forget(&SubFact { subscription: Arc::clone(&sub), fact: FactId([2; 16]) });
    dispatch.finish(&sub, &[item(1, "a")]);
    assert!(dispatch.is_empty());
    assert!(dispatch.queues.is_empty() && dispatch.turns.is_empty());
}

#[test]
fn what_is_retried_together_waits_for_the_others_of_its_batch() {
    let (sub, plugin) = names();
    let start = Instant::now();
    let retried = |n| {
        let mut item = item(n, "a");
        item.due.retry = true;
        item.cohort = Some(Cohort { run: 7, place: 0 });
        item
    };
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &plugin, Windows::default(), retried(1), start);
    assert_eq!(dispatch.pick(&plugin, 10, start), Pick::Wait(start + GATHER));
    // Asked for again: the waiting does not begin anew.
    dispatch.want(&sub, &plugin, Windows::default(), retried(1), start + MS(1));
    dispatch.want(&sub, &plugin, Windows::default(), retried(2), start + MS(1));
    assert_eq!(batch(dispatch.pick(&plugin, 10, start + GATHER)), [1, 2]);
}

#[test]
fn what_is_put_back_leaves_the_windows_of_the_others_alone() {
    let (sub, plugin) = names();
    let start = Instant::now();
    let windows = Windows { debounce: MS(0), batch_window: MS(500) };
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &plugin, windows, item(1, "a"), start);
    let at = start + MS(500);
    let Pick::Batch { items, .. } = dispatch.pick(&plugin, 10, at) else { panic!() };
    dispatch.want(&sub, &plugin, windows, item(2, "a"), at);
    dispatch.finish(&sub, &items);
    dispatch.put_back(&sub, &plugin, items, at);
    assert_eq!(batch(dispatch.pick(&plugin, 10, at)), [1], "it has waited already");
    assert_eq!(dispatch.pick(&plugin, 10, at), Pick::Wait(at + MS(500)));
}

#[test]
fn a_subject_that_was_busy_under_the_old_plugin_is_left_to_the_new_one() {
    let (sub, old) = names();
    let new: Arc<str> = "other".into();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &old, Windows::default(), item(1, "a"), now);
    let Pick::Batch { items, .. } = dispatch.pick(&old, 10, now) else { panic!() };
    dispatch.want(&sub, &new, Windows::default(), item(1, "b"), now);
    assert_eq!(dispatch.pick(&new, 10, now), Pick::Idle, "its subject runs");
    assert_eq!(dispatch.finish(&sub, &items).0, Some(Arc::clone(&new)));
    assert_eq!(batch(dispatch.pick(&new, 10, now)), [1]);
}

#[test]
fn a_place_that_was_left_behind_lets_nothing_past_a_window() {
    let (sub, plugin) = names();
    let now = Instant::now();
    let mut dispatch = Dispatch::default();
    dispatch.want(&sub, &plugin, Windows::default(), item(1, "a"), now);
    dispatch.want(&sub, &plugin, Windows::default(), item(2, "a"), now);
    // It is ready, no longer wanted, and wanted again once there is a window.
    let fact = item(1, "a").fact;
    dispatch.forget(&SubFact { subscription: Arc::clone(&sub), fact });
    let windows = Windows { debounce: MS(300), batch_window: MS(0) };
    dispatch.want(&sub, &plugin, windows, item(1, "b"), now);
    assert_eq!(batch(dispatch.pick(&plugin, 10, now)), [2]);
    assert_eq!(dispatch.pick(&plugin, 10, now), Pick::Wait(now + MS(300)));
    assert_eq!(batch(dispatch.pick(&plugin, 10, now + MS(300))), [1]);
}

#[test]
fn what_is_wanted_and_forgotten_again_and_again_leaves_nothing_behind() {
    let (sub, plugin) = names();
    let start = Instant::now();
    for windows in [Windows::default(), Windows { debounce: MS(300), batch_window: MS(0) }] {
        let mut dispatch = Dispatch::default();
        dispatch.want(&sub, &plugin, windows, item(0, "a"), start);
        for round in 0..1000 {
            let key = format!("k{round}");
            dispatch.want(&sub, &plugin, windows, item(1, &key), start);
            let fact = item(1, &key).fact;
            dispatch.forget(&SubFact { subscription: Arc::clone(&sub), fact });
        }
        let queue = &dispatch.queues[&sub];
        let places = queue.ready.len() + queue.collecting.len();
        assert!(places <= PLACES + 4, "{places} places");
        assert_eq!(batch(dispatch.pick(&plugin, 10, start + MS(300))), [0]);
    }
}

#[test]
fn a_window_ends_with_the_last_thing_that_waited_in_it() {
    let (sub, plugin) = names();
    let start = Instant::now();
    let windows = Windows { debounce: MS(300), batch_window: MS(1000) };
    let mut dispatch = Dispatch::default();
    // Keeps the queue while nothing waits in it.
    dispatch.want(&sub, &plugin, Windows::default(), item(9, "a"), start);
    assert_eq!(batch(dispatch.pick(&plugin, 1, start)), [9]);
    dispatch.want(&sub, &plugin, windows, item(1, "a"), start);
    let fact = item(1, "a").fact;
    dispatch.forget(&SubFact { subscription: Arc::clone(&sub), fact });
    let later = start + MS(900);
    dispatch.want(&sub, &plugin, windows, item(2, "a"), later);
    assert_eq!(dispatch.pick(&plugin, 10, later), Pick::Wait(later + MS(300)));
}

#[test]
fn who_asks_for_a_run_that_is_under_way_is_told_when_it_ends() {
    let (mut dispatch, now, sub, plugin) =
        (Dispatch::default(), Instant::now(), "s".into(), "p".into());
    let windows = Windows::default();
    assert!(dispatch.want(&sub, &plugin, windows, item(1, "a"), now));
    assert!(dispatch.want(&sub, &plugin, windows, item(2, "b"), now));
    let Pick::Batch { items, .. } = dispatch.pick(&plugin, 2, now) else { panic!("a batch") };
    assert!(!dispatch.want(&sub, &plugin, windows, item(2, "b"), now), "it runs");
    let key = SubFact { subscription: Arc::clone(&sub), fact: item(2, "b").fact };
    assert!(dispatch.has(&key));
    assert_eq!(dispatch.finish(&sub, &items), (None, vec![item(2, "b").fact]));
    assert!(dispatch.is_empty());
}
