//! Makes what a device proves itself with at a management server.

use device_state::{
    BootstrapSecurity, BootstrapServer, CredentialId, CredentialName, CredentialOrigin, DeviceName,
    OscoreSecret, Secret, ShardId, query,
};
use node_runtime::random;
use proto::convert::{AccountSecret, KeyPair, NewCredential};
use rcgen::{CertificateParams, DnType, PublicKeyData as _};
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::service::keeper::Keeper;

/// Endpoint names that are longer are told by their hash: a PSK identity has 128 bytes, and a common name 64.
const MAX_NAME_IN_IDENTITY: usize = 100;
const MAX_COMMON_NAME: usize = 64;
/// Bytes of a key, which fits any of the suites that LwM2M has for pre-shared keys.
const KEY_BYTES: usize = 16;
/// RFC 8613 §3.3: as much as fits into the nonce of the usual algorithm.
const CLIENT_ID_BYTES: usize = CredentialId::MAX_OSCORE_ID;
const SALT_BYTES: usize = 8;

/// What was made.
pub(super) struct Made {
    /// What the cluster knows the device by; `None` without security.
    pub(super) credential: Option<NewCredential>,
    /// What the device gets.
    pub(super) secret: AccountSecret,
}

/// Makes what the device needs for a server.
pub(super) fn of(
    keeper: &Keeper,
    endpoint: &DeviceName,
    server: &BootstrapServer,
) -> Result<Made, Status> {
    let (credential, secret) = match &server.security {
        BootstrapSecurity::NoSec => {
            let (credential, secret) = (None, AccountSecret::NoSec);
            return Ok(Made { credential, secret });
        }
        BootstrapSecurity::Psk => pre_shared(endpoint, server.short_server_id),
        BootstrapSecurity::RawPublicKey { .. } => key_pair(endpoint, false)?,
        BootstrapSecurity::Certificate(_) => key_pair(endpoint, true)?,
        BootstrapSecurity::Oscore => oscore(server.short_server_id, |id| {
            let name = CredentialName::new(&endpoint.namespace(), id.clone());
            is_free_everywhere(keeper, &name)
        }),
    };
    let (id, stored) = credential;
    let new = NewCredential {
        endpoint: endpoint.clone(),
        id,
        secret: stored,
        origin: CredentialOrigin::Bootstrap,
        only_if_free: false,
    };
    Ok(Made {
        credential: Some(new),
        secret,
    })
}

type Parts = ((CredentialId, Secret), AccountSecret);

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, random) in bytes.iter_mut().zip(random::seed()) {
        *byte = random;
    }
    bytes
}

/// The identity begins with the endpoint, for people, and is never used twice.
fn pre_shared(endpoint: &DeviceName, short_server_id: u16) -> Parts {
    let name = short_name(endpoint, MAX_NAME_IN_IDENTITY);
    let identity = format!("{name}/{short_server_id}/{:016x}", random::random_u64());
    let identity = identity.into_bytes();
    let key = random_bytes::<KEY_BYTES>().to_vec();
    let id = CredentialId::PskIdentity(identity.clone());
    let stored = Secret::PreSharedKey(key.clone());
    ((id, stored), AccountSecret::Psk { identity, key })
}

/// A P-256 key pair, with a certificate that it signed itself if one is wanted: it is trusted for its key.
fn key_pair(endpoint: &DeviceName, certified: bool) -> Result<Parts, Status> {
    let failed = |error: rcgen::Error| Status::internal(format!("cannot make a key: {error}"));
    let pair = rcgen::KeyPair::generate().map_err(failed)?;
    let public_key = pair.subject_public_key_info();
    let certificate = if certified {
        let mut params = CertificateParams::default();
        // LwM2M Transport 1.2 §5.2.8.3: the common name is the endpoint name.
        let name = short_name(endpoint, MAX_COMMON_NAME);
        params.distinguished_name.push(DnType::CommonName, name);
        let made = params.self_signed(&pair).map_err(failed)?;
        made.der().to_vec()
    } else {
        Vec::new()
    };
    let id = CredentialId::PublicKey(Sha256::digest(&public_key).into());
    let secret = AccountSecret::KeyPair(KeyPair {
        public_key,
        private_key: pair.serialize_der(),
        certificate,
    });
    Ok(((id, Secret::PublicKey), secret))
}

/// A context with a Sender ID of the device that is nobody else's.
fn oscore(short_server_id: u16, is_free: impl Fn(&CredentialId) -> bool) -> Parts {
    let (client_id, id) = loop {
        let client_id = random_bytes::<CLIENT_ID_BYTES>().to_vec();
        let id = CredentialId::OscoreId(client_id.clone());
        if is_free(&id) {
            break (client_id, id);
        }
    };
    let secret = OscoreSecret {
        master_secret: random_bytes::<KEY_BYTES>().to_vec(),
        master_salt: random_bytes::<SALT_BYTES>().to_vec(),
        // Shorter than the device's, and so another one.
        server_id: short_server_id.to_be_bytes().to_vec(),
        id_context: None,
    };
    let stored = Secret::Oscore(secret.clone());
    ((id, stored), AccountSecret::Oscore { client_id, secret })
}

/// Whether no credential has this name, as far as this node knows.
fn is_free_everywhere(keeper: &Keeper, name: &CredentialName) -> bool {
    let shard = ShardId::of_credential(name, keeper.router.shards());
    let group = keeper.router.group(shard);
    group.is_none_or(|group| {
        group
            .store()
            .read(|tables| query::credential(tables, name).is_none())
    })
}

/// The name, or its hash if it is too long.
fn short_name(endpoint: &DeviceName, limit: usize) -> String {
    let name = endpoint.endpoint_str();
    if name.len() <= limit {
        name.to_owned()
    } else {
        // Half of it: it only has to tell people apart what they look at.
        let digest = Sha256::digest(name);
        format!("~{}", hex::encode(digest.get(..16).unwrap_or(&digest)))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
mod tests {
    use lwm2m::EndpointName;

    use super::*;

    #[test]
    fn an_identity_has_at_most_128_bytes() {
        for length in [1, 100, 101, EndpointName::MAX_BYTES] {
            let endpoint = DeviceName::parse(&"e".repeat(length)).unwrap();
            let ((id, _), _) = pre_shared(&endpoint, 65_534);
            assert!(id.as_bytes().len() <= 128, "{id:?}");
        }
    }

    #[test]
    fn a_certificate_names_the_endpoint_and_is_known_by_its_key() {
        let endpoint = DeviceName::parse("urn:dev:ops:32473-meter-7").unwrap();
        let ((id, _), secret) = key_pair(&endpoint, true).unwrap();
        let AccountSecret::KeyPair(pair) = secret else {
            panic!("no key pair");
        };
        let holds = |part: &[u8]| pair.certificate.windows(part.len()).any(|at| at == part);
        assert!(holds(endpoint.endpoint_str().as_bytes()) && holds(&pair.public_key));
        assert_eq!(id.as_bytes(), Sha256::digest(&pair.public_key).as_slice());
        let long = DeviceName::parse(&"e".repeat(EndpointName::MAX_BYTES)).unwrap();
        key_pair(&long, true).unwrap();
        let (_, raw) = key_pair(&endpoint, false).unwrap();
        let is_raw = matches!(&raw, AccountSecret::KeyPair(pair) if pair.certificate.is_empty());
        assert!(is_raw);
    }

    #[test]
    fn an_oscore_id_that_somebody_has_is_not_given_to_another() {
        let taken = std::cell::RefCell::new(Vec::new());
        let ((id, _), _) = oscore(1, |id| {
            taken.borrow_mut().push(id.clone());
            taken.borrow().len() > 2
        });
        let taken = taken.into_inner();
        assert_eq!(taken.len(), 3);
        assert_eq!(taken.last(), Some(&id));
        assert!(!taken[..2].contains(&id));
    }
}
