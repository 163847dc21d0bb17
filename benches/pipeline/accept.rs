//! Accepting events on a real store: the rules and the rows of the product, not a bare append.

use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::store::events::{Refusal, accept};
use routerd::store::order::OrderPage;
use routerd::store::tables::{EventRow, FactRow};
use routerd::store::{Scan, Store};

use super::Place;
use super::prepare::{event, open, receipt};
use super::report::{Goal, count, figure, percentile};

pub async fn run(place: &Place) {
    for (writers, rate, p50) in [
        (1, Goal::None, Goal::AtMost(0.6)),
        (64, Goal::AtLeast(20_000.0), Goal::AtMost(4.0)),
        (256, Goal::None, Goal::None),
    ] {
        let store = open(&place.dir(&format!("accept-{writers}")));
        let started = Instant::now();
        let end = started + Duration::from_millis(count(4000, 200));
        let tasks: Vec<_> =
            (0..writers).map(|writer| tokio::spawn(write(store.clone(), writer, end))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.expect("a writer"));
        }
        #[allow(clippy::cast_precision_loss)] // a rate for humans
        let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
        let name = format!("accept, {writers} writers");
        figure(&format!("{name}: durable events"), per_second, "/s", rate);
        figure(&format!("{name}: p50"), percentile(&mut times, 50), "ms", p50);
        figure(&format!("{name}: p99"), percentile(&mut times, 99), "ms", Goal::None);
        if writers == 1 {
            figure("accept: rows per event", rows(&store, times.len()), "rows", Goal::None);
        }
        store.close().await;
    }
}

async fn write(store: Store, writer: u32, end: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while Instant::now() < end {
        let number = (writer << 16) | u32::try_from(times.len()).expect("few");
        let begun = Instant::now();
        let now = Time::now();
        let event = event(number, now, now + Duration::from_secs(1800));
        let done = store.write(move |txn| {
            accept(txn, 0, event, &receipt(now))?;
            Ok::<_, Refusal>(())
        });
        done.await.expect("a durable write");
        times.push(begun.elapsed());
    }
    times
}

/// What is kept of each event in the tables; each group adds its change row and the store's own.
#[allow(clippy::cast_precision_loss)] // some thousands
fn rows(store: &Store, events: usize) -> f64 {
    let all = Scan::all();
    let rows = store.scan::<EventRow>(&all).count()
        + store.scan::<FactRow>(&all).count()
        + store.scan::<OrderPage>(&all).count();
    rows as f64 / events as f64
}
