//! Devices: which there are, what is known of one, and what its object asks for.

use device_state::Namespace;
use fleet_plan::device::{Action, Matters, Observed};
use fleet_wire::device::{Answers, Call, observed};
use proto::drover::v1 as api;
use proto::drover::v1::credentials_client::CredentialsClient;
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::observations_client::ObservationsClient;

use super::{CallError, StateTier, about, known, name_of, of_namespace};

/// As many as a page can have.
const PAGE: u32 = 1_000;

/// Some of the devices that a filter lets through.
pub(crate) struct DevicePage {
    pub(crate) endpoints: Vec<String>,
    /// By which the next ones are listed; empty if there are none.
    pub(crate) next: String,
}

/// Calls a method of a client about a namespace.
macro_rules! call {
    ($tier:expr, $client:ident.$method:ident, $namespace:expr, $message:expr) => {{
        let message = $message;
        $tier.call(move |channel| {
            let request = about($namespace, message.clone());
            async move { $client::new(channel).$method(request).await }
        })
    }};
}

impl StateTier {
    /// What is known of an endpoint; nothing is known of one that was never heard of.
    pub(crate) async fn observe(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        matters: Matters,
    ) -> Result<Observed, CallError> {
        let endpoint = endpoint.to_owned();
        let request = api::GetDeviceRequest {
            endpoint: endpoint.clone(),
            ..Default::default()
        };
        let device = call!(self, DevicesClient.get_device, namespace, request);
        let request = api::GetDesiredRequest {
            endpoint: endpoint.clone(),
        };
        let desired = call!(self, DesiredStateClient.get_desired, namespace, request);
        let (device, desired, observations, credentials) = tokio::join!(
            device,
            desired,
            self.observations(namespace, endpoint.clone(), matters.observations),
            self.credentials(namespace, endpoint, matters.credentials)
        );
        Ok(observed(Answers {
            device: known(device)?,
            desired: known(desired)?.unwrap_or_default(),
            observations: observations?,
            credentials: credentials?,
        })?)
    }

    async fn observations(
        &self,
        namespace: &Namespace,
        endpoint: String,
        matters: bool,
    ) -> Result<Vec<api::Observation>, CallError> {
        if !matters {
            return Ok(Vec::new());
        }
        let request = api::ListObservationsRequest { endpoint };
        let answer = call!(
            self,
            ObservationsClient.list_observations,
            namespace,
            request
        );
        Ok(known(answer.await)?.unwrap_or_default().observations)
    }

    async fn credentials(
        &self,
        namespace: &Namespace,
        endpoint: String,
        matters: bool,
    ) -> Result<Vec<api::Credential>, CallError> {
        if !matters {
            return Ok(Vec::new());
        }
        let request = api::ListCredentialsRequest {
            endpoint,
            page_size: PAGE,
            ..Default::default()
        };
        let answer = call!(self, CredentialsClient.list_credentials, namespace, request);
        Ok(answer.await?.credentials)
    }

    /// Carries an action about an endpoint out, and takes what stands afterwards into `observed`.
    pub(crate) async fn act(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        action: &Action,
        observed: &mut Observed,
    ) -> Result<(), CallError> {
        let call = Call::of(endpoint, action);
        let name = name_of(namespace);
        let reply = self.call(|channel| call.clone().send(of_namespace(channel, &name, None)));
        Ok(reply.await?.take_in(observed)?)
    }

    /// Deletes everything that is known of a device but its credentials.
    pub(crate) async fn forget(
        &self,
        namespace: &Namespace,
        endpoint: &str,
    ) -> Result<(), CallError> {
        let request = api::DeleteDeviceRequest {
            endpoint: endpoint.to_owned(),
            force: true,
            allow_missing: true,
            ..Default::default()
        };
        let answer = call!(self, DevicesClient.delete_device, namespace, request);
        answer.await.map(drop)
    }

    /// Lists devices, by name within each shard. `token` is that of the page before, or empty.
    pub(crate) async fn devices(
        &self,
        namespace: &Namespace,
        filter: &str,
        token: &str,
    ) -> Result<DevicePage, CallError> {
        let request = api::ListDevicesRequest {
            page_size: PAGE,
            page_token: token.to_owned(),
            filter: filter.to_owned(),
            view: api::DeviceView::Basic.into(),
            ..Default::default()
        };
        let answer = call!(self, DevicesClient.list_devices, namespace, request).await?;
        Ok(DevicePage {
            endpoints: answer.devices.into_iter().map(|one| one.endpoint).collect(),
            next: answer.next_page_token,
        })
    }
}
