//! Optional texts: an empty one is an absent one, as the files of the Go program have it.

use serde::{Deserialize, Deserializer};

/// Reads an optional text; white space alone is nothing.
pub(super) fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.trim().is_empty()))
}
