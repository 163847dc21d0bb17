//! Manifests as text: YAML (and JSON, its subset) to positioned nodes, and values back to YAML.
//!
//! This module may touch text only: no files, no Kinds. It exists because operators' files need
//! more than a typed reader gives: where every node stands, how every scalar was written, and a
//! bound on what hostile input costs. `docs/adr/0002-reading-yaml.md` has the reasons.

mod build;
pub mod emit;
pub mod node;
pub mod parse;
pub mod scalar;
mod surrogates;

pub use emit::{emit, emit_into};
pub use node::{Entry, Key, Node, NodeKind, Pos};
pub use parse::{Documents, Limits, YamlError, parse_documents};
pub use scalar::{Resolved, Scalar};
