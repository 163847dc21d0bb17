//! The serde deserializer over a tree: what each type of Rust accepts.
//!
//! A string takes a scalar's source text; a boolean is `true` or `false` without quotes; an
//! integer is decimal, `0x` or `0o`. Null is nothing: `None` for an option, an absent field in a
//! struct, and a complaint everywhere else.

use std::cell::RefCell;

use serde::Deserializer;
use serde::de::Visitor;
use serde::forward_to_deserialize_any;

use super::access::{MapAccess, SeqAccess, VariantAccess};
use super::error::{Error, quote};
use super::path::Path;
use super::problem::Problem;
use super::suggest::{hint, nearest};
use super::tree::{Shape, Tree};
use crate::api::value::TOKEN;
use crate::api::yaml::scalar::{Resolved, parse_float, parse_integer, resolve};

/// A node to decode, with the way to it.
pub(super) struct De<'a, 'p, N> {
    pub(super) node: &'a N,
    pub(super) path: &'p Path<'p>,
    /// Unknown fields found so far, here and elsewhere.
    pub(super) unknown: &'p RefCell<Vec<Problem>>,
}

impl<'a, 'p, N: Tree> De<'a, 'p, N> {
    pub(super) fn new(node: &'a N, path: &'p Path<'p>, unknown: &'p RefCell<Vec<Problem>>) -> Self {
        Self { node, path, unknown }
    }

    fn fail(&self, message: impl Into<String>, hint: Option<&str>) -> Error {
        Error::at(self.node.pos(), self.path, message, hint.map(str::to_owned))
    }

    /// The complaint that something else stands here.
    fn expected(&self, what: &str) -> Error {
        self.fail(format!("expected {what}, found {}", describe(self.node)), None)
    }

    /// The scalar here, if it is not null.
    fn scalar(&self, what: &str) -> Result<(&'a str, bool), Error> {
        match self.node.shape() {
            Shape::Scalar { text, plain } if !is_null(text, plain) => Ok((text, plain)),
            Shape::Invalid(message) => Err(self.fail(message, None)),
            _ => Err(self.expected(what)),
        }
    }

    fn integer(&self, least: i128, most: i128) -> Result<i128, Error> {
        let what = format!("an integer from {least} to {most}");
        let (text, plain) = self.scalar(&what)?;
        match parse_integer(text) {
            Some(number) if plain && (least..=most).contains(&number) => Ok(number),
            Some(_) if !plain => Err(self.expected(&what).with_hint("write it without quotes")),
            None if plain && text.len() > 1 && is_octal(text) => Err(self
                .expected(&what)
                .with_hint("octal is written 0o…, decimal has no leading 0")),
            _ => Err(self.expected(&what)),
        }
    }

    fn visit_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match self.node.shape() {
            Shape::Seq(items) => items,
            Shape::Invalid(message) => return Err(self.fail(message, None)),
            Shape::Scalar { text, plain } if !is_null(text, plain) => {
                let hint = "a list of one is written [item], or - item on its own line";
                return Err(self.expected("a list").with_hint(hint));
            }
            _ => return Err(self.expected("a list")),
        };
        let (pos, path) = (self.node.pos(), self.path);
        let mut access = SeqAccess::new(items, path, self.unknown);
        let list = visitor.visit_seq(&mut access).map_err(|error| error.place(pos, path))?;
        match access.left() {
            0 => Ok(list),
            left => {
                let most = items.len() - left;
                let message = format!("expected a list of {most}, found {} items", items.len());
                Err(Error::at(pos, path, message, None))
            }
        }
    }

    /// Visits the entries: all of them, or those named in `fields`.
    fn visit_entries<'de, V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries = match self.node.shape() {
            Shape::Map(entries) => entries,
            Shape::Invalid(message) => return Err(self.fail(message, None)),
            _ => return Err(self.expected("a mapping")),
        };
        if let Some(fields) = fields {
            self.note_unknown(entries, fields);
        }
        let (pos, path) = (self.node.pos(), self.path);
        let access = MapAccess::<N>::new(entries, fields, path, self.unknown);
        visitor.visit_map(access).map_err(|error| {
            let keys = || entries.iter().map(N::key);
            let Some(missing) = error.missing() else { return error.place(pos, path) };
            if let Some(key) = keys().find(|key| key.text == missing) {
                return error.with_hint("it is there, but empty").place(key.pos, path);
            }
            // It is missing because it is misspelt: said where that stands, and so after it.
            let fields = fields.unwrap_or_default();
            let is_slip = |text| {
                !fields.contains(&text)
                    && nearest(text, fields.iter().copied()).is_some_and(|near| near == missing)
            };
            let slip = keys().find(|key| is_slip(key.text));
            error.place(slip.map_or(pos, |key| key.pos), path)
        })
    }

    fn note_unknown(&self, entries: &[N::Entry], fields: &[&str]) {
        let unknown = entries.iter().map(N::key).filter(|key| !fields.contains(&key.text));
        for key in unknown {
            self.unknown.borrow_mut().push(Problem {
                pos: key.pos,
                path: self.path.key(key.text).to_string(),
                message: "unknown field".to_owned(),
                hint: hint(key.text, fields, "known fields"),
            });
        }
    }
}

/// Whether a scalar is a null.
pub(super) fn is_null(text: &str, plain: bool) -> bool {
    plain && resolve(text) == Resolved::Null
}

fn is_octal(text: &str) -> bool {
    text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
}

/// What stands there, in an operator's words.
fn describe<N: Tree>(node: &N) -> String {
    match node.shape() {
        Shape::Scalar { text, plain } if is_null(text, plain) => "nothing".to_owned(),
        Shape::Scalar { text, plain: true } if !matches!(resolve(text), Resolved::Str(_)) => {
            text.to_owned()
        }
        Shape::Scalar { text, .. } => quote(text),
        Shape::Seq(_) => "a list".to_owned(),
        Shape::Map(_) => "a mapping".to_owned(),
        Shape::Invalid(_) => "something invalid".to_owned(),
    }
}

/// `deserialize_u8` and its kin: a range check, then the visitor.
macro_rules! integers {
    ($($method:ident => $visit:ident: $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number = self.integer(i128::from(<$type>::MIN), i128::from(<$type>::MAX))?;
            // The range check above makes this conversion succeed.
            let number = <$type>::try_from(number).unwrap_or_default();
            visitor.$visit(number).map_err(|error: Error| error.place(self.node.pos(), self.path))
        }
    )*};
}

impl<'de, N: Tree> Deserializer<'de> for De<'_, '_, N> {
    type Error = Error;

    integers! {
        deserialize_i8 => visit_i8: i8,
        deserialize_i16 => visit_i16: i16,
        deserialize_i32 => visit_i32: i32,
        deserialize_i64 => visit_i64: i64,
        deserialize_u8 => visit_u8: u8,
        deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32,
        deserialize_u64 => visit_u64: u64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let visited = match self.node.shape() {
            Shape::Seq(_) => return self.visit_list(visitor),
            Shape::Map(_) => return self.visit_entries(None, visitor),
            Shape::Invalid(message) => return Err(self.fail(message, None)),
            Shape::Scalar { text, plain: false } => visitor.visit_str(text),
            Shape::Scalar { text, plain: true } => match resolve(text) {
                Resolved::Null => visitor.visit_unit(),
                Resolved::Bool(truth) => visitor.visit_bool(truth),
                Resolved::Unsigned(number) => visitor.visit_u64(number),
                Resolved::Signed(number) => visitor.visit_i64(number),
                Resolved::Float(number) => visitor.visit_f64(number),
                Resolved::Str(text) => visitor.visit_str(text),
            },
        };
        visited.map_err(|error: Error| error.place(self.node.pos(), self.path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (text, plain) = self.scalar("true or false")?;
        let truth = match (text, plain) {
            ("true", true) => true,
            ("false", true) => false,
            ("true" | "false", false) => {
                return Err(self.expected("true or false").with_hint("write it without quotes"));
            }
            _ => {
                let error = self.expected("true or false");
                return Err(match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" => error.with_hint("write true"),
                    "no" | "off" | "n" | "false" => error.with_hint("write false"),
                    _ => error,
                });
            }
        };
        visitor.visit_bool(truth).map_err(|error: Error| error.place(self.node.pos(), self.path))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (text, plain) = self.scalar("a number")?;
        let Some(number) = parse_float(text).filter(|_| plain) else {
            let error = self.expected("a number");
            let quoted = !plain && parse_float(text).is_some();
            return Err(if quoted { error.with_hint("write it without quotes") } else { error });
        };
        visitor.visit_f64(number).map_err(|error: Error| error.place(self.node.pos(), self.path))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (text, _) = self.scalar("a string").map_err(|error| match self.node.shape() {
            Shape::Scalar { .. } => error.with_hint("an empty string is written \"\""),
            _ => error,
        })?;
        visitor.visit_str(text).map_err(|error: Error| error.place(self.node.pos(), self.path))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.shape() {
            Shape::Scalar { text, plain } if is_null(text, plain) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.shape() {
            Shape::Scalar { text, plain } if is_null(text, plain) => visitor.visit_unit(),
            _ => Err(self.expected("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (pos, path) = (self.node.pos(), self.path);
        if name != TOKEN {
            return visitor.visit_newtype_struct(self).map_err(|error| error.place(pos, path));
        }
        match self.node.shape() {
            Shape::Scalar { text, plain: true } => visitor.visit_bytes(text.as_bytes()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.visit_list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_entries(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.visit_entries(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (pos, path) = (self.node.pos(), self.path);
        let access = match self.node.shape() {
            Shape::Map([one]) => {
                VariantAccess::new(N::key(one).text, Some(N::value(one)), pos, path, self.unknown)
            }
            Shape::Scalar { text, plain } if !is_null(text, plain) => {
                VariantAccess::new(text, None, pos, path, self.unknown)
            }
            Shape::Invalid(message) => return Err(self.fail(message, None)),
            _ => {
                let what = format!("one of {}", variants.join(", "));
                return Err(self.expected(&what));
            }
        };
        visitor.visit_enum(access).map_err(|error| error.place(pos, path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 bytes byte_buf identifier }
}
