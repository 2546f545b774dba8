//! How this node connects to other state nodes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use node_runtime::tls::Connector;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes channels to the internal service of other nodes.
#[derive(Clone)]
pub enum Dialer {
    Plaintext,
    /// By whoever makes lazy channels of endpoints.
    Secured(Arc<dyn Fn(Endpoint) -> Channel + Send + Sync>),
}

impl fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plaintext => "Plaintext",
            Self::Secured(_) => "Secured",
        })
    }
}

impl Dialer {
    /// This node shows its certificate, and wants that of a state node.
    pub fn tls(connector: Connector) -> Self {
        Self::Secured(Arc::new(move |endpoint| {
            endpoint.connect_with_connector_lazy(connector.clone())
        }))
    }

    /// A lazy channel to the internal service at `address` (`host:port`).
    pub fn channel(&self, address: &str) -> Channel {
        // The scheme says nothing here: a connection is secured by what makes it.
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        // An address that is no URI behaves like one that nobody listens at.
        let endpoint = endpoint.unwrap_or_else(|_| Endpoint::from_static("http://invalid.invalid"));
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(32 << 20);
        match self {
            Self::Plaintext => endpoint.connect_lazy(),
            Self::Secured(connect) => connect(endpoint),
        }
    }
}
