//! The Kinds: one file a group of plain structs, and what is known of a Kind as such.
//!
//! Pure. The path of a manifest is `decode::decode_document` → `classify` (which Kind is this?) →
//! the Kind's struct, strictly → its `check` (what the types cannot say) → a `Spec`.

mod advice;
mod check;
pub mod claim;
pub mod classify;
pub mod config;
pub mod decode;
pub mod federation;
pub mod hybrid;
mod metadata;
pub mod net;
mod optional;
mod place;
pub mod plugin;
pub mod redact;
pub mod references;
pub mod registry;
pub mod router;
mod schema;
pub mod spec;
