//! Asking a Kubernetes API who somebody is (TokenReview) and what somebody may do (SubjectAccessReview). The one place of
//! this node that knows `kube`.
//!
//! Answers hold for seconds, so that a right that was taken away is gone soon, and a call that is repeated costs nothing.
//! If the API cannot be asked, the call is refused.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Attributes, Identity, Kind, Permission, Scope};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use node_runtime::files::causes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::cache::Cache;
use super::config;
use super::refusal::{Refusal, TokenRefusal, Undecided};

/// The API group of the resources that permissions are for.
const GROUP: &str = "drover.dev";
const KNOWN_TOKEN: Duration = Duration::from_secs(60);
const UNKNOWN_TOKEN: Duration = Duration::from_secs(10);
const ALLOWED: Duration = Duration::from_secs(10);
const DENIED: Duration = Duration::from_secs(5);
const MAX_TOKENS: usize = 4_096;
const MAX_DECISIONS: usize = 16_384;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Questions at the same time.
const MAX_QUESTIONS: usize = 32;

/// Why the API cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] KubeconfigError),
    #[error("there is no kubeconfig, and this is no pod")]
    Nowhere(#[from] InferConfigError),
    #[error("no client of the Kubernetes API can be made")]
    Client(#[from] kube::Error),
}

/// A decision is about all of this.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    identity: Identity,
    /// None: what all have in common.
    namespace: Option<String>,
    permission: Permission,
}

/// A Kubernetes API and what it said.
pub(super) struct Reviews {
    client: kube::Client,
    audience: String,
    /// By the SHA-256 of the token: a dump of the memory shows none.
    tokens: Cache<[u8; 32], Result<Arc<Identity>, TokenRefusal>>,
    decisions: Cache<Question, Decision>,
    questions: Semaphore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    Denied,
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviews")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl Reviews {
    pub(super) async fn new(configured: &config::Kubernetes) -> Result<Self, KubernetesError> {
        let mut config = settings(configured.kubeconfig.as_deref()).await?;
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        Ok(Self {
            client: kube::Client::try_from(config)?,
            audience: configured.audience.clone(),
            tokens: Cache::new(MAX_TOKENS),
            decisions: Cache::new(MAX_DECISIONS),
            questions: Semaphore::new(MAX_QUESTIONS),
        })
    }

    /// Whose token it is.
    pub(super) async fn identity(&self, token: &str) -> Result<Arc<Identity>, Refusal> {
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.tokens.get(&key, Instant::now()) {
            return known.map_err(Refusal::Token);
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let answer = self.ask(review).await?;
        let known = self.judge(answer).map(Arc::new);
        let lifetime = match &known {
            Ok(_) => KNOWN_TOKEN,
            Err(_) => UNKNOWN_TOKEN,
        };
        self.tokens
            .put(key, known.clone(), lifetime, Instant::now());
        known.map_err(Refusal::Token)
    }

    fn judge(&self, answer: TokenReview) -> Result<Identity, TokenRefusal> {
        let status = answer.status.unwrap_or_default();
        // An API server that knows no audiences leaves them out; its tokens may be for anybody.
        let ours = |audience: &String| *audience == self.audience;
        if status.authenticated != Some(true) {
            return Err(TokenRefusal::Unknown);
        }
        if !status.audiences.unwrap_or_default().iter().any(ours) {
            return Err(TokenRefusal::Audience);
        }
        let user = status.user.unwrap_or_default();
        let name = user.username.filter(|name| !name.is_empty());
        let name = name.ok_or(TokenRefusal::Unknown)?;
        let groups = user.groups.unwrap_or_default();
        Ok(Identity::new(&name, groups, Kind::ServiceAccount))
    }

    /// Whether somebody may do something.
    pub(super) async fn decide(
        &self,
        identity: &Identity,
        attributes: &Attributes<'_>,
    ) -> Result<Decision, Refusal> {
        let question = Question {
            identity: identity.clone(),
            namespace: match attributes.scope {
                Scope::Cluster => None,
                Scope::Namespace(name) => Some(name.to_owned()),
            },
            permission: attributes.permission,
        };
        if let Some(decided) = self.decisions.get(&question, Instant::now()) {
            return Ok(decided);
        }
        let answer = self.ask(review(&question)).await?;
        let status = answer.status.unwrap_or_default();
        let denied = status.denied == Some(true);
        let (decision, lifetime) = if status.allowed && !denied {
            (Decision::Allowed, ALLOWED)
        } else {
            (Decision::Denied, DENIED)
        };
        self.decisions
            .put(question, decision, lifetime, Instant::now());
        Ok(decision)
    }

    /// Sends a review and returns it answered.
    async fn ask<R>(&self, review: R) -> Result<R, Refusal>
    where
        R: kube::Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let undecided = Refusal::Undecided(Undecided::Kubernetes);
        let api: Api<R> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let answer = async {
            // The semaphore is never closed.
            let _permit = self.questions.acquire().await;
            api.create(&parameters, &review).await
        };
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(kind = %R::kind(&()), error = causes(&error), "the Kubernetes API does not decide");
                Err(undecided)
            }
            Err(_) => {
                tracing::warn!(kind = %R::kind(&()), "the Kubernetes API does not answer");
                Err(undecided)
            }
        }
    }
}

fn review(question: &Question) -> SubjectAccessReview {
    let (resource, part) = match question.permission.resource.split_once('/') {
        Some((resource, part)) => (resource, Some(part.to_owned())),
        None => (question.permission.resource, None),
    };
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(question.identity.name.clone()),
            groups: Some(question.identity.groups.clone()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                namespace: question.namespace.clone(),
                resource: Some(resource.to_owned()),
                subresource: part,
                verb: Some(question.permission.verb.as_str().to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

/// The given kubeconfig, or what the surroundings say.
async fn settings(kubeconfig: Option<&Path>) -> Result<kube::Config, KubernetesError> {
    let Some(path) = kubeconfig else {
        return Ok(kube::Config::infer().await?);
    };
    let kubeconfig = Kubeconfig::read_from(path)?;
    let options = KubeConfigOptions::default();
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)
}
