//! The signature of a request: lowercase hex HMAC-SHA256 of `timestamp + "\n" + body`.
//!
//! Pure. Both ends use it, so what one signs the other verifies; `tests/vectors/hmac.json` holds
//! both to the field's own values.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a signature; twice as many hex digits.
pub const LENGTH: usize = 32;

/// Bytes of a secret that nobody guesses: 128 bits, if they are random.
pub const ENOUGH: usize = 16;

/// A secret, ready to sign and to verify. Wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct Key {
    mac: Hmac<Sha256>,
    short: bool,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The key of a secret; see [`secrets`](super::secrets) for what of a file is the secret.
    pub fn new(secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Self { mac, short: secret.len() < ENOUGH }
    }

    /// Whether the secret is below [`ENOUGH`] bytes: who records one signed request can try them all.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// The signature of a body sent at `timestamp` (unix seconds), as the header has it.
    pub fn sign(&self, timestamp: i64, body: &[u8]) -> String {
        hex::encode(self.over(&timestamp.to_string(), body).finalize().into_bytes())
    }

    /// Whether `signature` is this key's over the timestamp, as it stood in its header, and the
    /// body. Takes the same time wherever the first wrong byte is.
    pub fn verifies(&self, timestamp: &str, body: &[u8], signature: &[u8; LENGTH]) -> bool {
        self.over(timestamp, body).verify_slice(signature).is_ok()
    }

    fn over(&self, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(timestamp.as_bytes());
        mac.update(b"\n");
        mac.update(body);
        mac
    }
}

/// Reads a signature as the header has it: 64 lowercase hex digits and nothing else.
pub fn parse(header: &[u8]) -> Option<[u8; LENGTH]> {
    if header.len() != LENGTH * 2 || header.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut signature = [0; LENGTH];
    hex::decode_to_slice(header, &mut signature).ok()?;
    Some(signature)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        secret: String,
        timestamp: i64,
        body: String,
        signature: String,
    }

    fn vectors() -> Vec<Vector> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/hmac.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn the_vectors_of_the_protocol_are_signed_and_verified() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 4);
        for v in vectors {
            let key = Key::new(v.secret.as_bytes());
            assert_eq!(key.sign(v.timestamp, v.body.as_bytes()), v.signature);
            let signature = parse(v.signature.as_bytes()).unwrap();
            assert!(key.verifies(&v.timestamp.to_string(), v.body.as_bytes(), &signature));
        }
    }

    #[test]
    fn only_sixty_four_lowercase_digits_are_a_signature() {
        let good = "ab".repeat(32);
        assert_eq!(parse(good.as_bytes()), Some([0xab; 32]));
        let twice = good.repeat(2);
        for bad in
            ["", &good[1..], &good[..62], &twice, &good.to_uppercase(), &good.replace('b', "g")]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn one_changed_bit_of_key_timestamp_body_or_signature_is_noticed(
            secret in prop::collection::vec(any::<u8>(), 1..80),
            timestamp in 0i64..5_000_000_000,
            body in prop::collection::vec(any::<u8>(), 1..200),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let key = Key::new(&secret);
            let text = timestamp.to_string();
            let signature = parse(key.sign(timestamp, &body).as_bytes()).unwrap();
            prop_assert!(key.verifies(&text, &body, &signature));
            let mut other = body.clone();
            other[at.index(body.len())] ^= 1 << bit;
            prop_assert!(!key.verifies(&text, &other, &signature));
            let mut wrong = signature;
            wrong[at.index(LENGTH)] ^= 1 << bit;
            prop_assert!(!key.verifies(&text, &body, &wrong));
            prop_assert!(!key.verifies(&(timestamp + 1).to_string(), &body, &signature));
            let mut secret = secret;
            let at = at.index(secret.len());
            secret[at] ^= 1 << bit;
            prop_assert!(!Key::new(&secret).verifies(&text, &body, &signature));
        }
    }
}
