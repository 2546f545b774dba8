//! Settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use device_state::Namespace;
use tonic::transport::{Channel, Endpoint};

/// How to reach the state tier.
#[derive(Clone, Debug)]
pub struct Config {
    /// Internal addresses, `host:port`, of some state nodes; the others are learnt from them. At least one.
    pub seeds: Vec<String>,
    /// How long a TCP connection may take to be made.
    pub connect_timeout: Duration,
    /// How long one question for the topology may take.
    pub describe_timeout: Duration,
    /// How often the topology is asked for when nothing seems wrong.
    pub refresh_interval: Duration,
    /// How often an idle connection is probed; a peer that is silent for twice as long is given up.
    pub keep_alive: Duration,
    /// Calls under way at the same time; more are refused as overloaded.
    pub max_in_flight: usize,
    /// How connections are secured.
    pub transport: Transport,
    /// Whose devices the client speaks of: names of devices, ids of credentials, sessions and registrations are of this
    /// namespace, and those of others are not there.
    pub namespace: Namespace,
}

/// How connections are secured.
#[derive(Clone, Default)]
pub enum Transport {
    /// Not at all.
    #[default]
    Plaintext,
    /// By whoever makes lazy channels of endpoints.
    Secured(Arc<dyn Fn(Endpoint) -> Channel + Send + Sync>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "Plaintext",
            Self::Secured(_) => "Secured",
        })
    }
}

impl Transport {
    pub(crate) fn channel(&self, endpoint: Endpoint) -> Channel {
        match self {
            Self::Plaintext => endpoint.connect_lazy(),
            Self::Secured(connect) => connect(endpoint),
        }
    }
}

impl Config {
    /// Settings for a cluster that is reached by `seeds`, with defaults for the rest.
    pub fn new(seeds: impl IntoIterator<Item = String>) -> Self {
        Self {
            seeds: seeds.into_iter().collect(),
            connect_timeout: Duration::from_secs(1),
            describe_timeout: Duration::from_secs(1),
            refresh_interval: Duration::from_secs(5),
            keep_alive: Duration::from_secs(2),
            max_in_flight: 65_536,
            transport: Transport::Plaintext,
            namespace: Namespace::default(),
        }
    }
}
