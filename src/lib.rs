//! routerd: facts that one router observes become desired state on another.
//!
//! Read [`daemon`] from top to bottom for the wiring, and `ARCHITECTURE.md` for the reasons. The
//! layers, lowest first; each imports only from the ones named (`tests/layering.rs` enforces it):
//!
//! | module | may import |
//! | -- | -- |
//! | [`api`] | nothing of ours |
//! | [`runtime`] | nothing of ours |
//! | [`store`] | api |
//! | [`sources`] | api, store, runtime |
//! | [`plugin`] | api |
//! | [`render`] | api |
//! | [`controllers`] | all above |
//! | [`federation`] | api, store, runtime |
//! | [`control`] | api, store, render, runtime |
//! | [`cli`] | api, control, render, store, sources, plugin, controllers |
//! | [`daemon`] | all |
//! | [`kit`] | api |
//!
//! [`kit`] is for programs beside this one: nothing in here uses it.

// The wall clock and new processes have one place each: see clippy.toml. Unit tests are free.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod api;
pub mod cli;
pub mod control;
pub mod controllers;
pub mod daemon;
pub mod federation;
pub mod kit;
pub mod plugin;
pub mod render;
pub mod runtime;
pub mod sources;
pub mod store;
