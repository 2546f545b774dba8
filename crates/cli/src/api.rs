//! Finding the public API, and calls with a deadline.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_runtime::files;
use proto::drover::v1::artefacts_client::ArtefactsClient;
use proto::drover::v1::backups_client::BackupsClient;
use proto::drover::v1::bootstrap_client::BootstrapClient;
use proto::drover::v1::campaigns_client::CampaignsClient;
use proto::drover::v1::cluster_client::ClusterClient;
use proto::drover::v1::credentials_client::CredentialsClient;
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::device_groups_client::DeviceGroupsClient;
use proto::drover::v1::device_profiles_client::DeviceProfilesClient;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::diagnostics_client::DiagnosticsClient;
use proto::drover::v1::enrollment_policies_client::EnrollmentPoliciesClient;
use proto::drover::v1::object_models_client::ObjectModelsClient;
use proto::drover::v1::observations_client::ObservationsClient;
use proto::drover::v1::operations_client::OperationsClient;
use tonic::Request;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{self, Endpoint};

use crate::arguments::Global;
use crate::endpoints::{self, Endpoints};
use crate::failure::{Failure, innermost};
use crate::proof::{Bearer, Files, Proof};

/// The directory that is looked into when none is named.
const DEFAULT_DIR: &str = ".drover";
/// One address must not use up the time that another could have answered in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between pings of a connection without traffic, so that a watch notices a dead node.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A device with many reported values.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A connection whose calls show who makes them.
pub(crate) type Channel = InterceptedService<transport::Channel, Bearer>;

/// Addresses of the API, where they are from, and what they are shown.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    hosts: Vec<String>,
    origin: Origin,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Given,
    File(PathBuf),
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hosts.join(", "))?;
        match &self.origin {
            Origin::Given => Ok(()),
            Origin::File(path) => write!(f, " (from {})", path.display()),
        }
    }
}

impl Addresses {
    /// From `--api`, else from the `endpoints.json` of `--dir` or of `.drover`.
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        if !global.api.is_empty() {
            return Ok(Self {
                hosts: global
                    .api
                    .iter()
                    .map(|address| without_scheme(address))
                    .collect(),
                origin: Origin::Given,
                proof: Proof::of(&global.proof, None)?,
            });
        }
        let (endpoints, dir) = (read_endpoints(global)?, directory(global));
        let files = endpoints
            .access
            .as_ref()
            .map(|files| (dir.as_path(), files));
        let proof = Proof::of(&global.proof, files)?;
        Self::from_file(&endpoints, &dir, proof)
    }

    /// The API addresses in the `endpoints.json` of `dir`.
    fn from_file(endpoints: &Endpoints, dir: &Path, proof: Proof) -> Result<Self, Failure> {
        let file = endpoints::path(dir);
        if endpoints.state.is_empty() {
            return Err(Failure::NoAddress(format!(
                "{} lists no state node",
                file.display()
            )));
        }
        Ok(Self {
            hosts: endpoints
                .state
                .iter()
                .map(|node| secured(&node.api, endpoints.access.as_ref()))
                .collect(),
            origin: Origin::File(file),
            proof,
        })
    }

    /// Addresses that the caller knows.
    pub(crate) fn given(hosts: Vec<String>, proof: Proof) -> Self {
        Self {
            hosts,
            origin: Origin::Given,
            proof,
        }
    }

    /// Another address, with TLS if the first one has it.
    pub(crate) fn like_first(&self, address: &str) -> String {
        match self.hosts.first() {
            Some(first) if first.starts_with("https://") => format!("https://{address}"),
            _ => address.to_owned(),
        }
    }

    pub(crate) const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// What to do when none of them answers.
    pub(crate) fn advice(&self) -> String {
        match &self.origin {
            Origin::Given => {
                "is it running, and is the address right? `drover dev` starts a cluster here"
                    .to_owned()
            }
            Origin::File(path) => {
                let dir = path.parent().unwrap_or_else(|| Path::new(".")).display();
                format!("is it running? `drover dev --dir {dir}` starts it again")
            }
        }
    }

    /// Connects to the first address that answers.
    pub(crate) async fn connect(&self) -> Result<Channel, Failure> {
        let (channel, _) = self.connect_from(0).await?;
        Ok(channel)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Connects to the first address that answers, trying that of the number `first` first and the others in turn; the
    /// number of the one that did.
    pub(crate) async fn connect_from(&self, first: usize) -> Result<(Channel, usize), Failure> {
        let mut causes = Vec::new();
        let numbered = self.hosts.iter().enumerate();
        let turn = numbered.cycle().skip(first % self.hosts.len().max(1));
        for (number, host) in turn.take(self.hosts.len()) {
            match connect(host, &self.proof).await {
                Ok(channel) => return Ok((channel, number)),
                Err(cause) if causes.contains(&cause) => {}
                Err(cause) => causes.push(cause),
            }
        }
        Err(Failure::Unreachable {
            addresses: Box::new(self.clone()),
            cause: causes.join("; "),
        })
    }
}

/// The `endpoints.json` of `--dir` or of `.drover`.
pub(crate) fn read_endpoints(global: &Global) -> Result<Endpoints, Failure> {
    let dir = directory(global);
    Endpoints::read(&dir).map_err(|error| {
        Failure::NoAddress(format!(
            "cannot read {}: {error}",
            endpoints::path(&dir).display()
        ))
    })
}

/// The address with what says that it is for TLS, if it is.
pub(crate) fn secured(address: &str, files: Option<&Files>) -> String {
    match files {
        Some(_) => format!("https://{address}"),
        None => address.to_owned(),
    }
}

pub(crate) fn directory(global: &Global) -> PathBuf {
    global
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DIR))
}

fn without_scheme(address: &str) -> String {
    address
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned()
}

/// Connects to one `host:port` or `https://host:port`; the error is the innermost cause.
pub(crate) async fn connect(host: &str, proof: &Proof) -> Result<Channel, String> {
    let (address, tls) = match host.strip_prefix("https://") {
        Some(address) => (address, Some(proof.connector())),
        None => (host, None),
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| format!("{host} is not HOST:PORT"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE);
    let connected = match tls {
        None => endpoint.connect().await,
        Some(Ok(connector)) => endpoint.connect_with_connector(connector).await,
        Some(Err(error)) => return Err(files::causes(&error)),
    };
    let channel = connected.map_err(|error| innermost(&error))?;
    Ok(InterceptedService::new(channel, proof.bearer()))
}

/// A connection to the public API, and how long a call may take.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    channel: Channel,
    timeout: Duration,
}

impl Api {
    /// Connects to the API that the arguments name.
    pub(crate) async fn connect(global: &Global) -> Result<Self, Failure> {
        Ok(Self::new(
            Addresses::find(global)?.connect().await?,
            global.timeout,
        ))
    }

    pub(crate) const fn new(channel: Channel, timeout: Duration) -> Self {
        Self { channel, timeout }
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A call that ends after `--timeout`.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        Self::request_within(self.timeout, message)
    }

    /// A call that ends after `timeout`.
    pub(crate) fn request_within<T>(timeout: Duration, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        request
    }

    /// The connection, on which each call ends after `timeout`.
    pub(crate) fn service(
        &self,
        timeout: Duration,
    ) -> InterceptedService<Channel, impl Interceptor + Clone + use<>> {
        InterceptedService::new(self.channel.clone(), move |mut request: Request<()>| {
            request.set_timeout(timeout);
            Ok(request)
        })
    }

    pub(crate) fn devices(&self) -> DevicesClient<Channel> {
        DevicesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn operations(&self) -> OperationsClient<Channel> {
        OperationsClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn backups(&self) -> BackupsClient<Channel> {
        BackupsClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn bootstrap(&self) -> BootstrapClient<Channel> {
        BootstrapClient::new(self.channel.clone())
    }

    pub(crate) fn campaigns(&self) -> CampaignsClient<Channel> {
        CampaignsClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn artefacts(&self) -> ArtefactsClient<Channel> {
        ArtefactsClient::new(self.channel.clone())
    }

    pub(crate) fn groups(&self) -> DeviceGroupsClient<Channel> {
        DeviceGroupsClient::new(self.channel.clone())
    }

    pub(crate) fn enrollment(&self) -> EnrollmentPoliciesClient<Channel> {
        EnrollmentPoliciesClient::new(self.channel.clone())
    }

    pub(crate) fn profiles(&self) -> DeviceProfilesClient<Channel> {
        DeviceProfilesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(crate) fn object_models(&self) -> ObjectModelsClient<Channel> {
        ObjectModelsClient::new(self.channel.clone())
    }

    pub(crate) fn observations(&self) -> ObservationsClient<Channel> {
        ObservationsClient::new(self.channel.clone())
    }

    pub(crate) fn diagnostics(&self) -> DiagnosticsClient<Channel> {
        DiagnosticsClient::new(self.channel.clone())
    }

    pub(crate) fn credentials(&self) -> CredentialsClient<Channel> {
        CredentialsClient::new(self.channel.clone())
    }

    pub(crate) fn desired_state(&self) -> DesiredStateClient<Channel> {
        DesiredStateClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
