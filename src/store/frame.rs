//! The frame around every stored value: schema version, flags, checksum.
//!
//! `flags u8 | schema u16 | crc32c u32 | payload`, integers little-endian. The checksum covers the
//! key too, so that a value under another row's key is found. A payload above
//! [`CHUNK_BYTES`] is stored in pieces under [`CHUNK_PREFIX`] keys and the row
//! itself holds a [`ChunkIndex`]: sled writes large values to files that it never syncs, so no
//! stored value may come near that limit. Pieces are named by the checksum of the whole, so a
//! reader can never assemble two versions of one record.

use super::record::CHUNK_PREFIX;

/// The largest encoded record, in bytes.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// The largest payload of one stored value; with its frame it stays below 64 KiB.
pub(super) const CHUNK_BYTES: usize = 60 * 1024;

const HEADER_BYTES: usize = 7;
const FLAG_CHUNKED: u8 = 1;
const CHUNK_INDEX_BYTES: usize = 8;

/// Why stored bytes are not a readable value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a frame, or of a form this program does not write.
    #[error("the value is not in a frame")]
    NotAFrame,
    /// The bytes changed since they were written.
    #[error("the checksum does not match")]
    Checksum,
    /// A piece of a large record is missing.
    #[error("a piece of the record is missing")]
    MissingPiece,
    /// The pieces do not add up to the record.
    #[error("the pieces do not add up to the record")]
    WrongPieces,
}

/// What stands in the row of a record that is stored in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkIndex {
    /// Length of the whole payload in bytes.
    pub length: u32,
    /// Checksum of the whole payload, also the pieces' name.
    pub crc: u32,
}

/// A frame taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub schema: u16,
    pub body: Body<'a>,
}

/// Either the payload, or where its pieces are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Whole(&'a [u8]),
    Chunked(ChunkIndex),
}

fn checksum(key: &[u8], flags: u8, schema: [u8; 2], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &[flags, schema[0], schema[1]]);
    crc32c::crc32c_append(crc, payload)
}

fn seal(key: &[u8], flags: u8, schema: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    out.resize(HEADER_BYTES, 0);
    out.extend_from_slice(payload);
    finish(key, flags, schema, &mut out);
    out
}

/// Writes the header of a value whose payload is in its place.
fn finish(key: &[u8], flags: u8, schema: u16, value: &mut [u8]) {
    let (header, payload) = value.split_at_mut(HEADER_BYTES);
    let schema = schema.to_le_bytes();
    let crc = checksum(key, flags, schema, payload).to_le_bytes();
    header.copy_from_slice(&[flags, schema[0], schema[1], crc[0], crc[1], crc[2], crc[3]]);
}

/// A payload that is being written, with room for its header before it and for most records behind.
pub(super) struct Draft(Vec<u8>);

impl Draft {
    /// An empty one.
    pub(super) fn new() -> Self {
        let mut value = Vec::with_capacity(640);
        value.resize(HEADER_BYTES, 0);
        Self(value)
    }

    /// Where the payload is written to.
    pub(super) fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Bytes of the payload.
    pub(super) fn len(&self) -> usize {
        self.0.len() - HEADER_BYTES
    }

    /// The rows that store it under `key`: the row itself, or its index and its pieces.
    pub(super) fn rows(mut self, key: Vec<u8>, schema: u16, mut put: impl FnMut(Vec<u8>, Vec<u8>)) {
        if self.len() <= CHUNK_BYTES {
            finish(&key, 0, schema, &mut self.0);
            if self.0.capacity() > 2 * self.0.len() {
                // Rows wait in memory for their group.
                self.0.shrink_to_fit();
            }
            put(key, self.0);
            return;
        }
        for (key, value) in encode(&key, schema, &self.0[HEADER_BYTES..]) {
            put(key, value);
        }
    }
}

/// The rows that store `payload` under `key`: the row itself, then its pieces, if any.
pub(super) fn encode(key: &[u8], schema: u16, payload: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    if payload.len() <= CHUNK_BYTES {
        return vec![(key.to_vec(), seal(key, 0, schema, payload))];
    }
    let length = u32::try_from(payload.len()).expect("records are at most 16 MiB");
    let index = ChunkIndex { length, crc: crc32c::crc32c(payload) };
    let mut head = Vec::with_capacity(CHUNK_INDEX_BYTES);
    head.extend(index.length.to_le_bytes());
    head.extend(index.crc.to_le_bytes());
    let mut rows = vec![(key.to_vec(), seal(key, FLAG_CHUNKED, schema, &head))];
    for (piece_key, piece) in index.piece_keys(key).zip(payload.chunks(CHUNK_BYTES)) {
        let value = seal(&piece_key, 0, schema, piece);
        rows.push((piece_key, value));
    }
    rows
}

/// Takes a stored value apart after checking it.
pub(super) fn decode<'a>(key: &[u8], value: &'a [u8]) -> Result<Frame<'a>, FrameError> {
    let (&[flags, s0, s1, ref crc @ ..], payload) =
        value.split_first_chunk::<HEADER_BYTES>().ok_or(FrameError::NotAFrame)?;
    if checksum(key, flags, [s0, s1], payload) != u32::from_le_bytes(*crc) {
        return Err(FrameError::Checksum);
    }
    let body = match flags {
        0 => Body::Whole(payload),
        FLAG_CHUNKED => Body::Chunked(ChunkIndex::decode(payload)?),
        _ => return Err(FrameError::NotAFrame),
    };
    Ok(Frame { schema: u16::from_le_bytes([s0, s1]), body })
}

/// The checksum that a stored value carries, unchecked; 0 for what is no frame.
pub(super) fn stored_checksum(value: &[u8]) -> u32 {
    match value {
        &[_, _, _, c0, c1, c2, c3, ..] => u32::from_le_bytes([c0, c1, c2, c3]),
        _ => 0,
    }
}

impl ChunkIndex {
    fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let &[l0, l1, l2, l3, c0, c1, c2, c3] = payload else {
            return Err(FrameError::NotAFrame);
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length as usize > MAX_RECORD_BYTES {
            return Err(FrameError::NotAFrame);
        }
        Ok(Self { length, crc: u32::from_le_bytes([c0, c1, c2, c3]) })
    }

    /// The keys of the pieces, in order.
    pub(super) fn piece_keys(self, key: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let count = (self.length as usize).div_ceil(CHUNK_BYTES);
        let mut writer = super::KeyWriter::new();
        writer.u8(CHUNK_PREFIX).bytes(key).fixed(&self.crc.to_be_bytes());
        let stem = writer.finish();
        (0..count).map(move |number| {
            let number = u16::try_from(number).expect("16 MiB are fewer than 65536 pieces");
            [&stem[..], &number.to_be_bytes()].concat()
        })
    }

    /// Puts the payload together, reading each piece with `get`.
    pub(super) fn assemble<E: From<FrameError>>(
        self,
        key: &[u8],
        mut get: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Vec<u8>, E> {
        let mut payload = Vec::with_capacity(self.length as usize);
        for piece_key in self.piece_keys(key) {
            let value = get(&piece_key)?.ok_or(FrameError::MissingPiece)?;
            match decode(&piece_key, &value)?.body {
                Body::Whole(piece) => payload.extend_from_slice(piece),
                Body::Chunked(_) => return Err(FrameError::WrongPieces.into()),
            }
        }
        if payload.len() != self.length as usize || crc32c::crc32c(&payload) != self.crc {
            return Err(FrameError::WrongPieces.into());
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests;
