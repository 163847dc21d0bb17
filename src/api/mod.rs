//! The words of the program: Kinds, events, facts, parts, runs and their pure rules.
//!
//! Nothing here does I/O, reads a clock or knows how anything is stored. Every other layer speaks
//! in these types, so a rule that can be decided from values alone is decided here, once.

pub mod accepted;
pub mod clock;
pub mod condition;
pub mod decode;
pub mod delivery;
pub mod duration;
pub mod event;
pub mod fact;
pub mod kinds;
pub mod members;
pub mod object;
pub mod part;
pub mod payload;
pub mod plugin;
pub mod run;
pub mod stored_time;
pub mod value;
pub mod yaml;

/// An instant in UTC, as RFC 3339 on the outside.
pub type Time = jiff::Timestamp;
