//! The Kinds: one file a group, plain structs that decode strictly.

pub mod config;
pub mod federation;
pub mod hybrid;
pub mod net;
pub mod plugin;
