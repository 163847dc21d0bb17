//! Which form a scalar is written in, and how text goes between double quotes.
//!
//! Pure functions over text. The rule: no quotes unless some YAML 1.1 or 1.2 reader would take
//! the text for something else without them.

use crate::api::yaml::scalar::{Scalar, is_ambiguous};

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// As a `|` block, line by line.
    Literal,
    /// Between double quotes, on one line.
    Quoted,
}

/// The form for a scalar that is the value of something.
pub(super) fn form_of(scalar: &Scalar) -> Form {
    let text = scalar.text();
    if scalar.is_verbatim() {
        return Form::Plain;
    }
    if text.is_empty() || is_ambiguous(text) {
        return Form::Quoted;
    }
    let bytes = text.as_bytes();
    if bytes.iter().any(|b| NEEDS_LOOK[usize::from(*b)]) {
        return form_of_unusual(text);
    }
    if is_plain_start(bytes) && bytes[bytes.len() - 1] != b' ' { Form::Plain } else { Form::Quoted }
}

/// The bytes at which a plain scalar may end or change: everything but these is safe anywhere
/// except at the start.
const NEEDS_LOOK: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        // All of non-ASCII is looked at: a few line breaks and controls hide there.
        table[at] = at < 0x20 || at >= 0x7f;
        at += 1;
    }
    table[b':' as usize] = true;
    table[b'#' as usize] = true;
    table
};

fn form_of_unusual(text: &str) -> Form {
    if text.contains('\n') {
        return if is_literal(text) { Form::Literal } else { Form::Quoted };
    }
    let bytes = text.as_bytes();
    let indicator = bytes.iter().enumerate().any(|(at, b)| match b {
        b':' => matches!(bytes.get(at + 1), None | Some(b' ')),
        b'#' => at > 0 && bytes[at - 1] == b' ',
        _ => false,
    });
    if indicator
        || text.chars().any(must_escape)
        || !is_plain_start(bytes)
        || bytes.last() == Some(&b' ')
    {
        return Form::Quoted;
    }
    Form::Plain
}

/// Whether a plain scalar may begin like this.
fn is_plain_start(bytes: &[u8]) -> bool {
    match bytes[0] {
        b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\''
        | b'"' | b'%' | b'@' | b'`' | b' ' => false,
        b'-' | b'.' if bytes.starts_with(b"---") || bytes.starts_with(b"...") => false,
        b'-' | b'?' | b':' => bytes.get(1).is_some_and(|next| *next != b' '),
        _ => true,
    }
}

/// Whether a `|` block says exactly this text, and says it visibly.
fn is_literal(text: &str) -> bool {
    // The first line sets the indentation, so it must have text and begin with it.
    !text.starts_with([' ', '\t', '\n'])
        && text.split('\n').all(|line| !line.ends_with([' ', '\t']))
        && !text.chars().any(|c| !matches!(c, '\n' | '\t') && must_escape(c))
}

/// What must not stand in YAML text as such, or would not be seen there.
fn must_escape(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fffe}'
            | '\u{ffff}'
    )
}

/// Writes `text` between double quotes.
pub(super) fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if !must_escape(c) => out.push(c),
            c => write_escape(out, u32::from(c)),
        }
    }
    out.push('"');
}

/// Writes a character by its number; none that must be escaped is above U+FFFF.
fn write_escape(out: &mut String, code: u32) {
    let (start, digits) = if code < 0x100 { ("\\x", 2) } else { ("\\u", 4) };
    out.push_str(start);
    for digit in (0..digits).rev() {
        let nibble = (code >> (4 * digit)) & 0xf;
        out.extend(char::from_digit(nibble, 16).map(|c| c.to_ascii_uppercase()));
    }
}
