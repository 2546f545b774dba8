//! Why contexts are not made, and messages not protected, accepted or sent.

use coap::Code;

/// Why no context was derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// RFC 8613 §3.3: an identifier must fit into the nonce.
    #[error("an identifier is longer than the {limit} bytes that the algorithm allows")]
    IdentifierTooLong {
        /// Of the algorithm.
        limit: usize,
    },
    /// RFC 8613 §3.3: with equal identifiers both directions would use the same key and nonces.
    #[error("sender and recipient identifier are the same")]
    SameIdentifiers,
    /// The option has one byte for the length.
    #[error("the id context is longer than 255 bytes")]
    IdContextTooLong,
    /// A master secret of no bytes protects nothing.
    #[error("the master secret is empty")]
    EmptySecret,
}

/// Why a message was not protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtectError {
    /// All sequence numbers of this generation are used: export the context and import it with the
    /// next generation.
    #[error("sender sequence numbers are used up")]
    SequenceExhausted,
    /// The code is that of the other direction, or none.
    #[error("the message is not of this kind")]
    WrongKind,
    /// The message has an OSCORE option already.
    #[error("the message is protected already")]
    AlreadyProtected,
    /// RFC 8613 §4.1.3.3: Proxy-Uri is to be taken apart first.
    #[error("the message has a proxy-uri option")]
    ProxyUri,
    /// Longer than any datagram.
    #[error("the message is too long")]
    TooLong,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnprotectError {
    /// There is no OSCORE option, or no ciphertext.
    #[error("the message is not protected")]
    NotProtected,
    /// The OSCORE option cannot be read, or lacks what a request must have.
    #[error("the OSCORE option is malformed")]
    MalformedOption,
    /// The identifiers are not those of the context.
    #[error("the message belongs to another security context")]
    OtherContext,
    /// The sequence number was seen before, or is too old to tell.
    #[error("the request is a replay")]
    Replayed,
    /// The replay window is lost: no request can be told from a replay before the peer has
    /// returned an Echo option.
    #[error("the replay window is not synchronised")]
    NotSynchronised,
    /// A notification that is not newer than all before it.
    #[error("the notification is not newer than those before it")]
    Stale,
    /// The ciphertext does not authenticate.
    #[error("decryption failed")]
    DecryptionFailed,
    /// What was encrypted is not a message of this kind.
    #[error("the plaintext is malformed")]
    MalformedPlaintext,
}

impl UnprotectError {
    /// Code and diagnostic payload that a request is answered with (RFC 8613 §8.2).
    pub const fn answer(self) -> Option<(Code, &'static str)> {
        Some(match self {
            Self::NotProtected | Self::MalformedOption => {
                (Code::BAD_OPTION_4_02, "Failed to decode COSE")
            }
            Self::OtherContext => (Code::UNAUTHORIZED_4_01, "Security context not found"),
            Self::Replayed => (Code::UNAUTHORIZED_4_01, "Replay detected"),
            Self::DecryptionFailed | Self::MalformedPlaintext => {
                (Code::BAD_REQUEST_4_00, "Decryption failed")
            }
            // Answered with an Echo option, and nobody waits for the answer to a notification.
            Self::NotSynchronised | Self::Stale => return None,
        })
    }
}

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no such context.
    #[error("no such security context")]
    UnknownContext,
    /// The context's peer was not heard of yet.
    #[error("the address of the peer is not known")]
    UnknownPeer,
    /// The layer above gave something that is no CoAP message.
    #[error("not a coap message")]
    Malformed(#[from] coap::DecodeError),
    /// There is no request which this could be the response to, or it is forgotten.
    #[error("no request has this token")]
    UnknownRequest,
    /// [`crate::Config::max_requests`] requests wait for a response.
    #[error("too many requests wait for a response")]
    TooManyRequests,
    /// See there.
    #[error(transparent)]
    Protect(#[from] ProtectError),
}

/// Why a context was not imported.
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
    /// A context with the same Recipient ID and ID Context is here already.
    #[error("a context with the same identifiers is here already")]
    AlreadyPresent,
    /// [`crate::Config::max_contexts`] is reached.
    #[error("the table of contexts is full")]
    TableFull,
}
