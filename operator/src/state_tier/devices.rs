//! One device: what is known of it, and what objects ask for.

use std::collections::{BTreeMap, BTreeSet};

use device_state::Namespace;
use fleet_plan::device::{Action, Observed};
use lwm2m::{NotificationAttributes, Path};
use proto::drover::v1 as api;
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::observations_client::ObservationsClient;

use super::{CallError, StateTier, about, convert, known};

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
    /// What is known of an endpoint; nothing is known of one that was never heard of. Its observations are asked for only
    /// if they matter.
    pub(crate) async fn observe(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        observes: bool,
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
        let (device, desired, observations) = tokio::join!(
            device,
            desired,
            self.observations(namespace, endpoint, observes)
        );
        let desired = known(desired)?.unwrap_or_default();
        let observed = convert::observed(known(device)?, desired)?;
        Ok(Observed {
            observations: convert::stored_observations(observations?)?,
            ..observed
        })
    }

    async fn observations(
        &self,
        namespace: &Namespace,
        endpoint: String,
        observes: bool,
    ) -> Result<Vec<api::Observation>, CallError> {
        if !observes {
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

    /// Carries an action about an endpoint out, and takes what stands afterwards into `observed`.
    pub(crate) async fn act(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        action: &Action,
        observed: &mut Observed,
    ) -> Result<(), CallError> {
        let endpoint = endpoint.to_owned();
        match action {
            Action::SetDesired {
                generation,
                resources,
            } => {
                let request = api::SetDesiredRequest {
                    endpoint,
                    generation: *generation,
                    resources: resources.iter().map(convert::desired_value).collect(),
                    ..Default::default()
                };
                let answer =
                    call!(self, DesiredStateClient.set_desired, namespace, request).await?;
                observed.desired_generation = answer.generation;
                observed.desired = convert::stored_resources(answer.resources)?;
            }
            Action::SetLabels { set, remove } => {
                let request = label_change(endpoint, set, remove);
                let answer = call!(self, DevicesClient.update_device, namespace, request).await?;
                observed.labels = answer.labels.into_iter().collect();
                observed.is_known = true;
            }
            Action::PutObservation { path, parameters } => {
                let answer = self.put_declared(namespace, endpoint, *path, *parameters);
                let stands = convert::stored_observations(answer.await?)?;
                observed.observations.retain(|one| one.path != *path);
                observed.observations.extend(stands);
            }
            Action::DeleteObservation { path } => {
                self.delete_declared(namespace, endpoint, *path).await?;
                for one in &mut observed.observations {
                    one.declared &= one.path != *path;
                }
            }
        }
        Ok(())
    }

    async fn put_declared(
        &self,
        namespace: &Namespace,
        endpoint: String,
        path: Path,
        parameters: NotificationAttributes,
    ) -> Result<Option<api::Observation>, CallError> {
        let request = api::PutObservationRequest {
            endpoint,
            paths: vec![path.to_string()],
            parameters: parameters.to_query().join("&"),
            ..Default::default()
        };
        let answer = call!(self, ObservationsClient.put_observation, namespace, request);
        Ok(answer.await?.observation)
    }

    /// One that is not there is deleted.
    async fn delete_declared(
        &self,
        namespace: &Namespace,
        endpoint: String,
        path: Path,
    ) -> Result<(), CallError> {
        let request = api::DeleteObservationRequest {
            endpoint,
            paths: vec![path.to_string()],
            ..Default::default()
        };
        let answer = call!(
            self,
            ObservationsClient.delete_observation,
            namespace,
            request
        );
        known(answer.await).map(drop)
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
}

/// One update for the labels that change; a device of which nothing is known becomes known by it.
fn label_change(
    endpoint: String,
    set: &BTreeMap<String, String>,
    remove: &BTreeSet<String>,
) -> api::UpdateDeviceRequest {
    let paths = set.keys().chain(remove);
    let mask = prost_types::FieldMask {
        paths: paths.map(|key| format!("labels.{key}")).collect(),
    };
    let labels = set.iter();
    api::UpdateDeviceRequest {
        device: Some(api::Device {
            endpoint,
            labels: labels
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            ..Default::default()
        }),
        update_mask: Some(mask),
        allow_missing: true,
        ..Default::default()
    }
}
