//! Sender and Recipient IDs and ID Contexts.

use std::fmt;

/// A Sender or Recipient ID: 0 to 7 bytes (RFC 8613 §3.3 with a nonce of 13 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Identifier {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl Identifier {
    /// The longest one.
    pub const MAX: usize = 7;

    /// The identifier with these bytes, `None` above seven.
    pub fn new(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            length: value.len() as u8,
            bytes,
        })
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or(&self.bytes)
    }
}

/// An ID Context: 0 to 255 bytes, which the option's length byte allows.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdContext(Box<[u8]>);

impl IdContext {
    /// The ID Context with these bytes, `None` above 255.
    pub fn new(value: &[u8]) -> Option<Self> {
        (value.len() <= 255).then(|| Self(value.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_hex("Identifier", self.as_bytes(), f)
    }
}

impl fmt::Debug for IdContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_hex("IdContext", self.as_bytes(), f)
    }
}

fn debug_hex(name: &str, bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{name}(")?;
    for byte in bytes {
        write!(f, "{byte:02x}")?;
    }
    f.write_str(")")
}
