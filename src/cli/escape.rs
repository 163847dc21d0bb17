//! What came from outside must not drive the terminal: no cursor movement, no colours, no text that
//! reads in another order than it stands in.
//!
//! Pure. Everything that is shown passes one of these functions.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character does something to a terminal or a reader beside being seen.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' // soft hyphen
            | '\u{034f}' // grapheme joiner
            | '\u{061c}' // Arabic letter mark
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // fillers
            | '\u{17b4}' | '\u{17b5}' // invisible vowels
            | '\u{180b}'..='\u{180f}' // Mongolian selectors
            | '\u{200b}'..='\u{200f}' // zero width, direction marks
            | '\u{2028}'..='\u{202e}' // separators, direction overrides
            | '\u{2060}'..='\u{206f}' // joiners, isolates
            | '\u{feff}' // byte order mark
            | '\u{fff9}'..='\u{fffb}' // annotation marks
            | '\u{e0000}'..='\u{e0fff}' // tags
        )
}

/// Text for one cell or one line: what is unsafe, line breaks and tabs too, is shown as `\n`,
/// `\t` or `\u{1b}`.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    replace(text, is_unsafe, |out, c| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => push(out, format_args!("\\u{{{:x}}}", u32::from(c))),
    })
}

/// Text of several lines: line breaks stay.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    replace(
        text,
        |c| c != '\n' && is_unsafe(c),
        |out, c| {
            push(out, format_args!("\\u{{{:x}}}", u32::from(c)));
        },
    )
}

/// JSON stays the same JSON: such characters stand in strings only, where `\u001b` means the same.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    replace(
        text,
        |c| !matches!(c, '\n' | '\r' | '\t') && is_unsafe(c),
        |out, c| {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                push(out, format_args!("\\u{unit:04x}"));
            }
        },
    )
}

fn push(out: &mut String, piece: std::fmt::Arguments<'_>) {
    out.write_fmt(piece).expect("a string takes everything");
}

fn replace(
    text: &str,
    bad: impl Fn(char) -> bool,
    put: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    // Nearly all that is shown is plain ASCII: looking at it byte by byte makes printing a large
    // config three times as fast.
    let breaks = !bad('\n');
    let plain = |byte: u8| matches!(byte, b' '..=b'~') || (byte == b'\n' && breaks);
    let Some(odd) = text.bytes().position(|byte| !plain(byte)) else {
        return Cow::Borrowed(text);
    };
    let Some(first) = text[odd..].find(&bad).map(|at| odd + at) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if bad(c) { put(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_overrides_are_shown_and_plain_text_is_left_alone() {
        assert_eq!(text("10.88.60.9/32 é 東京 👍"), "10.88.60.9/32 é 東京 👍");
        assert_eq!(text("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(text("a\u{9b}2Jb"), "a\\u{9b}2Jb", "the one-byte CSI");
        assert_eq!(text("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(text("two\nlines\t"), "two\\nlines\\t");
        assert_eq!(lines("two\nlines\r"), "two\nlines\\u{d}");
        assert_eq!(json("\"\u{9b}\u{e0041}\""), "\"\\u009b\\udb40\\udc41\"");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left_whatever_comes(input in any::<String>()) {
            prop_assert!(!text(&input).chars().any(is_unsafe));
            prop_assert!(!lines(&input).chars().any(|c| c != '\n' && is_unsafe(c)));
        }

        #[test]
        fn escaped_json_means_the_same(input in any::<String>()) {
            let encoded = serde_json::to_string(&input).unwrap();
            let escaped = json(&encoded);
            prop_assert!(!escaped.chars().any(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), input);
        }
    }
}
