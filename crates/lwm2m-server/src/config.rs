//! What an engine is told once.

use std::sync::Arc;
use std::time::Duration;

use device_state::{DeviceName, Namespace, NodeId};
use lwm2m::EndpointName;

use crate::profile::Profiles;

/// Configuration of an [`Engine`](crate::Engine).
#[derive(Clone, Debug)]
pub struct Config {
    /// Timers and bounds of the CoAP layer.
    pub coap: coap::Config,
    /// This ingress node, the owner of the registrations it takes.
    pub node: NodeId,
    /// This engine's place among the workers of the node; the lowest byte of the registration ids it gives out.
    pub worker: u8,
    /// Shards of the cluster, at least 1.
    pub shards: u16,
    /// How long a queue-mode device listens after its last message, unless it says that it sleeps sooner (LwM2M
    /// Transport 1.2 §5.4: MAX_TRANSMIT_WAIT). Above zero.
    pub awake_window: Duration,
    /// How long a device may take to answer a composite read or observation that it acknowledged, before it is asked for
    /// one path after the other. Well below the time that callers wait.
    pub composite_timeout: Duration,
    /// Commits under way; more uplinks than that are answered 5.03.
    pub max_pending_commits: usize,
    /// Devices that this engine holds; more are answered 5.03.
    pub max_devices: usize,
    /// Shortest time that an overloaded node asks a device to wait.
    pub retry_after: Duration,
    /// Longest such time: refused devices are asked to come back one after the other, at the pace of commits.
    pub retry_within: Duration,
    /// What devices of LwM2M 1.2 may register with in place of their objects.
    pub profiles: Arc<Profiles>,
    /// Whose devices are served: their names are put into it wherever they leave the engine in a command.
    pub namespace: Namespace,
}

impl Config {
    /// Defaults of the standards for node `node` in a cluster of `shards` shards.
    pub fn new(node: NodeId, shards: u16) -> Self {
        Self {
            coap: coap::Config::default(),
            node,
            worker: 0,
            shards,
            awake_window: Duration::from_secs(93),
            composite_timeout: Duration::from_secs(15),
            max_pending_commits: 16_384,
            max_devices: 1_000_000,
            retry_after: Duration::from_secs(5),
            retry_within: Duration::from_secs(300),
            profiles: Arc::default(),
            namespace: Namespace::default(),
        }
    }

    /// The device that registers as `endpoint` here, for the state tier.
    pub(crate) fn device(&self, endpoint: &EndpointName) -> DeviceName {
        DeviceName::new(&self.namespace, endpoint)
    }
}
