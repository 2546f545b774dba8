//! Operations on devices: how one is asked, and what comes of it.

use std::time::Duration;

use fleet_plan::operation::{Answer, Ask, Deafness, Outcome, Request};
use lwm2m::{Path, Value};
use proto::drover::v1 as api;
use proto::drover::v1::observations_client::ObservationsClient;
use proto::drover::v1::operations_client::OperationsClient;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::{Response, Status};

use crate::{AnswerError, reason, refusal, time};

/// How long a device may take to answer what is asked at once.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// The call that asks a device, or has it asked once it listens.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Its values.
    Read(api::ReadRequest),
    /// What there is.
    Discover(api::DiscoverRequest),
    /// To take values of one place.
    Write(api::WriteRequest),
    /// To take values of any places.
    WriteComposite(api::WriteCompositeRequest),
    /// To do something.
    Execute(api::ExecuteRequest),
    /// To make an object instance.
    Create(api::CreateInstanceRequest),
    /// To delete one.
    Delete(api::DeleteInstanceRequest),
    /// To report something from now on.
    Observe(api::PutObservationRequest),
    /// To report it no more.
    CancelObserve(api::DeleteObservationRequest),
}

/// What the state tier answers to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The values of the device.
    Values(Vec<api::PathValue>),
    /// What there is.
    Links(Vec<api::discover_response::Link>),
    /// How the operation is that was made of the call.
    Operation(Box<api::Operation>),
    /// The device is asked when it registers.
    Declared,
    /// It is done, and the device need not have answered.
    Done,
}

impl From<&Ask> for Call {
    fn from(ask: &Ask) -> Self {
        let endpoint = ask.endpoint.clone();
        let delivery = Some(delivery(ask));
        match &ask.request {
            Request::Read(path) => Self::Read(api::ReadRequest {
                endpoint,
                path: path.to_string(),
                ..Default::default()
            }),
            Request::Discover(path) => Self::Discover(api::DiscoverRequest {
                endpoint,
                path: path.to_string(),
                ..Default::default()
            }),
            Request::Write { path, text } => Self::Write(api::WriteRequest {
                endpoint,
                path: path.to_string(),
                text: text.clone(),
                delivery,
                ..Default::default()
            }),
            Request::WriteInstance { path, values } => Self::Write(api::WriteRequest {
                endpoint,
                path: path.to_string(),
                values: path_values(values),
                delivery,
                ..Default::default()
            }),
            Request::WriteComposite(values) => Self::WriteComposite(api::WriteCompositeRequest {
                endpoint,
                values: path_values(values),
                delivery,
                ..Default::default()
            }),
            Request::Execute { path, arguments } => Self::Execute(api::ExecuteRequest {
                endpoint,
                path: path.to_string(),
                arguments: arguments.clone(),
                delivery,
                ..Default::default()
            }),
            Request::Create {
                object,
                instance,
                values,
            } => Self::Create(api::CreateInstanceRequest {
                endpoint,
                path: object.to_string(),
                instance: instance.map(u32::from),
                values: path_values(values),
                delivery,
                ..Default::default()
            }),
            Request::Delete(path) => Self::Delete(api::DeleteInstanceRequest {
                endpoint,
                path: path.to_string(),
                delivery,
                ..Default::default()
            }),
            Request::Observe(path) => Self::Observe(api::PutObservationRequest {
                endpoint,
                paths: vec![path.to_string()],
                request_id: ask.request_id.clone(),
                ..Default::default()
            }),
            Request::CancelObserve(path) => Self::CancelObserve(api::DeleteObservationRequest {
                endpoint,
                paths: vec![path.to_string()],
                request_id: ask.request_id.clone(),
                ..Default::default()
            }),
        }
    }
}

impl Call {
    /// Makes the call. The service says who calls, of which namespace, and how long it may take.
    pub async fn send<S>(self, service: S) -> Result<Response<Reply>, Status>
    where
        S: GrpcService<
                Body,
                Error: Into<StdError>,
                ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
            > + Clone,
    {
        let mut observations = ObservationsClient::new(service.clone());
        let mut operations =
            OperationsClient::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let answer = match self {
            Self::Read(request) => {
                let answer = operations.read(request).await?;
                return Ok(answer.map(|told| Reply::Values(told.values)));
            }
            Self::Discover(request) => {
                let answer = operations.discover(request).await?;
                return Ok(answer.map(|told| Reply::Links(told.links)));
            }
            Self::Observe(request) => {
                let answer = observations.put_observation(request).await?;
                return Ok(answer.map(|told| told.operation.map_or(Reply::Declared, Reply::of)));
            }
            Self::CancelObserve(request) => {
                let answer = observations.delete_observation(request).await?;
                return Ok(answer.map(|_| Reply::Done));
            }
            Self::Write(request) => operations.write(request).await?,
            Self::WriteComposite(request) => operations.write_composite(request).await?,
            Self::Execute(request) => operations.execute(request).await?,
            Self::Create(request) => operations.create_instance(request).await?,
            Self::Delete(request) => operations.delete_instance(request).await?,
        };
        Ok(answer.map(|told| Reply::of(told.operation.unwrap_or_default())))
    }
}

/// Of a device with many values.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

impl Reply {
    fn of(operation: api::Operation) -> Self {
        Self::Operation(Box::new(operation))
    }

    /// What came of the operation, so far.
    pub fn outcome(self) -> Result<Outcome, AnswerError> {
        let told = |values| {
            Outcome::Succeeded(Answer {
                coap_code: "2.05".to_owned(),
                values,
                at: None,
            })
        };
        Ok(match self {
            Self::Values(values) => told(texts(values)?),
            Self::Links(links) => told(links.into_iter().map(link).collect()),
            Self::Operation(operation) => return outcome(*operation),
            Self::Declared => Outcome::Waiting(Deafness::NotRegistered),
            Self::Done => Outcome::Succeeded(Answer::default()),
        })
    }
}

/// How an operation of the state tier is.
pub fn outcome(operation: api::Operation) -> Result<Outcome, AnswerError> {
    use api::operation::State;
    let at = operation.finish_time.as_ref();
    let at = at.and_then(|at| time(at.seconds));
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
            return Err(AnswerError::State(format!("operation {}", operation.id)));
        }
    })
}

/// What became of a device that was not asked, or has not done it.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// So it is.
    Is(Outcome),
    /// It did not answer: so it is, unless it is asked once more.
    Silent(Outcome),
    /// Too many operations wait for it. This answer is remembered as any other: who asks again by the same id has it again.
    Full(Outcome),
}

impl Refused {
    /// So it is, if the device is not asked again.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Is(outcome) | Self::Silent(outcome) | Self::Full(outcome) => outcome,
        }
    }
}

/// What it says of the device that a call was refused; `None`: nothing, and the call is to be repeated some time.
pub fn turned_down(status: &Status, immediate: bool) -> Option<Refused> {
    let failed = |coap_code: String| Outcome::Failed {
        coap_code,
        message: status.message().to_owned(),
        at: None,
    };
    let waits = |deafness| {
        if immediate {
            failed(String::new())
        } else {
            Outcome::Waiting(deafness)
        }
    };
    let told = reason(status);
    if let Some(code) = told.strip_prefix("COAP_") {
        return Some(Refused::Is(failed(code.replace('_', "."))));
    }
    Some(match told.as_str() {
        "DEVICE_ASLEEP" | "DEVICE_MOVING" => Refused::Is(waits(Deafness::Asleep)),
        "DEVICE_NOT_REGISTERED" => Refused::Is(waits(Deafness::NotRegistered)),
        "DEVICE_BUSY" => Refused::Is(waits(Deafness::Busy)),
        "QUEUE_FULL" => Refused::Full(waits(Deafness::Busy)),
        // It goes on, and is asked for by the same id again.
        "OPERATION_PENDING" => Refused::Is(Outcome::Waiting(Deafness::Busy)),
        "DEVICE_TIMEOUT" => Refused::Silent(failed(String::new())),
        "DEVICE_BAD_ANSWER" | "OBSERVED_OTHERWISE" | "TOO_MANY_OBSERVATIONS" => {
            Refused::Is(failed(String::new()))
        }
        _ => Refused::Is(Outcome::Refused(refusal("the operation", status)?)),
    })
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

/// A place with its attributes.
fn link(link: api::discover_response::Link) -> (String, String) {
    let attribute = |one: api::discover_response::Attribute| match one.value {
        Some(value) => format!("{}={value}", one.name),
        None => one.name,
    };
    let attributes: Vec<String> = link.attributes.into_iter().map(attribute).collect();
    (link.path, attributes.join("&"))
}

#[cfg(test)]
mod tests;
