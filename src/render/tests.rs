//! The rules as sentences, and the index held equal to the definition.

mod document;
pub(super) mod fixtures;
mod histories;
mod reading;
mod rules;
