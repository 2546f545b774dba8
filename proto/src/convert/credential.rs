//! Credentials, as they are stored and as the API has them.

use device_state::{
    BoundCredential, ContextOwner, Credential, CredentialId, CredentialKey, CredentialName,
    CredentialOrigin, DeviceName, Etag, NodeId, OscoreSecret, Secret, SecurityIdentity,
    SessionGeneration,
};
use prost::Message;
use sha2::{Digest, Sha256};

use super::public::{InNamespace, timestamp};
use super::{ConvertError, Reason, Within, endpoint, message, namespace, narrow, required, time};
use crate::drover::v1 as public;
use crate::storage::v1 as wire;

/// The longest PSK identity.
pub const MAX_PSK_IDENTITY_BYTES: usize = 128;
/// The longest pre-shared key, and the longest part of an OSCORE context.
const MAX_SECRET_BYTES: usize = 64;
/// Names of a certificate and their length: more than a DTLS handshake lets through.
const MAX_NAMES: usize = 512;
const MAX_NAME_BYTES: usize = 255;

/// The SubjectPublicKeyInfo of an uncompressed P-256 key up to its point (RFC 5480 §2).
const P256_INFO: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const P256_POINT: usize = 64;

/// A credential on its way to be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    pub endpoint: DeviceName,
    pub id: CredentialId,
    pub secret: Secret,
    pub origin: CredentialOrigin,
    /// Whether it is refused if another endpoint has the identity.
    pub only_if_free: bool,
}

fn sized(
    field: &str,
    bytes: Vec<u8>,
    lengths: impl std::ops::RangeBounds<usize>,
) -> Result<Vec<u8>, ConvertError> {
    if lengths.contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(ConvertError::new(field, Reason::Length(bytes.len())))
    }
}

fn psk_identity(field: &str, identity: Vec<u8>) -> Result<CredentialId, ConvertError> {
    sized(field, identity, 1..=MAX_PSK_IDENTITY_BYTES).map(CredentialId::PskIdentity)
}

fn fingerprint(field: &str, bytes: &[u8]) -> Result<CredentialId, ConvertError> {
    bytes
        .try_into()
        .map(CredentialId::PublicKey)
        .map_err(|_| ConvertError::new(field, Reason::Length(bytes.len())))
}

fn oscore_id(field: &str, id: Vec<u8>) -> Result<CredentialId, ConvertError> {
    sized(field, id, ..=CredentialId::MAX_OSCORE_ID).map(CredentialId::OscoreId)
}

impl From<CredentialId> for wire::CredentialId {
    fn from(id: CredentialId) -> Self {
        use wire::credential_id::Kind;
        let kind = match id {
            CredentialId::PskIdentity(identity) => Kind::PskIdentity(identity),
            CredentialId::PublicKey(fingerprint) => Kind::PublicKey(fingerprint.to_vec()),
            CredentialId::OscoreId(id) => Kind::OscoreId(id),
        };
        Self {
            kind: Some(kind),
            namespace: String::new(),
        }
    }
}

impl From<CredentialName> for wire::CredentialId {
    fn from(name: CredentialName) -> Self {
        Self {
            namespace: name.namespace.stored().to_owned(),
            ..name.id.into()
        }
    }
}

impl TryFrom<wire::CredentialId> for CredentialName {
    type Error = ConvertError;

    fn try_from(id: wire::CredentialId) -> Result<Self, ConvertError> {
        Ok(Self {
            namespace: namespace(&id.namespace)?,
            id: id.try_into()?,
        })
    }
}

impl TryFrom<wire::CredentialId> for CredentialId {
    type Error = ConvertError;

    fn try_from(id: wire::CredentialId) -> Result<Self, ConvertError> {
        use wire::credential_id::Kind;
        match required("kind", id.kind)? {
            Kind::PskIdentity(identity) => psk_identity("psk_identity", identity),
            Kind::PublicKey(bytes) => fingerprint("public_key", &bytes),
            Kind::OscoreId(id) => oscore_id("oscore_id", id),
        }
    }
}

impl From<CredentialKey> for wire::CredentialKey {
    fn from(key: CredentialKey) -> Self {
        Self {
            id: Some(key.id.into()),
            serial: key.serial,
            made_by_bootstrap: false,
        }
    }
}

impl TryFrom<wire::CredentialKey> for CredentialKey {
    type Error = ConvertError;

    fn try_from(key: wire::CredentialKey) -> Result<Self, ConvertError> {
        Ok(Self {
            id: message("id", key.id)?,
            serial: key.serial,
        })
    }
}

impl From<BoundCredential> for wire::CredentialKey {
    fn from(bound: BoundCredential) -> Self {
        Self {
            made_by_bootstrap: bound.origin == CredentialOrigin::Bootstrap,
            ..bound.key.into()
        }
    }
}

impl TryFrom<wire::CredentialKey> for BoundCredential {
    type Error = ConvertError;

    fn try_from(key: wire::CredentialKey) -> Result<Self, ConvertError> {
        let origin = if key.made_by_bootstrap {
            CredentialOrigin::Bootstrap
        } else {
            CredentialOrigin::Stored
        };
        let key = key.try_into()?;
        Ok(Self { key, origin })
    }
}

impl From<CredentialId> for public::CredentialId {
    fn from(id: CredentialId) -> Self {
        use public::credential_id::Kind;
        let kind = match id {
            CredentialId::PskIdentity(identity) => Kind::PskIdentity(identity),
            CredentialId::PublicKey(bytes) => Kind::PublicKeyFingerprint(bytes.to_vec()),
            CredentialId::OscoreId(id) => Kind::OscoreClientId(id),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<public::CredentialId> for CredentialId {
    type Error = ConvertError;

    fn try_from(id: public::CredentialId) -> Result<Self, ConvertError> {
        use public::credential_id::Kind;
        match required("kind", id.kind)? {
            Kind::PskIdentity(identity) => psk_identity("psk_identity", identity),
            Kind::PublicKeyFingerprint(bytes) => fingerprint("public_key_fingerprint", &bytes),
            Kind::OscoreClientId(id) => oscore_id("oscore_client_id", id),
        }
    }
}

impl From<SecurityIdentity> for wire::Identity {
    fn from(identity: SecurityIdentity) -> Self {
        use wire::identity::Kind;
        let kind = match identity {
            SecurityIdentity::Unauthenticated => Kind::Unauthenticated(true),
            SecurityIdentity::Credential(id) => Kind::Credential(id.into()),
            SecurityIdentity::CertificateNames(names) => {
                Kind::CertificateNames(wire::CertificateNames { names })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Identity> for SecurityIdentity {
    type Error = ConvertError;

    fn try_from(identity: wire::Identity) -> Result<Self, ConvertError> {
        use wire::identity::Kind;
        match required("kind", identity.kind)? {
            Kind::Unauthenticated(_) => Ok(Self::Unauthenticated),
            Kind::Credential(id) => id.try_into().within("credential").map(Self::Credential),
            Kind::CertificateNames(list) => {
                let too_long = |name: &String| name.len() > MAX_NAME_BYTES;
                if list.names.len() > MAX_NAMES || list.names.iter().any(too_long) {
                    let reason = Reason::Length(list.names.len());
                    return Err(ConvertError::new("certificate_names", reason));
                }
                Ok(Self::CertificateNames(list.names))
            }
        }
    }
}

impl From<Credential> for wire::Credential {
    fn from(row: Credential) -> Self {
        Self {
            id: Some(row.id.into()),
            endpoint: row.endpoint.stored().to_owned(),
            sealed_secret: row.sealed_secret,
            created_at_ms: row.created_at.0,
            serial: row.serial,
        }
    }
}

impl TryFrom<wire::Credential> for Credential {
    type Error = ConvertError;

    fn try_from(row: wire::Credential) -> Result<Self, ConvertError> {
        Ok(Self {
            id: message("id", row.id)?,
            endpoint: endpoint(&row.endpoint)?,
            sealed_secret: row.sealed_secret,
            created_at: time(row.created_at_ms),
            serial: row.serial,
        })
    }
}

impl From<Credential> for public::Credential {
    /// The secret stays behind.
    fn from(row: Credential) -> Self {
        Self {
            etag: Etag::of_credential(&row).to_string(),
            endpoint: row.endpoint.endpoint_str().to_owned(),
            id: Some(row.id.into()),
            create_time: timestamp(row.created_at),
        }
    }
}

impl From<ContextOwner> for wire::ContextOwner {
    fn from(row: ContextOwner) -> Self {
        Self {
            oscore_id: row.oscore_id,
            owner: row.owner.0,
            generation: row.generation.0.into(),
            window: row.window,
            namespace: row.namespace.stored().to_owned(),
        }
    }
}

impl TryFrom<wire::ContextOwner> for ContextOwner {
    type Error = ConvertError;

    fn try_from(row: wire::ContextOwner) -> Result<Self, ConvertError> {
        Ok(Self {
            namespace: namespace(&row.namespace)?,
            oscore_id: sized("oscore_id", row.oscore_id, ..=CredentialId::MAX_OSCORE_ID)?,
            owner: NodeId(row.owner),
            generation: SessionGeneration(narrow("generation", row.generation)?),
            window: sized("window", row.window, ..=Self::MAX_WINDOW)?,
        })
    }
}

impl From<OscoreSecret> for wire::OscoreSecret {
    fn from(secret: OscoreSecret) -> Self {
        Self {
            master_secret: secret.master_secret,
            master_salt: secret.master_salt,
            server_id: secret.server_id,
            id_context: secret.id_context,
        }
    }
}

impl From<wire::OscoreSecret> for OscoreSecret {
    fn from(secret: wire::OscoreSecret) -> Self {
        Self {
            master_secret: secret.master_secret,
            master_salt: secret.master_salt,
            server_id: secret.server_id,
            id_context: secret.id_context,
        }
    }
}

/// The bytes of a secret that are sealed and stored.
pub fn encode_secret(secret: &Secret) -> Vec<u8> {
    match secret {
        Secret::PreSharedKey(key) => key.clone(),
        Secret::PublicKey => Vec::new(),
        Secret::Oscore(secret) => wire::OscoreSecret::from(secret.clone()).encode_to_vec(),
    }
}

/// The secret of the credential `id`, from the bytes that [`encode_secret`] made; `None` if they are damaged.
pub fn decode_secret(id: &CredentialId, bytes: Vec<u8>) -> Option<Secret> {
    match id {
        CredentialId::PskIdentity(_) => Some(Secret::PreSharedKey(bytes)),
        CredentialId::PublicKey(_) => Some(Secret::PublicKey),
        CredentialId::OscoreId(_) => {
            let secret = wire::OscoreSecret::decode(&*bytes).ok()?;
            Some(Secret::Oscore(secret.into()))
        }
    }
}

impl TryFrom<InNamespace<public::PutCredentialRequest>> for NewCredential {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::PutCredentialRequest>) -> Result<Self, ConvertError> {
        use public::put_credential_request::Credential;
        let endpoint = asked.device(&asked.request.endpoint)?;
        let request = asked.request;
        let (id, secret) = match required("credential", request.credential)? {
            Credential::PreSharedKey(psk) => pre_shared_key(psk).within("pre_shared_key")?,
            Credential::PublicKey(info) => (public_key(&info)?, Secret::PublicKey),
            Credential::Oscore(context) => oscore(context).within("oscore")?,
        };
        Ok(Self {
            endpoint,
            id,
            secret,
            origin: CredentialOrigin::Stored,
            only_if_free: request.only_if_free,
        })
    }
}

fn pre_shared_key(psk: public::PreSharedKey) -> Result<(CredentialId, Secret), ConvertError> {
    let key = sized("key", psk.key, 1..=MAX_SECRET_BYTES)?;
    Ok((
        psk_identity("identity", psk.identity)?,
        Secret::PreSharedKey(key),
    ))
}

fn public_key(info: &[u8]) -> Result<CredentialId, ConvertError> {
    let point = info.strip_prefix(&P256_INFO);
    if point.is_none_or(|point| point.len() != P256_POINT) {
        return Err(ConvertError::new("public_key", Reason::NotP256));
    }
    Ok(CredentialId::PublicKey(Sha256::digest(info).into()))
}

fn oscore(context: public::OscoreContext) -> Result<(CredentialId, Secret), ConvertError> {
    let server_id = sized(
        "server_id",
        context.server_id,
        ..=CredentialId::MAX_OSCORE_ID,
    )?;
    // RFC 8613 §3.3: with equal ids both sides would use the same nonces.
    if server_id == context.client_id {
        return Err(ConvertError::new("server_id", Reason::SameIds));
    }
    let id_context = context
        .id_context
        .map(|id| sized("id_context", id, ..=MAX_SECRET_BYTES));
    let secret = OscoreSecret {
        master_secret: sized("master_secret", context.master_secret, 1..=MAX_SECRET_BYTES)?,
        master_salt: sized("master_salt", context.master_salt, ..=MAX_SECRET_BYTES)?,
        server_id,
        id_context: id_context.transpose()?,
    };
    let id = oscore_id("client_id", context.client_id)?;
    Ok((id, Secret::Oscore(secret)))
}
