//! Any document becomes resources or complaints, and never a panic; a resource that was accepted
//! is accepted again from what was written of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerd::api::kinds::decode::{decode_document, decode_value};
use routerd::api::value::Value;
use routerd::api::yaml::{Limits, parse_documents};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { nodes: 10_000, text_bytes: 1 << 20, ..Limits::default() };
    for node in parse_documents(bytes, &limits).docs {
        let items = decode_document(&node);
        if let (Ok(value), [_]) = (Value::try_from(&node), items.as_slice())
            && let Ok(decoded) = decode_value(&value, "")
        {
            assert!(decode_value(&decoded.resource.body, "").is_ok(), "{:?}", decoded.resource);
        }
    }
});
