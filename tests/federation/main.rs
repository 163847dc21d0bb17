//! Two real nodes on loopback with a proxy between them that loses, doubles, cuts and stalls.
//!
//! After healing, every live fact and retraction is on the other node, none twice as an effect, and
//! none dead-lettered that should not be. Run them by `cargo test --test federation`.

#[expect(dead_code, unused_imports, reason = "the end-to-end tests use the rest of it")]
#[path = "../e2e/harness/mod.rs"]
mod harness;

mod clock;
mod disk;
mod faults;
mod pair;
mod proxy;
mod show;
