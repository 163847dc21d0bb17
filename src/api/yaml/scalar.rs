//! What a scalar is: the text as written, and what that text means without quotes.
//!
//! Pure functions over text. They exist apart from parser and emitter because both, and the
//! decoder, must agree: what is read by the YAML 1.2 core schema is written so that YAML 1.1
//! readers (most of the tools around us) read the same.

/// A scalar as it is carried: its text, and whether that text must stay without quotes.
///
/// `verbatim` is set only where quotes would matter: `1.10`, `yes`, `null` and `2026-11-22` mean
/// something else to some reader when quoted, `eth0` does not. So equal values compare equal
/// however their strings were quoted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scalar {
    text: Box<str>,
    verbatim: bool,
}

/// What a plain scalar means by the YAML 1.2 core schema, as far as JSON can say it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resolved<'a> {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of zero or more.
    Unsigned(u64),
    /// An integer below zero.
    Signed(i64),
    /// A finite number with a fraction or an exponent.
    Float(f64),
    /// Anything else, including numbers that no 64-bit type holds and integers with a leading
    /// zero (755 to one reader, 493 to another).
    Str(&'a str),
}

impl Scalar {
    /// A scalar as written without quotes.
    pub fn plain(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        // What is ambiguous is made of visible ASCII; with white space around it or anything else
        // in it, the text could not stand without quotes and is a string.
        let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let verbatim = is_ambiguous(&text) && visible && text.trim() == &*text;
        Self { text, verbatim }
    }

    /// A string, whatever it looks like.
    pub fn string(text: impl Into<Box<str>>) -> Self {
        Self { text: text.into(), verbatim: false }
    }

    /// The text without quotes and escapes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text stands without quotes and would mean something else with them.
    pub fn is_verbatim(&self) -> bool {
        self.verbatim
    }

    /// The meaning by the YAML 1.2 core schema.
    pub fn resolve(&self) -> Resolved<'_> {
        if self.verbatim { resolve(&self.text) } else { Resolved::Str(&self.text) }
    }
}

/// What `text` means as a plain scalar.
pub fn resolve(text: &str) -> Resolved<'_> {
    match text.as_bytes().first() {
        None => return Resolved::Null,
        Some(b'n' | b'N' | b'~' | b't' | b'T' | b'f' | b'F') => {}
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => return resolve_number(text),
        Some(_) => return Resolved::Str(text),
    }
    match text {
        "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "true" | "True" | "TRUE" => Resolved::Bool(true),
        "false" | "False" | "FALSE" => Resolved::Bool(false),
        _ => Resolved::Str(text),
    }
}

fn resolve_number(text: &str) -> Resolved<'_> {
    if let Some(wide) = parse_integer(text) {
        if let Ok(number) = u64::try_from(wide) {
            return Resolved::Unsigned(number);
        }
        return i64::try_from(wide).map_or(Resolved::Str(text), Resolved::Signed);
    }
    let (_, rest) = split_sign(text);
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        // An integer that even 128 bits do not hold.
        return Resolved::Str(text);
    }
    parse_float(text).map_or(Resolved::Str(text), Resolved::Float)
}

/// The integer that `text` is by the core schema: decimal without leading zeros, `0x` or `0o`.
pub fn parse_integer(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0x") {
        return digits_in(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return digits_in(digits, 8);
    }
    let (negative, digits) = split_sign(text);
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    let number = digits_in(digits, 10)?;
    Some(if negative { -number } else { number })
}

/// The finite number that `text` is by the core schema (`1`, `1.5`, `.5`, `1e3`).
pub fn parse_float(text: &str) -> Option<f64> {
    let (_, rest) = split_sign(text);
    let leading_zero = rest.len() > 1 && rest.starts_with('0');
    if leading_zero && rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if !float_syntax(rest, false) {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn digits_in(digits: &str, radix: u32) -> Option<i128> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok()
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// Whether some YAML 1.1 or 1.2 reader takes the plain `text` for something other than a string.
pub fn is_ambiguous(text: &str) -> bool {
    let Some(&first) = text.as_bytes().first() else { return true };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => looks_numeric(text) || looks_like_date(text),
        b'~' | b'=' => text.len() == 1,
        b'<' => text == "<<",
        b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'o' | b'O' => is_word(text),
        _ => false,
    }
}

/// The words of YAML 1.1 and 1.2 for null and the booleans, in the three spellings they allow.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if text.len() > 5 {
        return false;
    }
    let tail = &text.as_bytes()[1..];
    let one_case = tail.iter().all(u8::is_ascii_lowercase)
        || (text.as_bytes()[0].is_ascii_uppercase() && tail.iter().all(u8::is_ascii_uppercase));
    one_case && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn looks_numeric(text: &str) -> bool {
    let (_, rest) = split_sign(text);
    if matches!(rest, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let bytes = rest.as_bytes();
    if let [b'0', radix, digits @ ..] = bytes {
        let radix = match radix.to_ascii_lowercase() {
            b'x' => 16,
            b'o' => 8,
            b'b' => 2,
            _ => 0,
        };
        if radix != 0 {
            return !digits.is_empty()
                && digits.iter().all(|&b| b == b'_' || char::from(b).is_digit(radix));
        }
    }
    float_syntax(rest, true) || is_sexagesimal(bytes)
}

/// Digits, an optional fraction, an optional exponent; `lax` lets `_` stand between digits.
fn float_syntax(text: &str, lax: bool) -> bool {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit() || (lax && **b == b'_'))
            .count()
    };
    let mut at = digits(0);
    if at > 0 && bytes[0] == b'_' {
        return false;
    }
    let mut seen = at > 0;
    if bytes.get(at) == Some(&b'.') {
        let end = digits(at + 1);
        seen |= bytes[at + 1..end].iter().any(u8::is_ascii_digit);
        at = end;
    }
    if !seen {
        return false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        let end = digits(at);
        return end > at && end == bytes.len();
    }
    at == bytes.len()
}

/// The base-60 numbers of YAML 1.1: `22:22`, `1:30:00.5`.
fn is_sexagesimal(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|&b| b == b':');
    let whole = parts.next().unwrap_or_default();
    let number = |part: &[u8]| {
        part.first().is_some_and(u8::is_ascii_digit)
            && part.iter().all(|b| b.is_ascii_digit() || *b == b'_')
    };
    if !number(whole) {
        return false;
    }
    let mut rest = parts.peekable();
    let mut any = false;
    while let Some(part) = rest.next() {
        let sixty = match (part, rest.peek().is_none()) {
            (part, true) => part.split(|&b| b == b'.').next().unwrap_or_default(),
            (part, false) => part,
        };
        let fits = match sixty {
            [d] => d.is_ascii_digit(),
            [t, d] => (b'0'..=b'5').contains(t) && d.is_ascii_digit(),
            _ => false,
        };
        let fraction = &part[sixty.len()..];
        if !fits || !fraction.iter().skip(1).all(|b| b.is_ascii_digit() || *b == b'_') {
            return false;
        }
        any = true;
    }
    any
}

/// The dates and timestamps of YAML 1.1: `2026-11-22`, `2026-11-22T10:00:00Z`.
fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let run = |from: usize, max: usize| {
        bytes.iter().skip(from).take(max).take_while(|b| b.is_ascii_digit()).count()
    };
    if run(0, 5) != 4 || bytes.get(4) != Some(&b'-') {
        return false;
    }
    let month = run(5, 2);
    if month == 0 || bytes.get(5 + month) != Some(&b'-') {
        return false;
    }
    let day_at = 6 + month;
    let day = run(day_at, 2);
    match bytes.get(day_at + day) {
        None => day > 0,
        Some(b'T' | b't' | b' ' | b'\t') => day > 0 && run(day_at + day + 1, 1) == 1,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests;
