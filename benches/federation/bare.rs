//! The same events accepted by the store alone: no sockets, no signatures, no JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::api::event::Event;
use routerd::store::events::{Receipt, Refusal, accept};
use routerd::store::{OpenOptions, Store};

use super::client::event;

fn receipt(now: Time) -> Receipt {
    Receipt {
        now,
        received_from: "onprem-router".to_owned(),
        verified_by: "EventGroup/cloudedge".to_owned(),
        replay_window: Duration::from_secs(300),
        max_age: Duration::from_secs(24 * 3600),
        room: Some(u64::MAX),
    }
}

fn open(state: &Path) -> Store {
    Store::open(&OpenOptions::daemon(state, Time::now())).expect("the store opens").0
}

fn made(writer: usize, number: u64) -> Event {
    serde_json::from_value(event(writer, number)).expect("an event")
}

async fn write(store: &Store, events: Vec<Event>) {
    let now = Time::now();
    let written = store.write(move |txn| {
        for (index, event) in events.into_iter().enumerate() {
            accept(txn, index, event, &receipt(now))?;
        }
        Ok::<_, Refusal>(())
    });
    written.await.expect("a durable write");
}

/// Durable events per second with 64 writers of `batch` events each.
pub async fn rate(state: &Path, batch: u64, time: Duration) -> f64 {
    let store = open(state);
    let started = Instant::now();
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while started.elapsed() < time {
                    write(&store, (0..batch).map(|n| made(writer, number + n)).collect()).await;
                    number += batch;
                }
                number
            })
        })
        .collect();
    let mut events = 0;
    for writer in writers {
        events += writer.await.expect("a writer");
    }
    let rate = super::run::per_second(events, started.elapsed());
    store.close().await;
    rate
}

/// Stores `events` events.
pub async fn fill(state: &Path, events: u64) {
    let store = open(state);
    for first in (0..events).step_by(1000) {
        write(&store, (first..first + 1000).map(|number| made(1000, number)).collect()).await;
    }
    store.close().await;
}
