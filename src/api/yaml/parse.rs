//! Text to documents: the driver around the YAML parser, and the limits.
//!
//! May touch the parser crate and text, nothing else. It exists to give one answer to every
//! input, however broken or hostile: the documents that can be read, and where and why it ended.

use std::panic::{AssertUnwindSafe, catch_unwind};

use saphyr_parser::Parser;

use super::build::Builder;
use super::node::{Node, Pos};
use super::surrogates::Joined;

/// What one file may cost. The defaults are the product's; tests use smaller ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file: 4 MiB.
    pub file_bytes: usize,
    /// Documents in the file, empty ones not counted: 20,000.
    pub documents: usize,
    /// Lists and mappings inside one another: 64.
    pub depth: usize,
    /// Nodes of the file with aliases expanded (and what anchors keep): 1,000,000.
    pub nodes: usize,
    /// Bytes of all scalars with aliases expanded: 16 MiB.
    pub text_bytes: usize,
    /// Bytes of one scalar: 1 MiB.
    pub scalar_bytes: usize,
    /// Characters `,` `[` `{` in the file: 250,000. The parser must read a whole `[…]` before it
    /// knows that it is no key, so these, not the nodes, decide what it holds in memory.
    pub flow_marks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 4 << 20,
            documents: 20_000,
            depth: 64,
            nodes: 1_000_000,
            text_bytes: 16 << 20,
            scalar_bytes: 1 << 20,
            flow_marks: 250_000,
        }
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Documents {
    /// The documents before the error, empty ones left out.
    pub docs: Vec<Node>,
    /// Why reading ended before the end of the file.
    pub error: Option<YamlError>,
}

/// Why a file cannot be read on from some place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pos}: {message}")]
pub struct YamlError {
    /// Where.
    pub pos: Pos,
    /// What, in lower case.
    pub message: Box<str>,
}

impl YamlError {
    pub(super) fn new(pos: Pos, message: impl Into<Box<str>>) -> Self {
        Self { pos, message: message.into() }
    }
}

/// Reads every document of a YAML or JSON file.
///
/// Faults inside a document (a key given twice, an unknown tag) do not end the reading: they stay
/// in the tree as [`super::NodeKind::Invalid`] and come out of [`Node::faults`].
pub fn parse_documents(bytes: &[u8], limits: &Limits) -> Documents {
    if bytes.len() > limits.file_bytes {
        let message = format!("{} bytes, at most {} are read", bytes.len(), limits.file_bytes);
        return Documents { docs: Vec::new(), error: Some(YamlError::new(Pos::START, message)) };
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (text, unreadable) = match readable(bytes, limits) {
        Ok(text) => (text, None),
        Err((text, error)) => (text, Some(error)),
    };
    let mut documents = match Joined::from_json(text) {
        None => parse_text(text, limits),
        Some(joined) => original_positions(parse_text(&joined.text, limits), &joined),
    };
    documents.error = documents.error.or(unreadable);
    documents
}

/// The text, or the documents before the first character that must not be there, and the error.
fn readable<'t>(bytes: &'t [u8], limits: &Limits) -> Result<&'t str, (&'t str, YamlError)> {
    let (text, broken) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let text = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            (text, Some(format!("not UTF-8: byte 0x{:02x}", bytes[text.len()])))
        }
    };
    let (at, message) = if let Some((at, c)) = first_control(text) {
        (at, format!("control character U+{:04X}", u32::from(c)))
    } else if let Some(at) = flow_mark_over(text, limits.flow_marks) {
        let most = limits.flow_marks;
        (at, format!("more than {most} of the characters `,` `[` `{{`"))
    } else if let Some(message) = broken {
        (text.len(), message)
    } else {
        return Ok(text);
    };
    let before = &text[..at];
    let whole = if before.is_empty() { 0 } else { before.rfind("\n---").map_or(0, |end| end + 1) };
    Err((&text[..whole], YamlError::new(position_at(text, at), message)))
}

/// The first character that YAML text must not contain as such.
fn first_control(text: &str) -> Option<(usize, char)> {
    let suspicious = |b: &u8| (*b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || *b == 0x7f;
    let single = text.as_bytes().iter().position(suspicious);
    // The controls from U+0080 on all begin with 0xC2; U+0085 is a line break.
    let double = text
        .as_bytes()
        .windows(2)
        .position(|pair| pair[0] == 0xc2 && (0x80..=0x9f).contains(&pair[1]) && pair[1] != 0x85);
    let at = single.into_iter().chain(double).min()?;
    text[at..].chars().next().map(|c| (at, c))
}

fn flow_mark_over(text: &str, most: usize) -> Option<usize> {
    let marks = text.bytes().enumerate().filter(|(_, b)| matches!(b, b',' | b'[' | b'{'));
    marks.map(|(at, _)| at).nth(most)
}

/// The position of a byte offset.
fn position_at(text: &str, at: usize) -> Pos {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Pos {
        line: count(before.bytes().filter(|b| *b == b'\n').count() + 1),
        column: count(before[line_start..].chars().count() + 1),
    }
}

/// Runs the parser up to the end or to the first error, after which it cannot be trusted: it
/// would repeat the error for ever.
fn parse_text(text: &str, limits: &Limits) -> Documents {
    let mut builder = Builder::new(limits, text.contains('*'));
    let mut last = Pos::START;
    let run = catch_unwind(AssertUnwindSafe(|| drive(text, &mut builder, &mut last)));
    let error = match run {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(YamlError::new(last, "the YAML parser failed on this file")),
    };
    Documents { docs: builder.docs, error }
}

fn drive(text: &str, builder: &mut Builder<'_>, last: &mut Pos) -> Result<(), YamlError> {
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| {
            let marker = error.marker();
            let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let pos = Pos { line: narrow(marker.line()), column: narrow(marker.col() + 1) };
            YamlError::new(pos, format!("not YAML: {}", error.info()))
        })?;
        let pos = Builder::position(&span);
        *last = pos;
        builder.event(event, span)?;
    }
    Ok(())
}

fn original_positions(mut documents: Documents, joined: &Joined) -> Documents {
    for node in &mut documents.docs {
        restore(node, joined);
    }
    if let Some(error) = &mut documents.error {
        error.pos = joined.original(error.pos);
    }
    documents
}

fn restore(node: &mut Node, joined: &Joined) {
    use super::node::NodeKind::{Invalid, Map, Scalar, Seq};
    node.pos = joined.original(node.pos);
    match &mut node.kind {
        Scalar { .. } | Invalid(_) => {}
        Seq(items) => items.iter_mut().for_each(|item| restore(item, joined)),
        Map(entries) => {
            for entry in entries {
                entry.key.pos = joined.original(entry.key.pos);
                restore(&mut entry.value, joined);
            }
        }
    }
}

#[cfg(test)]
mod tests;
