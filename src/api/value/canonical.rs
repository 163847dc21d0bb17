//! One byte string per meaning: what content digests are taken of.
//!
//! Pure. The order of keys and the quotes of an ordinary string say nothing and leave no trace.
//! What some reader would see is kept: `1` and `"1"` differ, `1.10` and `1.1` differ (they render
//! differently, and a version is no number), `yes` and `"yes"` differ. Nulls are one, however
//! written, and so are the two booleans.

use super::Value;
use crate::api::yaml::{Resolved, Scalar};

/// The canonical form: a letter for the type, then lengths (8 bytes, big-endian) and content;
/// mappings by key. No two values of different meaning share one.
pub fn canonical_bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Scalar(scalar) => write_scalar(scalar, out),
        Value::Seq(items) => {
            out.push(b'l');
            write_length(items.len(), out);
            for item in items {
                write(item, out);
            }
        }
        Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'm');
            write_length(entries.len(), out);
            for (key, value) in entries {
                write_text(key, out);
                write(value, out);
            }
        }
    }
}

fn write_scalar(scalar: &Scalar, out: &mut Vec<u8>) {
    match scalar.resolve() {
        Resolved::Null => out.push(b'n'),
        Resolved::Bool(true) => out.push(b't'),
        Resolved::Bool(false) => out.push(b'f'),
        _ => {
            out.push(if scalar.is_verbatim() { b'v' } else { b's' });
            write_text(scalar.text(), out);
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u64).to_be_bytes());
}
