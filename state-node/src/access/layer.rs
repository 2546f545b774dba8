//! In front of every service of the public API.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use access::{Permission, Rule, Scope, rule};
use device_state::{Namespace, NamespaceError};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::Access;
use super::refusal::{Refusal, TokenRefusal};
use crate::audit::{Audit, Entry};
use crate::listen::PeerInfo;
use crate::service::status;
use crate::tenants::Tenants;

/// Decides about every call before it reaches a service.
#[derive(Clone, Debug)]
pub struct AccessLayer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    access: Access,
    audit: Audit,
    tenants: Arc<Tenants>,
    refusals: Family<Reason, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl AccessLayer {
    pub fn new(
        access: Access,
        audit: Audit,
        tenants: Arc<Tenants>,
        registry: &mut Registry,
    ) -> Self {
        let refusals = Family::default();
        registry.register(
            "api_refusals",
            "Calls of the API that were refused before they reached a service",
            refusals.clone(),
        );
        Self(Arc::new(Shared {
            access,
            audit,
            tenants,
            refusals,
        }))
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            parts: self.0.clone(),
        }
    }
}

/// A service that only those reach who may.
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    parts: Arc<Shared>,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was ready is the one that is called.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let parts = self.parts.clone();
        Box::pin(async move { parts.serve(inner, request).await })
    }
}

impl Shared {
    async fn serve<S>(
        &self,
        mut inner: S,
        request: Request<Body>,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let (mut head, body) = request.into_parts();
        let permission = match self.needs(&head).await {
            Ok(Some(permission)) => permission,
            Ok(None) => return inner.call(Request::from_parts(head, body)).await,
            Err(refusal) => return Ok(self.refuse(&refusal)),
        };
        let namespace = match namespace(&head) {
            Ok(namespace) => namespace,
            Err(refusal) => return Ok(self.refuse(&refusal)),
        };
        let mut entry = permission
            .verb
            .is_change()
            .then(|| Entry::new(&head, permission, &namespace, Instant::now()));
        let decided = self
            .decide(&head, permission, &namespace, entry.as_mut())
            .await;
        if let Err(refusal) = decided {
            let refused = status::access(&refusal);
            if let Some(entry) = entry {
                self.audit.refused(entry, &refused, refusal.reason());
            }
            return Ok(self.refuse(&refusal));
        }
        if let Scope::Namespace(_) = permission.scope(namespace.as_str())
            && let Err(too_fast) = self.tenants.call(&namespace, Instant::now())
        {
            let refused = status::too_fast(too_fast);
            if let Some(entry) = entry {
                self.audit.refused(entry, &refused, "RATE_LIMITED");
            }
            return Ok(refused.into_http());
        }
        // Services find in it whose devices the call is about.
        head.extensions.insert(namespace);
        let Some(entry) = entry else {
            return inner.call(Request::from_parts(head, body)).await;
        };
        match self.audit.begin(entry, body).await {
            Ok((pending, body)) => {
                let answer = inner.call(Request::from_parts(head, body)).await?;
                Ok(pending.follow(answer))
            }
            Err(refused) => Ok(refused.into_http()),
        }
    }

    /// What the caller needs; `None` if nothing more.
    async fn needs(&self, head: &Parts) -> Result<Option<Permission>, Refusal> {
        match rule(head.uri.path()) {
            Some(Rule::Needs(permission)) => Ok(Some(permission)),
            Some(Rule::Open) => Ok(None),
            Some(Rule::Known) => self.identify(head).await.map(|_known| None),
            // Where everybody may do everything, the services say themselves what they do not know.
            None if self.access.is_open() => Ok(None),
            // A stranger is not told which methods there are.
            None => {
                self.identify(head).await?;
                Err(Refusal::NoRule(head.uri.path().to_owned()))
            }
        }
    }

    async fn decide(
        &self,
        head: &Parts,
        permission: Permission,
        namespace: &Namespace,
        entry: Option<&mut Entry>,
    ) -> Result<(), Refusal> {
        let identity = self.identify(head).await?;
        if let Some(entry) = entry {
            entry.by(&identity);
        }
        self.access.allow(&identity, namespace, permission).await
    }

    async fn identify(&self, head: &Parts) -> Result<access::Identity, Refusal> {
        let token = bearer(head)?;
        let peer = head.extensions.get::<PeerInfo>();
        self.access.identify(token, peer).await
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let reason = refusal.reason();
        self.refusals.get_or_create(&Reason { reason }).inc();
        tracing::debug!(reason, %refusal, "a call was refused");
        Status::into_http(status::access(refusal))
    }
}

/// By this metadata callers say whose devices they speak of.
const NAMESPACE: &str = "drover-namespace";

/// The namespace that a call is about: the default one if it names none.
fn namespace(head: &Parts) -> Result<Namespace, Refusal> {
    let mut values = head.headers.get_all(NAMESPACE).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Namespace::default()),
        (Some(value), None) => Ok(Namespace::new(value.to_str().unwrap_or_default())?),
        (Some(_), Some(_)) => Err(NamespaceError.into()),
    }
}

/// The bearer token of a call (RFC 6750 §2.1), if it has one.
fn bearer(head: &Parts) -> Result<Option<&str>, Refusal> {
    let malformed = || Refusal::Token(TokenRefusal::Form);
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(malformed());
    }
    let value = value.to_str().map_err(|_| malformed())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(malformed());
    }
    Ok(Some(token.trim()))
}
