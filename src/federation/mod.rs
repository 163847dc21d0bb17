//! Node to node: what one node observed, and how another takes it in.
//!
//! | file | what |
//! | -- | -- |
//! | [`wire`] | what travels: paths, headers, bodies, limits |
//! | [`signature`] | the signature of a request, made and checked |
//! | [`files`] | files that manifests name, read anew when they change |
//! | [`secrets`] | shared secrets out of such files |
//! | [`tls`] | https out of such files, both ends |
//! | [`outbox`] | what originates here goes to the peers that are meant to have it |
//! | [`receiver`] | takes in what peers push |
//!
//! Clock, store and what only the controllers know are passed in.

#[cfg(test)]
pub(crate) mod authority;
pub mod files;
pub mod outbox;
pub mod receiver;
pub mod secrets;
pub mod signature;
pub mod tls;
pub mod wire;
