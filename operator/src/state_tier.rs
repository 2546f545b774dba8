//! The state tier as the operator uses it: its public API, over whichever node answers.

mod bootstrap;
mod campaigns;
mod credentials;
mod devices;
mod enrollment;
mod events;
mod groups;
mod models;
mod operations;
mod packages;
mod profiles;
mod refusal;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use device_state::Namespace;
use device_state::selection::DeviceFilter;
use fleet_wire::AnswerError;
use proto::asks_for_another_node;
use thiserror::Error;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response, Status};

use credentials::Channel;
pub(crate) use credentials::Credentials;
pub(crate) use events::Watched;
pub(crate) use refusal::{enrollment_refusal, refusal};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// By this metadata callers say whose devices they speak of.
const NAMESPACE: &str = "drover-namespace";

/// Clients of the public API; clones share connections.
#[derive(Clone)]
pub(crate) struct StateTier {
    channels: Arc<[Channel]>,
    /// Index of the node that answered last.
    preferred: Arc<AtomicUsize>,
}

/// Why an address list cannot be used.
#[derive(Debug, Error)]
pub(crate) enum AddressError {
    #[error("no address of the state tier is given")]
    None,
    #[error("{address} is not host:port: {source}")]
    Malformed {
        address: String,
        source: tonic::transport::Error,
    },
}

/// Why the state tier did not do what was asked.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    /// Something newer was stored between looking and sending.
    #[error("something newer is stored")]
    Stale,
    #[error("the state tier answered {:?}: {}", .0.code(), .0.message())]
    Refused(Box<Status>),
    #[error("the state tier did not answer in time")]
    Timeout,
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Aborted => Self::Stale,
            _ => Self::Refused(Box::new(status)),
        }
    }
}

impl CallError {
    /// One word for metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Stale => "stale_generation",
            Self::Refused(_) => "state_tier_refused",
            Self::Timeout => "state_tier_timeout",
            Self::Answer(_) => "state_tier_answer",
        }
    }
}

impl StateTier {
    /// Connects when first used.
    pub(crate) fn new(
        addresses: &[String],
        credentials: &Credentials,
    ) -> Result<Self, AddressError> {
        let connect = |address: &String| {
            let (scheme, host) = match address.split_once("://") {
                Some((scheme, host)) => (scheme, host),
                None => ("http", address.as_str()),
            };
            let endpoint = Endpoint::from_shared(format!("{scheme}://{host}"))
                .map_err(|source| AddressError::Malformed {
                    address: address.clone(),
                    source,
                })?
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_while_idle(true);
            Ok(credentials.channel(&endpoint))
        };
        let channels: Arc<[Channel]> = addresses.iter().map(connect).collect::<Result<_, _>>()?;
        if channels.is_empty() {
            return Err(AddressError::None);
        }
        Ok(Self {
            channels,
            preferred: Arc::default(),
        })
    }

    /// Calls the node that answered last, and the others in turn while nodes are unavailable.
    async fn call<T, F>(&self, call: impl Fn(Channel) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_for(CALL_TIMEOUT, call).await
    }

    /// As `call`, of which each node may take so long.
    async fn call_for<T, F>(
        &self,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut last = CallError::Timeout;
        for offset in 0..self.channels.len() {
            let index = (first + offset) % self.channels.len();
            match tokio::time::timeout(limit, call(self.channels[index].clone())).await {
                Ok(Ok(answer)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer.into_inner());
                }
                Ok(Err(status)) if asks_for_another_node(&status) => last = status.into(),
                Ok(Err(status)) => return Err(status.into()),
                Err(_) => last = CallError::Timeout,
            }
        }
        Err(last)
    }
}

fn known<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CallError::Refused(status)) if status.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A request about the devices of a namespace.
fn about<T>(namespace: &Namespace, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(NAMESPACE, name_of(namespace));
    request
}

fn name_of(namespace: &Namespace) -> MetadataValue<Ascii> {
    let name = namespace.as_str().parse();
    name.expect("a namespace has letters, digits and - only")
}

/// A connection whose calls are about the devices of a namespace, and of which each device may take so long.
fn of_namespace(
    channel: Channel,
    name: &MetadataValue<Ascii>,
    patience: Option<Duration>,
) -> InterceptedService<Channel, impl Interceptor + Clone + use<>> {
    let name = name.clone();
    InterceptedService::new(channel, move |mut request: Request<()>| {
        request.metadata_mut().insert(NAMESPACE, name.clone());
        if let Some(patience) = patience {
            request.set_timeout(patience);
        }
        Ok(request)
    })
}

/// What a filter says, in the language of the API.
pub(crate) fn read_filter(text: &str) -> Result<DeviceFilter, String> {
    proto::convert::public::device_filter(text).map_err(|error| error.to_string())
}
