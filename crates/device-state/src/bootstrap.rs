//! How devices get their accounts (LwM2M Core 1.2 §6.1): profiles, and what came of the bootstraps.

use lwm2m::{Binding, EndpointName, Lifetime};

use crate::id::Timestamp;
use crate::name::{DeviceName, Namespace};

/// The accounts that a bootstrap gives to devices of a namespace. All profiles are in shard 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapProfile {
    /// Whose devices it is for.
    pub namespace: Namespace,
    /// For people; at most [`BootstrapProfile::MAX_NAME`] bytes.
    pub name: String,
    /// The devices that it is for, by the beginning of their names. Where several profiles fit, the
    /// one with the longest counts.
    pub endpoint_prefix: String,
    /// At least one, at most [`BootstrapProfile::MAX_SERVERS`], each with a short id of its own.
    pub servers: Vec<BootstrapServer>,
    /// Who may do what; nothing is said of it if there is none. At most [`BootstrapProfile::MAX_ACCESS`], each of another
    /// place.
    pub access: Vec<AccessRule>,
}

impl BootstrapProfile {
    /// The longest name in bytes.
    pub const MAX_NAME: usize = 64;
    /// The longest prefix in bytes.
    pub const MAX_PREFIX: usize = EndpointName::MAX_BYTES;
    /// More servers in one profile are refused.
    pub const MAX_SERVERS: usize = 4;
    /// More rules in one profile are refused.
    pub const MAX_ACCESS: usize = 16;
    /// More profiles of a namespace are refused.
    pub const MAX_PROFILES: usize = 256;

    /// Whether the profile is for this endpoint.
    pub fn fits(&self, endpoint: &DeviceName) -> bool {
        endpoint.is_in(&self.namespace)
            && endpoint.endpoint_str().starts_with(&self.endpoint_prefix)
    }
}

/// What the servers may do with an object instance of the device: an instance of Access Control (LwM2M Core 1.2 §8.2,
/// §E.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// `/2/x/0`
    pub object: u16,
    /// `/2/x/1`; `None` for the right to make instances of the object.
    pub instance: Option<u16>,
    /// `/2/x/2`: bits by short server id, of which 0 stands for all servers without an entry of their own.
    pub rights: Vec<(u16, u8)>,
    /// `/2/x/3`: the short server id that may change this, [`AccessRule::BOOTSTRAP_SERVER`] for no management server.
    pub owner: u16,
}

impl AccessRule {
    /// The owner of what only bootstrap servers change.
    pub const BOOTSTRAP_SERVER: u16 = u16::MAX;
    /// The instance that stands for making instances.
    pub const CREATION: u16 = u16::MAX;
    /// The letter of each right, the lowest bit first: read and observe, write, execute, delete, create.
    pub const LETTERS: [char; 5] = ['r', 'w', 'e', 'd', 'c'];
    /// The right to make instances, which is that of an object; the others are those of instances.
    pub const CREATE: u8 = 0b1_0000;
    /// All of them.
    pub const ALL_RIGHTS: u8 = 0b1_1111;
}

/// An account at a management server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapServer {
    /// `/0/x/0`, at most [`BootstrapServer::MAX_URI`] bytes.
    pub uri: String,
    /// `/0/x/10`, 1 to 65534.
    pub short_server_id: u16,
    pub security: BootstrapSecurity,
    pub lifetime: Lifetime,
    pub binding: Binding,
}

impl BootstrapServer {
    // LwM2M Core 1.2 §E.1: a URI of 0 to 255 bytes.
    /// The longest URI in bytes.
    pub const MAX_URI: usize = 255;
}

/// What the device and the server know each other by. What the device has is made for it, and the server knows it before
/// the device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootstrapSecurity {
    /// Nothing: for servers that serve without security.
    NoSec,
    /// A pre-shared key.
    Psk,
    /// A key pair (RFC 7250).
    RawPublicKey {
        /// SubjectPublicKeyInfo of the server, DER.
        server: Vec<u8>,
    },
    /// A key pair and a certificate of its public key, which the server trusts for that key.
    Certificate(ServerCertificate),
    /// An OSCORE context (RFC 8613), without security below it.
    Oscore,
}

impl BootstrapSecurity {
    /// The longest key or certificate of a server in bytes.
    pub const MAX_SERVER_KEY: usize = 4_096;

    /// Whether something is made for the device that nobody else may have.
    pub const fn has_secret(&self) -> bool {
        !matches!(self, Self::NoSec)
    }

    /// Whether it is used in DTLS or TLS.
    pub const fn is_of_transport(&self) -> bool {
        !matches!(self, Self::NoSec | Self::Oscore)
    }
}

/// How devices know the certificate of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The server's or one above it, DER; at most [`BootstrapSecurity::MAX_SERVER_KEY`] bytes.
    pub certificate: Vec<u8>,
    /// What `certificate` is to the device; itself the server's if `None`.
    pub usage: Option<CertificateUse>,
}

/// `/0/x/15` (RFC 6698 §2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateUse {
    /// 0: an authority through which the server's certificate must pass, besides the usual checks.
    CaConstraint,
    /// 1: the server's certificate, besides the usual checks.
    ServiceCertificateConstraint,
    /// 2: the authority to trust.
    TrustAnchorAssertion,
    /// 3: the server's certificate and nothing more.
    DomainIssuedCertificate,
}

/// What came of the last bootstrap of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapRecord {
    pub endpoint: DeviceName,
    /// The profile by which it got its accounts; empty if none fits.
    pub profile: String,
    pub outcome: BootstrapResult,
    /// How it went, for people; at most [`BootstrapRecord::MAX_DETAIL`] bytes.
    pub detail: String,
    pub at: Timestamp,
    /// Ids ([`CredentialId::as_bytes`](crate::CredentialId::as_bytes)) of what was made for the accounts
    /// that the device confirmed last, in this bootstrap or in one before; at most [`BootstrapProfile::MAX_SERVERS`].
    pub confirmed: Vec<Vec<u8>>,
}

impl BootstrapRecord {
    /// The longest detail in bytes.
    pub const MAX_DETAIL: usize = 2_048;
}

/// How a bootstrap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BootstrapResult {
    /// The device took its accounts and finds them consistent.
    Finished,
    /// All accounts were sent in one answer; whether the device takes them it tells by registering.
    PackDelivered,
    /// The device has no accounts of this bootstrap.
    Failed,
}
