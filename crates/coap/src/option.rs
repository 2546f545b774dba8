//! Options: their numbers, the ordered set a message carries, and the value formats.

use std::fmt;

/// Option numbers this crate understands.
pub mod number {
    pub const URI_HOST: u16 = 3;
    pub const ETAG: u16 = 4;
    pub const OBSERVE: u16 = 6;
    pub const URI_PORT: u16 = 7;
    pub const LOCATION_PATH: u16 = 8;
    pub const URI_PATH: u16 = 11;
    pub const CONTENT_FORMAT: u16 = 12;
    pub const MAX_AGE: u16 = 14;
    pub const URI_QUERY: u16 = 15;
    pub const ACCEPT: u16 = 17;
    pub const LOCATION_QUERY: u16 = 20;
    pub const BLOCK2: u16 = 23;
    pub const BLOCK1: u16 = 27;
    pub const SIZE2: u16 = 28;
    pub const PROXY_URI: u16 = 35;
    pub const PROXY_SCHEME: u16 = 39;
    pub const SIZE1: u16 = 60;
    /// RFC 9175, tells concurrent block-wise uploads to one resource apart.
    pub const REQUEST_TAG: u16 = 292;
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u16,
    len: u16,
    start: u32,
}

/// The options of a message in ascending order of their numbers; equal numbers keep the order in
/// which they were pushed.
///
/// Values lie in one buffer, so that a message costs two allocations however many options it has.
#[derive(Clone, Default)]
pub struct Options {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Options {
    pub(crate) fn with_capacity(entries: usize, bytes: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Adds a value. It is cut at 65,535 bytes, more than any option needs.
    pub fn push(&mut self, number: u16, value: &[u8]) {
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        let entry = Entry {
            number,
            len: value.len() as u16,
            start: self.bytes.len() as u32,
        };
        self.bytes.extend_from_slice(value);
        if self.entries.last().is_none_or(|last| last.number <= number) {
            self.entries.push(entry);
        } else {
            let at = self.entries.partition_point(|other| other.number <= number);
            self.entries.insert(at, entry);
        }
    }

    /// Adds an unsigned integer in its shortest form, zero as no bytes (RFC 7252 §3.2).
    pub fn push_uint(&mut self, number: u16, value: u32) {
        let bytes = value.to_be_bytes();
        let skip = (value.leading_zeros() / 8) as usize;
        self.push(number, bytes.get(skip..).unwrap_or_default());
    }

    /// Number and value of every option.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.entries.iter().map(|entry| {
            let start = entry.start as usize;
            let value = self.bytes.get(start..start + usize::from(entry.len));
            (entry.number, value.unwrap_or_default())
        })
    }

    /// The first value with this number.
    pub fn first(&self, number: u16) -> Option<&[u8]> {
        self.iter()
            .find(|(other, _)| *other == number)
            .map(|(_, value)| value)
    }

    /// No fewer bytes than the options take in a message.
    pub(crate) fn len_bound(&self) -> usize {
        self.entries.len() * 5 + self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many options there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Options {}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// An unsigned integer option of at most `max` bytes (leading zeros are tolerated), else `None`.
pub(crate) fn uint(value: &[u8], max: usize) -> Option<u32> {
    if value.len() > max.min(4) {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
    )
}

/// Names one version of a representation: 1 to 8 opaque bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ETag {
    len: u8,
    bytes: [u8; 8],
}

impl ETag {
    /// The tag with these bytes, `None` unless there are 1 to 8.
    pub fn new(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        if value.is_empty() {
            return None;
        }
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            len: value.len() as u8,
            bytes,
        })
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.len))
            .unwrap_or(&self.bytes)
    }

    /// A tag derived from the content, the same on every node that has the same bytes.
    pub(crate) fn of_content(body: &[u8]) -> Self {
        Self {
            len: 8,
            bytes: Fnv::new().bytes(body).finish().to_be_bytes(),
        }
    }
}

/// An option this crate passes through without understanding it
/// (see [`crate::Config::passed_options`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraOption {
    pub number: u16,
    pub value: Vec<u8>,
}

/// FNV-1a over 64 bits. Used where a peer can only confuse its own transfers by a collision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    /// One option, with its number and length so that `a/b` and `ab` differ.
    pub(crate) fn option(self, number: u16, value: &[u8]) -> Self {
        self.bytes(&number.to_be_bytes())
            .bytes(&(value.len() as u16).to_be_bytes())
            .bytes(value)
    }

    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_kept_in_order_of_number_then_of_pushing() {
        let mut options = Options::default();
        options.push(number::URI_QUERY, b"ep=a");
        options.push(number::URI_PATH, b"rd");
        options.push(number::URI_PATH, b"x");
        options.push_uint(number::OBSERVE, 0);
        let numbers: Vec<_> = options.iter().collect();
        assert_eq!(
            numbers,
            [(6, &b""[..]), (11, b"rd"), (11, b"x"), (15, b"ep=a")]
        );
        assert_eq!(options.first(number::URI_PATH), Some(&b"rd"[..]));
        assert_eq!(options.len(), 4);
    }

    #[test]
    fn integers_take_their_shortest_form() {
        for (value, bytes) in [
            (0, &[][..]),
            (1, &[1]),
            (256, &[1, 0]),
            (0x1_0000, &[1, 0, 0]),
            (u32::MAX, &[255; 4]),
        ] {
            let mut options = Options::default();
            options.push_uint(14, value);
            assert_eq!(options.first(14), Some(bytes));
            assert_eq!(uint(bytes, 4), Some(value));
        }
        assert_eq!(uint(&[1, 2, 3], 2), None);
    }

    #[test]
    fn entity_tags_hold_one_to_eight_bytes() {
        assert!(ETag::new(&[]).is_none() && ETag::new(&[0; 9]).is_none());
        assert_eq!(
            ETag::new(b"ab").map(|tag| tag.as_bytes().to_vec()),
            Some(b"ab".to_vec())
        );
        assert_ne!(ETag::of_content(b"one"), ETag::of_content(b"two"));
    }
}
