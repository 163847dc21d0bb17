//! Any bytes are refused as a key, or are exactly the key that they decode to; and keys sort like
//! their components.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerd::store::{KeyReader, KeyWriter, RecordKey};

fn decode(bytes: &[u8]) -> Option<(String, u64)> {
    let mut reader = KeyReader::new(bytes);
    let key = <(String, u64)>::decode(&mut reader).ok()?;
    reader.finish().ok()?;
    Some(key)
}

fn encode(key: &(String, u64)) -> Vec<u8> {
    let mut writer = KeyWriter::new();
    key.encode(&mut writer);
    writer.finish()
}

fuzz_target!(|input: (Vec<u8>, (String, u64), (String, u64))| {
    let (bytes, a, b) = input;
    if let Some(key) = decode(&bytes) {
        assert_eq!(encode(&key), bytes);
    }
    assert_eq!(decode(&encode(&a)), Some(a.clone()));
    assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b));
});
