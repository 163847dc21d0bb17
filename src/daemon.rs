//! The wiring.

pub mod node;
