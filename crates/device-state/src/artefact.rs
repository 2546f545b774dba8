//! Artefacts: packages that devices get from the cluster itself, known by what they consist of.
//!
//! ```text
//!  BeginArtefact ──▶ Arriving ── a chunk, in any order ──▶ … ── the last one ──▶ Complete
//!                       └── an hour without the rest: gone
//! ```
//!
//! Whoever begins one has all of it and has checked its digest, so that two who store the same one write the same rows.

use std::fmt;
use std::str::FromStr;

use lwm2m::{Entry, Operation, Value};
use thiserror::Error;

use crate::campaign::UpdateObject;
use crate::id::Timestamp;
use crate::name::Namespace;

/// The scheme of URIs of packages in this cluster.
const PACKAGE_SCHEME: &str = "drover:";

/// SHA-256 of all bytes of a package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; Self::BYTES]);

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a digest is sha256: and 64 hex digits")]
pub struct DigestError;

impl Digest {
    pub const BYTES: usize = 32;
    /// Stands before the hex digits.
    pub const ALGORITHM: &'static str = "sha256:";

    /// From the 64 hex digits alone.
    pub fn from_hex(digits: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; Self::BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| DigestError)?;
        Ok(Self(bytes))
    }

    /// What Package URI (`/5/0/1`) is given for the package in this cluster. No device reads it: ingress nodes make of it
    /// a URI that the device reaches them by.
    pub fn package_uri(&self) -> String {
        format!("{PACKAGE_SCHEME}{self}")
    }

    /// The package of such a URI; `None` for any other URI.
    pub fn of_package_uri(uri: &str) -> Option<Self> {
        uri.strip_prefix(PACKAGE_SCHEME)?.parse().ok()
    }

    /// The 64 hex digits alone.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::from_hex(text.strip_prefix(Self::ALGORITHM).ok_or(DigestError)?)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::ALGORITHM, self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The package that a Write is to bring to the device, where its value is the URI of one in this cluster and not the bytes.
/// Nobody but campaigns asks for that; a device behind a gateway is brought none.
pub fn pushed_package(operation: &Operation) -> Option<Digest> {
    let Operation::Write { values, .. } = operation else {
        return None;
    };
    match values.as_slice() {
        [
            Entry {
                path,
                value: Value::String(uri),
                ..
            },
        ] if UpdateObject::takes_package(*path) => Digest::of_package_uri(uri),
        _ => None,
    }
}

/// What a package is found by. The order is that of the keys of its rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtefactName {
    /// Whose devices fetch it.
    pub namespace: Namespace,
    pub digest: Digest,
}

/// A package, without its bytes. All of it is in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    pub name: ArtefactName,
    /// Bytes, 1 to [`Artefact::MAX_SIZE`].
    pub size: u64,
    /// What people call it, such as the name of a file; at most [`Artefact::MAX_TITLE`] bytes.
    pub title: String,
    /// When it was begun.
    pub created_at: Timestamp,
    pub state: ArtefactState,
}

/// How much of a package is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtefactState {
    Arriving {
        /// Bytes of the chunks that are stored, fewer than all.
        stored: u64,
        /// It goes then, unless it is complete.
        until: Timestamp,
    },
    Complete,
}

/// A part of a package. All but the last one are [`ArtefactChunk::BYTES`] long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtefactChunk {
    pub artefact: ArtefactName,
    /// 0 for the first one.
    pub number: u32,
    pub bytes: Vec<u8>,
}

impl Artefact {
    /// The largest package in bytes. Devices that are managed over LwM2M have little flash memory; this is far above it.
    pub const MAX_SIZE: u64 = 64 << 20;
    /// The longest title in bytes.
    pub const MAX_TITLE: usize = 255;

    /// How many chunks it has.
    pub const fn chunks(&self) -> u32 {
        self.size.div_ceil(ArtefactChunk::BYTES) as u32
    }

    /// How long a chunk of it is; `None` if there is none of this number.
    pub fn chunk_length(&self, number: u32) -> Option<u64> {
        let before = u64::from(number) * ArtefactChunk::BYTES;
        let rest = self.size.checked_sub(before).filter(|rest| *rest > 0)?;
        Some(rest.min(ArtefactChunk::BYTES))
    }

    /// When it goes by itself.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        match self.state {
            ArtefactState::Arriving { until, .. } => Some(until),
            ArtefactState::Complete => None,
        }
    }
}

impl ArtefactChunk {
    /// Bytes of a chunk: far below what one command may have, and few enough of them for the largest package.
    pub const BYTES: u64 = 64 << 10;
}
