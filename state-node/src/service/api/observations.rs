//! `drover.v1.Observations`: intents that last until they are taken back. They are holds like those of callers
//! ([`observe`](super::observe)), but of nobody who could go away.

use std::time::Duration;

use device_state::{Command, ObservationHolder, Queueing, Registration, Timestamp};
use lwm2m::{EndpointName, Observed, Operation};
use node_runtime::clock;
use proto::convert::public::{Delivery, DeviceRequest, DurableRequest, Wait, observed};
use proto::drover::v1 as public;
use proto::drover::v1::observations_server::Observations;
use tonic::{Request, Response, Status};

use crate::service::api::{Api, endpoint_name};
use crate::service::status;

impl Api {
    /// The observation as its shard's leader knows it now.
    async fn declared(
        &self,
        endpoint: &EndpointName,
        observed: &Observed,
    ) -> Result<Option<public::Observation>, Status> {
        let observations = self.view(endpoint).await?.observations.into_iter();
        let mut found = observations.filter(|observation| observation.observed == *observed);
        let shown = found.next().map(public::Observation::from);
        Ok(shown.filter(|observation| observation.declared))
    }

    /// Has the registered device asked, as soon as it listens. One that does not until its registration ends is asked when
    /// it registers again.
    async fn establish(
        &self,
        request: DeviceRequest,
        registration: &Registration,
    ) -> Result<public::Operation, Status> {
        let now = Timestamp(clock::now_ms());
        let left = Duration::from_millis(registration.expires_at.0.saturating_sub(now.0));
        let delivery = Delivery {
            deadline: left.min(Delivery::LONGEST),
            request_id: None,
            wait: Wait::UntilAccepted,
            queueing: Queueing::default(),
            immediate: false,
        };
        self.carry_out(DurableRequest {
            endpoint: request.endpoint,
            operation: request.operation,
            delivery,
        })
        .await
    }
}

#[tonic::async_trait]
impl Observations for Api {
    async fn put_observation(
        &self,
        request: Request<public::PutObservationRequest>,
    ) -> Result<Response<public::PutObservationResponse>, Status> {
        let request = self.device_request(request.into_inner())?;
        let Operation::Observe {
            observed,
            parameters,
        } = request.operation.clone()
        else {
            return Err(Status::internal("not an observation"));
        };
        let endpoint = request.endpoint.clone();
        let command = Command::HoldObservation {
            endpoint: endpoint.clone(),
            observed: observed.clone(),
            parameters,
            holder: ObservationHolder::DECLARED,
            lease_until: Timestamp::NEVER,
        };
        self.commit(self.shard_of(&endpoint), command).await?;
        let operation = match self.view(&endpoint).await?.registration {
            Some(registration) => Some(self.establish(request, &registration).await?),
            None => None,
        };
        Ok(Response::new(public::PutObservationResponse {
            observation: self.declared(&endpoint, &observed).await?,
            operation,
        }))
    }

    async fn list_observations(
        &self,
        request: Request<public::ListObservationsRequest>,
    ) -> Result<Response<public::ListObservationsResponse>, Status> {
        let endpoint = endpoint_name(&request.into_inner().endpoint)?;
        let observations = self.view(&endpoint).await?.observations;
        let observations = observations.into_iter().map(Into::into).collect();
        Ok(Response::new(public::ListObservationsResponse {
            observations,
        }))
    }

    async fn delete_observation(
        &self,
        request: Request<public::DeleteObservationRequest>,
    ) -> Result<Response<public::DeleteObservationResponse>, Status> {
        let request = request.into_inner();
        let endpoint = endpoint_name(&request.endpoint)?;
        let observed = observed(&request.paths).map_err(|error| status::convert(&error))?;
        if self.declared(&endpoint, &observed).await?.is_none() {
            return Err(status::not_found("the observation"));
        }
        let command = Command::ReleaseObservation {
            endpoint: endpoint.clone(),
            observed,
            holder: ObservationHolder::DECLARED,
        };
        self.commit(self.shard_of(&endpoint), command).await?;
        Ok(Response::new(public::DeleteObservationResponse {}))
    }
}
