//! Accounts as a device has them, and whether they make sense.

use std::fmt;
use std::time::Duration;

use lwm2m::{Binding, Entry, Lifetime, LwM2mVersion, Path, Value};

use super::config::BootstrapAccount;
use super::store::{OSCORE, SECURITY, SERVER, Store};
use crate::config::Config;

/// An account at a management server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccount {
    /// The instance of `/0`.
    pub security_instance: u16,
    /// The instance of `/1`.
    pub server_instance: u16,
    /// Where the server is.
    pub uri: String,
    /// `/1/x/0`.
    pub short_server_id: u16,
    /// How the device and the server know each other.
    pub security: StoredSecurity,
    /// OSCORE on top of that or in its place.
    pub oscore: Option<StoredOscore>,
    /// How long a registration lives.
    pub lifetime: Lifetime,
    /// The transports.
    pub binding: Binding,
    /// What to do when the server does not answer.
    pub retry: StoredRetry,
}

/// How a device and a server know each other.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredSecurity {
    /// Not at all, or by OSCORE.
    NoSec,
    /// They have a key in common.
    Psk { identity: Vec<u8>, key: Vec<u8> },
    /// Each knows the other's public key.
    RawPublicKey {
        public_key: Vec<u8>,
        private_key: Vec<u8>,
        server_public_key: Vec<u8>,
    },
    /// They have certificates.
    Certificate {
        certificate: Vec<u8>,
        private_key: Vec<u8>,
        server_certificate: Vec<u8>,
        /// `/0/x/13`; 0, the certificate itself, by default.
        matching_type: u64,
        /// `/0/x/15`; 3, the server's own, by default.
        certificate_use: u64,
        /// `/0/x/14`.
        sni: Option<String>,
    },
}

/// An instance of the OSCORE object.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredOscore {
    /// The instance of `/21`.
    pub instance: u16,
    pub master_secret: Vec<u8>,
    pub master_salt: Vec<u8>,
    pub sender_id: Vec<u8>,
    pub recipient_id: Vec<u8>,
    pub id_context: Option<Vec<u8>>,
    /// COSE number.
    pub aead_algorithm: i64,
    /// COSE number.
    pub hmac_algorithm: i64,
}

/// `/1/x/13` to `/1/x/20`, with the defaults of LwM2M Core 1.2 §6.2.1 where nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRetry {
    pub priority_order: Option<u64>,
    pub initial_delay: Duration,
    pub failure_block: bool,
    pub bootstrap_on_failure: bool,
    pub retry_count: u64,
    pub retry_timer: Duration,
    pub sequence_delay: Duration,
    pub sequence_retry_count: u64,
}

impl StoredAccount {
    /// Has a device register as the account says.
    pub fn configure(&self, config: &mut Config) {
        // From LwM2M 1.1 on, `/1/x/7` says nothing of the queue mode.
        let queue = match config.version {
            LwM2mVersion::V1_0 => self.binding.queue_mode(),
            LwM2mVersion::V1_1 | LwM2mVersion::V1_2 => config.binding.queue_mode(),
        };
        config.binding = self.binding.with_queue_mode(queue);
        config.lifetime = self.lifetime;
        config.short_server_id = self.short_server_id;
    }
}

/// Without keys.
impl fmt::Debug for StoredSecurity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSec => "NoSec",
            Self::Psk { .. } => "Psk",
            Self::RawPublicKey { .. } => "RawPublicKey",
            Self::Certificate { .. } => "Certificate",
        })
    }
}

/// Without keys.
impl fmt::Debug for StoredOscore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredOscore")
            .field("instance", &self.instance)
            .field("sender_id", &self.sender_id)
            .field("recipient_id", &self.recipient_id)
            .finish_non_exhaustive()
    }
}

impl StoredSecurity {
    /// `/0/x/2`, `/0/x/3`, `/0/x/4` and `/0/x/5`.
    fn parts(&self) -> (i64, &[u8], &[u8], &[u8]) {
        match self {
            Self::NoSec => (3, &[], &[], &[]),
            Self::Psk { identity, key } => (0, identity, &[], key),
            Self::RawPublicKey {
                public_key,
                private_key,
                server_public_key,
            } => (1, public_key, server_public_key, private_key),
            Self::Certificate {
                certificate,
                private_key,
                server_certificate,
                ..
            } => (2, certificate, server_certificate, private_key),
        }
    }

    fn stored(store: &Store, instance: u16) -> Option<Self> {
        let at = |id| Path::Resource(SECURITY, instance, id);
        let part = |id| opaque(store, at(id));
        let needed = |id| part(id).filter(|bytes| !bytes.is_empty());
        let mode = integer(store, at(2))?;
        Some(match mode {
            0 => Self::Psk {
                identity: needed(3)?,
                key: needed(5)?,
            },
            1 => Self::RawPublicKey {
                public_key: needed(3)?,
                server_public_key: needed(4)?,
                private_key: needed(5)?,
            },
            2 => Self::Certificate {
                certificate: needed(3)?,
                server_certificate: part(4)?,
                private_key: needed(5)?,
                matching_type: unsigned(store, at(13)).unwrap_or(0),
                certificate_use: unsigned(store, at(15)).unwrap_or(3),
                sni: text(store, at(14)),
            },
            3 => Self::NoSec,
            // Certificate mode with EST is not built.
            _ => return None,
        })
    }
}

impl BootstrapAccount {
    /// The account as values of `/0` and `/21`.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let at = |id| Path::Resource(SECURITY, self.security_instance, id);
        let (mode, public, server, secret) = self.security.parts();
        let mut entries = vec![
            Entry::new(at(0), Value::String(self.uri.clone())),
            Entry::new(at(1), Value::Boolean(true)),
            Entry::new(at(2), Value::Integer(mode)),
        ];
        for (id, bytes) in [(3, public), (4, server), (5, secret)] {
            entries.push(Entry::new(at(id), Value::Opaque(bytes.to_vec())));
        }
        if let Some(oscore) = &self.oscore {
            let link = Value::ObjectLink {
                object: OSCORE,
                instance: oscore.instance,
            };
            entries.push(Entry::new(at(17), link));
            entries.extend(oscore.entries());
        }
        entries
    }
}

impl StoredOscore {
    fn entries(&self) -> Vec<Entry> {
        let at = |id| Path::Resource(OSCORE, self.instance, id);
        let opaque = |id, bytes: &[u8]| Entry::new(at(id), Value::Opaque(bytes.to_vec()));
        let mut entries = vec![
            opaque(0, &self.master_secret),
            opaque(1, &self.sender_id),
            opaque(2, &self.recipient_id),
            Entry::new(at(3), Value::Integer(self.aead_algorithm)),
            Entry::new(at(4), Value::Integer(self.hmac_algorithm)),
            opaque(5, &self.master_salt),
        ];
        entries.extend(self.id_context.as_ref().map(|context| opaque(6, context)));
        entries
    }

    fn stored(store: &Store, instance: u16) -> Option<Self> {
        let at = |id| Path::Resource(OSCORE, instance, id);
        Some(Self {
            instance,
            master_secret: opaque(store, at(0))?,
            sender_id: opaque(store, at(1))?,
            recipient_id: opaque(store, at(2))?,
            // RFC 8613 §3.2: AES-CCM-16-64-128 and HKDF SHA-256 unless something else is agreed.
            aead_algorithm: integer(store, at(3)).unwrap_or(10),
            hmac_algorithm: integer(store, at(4)).unwrap_or(-10),
            master_salt: opaque(store, at(5)).unwrap_or_default(),
            id_context: opaque(store, at(6)),
        })
    }
}

/// The accounts at management servers; `None` if they are inconsistent or there is none.
///
/// LwM2M Core 1.2 §6.1.7, Bootstrap-Finish: each Security instance has its Server instance, of the same short server id,
/// each Server instance its Security instance, and both have what is mandatory.
pub(super) fn accounts(store: &Store) -> Option<Vec<StoredAccount>> {
    let mut servers = store.instances(SERVER);
    let mut accounts = Vec::new();
    for security in store.instances(SECURITY) {
        if store.is_bootstrap_account(Path::ObjectInstance(SECURITY, security)) {
            continue;
        }
        let id = integer(store, Path::Resource(SECURITY, security, 10))?;
        let server = servers
            .iter()
            .copied()
            .find(|server| integer(store, Path::Resource(SERVER, *server, 0)) == Some(id))?;
        servers.remove(&server);
        accounts.push(account(store, security, server, id)?);
    }
    (servers.is_empty() && !accounts.is_empty()).then_some(accounts)
}

fn account(store: &Store, security: u16, server: u16, id: i64) -> Option<StoredAccount> {
    let at = |id| Path::Resource(SERVER, server, id);
    let oscore = match store.oscore_of(security) {
        None => None,
        Some(instance) => Some(StoredOscore::stored(store, instance)?),
    };
    store.value(at(6))?;
    let lifetime = integer(store, at(1))?;
    Some(StoredAccount {
        security_instance: security,
        server_instance: server,
        uri: text(store, Path::Resource(SECURITY, security, 0)).filter(|uri| !uri.is_empty())?,
        short_server_id: u16::try_from(id)
            .ok()
            .filter(|id| (1..65535).contains(id))?,
        security: StoredSecurity::stored(store, security)?,
        oscore,
        lifetime: Lifetime::from_secs(u32::try_from(lifetime).ok()?),
        binding: text(store, at(7))?.parse().ok()?,
        retry: StoredRetry::stored(store, server),
    })
}

impl StoredRetry {
    fn stored(store: &Store, server: u16) -> Self {
        let at = |id| Path::Resource(SERVER, server, id);
        let number = |id| unsigned(store, at(id));
        let wait = |id| number(id).map(Duration::from_secs);
        let flag = |id| match store.value(at(id)) {
            Some(Value::Boolean(flag)) => Some(*flag),
            _ => None,
        };
        Self {
            priority_order: number(13),
            initial_delay: wait(14).unwrap_or_default(),
            failure_block: flag(15).unwrap_or(false),
            bootstrap_on_failure: flag(16).unwrap_or(true),
            retry_count: number(17).unwrap_or(5),
            retry_timer: wait(18).unwrap_or(Duration::from_secs(60)),
            sequence_delay: wait(19).unwrap_or(Duration::from_hours(24)),
            sequence_retry_count: number(20).unwrap_or(1),
        }
    }

    /// The wait after each attempt that fails, until the device goes to its bootstrap server.
    pub fn waits(&self) -> impl Iterator<Item = Duration> + use<> {
        let retry = *self;
        let attempts = (0..retry.sequence_retry_count).flat_map(move |sequence| {
            (0..retry.retry_count).map(move |attempt| (sequence, attempt))
        });
        attempts.map(move |(sequence, attempt)| {
            let factor = 1_u32.checked_shl(u32::try_from(attempt).unwrap_or(u32::MAX));
            let wait = retry.retry_timer.saturating_mul(factor.unwrap_or(u32::MAX));
            let is_last = attempt + 1 == retry.retry_count;
            if is_last && sequence + 1 < retry.sequence_retry_count {
                wait.saturating_add(retry.sequence_delay)
            } else {
                wait
            }
        })
    }
}

fn integer(store: &Store, path: Path) -> Option<i64> {
    match store.value(path)? {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}

fn unsigned(store: &Store, path: Path) -> Option<u64> {
    match store.value(path)? {
        Value::Unsigned(number) => Some(*number),
        _ => None,
    }
}

fn text(store: &Store, path: Path) -> Option<String> {
    match store.value(path)? {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn opaque(store: &Store, path: Path) -> Option<Vec<u8>> {
    match store.value(path)? {
        Value::Opaque(bytes) => Some(bytes.clone()),
        _ => None,
    }
}
