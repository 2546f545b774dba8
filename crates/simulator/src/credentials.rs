//! The pre-shared keys of a fleet.

use std::path::Path;

use thiserror::Error;

/// What one device proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// PSK identity.
    pub identity: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

/// Where the credentials of a fleet come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// One key, and identities that are numbered.
    Shared {
        identity_prefix: String,
        key: Vec<u8>,
    },
    /// Endpoint and credential of each device.
    Listed(Vec<(String, Credential)>),
}

/// Why credentials cannot be used.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("psk file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The line has not three fields; lines are counted from 1.
    #[error("line {0} of the psk file is not endpoint,identity,key")]
    Fields(usize),
    /// The key is not hexadecimal, or empty.
    #[error("key in line {0} of the psk file is not hexadecimal")]
    Key(usize),
    /// The key on the command line is not hexadecimal, or empty.
    #[error("psk key is not hexadecimal")]
    SharedKey,
    /// There are fewer lines than devices.
    #[error("psk file has {listed} devices, {wanted} are wanted")]
    TooFew { listed: usize, wanted: usize },
}

impl Credentials {
    /// Every device has this key, in hexadecimal.
    pub fn shared(identity_prefix: &str, key: &str) -> Result<Self, CredentialsError> {
        Ok(Self::Shared {
            identity_prefix: identity_prefix.to_owned(),
            key: parse_key(key).ok_or(CredentialsError::SharedKey)?,
        })
    }

    /// Reads a CSV file of `endpoint,identity,key`, with or without this line as its header.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, CredentialsError> {
        let mut listed = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let header = index == 0 && line.starts_with("endpoint,");
            if line.is_empty() || line.starts_with('#') || header {
                continue;
            }
            let number = index + 1;
            let mut fields = line.split(',').map(str::trim);
            let (Some(endpoint), Some(identity), Some(key)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(CredentialsError::Fields(number));
            };
            if endpoint.is_empty() || identity.is_empty() {
                return Err(CredentialsError::Fields(number));
            }
            let credential = Credential {
                identity: identity.as_bytes().to_vec(),
                key: parse_key(key).ok_or(CredentialsError::Key(number))?,
            };
            listed.push((endpoint.to_owned(), credential));
        }
        Ok(Self::Listed(listed))
    }

    /// How many devices there are credentials for; any number if `None`.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Shared { .. } => None,
            Self::Listed(listed) => Some(listed.len()),
        }
    }

    /// Endpoint and credential of the device with this number.
    pub fn device(&self, number: usize) -> Option<(Option<&str>, Credential)> {
        match self {
            Self::Shared {
                identity_prefix,
                key,
            } => {
                let identity = numbered(identity_prefix, number).into_bytes();
                let key = key.clone();
                Some((None, Credential { identity, key }))
            }
            Self::Listed(listed) => {
                let (endpoint, credential) = listed.get(number)?;
                Some((Some(endpoint), credential.clone()))
            }
        }
    }
}

/// A name that ends in a number.
pub(crate) fn numbered(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:06}")
}

fn parse_key(text: &str) -> Option<Vec<u8>> {
    hex::decode(text).ok().filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn files_have_one_device_a_line() {
        let text = "endpoint,identity,key\n# lamps\nlamp-1,id-1,00ff\n\nlamp-2, id-2, a0b0\n";
        let credentials = Credentials::parse(text).unwrap();
        assert_eq!(credentials.len(), Some(2));
        let (endpoint, credential) = credentials.device(1).unwrap();
        assert_eq!(endpoint, Some("lamp-2"));
        assert_eq!(credential.identity, b"id-2");
        assert_eq!(credential.key, [0xa0, 0xb0]);
        assert!(credentials.device(2).is_none());
    }

    #[test]
    fn broken_lines_are_named() {
        let fields = Credentials::parse("a,b\n").unwrap_err();
        assert!(matches!(fields, CredentialsError::Fields(1)));
        let key = Credentials::parse("a,b,00\na,b,xy\n").unwrap_err();
        assert!(matches!(key, CredentialsError::Key(2)));
    }

    #[test]
    fn shared_keys_have_numbered_identities() {
        let credentials = Credentials::shared("sim-", "00").unwrap();
        let (endpoint, credential) = credentials.device(7).unwrap();
        assert_eq!(
            (endpoint, credential.identity.as_slice()),
            (None, &b"sim-000007"[..])
        );
        assert!(Credentials::shared("sim-", "").is_err());
    }
}
