//! What a bootstrap engine is told once.

use std::time::Duration;

/// Configuration of a [`BootstrapEngine`](crate::bootstrap::BootstrapEngine).
#[derive(Clone, Debug)]
pub struct BootstrapConfig {
    /// Timers and bounds of the CoAP layer.
    pub coap: coap::Config,
    /// Bootstraps at a time; more are answered 5.03. One peer has one at a time.
    pub max_bootstraps: usize,
    /// How long a bootstrap may take from its request on.
    // LwM2M Core 1.2 §6.1.5: a client gives up when it hears nothing for EXCHANGE_LIFETIME.
    pub timeout: Duration,
    /// How long the caller may take for a plan; then the request is answered 5.03.
    pub prepare_within: Duration,
    /// Shortest time that a device is asked to wait when it cannot be served.
    pub retry_after: Duration,
    /// Longest such time.
    pub retry_within: Duration,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            coap: coap::Config {
                // A request has no payload; what is large is the answer to a Discover or a Read.
                max_body: 16 << 10,
                max_body_bytes: 64 << 20,
                max_requests_per_peer: 4,
                max_transfers_per_peer: 2,
                max_exchanges_per_peer: 2,
                max_observations_per_peer: 0,
                ..coap::Config::default()
            },
            max_bootstraps: 16_384,
            timeout: Duration::from_secs(247),
            prepare_within: Duration::from_secs(30),
            retry_after: Duration::from_secs(5),
            retry_within: Duration::from_secs(300),
        }
    }
}
