//! routerd: facts that one router observes become desired state on another.
//!
//! Read `daemon` from top to bottom for the wiring, and `ARCHITECTURE.md` for the reasons. The
//! layers, each of which imports only those above it in this list (`tests/layering.rs` enforces it):

pub mod api;
pub mod cli;
pub mod control;
pub mod controllers;
pub mod daemon;
pub mod federation;
pub mod plugin;
pub mod render;
pub mod runtime;
pub mod sources;
pub mod store;
