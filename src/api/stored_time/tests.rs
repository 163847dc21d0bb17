use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    #[serde(with = "super")]
    at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::optional")]
    until: Option<Time>,
    #[serde(with = "super::optional")]
    ended: Option<Time>,
}

/// The same fields as rows had them before.
#[derive(Serialize)]
struct Before {
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    ended: Option<Time>,
}

fn packed<T: Serialize>(row: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(row).unwrap()
}

fn any_time() -> impl Strategy<Value = Time> {
    let second = Time::MIN.as_second()..=Time::MAX.as_second();
    let near = -9_000_000_000..9_000_000_000_i64;
    (prop_oneof![second, near], 0..1_000_000_000)
        .prop_filter_map("after the end", |(second, nano)| Time::new(second, nano).ok())
}

proptest! {
    #[test]
    fn what_is_written_is_read_also_what_was_written_before(
        at in any_time(),
        until in proptest::option::of(any_time()),
        ended in proptest::option::of(any_time()),
    ) {
        let row = Row { at, until, ended };
        let before = Before { at, until, ended };
        let read: Row = rmp_serde::from_slice(&packed(&row)).unwrap();
        prop_assert_eq!(&read, &row);
        let read: Row = rmp_serde::from_slice(&packed(&before)).unwrap();
        prop_assert_eq!(&read, &row);
        let json = serde_json::to_string(&row).unwrap();
        prop_assert_eq!(&json, &serde_json::to_string(&before).unwrap());
        prop_assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
    }
}

#[test]
fn a_time_of_our_days_is_a_number_of_nine_bytes_in_the_store() {
    let at: Time = "2026-11-28T12:00:00.123456789Z".parse().unwrap();
    let number = packed(&Row { at, until: Some(at), ended: Some(at) }).len();
    let text = packed(&Before { at, until: Some(at), ended: Some(at) }).len();
    assert_eq!(text - number, 3 * (31 - 9));
}

#[test]
fn people_write_text_and_no_number() {
    let refused = serde_json::from_str::<Row>(r#"{"at": 5, "ended": null}"#);
    assert!(refused.unwrap_err().to_string().contains("invalid type: integer"));
}
