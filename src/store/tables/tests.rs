//! Rows as schema 1 had them, with times as text, are read as what they are.

use std::fmt::Debug;

use serde_json::{Value as Json, json};

use super::*;

const AT: &str = "2026-11-28T12:00:00.123456789Z";
const LATER: &str = "2026-11-28T13:00:00Z";

fn fact() -> Json {
    json!([7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255])
}

/// The bytes of schema 1: the words for people, as MessagePack.
fn before<T: Serialize>(row: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(&serde_json::to_value(row).unwrap()).unwrap()
}

fn now<T: Serialize>(row: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(row).unwrap()
}

fn times(bytes: &[u8]) -> usize {
    bytes.windows(8).filter(|part| part == b"2026-11-").count()
}

/// Says how many times of `row` were text and are numbers now.
fn read_both<T: Record + PartialEq + Debug>(row: Json) -> usize {
    let row: T = serde_json::from_value(row).unwrap();
    let (before, now) = (before(&row), now(&row));
    let read = |bytes| rmp_serde::from_slice::<T>(bytes).unwrap();
    assert_eq!(read(&before), row, "of schema 1");
    assert_eq!(read(&now), row);
    assert_eq!(times(&now), 0, "{row:?}");
    times(&before)
}

fn fact_row() -> Json {
    json!({
        "fact": fact(), "group": "g", "seq": 9, "eventId": "e", "eventType": "t", "observedAt": AT,
        "expiresAt": LATER, "stretches": [{"from": AT, "to": LATER}], "ended": LATER,
    })
}

#[test]
fn events_and_what_is_remembered_of_them() {
    let event = json!({
        "id": "e", "group": "g", "type": "t", "sourceNode": "n", "subject": "s",
        "payload": {"k": "v"}, "observedAt": AT, "expiresAt": LATER,
    });
    let row = json!({
        "seq": 9, "event": event, "receivedAt": AT, "receivedFrom": "local", "keepUntil": LATER,
    });
    assert_eq!(read_both::<EventRow>(row), 4);
    let row = json!({
        "group": "g", "id": "e", "digest": "00".repeat(16), "observedAt": AT, "expiresAt": LATER,
        "keepUntil": LATER,
    });
    assert_eq!(read_both::<IdentityRow>(row), 3);
    assert_eq!(read_both::<LingeringId>(json!({"group": "g", "until": LATER, "id": "e"})), 1);
}

#[test]
fn facts_and_the_few_fields_that_a_start_reads_of_them() {
    assert_eq!(read_both::<FactRow>(fact_row()), 5);
    assert_eq!(read_both::<EndedFact>(fact_row()), 5);
    let mut open = fact_row();
    open["expiresAt"] = Json::Null;
    open.as_object_mut().unwrap().remove("ended");
    assert_eq!(read_both::<FactRow>(open), 3);

    let row: FactRow = serde_json::from_value(fact_row()).unwrap();
    for bytes in [before(&row), now(&row)] {
        let read: FactEnd = rmp_serde::from_slice(&bytes).unwrap();
        let known = (read.fact, read.observed_at, read.expires_at, read.ended);
        assert_eq!(known, (row.fact, row.observed_at, row.expires_at, row.ended));
    }
}

#[test]
fn work_parts_runs_and_deliveries() {
    let failing = json!({
        "runKey": "k", "attempts": 2, "since": AT, "lastAt": AT, "notBefore": LATER,
        "reason": "ExitCode", "message": "m", "stderr": "s", "run": 3,
        "cohort": {"run": 3, "place": 1}, "dead": false, "executable": null,
    });
    let work = json!({
        "subscription": "s", "fact": fact(), "subscriptionUid": "u", "renewal": 1,
        "intent": {"runKey": "k", "at": AT}, "succeeded": {"runKey": "j", "renewal": 0},
        "failing": failing,
    });
    assert_eq!(read_both::<Work>(work), 4);
    let part = json!({
        "subscription": "s", "fact": fact(), "subscriptionUid": "u", "uid": "p", "group": "g",
        "eventId": "e", "subject": "x", "sourceNode": "n", "eventType": "t",
        "eventObservedAt": AT, "since": AT, "plugin": "pl", "runKey": "k", "generation": 2,
        "createdAt": AT, "observedAt": AT, "resultExpiresAt": LATER, "expiresAt": LATER,
        "grace": {"secs": 5, "nanos": 0}, "retiring": {"since": AT, "reason": "FactExpired"},
        "digest": "d", "resources": [], "directives": [], "actionPlans": [],
    });
    assert_eq!(read_both::<Part>(part), 7);
    let run = json!({
        "run": 3, "plugin": "pl", "subscription": "s", "runKeys": ["k"], "eventIds": ["e"],
        "startedAt": AT, "duration": {"secs": 0, "nanos": 9}, "outcome": "Succeeded",
        "message": "", "stderr": "", "stdoutDigest": "", "request": "", "response": "",
        "warnings": [], "counts": {},
    });
    assert_eq!(read_both::<RunRecord>(run), 1);
    let delivery = json!({
        "peer": "p", "fact": fact(), "group": "g", "eventId": "e",
        "ack": {"epoch": 1, "seq": 9, "observed_at": AT, "expires_at": LATER, "verdict": "Dead"},
        "at": LATER, "reason": "r",
    });
    assert_eq!(read_both::<DeliveryRow>(delivery), 3);
}
