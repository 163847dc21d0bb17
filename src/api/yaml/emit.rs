//! Values to YAML in block style, as kubectl prints it.
//!
//! Pure and deterministic: equal values give equal bytes. Own code rather than a serializer
//! because scalars must come out as written, and because the effective config of ten thousand
//! resources is printed on every change.

mod quote;

use self::quote::{Form, form_of, write_quoted};
use super::scalar::Scalar;
use crate::api::value::{Map, Value};

/// The longest key in bytes, as written, that every reader finds without a `?` before it.
const LONGEST_SIMPLE_KEY: usize = 1_000;

/// One document, without `---`, ending in a line break.
pub fn emit(value: &Value) -> String {
    let mut out = String::new();
    emit_into(&mut out, value);
    out
}

/// Appends one document, without `---`, ending in a line break.
pub fn emit_into(out: &mut String, value: &Value) {
    match value {
        Value::Map(map) if !map.is_empty() => write_map(out, map, 0, false),
        Value::Seq(items) if !items.is_empty() => write_seq(out, items, 0, false),
        Value::Scalar(scalar) if scalar.text().is_empty() && scalar.is_verbatim() => {
            out.push_str("null\n");
        }
        Value::Scalar(scalar) => {
            match form_of(scalar) {
                Form::Plain => out.push_str(scalar.text()),
                Form::Literal | Form::Quoted => write_quoted(out, scalar.text()),
            }
            out.push('\n');
        }
        Value::Map(_) => out.push_str("{}\n"),
        Value::Seq(_) => out.push_str("[]\n"),
    }
}

/// Writes the entries at column `indent`; the first continues the line if `inline`.
fn write_map(out: &mut String, map: &Map, indent: usize, inline: bool) {
    for (at, (key, value)) in map.entries().iter().enumerate() {
        if at > 0 || !inline {
            write_indent(out, indent);
        }
        write_key(out, key, indent);
        match value {
            Value::Map(map) if !map.is_empty() => {
                out.push('\n');
                write_map(out, map, indent + 2, false);
            }
            Value::Seq(items) if !items.is_empty() => {
                out.push('\n');
                write_seq(out, items, indent, false);
            }
            leaf => write_leaf(out, leaf, indent),
        }
    }
}

/// Writes the items with their dashes at column `indent`; the first continues the line if `inline`.
fn write_seq(out: &mut String, items: &[Value], indent: usize, inline: bool) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 || !inline {
            write_indent(out, indent);
        }
        out.push('-');
        match item {
            Value::Map(map) if !map.is_empty() => {
                out.push(' ');
                write_map(out, map, indent + 2, true);
            }
            Value::Seq(items) if !items.is_empty() => {
                out.push(' ');
                write_seq(out, items, indent + 2, true);
            }
            leaf => write_leaf(out, leaf, indent),
        }
    }
}

fn write_key(out: &mut String, key: &Scalar, indent: usize) {
    let start = out.len();
    match form_of(key) {
        Form::Plain if !key.text().is_empty() => out.push_str(key.text()),
        _ => write_quoted(out, key.text()),
    }
    if out.len() - start > LONGEST_SIMPLE_KEY {
        out.insert_str(start, "? ");
        out.push('\n');
        write_indent(out, indent);
    }
    out.push(':');
}

/// Writes what follows `key:` or `-` on the same line, and the line break.
fn write_leaf(out: &mut String, leaf: &Value, indent: usize) {
    match leaf {
        Value::Map(_) => out.push_str(" {}"),
        Value::Seq(_) => out.push_str(" []"),
        Value::Scalar(scalar) => match form_of(scalar) {
            Form::Plain if scalar.text().is_empty() => {}
            Form::Plain => {
                out.push(' ');
                out.push_str(scalar.text());
            }
            Form::Literal => return write_literal(out, scalar.text(), indent + 2),
            Form::Quoted => {
                out.push(' ');
                write_quoted(out, scalar.text());
            }
        },
    }
    out.push('\n');
}

/// Writes a `|` block, with the indicator that keeps exactly the line breaks at the end.
fn write_literal(out: &mut String, text: &str, indent: usize) {
    let (header, body) = match text.strip_suffix('\n') {
        None => (" |-\n", text),
        Some(body) if body.ends_with('\n') => (" |+\n", body),
        Some(body) => (" |\n", body),
    };
    out.push_str(header);
    for line in body.split('\n') {
        if !line.is_empty() {
            write_indent(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn write_indent(out: &mut String, indent: usize) {
    const SPACES: &str = "                                                                ";
    let mut left = indent;
    while left > 0 {
        let some = left.min(SPACES.len());
        out.push_str(&SPACES[..some]);
        left -= some;
    }
}

#[cfg(test)]
mod tests;
