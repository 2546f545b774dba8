//! Accounts of a device at servers: instances of Security (`/0`), OSCORE (`/21`) and Server (`/1`).

use std::fmt;
use std::time::Duration;

pub use device_state::CertificateUse;
use lwm2m::{Binding, Entry, Lifetime, Path, Value};
use rand::Rng;

use super::plan::BootstrapWrite;
use super::retry::RetryPolicy;

/// A key, which is in no `Debug` text.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial(Vec<u8>);

/// An account of a device at a management server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAccount {
    /// The instance of `/0`.
    pub security_instance: u16,
    /// The instance of `/1`.
    pub server_instance: u16,
    /// Where the server is, for example `coaps://lwm2m.example.com:5684`.
    pub uri: String,
    /// What the server is known by on the device, 1 to 65534.
    pub short_server_id: u16,
    /// How the device and the server know each other.
    pub security: AccountSecurity,
    /// OSCORE on top of that or in its place.
    pub oscore: Option<OscoreAccount>,
    /// How long a registration lives.
    pub lifetime: Lifetime,
    /// The transports. With queue mode for LwM2M 1.0 devices only, see [`Binding`].
    pub binding: Binding,
    /// Default of `pmin`.
    pub minimum_period: Option<u32>,
    /// Default of `pmax`.
    pub maximum_period: Option<u32>,
    /// How long the device waits before it goes to its bootstrap server by itself.
    pub hold_off: Option<Duration>,
    /// What the device does when the server does not answer.
    pub retry: RetryPolicy,
}

/// How a device and a server know each other.
#[derive(Clone, PartialEq, Eq)]
pub enum AccountSecurity {
    /// Not at all, or by OSCORE.
    NoSec,
    /// They have a key in common.
    Psk {
        /// At most 128 bytes.
        identity: Vec<u8>,
        /// At most 64 bytes.
        key: KeyMaterial,
    },
    /// Each knows the other's public key.
    RawPublicKey {
        /// SubjectPublicKeyInfo of the device (RFC 7250), DER.
        public_key: Vec<u8>,
        /// The device's, PKCS #8, DER.
        private_key: KeyMaterial,
        /// SubjectPublicKeyInfo of the server, DER.
        server_public_key: Vec<u8>,
    },
    /// They have certificates.
    Certificate {
        /// The device's, DER.
        certificate: Vec<u8>,
        /// The device's, PKCS #8, DER.
        private_key: KeyMaterial,
        server: ServerCertificate,
    },
}

/// How a device knows the certificate of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The server's or one above it, DER, or a hash of that.
    pub data: Vec<u8>,
    /// What `data` is; the certificate itself if `None`.
    pub matching_type: Option<MatchingType>,
    /// What the certificate is to the device; itself the server's if `None`.
    pub certificate_use: Option<CertificateUse>,
    /// The name to ask the server for (SNI); that of the URI if `None`.
    pub sni: Option<String>,
}

/// `/0/x/13` (RFC 6698 §2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchingType {
    /// 0
    Exact,
    /// 1
    Sha256,
    /// 2
    Sha384,
    /// 3
    Sha512,
}

/// An OSCORE context (RFC 8613), as the device has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OscoreAccount {
    /// The instance of `/21`.
    pub instance: u16,
    pub master_secret: KeyMaterial,
    pub master_salt: Option<KeyMaterial>,
    /// The device's Sender ID.
    pub sender_id: Vec<u8>,
    /// The device's Recipient ID, that is the server's Sender ID.
    pub recipient_id: Vec<u8>,
    pub id_context: Option<Vec<u8>>,
    /// COSE number of the AEAD algorithm; AES-CCM-16-64-128 (10) if `None`.
    pub aead_algorithm: Option<i32>,
    /// COSE number of the HMAC algorithm; HKDF SHA-256 (-10) if `None`.
    pub hmac_algorithm: Option<i32>,
}

impl KeyMaterial {
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn value(&self) -> Value {
        Value::Opaque(self.0.clone())
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyMaterial({} bytes)", self.0.len())
    }
}

impl fmt::Debug for AccountSecurity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSec => "NoSec",
            Self::Psk { .. } => "Psk",
            Self::RawPublicKey { .. } => "RawPublicKey",
            Self::Certificate { .. } => "Certificate",
        })
    }
}

impl ServerAccount {
    /// An account with the first Server instance and the second Security instance, the first one being as a rule that of
    /// the bootstrap server, and with defaults in all else.
    pub fn new(uri: &str, short_server_id: u16, security: AccountSecurity) -> Self {
        Self {
            security_instance: 1,
            server_instance: 0,
            uri: uri.to_owned(),
            short_server_id,
            security,
            oscore: None,
            lifetime: Lifetime::DEFAULT,
            binding: Binding::UDP,
            minimum_period: None,
            maximum_period: None,
            hold_off: None,
            retry: RetryPolicy::default(),
        }
    }

    /// The Security instance.
    pub(super) fn security(&self) -> BootstrapWrite {
        let instance = self.security_instance;
        let at = |id| Path::Resource(0, instance, id);
        let opaque = |id, bytes: &[u8]| Entry::new(at(id), Value::Opaque(bytes.to_vec()));
        let (mode, public, server, secret) = self.security.parts();
        let mut values = vec![
            Entry::new(at(0), Value::String(self.uri.clone())),
            Entry::new(at(1), Value::Boolean(false)),
            Entry::new(at(2), Value::Integer(mode)),
            opaque(3, public),
            opaque(4, server),
            opaque(5, secret),
            Entry::new(at(10), Value::Integer(self.short_server_id.into())),
        ];
        if let Some(hold_off) = self.hold_off {
            let seconds = i64::try_from(hold_off.as_secs()).unwrap_or(i64::MAX);
            values.push(Entry::new(at(11), Value::Integer(seconds)));
        }
        if let AccountSecurity::Certificate { server, .. } = &self.security {
            values.extend(server.entries(instance));
        }
        if let Some(oscore) = &self.oscore {
            let link = Value::ObjectLink {
                object: 21,
                instance: oscore.instance,
            };
            values.push(Entry::new(at(17), link));
        }
        BootstrapWrite {
            path: Path::ObjectInstance(0, instance),
            values,
        }
    }

    /// The OSCORE instance, if the account has one.
    pub(super) fn oscore(&self) -> Option<BootstrapWrite> {
        let oscore = self.oscore.as_ref()?;
        let at = |id| Path::Resource(21, oscore.instance, id);
        let opaque = |id, bytes: &[u8]| Entry::new(at(id), Value::Opaque(bytes.to_vec()));
        let number = |id, value: i32| Entry::new(at(id), Value::Integer(value.into()));
        let mut values = vec![
            Entry::new(at(0), oscore.master_secret.value()),
            opaque(1, &oscore.sender_id),
            opaque(2, &oscore.recipient_id),
        ];
        values.extend(oscore.aead_algorithm.map(|algorithm| number(3, algorithm)));
        values.extend(oscore.hmac_algorithm.map(|algorithm| number(4, algorithm)));
        let salt = oscore.master_salt.as_ref();
        values.extend(salt.map(|salt| Entry::new(at(5), salt.value())));
        values.extend(oscore.id_context.as_ref().map(|context| opaque(6, context)));
        Some(BootstrapWrite {
            path: Path::ObjectInstance(21, oscore.instance),
            values,
        })
    }

    /// The Server instance.
    pub(super) fn server(&self, rng: &mut impl Rng) -> BootstrapWrite {
        let instance = self.server_instance;
        let integer =
            |id, value: i64| Entry::new(Path::Resource(1, instance, id), Value::Integer(value));
        let mut values = vec![
            integer(0, self.short_server_id.into()),
            integer(1, self.lifetime.as_secs().into()),
        ];
        values.extend(self.minimum_period.map(|period| integer(2, period.into())));
        values.extend(self.maximum_period.map(|period| integer(3, period.into())));
        values.extend([
            // What happens while the server is away is stored and reported afterwards.
            Entry::new(Path::Resource(1, instance, 6), Value::Boolean(true)),
            Entry::new(
                Path::Resource(1, instance, 7),
                Value::String(self.binding.to_string()),
            ),
        ]);
        values.extend(self.retry.entries(instance, rng));
        BootstrapWrite {
            path: Path::ObjectInstance(1, instance),
            values,
        }
    }
}

impl AccountSecurity {
    /// `/0/x/2`, `/0/x/3`, `/0/x/4` and `/0/x/5`. They are mandatory, so what a mode does not need is empty.
    fn parts(&self) -> (i64, &[u8], &[u8], &[u8]) {
        match self {
            Self::NoSec => (3, &[], &[], &[]),
            Self::Psk { identity, key } => (0, identity, &[], &key.0),
            Self::RawPublicKey {
                public_key,
                private_key,
                server_public_key,
            } => (1, public_key, server_public_key, &private_key.0),
            Self::Certificate {
                certificate,
                private_key,
                server,
            } => (2, certificate, &server.data, &private_key.0),
        }
    }
}

impl ServerCertificate {
    /// `/0/x/13` to `/0/x/15`.
    fn entries(&self, instance: u16) -> impl Iterator<Item = Entry> {
        let at = move |id| Path::Resource(0, instance, id);
        let matching_type = self.matching_type.map(|kind| Value::Unsigned(kind as u64));
        let sni = self.sni.clone().map(Value::String);
        let certificate_use = self
            .certificate_use
            .map(|kind| Value::Unsigned(kind as u64));
        [(13, matching_type), (14, sni), (15, certificate_use)]
            .into_iter()
            .filter_map(move |(id, value)| Some(Entry::new(at(id), value?)))
    }
}
