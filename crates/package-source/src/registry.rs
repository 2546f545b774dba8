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

use bytes::Bytes;
use device_state::Digest;
use http::StatusCode;
use http::header::{LINK, WWW_AUTHENTICATE};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use crate::arrival::Expected;
use crate::credentials::{Authorization, Credentials, Secret};
use crate::error::{FetchError, RegistryFault};
use crate::signature::{CosignSignature, SIGNED};
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
/// A bundle has a few kilobytes, with certificates and entries of logs.
const BUNDLE_LIMIT: u64 = 1 << 20;
/// Each costs a request, and the place of the signatures is open to whoever may push there.
const SIGNATURES: usize = 32;
/// So many pages of what refers to an artefact are asked for: a registry may always have one more.
const PAGES: usize = 4;
/// What an artefact is that has a bundle of Sigstore in it: its version follows.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What go-containerregistry before 0.21.6, and cosign with it, wrote into the index at the tag in place of that.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
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
    let found = session
        .manifest(&manifest.to_string(), Some(manifest))
        .await?;
    let layer = package(&found.layers, expected.digest)
        .map_err(|fault| FetchError::registry(&place, fault))?;
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

/// The signatures that lie next to an artefact, in both forms that cosign has.
pub(crate) async fn cosign_signatures(
    web: &Web,
    repository: &Repository,
    manifest: Digest,
    credentials: &Credentials,
) -> Result<Vec<CosignSignature>, FetchError> {
    let layers = layers_of_signatures(web, repository, manifest, credentials).await;
    let bundles = bundles(web, repository, manifest, credentials).await;
    match (layers, bundles) {
        (Ok(mut found), Ok(bundles)) => {
            found.extend(bundles);
            Ok(found)
        }
        // One good signature is enough. That others are not seen can have an artefact refused, never accepted.
        (Ok(found), Err(error)) | (Err(error), Ok(found)) => {
            let seen = |one: &CosignSignature| !matches!(one, CosignSignature::More { .. });
            if found.iter().any(seen) {
                Ok(found)
            } else {
                Err(error)
            }
        }
        (Err(error), Err(_)) => Err(error),
    }
}

/// Bundles are artefacts that refer to the signed one.
async fn bundles(
    web: &Web,
    repository: &Repository,
    manifest: Digest,
    credentials: &Credentials,
) -> Result<Vec<CosignSignature>, FetchError> {
    let place = format!("oci://{repository}@{manifest}");
    let mut session = Session::open(web, repository, credentials, &place)?;
    let referrers = session.referrers(manifest).await?;
    let mut bundles = Vec::new();
    for referrer in referrers.iter().take(SIGNATURES) {
        match session.bundle(referrer).await {
            Ok(bundle) => bundles.extend(bundle.map(CosignSignature::Bundle)),
            // Whoever may push there may have pushed anything, and the others count all the same.
            Err(error) if is_odd(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if referrers.len() > SIGNATURES {
        bundles.push(CosignSignature::More { limit: SIGNATURES });
    }
    Ok(bundles)
}

/// Whether an error says that one referrer is not as it should be, and nothing of the registry or of who asks. What may
/// pass says nothing yet.
fn is_odd(error: &FetchError) -> bool {
    match error {
        FetchError::Registry { fault, .. } => {
            !matches!(fault, RegistryFault::Realm | RegistryFault::Token)
        }
        FetchError::Missing { .. }
        | FetchError::TooLarge { .. }
        | FetchError::SizeMismatch { .. }
        | FetchError::DigestMismatch { .. } => true,
        FetchError::Status { .. } => !error.is_transient(),
        _ => false,
    }
}

/// The layers of an artefact that is tagged with the digest of the signed one.
async fn layers_of_signatures(
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
        found => found?.layers,
    };
    if layers.len() > SIGNATURES {
        let fault = RegistryFault::Signatures { limit: SIGNATURES };
        return Err(FetchError::registry(place, fault));
    }
    let mut signatures = Vec::new();
    for mut layer in layers {
        let annotations = layer.annotations.as_mut();
        let Some(signature) = annotations.and_then(|all| all.signature.take()) else {
            continue;
        };
        let digest = layer.digest(&place)?;
        let expected = Expected {
            digest: Some(digest),
            ..Expected::up_to(PAYLOAD_LIMIT)
        };
        let payload = session.blob(&expected, digest).await?;
        signatures.push(CosignSignature::Layer { payload, signature });
    }
    Ok(signatures)
}

/// What is read of annotations. There may be any number of others.
#[derive(Deserialize)]
struct Annotations {
    /// Of a layer with what cosign signs.
    #[serde(rename = "dev.cosignproject.cosign/signature")]
    signature: Option<String>,
    /// Of a bundle: what its statement says.
    #[serde(rename = "dev.sigstore.bundle.predicateType")]
    predicate: Option<String>,
}

/// An image manifest.
struct Manifest {
    layers: Vec<Layer>,
    annotations: Option<Annotations>,
}

impl Manifest {
    /// The layer with a bundle, unless the manifest says that it is no signature: what an index does not tell may stand
    /// here.
    fn bundle(&self) -> Option<&Layer> {
        let [layer] = self.layers.as_slice() else {
            return None;
        };
        let kind = layer.media_type.as_deref().unwrap_or_default();
        (kind.starts_with(BUNDLE) && may_be_signature(self.annotations.as_ref())).then_some(layer)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: Option<String>,
    digest: String,
    size: u64,
    annotations: Option<Annotations>,
}

impl Layer {
    fn digest(&self, place: &str) -> Result<Digest, FetchError> {
        digest(&self.digest, place)
    }
}

fn digest(text: &str, place: &str) -> Result<Digest, FetchError> {
    let fault = |_| FetchError::registry(place, RegistryFault::LayerDigest);
    text.parse().map_err(fault)
}

/// A page of an index of what refers to an artefact.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Referrer>,
    /// Where the next page is.
    #[serde(skip)]
    next: Option<Url>,
}

/// An artefact that refers to another one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referrer {
    digest: String,
    artifact_type: Option<String>,
    annotations: Option<Annotations>,
}

impl Referrer {
    /// A bundle, or what does not say of what kind it is, unless it says that it is about something else.
    fn may_be_signature(&self) -> bool {
        let kind = self.artifact_type.as_deref().unwrap_or_default();
        let may_be_bundle = kind.is_empty() || kind == EMPTY || kind.starts_with(BUNDLE);
        may_be_bundle && may_be_signature(self.annotations.as_ref())
    }
}

/// What a bundle is about, if whoever pushed it says so.
fn predicate(annotations: Option<&Annotations>) -> Option<&str> {
    annotations?.predicate.as_deref()
}

/// Whether annotations do not say that a bundle is about something else, such as how the artefact was built.
fn may_be_signature(annotations: Option<&Annotations>) -> bool {
    predicate(annotations).is_none_or(|predicate| predicate == SIGNED)
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

    async fn manifest(
        &mut self,
        reference: &str,
        digest: Option<Digest>,
    ) -> Result<Manifest, FetchError> {
        /// Or an index of manifests, which has no layers.
        #[derive(Deserialize)]
        struct Told {
            layers: Option<Vec<Layer>>,
            manifests: Option<IgnoredAny>,
            annotations: Option<Annotations>,
        }
        let expected = Expected {
            digest,
            ..Expected::up_to(MANIFEST_LIMIT)
        };
        let answer = self.get("manifests", reference, Some(MANIFESTS)).await?;
        let bytes = answer.read(&expected).await?;
        let fault = |fault| FetchError::registry(self.place, fault);
        let told: Told =
            serde_json::from_slice(&bytes).map_err(|_| fault(RegistryFault::Manifest))?;
        let annotations = told.annotations;
        match (told.layers, told.manifests) {
            (Some(layers), _) => Ok(Manifest {
                layers,
                annotations,
            }),
            (None, Some(_)) => Err(fault(RegistryFault::Index)),
            (None, None) => Err(fault(RegistryFault::Manifest)),
        }
    }

    /// What refers to an artefact and may be a signature of it. OCI Distribution 1.1, "Listing Referrers"; where a registry
    /// has no such list, "Referrers Tag Schema".
    async fn referrers(&mut self, manifest: Digest) -> Result<Vec<Referrer>, FetchError> {
        let url = self.address("referrers", &manifest.to_string());
        let failed = match self.listed(url).await {
            Ok(Some(listed)) => return Ok(listed),
            Ok(None) => None,
            // Registries that have no such list answer in many ways, some by sending one elsewhere.
            Err(error) => Some(error),
        };
        let tag = format!("sha256-{}", manifest.to_hex());
        let url = self.address("manifests", &tag);
        match (self.listed(url).await, failed) {
            (Ok(Some(tagged)), _) => Ok(tagged),
            // What is no index there says that there are no referrers: at gitlab.com the tag is the artefact itself.
            (Ok(None), None) => Ok(Vec::new()),
            (_, Some(error)) | (Err(error), None) => Err(error),
        }
    }

    /// Of the first pages of what refers to an artefact, what may be a signature, and one more than is looked at; `None` if
    /// there is no such list.
    async fn listed(&mut self, first: Url) -> Result<Option<Vec<Referrer>>, FetchError> {
        let mut listed: Option<Vec<Referrer>> = None;
        let mut next = Some(first);
        for _ in 0..PAGES {
            let Some(url) = next else {
                break;
            };
            let Some(page) = self.page(&url).await? else {
                break;
            };
            let kept = listed.get_or_insert_default();
            kept.extend(
                page.manifests
                    .into_iter()
                    .filter(Referrer::may_be_signature),
            );
            // Attestations that do not say what they are cannot crowd out signatures that do.
            kept.sort_by_key(|referrer| predicate(referrer.annotations.as_ref()).is_none());
            kept.truncate(SIGNATURES + 1);
            next = page.next;
        }
        Ok(listed)
    }

    async fn page(&mut self, url: &Url) -> Result<Option<Index>, FetchError> {
        let answer = self.get_at(url, Some(INDEX)).await?;
        let next = self.next_page(&answer);
        match answer.read(&Expected::up_to(MANIFEST_LIMIT)).await {
            Ok(bytes) => {
                let index: Option<Index> = serde_json::from_slice(&bytes).ok();
                Ok(index.map(|index| Index { next, ..index }))
            }
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Nobody but the registry is asked for the rest.
    fn next_page(&self, answer: &Answer) -> Option<Url> {
        let target = answer.headers(LINK).find_map(next_target)?;
        let url = answer.url().join(target).ok()?;
        (url.origin() == self.registry.origin()).then_some(url)
    }

    /// The bundle in a referrer, if it has one that may be a signature.
    async fn bundle(&mut self, referrer: &Referrer) -> Result<Option<Bytes>, FetchError> {
        let name = digest(&referrer.digest, self.place)?;
        let manifest = self.manifest(&name.to_string(), Some(name)).await?;
        let Some(layer) = manifest.bundle() else {
            return Ok(None);
        };
        let digest = layer.digest(self.place)?;
        let expected = Expected {
            digest: Some(digest),
            ..Expected::up_to(BUNDLE_LIMIT)
        };
        self.blob(&expected, digest).await.map(Some)
    }

    async fn blob(&mut self, expected: &Expected, digest: Digest) -> Result<Bytes, FetchError> {
        let answer = self.get("blobs", &digest.to_string(), None).await?;
        answer.read(expected).await
    }

    fn address(&self, kind: &str, reference: &str) -> Url {
        let mut url = self.registry.clone();
        url.set_path(&format!(
            "/v2/{}/{kind}/{reference}",
            self.repository.name()
        ));
        url
    }

    async fn get(
        &mut self,
        kind: &str,
        reference: &str,
        accept: Option<&'static str>,
    ) -> Result<Answer, FetchError> {
        let url = self.address(kind, reference);
        self.get_at(&url, accept).await
    }

    /// Asks, and once more if the registry wants to know who asks.
    async fn get_at(
        &mut self,
        url: &Url,
        accept: Option<&'static str>,
    ) -> Result<Answer, FetchError> {
        let answer = self.ask(url, accept).await?;
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
            self.ask(url, accept).await
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

/// Whether a registry says by it that there is no such list. OCI Distribution 1.1 has 404 for that; registries that do
/// not know the path, or have no index at the tag, also say others.
fn is_unknown(error: &FetchError) -> bool {
    match error {
        FetchError::Missing { .. } => true,
        FetchError::Status { status, .. } => matches!(
            *status,
            StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE
        ),
        _ => false,
    }
}

/// Where a header says the next page to be. RFC 8288 §3: `<…>; rel="next"`; registries send no other links with it.
fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |parameter: &str| matches!(parameter.trim(), "rel=\"next\"" | "rel=next");
    parameters.split(';').any(is_next).then_some(target)
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
