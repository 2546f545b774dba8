//! What the API is shown, and by what its certificate is checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use device_state::Namespace;
use node_runtime::tls::{ClientTls, Connector, Peer, TlsError};
use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::failure::Failure;

/// What is given for addresses that want more than a connection.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Given {
    /// PEM file with the authorities of the API's certificate, for addresses with https://; else those of the system.
    #[arg(
        long,
        global = true,
        env = "DROVER_API_CA",
        value_name = "FILE",
        hide_env_values = true
    )]
    api_ca: Option<PathBuf>,
    /// PEM file with the certificate to show, with --api-key.
    #[arg(
        long,
        global = true,
        env = "DROVER_API_CERT",
        value_name = "FILE",
        hide_env_values = true
    )]
    api_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[arg(
        long,
        global = true,
        env = "DROVER_API_KEY",
        value_name = "FILE",
        hide_env_values = true
    )]
    api_key: Option<PathBuf>,
    /// File with the bearer token to show.
    #[arg(
        long,
        global = true,
        env = "DROVER_API_TOKEN_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    api_token_file: Option<PathBuf>,
    /// The bearer token itself. Others on this machine can see it unless it is in the variable.
    #[arg(
        long,
        global = true,
        env = "DROVER_API_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        conflicts_with = "api_token_file"
    )]
    api_token: Option<String>,
    /// Namespace of the devices, and of their keys and bootstrap profiles.
    #[arg(
        short,
        long,
        global = true,
        env = "DROVER_NAMESPACE",
        value_name = "NAME",
        default_value_t,
        hide_env_values = true
    )]
    namespace: Namespace,
}

/// The files of a cluster on this machine, in its `endpoints.json`; relative to its directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) authorities: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Of a node, for internal addresses.
    pub(crate) node_certificate: PathBuf,
    pub(crate) node_key: PathBuf,
}

/// What the API is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof {
    tls: ClientTls,
    bearer: Bearer,
}

/// Puts the token and the namespace into calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bearer {
    token: Option<Arc<MetadataValue<Ascii>>>,
    /// `None`: the default one.
    namespace: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.token {
            let token = MetadataValue::clone(token);
            request.metadata_mut().insert("authorization", token);
        }
        if let Some(namespace) = &self.namespace {
            let namespace = namespace.clone();
            request.metadata_mut().insert("drover-namespace", namespace);
        }
        Ok(request)
    }
}

impl Proof {
    /// What is given, and else what the directory of a cluster has.
    pub(crate) fn of(given: &Given, found: Option<(&Path, &Files)>) -> Result<Self, Failure> {
        let named = Some(given.namespace()).filter(|namespace| !namespace.is_default());
        let bearer = Bearer {
            token: given.token()?.map(|token| bearer(&token)).transpose()?,
            namespace: named.and_then(|namespace| namespace.as_str().parse().ok()),
        };
        let mut tls = ClientTls {
            authorities_file: given.api_ca.clone(),
            certificate_file: given.api_cert.clone(),
            key_file: given.api_key.clone(),
        };
        if let Some((dir, files)) = found {
            tls.authorities_file
                .get_or_insert_with(|| dir.join(&files.authorities));
            // Whoever brings a token wants to be its owner.
            let is_somebody = tls.certificate_file.is_some() || bearer.token.is_some();
            if !is_somebody {
                tls.certificate_file = Some(dir.join(&files.certificate));
                tls.key_file = Some(dir.join(&files.key));
            }
        }
        Ok(Self { tls, bearer })
    }

    pub(crate) fn bearer(&self) -> Bearer {
        self.bearer.clone()
    }

    /// What makes connections.
    pub(crate) fn connector(&self) -> Result<Connector, TlsError> {
        Connector::once(&self.tls, &Peer::Host)
    }
}

impl Given {
    /// Nothing but whose devices are meant.
    pub(crate) fn in_namespace(namespace: Namespace) -> Self {
        Self {
            namespace,
            ..Self::default()
        }
    }

    pub(crate) const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.api_token_file else {
            return Ok(self.api_token.clone());
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            let message = format!("cannot read the token in {}: {error}", file.display());
            Failure::usage(message, "--api-token-file names a file with a bearer token")
        })?;
        Ok(Some(text))
    }
}

fn bearer(token: &str) -> Result<Arc<MetadataValue<Ascii>>, Failure> {
    let token = token.trim();
    let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
    match value {
        Ok(mut value) if !token.is_empty() => {
            value.set_sensitive(true);
            Ok(Arc::new(value))
        }
        _ => Err(Failure::usage(
            "the bearer token is none",
            "it is one line of letters, digits and dots; see --api-token-file",
        )),
    }
}
