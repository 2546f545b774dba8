//! Who may call what of the public API.
//!
//! ```text
//!  call ─▶ layer ─▶ who?   bearer token: OIDC issuer, else TokenReview │ certificate │ nobody
//!            │      may?   policy file, else SubjectAccessReview
//!            │      note   audit, if it changes something
//!            ▼
//!         service
//! ```
//!
//! The layer stands in front of all services of the listener and knows none of them: what a method does is in the table of
//! the crate `access`. A call that another node passes on was decided where it came in, so the internal service only asks
//! for the certificate of a node.

mod cache;
mod certificate;
pub mod config;
mod keys;
mod kubernetes;
pub mod layer;
pub mod refusal;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::{Attributes, Identity, Permission, Policy, PolicyError};
use device_state::Namespace;
use node_runtime::files::{Reloading, Watched};

use crate::listen::PeerInfo;
use config::{ApiAccess, ApiTls, Mode};
use kubernetes::{Decision, KubernetesError, Reviews};
use refusal::{Refusal, TokenRefusal};
use token::Issuers;

pub use keys::KeysError;

/// Why nobody could be let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("policy_file")]
    Policy(#[from] PolicyFileError),
    #[error("the keys of an issuer of tokens")]
    Keys(#[from] KeysError),
    #[error("api_access.kubernetes")]
    Kubernetes(#[from] KubernetesError),
}

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot use {}", path.display())]
    Policy { path: PathBuf, source: PolicyError },
}

/// Decides about calls.
#[derive(Debug)]
pub struct Access {
    gate: Gate,
}

#[derive(Debug)]
enum Gate {
    Open,
    Guarded(Box<Guarded>),
}

#[derive(Debug)]
struct Guarded {
    issuers: Issuers,
    token_reviews: Option<Arc<Reviews>>,
    access_reviews: Option<Arc<Reviews>>,
    policy: Option<Watched<Policy>>,
}

impl Access {
    /// Reads keys and the policy; the Kubernetes API is asked when somebody calls.
    pub async fn open(
        configured: &ApiAccess,
        tls: Option<&ApiTls>,
        reloading: &Reloading,
    ) -> Result<Self, AccessError> {
        if configured.mode(tls) == Mode::Anonymous {
            return Ok(Self { gate: Gate::Open });
        }
        let policy = configured.policy_file.clone().map(|file| {
            let path = file.clone();
            reloading.watch("policy", vec![file], move || read_policy(&path))
        });
        let (mut token_reviews, mut access_reviews) = (None, None);
        if let Some(kubernetes) = &configured.kubernetes {
            let reviews = Arc::new(Reviews::new(kubernetes).await?);
            token_reviews = kubernetes.token_reviews.then(|| reviews.clone());
            access_reviews = kubernetes.access_reviews.then_some(reviews);
        }
        let guarded = Guarded {
            issuers: Issuers::new(&configured.oidc, reloading)?,
            token_reviews,
            access_reviews,
            policy: policy.transpose()?,
        };
        Ok(Self {
            gate: Gate::Guarded(Box::new(guarded)),
        })
    }

    /// Who calls, as far as that is asked for.
    async fn identify(
        &self,
        token: Option<&str>,
        peer: Option<&PeerInfo>,
    ) -> Result<Identity, Refusal> {
        let certificate = peer.and_then(|peer| peer.certificate.as_deref());
        match &self.gate {
            // Whoever shows who they are is put on record by that name.
            Gate::Open => Ok(certificate
                .and_then(|der| certificate::identity(der).ok())
                .unwrap_or_else(Identity::anonymous)),
            Gate::Guarded(guarded) => match (token, certificate) {
                (Some(token), _) => guarded.owner(token).await,
                (None, Some(der)) => Ok(certificate::identity(der)?),
                (None, None) => Err(Refusal::NoCredentials),
            },
        }
    }

    /// Whether somebody may do something.
    async fn allow(
        &self,
        identity: &Identity,
        namespace: &Namespace,
        permission: Permission,
    ) -> Result<(), Refusal> {
        let Gate::Guarded(guarded) = &self.gate else {
            return Ok(());
        };
        let attributes = Attributes {
            scope: permission.scope(namespace.as_str()),
            permission,
        };
        let policy = guarded.policy.as_ref();
        if policy.is_some_and(|policy| policy.current().allows(identity, &attributes)) {
            return Ok(());
        }
        if let Some(reviews) = &guarded.access_reviews
            && reviews.decide(identity, &attributes).await? == Decision::Allowed
        {
            return Ok(());
        }
        Err(Refusal::Forbidden {
            who: identity.name.clone(),
            permission,
        })
    }

    const fn is_open(&self) -> bool {
        matches!(self.gate, Gate::Open)
    }
}

impl Guarded {
    /// Whose token it is. One that is wrong is refused, whatever else was shown.
    async fn owner(&self, token: &str) -> Result<Identity, Refusal> {
        if let Some(judged) = self.issuers.identity(token).await {
            return judged;
        }
        match &self.token_reviews {
            Some(reviews) => Ok(Identity::clone(&*reviews.identity(token).await?)),
            None => Err(Refusal::Token(TokenRefusal::Issuer)),
        }
    }
}

fn read_policy(path: &Path) -> Result<Policy, PolicyFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Policy::from_yaml(&text).map_err(|source| PolicyFileError::Policy {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
