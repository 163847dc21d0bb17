//! The file: a mark, a version, then pieces until the one that says that all is there.
//!
//! `"routerd backup\n" | format u16 | piece…`, and each piece is `length u32 | crc32c u32 | body`,
//! integers little-endian; the checksum covers the length too. The first byte of a body says what
//! it is. A row may come more than once, and be taken back: the last word counts. The end carries
//! a digest of all that was before it, so that a file that lost a piece whole is found as well.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::meta::RowDelta;
use crate::store::{MAX_RECORD_BYTES, Revision};

const MARK: &[u8] = b"routerd backup\n";
/// The version of this layout.
const FORMAT: u16 = 1;
const PIECE_HEAD_BYTES: usize = 8;
/// A record with its key, and room.
const MAX_PIECE_BYTES: usize = MAX_RECORD_BYTES + 64 * 1024;

const HEADER: u8 = b'h';
const PUT: u8 = b'p';
const DELETE: u8 = b'd';
const END: u8 = b'e';
const GIVEN_UP: u8 = b'x';

/// What a backup says of itself before its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupHeader {
    /// The store that was backed up.
    pub store_id: uuid::Uuid,
    /// The version of its data.
    pub schema: u16,
    /// When it was begun.
    pub made_at: jiff::Timestamp,
    /// The version of the program.
    pub made_by: String,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// What it says of itself.
    pub header: BackupHeader,
    /// The revision of the store that it is.
    pub revision: Revision,
    /// Bytes of the file.
    pub bytes: u64,
    /// What the rows of that store add up to.
    pub(super) rows: RowDelta,
}

/// The last piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    revision: Revision,
    rows: u64,
    rows_digest: u64,
    #[serde(with = "hex::serde")]
    sha256: [u8; 32],
}

/// A row, whole, or that there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    Put { key: Vec<u8>, schema: u16, payload: Vec<u8> },
    Delete { key: Vec<u8> },
}

/// Why a file is not a backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBackup {
    /// The system refused.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It never was one.
    #[error("it is not a backup of routerd's")]
    NotABackup,
    /// It has no end.
    #[error("it is cut short: it breaks off after {at} bytes")]
    CutShort {
        /// Its length.
        at: u64,
    },
    /// Its bytes changed.
    #[error("it is damaged at byte {at}: {why}")]
    Damaged {
        /// Where the piece begins that is not as it was written.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Whoever made it could not go on.
    #[error("it was given up: {0}")]
    GivenUp(String),
    /// The layout is a later one.
    #[error(
        "it has format {found}, newer than the {FORMAT} this program knows; use the newer program"
    )]
    NewerFormat {
        /// The file's version.
        found: u16,
    },
    /// The data are those of a newer program.
    #[error(
        "its data have schema {found}, newer than the {known} this program knows; \
         use the newer program"
    )]
    NewerSchema {
        /// The version in the file.
        found: u16,
        /// The newest version this program reads.
        known: u16,
    },
}

/// Writes the file, piece by piece.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    sha256: Sha256,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(out: &'a mut dyn Write, header: &BackupHeader) -> io::Result<Self> {
        let mut writer = Self { out, sha256: Sha256::new() };
        writer.write(MARK)?;
        writer.write(&FORMAT.to_le_bytes())?;
        writer.piece(HEADER, &[&serde_json::to_vec(header)?])?;
        Ok(writer)
    }

    pub(super) fn row(&mut self, row: &Row) -> io::Result<()> {
        match row {
            Row::Put { key, schema, payload } => {
                let length = u16::try_from(key.len()).map_err(io::Error::other)?;
                let head = [schema.to_le_bytes(), length.to_le_bytes()].concat();
                self.piece(PUT, &[&head, key, payload])
            }
            Row::Delete { key } => self.piece(DELETE, &[key]),
        }
    }

    pub(super) fn end(mut self, revision: Revision, rows: RowDelta) -> io::Result<()> {
        let sha256 = self.sha256.clone().finalize().into();
        let end = End { revision, rows: rows.count, rows_digest: rows.digest, sha256 };
        self.piece(END, &[&serde_json::to_vec(&end)?])?;
        self.out.flush()
    }

    /// Ends a file that cannot be finished, so that its reader knows why.
    pub(super) fn give_up(mut self, why: &str) -> io::Result<()> {
        self.piece(GIVEN_UP, &[why.as_bytes()])?;
        self.out.flush()
    }

    fn piece(&mut self, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
        let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
        let length = u32::try_from(length).map_err(io::Error::other)?.to_le_bytes();
        let mut crc = crc32c::crc32c_append(crc32c::crc32c(&length), &[tag]);
        for part in parts {
            crc = crc32c::crc32c_append(crc, part);
        }
        self.write(&length)?;
        self.write(&crc.to_le_bytes())?;
        self.write(&[tag])?;
        parts.iter().try_for_each(|part| self.write(part))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sha256.update(bytes);
        self.out.write_all(bytes)
    }
}

/// Reads the file, piece by piece, and trusts none that is not what was written.
pub(super) struct Reader<R> {
    input: R,
    sha256: Sha256,
    at: u64,
    header: BackupHeader,
}

impl<R: Read> Reader<R> {
    /// Reads up to the first row. `schema` is the newest version of the data that is known.
    pub(super) fn begin(mut input: R, schema: u16) -> Result<Self, BadBackup> {
        let mut start = [0; MARK.len() + 2];
        let got = fill(&mut input, &mut start)?;
        let (mark, format) = start.split_at(MARK.len());
        if !got.starts_with_mark(mark) {
            return Err(BadBackup::NotABackup);
        }
        if got.0 < start.len() {
            return Err(BadBackup::CutShort { at: got.0 as u64 });
        }
        let format = u16::from_le_bytes([format[0], format[1]]);
        if format > FORMAT {
            return Err(BadBackup::NewerFormat { found: format });
        }
        let header = BackupHeader {
            store_id: uuid::Uuid::nil(),
            schema: 0,
            made_at: jiff::Timestamp::UNIX_EPOCH,
            made_by: String::new(),
        };
        let sha256 = Sha256::new_with_prefix(start);
        let mut reader = Self { input, sha256, at: start.len() as u64, header };
        let at = reader.at;
        let damaged = |why| BadBackup::Damaged { at, why };
        let piece = reader.piece()?;
        match piece.split_first() {
            Some((&HEADER, json)) => {
                reader.header = serde_json::from_slice(json)
                    .map_err(|_| damaged("its header does not read"))?;
            }
            _ => return Err(damaged("it does not begin with its header")),
        }
        let found = reader.header.schema;
        if found > schema {
            return Err(BadBackup::NewerSchema { found, known: schema });
        }
        Ok(reader)
    }

    /// The next row, or what the backup holds: then it was read to its end, and is whole.
    pub(super) fn next(&mut self) -> Result<Result<Row, BackupSummary>, BadBackup> {
        let at = self.at;
        let damaged = |why| BadBackup::Damaged { at, why };
        let so_far = self.sha256.clone();
        let piece = self.piece()?;
        let (&tag, body) = piece.split_first().ok_or_else(|| damaged("a piece is empty"))?;
        match tag {
            PUT => row(body).map(Ok).ok_or_else(|| damaged("a row is too short")),
            DELETE => Ok(Ok(Row::Delete { key: body.to_vec() })),
            GIVEN_UP => Err(BadBackup::GivenUp(String::from_utf8_lossy(body).into_owned())),
            END => {
                let end: End =
                    serde_json::from_slice(body).map_err(|_| damaged("its end does not read"))?;
                if end.sha256 != <[u8; 32]>::from(so_far.finalize()) {
                    return Err(damaged("the digest of the whole does not match"));
                }
                if fill(&mut self.input, &mut [0])?.0 > 0 {
                    return Err(BadBackup::Damaged {
                        at: self.at,
                        why: "something follows its end",
                    });
                }
                Ok(Err(BackupSummary {
                    header: self.header.clone(),
                    revision: end.revision,
                    bytes: self.at,
                    rows: RowDelta { count: end.rows, digest: end.rows_digest },
                }))
            }
            _ => Err(damaged("a piece is of no known sort")),
        }
    }

    fn piece(&mut self) -> Result<Vec<u8>, BadBackup> {
        let at = self.at;
        let damaged = |why| BadBackup::Damaged { at, why };
        let mut head = [0; PIECE_HEAD_BYTES];
        self.exactly(&mut head)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_PIECE_BYTES {
            return Err(damaged("a length that no piece has"));
        }
        let mut body = vec![0; length];
        self.exactly(&mut body)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..4]), &body);
        if crc != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(damaged("the checksum does not match"));
        }
        Ok(body)
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<(), BadBackup> {
        let got = fill(&mut self.input, buffer)?.0;
        self.at += got as u64;
        if got < buffer.len() {
            return Err(BadBackup::CutShort { at: self.at });
        }
        self.sha256.update(buffer);
        Ok(())
    }
}

fn row(body: &[u8]) -> Option<Row> {
    let (&[s0, s1, k0, k1], rest) = body.split_first_chunk()?;
    let length = usize::from(u16::from_le_bytes([k0, k1]));
    let (key, payload) = rest.split_at_checked(length)?;
    let schema = u16::from_le_bytes([s0, s1]);
    Some(Row::Put { key: key.to_vec(), schema, payload: payload.to_vec() })
}

/// How many bytes there were.
struct Got(usize);

impl Got {
    /// Whether what was read is the mark, or as much of it as there is. An empty file is none.
    fn starts_with_mark(&self, read: &[u8]) -> bool {
        let length = self.0.min(MARK.len());
        length > 0 && read[..length] == MARK[..length]
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<Got> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Got(got))
}

/// Reads a backup to its end. `schema` is the newest version of the data that is known.
pub fn verify(input: impl Read, schema: u16) -> Result<BackupSummary, BadBackup> {
    let mut reader = Reader::begin(input, schema)?;
    loop {
        if let Err(summary) = reader.next()? {
            return Ok(summary);
        }
    }
}

impl BackupSummary {
    /// Rows of the store.
    pub fn rows(&self) -> u64 {
        self.rows.count
    }
}
