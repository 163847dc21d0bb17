//! A JSON object read member by member, so that every complaint names the member that it is about.
//!
//! For what people write by hand and peers send: serde's derived readers speak of structs that
//! nobody outside knows, give a place in place of a name, and take the last of two members.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::payload::Payload;

/// Characters of a name or a value that a message shows.
const SHOWN: usize = 64;

/// The members that were not asked for yet, in their order.
#[derive(Debug)]
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

/// What is wrong, beginning with the member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MembersError(String);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

impl<'a> Members<'a> {
    /// Reads an object as far as its members.
    pub fn read(json: &'a [u8]) -> Result<Self, MembersError> {
        serde_json::from_slice(json).map_err(|error| MembersError(error.to_string()))
    }

    /// Takes a member out, if it is there; twice is once too often.
    pub fn take(&mut self, name: &str) -> Result<Option<&'a RawValue>, MembersError> {
        let mut found = None;
        let mut twice = false;
        self.0.retain(|(own, value)| {
            if own == name {
                twice |= found.replace(*value).is_some();
            }
            own != name
        });
        if twice { Err(MembersError(format!("{name}: is there twice"))) } else { Ok(found) }
    }

    /// Takes a text out, if the member is there.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, MembersError> {
        self.take(name)?.map(|value| text(name, value)).transpose()
    }

    /// Takes a text out that must be there.
    pub fn required(&mut self, name: &str) -> Result<String, MembersError> {
        self.text(name)?.ok_or_else(|| MembersError(format!("{name}: is required")))
    }

    /// Takes a text out that may be null as well.
    pub fn nullable(&mut self, name: &str) -> Result<Option<String>, MembersError> {
        let value = self.take(name)?.filter(|value| value.get() != "null");
        value.map(|value| text(name, value)).transpose()
    }

    /// Takes an object of texts out; each key once. It may be null as well.
    pub fn texts(&mut self, name: &str) -> Result<Option<Payload>, MembersError> {
        let Some(value) = self.take(name)?.filter(|value| value.get() != "null") else {
            return Ok(None);
        };
        if !value.get().starts_with('{') {
            let found = describe(value);
            let message = format!("{name}: expected an object of strings, found {found}");
            return Err(MembersError(message));
        }
        let mut texts = BTreeMap::new();
        let members = Self::read(value.get().as_bytes());
        for (key, value) in members.map_err(|wrong| MembersError(format!("{name}: {wrong}")))?.0 {
            let member = format!("{name}.{}", short(&key));
            let value = text(&member, value)?;
            if texts.insert(key, value).is_some() {
                return Err(MembersError(format!("{member}: is there twice")));
            }
        }
        Ok(Some(texts.into_iter().collect()))
    }

    /// The names of the members that nobody asked for.
    pub fn rest(self) -> impl ExactSizeIterator<Item = String> {
        self.0.into_iter().map(|(name, _)| name)
    }
}

fn text(name: &str, value: &RawValue) -> Result<String, MembersError> {
    let wrong = |why: &str| MembersError(format!("{name}: {why}"));
    if !value.get().starts_with('"') {
        return Err(wrong(&format!("expected a string, found {}", describe(value))));
    }
    // Half of a surrogate pair is all that can be wrong with it.
    serde_json::from_str(value.get()).map_err(|_| wrong("holds an escape that is no character"))
}

fn describe(value: &RawValue) -> Cow<'_, str> {
    match value.get().as_bytes().first() {
        Some(b'[') => "a list".into(),
        Some(b'{') => "an object".into(),
        Some(b'"') => "a string".into(),
        _ => short(value.get()),
    }
}

/// What was sent, as far as a message shows it.
pub fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<T: fmt::Debug>(
        json: &str,
        take: impl FnOnce(&mut Members<'_>) -> Result<T, MembersError>,
    ) -> String {
        take(&mut Members::read(json.as_bytes()).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn members_are_taken_once_each_and_the_rest_is_known_by_name() {
        let json = br#"{"a": "x", "b": null, "c": {"k": "v"}, "d": 1, "e": [], "d": 2}"#;
        let mut members = Members::read(json).unwrap();
        assert_eq!(members.required("a").unwrap(), "x");
        assert_eq!(members.nullable("b").unwrap(), None);
        assert_eq!(members.texts("c").unwrap().unwrap().get("k"), Some("v"));
        assert_eq!(members.text("z").unwrap(), None);
        assert_eq!(members.rest().collect::<Vec<_>>(), ["d", "e", "d"]);
    }

    #[test]
    fn every_complaint_begins_with_the_member() {
        assert_eq!(wrong("{}", |m| m.required("id")), "id: is required");
        assert_eq!(wrong(r#"{"id": 7}"#, |m| m.text("id")), "id: expected a string, found 7");
        assert_eq!(wrong(r#"{"id": null}"#, |m| m.text("id")), "id: expected a string, found null");
        assert_eq!(
            wrong(r#"{"id": ["x"]}"#, |m| m.nullable("id")),
            "id: expected a string, found a list"
        );
        assert_eq!(wrong(r#"{"id": "a", "id": "b"}"#, |m| m.text("id")), "id: is there twice");
        assert_eq!(
            wrong(r#"{"p": "x"}"#, |m| m.texts("p")),
            "p: expected an object of strings, found a string"
        );
        assert_eq!(
            wrong(r#"{"p": {"k": {}}}"#, |m| m.texts("p")),
            "p.k: expected a string, found an object"
        );
        assert_eq!(
            wrong(r#"{"p": {"k": "a", "j": "b", "k": "a"}}"#, |m| m.texts("p")),
            "p.k: is there twice"
        );
        assert!(wrong(r#"{"id": "\ud800"}"#, |m| m.text("id")).starts_with("id: "));
    }

    #[test]
    fn what_was_sent_is_shown_in_part_and_a_key_that_is_no_text_is_told_of_its_member() {
        let number = format!("{{\"id\": {}}}", "1".repeat(200_000));
        assert!(wrong(&number, |m| m.text("id")).len() < 200);
        let key = format!("{{\"p\": {{\"{}\": 1}}}}", "k".repeat(200_000));
        assert!(wrong(&key, |m| m.texts("p")).len() < 200);
        assert!(wrong(r#"{"p": {"\ud800": "x"}}"#, |m| m.texts("p")).starts_with("p: "));
    }

    #[test]
    fn what_is_no_object_is_said_in_words_of_json() {
        for json in ["[]", "7", "{", "", "{} {}"] {
            let error = Members::read(json.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("struct") && !error.is_empty(), "{json}: {error}");
        }
    }
}
