//! Credentials, without their keys.

use std::time::SystemTime;

use proto::drover::v1::Credential;
use serde::Serialize;

use crate::table;
use crate::time::{age, rfc3339};

/// `{"endpoint", "pskIdentity", "createTime"}`. An identity that is not printable text is `0x` and hex.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialView {
    endpoint: String,
    psk_identity: String,
    create_time: Option<String>,
    #[serde(skip)]
    created: Option<prost_types::Timestamp>,
}

impl From<Credential> for CredentialView {
    fn from(credential: Credential) -> Self {
        Self {
            endpoint: credential.endpoint,
            psk_identity: identity_text(&credential.psk_identity),
            create_time: rfc3339(credential.create_time.as_ref()),
            created: credential.create_time,
        }
    }
}

impl CredentialView {
    /// By endpoint and then by identity.
    pub(crate) fn order(&self) -> (&str, &str) {
        (&self.endpoint, &self.psk_identity)
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
                credential.psk_identity.clone(),
                age(credential.created.as_ref(), now),
            ]
        });
        table::render(&["ENDPOINT", "PSK-IDENTITY", "AGE"], rows)
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
