use super::*;

#[test]
fn what_any_reader_may_misread_is_ambiguous() {
    for text in [
        "",
        "~",
        "null",
        "Null",
        "NULL",
        "true",
        "FALSE",
        "yes",
        "No",
        "ON",
        "off",
        "y",
        "N",
        "=",
        "<<",
        "0",
        "-1",
        "+1",
        "1.10",
        "1.",
        ".5",
        "-.5",
        "1e3",
        "1E-3",
        "0755",
        "00",
        "0x1F",
        "-0x1F",
        "0o17",
        "0b11",
        "1_000",
        "1_0.5",
        "22:22",
        "1:30:00",
        "52:54:00:12:34:56",
        "1:30.5",
        ".inf",
        "-.Inf",
        ".nan",
        "2026-11-22",
        "2026-1-2",
        "2026-11-22T10:00:00Z",
        "2026-11-22 10:00:00",
        "18446744073709551616",
    ] {
        assert!(is_ambiguous(text), "{text}");
    }
}

#[test]
fn ordinary_words_addresses_and_versions_are_not_ambiguous() {
    for text in [
        "eth0",
        "nULL",
        "yEs",
        "none",
        "True story",
        "10.88.60.9",
        "10.88.60.9/32",
        "1.2.3",
        "10s",
        "1h30m",
        "fe80::1",
        "2001:db8::1",
        "-",
        "+",
        ".",
        "..",
        "-a",
        "v1",
        "0x",
        "0xg",
        "1e",
        "1e+",
        "_1",
        "2026-11",
        "2026-11-22x",
        "aa:bb",
        "22:66",
        "1:2:x",
        "--1",
        "on-prem",
        "nodes",
        "::1",
    ] {
        assert!(!is_ambiguous(text), "{text}");
    }
}

#[test]
fn whatever_resolves_to_something_else_is_ambiguous() {
    for text in ["1", "0x10", "1e5", "true", "null", "", "-3", "1.5e-7"] {
        assert!(!matches!(resolve(text), Resolved::Str(_)), "{text}");
        assert!(is_ambiguous(text), "{text}");
    }
}

#[test]
fn numbers_resolve_by_the_core_schema() {
    assert_eq!(resolve("-9223372036854775808"), Resolved::Signed(i64::MIN));
    assert_eq!(resolve("+12"), Resolved::Unsigned(12));
    assert_eq!(resolve("0o17"), Resolved::Unsigned(15));
    assert_eq!(resolve(".5"), Resolved::Float(0.5));
    let wide = "9".repeat(60);
    for text in ["0755", "-012", "1_000", "0b1", "1:30", "1e999", ".inf", wide.as_str()] {
        assert_eq!(resolve(text), Resolved::Str(text));
    }
}

#[test]
fn only_quotes_that_matter_make_scalars_differ() {
    assert_eq!(Scalar::plain("eth0"), Scalar::string("eth0"));
    assert_ne!(Scalar::plain("1"), Scalar::string("1"));
    assert_ne!(Scalar::plain("yes"), Scalar::string("yes"));
}
