//! Keys sort as their components and never run into each other.

use proptest::prelude::*;

use super::*;

type Key = (String, u64, String);

proptest! {
    #[test]
    fn a_key_reads_back_as_it_was_written(key: (String, u64, [u8; 16], String)) {
        prop_assert_eq!(RecordKey::from_bytes(&key.to_bytes()), Ok(key));
    }

    #[test]
    fn encoded_keys_sort_as_their_components(a: Key, b: Key) {
        prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
    }

    #[test]
    fn byte_strings_with_zeros_and_ones_sort_as_they_are(
        a in prop::collection::vec(0..3u8, 0..6), b in prop::collection::vec(0..3u8, 0..6),
    ) {
        let encode = |bytes: &[u8]| { let mut w = KeyWriter::new(); w.bytes(bytes); w.finish() };
        prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b));
    }

    #[test]
    fn signed_numbers_sort_by_value(a: i64, b: i64) {
        prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
    }

    #[test]
    fn the_first_components_are_a_prefix_and_only_of_their_own_keys(
        a in "[a-b\u{0}]{0,3}", b in "[a-b\u{0}]{0,3}", rest: String,
    ) {
        let key = (b.clone(), rest).to_bytes();
        prop_assert_eq!(key.starts_with(&a.to_bytes()), a == b);
    }

    #[test]
    fn a_prefix_ends_right_after_its_last_key(prefix: Vec<u8>, other: Vec<u8>) {
        let inside = other.starts_with(&prefix);
        let before_end = prefix_end(&prefix).is_none_or(|end| other < end);
        prop_assert_eq!(inside, prefix <= other && before_end);
    }

    #[test]
    fn reading_any_bytes_is_an_error_or_the_same_bytes(bytes: Vec<u8>) {
        if let Ok(key) = <(String, u64)>::from_bytes(&bytes) {
            prop_assert_eq!(key.to_bytes(), bytes);
        }
    }
}

#[test]
fn what_is_not_a_key_is_refused_by_name() {
    let read = <(String, u64)>::from_bytes;
    let key = ("a".to_owned(), 7_u64).to_bytes();
    assert_eq!(read(&key[..2]), Err(KeyError::Truncated));
    assert_eq!(read(&[0, 7]), Err(KeyError::BadEscape));
    assert_eq!(read(&[0xff, 0, 1]), Err(KeyError::NotUtf8));
    assert_eq!(read(&[&key[..], b"x"].concat()), Err(KeyError::TrailingBytes));
}
