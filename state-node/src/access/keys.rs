//! The public keys of an issuer of tokens (RFC 7517).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use node_runtime::files::{Watched, causes};
use node_runtime::tls::{self, TlsError};
use tokio::sync::Mutex;

use super::refusal::Undecided;

/// More are not kept; issuers have a handful.
const MAX_KEYS: usize = 64;
/// An answer that is longer is no set of keys.
const MAX_BYTES: usize = 1 << 20;
/// A key that an issuer no longer shows is believed for so long.
const MAX_AGE: Duration = Duration::from_secs(600);
/// How long keys are believed while their issuer cannot be asked.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);
/// Between two questions, however many tokens name keys that are not known.
const PAUSE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("this is no set of keys")]
    Form(#[from] serde_json::Error),
    #[error("the set has no key for ES256, RS256 or EdDSA")]
    Empty,
    #[error("jwks_url {0:?} is no URL")]
    Url(String),
    #[error("authorities_file of an issuer")]
    Tls(#[from] TlsError),
    #[error("the issuer cannot be asked for its keys")]
    Fetch(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the issuer answered {0} when asked for its keys")]
    Status(http::StatusCode),
    #[error("the issuer did not send its keys in time")]
    Timeout,
}

/// Keys that tokens can be signed with.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeysError> {
        let set: JwkSet = serde_json::from_slice(json)?;
        let keys: Vec<Key> = set.keys.iter().filter_map(key).take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Err(KeysError::Empty);
        }
        Ok(Self(keys))
    }

    pub(super) fn read(path: &Path) -> Result<Self, KeysError> {
        let text = std::fs::read(path).map_err(|source| KeysError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Those that may have signed a token.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        self.0
            .iter()
            .filter(move |key| {
                let named = id.is_none() || key.id.is_none() || key.id.as_deref() == id;
                key.algorithm == algorithm && named
            })
            .map(|key| &key.key)
    }

    fn has(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.candidates(algorithm, id).next().is_some()
    }
}

fn key(jwk: &Jwk) -> Option<Key> {
    if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(curve) if curve.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        // A key of another kind, and above all one that both sides share, signs nothing here.
        _ => return None,
    };
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}

/// Where keys are from.
#[derive(Debug)]
pub(super) enum Keys {
    File(Watched<KeySet>),
    Url(Box<Fetched>),
}

impl Keys {
    /// The keys, with the one that is asked for if the issuer has it.
    pub(super) async fn with(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Arc<KeySet>, Undecided> {
        match self {
            Self::File(keys) => Ok(keys.current()),
            Self::Url(fetched) => fetched.with(algorithm, id).await,
        }
    }
}

/// Keys behind a URL, asked for when they are needed.
pub(super) struct Fetched {
    url: http::Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    known: RwLock<Option<(Arc<KeySet>, Instant)>>,
    /// When the issuer was last asked. Whoever asks holds the lock.
    asked: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fetched").field(&self.url).finish()
    }
}

impl Fetched {
    pub(super) fn new(url: &str, authorities: Option<&Path>) -> Result<Self, KeysError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::https(authorities)?)
            .https_only()
            .enable_http1()
            .build();
        Ok(Self {
            url: url.parse().map_err(|_| KeysError::Url(url.to_owned()))?,
            client: Client::builder(TokioExecutor::new()).build(connector),
            known: RwLock::default(),
            asked: Mutex::default(),
        })
    }

    fn known(&self) -> Option<(Arc<KeySet>, Instant)> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fresh(&self, algorithm: Algorithm, id: Option<&str>) -> Option<Arc<KeySet>> {
        let (keys, since) = self.known()?;
        (since.elapsed() < MAX_AGE && keys.has(algorithm, id)).then_some(keys)
    }

    async fn with(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Arc<KeySet>, Undecided> {
        if let Some(keys) = self.fresh(algorithm, id) {
            return Ok(keys);
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have asked while this one waited.
        if let Some(keys) = self.fresh(algorithm, id) {
            return Ok(keys);
        }
        if asked.is_none_or(|at| at.elapsed() >= PAUSE) {
            *asked = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                    *known = Some((Arc::new(keys), Instant::now()));
                }
                Err(error) => {
                    tracing::warn!(url = %self.url, error = causes(&error), "no keys from an issuer of tokens");
                }
            }
        }
        let (keys, since) = self.known().ok_or(Undecided::Keys)?;
        if since.elapsed() > MAX_STALE {
            return Err(Undecided::Keys);
        }
        Ok(keys)
    }

    async fn fetch(&self) -> Result<KeySet, KeysError> {
        let answer = async {
            let answer = self.client.get(self.url.clone()).await;
            let answer = answer.map_err(|error| KeysError::Fetch(error.into()))?;
            if answer.status() != http::StatusCode::OK {
                return Err(KeysError::Status(answer.status()));
            }
            let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
            Ok(body.map_err(KeysError::Fetch)?.to_bytes())
        };
        let answer = tokio::time::timeout(TIMEOUT, answer).await;
        KeySet::parse(&answer.map_err(|_| KeysError::Timeout)??)
    }
}
