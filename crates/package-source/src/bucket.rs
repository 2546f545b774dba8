//! Objects in S3, and in what speaks like it. Everything that knows `object_store` is here.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::path::Path as Location;
use object_store::{
    ClientConfigKey, ClientOptions, ObjectStoreExt, RetryConfig, StaticCredentialProvider,
};
use tokio::time::timeout;

use crate::arrival::{Arrival, Expected};
use crate::credentials::{Identity, StorageKeys};
use crate::error::FetchError;
use crate::limits::Limits;
use crate::progress::Progress;
use crate::web::USER_AGENT;

/// Whoever wants the package asks again later, too.
const RETRIES: usize = 2;
/// A storage says in less than this why there is no object.
const REFUSAL_LIMIT: usize = 16 << 10;
/// Codes of errors are single words.
const CODE_LIMIT: usize = 64;

/// What is fetched.
pub(crate) struct Object<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    /// Its name in messages.
    pub(crate) place: String,
}

/// The package that an object is.
pub(crate) async fn fetch(
    object: &Object<'_>,
    keys: &StorageKeys,
    expected: &Expected,
    (limits, progress): (Limits, &Progress),
) -> Result<Bytes, FetchError> {
    let place = &object.place;
    let unusable = |source| FetchError::Bucket {
        place: place.clone(),
        source,
    };
    let store = open(object.bucket, keys, limits).map_err(|error| unusable(error.into()))?;
    let location = Location::parse(object.key).map_err(|error| unusable(error.into()))?;
    let silent = || FetchError::Silent {
        place: place.clone(),
        limit: limits.silence,
    };
    let found = timeout(limits.silence, store.get(&location)).await;
    let found = found
        .map_err(|_| silent())?
        .map_err(|error| refused(place, error))?;
    expected.check_claimed(place, found.meta.size)?;
    let mut arrival = Arrival::new(expected, place);
    let mut chunks = found.into_stream();
    while let Some(chunk) = timeout(limits.silence, chunks.next())
        .await
        .map_err(|_| silent())?
    {
        let chunk = chunk.map_err(|error| interrupted(place, error))?;
        arrival.push(&chunk)?;
        progress.add(chunk.len());
    }
    arrival.finish()
}

/// With the keys of the Secret. Where it is, if that is not said, the environment says; whose keys count without any,
/// [`Identity`].
fn open(bucket: &str, keys: &StorageKeys, limits: Limits) -> object_store::Result<AmazonS3> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_http_connector(Brief)
        .with_retry(RetryConfig {
            max_retries: RETRIES,
            retry_timeout: limits.silence,
            ..RetryConfig::default()
        });
    for (key, value) in [
        (ClientConfigKey::UserAgent, USER_AGENT.to_owned()),
        (ClientConfigKey::ConnectTimeout, seconds(limits.connect)),
        (ClientConfigKey::Timeout, seconds(limits.total)),
    ] {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    if let Some(key) = &keys.access_key {
        // Whole, so that no session token of the environment gets to a key of a Secret.
        let credential = AwsCredential {
            key_id: key.id.clone(),
            secret_key: key.secret.0.clone(),
            token: key.session_token.as_ref().map(|token| token.0.clone()),
        };
        builder = builder
            .with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
            .with_skip_signature(false);
    } else if keys.without == Identity::Nobody {
        builder = builder.with_skip_signature(true);
    }
    if let Some(region) = &keys.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &keys.endpoint {
        // The more specific of two keys, so that it also goes before `AWS_ENDPOINT_URL_S3` of the environment.
        builder = builder
            .with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.as_str())
            .with_virtual_hosted_style_request(false)
            .with_allow_http(endpoint.scheme() == "http");
    }
    builder.build()
}

/// As the library reads durations.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs().max(1))
}

/// Why there is no object. The library has no word for what failed on the way, so that is looked for in the causes.
fn refused(place: &str, error: object_store::Error) -> FetchError {
    let status = match &error {
        object_store::Error::NotFound { .. } => Some(StatusCode::NOT_FOUND),
        object_store::Error::PermissionDenied { .. } => Some(StatusCode::FORBIDDEN),
        object_store::Error::Unauthenticated { .. } => Some(StatusCode::UNAUTHORIZED),
        _ => None,
    };
    let place = place.to_owned();
    match status {
        Some(status) => FetchError::of_status(place, status),
        None if is_of_network(&error) => FetchError::Unreachable {
            place,
            source: error.into(),
        },
        None => FetchError::Storage {
            place,
            source: error.into(),
        },
    }
}

fn is_of_network(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return matches!(
                error.kind(),
                HttpErrorKind::Connect | HttpErrorKind::Timeout
            );
        }
        cause = error.source();
    }
    false
}

fn interrupted(place: &str, error: object_store::Error) -> FetchError {
    FetchError::Interrupted {
        place: place.to_owned(),
        source: error.into(),
    }
}

/// The library's own way to the storage, on which no more is left of a refusal than its code: the library would read all
/// of it and put it into its error, and some repeat what they were sent, such as a session token that expired.
#[derive(Debug)]
struct Brief;

impl HttpConnector for Brief {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(BriefService(client)))
    }
}

#[derive(Debug)]
struct BriefService(HttpClient);

impl HttpService for BriefService {
    fn call<'service, 'call>(
        &'service self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'service: 'call,
        Self: 'call,
    {
        Box::pin(async move {
            let response = self.0.execute(request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let (head, body) = response.into_parts();
            let said = Limited::new(body, REFUSAL_LIMIT).collect().await;
            let code = said.map(|said| code(&said.to_bytes())).unwrap_or_default();
            Ok(HttpResponse::from_parts(head, code.into()))
        })
    }
}

/// Amazon S3, "REST error responses": `<Error><Code>NoSuchKey</Code>…`.
fn code(refusal: &[u8]) -> String {
    let text = String::from_utf8_lossy(refusal);
    let after = text.split_once("<Code>").map(|(_, after)| after);
    let word = after.unwrap_or_default().chars().take(CODE_LIMIT);
    word.take_while(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests;
