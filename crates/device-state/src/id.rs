//! Identifiers and units of the state tier.

use std::fmt;
use std::time::Duration;

use lwm2m::RegistrationId;

use crate::artefact::ArtefactName;
use crate::name::DeviceName;
use crate::record::CredentialName;

/// A hash shard: one Raft group. All state of one endpoint is in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard that owns `endpoint` in a cluster of `shards` shards (at least 1).
    pub fn of_endpoint(endpoint: &DeviceName, shards: u16) -> Self {
        Self::of_bytes(endpoint.stored().as_bytes(), shards)
    }

    /// The shard that owns a credential.
    pub fn of_credential(name: &CredentialName, shards: u16) -> Self {
        if name.namespace.is_default() {
            return Self::of_bytes(name.id.as_bytes(), shards);
        }
        let mut bytes = name.namespace.qualify("").into_bytes();
        bytes.extend(name.id.as_bytes());
        Self::of_bytes(&bytes, shards)
    }

    /// The shard that has a package.
    pub fn of_artefact(name: &ArtefactName, shards: u16) -> Self {
        let key = name.namespace.qualify(&name.digest.to_hex());
        Self::of_bytes(key.as_bytes(), shards)
    }

    fn of_bytes(bytes: &[u8], shards: u16) -> Self {
        Self((spread(bytes.iter().copied()) % u64::from(shards.max(1))) as u16)
    }
}

/// FNV-1a with a final mix, so that names that follow each other lie far apart. Never change: the placement of every
/// stored row depends on it, and the order in which devices have their turn.
pub(crate) fn spread(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A node of the cluster, ingress or state. Random, chosen once per volume (state) or per process
/// start (ingress).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Makes a retried command exactly-once: `client` is random per caller process, `sequence` grows by
/// one per command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub client: u64,
    pub sequence: u64,
}

/// Position in a shard's history: the index of the log entry that caused a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Wall-clock time in milliseconds since 1970-01-01 UTC, as stamped by a leader or a front end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// A point that is never reached: "does not expire".
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `duration` later; saturates at [`Timestamp::NEVER`].
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// An operation on a device, unique within its shard; assigned by `apply` in log order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId {
    pub shard: ShardId,
    pub sequence: u64,
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.shard, self.sequence)
    }
}

/// How often the ownership of a DTLS session has moved; the upper 16 bits of its write sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionGeneration(pub u16);

/// Makes the id of a new registration: the shard as four hex digits, then `random` as sixteen. The
/// location tells a front end which shard to ask; the random part keeps ids of a device apart.
pub fn new_registration_id(shard: ShardId, random: u64) -> RegistrationId {
    RegistrationId::new(&format!("{:04x}{random:016x}", shard.0))
        .expect("twenty hex digits are a registration id")
}

/// The shard that a registration id names; `None` for an id that was not made by
/// [`new_registration_id`].
pub fn registration_shard(id: &RegistrationId) -> Option<ShardId> {
    let digits = id.as_str().get(..4)?;
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !digits.bytes().all(lower_hex) {
        return None;
    }
    u16::from_str_radix(digits, 16).ok().map(ShardId)
}
