//! Who signed a package. Decided without I/O; everything that knows `aws-lc-rs` is here.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use device_state::Digest;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::{self, PemObject as _};
use serde::Deserialize;

pub(crate) use bundle::SIGNED;

use bundle::Statement;

mod bundle;

/// The key that packages have to be signed by: Ed25519, or ECDSA on P-256.
#[derive(Clone, Debug)]
pub struct PublicKey {
    kind: Kind,
    key: ParsedPublicKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519,
    P256,
}

/// Why a text is no public key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no `PUBLIC KEY` in it.
    #[error("this is no public key in PEM: give what begins with -----BEGIN PUBLIC KEY-----")]
    Pem(#[source] pem::Error),
    /// A key of another algorithm.
    #[error(
        "this public key is neither Ed25519 nor ECDSA on P-256: give one that is, as cosign generate-key-pair does"
    )]
    Kind,
}

impl PublicKey {
    /// From PEM with a SubjectPublicKeyInfo, as `cosign public-key` and `openssl pkey -pubout` write it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(KeyError::Pem)?;
        let algorithms: [(Kind, &'static dyn VerificationAlgorithm); 2] = [
            (Kind::Ed25519, &ED25519),
            (Kind::P256, &ECDSA_P256_SHA256_ASN1),
        ];
        algorithms
            .into_iter()
            .find_map(|(kind, algorithm)| {
                let key = ParsedPublicKey::new(algorithm, &der).ok()?;
                Some(Self { kind, key })
            })
            .ok_or(KeyError::Kind)
    }
}

/// A signature that cosign left in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CosignSignature {
    /// As cosign wrote them before its version 3.
    Layer {
        /// What is signed: a JSON that names the artefact.
        payload: Bytes,
        /// The signature over it, in base64.
        signature: String,
    },
    /// A Sigstore bundle, in JSON, as cosign writes them from version 3 on.
    Bundle(Bytes),
    /// Further ones, at which nobody looked.
    More {
        /// At how many somebody did.
        limit: usize,
    },
}

/// Why a package is not taken for signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Nobody signed it.
    #[error("there is no signature: sign the package, as by cosign sign --key …")]
    Missing,
    /// Somebody signed it, and not with this key.
    #[error("no signature is by the trusted key: sign with its private key, or trust another one")]
    UntrustedKey,
    /// The same, and the key may yet be right: cosign signs with such a key by Ed25519ph (RFC 8032 §5.1), which is not
    /// verified.
    #[error(
        "no signature is by the trusted key: sign with its private key, or trust another one; cosign makes signatures \
         of Ed25519ph with an Ed25519 key, which do not count: use ECDSA on P-256"
    )]
    UntrustedEd25519Key,
    /// Somebody fills the place of the signatures.
    #[error(
        "none of the first {limit} signatures or attestations that refer to it is by the trusted key, and there are \
         more: remove those that are not needed"
    )]
    TooMany {
        /// At how many somebody looked.
        limit: usize,
    },
    /// What is there is no signature of this package.
    #[error("the signature is not valid: {0}")]
    Invalid(SignatureFault),
}

/// What is wrong with a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Only Ed25519 has signatures of this form.
    #[error("a signature of 64 bytes needs an Ed25519 key, and the trusted one is ECDSA on P-256")]
    KeyKind,
    /// It is no bundle of Sigstore with an envelope, or its envelope has none or several signatures.
    #[error(
        "it is no bundle of Sigstore with one signature of a statement: sign the artefact by cosign sign --key …"
    )]
    Bundle,
    /// It is over other bytes, or by another key: a raw signature does not say which.
    #[error("it is over another package, or by another key")]
    Package,
    /// It is no base64.
    #[error("it is not written in base64")]
    Encoding,
    /// It is no signature of Ed25519.
    #[error("it has {0} bytes, and one of Ed25519 has 64")]
    Length(usize),
    /// The key signed something that cosign never wrote.
    #[error("what is signed is no payload of cosign")]
    Payload,
    /// The key signed a statement that does not say that one artefact is signed: an attestation.
    #[error("the key signed something about it, not the artefact as such: use cosign sign --key …")]
    Statement,
    /// The key signed another artefact.
    #[error("what is signed is {0}, another artefact")]
    Artefact(Digest),
}

impl SignatureError {
    /// Whether it is a signature, and only the key is not the trusted one.
    pub fn is_of_another_key(&self) -> bool {
        matches!(self, Self::UntrustedKey | Self::UntrustedEd25519Key)
    }
}

/// A raw signature of its base64.
pub fn raw_signature(text: &str) -> Result<[u8; 64], SignatureFault> {
    let bytes = STANDARD.decode(text.trim());
    let bytes = bytes.map_err(|_| SignatureFault::Encoding)?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| SignatureFault::Length(length))
}

/// Whether a key signed a package: Ed25519 over all of its bytes.
pub fn verify_raw(
    key: &PublicKey,
    signature: &[u8; 64],
    package: &[u8],
) -> Result<(), SignatureError> {
    if key.kind != Kind::Ed25519 {
        return Err(SignatureError::Invalid(SignatureFault::KeyKind));
    }
    let verified = key.key.verify_sig(package, signature);
    verified.map_err(|_| SignatureError::Invalid(SignatureFault::Package))
}

/// Whether a key signed an artefact, by cosign: one signature of it over the digest of the manifest is enough, whoever
/// else signed.
pub fn verify_cosign(
    key: &PublicKey,
    signatures: &[CosignSignature],
    manifest: &Digest,
) -> Result<(), SignatureError> {
    let mut worst = SignatureError::Missing;
    for signature in signatures {
        match verify_one(key, signature, manifest) {
            Ok(()) => return Ok(()),
            Err(error) if rank(&error) >= rank(&worst) => worst = error,
            Err(_) => {}
        }
    }
    Err(worst)
}

/// Which error says most, of several signatures: what the trusted key signed says more than what others left there.
fn rank(error: &SignatureError) -> u8 {
    match error {
        SignatureError::Missing => 0,
        SignatureError::Invalid(SignatureFault::Encoding | SignatureFault::Bundle) => 1,
        SignatureError::UntrustedKey | SignatureError::UntrustedEd25519Key => 2,
        // It may be among those that nobody looked at.
        SignatureError::TooMany { .. } => 3,
        SignatureError::Invalid(_) => 4,
    }
}

fn verify_one(
    key: &PublicKey,
    signature: &CosignSignature,
    manifest: &Digest,
) -> Result<(), SignatureError> {
    let signed = match signature {
        CosignSignature::Layer { payload, signature } => signed_by_layer(key, payload, signature),
        CosignSignature::Bundle(bundle) => signed_by_bundle(key, bundle),
        CosignSignature::More { limit } => Err(SignatureError::TooMany { limit: *limit }),
    }?;
    if signed == *manifest {
        Ok(())
    } else {
        Err(SignatureError::Invalid(SignatureFault::Artefact(signed)))
    }
}

/// The artefact that the key signed.
fn signed_by_layer(
    key: &PublicKey,
    payload: &[u8],
    signature: &str,
) -> Result<Digest, SignatureError> {
    let signature = decoded(signature)?;
    // Before anything of the payload is believed or even read.
    verified(key, payload, &signature)?;
    named_by_payload(payload).ok_or(SignatureError::Invalid(SignatureFault::Payload))
}

/// The artefact that the key signed.
fn signed_by_bundle(key: &PublicKey, bundle: &[u8]) -> Result<Digest, SignatureError> {
    let envelope = bundle::envelope(bundle);
    let envelope = envelope.ok_or(SignatureError::Invalid(SignatureFault::Bundle))?;
    let (payload, signature) = (decoded(&envelope.payload)?, decoded(&envelope.signature)?);
    let signed = bundle::pre_authentication_encoding(&envelope.payload_type, &payload);
    let verified = verified(key, &signed, &signature);
    let statement = Statement::read(&envelope.payload_type, &payload);
    match (verified, statement) {
        (Ok(()), statement) => {
            let named = statement.as_ref().and_then(Statement::signed);
            named.ok_or(SignatureError::Invalid(SignatureFault::Statement))
        }
        // Of somebody else's attestation nothing is believed but that it does not even claim to be a signature.
        (Err(_), Some(other)) if !other.is_signature() => Err(SignatureError::Missing),
        (Err(error), _) => Err(error),
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, SignatureError> {
    let bytes = STANDARD.decode(text.trim());
    bytes.map_err(|_| SignatureError::Invalid(SignatureFault::Encoding))
}

fn verified(key: &PublicKey, signed: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let verified = key.key.verify_sig(signed, signature);
    verified.map_err(|_| match key.kind {
        Kind::Ed25519 => SignatureError::UntrustedEd25519Key,
        Kind::P256 => SignatureError::UntrustedKey,
    })
}

/// The artefact that a payload names, if it is one of cosign.
fn named_by_payload(payload: &[u8]) -> Option<Digest> {
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    let critical = payload.critical;
    let named = critical.image.docker_manifest_digest.parse().ok()?;
    (critical.r#type == PAYLOAD_TYPE).then_some(named)
}

/// What cosign signs: the format "simple signing" of containers/image. Where the artefact lies is in it, too, and does
/// not count: artefacts are copied together with their signatures.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    r#type: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

const PAYLOAD_TYPE: &str = "cosign container image signature";

#[cfg(test)]
pub(crate) mod tests;
