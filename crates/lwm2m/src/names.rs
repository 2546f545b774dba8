//! Who a device is and how long its registration lasts.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// The name a device registers under (`ep`): 1 to 255 bytes of UTF-8 without control characters.
///
/// Cloning is cheap. A name alone proves nothing: it must be checked against the identity of the
/// secured session before it is used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(Arc<str>);

/// Why a text is not an endpoint name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EndpointNameError {
    /// The text is empty.
    #[error("endpoint name is empty")]
    Empty,
    /// The text is longer than [`EndpointName::MAX_BYTES`].
    #[error("endpoint name has {0} bytes, more than 255")]
    TooLong(usize),
    /// The text contains a control character.
    #[error("endpoint name contains a control character")]
    Control,
}

impl EndpointName {
    /// The longest accepted name in bytes: what one Uri-Query option can carry.
    pub const MAX_BYTES: usize = 255;

    /// Checks `name` and takes a copy of it.
    pub fn new(name: &str) -> Result<Self, EndpointNameError> {
        if name.is_empty() {
            Err(EndpointNameError::Empty)
        } else if name.len() > Self::MAX_BYTES {
            Err(EndpointNameError::TooLong(name.len()))
        } else if name.chars().any(char::is_control) {
            Err(EndpointNameError::Control)
        } else {
            Ok(Self(name.into()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The server's handle of one registration, the segment after `/rd/`: 1 to 32 bytes of
/// `A–Z a–z 0–9 - _`.
///
/// The bound is what the strictest known client stores of a Location-Path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(Arc<str>);

/// Why a text is not a registration id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RegistrationIdError {
    /// The text is empty.
    #[error("registration id is empty")]
    Empty,
    /// The text is longer than [`RegistrationId::MAX_BYTES`].
    #[error("registration id has {0} bytes, more than 32")]
    TooLong(usize),
    /// The text contains something else than letters, digits, `-` and `_`.
    #[error("registration id contains a character that is not url-safe")]
    NotUrlSafe,
}

impl RegistrationId {
    /// The longest accepted id in bytes.
    pub const MAX_BYTES: usize = 32;

    /// Checks `id` and takes a copy of it.
    pub fn new(id: &str) -> Result<Self, RegistrationIdError> {
        let url_safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() {
            Err(RegistrationIdError::Empty)
        } else if id.len() > Self::MAX_BYTES {
            Err(RegistrationIdError::TooLong(id.len()))
        } else if !id.bytes().all(url_safe) {
            Err(RegistrationIdError::NotUrlSafe)
        } else {
            Ok(Self(id.into()))
        }
    }

    /// The id as text, without `/rd/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What every checked text newtype offers: parsing, printing, and lookup by `&str`.
macro_rules! checked_text {
    ($name:ident, $error:ident) => {
        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;
            fn try_from(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                Self::new(&text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

checked_text!(EndpointName, EndpointNameError);
checked_text!(RegistrationId, RegistrationIdError);

/// How long a registration lives without an Update (`lt`), in whole seconds; 0 is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(u32);

/// Why a text is not a lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("lifetime is not a number of seconds from 0 to 4294967295")]
pub struct LifetimeError;

impl Lifetime {
    /// The lifetime of a registration that names none: one day.
    // LwM2M-Core 1.2 §6.2.1: "the default value of 86400".
    pub const DEFAULT: Self = Self(86_400);

    /// The registration never expires.
    pub const INFINITE: Self = Self(0);

    /// A lifetime of `secs` seconds; 0 is [`Lifetime::INFINITE`].
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs)
    }

    /// The seconds as they are written on the wire; 0 is for ever.
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// The time to live, `None` if the registration never expires.
    pub fn duration(self) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_secs(u64::from(self.0)))
    }

    /// Whether the registration never expires.
    pub const fn is_infinite(self) -> bool {
        self.0 == 0
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;
    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        text.parse().map(Self).map_err(|_| LifetimeError)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The LwM2M enabler release a device speaks (`lwm2m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LwM2mVersion {
    /// LwM2M 1.0.
    V1_0,
    /// LwM2M 1.1.
    V1_1,
    /// LwM2M 1.2.
    V1_2,
}

/// The text names no LwM2M version that this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unsupported lwm2m version")]
pub struct UnsupportedVersion;

impl LwM2mVersion {
    /// The version as it is written in a registration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

impl FromStr for LwM2mVersion {
    type Err = UnsupportedVersion;
    fn from_str(text: &str) -> Result<Self, UnsupportedVersion> {
        match text {
            "1.0" => Ok(Self::V1_0),
            "1.1" => Ok(Self::V1_1),
            "1.2" => Ok(Self::V1_2),
            _ => Err(UnsupportedVersion),
        }
    }
}

impl fmt::Display for LwM2mVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn endpoint_names_are_bounded_and_printable() {
        assert_eq!(
            EndpointName::new("urn:imei:1").unwrap().to_string(),
            "urn:imei:1"
        );
        assert_eq!(EndpointName::new(""), Err(EndpointNameError::Empty));
        assert_eq!(EndpointName::new("a\nb"), Err(EndpointNameError::Control));
        assert!(EndpointName::new(&"x".repeat(255)).is_ok());
        assert_eq!(
            EndpointName::new(&"x".repeat(256)),
            Err(EndpointNameError::TooLong(256))
        );
    }

    #[test]
    fn registration_ids_fit_one_path_segment() {
        assert!(RegistrationId::new("aZ09-_").is_ok());
        assert_eq!(
            RegistrationId::new("a/b"),
            Err(RegistrationIdError::NotUrlSafe)
        );
        assert_eq!(
            RegistrationId::new(".."),
            Err(RegistrationIdError::NotUrlSafe)
        );
        assert_eq!(
            RegistrationId::new(&"a".repeat(33)),
            Err(RegistrationIdError::TooLong(33))
        );
    }

    #[test]
    fn a_lifetime_of_zero_never_ends() {
        assert_eq!("0".parse::<Lifetime>().unwrap().duration(), None);
        assert_eq!(
            "60".parse::<Lifetime>().unwrap().duration(),
            Some(Duration::from_mins(1))
        );
        assert!("-1".parse::<Lifetime>().is_err());
        assert!("4294967296".parse::<Lifetime>().is_err());
    }

    #[test]
    fn only_released_versions_are_supported() {
        assert_eq!("1.1".parse(), Ok(LwM2mVersion::V1_1));
        assert_eq!("1".parse::<LwM2mVersion>(), Err(UnsupportedVersion));
        assert_eq!("1.3".parse::<LwM2mVersion>(), Err(UnsupportedVersion));
        assert!(LwM2mVersion::V1_0 < LwM2mVersion::V1_2);
    }
}
