//! What the device of an object proves itself by: from a Secret into the state tier, and never out again.
//!
//! A secret cannot be read back, so the status says which version of the Secret the state tier has, and under which etag:
//! while both stand, nothing is sent. Before anything is sent the status says what is about to be, and what was there
//! before, so that whatever happens then it can be told what is of the object.

use std::collections::BTreeMap;
use std::fmt;

use crd::Device;
use crd::device::{CredentialKind, CredentialStatus};
use crd::{DeletionPolicy, Reason};
use device_state::{CredentialId, OscoreSecret};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::{Action, Observed};
use crate::Refusal;
use crate::secrets::Secrets;

const FIELD: &str = "spec.credentialSecretRef";
/// Behind the name of a key of a Secret whose bytes stand there in hex.
const HEX: &str = ".hex";
/// The longest PSK identity.
const MAX_IDENTITY_BYTES: usize = 128;
/// Before an identity that is told in hex.
const IN_HEX: &str = "hex:";

/// A credential as the state tier holds it, of the endpoint of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCredential {
    /// What the device shows.
    pub id: CredentialId,
    /// Tells it apart from others of the same id.
    pub etag: String,
    /// Of which version of the Secret it is, if it was stored just now.
    pub version: Option<String>,
}

/// A credential as the Secret of an object has it.
#[derive(Clone, PartialEq, Eq)]
pub struct WantedCredential {
    /// What it is made of.
    pub proof: Proof,
    /// The resourceVersion of the Secret.
    pub version: String,
}

/// What a credential is made of.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// RFC 4279.
    PreSharedKey {
        /// What the device shows.
        identity: Vec<u8>,
        /// The key.
        key: Vec<u8>,
    },
    /// The SubjectPublicKeyInfo of a raw key, or of that of a certificate, in DER.
    PublicKey(Vec<u8>),
    /// RFC 8613.
    Oscore {
        /// The Sender ID of the device.
        client_id: Vec<u8>,
        /// The rest.
        secret: OscoreSecret,
    },
}

impl fmt::Debug for WantedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WantedCredential");
        shown.field("id", &shown_id(&self.id()));
        shown
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl WantedCredential {
    /// What the device shows.
    pub fn id(&self) -> CredentialId {
        match &self.proof {
            Proof::PreSharedKey { identity, .. } => CredentialId::PskIdentity(identity.clone()),
            Proof::PublicKey(info) => CredentialId::PublicKey(Sha256::digest(info).into()),
            Proof::Oscore { client_id, .. } => CredentialId::OscoreId(client_id.clone()),
        }
    }

    /// Whether a status can have what the device shows; the state tier checks the rest.
    fn check(&self) -> Result<(), String> {
        match &self.proof {
            Proof::PreSharedKey { identity, .. }
                if !(1..=MAX_IDENTITY_BYTES).contains(&identity.len()) =>
            {
                Err(format!(
                    "the identity has {} bytes, and not 1 to {MAX_IDENTITY_BYTES}",
                    identity.len()
                ))
            }
            Proof::Oscore { client_id, .. } if client_id.len() > CredentialId::MAX_OSCORE_ID => {
                Err(format!(
                    "the clientID has {} bytes, more than {}",
                    client_id.len(),
                    CredentialId::MAX_OSCORE_ID
                ))
            }
            _ => Ok(()),
        }
    }
}

/// What the Secret of an object says, if it names one.
pub(super) fn wanted(
    device: &Device,
    secrets: &Secrets,
) -> Result<Option<WantedCredential>, Refusal> {
    let Some(reference) = &device.spec.credential_secret_ref else {
        return Ok(None);
    };
    let name = &reference.name;
    let (version, entries) = secrets.whole(name).map_err(|why| Refusal {
        reason: Reason::SecretNotFound,
        message: format!(
            "{FIELD}: {why}; make one: kubectl create secret generic {name} --type=drover.dev/psk --from-literal=key.hex=…"
        ),
    })?;
    let invalid = |why: String| Refusal::invalid(FIELD, &format!("the Secret {name}: {why}"));
    let proof = Entries(entries).proof(&device.spec.endpoint_name);
    let wanted = WantedCredential {
        proof: proof.map_err(invalid)?,
        version: version.to_owned(),
    };
    wanted.check().map_err(invalid)?;
    Ok(Some(wanted))
}

/// What a Secret has. No message repeats any of it.
struct Entries<'s>(&'s BTreeMap<String, Vec<u8>>);

impl Entries<'_> {
    fn proof(&self, endpoint: &str) -> Result<Proof, String> {
        let kinds = ["key", "publicKey", "masterSecret"];
        let mut named = kinds.into_iter().filter(|kind| self.has(kind));
        match (named.next(), named.next()) {
            (Some("key"), None) => {
                let identity = self.bytes("identity")?;
                Ok(Proof::PreSharedKey {
                    identity: identity.unwrap_or_else(|| endpoint.as_bytes().to_vec()),
                    key: self.needed("key")?,
                })
            }
            (Some("publicKey"), None) => self.public_key().map(Proof::PublicKey),
            (Some(_), None) => Ok(Proof::Oscore {
                client_id: self.needed("clientID")?,
                secret: OscoreSecret {
                    master_secret: self.needed("masterSecret")?,
                    master_salt: self.bytes("masterSalt")?.unwrap_or_default(),
                    server_id: self.bytes("serverID")?.unwrap_or_default(),
                    id_context: self.bytes("idContext")?,
                },
            }),
            (None, _) => Err(
                "has none of the keys key, publicKey and masterSecret, by which a device proves itself"
                    .to_owned(),
            ),
            (Some(one), Some(other)) => Err(format!(
                "has the keys {one} and {other}, which are of different kinds of credentials"
            )),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name) || self.0.contains_key(&format!("{name}{HEX}"))
    }

    fn needed(&self, name: &str) -> Result<Vec<u8>, String> {
        let missing = || format!("has no key {name} or {name}{HEX}");
        self.bytes(name)?.ok_or_else(missing)
    }

    /// The bytes of a key, which may stand there in hex.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let in_hex = format!("{name}{HEX}");
        match (self.0.get(name), self.0.get(&in_hex)) {
            (None, None) => Ok(None),
            (Some(bytes), None) if name == "identity" && bytes.ends_with(b"\n") => Err(
                "the identity ends in a line break; leave it out, for example with --from-literal"
                    .to_owned(),
            ),
            (Some(bytes), None) => Ok(Some(bytes.clone())),
            (None, Some(digits)) => {
                let bytes = hex::decode(digits.trim_ascii());
                // What is wrong with it would tell some of it.
                let why = || format!("the key {in_hex} is not an even number of hex digits");
                bytes.map(Some).map_err(|_| why())
            }
            (Some(_), Some(_)) => Err(format!("has both keys {name} and {in_hex}")),
        }
    }

    /// In PEM, as `openssl` writes it, or in DER.
    fn public_key(&self) -> Result<Vec<u8>, String> {
        let given = self.needed("publicKey")?;
        if !given.trim_ascii_start().starts_with(b"-----") {
            return Ok(given);
        }
        let info = SubjectPublicKeyInfoDer::from_pem_slice(&given);
        info.map(|info| info.to_vec()).map_err(|_| {
            "the key publicKey is not a public key in PEM; make one: openssl ec -in KEY -pubout"
                .to_owned()
        })
    }
}

/// What makes the credential of the device that of the object. Those of others stay.
pub(super) fn changes(
    device: &Device,
    observed: &Observed,
    wanted: Option<&WantedCredential>,
) -> Vec<Action> {
    let add = wanted.filter(|wanted| in_force(device, observed, wanted).is_none());
    let add = add.map(|wanted| Action::AddCredential(wanted.clone()));
    // The one that follows first: a device that knows it already has one all the time.
    add.into_iter()
        .chain(unwanted(device, observed, wanted))
        .collect()
}

/// What ends what the object has put there, once its device is to be forgotten.
pub fn revocation(device: &Device, observed: &Observed) -> Vec<Action> {
    match device.spec.deletion_policy {
        DeletionPolicy::Retain => Vec::new(),
        DeletionPolicy::Deregister | DeletionPolicy::Wipe => {
            unwanted(device, observed, None).collect()
        }
    }
}

/// The credentials that the object has put there, or is about to.
pub(super) fn own(
    device: &Device,
    observed: &Observed,
    wanted: Option<&WantedCredential>,
) -> Vec<CredentialStatus> {
    let kept = wanted.map(|wanted| match in_force(device, observed, wanted) {
        Some(stored) => {
            let (kind, identity) = told(&stored.id);
            CredentialStatus {
                kind,
                identity,
                secret_version: Some(wanted.version.clone()),
                etag: Some(stored.etag.clone()),
                replaces: None,
            }
        }
        None => claimed(device, observed, &wanted.id()),
    });
    let going = owned(device).filter(|known| {
        let is_wanted = wanted.is_some_and(|wanted| is_of(known, &wanted.id()));
        !is_wanted && removal(observed, known).is_some()
    });
    kept.into_iter().chain(going.cloned()).collect()
}

/// What the status says before a credential is stored. What it said then stays: what is there may be of the object by now.
fn claimed(device: &Device, observed: &Observed, id: &CredentialId) -> CredentialStatus {
    let known = owned(device).find(|known| is_of(known, id));
    let stored = observed.credentials.iter().find(|one| one.id == *id);
    let (kind, identity) = told(id);
    match known {
        Some(known) => CredentialStatus {
            secret_version: None,
            ..known.clone()
        },
        None => CredentialStatus {
            kind,
            identity,
            secret_version: None,
            etag: None,
            replaces: stored.map(|stored| stored.etag.clone()),
        },
    }
}

/// Those that the status says the object has put there.
pub(super) fn owned(device: &Device) -> impl Iterator<Item = &CredentialStatus> {
    device.status.iter().flat_map(|status| &status.credentials)
}

/// What the state tier holds, if it is what the Secret says.
fn in_force<'o>(
    device: &Device,
    observed: &'o Observed,
    wanted: &WantedCredential,
) -> Option<&'o StoredCredential> {
    let (id, version) = (wanted.id(), Some(&wanted.version));
    let stored = observed.credentials.iter().find(|one| one.id == id)?;
    let is_so = |known: &CredentialStatus| {
        is_of(known, &id)
            && known.secret_version.as_ref() == version
            && known.etag.as_ref() == Some(&stored.etag)
    };
    let is_new = stored.version.as_ref() == version;
    (is_new || owned(device).any(is_so)).then_some(stored)
}

/// What takes away what the object has put there and does not want.
fn unwanted<'o>(
    device: &'o Device,
    observed: &'o Observed,
    wanted: Option<&'o WantedCredential>,
) -> impl Iterator<Item = Action> + 'o {
    let is_wanted =
        move |known: &CredentialStatus| wanted.is_some_and(|wanted| is_of(known, &wanted.id()));
    owned(device)
        .filter(move |known| !is_wanted(known))
        .filter_map(|known| removal(observed, known))
}

/// What takes away a credential of the object; none if it is known to be gone, or not to be of the object. What is listed may
/// be old: one that was there is gone once the state tier has answered that it is.
fn removal(observed: &Observed, known: &CredentialStatus) -> Option<Action> {
    let listed = observed
        .credentials
        .iter()
        .find(|one| is_of(known, &one.id));
    let id = listed.map_or_else(|| id_of(known), |stored| Some(stored.id.clone()))?;
    if observed.revoked.contains(&id) {
        return None;
    }
    // It is not known whether this was stored.
    let is_pending = known.secret_version.is_none();
    let may_be_own = |etag: &String| is_pending && known.replaces.as_ref() != Some(etag);
    let of_listed = listed.map(|stored| &stored.etag);
    let etag = of_listed
        .filter(|etag| may_be_own(etag))
        .or(known.etag.as_ref())?;
    let etag = etag.clone();
    Some(Action::DeleteCredential { id, etag })
}

fn is_of(known: &CredentialStatus, id: &CredentialId) -> bool {
    let (kind, identity) = told(id);
    known.kind == kind && known.identity == identity
}

/// What a status tells of; `None` if people have written something else there.
fn id_of(known: &CredentialStatus) -> Option<CredentialId> {
    let bytes = match known.identity.strip_prefix(IN_HEX) {
        Some(digits) => hex::decode(digits).ok()?,
        None => known.identity.as_bytes().to_vec(),
    };
    Some(match known.kind {
        CredentialKind::PSK => CredentialId::PskIdentity(bytes),
        CredentialKind::RawPublicKey => CredentialId::PublicKey(bytes.try_into().ok()?),
        CredentialKind::OSCORE => CredentialId::OscoreId(bytes),
    })
}

fn told(id: &CredentialId) -> (CredentialKind, String) {
    let kind = match id {
        CredentialId::PskIdentity(_) => CredentialKind::PSK,
        CredentialId::PublicKey(_) => CredentialKind::RawPublicKey,
        CredentialId::OscoreId(_) => CredentialKind::OSCORE,
    };
    (kind, shown_id(id))
}

/// A PSK identity that is text as it is, everything else in hex.
fn shown_id(id: &CredentialId) -> String {
    let in_hex = |bytes: &[u8]| format!("{IN_HEX}{}", hex::encode(bytes));
    match id {
        CredentialId::PskIdentity(identity) => match std::str::from_utf8(identity) {
            Ok(text) if !text.starts_with(IN_HEX) && !text.contains(char::is_control) => {
                text.to_owned()
            }
            _ => in_hex(identity),
        },
        CredentialId::PublicKey(_) | CredentialId::OscoreId(_) => in_hex(id.as_bytes()),
    }
}
