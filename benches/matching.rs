//! Finding the subscriptions of one event, measured: the cost must not grow with their number.
//!
//! Prints the time for one event with 1, 100 and 10,000 subscriptions of one type, told apart by
//! networks, by subject prefixes and by payload, and how many times as long 10,000 take as one. In
//! each set two of them match the event: its own and one that takes all.

#[path = "common/report.rs"]
mod report;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routerd::api::event::Event;
use routerd::api::kinds::federation::Match;
use routerd::controllers::matcher::{Matcher, Matches};

use self::report::{Goal, count, figure};

const TYPE: &str = "routerd.client.ipv4.observed";
/// Ten thousand times as many may miss the processor's caches a few times more, and no more.
const FLAT: f64 = 5.0;

/// What tells the subscriptions apart.
const VARIANTS: [(&str, fn(u32) -> Match); 4] = [
    ("networks", |n| Match { subject_cidrs: vec![network(n)], ..of_type() }),
    ("prefixes", |n| Match { subject_prefixes: vec![prefix(n)], ..of_type() }),
    ("payload", |n| Match { payload: [("site".into(), site(n))].into(), ..of_type() }),
    ("all three", |n| Match {
        subject_cidrs: vec![network(n)],
        subject_prefixes: vec![prefix(n)],
        payload: [("site".into(), site(n))].into(),
        ..of_type()
    }),
];

fn main() {
    for (variant, of) in VARIANTS {
        let costs = [1, 100, 10_000].map(|count| {
            let matcher = matcher(count, of);
            let events: Vec<Event> = (0..count.min(512)).map(|n| event(n * 7 % count)).collect();
            for event in &events {
                assert_eq!(matcher.matching(event).len(), 2, "{variant}: {}", event.subject);
            }
            let cost = cost(&matcher, &events);
            let goal = if count == 10_000 { Goal::AtMost(20.0) } else { Goal::None };
            figure(&format!("matching: {count} subscriptions, {variant}"), cost, "µs", goal);
            cost
        });
        let growth = costs[2] / costs[0];
        figure(&format!("matching: 10000 over 1, {variant}"), growth, "times", Goal::AtMost(FLAT));
    }
}

fn matcher(count: u32, of: fn(u32) -> Match) -> Matcher {
    let mut matcher = Matcher::default();
    let mut put = |name: String, spec: &Match| {
        matcher.put(&name.into(), Arc::new(Matches::new("g", spec)));
    };
    (0..count).for_each(|n| put(format!("sub-{n}"), &of(n)));
    put("everything".into(), &of_type());
    matcher
}

/// Microseconds per event, over events that find different subscriptions.
fn cost(matcher: &Matcher, events: &[Event]) -> f64 {
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_millis(count(300, 20)) {
        for event in events {
            black_box(matcher.matching(black_box(event)));
        }
        done += u32::try_from(events.len()).unwrap_or(u32::MAX);
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(done)
}

fn of_type() -> Match {
    Match { types: vec![TYPE.into()], ..Match::default() }
}

fn network(n: u32) -> String {
    format!("10.{}.{}.0/24", n / 256, n % 256)
}

fn prefix(n: u32) -> String {
    format!("10.{}.{}.", n / 256, n % 256)
}

fn site(n: u32) -> String {
    format!("site-{n}")
}

fn event(n: u32) -> Event {
    Event {
        id: format!("event-{n}"),
        group: "g".into(),
        r#type: TYPE.into(),
        source_node: "onprem".into(),
        subject: format!("{}9/32", prefix(n)),
        dedupe_key: String::new(),
        payload: [("site", site(n).as_str()), ("mac", "02:00:00:00:00:09")].into(),
        observed_at: None,
        expires_at: None,
    }
}
