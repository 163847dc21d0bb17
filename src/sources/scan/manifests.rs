//! The decoder of the product: documents by the Kinds.

use super::{Claim, Decoder};
use crate::api::kinds::decode::{Item, decode_document};
use crate::api::yaml::Node;

/// Reads documents as the Kinds have them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manifests;

impl Decoder for Manifests {
    fn decode(&self, document: u32, node: &Node) -> Vec<Claim> {
        let claim = |item: Item| match item.outcome {
            Ok(decoded) => {
                let place = (document, item.index, decoded.pos);
                Claim::fit(place, decoded.resource, decoded.typed, decoded.notes)
            }
            Err(rejected) => {
                let place = (document, item.index, rejected.pos);
                Claim::refused(place, rejected.key, rejected.problems, rejected.hides)
            }
        };
        decode_document(node).into_iter().map(claim).collect()
    }
}
