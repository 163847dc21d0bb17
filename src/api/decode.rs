//! Nodes to typed specs, strictly, with every complaint placed where the operator can mend it.
//!
//! Pure: trees in, types or problems out. It exists because serde's own readers of YAML stop at
//! the first unknown field, know the place of few errors and of no field inside an enum, and read
//! `DEBUG: 1` as no string. Specs stay plain `#[derive(Deserialize)]` structs; unknown fields are
//! found here whether or not a struct says `deny_unknown_fields`. `untagged`, internally `tag`ged
//! and `flatten`ed types go through serde's own buffer, which loses places: do not use them in
//! specs.

mod access;
mod de;
mod error;
mod key;
pub(in crate::api) mod path;
mod problem;
mod suggest;
mod tree;

use std::cell::RefCell;

use serde::de::DeserializeOwned;

pub use self::problem::Problem;
pub use self::suggest::{nearest, nearest_within};

use self::de::De;
use self::path::Path;
use self::tree::Tree;
use crate::api::value::Value;
use crate::api::yaml::Node;

/// Decodes a node. `base` is its path in the document (`spec`, or empty for the document itself).
///
/// A null field is an absent one. The error holds every fault and unknown field found, and the
/// first value that does not fit, in the order of the file.
pub fn decode<T: DeserializeOwned>(node: &Node, base: &str) -> Result<T, Vec<Problem>> {
    refuse_faults(node, base)?;
    strict(node, base)
}

/// Decodes a value that was stored or came as JSON: as [`decode`], without places.
pub fn decode_value<T: DeserializeOwned>(value: &Value, base: &str) -> Result<T, Vec<Problem>> {
    strict(value, base)
}

/// Decodes a node and reports unknown fields beside the result instead of refusing them.
pub fn decode_tolerant<T: DeserializeOwned>(
    node: &Node,
    base: &str,
) -> Result<(T, Vec<Problem>), Vec<Problem>> {
    refuse_faults(node, base)?;
    tolerant(node, base)
}

/// Decodes a value and reports unknown fields beside the result instead of refusing them.
pub fn decode_value_tolerant<T: DeserializeOwned>(
    value: &Value,
    base: &str,
) -> Result<(T, Vec<Problem>), Vec<Problem>> {
    tolerant(value, base)
}

fn refuse_faults(node: &Node, base: &str) -> Result<(), Vec<Problem>> {
    let faults = node.faults(base);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn strict<T: DeserializeOwned>(tree: &impl Tree, base: &str) -> Result<T, Vec<Problem>> {
    match tolerant(tree, base)? {
        (decoded, unknown) if unknown.is_empty() => Ok(decoded),
        (_, unknown) => Err(unknown),
    }
}

fn tolerant<T: DeserializeOwned>(
    tree: &impl Tree,
    base: &str,
) -> Result<(T, Vec<Problem>), Vec<Problem>> {
    let unknown = RefCell::new(Vec::new());
    let root = Path::root(base);
    let outcome = T::deserialize(De::new(tree, &root, &unknown));
    let mut problems = unknown.into_inner();
    match outcome {
        Ok(decoded) => {
            problems.sort_by_key(|problem| problem.pos);
            Ok((decoded, problems))
        }
        Err(error) => {
            problems.push(error.into_problem());
            problems.sort_by_key(|problem| problem.pos);
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests;
