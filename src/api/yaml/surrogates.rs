//! JSON writes characters beyond U+FFFF as two `\u` escapes; YAML knows `\U` instead.
//!
//! Pure text. It exists because the YAML parser refuses the JSON spelling, which every JSON
//! encoder in ASCII mode produces for an emoji.

use serde::de::IgnoredAny;

use super::node::Pos;

/// Text with every surrogate pair rewritten, and where columns moved.
pub(super) struct Joined {
    /// The rewritten text.
    pub text: String,
    /// Where each shortened escape ends, in the rewritten text, in order.
    ends: Vec<Pos>,
}

/// How many characters shorter `\U0001F600` is than `\uD83D\uDE00`.
const SHORTER: u32 = 2;

impl Joined {
    /// Rewrites `text` if it is JSON with surrogate pairs. In other YAML a backslash is no escape
    /// outside of double quotes, so nothing but JSON is touched.
    pub(super) fn from_json(text: &str) -> Option<Self> {
        let mut candidates = text.match_indices("\\u").filter_map(|(at, _)| pair_at(&text[at..]));
        candidates.next()?;
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        stream.all(|value| value.is_ok()).then(|| rewrite(text))
    }

    /// Where `pos` of the rewritten text stands in the original.
    pub(super) fn original(&self, pos: Pos) -> Pos {
        let first = self.ends.partition_point(|end| end.line < pos.line);
        let last = self.ends.partition_point(|end| *end <= pos);
        let moved = u32::try_from(last.saturating_sub(first)).unwrap_or(0) * SHORTER;
        Pos { line: pos.line, column: pos.column + moved }
    }
}

fn rewrite(text: &str) -> Joined {
    let mut joined = Joined { text: String::with_capacity(text.len()), ends: Vec::new() };
    let (mut rest, mut pos) = (text, Pos::START);
    while let Some(c) = rest.chars().next() {
        let escape = if c == '\\' { pair_at(rest) } else { None };
        let (taken, written) = match escape {
            Some(character) => {
                let escape = format!("\\U{:08X}", u32::from(character));
                joined.text.push_str(&escape);
                pos.column += 10;
                joined.ends.push(pos);
                rest = &rest[12..];
                continue;
            }
            // An escape is copied whole, so that the second half of `\\` begins no escape.
            None if c == '\\' => (rest.chars().take(2).map(char::len_utf8).sum(), 2),
            None => (c.len_utf8(), 1),
        };
        joined.text.push_str(&rest[..taken]);
        rest = &rest[taken..];
        pos = if c == '\n' {
            Pos { line: pos.line + 1, column: 1 }
        } else {
            Pos { line: pos.line, column: pos.column + written }
        };
    }
    joined
}

/// The character that the two escapes at the start of `text` stand for.
fn pair_at(text: &str) -> Option<char> {
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    char::decode_utf16([unit(0)?, unit(6)?]).next()?.ok().filter(|c| u32::from(*c) > 0xFFFF)
}
