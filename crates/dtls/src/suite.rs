//! Cipher suites.

/// A cipher suite that can be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CipherSuite {
    /// `TLS_PSK_WITH_AES_128_CCM_8` (RFC 6655), mandatory for LwM2M.
    PskAes128Ccm8,
}

/// How a suite agrees on the premaster secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyExchange {
    /// RFC 4279 §2.
    Psk,
}

impl CipherSuite {
    /// Every suite, most preferred first.
    pub(crate) const PREFERENCE: &[Self] = &[Self::PskAes128Ccm8];

    /// The number of the suite in hellos and in exported sessions.
    pub const fn code(self) -> u16 {
        match self {
            Self::PskAes128Ccm8 => 0xC0A8,
        }
    }

    pub(crate) fn from_code(code: u16) -> Option<Self> {
        Self::PREFERENCE
            .iter()
            .copied()
            .find(|suite| suite.code() == code)
    }

    pub(crate) const fn key_exchange(self) -> KeyExchange {
        match self {
            Self::PskAes128Ccm8 => KeyExchange::Psk,
        }
    }
}
