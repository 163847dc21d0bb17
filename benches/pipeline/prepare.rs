//! A store with a past: many events that have expired, some facts that live.

use std::path::Path;
use std::time::Duration;

use routerd::api::Time;
use routerd::api::event::Event;
use routerd::store::events::{Receipt, Refusal, accept};
use routerd::store::{OpenOptions, Store};

use super::node::{EVENT, GROUP, subject};

const PER_TRANSACTION: u32 = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// An event about the client with this number.
pub fn event(number: u32, observed_at: Time, expires_at: Time) -> Event {
    let address = subject(number);
    let payload = [
        ("address", address.as_str()),
        ("domain", "cloudedge-same-subnet"),
        ("ownerSide", "onprem"),
        ("peerRef", "onprem-main"),
        ("providerRef", "example-provider"),
    ];
    Event {
        id: uuid::Uuid::now_v7().to_string(),
        group: GROUP.to_owned(),
        r#type: EVENT.to_owned(),
        source_node: "onprem-router".to_owned(),
        payload: payload.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        subject: address,
        dedupe_key: String::new(),
        observed_at: Some(observed_at),
        expires_at: Some(expires_at),
    }
}

/// How a local event is received by the group of the benches.
pub fn receipt(now: Time) -> Receipt {
    Receipt {
        now,
        received_from: "local".to_owned(),
        verified_by: String::new(),
        replay_window: Duration::from_secs(300),
        max_age: 24 * HOUR,
        room: Some(u64::MAX),
    }
}

/// Opens the store of a state directory.
pub fn open(state: &Path) -> Store {
    Store::open(&OpenOptions::daemon(state, Time::now())).expect("the store opens").0
}

/// Stores `events` events, each about a client of its own; the last `live` of them live.
pub async fn fill(state: &Path, events: u32, live: u32) {
    let store = open(state);
    let now = Time::now();
    for first in (0..events).step_by(PER_TRANSACTION as usize) {
        let numbers = first..events.min(first + PER_TRANSACTION);
        let written = store.write(move |txn| {
            for (index, number) in numbers.enumerate() {
                let event = if number < events - live {
                    event(number, now - 2 * HOUR, now - HOUR)
                } else {
                    event(number, now, now + 6 * HOUR)
                };
                accept(txn, index, event, &receipt(now))?;
            }
            Ok::<_, Refusal>(())
        });
        written.await.expect("a durable write");
    }
    store.close().await;
}
