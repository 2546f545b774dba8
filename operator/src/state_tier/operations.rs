//! Operations on devices.

use std::time::Duration;

use device_state::Namespace;
use fleet_plan::operation::{Answer, Ask, Deafness, Outcome, Request};
use lwm2m::{Path, Value};
use proto::drover::v1 as api;
use proto::drover::v1::observations_client::ObservationsClient;
use proto::drover::v1::operations_client::OperationsClient;

use super::{AnswerError, CallError, StateTier, about, convert, known};

/// How long a device may take to answer what is asked at once.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long the state tier may take to tell of it.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls a method of a client about a namespace; of some, it is asked for an answer in time.
macro_rules! told {
    ($tier:expr, $client:ident.$method:ident, $namespace:expr, $message:expr) => {{
        let message = $message;
        $tier.call_for(ASK_TIMEOUT, move |channel| {
            let mut request = about($namespace, message.clone());
            request.set_timeout(PATIENCE);
            async move { $client::new(channel).$method(request).await }
        })
    }};
}

impl StateTier {
    /// Asks a device, or has it asked once it listens.
    pub(crate) async fn ask(&self, namespace: &Namespace, ask: &Ask) -> Result<Outcome, CallError> {
        let endpoint = ask.endpoint.clone();
        let delivery = Some(delivery(ask));
        let answer = match &ask.request {
            Request::Read(path) => return self.read(namespace, endpoint, *path).await,
            Request::Discover(path) => return self.discover(namespace, endpoint, *path).await,
            Request::Observe(path) => return self.put_observation(namespace, ask, *path).await,
            Request::CancelObserve(path) => {
                return self.cancel_observe(namespace, ask, *path).await;
            }
            Request::Write { path, text } => {
                let request = api::WriteRequest {
                    endpoint,
                    path: path.to_string(),
                    text: text.clone(),
                    delivery,
                    ..Default::default()
                };
                told!(self, OperationsClient.write, namespace, request).await?
            }
            Request::WriteInstance { path, values } => {
                let request = api::WriteRequest {
                    endpoint,
                    path: path.to_string(),
                    values: path_values(values),
                    delivery,
                    ..Default::default()
                };
                told!(self, OperationsClient.write, namespace, request).await?
            }
            Request::WriteComposite(values) => {
                let request = api::WriteCompositeRequest {
                    endpoint,
                    values: path_values(values),
                    delivery,
                    ..Default::default()
                };
                told!(self, OperationsClient.write_composite, namespace, request).await?
            }
            Request::Execute { path, arguments } => {
                let request = api::ExecuteRequest {
                    endpoint,
                    path: path.to_string(),
                    arguments: arguments.clone(),
                    delivery,
                    ..Default::default()
                };
                told!(self, OperationsClient.execute, namespace, request).await?
            }
            Request::Create {
                object,
                instance,
                values,
            } => {
                let request = api::CreateInstanceRequest {
                    endpoint,
                    path: object.to_string(),
                    instance: instance.map(u32::from),
                    values: path_values(values),
                    delivery,
                    ..Default::default()
                };
                told!(self, OperationsClient.create_instance, namespace, request).await?
            }
            Request::Delete(path) => {
                let request = api::DeleteInstanceRequest {
                    endpoint,
                    path: path.to_string(),
                    delivery,
                    ..Default::default()
                };
                told!(self, OperationsClient.delete_instance, namespace, request).await?
            }
        };
        outcome(answer.operation.unwrap_or_default())
    }

    async fn read(
        &self,
        namespace: &Namespace,
        endpoint: String,
        path: Path,
    ) -> Result<Outcome, CallError> {
        let request = api::ReadRequest {
            endpoint,
            path: path.to_string(),
            ..Default::default()
        };
        let answer = told!(self, OperationsClient.read, namespace, request);
        Ok(Outcome::Succeeded(Answer {
            coap_code: "2.05".to_owned(),
            values: texts(answer.await?.values)?,
            at: None,
        }))
    }

    async fn discover(
        &self,
        namespace: &Namespace,
        endpoint: String,
        path: Path,
    ) -> Result<Outcome, CallError> {
        let request = api::DiscoverRequest {
            endpoint,
            path: path.to_string(),
            ..Default::default()
        };
        let answer = told!(self, OperationsClient.discover, namespace, request);
        let attribute = |one: api::discover_response::Attribute| match one.value {
            Some(value) => format!("{}={value}", one.name),
            None => one.name,
        };
        let links = answer.await?.links.into_iter().map(|link| {
            let attributes: Vec<String> = link.attributes.into_iter().map(attribute).collect();
            (link.path, attributes.join("&"))
        });
        Ok(Outcome::Succeeded(Answer {
            coap_code: "2.05".to_owned(),
            values: links.collect(),
            at: None,
        }))
    }

    async fn put_observation(
        &self,
        namespace: &Namespace,
        ask: &Ask,
        path: Path,
    ) -> Result<Outcome, CallError> {
        let request = api::PutObservationRequest {
            endpoint: ask.endpoint.clone(),
            paths: vec![path.to_string()],
            request_id: ask.request_id.clone(),
            ..Default::default()
        };
        let answer = told!(self, ObservationsClient.put_observation, namespace, request);
        match answer.await?.operation {
            Some(operation) => outcome(operation),
            // It is asked when it registers.
            None => Ok(Outcome::Waiting(Deafness::NotRegistered)),
        }
    }

    async fn cancel_observe(
        &self,
        namespace: &Namespace,
        ask: &Ask,
        path: Path,
    ) -> Result<Outcome, CallError> {
        let request = api::DeleteObservationRequest {
            endpoint: ask.endpoint.clone(),
            paths: vec![path.to_string()],
            request_id: ask.request_id.clone(),
            ..Default::default()
        };
        let answer = told!(
            self,
            ObservationsClient.delete_observation,
            namespace,
            request
        );
        answer.await?;
        Ok(Outcome::Succeeded(Answer::default()))
    }

    /// How an operation is that was asked for; `None` if nothing is known of it any more.
    pub(crate) async fn operation(
        &self,
        namespace: &Namespace,
        endpoint: &str,
        id: &str,
    ) -> Result<Option<Outcome>, CallError> {
        let request = api::GetOperationRequest {
            endpoint: endpoint.to_owned(),
            id: id.to_owned(),
        };
        let answer = told!(self, OperationsClient.get_operation, namespace, request);
        known(answer.await)?.map(outcome).transpose()
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
        let answer = told!(self, OperationsClient.cancel_operation, namespace, request);
        match known(answer.await) {
            Err(error) if error.told() == "UNKNOWN_OPERATION" => Ok(()),
            other => other.map(drop),
        }
    }
}

fn delivery(ask: &Ask) -> api::Delivery {
    use api::delivery::Wait;
    let (deadline, wait) = if ask.immediate {
        (ask.deadline.min(PATIENCE), Wait::UntilFinished)
    } else {
        (ask.deadline, Wait::UntilAccepted)
    };
    api::Delivery {
        deadline: Some(prost_types::Duration {
            seconds: i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX),
            nanos: 0,
        }),
        request_id: ask.request_id.clone(),
        wait: wait.into(),
        immediate: ask.immediate,
        ..Default::default()
    }
}

fn path_values(values: &[(Path, Value)]) -> Vec<api::PathValue> {
    let one = |(path, value): &(Path, Value)| api::PathValue {
        path: path.to_string(),
        value: Some(value.clone().into()),
    };
    values.iter().map(one).collect()
}

/// Values as texts, each with its path.
fn texts(values: Vec<api::PathValue>) -> Result<Vec<(String, String)>, AnswerError> {
    let one = |one: api::PathValue| {
        let value = Value::try_from(one.value.unwrap_or_default());
        let value = value.map_err(|_| AnswerError::Value(one.path.clone()))?;
        Ok((one.path, value.to_text()))
    };
    values.into_iter().map(one).collect()
}

/// How an operation is.
fn outcome(operation: api::Operation) -> Result<Outcome, CallError> {
    use api::operation::State;
    let at = operation.finish_time.as_ref();
    let at = at.and_then(|time| convert::time(time.seconds));
    let failed = |message: String| Outcome::Failed {
        coap_code: operation.coap_code.clone(),
        message,
        at: at.clone(),
    };
    Ok(match operation.state() {
        State::Pending | State::InFlight => Outcome::Running {
            in_flight: operation.state() == State::InFlight,
            id: operation.id,
        },
        State::Delivered => Outcome::Succeeded(Answer {
            values: texts(operation.values)?,
            coap_code: operation.coap_code,
            at,
        }),
        State::Rejected => failed(match operation.diagnostic.as_str() {
            "" => format!("the device answered {}", operation.coap_code),
            text => format!("the device answered {}: {text}", operation.coap_code),
        }),
        State::Expired => Outcome::Expired,
        State::Cancelled => failed("it was cancelled".to_owned()),
        State::Superseded => failed("a newer one replaced it".to_owned()),
        State::Unspecified => {
            let what = format!("operation {}", operation.id);
            return Err(AnswerError::State(what).into());
        }
    })
}
