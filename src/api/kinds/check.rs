//! What the types cannot say about a spec: bounds, addresses, fields that exclude each other.
//!
//! Pure. One file a group, one `check` a Kind; every complaint stands at its field and says what
//! would be right.

mod config;
mod federation;
mod hybrid;
mod net;
mod plugin;
mod router;
mod words;

#[cfg(test)]
mod tests;
