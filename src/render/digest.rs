//! A digest of an ordered list that costs the same to keep after each change, however long the
//! list is.
//!
//! Pure. Each entry is hashed together with the identity of the one before it, and the hashes are
//! added up modulo 2^256. Identities are unique in the list, so the set of links gives back the
//! order: equal digests mean equal bytes, and moving a file without moving its resources moves
//! nothing. It tells change from no change; it is no signature.

use sha2::{Digest as _, Sha256};

use super::document::Header;
use super::proposal::Origin;
use crate::api::object::ObjectKey;
use crate::api::yaml::emit;

/// The digest of one resource as shown.
pub(super) type Content = [u8; 32];

/// The digest of what `origin` shows.
pub(super) fn content(origin: &Origin) -> Content {
    Sha256::digest(emit(&origin.body()).as_bytes()).into()
}

/// The digest of everything around the resources.
pub(super) fn header(header: &Header) -> Content {
    Sha256::digest(emit(&header.value()).as_bytes()).into()
}

/// What an entry adds to the sum.
pub(super) fn link(previous: Option<&ObjectKey>, content: &Content) -> Content {
    let mut hash = Sha256::new();
    if let Some(key) = previous {
        for word in [&key.api_version, &key.kind, &key.name] {
            hash.update((word.len() as u64).to_be_bytes());
            hash.update(word.as_bytes());
        }
    }
    hash.update(content);
    hash.finalize().into()
}

/// A sum of hashes modulo 2^256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    /// Adds a hash.
    pub(super) fn add(&mut self, hash: &Content) {
        let mut carry = false;
        for (limb, word) in self.0.iter_mut().zip(words(hash)) {
            let (sum, over) = limb.overflowing_add(word);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || over_again);
        }
    }

    /// Takes a hash away again.
    pub(super) fn remove(&mut self, hash: &Content) {
        let mut borrow = false;
        for (limb, word) in self.0.iter_mut().zip(words(hash)) {
            let (rest, under) = limb.overflowing_sub(word);
            let (rest, under_again) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, under || under_again);
        }
    }

    /// The digest of the list under `header`, in hex.
    pub(super) fn finish(mut self, header: &Content) -> String {
        self.add(header);
        let bytes: Vec<u8> = self.0.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
        hex::encode(bytes)
    }
}

fn words(hash: &Content) -> impl Iterator<Item = u64> + '_ {
    hash.chunks_exact(8)
        .map(|chunk| chunk.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_can_be_taken_away_in_any_order() {
        let hashes: Vec<Content> = (0u8..9).map(|n| Sha256::digest([n]).into()).collect();
        let mut sum = Sum::default();
        for hash in hashes.iter().chain([&[0xff; 32]; 3]) {
            sum.add(hash);
        }
        assert_ne!(sum, Sum::default());
        for hash in [&[0xff; 32]; 3].into_iter().chain(hashes.iter().rev()) {
            sum.remove(hash);
        }
        assert_eq!(sum, Sum::default());
    }
}
