//! Credentials, without their secrets.

use std::time::SystemTime;

use proto::drover::v1::Credential;
use proto::drover::v1::credential_id::Kind;
use serde::Serialize;

use crate::table;
use crate::time::{age, rfc3339};

/// `{"endpoint", "kind", "identity", "createTime", "etag"}`. A PSK identity that is not printable text is `0x` and hex; the
/// identity of a public key is its SHA-256 in hex, and that of an OSCORE context the device's Sender ID in hex.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialView {
    endpoint: String,
    kind: &'static str,
    identity: String,
    create_time: Option<String>,
    etag: String,
    #[serde(skip)]
    created: Option<prost_types::Timestamp>,
}

impl From<Credential> for CredentialView {
    fn from(credential: Credential) -> Self {
        let (kind, identity) = match credential.id.and_then(|id| id.kind) {
            Some(Kind::PskIdentity(identity)) => ("psk", identity_text(&identity)),
            Some(Kind::PublicKeyFingerprint(hash)) => ("public-key", hex::encode(hash)),
            Some(Kind::OscoreClientId(id)) => ("oscore", hex::encode(id)),
            None => ("unknown", String::new()),
        };
        Self {
            endpoint: credential.endpoint,
            kind,
            identity,
            create_time: rfc3339(credential.create_time.as_ref()),
            etag: credential.etag,
            created: credential.create_time,
        }
    }
}

impl CredentialView {
    /// By endpoint, then by kind and identity.
    pub(crate) fn order(&self) -> (&str, &str, &str) {
        (&self.endpoint, self.kind, &self.identity)
    }
}

fn identity_text(identity: &[u8]) -> String {
    match std::str::from_utf8(identity) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex::encode(identity)),
    }
}

/// `{"credentials": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct CredentialsView {
    pub(crate) credentials: Vec<CredentialView>,
}

impl CredentialsView {
    pub(crate) fn table(&self, now: SystemTime) -> String {
        let rows = self.credentials.iter().map(|credential| {
            vec![
                credential.endpoint.clone(),
                credential.kind.to_owned(),
                credential.identity.clone(),
                age(credential.created.as_ref(), now),
            ]
        });
        table::render(&["ENDPOINT", "KIND", "IDENTITY", "AGE"], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_text_where_it_can_be() {
        assert_eq!(identity_text(b"meter-7"), "meter-7");
        assert_eq!(identity_text(&[0xff, 1]), "0xff01");
        assert_eq!(identity_text(b"a\n"), "0x610a");
    }
}
