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
//!
//! Clock, store and what only the controllers know are passed in.

pub mod files;
pub mod outbox;
pub mod secrets;
pub mod signature;
pub mod tls;
pub mod wire;
