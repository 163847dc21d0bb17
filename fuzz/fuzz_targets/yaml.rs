//! Any bytes are read without a panic, within the limits; what was read is written such that it
//! reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerd::api::value::Value;
use routerd::api::yaml::{Limits, emit, parse_documents};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { nodes: 10_000, text_bytes: 1 << 20, ..Limits::default() };
    for node in parse_documents(bytes, &limits).docs {
        let Ok(value) = Value::try_from(&node) else { continue };
        let text = emit(&value);
        let again = parse_documents(text.as_bytes(), &Limits::default());
        assert!(again.error.is_none(), "{:?} in what was written:\n{text}", again.error);
        let [document] = again.docs.as_slice() else {
            // A document that is null is an empty one, and left out.
            assert!(again.docs.is_empty(), "several documents in:\n{text}");
            continue;
        };
        assert_eq!(Value::try_from(document).ok(), Some(value), "{text}");
    }
});
