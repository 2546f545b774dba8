//! What a package has to be, and the package while it arrives.

use std::fmt;

use bytes::{Bytes, BytesMut};
use device_state::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::FetchError;

/// What a package has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Bytes, where that was declared.
    pub size: Option<u64>,
    /// SHA-256 of all bytes, where that was declared.
    pub digest: Option<Digest>,
    /// More bytes are never taken.
    pub limit: u64,
}

/// How large something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// So many bytes.
    Exactly(u64),
    /// More bytes than these; nobody waited for the rest.
    MoreThan(u64),
}

impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(bytes) => write!(formatter, "{bytes} bytes"),
            Self::MoreThan(bytes) => write!(formatter, "more than {bytes} bytes"),
        }
    }
}

impl Expected {
    /// Anything, up to a size.
    pub(crate) fn up_to(limit: u64) -> Self {
        Self {
            size: None,
            digest: None,
            limit,
        }
    }

    /// Whether a package of the declared size may be taken at all.
    pub(crate) fn check_declared(&self, place: &str) -> Result<(), FetchError> {
        match self.size {
            Some(size) if size > self.limit => Err(self.too_large(place)),
            _ => Ok(()),
        }
    }

    /// Whether it is worth beginning with a package that a server says is of this size.
    pub(crate) fn check_claimed(&self, place: &str, size: u64) -> Result<(), FetchError> {
        match self.size {
            Some(expected) if expected != size => {
                Err(mismatch(place, expected, Measured::Exactly(size)))
            }
            _ if size > self.limit => Err(self.too_large(place)),
            _ => Ok(()),
        }
    }

    /// What is wrong with one byte more than [`bound`](Self::bound).
    fn exceeded(&self, place: &str) -> FetchError {
        match self.size {
            Some(size) if size <= self.limit => mismatch(place, size, Measured::MoreThan(size)),
            _ => self.too_large(place),
        }
    }

    fn bound(&self) -> u64 {
        self.size.map_or(self.limit, |size| size.min(self.limit))
    }

    fn too_large(&self, place: &str) -> FetchError {
        FetchError::TooLarge {
            place: place.to_owned(),
            limit: self.limit,
        }
    }
}

fn mismatch(place: &str, expected: u64, actual: Measured) -> FetchError {
    FetchError::SizeMismatch {
        place: place.to_owned(),
        expected,
        actual,
    }
}

/// A package, as far as it has arrived.
pub(crate) struct Arrival<'a> {
    expected: &'a Expected,
    place: &'a str,
    /// Grows with what arrives, never with what somebody says will.
    bytes: BytesMut,
    hash: Sha256,
}

impl<'a> Arrival<'a> {
    pub(crate) fn new(expected: &'a Expected, place: &'a str) -> Self {
        Self {
            expected,
            place,
            bytes: BytesMut::new(),
            hash: Sha256::new(),
        }
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        let size = self.bytes.len() as u64 + chunk.len() as u64;
        if size > self.expected.bound() {
            return Err(self.expected.exceeded(self.place));
        }
        self.bytes.extend_from_slice(chunk);
        self.hash.update(chunk);
        Ok(())
    }

    /// The package, which is the expected one.
    pub(crate) fn finish(self) -> Result<Bytes, FetchError> {
        let size = self.bytes.len() as u64;
        self.expected.check_claimed(self.place, size)?;
        let actual = Digest(self.hash.finalize().into());
        match self.expected.digest {
            Some(expected) if expected != actual => Err(FetchError::DigestMismatch {
                place: self.place.to_owned(),
                expected,
                actual,
            }),
            _ => Ok(self.bytes.freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn arrive(expected: &Expected, chunks: &[&[u8]]) -> Result<Bytes, FetchError> {
        let mut arrival = Arrival::new(expected, "here");
        chunks.iter().try_for_each(|chunk| arrival.push(chunk))?;
        arrival.finish()
    }

    #[test]
    fn a_package_of_the_limit_is_taken_and_one_byte_more_is_not() {
        let expected = Expected::up_to(4);
        assert_eq!(arrive(&expected, &[b"ab", b"cd"]).unwrap(), "abcd");
        let error = arrive(&expected, &[b"ab", b"cde"]).unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 4, .. }));
    }

    #[test]
    fn a_package_has_the_declared_size() {
        let expected = Expected {
            size: Some(3),
            ..Expected::up_to(10)
        };
        assert_eq!(arrive(&expected, &[b"abc"]).unwrap(), "abc");
        let sized = |chunks: &[&[u8]]| match arrive(&expected, chunks).unwrap_err() {
            FetchError::SizeMismatch { actual, .. } => actual,
            other => panic!("{other}"),
        };
        assert_eq!(sized(&[b"ab"]), Measured::Exactly(2));
        assert_eq!(sized(&[b"ab", b"cd"]), Measured::MoreThan(3));
    }

    #[test]
    fn a_declared_size_above_the_limit_is_refused_before_anything_is_asked_for() {
        let expected = Expected {
            size: Some(11),
            ..Expected::up_to(10)
        };
        let error = expected.check_declared("here").unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 10, .. }));
    }

    #[test]
    fn a_package_has_the_declared_digest() {
        let digest = Digest(Sha256::digest(b"abc").into());
        let expected = Expected {
            digest: Some(digest),
            ..Expected::up_to(10)
        };
        assert_eq!(arrive(&expected, &[b"a", b"bc"]).unwrap(), "abc");
        let error = arrive(&expected, &[b"abd"]).unwrap_err();
        assert!(matches!(error, FetchError::DigestMismatch { .. }));
    }
}
