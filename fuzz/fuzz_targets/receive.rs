//! Whatever bytes a member sends, in whatever format, they become events or a refusal; what became
//! an event is one by the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerd::federation::receiver::decode::{Format, decode};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    let formats = [Format::Event, Format::Batch, Format::CloudEvent, Format::CloudEvents];
    let format = formats[usize::from(*first) % formats.len()];
    let Ok(decoded) = decode(format, "cloudedge", body) else { return };
    assert!(format.is_list() || decoded.events.len() == 1);
    for event in decoded.events.into_iter().flatten() {
        event.validate().expect("what is let through is valid");
    }
});
