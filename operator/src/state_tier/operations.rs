//! Operations on devices.

use std::time::Duration;

use device_state::Namespace;
use fleet_plan::operation::{Ask, Outcome};
use fleet_wire::operation::{Call, PATIENCE, outcome};
use proto::drover::v1 as api;
use proto::drover::v1::operations_client::OperationsClient;

use super::{CallError, StateTier, about, known, name_of, of_namespace};

/// How long the state tier may take to tell of what is asked of a device.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

impl StateTier {
    /// Asks a device, or has it asked once it listens.
    pub(crate) async fn ask(&self, namespace: &Namespace, ask: &Ask) -> Result<Outcome, CallError> {
        let name = name_of(namespace);
        let answer = self.call_for(ASK_TIMEOUT, |channel| {
            let service = of_namespace(channel, &name, Some(PATIENCE));
            Call::from(ask).send(service)
        });
        Ok(answer.await?.outcome()?)
    }

    /// How an operation is that was asked for; `None` if nothing is known of it any more.
    pub(crate) async fn operation(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        id: &str,
    ) -> Result<Option<Outcome>, CallError> {
        let found = self.get_operation(namespace, endpoint, id).await?;
        Ok(found.map(outcome).transpose()?)
    }

    async fn get_operation(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        id: &str,
    ) -> Result<Option<api::Operation>, CallError> {
        let request = api::GetOperationRequest {
            endpoint: endpoint.to_owned(),
            id: id.to_owned(),
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move { OperationsClient::new(channel).get_operation(request).await }
        });
        known(answer.await)
    }

    /// As [`operation`](Self::operation), at its end or when so much time has passed.
    pub(crate) async fn operation_within(
        &self,
        namespace: &Namespace,
        (endpoint, id): (&str, &str),
        limit: Duration,
    ) -> Result<Option<Outcome>, CallError> {
        let request = api::WaitOperationRequest {
            endpoint: endpoint.to_owned(),
            id: id.to_owned(),
            timeout: Some(prost_types::Duration {
                seconds: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
                nanos: 0,
            }),
        };
        let answer = self.call_for(ASK_TIMEOUT, |channel| {
            let request = about(namespace, request.clone());
            async move { OperationsClient::new(channel).wait_operation(request).await }
        });
        Ok(known(answer.await)?.map(outcome).transpose()?)
    }

    /// Cancels an operation that waits, and tells how it is then: expired, if it is cancelled. `None` if nothing is known of
    /// it any more.
    pub(crate) async fn give_up(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        id: &str,
    ) -> Result<Option<Outcome>, CallError> {
        self.cancel(namespace, endpoint, id).await?;
        let found = self.get_operation(namespace, endpoint, id).await?;
        let Some(operation) = found else {
            return Ok(None);
        };
        if operation.state() == api::operation::State::Cancelled {
            return Ok(Some(Outcome::Expired));
        }
        Ok(Some(outcome(operation)?))
    }

    /// Cancels an operation. One that is under way, or over, stays as it is.
    pub(crate) async fn cancel(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        id: &str,
    ) -> Result<(), CallError> {
        let request = api::CancelOperationRequest {
            endpoint: endpoint.to_owned(),
            id: id.to_owned(),
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                OperationsClient::new(channel)
                    .cancel_operation(request)
                    .await
            }
        });
        match known(answer.await) {
            Err(error) if error.told() == "UNKNOWN_OPERATION" => Ok(()),
            other => other.map(drop),
        }
    }
}
