//! Artefacts of OCI registries (OCI Distribution 1.1), and the signatures that cosign leaves next to them.
//!
//! ```text
//!  GET /v2/NAME/manifests/sha256:…   401, WWW-Authenticate: Bearer realm="…",service="…"
//!  GET realm?service=…&scope=…       200 {"token": "…"}        with the log-in, where there is one
//!  GET /v2/NAME/manifests/sha256:…   200, checked against the digest
//!  GET /v2/NAME/blobs/sha256:…       200, or a redirect to where the blobs lie; checked against the digest
//! ```
//!
//! `oci-client` speaks this protocol, too, and is not used: it reads manifests, tokens and errors without a bound,
//! follows redirects from https to http, and panics on a token that cannot stand in a header.

use std::collections::BTreeMap;

use bytes::Bytes;
use device_state::Digest;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use crate::arrival::Expected;
use crate::credentials::{Authorization, Credentials, Secret};
use crate::error::{FetchError, RegistryFault};
use crate::signature::CosignSignature;
use crate::source::{Repository, SourceError, is_loopback};
use crate::web::{Answer, Request, Web};

use challenge::Challenge;

mod challenge;

/// OCI Distribution 1.1, "Pushing manifests": registries take 4 MiB.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// Tokens have a few kilobytes.
const TOKEN_LIMIT: u64 = 256 << 10;
/// What cosign signs has a few hundred bytes, and the annotations that somebody added.
const PAYLOAD_LIMIT: u64 = 256 << 10;
/// Each costs a request, and the place of the signatures is open to whoever may push there.
const SIGNATURES: usize = 32;
/// Where cosign puts a signature, in the annotations of the layer that it is of.
const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// Indexes, too, so that they can be told from what is not there.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// The package in an artefact.
pub(crate) async fn fetch(
    web: &Web,
    repository: &Repository,
    manifest: Digest,
    credentials: &Credentials,
    expected: &Expected,
) -> Result<Bytes, FetchError> {
    let place = format!("oci://{repository}@{manifest}");
    let mut session = Session::open(web, repository, credentials, &place)?;
    let layers = session
        .manifest(&manifest.to_string(), Some(manifest))
        .await?;
    let layer =
        package(&layers, expected.digest).map_err(|fault| FetchError::registry(&place, fault))?;
    let digest = layer.digest(&place)?;
    match expected.digest {
        Some(expected) if expected != digest => Err(FetchError::DigestMismatch {
            place,
            expected,
            actual: digest,
        }),
        _ => {
            expected.check_claimed(&place, layer.size)?;
            let blob = Expected {
                size: Some(layer.size),
                digest: Some(digest),
                limit: expected.limit,
            };
            session.blob(&blob, digest).await
        }
    }
}

/// The signatures that lie next to an artefact: the layers of an artefact that is tagged with the first one's digest.
pub(crate) async fn cosign_signatures(
    web: &Web,
    repository: &Repository,
    manifest: Digest,
    credentials: &Credentials,
) -> Result<Vec<CosignSignature>, FetchError> {
    let place = format!("oci://{repository}:sha256-{}.sig", manifest.to_hex());
    let mut session = Session::open(web, repository, credentials, &place)?;
    let tag = format!("sha256-{}.sig", manifest.to_hex());
    let layers = match session.manifest(&tag, None).await {
        Err(FetchError::Missing { .. }) => return Ok(Vec::new()),
        layers => layers?,
    };
    if layers.len() > SIGNATURES {
        let fault = RegistryFault::Signatures { limit: SIGNATURES };
        return Err(FetchError::registry(place, fault));
    }
    let mut signatures = Vec::new();
    for mut layer in layers {
        let annotations = layer.annotations.as_mut();
        let Some(signature) = annotations.and_then(|all| all.remove(SIGNATURE_ANNOTATION)) else {
            continue;
        };
        let digest = layer.digest(&place)?;
        let expected = Expected {
            digest: Some(digest),
            ..Expected::up_to(PAYLOAD_LIMIT)
        };
        let payload = session.blob(&expected, digest).await?;
        signatures.push(CosignSignature { payload, signature });
    }
    Ok(signatures)
}

/// An image manifest, or an index of them, which has no layers.
#[derive(Deserialize)]
struct Manifest {
    layers: Option<Vec<Layer>>,
    manifests: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Layer {
    digest: String,
    size: u64,
    annotations: Option<BTreeMap<String, String>>,
}

impl Layer {
    fn digest(&self, place: &str) -> Result<Digest, FetchError> {
        let fault = |_| FetchError::registry(place, RegistryFault::LayerDigest);
        self.digest.parse().map_err(fault)
    }
}

/// The layer that is the package.
fn package(layers: &[Layer], wanted: Option<Digest>) -> Result<&Layer, RegistryFault> {
    match (layers, wanted) {
        ([], _) => Err(RegistryFault::NoLayer),
        ([layer], _) => Ok(layer),
        (several, None) => Err(RegistryFault::Layers {
            count: several.len(),
        }),
        (several, Some(digest)) => {
            let found = several
                .iter()
                .find(|layer| layer.digest.parse() == Ok(digest));
            found.ok_or(RegistryFault::NoSuchLayer {
                count: several.len(),
                digest,
            })
        }
    }
}

/// One conversation with a registry about one repository.
struct Session<'a> {
    web: &'a Web,
    registry: Url,
    repository: &'a Repository,
    /// Which artefact this is about, for messages.
    place: &'a str,
    /// What the registry gets as soon as it asks.
    login: Option<Authorization>,
    /// What it gets with each request.
    authorization: Option<Authorization>,
}

impl<'a> Session<'a> {
    fn open(
        web: &'a Web,
        repository: &'a Repository,
        credentials: &Credentials,
        place: &'a str,
    ) -> Result<Self, FetchError> {
        let (login, authorization) = match credentials.for_registry(repository) {
            // There is nobody to exchange it at.
            Some(bearer @ Authorization::Bearer(_)) => (None, Some(bearer)),
            login => (login, None),
        };
        Ok(Self {
            web,
            registry: repository
                .registry()
                .map_err(|error| no_registry(place, error))?,
            repository,
            place,
            login,
            authorization,
        })
    }

    /// The layers that a manifest names.
    async fn manifest(
        &mut self,
        reference: &str,
        digest: Option<Digest>,
    ) -> Result<Vec<Layer>, FetchError> {
        let expected = Expected {
            digest,
            ..Expected::up_to(MANIFEST_LIMIT)
        };
        let answer = self.get("manifests", reference, Some(MANIFESTS)).await?;
        let bytes = answer.read(&expected).await?;
        let fault = |fault| FetchError::registry(self.place, fault);
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|_| fault(RegistryFault::Manifest))?;
        match manifest {
            Manifest {
                layers: Some(layers),
                ..
            } => Ok(layers),
            Manifest {
                manifests: Some(_), ..
            } => Err(fault(RegistryFault::Index)),
            _ => Err(fault(RegistryFault::Manifest)),
        }
    }

    async fn blob(&mut self, expected: &Expected, digest: Digest) -> Result<Bytes, FetchError> {
        let answer = self.get("blobs", &digest.to_string(), None).await?;
        answer.read(expected).await
    }

    /// Asks, and once more if the registry wants to know who asks.
    async fn get(
        &mut self,
        kind: &str,
        reference: &str,
        accept: Option<&'static str>,
    ) -> Result<Answer, FetchError> {
        let mut url = self.registry.clone();
        url.set_path(&format!(
            "/v2/{}/{kind}/{reference}",
            self.repository.name()
        ));
        let answer = self.ask(&url, accept).await?;
        // Whoever a registry redirects to is not asked what it would like to be told.
        let own = answer.url().origin() == self.registry.origin();
        if answer.status() != StatusCode::UNAUTHORIZED || self.authorization.is_some() || !own {
            return Ok(answer);
        }
        self.authorization = match challenge::preferred(answer.headers(WWW_AUTHENTICATE)) {
            Some(Challenge::Basic) => self.login.clone(),
            Some(Challenge::Bearer(bearer)) => Some(self.token(&bearer).await?),
            None => None,
        };
        if self.authorization.is_some() {
            self.ask(&url, accept).await
        } else {
            Ok(answer)
        }
    }

    async fn ask(&self, url: &Url, accept: Option<&'static str>) -> Result<Answer, FetchError> {
        let request = Request {
            url,
            authorization: self.authorization.as_ref(),
            accept,
        };
        self.web.get(request).await
    }

    /// A token of the service that the registry names. Distribution, "Token Authentication Specification".
    async fn token(&self, challenge: &challenge::Bearer) -> Result<Authorization, FetchError> {
        let fault = |fault| FetchError::registry(self.place, fault);
        let realm = self.realm(&challenge.realm);
        let mut url = realm.ok_or_else(|| fault(RegistryFault::Realm))?;
        let own_scope = || format!("repository:{}:pull", self.repository.name());
        let scope = challenge.scope.clone().unwrap_or_else(own_scope);
        if let Some(service) = &challenge.service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &scope);
        let request = Request {
            url: &url,
            authorization: self.login.as_ref(),
            accept: None,
        };
        let answer = self.web.get(request).await?;
        let bytes = answer.read(&Expected::up_to(TOKEN_LIMIT)).await?;
        token_of(&bytes).ok_or_else(|| fault(RegistryFault::Token))
    }

    /// The log-in goes there, so it is https, or on this host as the registry is.
    fn realm(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let near = is_loopback(&self.registry) && is_loopback(&url);
        (url.scheme() == "https" || (url.scheme() == "http" && near)).then_some(url)
    }
}

fn no_registry(place: &str, error: SourceError) -> FetchError {
    FetchError::Unreachable {
        place: place.to_owned(),
        source: Box::new(error),
    }
}

/// A token that can stand in a header.
fn token_of(bytes: &[u8]) -> Option<Authorization> {
    #[derive(Deserialize)]
    struct Told {
        token: Option<String>,
        access_token: Option<String>,
    }
    let told: Told = serde_json::from_slice(bytes).ok()?;
    let token = told.token.or(told.access_token)?;
    let bearer = Authorization::Bearer(Secret(token));
    bearer.header().is_some().then_some(bearer)
}

#[cfg(test)]
mod tests;
