//! What all handlers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::drover::v1::{Device, GetDeviceRequest, device};
use tokio::sync::Semaphore;
use tonic::Code;

use super::observations::Observations;
use super::refusal::Refusal;
use crate::api::Api;

/// Event streams at one time.
const MAX_STREAMS: usize = 64;
/// PSK identities of devices at the bootstrap API.
const MAX_IDENTITIES: usize = 10_000;

/// Shared by both servers.
pub(super) struct Shim {
    pub(super) api: Api,
    pub(super) observations: Observations,
    /// One permit for each event stream.
    pub(super) streams: Arc<Semaphore>,
    /// PSK identities that the bootstrap API was given, with their endpoints.
    bootstrap_identities: Mutex<HashMap<Vec<u8>, String>>,
}

impl Shim {
    pub(super) fn new(api: Api) -> Arc<Self> {
        Arc::new(Self {
            api,
            observations: Observations::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            bootstrap_identities: Mutex::default(),
        })
    }

    /// The device, if it is registered.
    pub(super) async fn registered(
        &self,
        endpoint: &str,
        timeout: Duration,
    ) -> Result<Device, Refusal> {
        let message = GetDeviceRequest {
            endpoint: endpoint.to_owned(),
            ..Default::default()
        };
        let request = Api::request_within(timeout, message);
        match self.api.devices().get_device(request).await {
            Ok(answer) => Some(answer.into_inner())
                .filter(|device| device.state() == device::State::Registered)
                .ok_or_else(|| Refusal::no_client(endpoint)),
            Err(status) if status.code() == Code::NotFound => Err(Refusal::no_client(endpoint)),
            Err(status) => Err(status.into()),
        }
    }

    /// Remembers what a device shows to the bootstrap server.
    pub(super) fn claim_for_bootstrap(&self, identity: Vec<u8>, endpoint: &str) {
        let mut identities = self.identities();
        if identities.len() < MAX_IDENTITIES {
            identities.insert(identity, endpoint.to_owned());
        }
    }

    /// Forgets what a device shows to the bootstrap server.
    pub(super) fn release_for_bootstrap(&self, endpoint: &str) {
        self.identities().retain(|_, of| of != endpoint);
    }

    /// Whether a device shows this to the bootstrap server.
    pub(super) fn is_for_bootstrap(&self, identity: &[u8]) -> bool {
        self.identities().contains_key(identity)
    }

    fn identities(&self) -> MutexGuard<'_, HashMap<Vec<u8>, String>> {
        self.bootstrap_identities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
