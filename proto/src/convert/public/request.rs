//! What services ask for.

use std::time::Duration;

use device_state::guard::Effectiveness;
use device_state::{
    Command, DesiredValue, DeviceName, Namespace, OperationId, Queueing, RequestId, check_goals,
};
use lwm2m::operation::OperationError;
use lwm2m::{
    Entry, ExecuteArguments, Method, Observed, Operation, Patch, Path, RawRequest, Registry,
    WriteMode,
};
use sha2::{Digest, Sha256};

use super::observation::{composite, observed, paths};
use super::parse_operation_id;
use super::profile::desired_value;
use super::value::{entries, path, typed_value};
use crate::convert::list::each;
use crate::convert::operation::{attributes, format};
use crate::convert::{ConvertError, InField, MAX_VALUES, Reason, device_in, narrow};
use crate::drover::v1 as public;

/// An operation that changes nothing on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRequest {
    pub endpoint: DeviceName,
    pub operation: Operation,
}

/// An operation that is committed before it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct DurableRequest {
    pub endpoint: DeviceName,
    pub operation: Operation,
    pub delivery: Delivery,
}

/// How a durable operation is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How long the operation may wait for the device; at most [`Delivery::LONGEST`].
    pub deadline: Duration,
    /// From the caller's own id and the endpoint: the same id again gives the same operation.
    pub request_id: Option<RequestId>,
    pub wait: Wait,
    pub queueing: Queueing,
    /// Now or not at all.
    pub immediate: bool,
    pub effect: Effectiveness,
}

/// What the caller of a durable operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    UntilFinished,
    UntilAccepted,
}

/// One operation of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationTarget {
    pub endpoint: DeviceName,
    pub operation: OperationId,
}

impl Delivery {
    /// The deadline of a caller who names none.
    pub const DEFAULT: Duration = Duration::from_secs(30);
    /// The latest deadline: a year.
    pub const LONGEST: Duration = Duration::from_hours(365 * 24);
    /// The longest id of a caller's request.
    pub const MAX_REQUEST_ID_BYTES: usize = 64;
}

/// A request, and whose devices it is about. What is read of a request needs it, so that no device can be named without.
#[derive(Clone, Debug)]
pub struct InNamespace<R> {
    pub namespace: Namespace,
    pub request: R,
}

impl<R> InNamespace<R> {
    /// The device of a name in the request.
    pub fn device(&self, name: &str) -> Result<DeviceName, ConvertError> {
        device_in(&self.namespace, name)
    }
}

/// A request, and the definitions of objects by which its values are typed and what it asks for is checked.
#[derive(Clone, Copy, Debug)]
pub struct Defined<'r, R> {
    pub request: R,
    /// Whose devices it is about.
    pub namespace: &'r Namespace,
    pub definitions: &'r Registry,
}

/// What a caller wants of the objects' definitions.
#[derive(Clone, Copy, Debug)]
enum Definitions<'r> {
    Kept(&'r Registry),
    /// The caller knows better what the device does.
    Passed,
}

impl<'r> Definitions<'r> {
    /// By the field `force`.
    const fn unless(force: bool, definitions: &'r Registry) -> Self {
        if force {
            Self::Passed
        } else {
            Self::Kept(definitions)
        }
    }
}

/// Whether some device could accept the operation, as far as the definitions of objects tell.
pub(super) fn checked_by(
    operation: Operation,
    definitions: &Registry,
) -> Result<Operation, ConvertError> {
    checked(operation, Definitions::Kept(definitions))
}

/// Whether some device could accept the operation; the error names the field that is wrong.
fn checked(operation: Operation, definitions: Definitions<'_>) -> Result<Operation, ConvertError> {
    operation.validate().map_err(|error| {
        let field = match error {
            OperationError::WrongPath { .. } => "path",
            OperationError::NoValues(_)
            | OperationError::ValueOutside(_)
            | OperationError::RepeatedValue(_) => "values",
            OperationError::ReservedInstance => "instance",
            OperationError::TooDeep(_) => "depth",
            OperationError::NoAttributes | OperationError::Attributes(_) => match operation {
                Operation::Observe { .. } => "parameters",
                _ => "attributes",
            },
            OperationError::PathCount(..) => match operation {
                Operation::WriteComposite { .. } => "values",
                _ => "paths",
            },
            OperationError::NotRemovable(_) => "removals",
            OperationError::Raw(_) => "target",
            OperationError::NotBehindGateway(_) => "child",
        };
        ConvertError::new(field, error)
    })?;
    if let Definitions::Kept(definitions) = definitions {
        operation
            .check_use(definitions)
            .map_err(|misuse| ConvertError::new("path", Reason::Misuse(misuse)))?;
    }
    Ok(operation)
}

impl TryFrom<Defined<'_, public::ReadRequest>> for DeviceRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::ReadRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::Read {
            path: path("path", &request.path)?,
            accept: format("accept", request.accept)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            behind(&request.child, operation)?,
            Definitions::unless(request.force, definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::DiscoverRequest>> for DeviceRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::DiscoverRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let depth = request
            .depth
            .map(|depth| narrow("depth", depth))
            .transpose()?;
        let operation = Operation::Discover {
            path: path("path", &request.path)?,
            depth,
        };
        let operation = behind(&request.child, operation)?;
        Self::new(
            device_in(namespace, &request.endpoint)?,
            operation,
            Definitions::Kept(definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::ObserveRequest>> for DeviceRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::ObserveRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::Observe {
            observed: Observed::Path(path("path", &request.path)?),
            parameters: attributes("parameters", &request.parameters)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            behind(&request.child, operation)?,
            Definitions::unless(request.force, definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::ReadCompositeRequest>> for DeviceRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::ReadCompositeRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::ReadComposite {
            paths: paths("paths", &request.paths)?,
            accept: format("accept", request.accept)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            operation,
            Definitions::Kept(definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::ObserveCompositeRequest>> for DeviceRequest {
    type Error = ConvertError;

    fn try_from(
        defined: Defined<'_, public::ObserveCompositeRequest>,
    ) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::Observe {
            observed: composite(paths("paths", &request.paths)?)?,
            parameters: attributes("parameters", &request.parameters)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            operation,
            Definitions::unless(request.force, definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::PutObservationRequest>> for DeviceRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::PutObservationRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::Observe {
            observed: observed(&request.child, &request.paths)?,
            parameters: attributes("parameters", &request.parameters)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            operation,
            Definitions::unless(request.force, definitions),
        )
    }
}

/// The operation, asked of the device that `prefix` names, or of the registered device itself if it is empty.
fn behind(prefix: &str, operation: Operation) -> Result<Operation, ConvertError> {
    if prefix.is_empty() {
        return Ok(operation);
    }
    Ok(operation.behind(prefix.parse().in_field("child")?))
}

/// A raw request, and how it is delivered if it has to be committed first.
#[derive(Clone, Debug, PartialEq)]
pub enum RawCall {
    AtOnce(DeviceRequest),
    Durable(DurableRequest),
}

impl TryFrom<InNamespace<public::SendRawRequest>> for RawCall {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::SendRawRequest>) -> Result<Self, ConvertError> {
        let endpoint = asked.device(&asked.request.endpoint)?;
        let request = asked.request;
        let named = |method: &Method| method.as_str().eq_ignore_ascii_case(&request.method);
        let method = Method::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| ConvertError::new("method", Reason::Method))?;
        let raw = RawRequest::new(method, &request.target)
            .map_err(|error| ConvertError::new("target", OperationError::Raw(error)))?;
        let operation = Operation::Raw(RawRequest {
            content_format: format("content_format", request.content_format)?,
            accept: format("accept", request.accept)?,
            payload: request.payload,
            ..raw
        });
        if !method.is_safe() {
            return DurableRequest::new(endpoint, operation, request.delivery, Definitions::Passed)
                .map(Self::Durable);
        }
        if request.delivery.is_some() {
            return Err(ConvertError::new("delivery", Reason::Conflict("method")));
        }
        DeviceRequest::new(endpoint, operation, Definitions::Passed).map(Self::AtOnce)
    }
}

impl DeviceRequest {
    fn new(
        endpoint: DeviceName,
        operation: Operation,
        definitions: Definitions<'_>,
    ) -> Result<Self, ConvertError> {
        Ok(Self {
            endpoint,
            operation: checked(operation, definitions)?,
        })
    }
}

impl DurableRequest {
    fn new(
        endpoint: DeviceName,
        operation: Operation,
        delivery: Option<public::Delivery>,
        definitions: Definitions<'_>,
    ) -> Result<Self, ConvertError> {
        let delivery = self::delivery(&endpoint, &delivery.unwrap_or_default())?;
        if delivery.queueing.supersedes && !operation.is_write() {
            let error = Reason::NothingToSupersede(operation.name());
            return Err(ConvertError::new("delivery.supersede", error));
        }
        Ok(Self {
            endpoint,
            operation: checked(operation, definitions)?,
            delivery,
        })
    }
}

impl TryFrom<Defined<'_, public::WriteRequest>> for DurableRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::WriteRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let path = path("path", &request.path)?;
        let mode = write_mode(path, request.mode)?;
        let values = written(path, request.values, &request.text, definitions)?;
        let operation = Operation::Write { path, mode, values };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            behind(&request.child, operation)?,
            request.delivery,
            Definitions::unless(request.force, definitions),
        )
    }
}

/// Unless asked for otherwise, a resource is replaced, and an instance keeps the resources that are not named.
fn write_mode(path: Path, mode: i32) -> Result<WriteMode, ConvertError> {
    use public::write_request::Mode;
    match Mode::try_from(mode) {
        Ok(Mode::Unspecified) if path.depth() == 2 => Ok(WriteMode::Update),
        Ok(Mode::Update) => Ok(WriteMode::Update),
        Ok(Mode::Replace | Mode::Unspecified) => Ok(WriteMode::Replace),
        Err(_) => Err(ConvertError::new("mode", Reason::UnknownEnum(mode))),
    }
}

/// The values of a Write: typed, or as one text. An empty text without values writes the empty string.
fn written(
    path: Path,
    values: Vec<public::PathValue>,
    text: &str,
    registry: &Registry,
) -> Result<Vec<Entry>, ConvertError> {
    match (values.is_empty(), text.is_empty()) {
        (false, true) => entries(values, registry),
        (false, false) => Err(ConvertError::new("text", Reason::Conflict("values"))),
        // An instance without values is refused with the path's other errors.
        (true, true) if path.depth() < 3 => Ok(Vec::new()),
        (true, _) => {
            let value = typed_value(path, text, registry).in_field("text")?;
            Ok(vec![Entry::new(path, value)])
        }
    }
}

impl TryFrom<Defined<'_, public::ExecuteRequest>> for DurableRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::ExecuteRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let arguments = request
            .arguments
            .parse::<ExecuteArguments>()
            .in_field("arguments")?;
        let operation = Operation::Execute {
            path: path("path", &request.path)?,
            arguments,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            behind(&request.child, operation)?,
            request.delivery,
            Definitions::unless(request.force, definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::CreateInstanceRequest>> for DurableRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::CreateInstanceRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::Create {
            path: path("path", &request.path)?,
            instance: request
                .instance
                .map(|id| narrow("instance", id))
                .transpose()?,
            values: entries(request.values, definitions)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            operation,
            request.delivery,
            Definitions::unless(request.force, definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::DeleteInstanceRequest>> for DurableRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::DeleteInstanceRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::Delete {
            path: path("path", &request.path)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            operation,
            request.delivery,
            Definitions::unless(request.force, definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::WriteAttributesRequest>> for DurableRequest {
    type Error = ConvertError;

    fn try_from(
        defined: Defined<'_, public::WriteAttributesRequest>,
    ) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let operation = Operation::WriteAttributes {
            path: path("path", &request.path)?,
            attributes: attributes("attributes", &request.attributes)?,
        };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            behind(&request.child, operation)?,
            request.delivery,
            Definitions::Kept(definitions),
        )
    }
}

impl TryFrom<Defined<'_, public::WriteCompositeRequest>> for DurableRequest {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::WriteCompositeRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let values = entries(request.values, definitions)?;
        let removals = paths("removals", &request.removals)?;
        let patches = values
            .into_iter()
            .map(Patch::Set)
            .chain(removals.into_iter().map(Patch::Remove))
            .collect();
        let operation = Operation::WriteComposite { patches };
        Self::new(
            device_in(namespace, &request.endpoint)?,
            operation,
            request.delivery,
            Definitions::unless(request.force, definitions),
        )
    }
}

fn delivery(endpoint: &DeviceName, delivery: &public::Delivery) -> Result<Delivery, ConvertError> {
    use public::delivery::Wait as Asked;
    let deadline = match delivery.deadline {
        None => Delivery::DEFAULT,
        Some(deadline) => duration("delivery.deadline", deadline)?,
    };
    let wait = match Asked::try_from(delivery.wait) {
        Ok(Asked::Unspecified | Asked::UntilFinished) => Wait::UntilFinished,
        Ok(Asked::UntilAccepted) => Wait::UntilAccepted,
        Err(_) => {
            return Err(ConvertError::new(
                "delivery.wait",
                Reason::UnknownEnum(delivery.wait),
            ));
        }
    };
    let length = delivery.request_id.len();
    if length > Delivery::MAX_REQUEST_ID_BYTES {
        return Err(ConvertError::new(
            "delivery.request_id",
            Reason::Length(length),
        ));
    }
    let request_id = (length > 0).then(|| callers_request_id(endpoint, &delivery.request_id));
    if delivery.immediate && wait == Wait::UntilAccepted {
        let conflict = Reason::Conflict("delivery.wait");
        return Err(ConvertError::new("delivery.immediate", conflict));
    }
    Ok(Delivery {
        deadline,
        request_id,
        wait,
        queueing: Queueing {
            priority: narrow("delivery.priority", delivery.priority)?,
            supersedes: delivery.supersede,
        },
        immediate: delivery.immediate,
        effect: if delivery.validate_only {
            Effectiveness::Rehearsed
        } else {
            Effectiveness::Real
        },
    })
}

/// More than nothing and at most [`Delivery::LONGEST`].
fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration, ConvertError> {
    let seconds = duration.seconds;
    let duration = Duration::try_from(duration).unwrap_or_default();
    if duration.is_zero() || duration > Delivery::LONGEST {
        return Err(ConvertError::new(
            field,
            Reason::OutOfRange(seconds.unsigned_abs()),
        ));
    }
    Ok(duration)
}

/// Callers choose texts, the log knows numbers. 128 bits of a strong hash keep the ids of different callers apart; the
/// endpoint goes in so that one id may name one request to each of many devices.
fn callers_request_id(endpoint: &DeviceName, text: &str) -> RequestId {
    let hash = Sha256::new()
        .chain_update((endpoint.stored().len() as u64).to_be_bytes())
        .chain_update(endpoint.stored())
        .chain_update(text)
        .finalize();
    let number = |range| {
        hash.get(range)
            .and_then(|bytes: &[u8]| bytes.try_into().ok())
            .map_or(0, u64::from_be_bytes)
    };
    RequestId {
        client: number(0..8),
        sequence: number(8..16),
    }
}

impl TryFrom<Defined<'_, public::SetDesiredRequest>> for Command {
    type Error = ConvertError;

    fn try_from(defined: Defined<'_, public::SetDesiredRequest>) -> Result<Self, ConvertError> {
        let Defined {
            request,
            namespace,
            definitions,
        } = defined;
        let resources = each("resources", request.resources, MAX_VALUES, |desired| {
            desired_value(&desired, definitions)
        })?;
        check_goals(resources.iter().map(DesiredValue::wish)).in_field("resources")?;
        Ok(Self::SetDesired {
            endpoint: device_in(namespace, &request.endpoint)?,
            generation: request.generation,
            resources,
        })
    }
}

/// An operation's id as [`OperationId`] prints it.
pub fn operation_id(field: &str, text: &str) -> Result<OperationId, ConvertError> {
    parse_operation_id(text).ok_or_else(|| ConvertError::new(field, Reason::OperationId))
}

impl TryFrom<InNamespace<public::GetOperationRequest>> for OperationTarget {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::GetOperationRequest>) -> Result<Self, ConvertError> {
        Ok(Self {
            endpoint: asked.device(&asked.request.endpoint)?,
            operation: operation_id("id", &asked.request.id)?,
        })
    }
}

/// One operation whose end is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitTarget {
    pub target: OperationTarget,
    pub timeout: Option<Duration>,
}

impl TryFrom<InNamespace<public::WaitOperationRequest>> for WaitTarget {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::WaitOperationRequest>) -> Result<Self, ConvertError> {
        let endpoint = asked.device(&asked.request.endpoint)?;
        let request = asked.request;
        let timeout = request.timeout.map(|timeout| duration("timeout", timeout));
        Ok(Self {
            target: OperationTarget {
                endpoint,
                operation: operation_id("id", &request.id)?,
            },
            timeout: timeout.transpose()?,
        })
    }
}

impl TryFrom<InNamespace<public::CancelOperationRequest>> for OperationTarget {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::CancelOperationRequest>) -> Result<Self, ConvertError> {
        Ok(Self {
            endpoint: asked.device(&asked.request.endpoint)?,
            operation: operation_id("id", &asked.request.id)?,
        })
    }
}
