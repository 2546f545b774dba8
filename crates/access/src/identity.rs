//! Who calls.

use serde::Serialize;

/// The name of a caller without credentials, as Kubernetes calls it.
const ANONYMOUS: &str = "system:anonymous";
/// The group of such callers.
const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of all others.
const AUTHENTICATED: &str = "system:authenticated";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub name: String,
    pub groups: Vec<String>,
    pub kind: Kind,
}

/// What an identity was proved by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing.
    Anonymous,
    /// The certificate of the TLS connection.
    Certificate,
    /// A token of an OIDC issuer.
    Token,
    /// A token of a Kubernetes ServiceAccount.
    ServiceAccount,
}

impl Identity {
    /// Somebody who proved to be `name`, of `groups` and of the group of all who proved something.
    pub fn new(name: &str, groups: impl IntoIterator<Item = String>, kind: Kind) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            name: name.to_owned(),
            groups,
            kind,
        }
    }

    /// Somebody who showed nothing.
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            kind: Kind::Anonymous,
        }
    }
}
