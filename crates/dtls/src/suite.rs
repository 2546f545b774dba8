//! Cipher suites.

/// A cipher suite that can be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CipherSuite {
    /// `TLS_PSK_WITH_AES_128_CCM_8` (RFC 6655), mandatory for LwM2M.
    PskAes128Ccm8,
    /// `TLS_PSK_WITH_AES_128_CBC_SHA256` (RFC 5487), only with encrypt_then_mac (RFC 7366).
    PskAes128CbcSha256,
    /// `TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256` (RFC 5489), only with encrypt_then_mac.
    EcdhePskAes128CbcSha256,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8` (RFC 7251), mandatory for LwM2M with keys of its own.
    EcdheEcdsaAes128Ccm8,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256` (RFC 5289).
    EcdheEcdsaAes128GcmSha256,
}

/// How a suite agrees on the premaster secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyExchange {
    /// RFC 4279 §2.
    Psk,
    /// RFC 5489 §2.
    EcdhePsk,
    /// RFC 8422 §2, with the client's key asked for.
    EcdheEcdsa,
}

/// How a suite protects records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Aes128Ccm8,
    Aes128Gcm,
    /// RFC 7366: refused without encrypt_then_mac. The older order, MAC then encrypt, can only be
    /// opened safely with constant-time removal of padding and MAC (Lucky Thirteen); every library
    /// that does CBC in DTLS 1.2 today also does encrypt_then_mac, so that code is not worth having.
    Aes128CbcSha256,
}

impl KeyExchange {
    /// Whether both ends have an ephemeral key.
    pub(crate) const fn is_ephemeral(self) -> bool {
        matches!(self, Self::EcdhePsk | Self::EcdheEcdsa)
    }
}

impl CipherSuite {
    /// Every suite, most preferred first. A client offers pre-shared keys only when it has one, but
    /// many offer ECDSA without a key of their own: so pre-shared keys come first. Among them CCM_8
    /// does, which costs a device least.
    pub const ALL: &[Self] = &[
        Self::PskAes128Ccm8,
        Self::EcdhePskAes128CbcSha256,
        Self::PskAes128CbcSha256,
        Self::EcdheEcdsaAes128GcmSha256,
        Self::EcdheEcdsaAes128Ccm8,
    ];

    /// The number of the suite in hellos and in exported sessions.
    pub const fn code(self) -> u16 {
        match self {
            Self::PskAes128Ccm8 => 0xC0A8,
            Self::PskAes128CbcSha256 => 0x00AE,
            Self::EcdhePskAes128CbcSha256 => 0xC037,
            Self::EcdheEcdsaAes128Ccm8 => 0xC0AE,
            Self::EcdheEcdsaAes128GcmSha256 => 0xC02B,
        }
    }

    pub(crate) fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.code() == code)
    }

    pub(crate) const fn key_exchange(self) -> KeyExchange {
        match self {
            Self::PskAes128Ccm8 | Self::PskAes128CbcSha256 => KeyExchange::Psk,
            Self::EcdhePskAes128CbcSha256 => KeyExchange::EcdhePsk,
            Self::EcdheEcdsaAes128Ccm8 | Self::EcdheEcdsaAes128GcmSha256 => KeyExchange::EcdheEcdsa,
        }
    }

    pub(crate) const fn protection(self) -> Protection {
        match self {
            Self::PskAes128Ccm8 | Self::EcdheEcdsaAes128Ccm8 => Protection::Aes128Ccm8,
            Self::EcdheEcdsaAes128GcmSha256 => Protection::Aes128Gcm,
            Self::PskAes128CbcSha256 | Self::EcdhePskAes128CbcSha256 => Protection::Aes128CbcSha256,
        }
    }

    /// Whether the suite is of no use without encrypt_then_mac.
    pub(crate) const fn needs_encrypt_then_mac(self) -> bool {
        matches!(self.protection(), Protection::Aes128CbcSha256)
    }
}
