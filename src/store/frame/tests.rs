//! Frames: round trip, chunking, and no flipped bit goes unnoticed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn read(rows: &BTreeMap<Vec<u8>, Vec<u8>>, key: &[u8]) -> Result<(u16, Vec<u8>), FrameError> {
    let frame = decode(key, rows.get(key).ok_or(FrameError::MissingPiece)?)?;
    let payload = match frame.body {
        Body::Whole(payload) => payload.to_vec(),
        Body::Chunked(index) => {
            index.assemble(key, |piece| Ok::<_, FrameError>(rows.get(piece).cloned()))?
        }
    };
    Ok((frame.schema, payload))
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n * 31 % 251).unwrap_or(0)).collect()
}

proptest! {
    #[test]
    fn a_value_reads_back_with_its_schema(key: Vec<u8>, schema: u16, body: Vec<u8>) {
        let rows = encode(&key, schema, &body).into_iter().collect();
        prop_assert_eq!(read(&rows, &key), Ok((schema, body)));
    }

    #[test]
    fn every_flipped_bit_is_found(body: Vec<u8>, bit: prop::sample::Index) {
        let (key, mut value) = encode(b"key", 3, &body).swap_remove(0);
        let bit = bit.index(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode(&key, &value).is_err());
    }

    #[test]
    fn a_value_under_another_key_is_found(body: Vec<u8>, a: Vec<u8>, b: Vec<u8>) {
        prop_assume!(a != b);
        let (_, value) = encode(&a, 3, &body).swap_remove(0);
        prop_assert_eq!(decode(&b, &value), Err(FrameError::Checksum));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(key: Vec<u8>, value: Vec<u8>) {
        _ = decode(&key, &value);
    }
}

#[test]
fn large_values_are_cut_into_rows_below_64_kib() {
    for length in [CHUNK_BYTES, CHUNK_BYTES + 1, 1 << 20, MAX_RECORD_BYTES] {
        let body = payload(length);
        let rows: BTreeMap<_, _> = encode(b"key", 1, &body).into_iter().collect();
        assert!(rows.values().all(|value| value.len() <= 64 * 1024), "{length}");
        assert_eq!(read(&rows, b"key"), Ok((1, body)), "{length}");
    }
}

#[test]
fn a_missing_or_foreign_piece_is_found() {
    let mut rows: BTreeMap<_, _> = encode(b"key", 1, &payload(200_000)).into_iter().collect();
    let pieces: Vec<_> = rows.keys().filter(|key| key[0] == CHUNK_PREFIX).cloned().collect();
    let taken = rows.remove(&pieces[1]).expect("a piece");
    assert_eq!(read(&rows, b"key"), Err(FrameError::MissingPiece));
    rows.insert(pieces[1].clone(), rows[&pieces[0]].clone());
    assert_eq!(read(&rows, b"key"), Err(FrameError::Checksum));
    rows.insert(pieces[1].clone(), taken);
    assert!(read(&rows, b"key").is_ok());
}
