//! Names that stand in manifests and become paths: none of them can lead out of its folder.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{0:?} is not the id of a backup, which is like 20261130T174512114Z-5f3a9c1e")]
    BackupId(String),
    #[error("{0:?} is not the name of a file of a checkpoint")]
    FileName(String),
    #[error("{0:?} is not a SHA-256 in hex")]
    Digest(String),
}

/// Which backup: when it began, in UTC and to the millisecond, and eight hex digits by chance. Ids sort by time.
///
/// Earlier builds made ids to the second, which are still read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// The id of a backup that begins at `time`.
    pub fn new(time: SystemTime, chance: u32) -> Self {
        let time = humantime::format_rfc3339_millis(time).to_string();
        let time: String = time
            .chars()
            .filter(|c| !matches!(c, '-' | ':' | '.'))
            .collect();
        Self(format!("{time}-{chance:08x}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits = |part: &str, count| {
            part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let parts = text.split_once('T').and_then(|(date, rest)| {
            let (time, chance) = rest.split_once("Z-")?;
            Some((date, time, chance))
        });
        let fits = parts.is_some_and(|(date, time, chance)| {
            digits(date, 8)
                && (digits(time, 9) || digits(time, 6))
                && chance.len() == 8
                && chance.bytes().all(is_lower_hex)
        });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::BackupId(shown(text)))
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which backup somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest one.
    Latest,
    One(BackupId),
}

impl FromStr for Wanted {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "latest" => Ok(Self::Latest),
            id => id.parse().map(Self::One),
        }
    }
}

/// The name of a file of a checkpoint: one plain component of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    const MAX_BYTES: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FileName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let fits = (1..=Self::MAX_BYTES).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(plain);
        if fits {
            Ok(Self(text))
        } else {
            Err(NameError::FileName(shown(&text)))
        }
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The SHA-256 of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut digest = [0; 32];
        if text.bytes().all(is_lower_hex) && hex::decode_to_slice(text, &mut digest).is_ok() {
            Ok(Self(digest))
        } else {
            Err(NameError::Digest(shown(text)))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

const fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

/// What somebody else wrote, no longer than a message should be.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_id_tells_when_the_backup_began_and_reads_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_060_712);
        let id = BackupId::new(time, 0x5f3a_9c1e);
        assert_eq!(id.as_str(), "20261130T174512000Z-5f3a9c1e");
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in [
            "",
            "latest",
            "20261130T174512Z-5f3a9c1",
            "20261130T1745121Z-5f3a9c1e",
            "../20261130T174512Z-5f3a9c1e",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_name_stays_in_its_folder() {
        let is_name = |text: &str| FileName::try_from(text.to_owned()).is_ok();
        for good in ["CURRENT", "000012.sst", "MANIFEST-000005", "OPTIONS-000007"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(129);
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc/passwd",
            "a\\b",
            ".hidden",
            "é",
            "a\0",
            &long,
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_is_64_lower_hex_digits() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(text.parse(), Ok(Digest::of(b"")));
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!(text[1..].parse::<Digest>().is_err());
    }
}
