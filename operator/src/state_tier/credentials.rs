//! How the operator shows the API who it is.

use std::path::{Path, PathBuf};

use node_runtime::files::{Reloading, Watched};
use node_runtime::tls::{Connector, TlsError};
use thiserror::Error;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{self, Endpoint};
use tonic::{Request, Status};

use crate::config::Config;

/// A connection on which every call carries the token.
pub(crate) type Channel = InterceptedService<transport::Channel, Bearer>;

/// Certificates and the token, as their files say now.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    bearer: Bearer,
    /// `None` without an address that needs it.
    connector: Option<Connector>,
}

/// Why there are none.
#[derive(Debug, Error)]
pub(crate) enum CredentialsError {
    #[error("api_tls")]
    Tls(#[from] TlsError),
    #[error("api_token_file: cannot read {}", path.display())]
    Token {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("api_token_file: {} holds no token", path.display())]
    Form { path: PathBuf },
}

/// Puts the token into calls.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(Option<Watched<MetadataValue<Ascii>>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let token = MetadataValue::clone(&token.current());
            request.metadata_mut().insert("authorization", token);
        }
        Ok(request)
    }
}

impl Credentials {
    pub(crate) fn new(config: &Config, reloading: &Reloading) -> Result<Self, CredentialsError> {
        let token = config.api_token_file.clone().map(|file| {
            let path = file.clone();
            reloading.watch("api-token", vec![file], move || read(&path))
        });
        let is_secured = config
            .api
            .iter()
            .any(|address| address.starts_with("https://"));
        let connector = is_secured.then(|| Connector::to_api(&config.api_tls, reloading));
        Ok(Self {
            bearer: Bearer(token.transpose()?),
            connector: connector.transpose()?,
        })
    }

    /// Neither certificates nor a token.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self {
            bearer: Bearer(None),
            connector: None,
        }
    }

    /// A lazy connection, by TLS if the endpoint says so.
    pub(super) fn channel(&self, endpoint: &Endpoint) -> Channel {
        let is_secured = endpoint.uri().scheme_str() == Some("https");
        let channel = match &self.connector {
            Some(connector) if is_secured => {
                endpoint.connect_with_connector_lazy(connector.clone())
            }
            _ => endpoint.connect_lazy(),
        };
        InterceptedService::new(channel, self.bearer.clone())
    }
}

fn read(path: &Path) -> Result<MetadataValue<Ascii>, CredentialsError> {
    let text = std::fs::read_to_string(path).map_err(|source| CredentialsError::Token {
        path: path.to_owned(),
        source,
    })?;
    let form = || CredentialsError::Form {
        path: path.to_owned(),
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(form());
    }
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| form())?;
    value.set_sensitive(true);
    Ok(value)
}
