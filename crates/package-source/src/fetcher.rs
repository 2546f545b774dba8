//! The one who fetches.

use bytes::Bytes;
use tokio::time::timeout;

use crate::arrival::Expected;
use crate::bucket;
use crate::credentials::Credentials;
use crate::error::FetchError;
use crate::limits::Limits;
use crate::progress::Progress;
use crate::registry;
use crate::signature::CosignSignature;
use crate::source::Source;
use crate::web::{ClientError, Request, Web};

/// Fetches packages. One does for all of a process: it keeps connections and trusted certificates.
///
/// A connection has 10 s, the next byte 30 s, and all of it 10 minutes. Dropping a future of it ends what is under way.
#[derive(Clone)]
pub struct Fetcher {
    web: Web,
    limits: Limits,
}

/// There can be no fetcher: no certificates of this system can be read, say.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch packages")]
pub struct FetcherError(#[source] ClientError);

impl Fetcher {
    /// With the certificates that the system trusts, and through the proxies that its environment names.
    pub fn new() -> Result<Self, FetcherError> {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Result<Self, FetcherError> {
        let web = Web::new(limits).map_err(FetcherError)?;
        Ok(Self { web, limits })
    }

    /// The same fetcher, of which what arrives is counted there.
    #[must_use]
    pub fn counting(self, progress: Progress) -> Self {
        Self {
            web: self.web.counting(progress),
            ..self
        }
    }

    /// The package that lies there, if it is the expected one.
    ///
    /// Of an artefact with several layers, it is the one with the expected digest.
    pub async fn fetch(
        &self,
        source: &Source,
        credentials: &Credentials,
        expected: &Expected,
    ) -> Result<Bytes, FetchError> {
        expected.check_declared(&source.to_string())?;
        self.in_time(source, self.fetch_at(source, credentials, expected))
            .await
    }

    async fn fetch_at(
        &self,
        source: &Source,
        credentials: &Credentials,
        expected: &Expected,
    ) -> Result<Bytes, FetchError> {
        match source {
            Source::Web(url) => {
                let authorization = credentials.for_web(url);
                let request = Request {
                    url,
                    authorization: authorization.as_ref(),
                    accept: None,
                };
                self.web.get(request).await?.read(expected).await
            }
            Source::Registry {
                repository,
                manifest,
            } => registry::fetch(&self.web, repository, *manifest, credentials, expected).await,
            Source::Bucket { bucket, key } => {
                let object = bucket::Object {
                    bucket,
                    key,
                    place: source.to_string(),
                };
                let keys = credentials.for_storage();
                let progress = self.web.progress();
                bucket::fetch(&object, keys, expected, (self.limits, progress)).await
            }
        }
    }

    /// The signatures that cosign left next to an artefact in its registry; none, if nobody signed it.
    pub async fn cosign_signatures(
        &self,
        source: &Source,
        credentials: &Credentials,
    ) -> Result<Vec<CosignSignature>, FetchError> {
        let Source::Registry {
            repository,
            manifest,
        } = source
        else {
            let place = source.to_string();
            return Err(FetchError::NoRegistry { place });
        };
        let signatures = registry::cosign_signatures(&self.web, repository, *manifest, credentials);
        self.in_time(source, signatures).await
    }

    async fn in_time<T>(
        &self,
        source: &Source,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let done = timeout(self.limits.total, work).await;
        done.unwrap_or_else(|_| {
            Err(FetchError::TooSlow {
                place: source.to_string(),
                limit: self.limits.total,
            })
        })
    }
}

#[cfg(test)]
mod tests;
