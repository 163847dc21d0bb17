//! Any JSON that is an event is judged without a panic, and a valid one is the same after a round
//! trip: its content, its fact, its verdict.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use routerd::api::Time;
use routerd::api::event::Event;
use routerd::api::fact::FactId;

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = serde_json::from_slice::<Event>(bytes) else { return };
    let valid = event.validate().is_ok();
    let _ = event.validate_time(Time::UNIX_EPOCH, Duration::from_secs(300));
    let text = serde_json::to_vec(&event).expect("an event is plain data");
    let again: Event = serde_json::from_slice(&text).expect("what was written reads back");
    assert_eq!(again.content_digest(), event.content_digest());
    assert_eq!(FactId::of(&again), FactId::of(&event));
    assert_eq!(again.validate().is_ok(), valid);
});
