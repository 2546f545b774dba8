//! Why a call is refused.

use access::{ClaimsError, Permission};
use device_state::NamespaceError;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this API wants a bearer token or a certificate, and neither was shown")]
    NoCredentials,
    #[error("the bearer token is not good: {0}")]
    Token(TokenRefusal),
    #[error("the certificate names nobody who may call: {0}")]
    Certificate(#[from] CertificateRefusal),
    #[error("{who} may not {} {}", permission.verb, permission.resource)]
    Forbidden { who: String, permission: Permission },
    #[error("the metadata drover-namespace does not name a namespace: {0}")]
    Namespace(#[from] NamespaceError),
    #[error("there is no rule for {0}, so nobody may call it")]
    NoRule(String),
    /// Whoever decides cannot be asked: nobody is let in on a guess.
    #[error("{0}")]
    Undecided(Undecided),
}

/// What is wrong with a token. It says nothing of the token itself: whoever sent it may have guessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("it is no token of the form that is taken here")]
    Form,
    #[error("its algorithm is not one of ES256, RS256 and EdDSA")]
    Algorithm,
    #[error("nobody vouches for its issuer")]
    Issuer,
    #[error("its issuer has no such key")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it is for another audience")]
    Audience,
    #[error("it lacks exp, iss or aud")]
    Incomplete,
    #[error("the Kubernetes API does not know it")]
    Unknown,
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

/// What is wrong with a valid certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    #[error("it cannot be read")]
    Unreadable,
    #[error("it has neither a subject alternative name nor a common name")]
    Nameless,
    #[error("its names begin with system:, which is kept for the cluster")]
    Reserved,
}

/// Who cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    #[error("the keys of the token's issuer cannot be had at this moment")]
    Keys,
    #[error("the Kubernetes API that decides cannot be asked at this moment")]
    Kubernetes,
}

impl Refusal {
    /// A word for programs, also in metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoCredentials => "NO_CREDENTIALS",
            Self::Token(TokenRefusal::Expired) => "TOKEN_EXPIRED",
            Self::Token(_) => "TOKEN_REFUSED",
            Self::Certificate(_) => "CERTIFICATE_REFUSED",
            Self::Forbidden { .. } => "FORBIDDEN",
            Self::Namespace(_) => "INVALID_NAMESPACE",
            Self::NoRule(_) => "NO_RULE",
            Self::Undecided(_) => "ACCESS_UNDECIDED",
        }
    }
}
