//! Why handshakes fail, sessions end and calls are refused.

use crate::alert::AlertDescription;
use crate::identity::PeerRejection;
use crate::session::SessionId;

/// Why a handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The peer, or the owner of the engine, did not answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The peer gave up.
    #[error("peer sent the fatal alert {0}")]
    PeerAlert(AlertDescription),
    /// The peer started over from the same address.
    #[error("superseded by a new handshake of the peer")]
    Superseded,
    /// The peer speaks something older than DTLS 1.2.
    #[error("peer does not offer DTLS 1.2")]
    UnsupportedVersion,
    /// No cipher suite in common.
    #[error("no cipher suite in common")]
    NoCommonSuite,
    /// A key in none of the forms that the peer takes or gives.
    #[error("no certificate type in common")]
    NoCommonCertificateType,
    /// The peer presents no key, or one that is not on P-256, or a certificate that does not parse.
    #[error("peer presents no key that can be used")]
    UnusableKey,
    /// The peer's key was not accepted.
    #[error("peer's key was not accepted: {0}")]
    PeerRejected(#[source] PeerRejection),
    /// The peer does not have the private key to what it presents.
    #[error("peer's signature does not verify")]
    BadSignature,
    /// The cryptographic library failed.
    #[error("cryptographic operation failed")]
    Cryptography,
    /// A parameter that the protocol does not allow.
    #[error("peer sent an illegal parameter")]
    IllegalParameter,
    /// The answer to an offer that was not made.
    #[error("peer sent an extension that was not offered")]
    UnsolicitedExtension,
    /// RFC 7627 §5.3: the session has an extended master secret, and the hello that asks to resume
    /// it knows nothing of them.
    #[error("peer resumes a session with an extended master secret without offering one")]
    MissingExtendedMasterSecret,
    /// A message does not parse.
    #[error("peer sent a malformed message")]
    Malformed,
    /// A message came where the protocol does not allow it.
    #[error("peer sent a message out of place")]
    UnexpectedMessage,
    /// The identity is longer than 128 bytes.
    #[error("peer's identity is too long")]
    IdentityTooLong,
    /// The peer's key differs, or its identity is unknown: the two cannot be told apart.
    #[error("peer's Finished could not be decrypted")]
    Undecryptable,
    /// The transcripts differ.
    #[error("peer's Finished does not match the handshake")]
    FinishedMismatch,
    /// The session could not be stored.
    #[error("session was not stored")]
    StoreRefused,
    /// There is no room for another session, or its Connection ID is taken.
    #[error("no room for the session")]
    NoRoom,
}

impl HandshakeFailure {
    /// What the peer is told.
    pub(crate) const fn alert(self) -> Option<AlertDescription> {
        Some(match self {
            Self::TimedOut | Self::PeerAlert(_) | Self::Superseded => return None,
            Self::UnsupportedVersion => AlertDescription::PROTOCOL_VERSION,
            Self::NoCommonSuite | Self::MissingExtendedMasterSecret => {
                AlertDescription::HANDSHAKE_FAILURE
            }
            Self::NoCommonCertificateType => AlertDescription::UNSUPPORTED_CERTIFICATE,
            Self::UnusableKey => AlertDescription::BAD_CERTIFICATE,
            Self::PeerRejected(reason) => reason.alert(),
            Self::BadSignature => AlertDescription::DECRYPT_ERROR,
            Self::IllegalParameter | Self::IdentityTooLong => AlertDescription::ILLEGAL_PARAMETER,
            Self::UnsolicitedExtension => AlertDescription::UNSUPPORTED_EXTENSION,
            Self::Malformed => AlertDescription::DECODE_ERROR,
            Self::UnexpectedMessage => AlertDescription::UNEXPECTED_MESSAGE,
            // RFC 4279 §2: decrypt_error, whether the identity or the key is wrong.
            Self::Undecryptable | Self::FinishedMismatch => AlertDescription::DECRYPT_ERROR,
            Self::StoreRefused | Self::NoRoom | Self::Cryptography => {
                AlertDescription::INTERNAL_ERROR
            }
        })
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer sent close_notify.
    #[error("peer closed the session")]
    PeerClosed,
    /// The peer sent an authenticated fatal alert.
    #[error("peer sent the fatal alert {0}")]
    PeerAlert(AlertDescription),
    /// `close` was called.
    #[error("closed locally")]
    Local,
    /// All write sequence numbers of this generation are used.
    #[error("write sequence numbers are used up")]
    SequenceExhausted,
    /// The client, without Connection ID, finished a new handshake from the same address.
    #[error("superseded by a new session from the same address")]
    Superseded,
    /// Nothing was heard for [`crate::Config::session_idle`]. The peer was not told: the session
    /// can be imported again.
    #[error("idle for too long")]
    Idle,
}

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no such session, or no session yet.
    #[error("no such session")]
    NoSession,
    /// RFC 5246 §6.2.1: a record holds at most 2^14 bytes.
    #[error("plaintext of {length} bytes is longer than a record")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
    /// The session is closed now, because its sequence numbers are used up.
    #[error("write sequence numbers are used up")]
    SequenceExhausted,
}

/// Why a session was not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The generation is not above the exported one: sending could repeat a nonce.
    #[error("generation {given} is not above the exported generation {exported}")]
    StaleGeneration {
        /// The importing owner's.
        given: u16,
        /// The exporting owner's.
        exported: u16,
    },
    /// The session, or another one at the same address without Connection ID, is here already.
    #[error("session {0} has the same connection id or address")]
    AlreadyPresent(SessionId),
    /// [`crate::Config::max_sessions`] is reached.
    #[error("session table is full")]
    TableFull,
}
