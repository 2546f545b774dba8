//! The accounts of a device, as the bootstrap server is told of them: what is secret in clear.

use std::fmt;

use device_state::{BootstrapServer, OscoreSecret};

use super::{ConvertError, message, required};
use crate::rpc::v1::prepare_bootstrap_response as wire;

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct PreparedAccount {
    pub server: BootstrapServer,
    pub secret: AccountSecret,
}

/// What was made for the device, according to the security of the server.
#[derive(Clone, PartialEq, Eq)]
pub enum AccountSecret {
    NoSec,
    Psk {
        identity: Vec<u8>,
        key: Vec<u8>,
    },
    KeyPair(KeyPair),
    Oscore {
        /// The device's Sender ID.
        client_id: Vec<u8>,
        secret: OscoreSecret,
    },
}

/// A key pair of a device, in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// PKCS #8.
    pub private_key: Vec<u8>,
    /// Empty for raw public keys.
    pub certificate: Vec<u8>,
}

impl fmt::Debug for PreparedAccount {
    /// Nothing that is secret gets into logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PreparedAccount")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl From<PreparedAccount> for wire::Account {
    fn from(account: PreparedAccount) -> Self {
        use wire::account::Secret;
        let secret = match account.secret {
            AccountSecret::NoSec => None,
            AccountSecret::Psk { identity, key } => {
                Some(Secret::Psk(wire::PreSharedKey { identity, key }))
            }
            AccountSecret::KeyPair(KeyPair {
                public_key,
                private_key,
                certificate,
            }) => Some(Secret::KeyPair(wire::KeyPair {
                public_key,
                private_key,
                certificate,
            })),
            AccountSecret::Oscore { client_id, secret } => {
                Some(Secret::Oscore(wire::OscoreContext {
                    client_id,
                    secret: Some(secret.into()),
                }))
            }
        };
        Self {
            server: Some(account.server.into()),
            secret,
        }
    }
}

impl TryFrom<wire::Account> for PreparedAccount {
    type Error = ConvertError;

    fn try_from(account: wire::Account) -> Result<Self, ConvertError> {
        let server: BootstrapServer = message("server", account.server)?;
        let secret = secret(account.secret)?;
        Ok(Self { server, secret })
    }
}

fn secret(secret: Option<wire::account::Secret>) -> Result<AccountSecret, ConvertError> {
    use wire::account::Secret;
    Ok(match secret {
        None => AccountSecret::NoSec,
        Some(Secret::Psk(wire::PreSharedKey { identity, key })) => {
            AccountSecret::Psk { identity, key }
        }
        Some(Secret::KeyPair(pair)) => AccountSecret::KeyPair(KeyPair {
            public_key: pair.public_key,
            private_key: pair.private_key,
            certificate: pair.certificate,
        }),
        Some(Secret::Oscore(context)) => AccountSecret::Oscore {
            client_id: context.client_id,
            secret: required("secret", context.secret)?.into(),
        },
    })
}
