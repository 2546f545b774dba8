//! Alerts (RFC 5246 §7.2).

use std::fmt;

/// The description byte of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlertDescription(pub u8);

impl AlertDescription {
    /// The sender will send no more.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// A message was out of place.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// A record failed authentication.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// No acceptable set of parameters.
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    /// A certificate is damaged or not for this use.
    pub const BAD_CERTIFICATE: Self = Self(42);
    /// A key or certificate is of a type that is not supported.
    pub const UNSUPPORTED_CERTIFICATE: Self = Self(43);
    /// A certificate was revoked.
    pub const CERTIFICATE_REVOKED: Self = Self(44);
    /// A certificate is out of its time.
    pub const CERTIFICATE_EXPIRED: Self = Self(45);
    /// A certificate is not acceptable for some other reason.
    pub const CERTIFICATE_UNKNOWN: Self = Self(46);
    /// A field is out of range or inconsistent.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// No path leads to a trust anchor.
    pub const UNKNOWN_CA: Self = Self(48);
    /// A message does not parse.
    pub const DECODE_ERROR: Self = Self(50);
    /// A handshake's cryptographic operation failed, such as a Finished.
    pub const DECRYPT_ERROR: Self = Self(51);
    /// The protocol version is not supported.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// The sender failed for a reason of its own.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// The sender will not renegotiate.
    pub const NO_RENEGOTIATION: Self = Self(100);
    /// An extension came back that was not offered.
    pub const UNSUPPORTED_EXTENSION: Self = Self(110);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::CLOSE_NOTIFY => "close_notify",
            Self::UNEXPECTED_MESSAGE => "unexpected_message",
            Self::BAD_RECORD_MAC => "bad_record_mac",
            Self::HANDSHAKE_FAILURE => "handshake_failure",
            Self::BAD_CERTIFICATE => "bad_certificate",
            Self::UNSUPPORTED_CERTIFICATE => "unsupported_certificate",
            Self::CERTIFICATE_REVOKED => "certificate_revoked",
            Self::CERTIFICATE_EXPIRED => "certificate_expired",
            Self::CERTIFICATE_UNKNOWN => "certificate_unknown",
            Self::UNKNOWN_CA => "unknown_ca",
            Self::ILLEGAL_PARAMETER => "illegal_parameter",
            Self::DECODE_ERROR => "decode_error",
            Self::DECRYPT_ERROR => "decrypt_error",
            Self::PROTOCOL_VERSION => "protocol_version",
            Self::INTERNAL_ERROR => "internal_error",
            Self::NO_RENEGOTIATION => "no_renegotiation",
            Self::UNSUPPORTED_EXTENSION => "unsupported_extension",
            Self(115) => "unknown_psk_identity",
            Self(_) => return None,
        })
    }
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlertLevel {
    Warning,
    Fatal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) level: AlertLevel,
    pub(crate) description: AlertDescription,
}

impl Alert {
    pub(crate) const fn fatal(description: AlertDescription) -> Self {
        Self {
            level: AlertLevel::Fatal,
            description,
        }
    }

    pub(crate) const fn warning(description: AlertDescription) -> Self {
        Self {
            level: AlertLevel::Warning,
            description,
        }
    }

    pub(crate) const fn encode(self) -> [u8; 2] {
        let level = match self.level {
            AlertLevel::Warning => 1,
            AlertLevel::Fatal => 2,
        };
        [level, self.description.0]
    }

    /// `None` for anything but one whole alert with a known level.
    pub(crate) const fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [1, description] => Some(Self::warning(AlertDescription(description))),
            [2, description] => Some(Self::fatal(AlertDescription(description))),
            _ => None,
        }
    }
}
