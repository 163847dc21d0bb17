//! The program's own decoder: a document to the claims of the Kinds in it.

use super::scan::Claim;
use crate::api::kinds::decode::{Item, decode_document};
use crate::api::yaml::Node;

/// What a document claims, by the rules of the Kinds.
pub fn claims(document: u32, node: &Node) -> Vec<Claim> {
    let claim = |Item { index, outcome }| match outcome {
        Ok(decoded) => Claim::fit(
            (document, index, decoded.pos),
            decoded.resource,
            decoded.typed,
            decoded.notes,
        ),
        Err(rejected) => Claim::refused(
            (document, index, rejected.pos),
            rejected.key,
            rejected.problems,
            rejected.hides,
        ),
    };
    decode_document(node).into_iter().map(claim).collect()
}
