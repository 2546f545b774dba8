//! Enrollment: which devices may register in a namespace, and as what.
//!
//! What is decided about a device that registers is told to `apply` by whoever proposes the registration
//! ([`Registration::enrollment`](crate::Registration::enrollment)); here is only what is stored.

use std::collections::BTreeMap;

use crate::label::{LabelKey, LabelValue};
use crate::name::Namespace;
use crate::record::{CredentialId, SecurityIdentity};

/// What becomes of devices that register. All policies are in shard 0. Of those that are about a device the one of the
/// highest priority decides, of several the one whose name comes first; a device that none is about registers as ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentPolicy {
    /// Whose devices it is about.
    pub namespace: Namespace,
    /// At most [`EnrollmentPolicy::MAX_NAME`] bytes.
    pub name: String,
    /// For people; at most [`EnrollmentPolicy::MAX_DESCRIPTION`] bytes.
    pub description: String,
    /// From 0 to [`EnrollmentPolicy::MAX_PRIORITY`].
    pub priority: u32,
    pub criteria: EnrollmentCriteria,
    pub action: EnrollmentAction,
    /// By what a device has to prove who it is: one that does by something else, or not at all, is denied. `None`: by
    /// anything.
    pub proof: Option<EnrollmentProof>,
    /// Devices that it lets in get those of these labels that they have no other value of.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Registered devices; `None`: any number.
    pub max_devices: Option<u64>,
    /// Devices that are not under it yet and register in a second, at each state node; `None`: any number.
    pub registrations_per_second: Option<u32>,
}

/// Whom a policy is about: who meets all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EnrollmentCriteria {
    /// A regular expression of the whole endpoint name; at most [`EnrollmentPolicy::MAX_PATTERN`] bytes, empty for any.
    pub endpoint_pattern: String,
    /// How the identity of the pre-shared key begins by which the device proved who it is; at most
    /// [`EnrollmentPolicy::MAX_PREFIX`] bytes, empty for any device, however it did.
    pub psk_identity_prefix: String,
}

/// What becomes of a device that a policy is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EnrollmentAction {
    /// It registers.
    #[default]
    Admit,
    /// It registers, but no profile counts for it, and what changes it waits until it is admitted.
    Quarantine,
    /// It does not register.
    Deny,
}

/// By what a device proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnrollmentProof {
    /// The secret of a PSK identity.
    Psk,
    /// The private key of a raw public key or of a certificate that is stored for the device.
    PublicKey,
    /// The private key of a certificate that an authority vouches for.
    Certificate,
    /// An OSCORE context.
    Oscore,
}

impl EnrollmentProof {
    /// By what a device of this identity did; `None` if it has proved nothing.
    pub const fn of(identity: &SecurityIdentity) -> Option<Self> {
        Some(match identity {
            SecurityIdentity::Unauthenticated => return None,
            SecurityIdentity::Credential(CredentialId::PskIdentity(_)) => Self::Psk,
            SecurityIdentity::Credential(CredentialId::PublicKey(_)) => Self::PublicKey,
            SecurityIdentity::Credential(CredentialId::OscoreId(_)) => Self::Oscore,
            SecurityIdentity::CertificateNames(_) => Self::Certificate,
        })
    }
}

impl EnrollmentPolicy {
    /// As what a device of this identity registers that the policy is about; `None` if it does not.
    pub fn standing_of(&self, identity: &SecurityIdentity) -> Option<EnrollmentStanding> {
        if self.proof.is_some() && self.proof != EnrollmentProof::of(identity) {
            return None;
        }
        match self.action {
            EnrollmentAction::Admit => Some(EnrollmentStanding::Admitted),
            EnrollmentAction::Quarantine => Some(EnrollmentStanding::Quarantined),
            EnrollmentAction::Deny => None,
        }
    }

    /// The longest name in bytes.
    pub const MAX_NAME: usize = 63;
    /// The longest description in bytes.
    pub const MAX_DESCRIPTION: usize = 1_024;
    /// The highest priority.
    pub const MAX_PRIORITY: u32 = 1_000_000;
    /// The longest pattern in bytes.
    pub const MAX_PATTERN: usize = 512;
    /// The longest prefix in bytes.
    // RFC 4279 §5.3: identities of 128 octets have to be supported.
    pub const MAX_PREFIX: usize = 128;
    /// More labels are refused.
    pub const MAX_LABELS: usize = 16;
    /// More policies of a namespace are refused.
    pub const MAX_POLICIES: usize = 256;
}

/// By which policy a device is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// The name of the policy.
    pub policy: String,
    pub standing: EnrollmentStanding,
    /// What the device gets ([`EnrollmentPolicy::labels`]); none in what is stored, as they are labels of the device then.
    pub labels: BTreeMap<LabelKey, LabelValue>,
}

impl Enrollment {
    /// What of it is stored.
    pub(crate) fn stored(self) -> Self {
        Self {
            labels: BTreeMap::new(),
            ..self
        }
    }
}

/// As what a device is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnrollmentStanding {
    Admitted,
    Quarantined,
}

/// Registered devices of a shard under one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EnrollmentTally {
    pub admitted: u64,
    pub quarantined: u64,
}

impl EnrollmentTally {
    /// The number of devices of this standing.
    pub(crate) const fn of(&mut self, standing: EnrollmentStanding) -> &mut u64 {
        match standing {
            EnrollmentStanding::Admitted => &mut self.admitted,
            EnrollmentStanding::Quarantined => &mut self.quarantined,
        }
    }

    /// Both together.
    pub const fn devices(self) -> u64 {
        self.admitted.saturating_add(self.quarantined)
    }
}
