//! What a node is told about who may call its API.

use std::path::PathBuf;

use access::Mapping;
use serde::{Deserialize, Serialize};

/// The certificate of the API, and whose certificates clients may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiTls {
    /// PEM file with the certificate of the API and those that lead to its authority.
    pub certificate_file: PathBuf,
    /// PEM file with the key of that certificate.
    pub key_file: PathBuf,
    /// PEM file with the authorities of clients' certificates; unset: clients show none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authorities_file: Option<PathBuf>,
}

/// Who may call the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiAccess {
    /// "authenticated", or "anonymous" to let everybody do everything; unset: "authenticated" if there is anything that
    /// callers could prove who they are by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// YAML file that says who may do what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_file: Option<PathBuf>,
    /// A Kubernetes API that is asked who somebody is, and what somebody may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// Whose tokens are believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub oidc: Vec<Issuer>,
}

/// Whether callers have to prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No: everybody may do everything.
    Anonymous,
    /// Yes, and they need the right to what they call.
    Authenticated,
}

/// A Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kubernetes {
    /// Kubeconfig file; unset: that of KUBECONFIG, of the user or of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Whether it is asked (by TokenReview) whose a bearer token is.
    pub token_reviews: bool,
    /// Whether it is asked (by SubjectAccessReview) what a caller may do that the policy file does not allow.
    pub access_reviews: bool,
    /// The audience that tokens have to be for.
    pub audience: String,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            token_reviews: true,
            access_reviews: true,
            audience: "drover.dev".to_owned(),
        }
    }
}

/// An issuer of tokens (OpenID Connect).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// What its tokens have as iss, letter by letter.
    pub issuer: String,
    /// One of these is in aud of a token.
    pub audiences: Vec<String>,
    /// https URL of its keys (JWKS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// A file with its keys instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// PEM file with the authorities of the certificate behind `jwks_url`; unset: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities_file: Option<PathBuf>,
    /// Which claims say who somebody is.
    #[serde(default)]
    pub claims: Mapping,
}

/// Why this makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessConfigError {
    #[error(
        "api_access.mode is authenticated, but nothing says how: configure api_tls.client_authorities_file, \
         api_access.oidc or api_access.kubernetes.token_reviews"
    )]
    NoAuthenticator,
    #[error(
        "callers of the API prove who they are, but nothing says what they may do: configure api_access.policy_file or \
         api_access.kubernetes.access_reviews"
    )]
    NoDecider,
    #[error(
        "api_access.mode is anonymous, but there is a policy: whoever wrote it expects it to be kept"
    )]
    AnonymousWithPolicy,
    #[error("issuer {0:?} has no audiences: tokens for other services would be believed")]
    NoAudience(String),
    #[error("issuer {0:?} needs either jwks_url or jwks_file")]
    Keys(String),
    #[error("jwks_url of issuer {0:?} is not an https URL")]
    InsecureKeys(String),
    #[error("issuer {0:?} is listed twice")]
    RepeatedIssuer(String),
}

impl ApiAccess {
    /// What holds, whether it was said or follows.
    pub fn mode(&self, tls: Option<&ApiTls>) -> Mode {
        match self.mode {
            Some(mode) => mode,
            None if self.has_authenticator(tls) => Mode::Authenticated,
            None => Mode::Anonymous,
        }
    }

    /// Whether bearer tokens are looked at.
    pub fn takes_tokens(&self) -> bool {
        let reviewed = self
            .kubernetes
            .as_ref()
            .is_some_and(|api| api.token_reviews);
        reviewed || !self.oidc.is_empty()
    }

    fn has_authenticator(&self, tls: Option<&ApiTls>) -> bool {
        self.takes_tokens() || tls.is_some_and(|tls| tls.client_authorities_file.is_some())
    }

    fn has_decider(&self) -> bool {
        let reviewed = self
            .kubernetes
            .as_ref()
            .is_some_and(|api| api.access_reviews);
        reviewed || self.policy_file.is_some()
    }

    /// Checks what types cannot express.
    pub fn validate(&self, tls: Option<&ApiTls>) -> Result<(), AccessConfigError> {
        for (at, issuer) in self.oidc.iter().enumerate() {
            issuer.validate()?;
            if self.oidc[..at]
                .iter()
                .any(|other| other.issuer == issuer.issuer)
            {
                return Err(AccessConfigError::RepeatedIssuer(issuer.issuer.clone()));
            }
        }
        match self.mode(tls) {
            Mode::Anonymous if self.policy_file.is_some() => {
                Err(AccessConfigError::AnonymousWithPolicy)
            }
            Mode::Anonymous => Ok(()),
            Mode::Authenticated if !self.has_authenticator(tls) => {
                Err(AccessConfigError::NoAuthenticator)
            }
            Mode::Authenticated if !self.has_decider() => Err(AccessConfigError::NoDecider),
            Mode::Authenticated => Ok(()),
        }
    }
}

impl Issuer {
    fn validate(&self) -> Result<(), AccessConfigError> {
        let name = || self.issuer.clone();
        if self.audiences.is_empty() {
            return Err(AccessConfigError::NoAudience(name()));
        }
        match (&self.jwks_url, &self.jwks_file) {
            (Some(url), None) if url.starts_with("https://") => Ok(()),
            (Some(_), None) => Err(AccessConfigError::InsecureKeys(name())),
            (None, Some(_)) => Ok(()),
            _ => Err(AccessConfigError::Keys(name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> Issuer {
        Issuer {
            issuer: "https://id.example.com".to_owned(),
            audiences: vec!["drover".to_owned()],
            jwks_url: Some("https://id.example.com/keys".to_owned()),
            jwks_file: None,
            authorities_file: None,
            claims: Mapping::default(),
        }
    }

    #[test]
    fn who_can_prove_something_has_to() {
        let mut access = ApiAccess::default();
        assert_eq!(access.mode(None), Mode::Anonymous);
        assert_eq!(access.validate(None), Ok(()));
        access.oidc.push(issuer());
        assert_eq!(access.mode(None), Mode::Authenticated);
        assert_eq!(access.validate(None), Err(AccessConfigError::NoDecider));
        access.policy_file = Some("policy.yaml".into());
        assert_eq!(access.validate(None), Ok(()));
        access.mode = Some(Mode::Anonymous);
        let refused = Err(AccessConfigError::AnonymousWithPolicy);
        assert_eq!(access.validate(None), refused);
        access = ApiAccess {
            mode: Some(Mode::Authenticated),
            ..ApiAccess::default()
        };
        assert_eq!(
            access.validate(None),
            Err(AccessConfigError::NoAuthenticator)
        );
    }

    #[test]
    fn keys_come_over_https_or_from_a_file() {
        let refused = |issuer: Issuer| {
            let access = ApiAccess {
                oidc: vec![issuer],
                ..ApiAccess::default()
            };
            access.validate(None).err()
        };
        let name = || "https://id.example.com".to_owned();
        let plain = Issuer {
            jwks_url: Some("http://id.example.com/keys".to_owned()),
            ..issuer()
        };
        assert_eq!(
            refused(plain),
            Some(AccessConfigError::InsecureKeys(name()))
        );
        let both = Issuer {
            jwks_file: Some("keys.json".into()),
            ..issuer()
        };
        assert_eq!(refused(both), Some(AccessConfigError::Keys(name())));
        let anybody = Issuer {
            audiences: Vec::new(),
            ..issuer()
        };
        assert_eq!(
            refused(anybody),
            Some(AccessConfigError::NoAudience(name()))
        );
    }
}
