//! Key encoding: order-preserving and length-safe.
//!
//! The encoded bytes sort as the components do, and the encoding of the first components is a
//! prefix of the encoding of the whole key, so that "all events of a group" is one range. Text and
//! byte strings are escaped (`00` becomes `00 ff`) and terminated (`00 01`); integers are
//! big-endian; arrays of fixed length stand as they are.

use std::fmt::Debug;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xff;
const TERMINATOR: u8 = 0x01;

/// A key that can be written as ordered components and read back.
pub trait RecordKey: Sized + Clone + Send + 'static {
    /// Appends the components.
    fn encode(&self, writer: &mut KeyWriter);
    /// Reads the components in the order they were written.
    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;

    /// The whole key as bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = KeyWriter::new();
        self.encode(&mut writer);
        writer.finish()
    }

    /// Reads a whole key; bytes left over are an error.
    fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = KeyReader::new(bytes);
        let key = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(key)
    }
}

/// Why bytes are not a key of the expected shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key ends inside a component.
    #[error("the key ends inside a component")]
    Truncated,
    /// A zero byte is neither escaped nor a terminator.
    #[error("the key holds an escape that does not exist")]
    BadEscape,
    /// A text component is not UTF-8.
    #[error("the key holds text that is not UTF-8")]
    NotUtf8,
    /// Bytes follow the last component.
    #[error("the key holds more than its components")]
    TrailingBytes,
    /// A component has a value its type does not allow.
    #[error("the key holds a value that its type does not allow")]
    BadValue,
}

/// Builds the bytes of a key, component by component.
#[derive(Debug, Clone, Default)]
pub struct KeyWriter {
    bytes: Vec<u8>,
}

impl KeyWriter {
    /// An empty key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends text, escaped and terminated.
    pub fn str(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Appends a byte string, escaped and terminated.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            self.bytes.push(byte);
            if byte == ESCAPE {
                self.bytes.push(ESCAPED_ZERO);
            }
        }
        self.bytes.extend([ESCAPE, TERMINATOR]);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// Appends an integer, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Appends a signed integer so that negative values sort first.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.u64(value.cast_unsigned() ^ (1 << 63))
    }

    /// Appends bytes whose length the reader knows.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a UUID.
    pub fn uuid(&mut self, value: uuid::Uuid) -> &mut Self {
        self.fixed(value.as_bytes())
    }

    /// The finished bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads the components of a key in order.
#[derive(Debug, Clone)]
pub struct KeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads text.
    pub fn str(&mut self) -> Result<String, KeyError> {
        String::from_utf8(self.bytes()?).map_err(|_| KeyError::NotUtf8)
    }

    /// Reads a byte string.
    pub fn bytes(&mut self) -> Result<Vec<u8>, KeyError> {
        let mut out = Vec::new();
        loop {
            match self.u8()? {
                ESCAPE => match self.u8()? {
                    TERMINATOR => return Ok(out),
                    ESCAPED_ZERO => out.push(ESCAPE),
                    _ => return Err(KeyError::BadEscape),
                },
                byte => out.push(byte),
            }
        }
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Result<u8, KeyError> {
        let (&first, rest) = self.rest.split_first().ok_or(KeyError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    /// Reads an integer.
    pub fn u64(&mut self) -> Result<u64, KeyError> {
        self.fixed().map(u64::from_be_bytes)
    }

    /// Reads a signed integer.
    pub fn i64(&mut self) -> Result<i64, KeyError> {
        self.u64().map(|value| (value ^ (1 << 63)).cast_signed())
    }

    /// Reads `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(KeyError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Reads a UUID.
    pub fn uuid(&mut self) -> Result<uuid::Uuid, KeyError> {
        self.fixed().map(uuid::Uuid::from_bytes)
    }

    /// Ends the key: nothing may be left.
    pub fn finish(self) -> Result<(), KeyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(KeyError::TrailingBytes) }
    }
}

macro_rules! component {
    ($type:ty, $write:expr, $read:expr) => {
        impl RecordKey for $type {
            fn encode(&self, writer: &mut KeyWriter) {
                let write: fn(&mut KeyWriter, &Self) = $write;
                write(writer, self);
            }
            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                $read(reader)
            }
        }
    };
}

component!((), |_, ()| (), |_: &mut KeyReader<'_>| Ok(()));
component!(String, |w, v| _ = w.str(v), KeyReader::str);
component!(u8, |w, v| _ = w.u8(*v), KeyReader::u8);
component!(u64, |w, v| _ = w.u64(*v), KeyReader::u64);
component!(i64, |w, v| _ = w.i64(*v), KeyReader::i64);
component!([u8; 16], |w, v| _ = w.fixed(v), KeyReader::fixed);
component!([u8; 32], |w, v| _ = w.fixed(v), KeyReader::fixed);
component!(uuid::Uuid, |w, v| _ = w.uuid(*v), KeyReader::uuid);

macro_rules! tuple {
    ($($name:ident . $index:tt),+) => {
        impl<$($name: RecordKey),+> RecordKey for ($($name,)+) {
            fn encode(&self, writer: &mut KeyWriter) {
                $(self.$index.encode(writer);)+
            }
            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(($($name::decode(reader)?,)+))
            }
        }
    };
}

tuple!(A.0, B.1);
tuple!(A.0, B.1, C.2);
tuple!(A.0, B.1, C.2, D.3);
tuple!(A.0, B.1, C.2, D.3, E.4);

/// The smallest byte string greater than every one that starts with `prefix`; `None` if there is
/// none (the prefix is empty or all `ff`).
pub(super) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests;
