//! From a spec to a request. Each field of a spec is carried out, or the spec is refused with its name.

use crd::Reason;
use crd::desired_value::OperationValue;
use crd::device_operation::{
    Action, ActionType, DeviceOperationSpec, DispatchPolicy, ExecutionGuarantee,
};
use crd::selector::Selector;
use lwm2m::{Path, Value};

use super::Request;
use crate::Refusal;
use crate::typing::{Given, Problems, typed};

/// The devices that an object means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// That with this endpoint name.
    Endpoint(&'a str),
    /// That of this `Device`.
    Device(&'a str),
    /// Those with these labels.
    Labels(&'a Selector),
    /// Those of this `DeviceGroup`.
    Group(&'a str),
}

/// The devices that an object means.
pub fn target(spec: &DeviceOperationSpec) -> Result<Target<'_>, Refusal> {
    match (&spec.endpoint_name, &spec.device_ref) {
        (Some(endpoint), _) => return Ok(Target::Endpoint(endpoint)),
        (None, Some(reference)) => return Ok(Target::Device(&reference.name)),
        (None, None) => {}
    }
    match (&spec.selector, &spec.group_ref) {
        (Some(selector), _) => Ok(Target::Labels(selector)),
        (None, Some(reference)) => Ok(Target::Group(&reference.name)),
        (None, None) => Err(Refusal::invalid("spec.endpointName", "is missing")),
    }
}

/// The request that carries an object out, or why there can be none.
pub(super) fn compile(spec: &DeviceOperationSpec) -> Result<Request, Refusal> {
    target(spec)?;
    let action = &spec.action;
    let kind = action.kind;
    let at_least_once = spec.execution_guarantee == ExecutionGuarantee::AtLeastOnce;
    if at_least_once && matches!(kind, ActionType::Execute | ActionType::CreateInstance) {
        let why =
            "AtLeastOnce: devices are asked to execute and to create at most once; leave it out";
        return Err(Refusal::unsupported("spec.executionGuarantee", why));
    }
    let immediate = spec.dispatch_policy == DispatchPolicy::Immediate;
    if immediate && matches!(kind, ActionType::Observe | ActionType::CancelObserve) {
        let why =
            "Immediate: what is to be observed is kept until the device listens; leave it out";
        return Err(Refusal::unsupported("spec.dispatchPolicy", why));
    }
    Ok(match kind {
        ActionType::Read => Request::Read(path(action)?),
        ActionType::Discover => Request::Discover(path(action)?),
        ActionType::Execute => Request::Execute {
            path: path(action)?,
            arguments: action.arguments.clone().unwrap_or_default(),
        },
        ActionType::Write => write(&action.values)?,
        ActionType::CreateInstance => create(action)?,
        ActionType::DeleteInstance => Request::Delete(path(action)?),
        ActionType::Observe => Request::Observe(path(action)?),
        ActionType::CancelObserve => Request::CancelObserve(path(action)?),
        ActionType::RegistrationUpdateTrigger => {
            return Err(trigger("RegistrationUpdateTrigger", 8));
        }
        ActionType::Bootstrap => return Err(trigger("Bootstrap", 9)),
    })
}

// LwM2M-Core 1.2 §E.2: /1/x/8 and /1/x/9.
fn trigger(kind: &str, resource: u16) -> Refusal {
    let why = format!(
        "{kind}: use Execute with the path /1/0/{resource}, of the device's instance of the Server object"
    );
    Refusal::unsupported("spec.action.type", &why)
}

fn path(action: &Action) -> Result<Path, Refusal> {
    let wrong = || Refusal::invalid("spec.action.path", "is not a path such as /3/0/4");
    let text = action.path.as_deref().ok_or_else(wrong)?;
    text.parse().map_err(|_| wrong())
}

fn write(values: &[OperationValue]) -> Result<Request, Refusal> {
    if let [value] = values {
        let text = text(0, value)?.to_owned();
        return match typed(&value.path, Given::Text(&text)) {
            Ok((path, _)) => Ok(Request::Write { path, text }),
            // The state tier may know the object.
            Err(problem) if problem.is_unknown_model() => match value.path.parse() {
                Ok(path) => Ok(Request::Write { path, text }),
                Err(_) => Err(wrong(&value.path, problem)),
            },
            Err(problem) => Err(wrong(&value.path, problem)),
        };
    }
    let values = all_typed(values)?;
    // A device need not know of composite operations for values of one instance. Its Write has no resource instances.
    let instance = |(path, _): &(Path, Value)| {
        let parent = path.parent()?;
        (path.depth() == 3).then_some(parent)
    };
    let first = values.first().and_then(instance);
    match first {
        Some(path) if values.iter().all(|one| instance(one) == first) => {
            Ok(Request::WriteInstance { path, values })
        }
        _ => Ok(Request::WriteComposite(values)),
    }
}

fn create(action: &Action) -> Result<Request, Refusal> {
    let path = path(action)?;
    let (object, instance) = match path {
        Path::ObjectInstance(object, instance) => (Path::Object(object), Some(instance)),
        object => (object, None),
    };
    Ok(Request::Create {
        object,
        instance,
        values: all_typed(&action.values)?,
    })
}

fn all_typed(values: &[OperationValue]) -> Result<Vec<(Path, Value)>, Refusal> {
    let (mut found, mut problems) = (Vec::with_capacity(values.len()), Problems::default());
    for (place, one) in values.iter().enumerate() {
        match typed(&one.path, Given::Text(text(place, one)?)) {
            Ok(one) => found.push(one),
            Err(problem) => problems.add(&one.path, problem),
        }
    }
    if problems.is_empty() {
        return Ok(found);
    }
    let message = problems.message();
    if problems.are_of_unknown_models() {
        let why = format!(
            "{message}: of objects that the OMA does not define one value is written at a time yet; make a \
             DeviceOperation for each"
        );
        return Err(Refusal::unsupported("spec.action.values", &why));
    }
    Err(Refusal::invalid("spec.action.values", &message))
}

fn wrong(path: &str, problem: crate::typing::Problem) -> Refusal {
    Refusal {
        reason: Reason::InvalidValue,
        message: format!("spec.action.values: {path}: {problem}"),
    }
}

fn text(place: usize, value: &OperationValue) -> Result<&str, Refusal> {
    match (&value.value, &value.value_from) {
        (Some(text), None) => Ok(text),
        (_, Some(_)) => Err(Refusal::unsupported(
            &format!("spec.action.values[{place}].valueFrom"),
            "values of Secrets are not fetched yet; write it to the device by `drover write`",
        )),
        (None, None) => Err(Refusal::invalid(
            &format!("spec.action.values[{place}].value"),
            "is missing",
        )),
    }
}
