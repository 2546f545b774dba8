//! What a device's certificate is worth, in DTLS and in TLS.

use std::time::Duration;

use dtls::{Fingerprint, PeerRejection, SubjectNames, TrustAnchors};

/// What is known of a certificate before the state tier is asked.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// An authority vouches for these names.
    Certified(SubjectNames),
    /// Nobody vouches for it, but its key may be a credential. If not, `otherwise` is why it is refused.
    ByKey {
        key: Fingerprint,
        otherwise: PeerRejection,
    },
    Refused(PeerRejection),
}

/// Judges a chain whose end entity has this key, at a time since 1970.
pub(crate) fn judge(
    anchors: &TrustAnchors,
    chain: &[Vec<u8>],
    key: Fingerprint,
    unix_time: Duration,
) -> Judgement {
    match anchors.validate_client(chain, unix_time) {
        Ok(names) => Judgement::Certified(names),
        Err(
            reason @ (PeerRejection::Revoked
            | PeerRejection::RevocationUnknown
            | PeerRejection::Expired),
        ) => Judgement::Refused(reason),
        Err(otherwise) => Judgement::ByKey { key, otherwise },
    }
}
