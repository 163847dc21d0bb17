//! What a document claims: resources that fit, or the reasons why they do not.
//!
//! Pure. The decoder is passed in, so that reading files knows nothing of Kinds.

use sha2::{Digest, Sha256};

use crate::api::decode::Problem;
use crate::api::object::{ObjectKey, Resource};
use crate::api::value::canonical_bytes;
use crate::api::yaml::{Node, Pos};

/// The longest `apiVersion` and `kind`, in bytes: both are part of a stored key.
const MAX_WORD: usize = 253;
/// The largest resource, in bytes of its canonical form.
const MAX_RESOURCE: usize = 4 << 20;

/// Reads one document into what it claims, in order: one resource, or a Router and those in it.
pub trait Decoder: Send + Sync + 'static {
    /// The claims of a document; `document` is its number in the file, from 0.
    fn decode(&self, document: u32, node: &Node) -> Vec<Claim>;
}

impl<F: Fn(u32, &Node) -> Vec<Claim> + Send + Sync + 'static> Decoder for F {
    fn decode(&self, document: u32, node: &Node) -> Vec<Claim> {
        self(document, node)
    }
}

/// One resource in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The document in the file, from 0.
    pub document: u32,
    /// The place in `spec.resources` of a Router, from 0.
    pub index: Option<u32>,
    /// Where it stands.
    pub pos: Pos,
    /// What it is.
    pub outcome: Result<Fit, Refusal>,
}

/// A resource that can be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The resource.
    pub resource: Resource,
    /// SHA-256 in hex of the canonical form of the body: what a new generation is told by.
    pub digest: String,
    /// Whether the Kind is one that we know.
    pub typed: bool,
    /// What was ignored.
    pub notes: Vec<Problem>,
}

/// A resource that cannot be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Its identity, if that much can be read.
    pub key: Option<ObjectKey>,
    /// What is wrong with it; never empty.
    pub problems: Vec<Problem>,
    /// Whether other resources may be hidden in it, such as those of a Router that cannot be read.
    pub may_hide_others: bool,
}

impl Claim {
    /// A claim of a resource that fits, or its refusal when it is too large to be kept.
    pub fn fit(
        (document, index, pos): (u32, Option<u32>, Pos),
        resource: Resource,
        typed: bool,
        notes: Vec<Problem>,
    ) -> Self {
        let canonical = canonical_bytes(&resource.body);
        let outcome = match too_large(&resource.key, canonical.len()) {
            None => {
                let digest = hex::encode(Sha256::digest(&canonical));
                Ok(Fit { resource, digest, typed, notes })
            }
            Some(message) => {
                let problem = Problem { pos: Some(pos), path: String::new(), message, hint: None };
                let key = (resource.key.api_version.len() <= MAX_WORD
                    && resource.key.kind.len() <= MAX_WORD)
                    .then_some(resource.key);
                Err(Refusal { key, problems: vec![problem], may_hide_others: false })
            }
        };
        Self { document, index, pos, outcome }
    }

    /// A claim that is refused. One without an identity may be any resource; a Router may hide
    /// those in it.
    pub fn refused(
        (document, index, pos): (u32, Option<u32>, Pos),
        key: Option<ObjectKey>,
        problems: Vec<Problem>,
        may_hide_others: bool,
    ) -> Self {
        Self { document, index, pos, outcome: Err(Refusal { key, problems, may_hide_others }) }
    }

    /// The identity, if it could be read.
    pub fn key(&self) -> Option<&ObjectKey> {
        match &self.outcome {
            Ok(fit) => Some(&fit.resource.key),
            Err(refusal) => refusal.key.as_ref(),
        }
    }

    /// Whether a resource that is not seen in the file may be this one, or in it.
    pub fn may_hide_others(&self) -> bool {
        matches!(&self.outcome, Err(refusal) if refusal.may_hide_others || refusal.key.is_none())
    }
}

fn too_large(key: &ObjectKey, bytes: usize) -> Option<String> {
    for (field, word) in [("apiVersion", &key.api_version), ("kind", &key.kind)] {
        if word.len() > MAX_WORD {
            return Some(format!("{field} is {} bytes, at most {MAX_WORD}", word.len()));
        }
    }
    (bytes > MAX_RESOURCE).then(|| format!("is {bytes} bytes, at most {MAX_RESOURCE} are kept"))
}
