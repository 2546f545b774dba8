//! `drover.v1.Observations`: intents that last until they are taken back. They are holds like those of callers
//! ([`observe`](super::observe)), but of nobody who could go away.

use std::time::Duration;

use device_state::query::DeviceView;
use device_state::{
    Command, DeviceName, Observation, ObservationHolder, OperationRecord, OperationState, Queueing,
    Registration, Timestamp,
};
use lwm2m::{Observed, Operation};
use node_runtime::clock;
use proto::convert::public::{
    Delivery, DeviceRequest, DurableRequest, InNamespace, Terms, Wait, observed,
};
use proto::drover::v1 as public;
use proto::drover::v1::observations_server::Observations;
use tonic::{Request, Response, Status};

use crate::service::api::{Api, named, tenant, terms};
use crate::service::keeper::{self, COMMIT_TIMEOUT};
use crate::service::status;

impl Api {
    /// The observation as its shard's leader knows it now.
    async fn declared(
        &self,
        endpoint: &DeviceName,
        observed: &Observed,
    ) -> Result<Option<public::Observation>, Status> {
        let observations = self.view(endpoint).await?.observations.into_iter();
        let mut found = observations.filter(|observation| observation.observed == *observed);
        let shown = found.next().map(public::Observation::from);
        Ok(shown.filter(|observation| observation.declared))
    }

    /// Gives up what waits to be asked of the device for an observation, unless that is `wanted`.
    async fn give_up_waiting(
        &self,
        view: &DeviceView,
        observed: &Observed,
        wanted: Option<&Operation>,
    ) -> Result<(), Status> {
        let is_of = |operation: &Operation| match operation {
            Operation::Observe { observed: of, .. } => of == observed,
            _ => false,
        };
        let waiting = view.operations.iter().filter(|record| record.is_pending());
        let unwanted =
            waiting.filter(|record| is_of(&record.operation) && Some(&record.operation) != wanted);
        for record in unwanted {
            let command = Command::Cancel {
                endpoint: view.endpoint.clone(),
                operation: record.id,
            };
            // Whether it was still there or had just begun: it ends.
            let shard = self.shard_of(&view.endpoint);
            let cancelled = self
                .router()
                .propose(shard, None, command, COMMIT_TIMEOUT)
                .await;
            cancelled.map_err(|error| status::propose(&error))?;
        }
        Ok(())
    }

    /// Takes back what was declared.
    async fn release(
        &self,
        endpoint: &DeviceName,
        observed: Observed,
        terms: &Terms,
    ) -> Result<(), Status> {
        let command = Command::ReleaseObservation {
            endpoint: endpoint.clone(),
            observed,
            holder: ObservationHolder::DECLARED,
        };
        let shard = self.shard_of(endpoint);
        keeper::commit_part(self.router(), shard, (terms, "release"), command)
            .await
            .map(drop)
    }

    /// Has the registered device asked, as soon as it listens. One that does not until its registration ends is asked when
    /// it registers again.
    async fn establish(
        &self,
        request: DeviceRequest,
        registration: &Registration,
        terms: &Terms,
    ) -> Result<Option<public::Operation>, Status> {
        let now = Timestamp(clock::now_ms());
        let left = Duration::from_millis(registration.expires_at.0.saturating_sub(now.0));
        let delivery = Delivery {
            deadline: left.min(Delivery::LONGEST),
            request_id: terms.request_id("establish"),
            wait: Wait::UntilAccepted,
            queueing: Queueing::default(),
            immediate: false,
            effect: terms.guard.effect,
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
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let request = self.device_request(asked)?;
        let Operation::Observe {
            observed,
            parameters,
        } = request.operation.clone()
        else {
            return Err(Status::internal("not an observation"));
        };
        let endpoint = request.endpoint.clone();
        let view = self.view(&endpoint).await?;
        let held = view
            .observations
            .iter()
            .find(|one| one.observed == observed);
        if held.is_some_and(|held| held.parameters != parameters && is_declared_only(held)) {
            if terms.is_rehearsal() {
                // What holds the place of the new one would go, so nothing is in its way.
                return Ok(Response::new(public::PutObservationResponse::default()));
            }
            self.release(&endpoint, observed.clone(), &terms).await?;
        }
        let command = Command::HoldObservation {
            endpoint: endpoint.clone(),
            observed: observed.clone(),
            parameters,
            holder: ObservationHolder::DECLARED,
            lease_until: Timestamp::NEVER,
        };
        let shard = self.shard_of(&endpoint);
        keeper::commit_part(self.router(), shard, (&terms, "hold"), command).await?;
        if terms.is_rehearsal() {
            return Ok(Response::new(public::PutObservationResponse::default()));
        }
        self.give_up_waiting(&view, &observed, Some(&request.operation))
            .await?;
        let waits = |record: &&OperationRecord| {
            record.state == OperationState::Pending && record.operation == request.operation
        };
        let waiting = view.operations.iter().find(waits).cloned();
        let operation = match (waiting, view.registration) {
            (Some(waiting), Some(_)) => Some(waiting.into()),
            (None, Some(registration)) => self.establish(request, &registration, &terms).await?,
            (_, None) => None,
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
        let asked = tenant(request)?;
        let endpoint = named(&asked.namespace, &asked.request.endpoint)?;
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
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let InNamespace { namespace, request } = asked;
        let endpoint = named(&namespace, &request.endpoint)?;
        let observed =
            observed(&request.child, &request.paths).map_err(|error| status::convert(&error))?;
        // With an id, an earlier try may have deleted it.
        if request.request_id.is_empty() && self.declared(&endpoint, &observed).await?.is_none() {
            return Err(status::not_found("the observation"));
        }
        self.release(&endpoint, observed.clone(), &terms).await?;
        if terms.is_rehearsal() {
            return Ok(Response::new(public::DeleteObservationResponse {}));
        }
        let view = self.view(&endpoint).await?;
        let mut left = view.observations.iter();
        if !left.any(|other| other.observed == observed) {
            self.give_up_waiting(&view, &observed, None).await?;
        }
        Ok(Response::new(public::DeleteObservationResponse {}))
    }
}

fn is_declared_only(observation: &Observation) -> bool {
    let mut holders = observation.holders.iter();
    holders.all(|held| held.id == ObservationHolder::DECLARED)
}
