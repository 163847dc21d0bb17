//! What serde walks through inside lists, mappings and enums.

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::de::{De, is_null};
use super::error::Error;
use super::key::KeyDe;
use super::path::Path;
use super::problem::Problem;
use super::tree::{Shape, Tree};
use crate::api::yaml::Pos;

/// The items of a list.
pub(super) struct SeqAccess<'a, 'p, N> {
    items: &'a [N],
    next: usize,
    path: &'p Path<'p>,
    unknown: &'p RefCell<Vec<Problem>>,
}

impl<'a, 'p, N> SeqAccess<'a, 'p, N> {
    pub(super) fn new(
        items: &'a [N],
        path: &'p Path<'p>,
        unknown: &'p RefCell<Vec<Problem>>,
    ) -> Self {
        Self { items, next: 0, path, unknown }
    }

    /// How many items were not asked for.
    pub(super) fn left(&self) -> usize {
        self.items.len() - self.next
    }
}

impl<'de, N: Tree> de::SeqAccess<'de> for SeqAccess<'_, '_, N> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let path = self.path.index(self.next);
        self.next += 1;
        let decoded = seed.deserialize(De::new(item, &path, self.unknown));
        decoded.map(Some).map_err(|error| error.place(item.pos(), &path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left())
    }
}

/// The entries of a mapping; of a struct, only its fields, and of those only what is not null.
pub(super) struct MapAccess<'a, 'p, N: Tree> {
    entries: std::slice::Iter<'a, N::Entry>,
    fields: Option<&'static [&'static str]>,
    current: Option<&'a N::Entry>,
    path: &'p Path<'p>,
    unknown: &'p RefCell<Vec<Problem>>,
}

impl<'a, 'p, N: Tree> MapAccess<'a, 'p, N> {
    pub(super) fn new(
        entries: &'a [N::Entry],
        fields: Option<&'static [&'static str]>,
        path: &'p Path<'p>,
        unknown: &'p RefCell<Vec<Problem>>,
    ) -> Self {
        Self { entries: entries.iter(), fields, current: None, path, unknown }
    }

    fn is_offered(&self, entry: &N::Entry) -> bool {
        let Some(fields) = self.fields else { return true };
        let null = matches!(N::value(entry).shape(),
            Shape::Scalar { text, plain } if is_null(text, plain));
        !null && fields.contains(&N::key(entry).text)
    }
}

impl<'de, N: Tree> de::MapAccess<'de> for MapAccess<'_, '_, N> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let entry = loop {
            match self.entries.next() {
                None => return Ok(None),
                Some(entry) if self.is_offered(entry) => break entry,
                Some(_) => {}
            }
        };
        self.current = Some(entry);
        let key = N::key(entry);
        let decoded = seed.deserialize(KeyDe(key));
        decoded.map(Some).map_err(|error| error.place(key.pos, &self.path.key(key.text)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let (key, value) = (N::key(entry), N::value(entry));
        let path = self.path.key(key.text);
        let decoded = seed.deserialize(De::new(value, &path, self.unknown));
        decoded.map_err(|error| error.place(value.pos(), &path))
    }
}

/// A variant: its name, and for `name: content` its content.
pub(super) struct VariantAccess<'a, 'p, N> {
    name: &'a str,
    content: Option<&'a N>,
    pos: Option<Pos>,
    path: &'p Path<'p>,
    unknown: &'p RefCell<Vec<Problem>>,
}

impl<'a, 'p, N: Tree> VariantAccess<'a, 'p, N> {
    pub(super) fn new(
        name: &'a str,
        content: Option<&'a N>,
        pos: Option<Pos>,
        path: &'p Path<'p>,
        unknown: &'p RefCell<Vec<Problem>>,
    ) -> Self {
        Self { name, content, pos, path, unknown }
    }

    /// Decodes the content, which must be there.
    fn content<T>(
        &self,
        decode: impl FnOnce(De<'_, '_, N>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(content) = self.content else {
            let message = format!("{:?} needs a value", self.name);
            return Err(Error::at(self.pos, self.path, message, None));
        };
        let path = self.path.key(self.name);
        decode(De::new(content, &path, self.unknown))
    }
}

impl<'de, N: Tree> de::EnumAccess<'de> for VariantAccess<'_, '_, N> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        let variant = seed.deserialize(name)?;
        Ok((variant, self))
    }
}

impl<'de, N: Tree> de::VariantAccess<'de> for VariantAccess<'_, '_, N> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.content.is_none() {
            return Ok(());
        }
        let message = format!("{:?} takes no value", self.name);
        Err(Error::at(self.pos, self.path, message, None))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.content(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.content(|content| de::Deserializer::deserialize_tuple(content, len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content(|content| de::Deserializer::deserialize_struct(content, "", fields, visitor))
    }
}
