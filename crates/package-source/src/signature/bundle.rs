//! Bundles of Sigstore, as cosign puts them into registries from version 3 on: an envelope (DSSE 1.0) around a
//! statement (in-toto 1.0) that names the artefact.
//!
//! Certificates, entries of transparency logs and timestamps in a bundle do not count: whoever declares a key trusts
//! that key.

use std::collections::BTreeMap;

use device_state::Digest;
use serde::Deserialize;

/// The type of what an envelope has in it.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// in-toto 1.0, "Statement"; cosign signs with no other one.
const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
/// A statement that the subject is signed; others, such as how it was built, are no signatures of it.
pub(crate) const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

/// What is signed, and by what; both in base64.
pub(super) struct Envelope {
    pub(super) payload_type: String,
    pub(super) payload: String,
    pub(super) signature: String,
}

/// The envelope of a bundle, if it has one with one signature.
pub(super) fn envelope(bundle: &[u8]) -> Option<Envelope> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle {
        dsse_envelope: Dsse,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Dsse {
        payload: String,
        payload_type: String,
        signatures: Vec<Signature>,
    }
    #[derive(Deserialize)]
    struct Signature {
        sig: String,
    }
    let Bundle { dsse_envelope } = serde_json::from_slice(bundle).ok()?;
    // Sigstore bundle 0.3: exactly one.
    let [signature] = <[Signature; 1]>::try_from(dsse_envelope.signatures).ok()?;
    Some(Envelope {
        payload_type: dsse_envelope.payload_type,
        payload: dsse_envelope.payload,
        signature: signature.sig,
    })
}

/// What the signature of an envelope is over. DSSE 1.0, "Signature Definition".
pub(super) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let (kind, length) = (payload_type.len(), payload.len());
    let mut encoded = format!("DSSEv1 {kind} {payload_type} {length} ").into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

/// Something that is said of artefacts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// The statement in an envelope, if that is what it has in it.
    pub(super) fn read(payload_type: &str, payload: &[u8]) -> Option<Self> {
        if payload_type != STATEMENT {
            return None;
        }
        serde_json::from_slice(payload).ok()
    }

    /// Whether it says that its subject is signed.
    pub(super) fn is_signature(&self) -> bool {
        self.predicate_type == SIGNED
    }

    /// The artefact that it says to be signed; `None` if it says anything else, or of several.
    pub(super) fn signed(&self) -> Option<Digest> {
        let [subject] = self.subject.as_slice() else {
            return None;
        };
        let digest = Digest::from_hex(subject.digest.get("sha256")?).ok()?;
        (self.kind == STATEMENT_V1 && self.is_signature()).then_some(digest)
    }
}

#[cfg(test)]
mod tests;
