//! Operations on a device that does not know them, made of those that it knows.

use std::collections::VecDeque;

use coap::Code;
use device_state::Quirks;
use lwm2m::{NotificationAttributes, Observed, Operation, Path};

use crate::device::Device;
use crate::output::OperationFailure;
use crate::quirks::{has_composite, has_observe_parameters, is_unknown_to_device};

/// The steps, if the device is known not to take the operation as a whole.
pub(super) fn needed<P>(
    operation: &Operation,
    device: &Device<P>,
) -> Result<Option<VecDeque<Operation>>, OperationFailure> {
    let composite = has_composite(device.version, &device.quirks);
    let parameters = has_observe_parameters(device.version, &device.quirks);
    let known = match operation {
        Operation::ReadComposite { .. } => composite,
        // LwM2M Core 1.2 §6.3.9: all or nothing, which cannot be made of several requests.
        Operation::WriteComposite { .. } if !composite => {
            return Err(OperationFailure::Invalid(
                "the device has no composite operations; write each path by itself".to_owned(),
            ));
        }
        Operation::Observe {
            observed,
            parameters: asked,
        } => {
            (composite || !matches!(observed, Observed::Composite(_)))
                && (parameters || asked.is_empty())
        }
        _ => true,
    };
    if known {
        return Ok(None);
    }
    let steps = of(operation);
    steps.map(Some).ok_or_else(|| {
        OperationFailure::Invalid(
            "the device has no composite operations, so it cannot be asked for the root".to_owned(),
        )
    })
}

/// The steps that an operation can be made of.
pub(super) fn of(operation: &Operation) -> Option<VecDeque<Operation>> {
    match operation {
        Operation::ReadComposite { paths, accept } => {
            let read = |path: &Path| Operation::Read {
                path: *path,
                accept: *accept,
            };
            // What lies below the root is not known well enough to be listed.
            (!paths.contains(&Path::Root)).then(|| paths.iter().map(read).collect())
        }
        Operation::Observe {
            observed,
            parameters,
        } if !parameters.is_empty() || matches!(observed, Observed::Composite(_)) => {
            let paths = observed.paths();
            let steps = paths.iter().flat_map(|path| observe(*path, *parameters));
            (!paths.contains(&Path::Root)).then(|| steps.collect())
        }
        _ => None,
    }
}

/// An observation of one path: first what the Observe would have said, as attributes of the path.
fn observe(path: Path, parameters: NotificationAttributes) -> impl Iterator<Item = Operation> {
    let attributes = (!parameters.is_empty()).then_some(Operation::WriteAttributes {
        path,
        attributes: parameters,
    });
    let observe = Operation::Observe {
        observed: Observed::Path(path),
        parameters: NotificationAttributes::default(),
    };
    attributes.into_iter().chain([observe])
}

/// What the refusal of a whole operation teaches.
pub(super) fn lesson(operation: &Operation, code: Code) -> Quirks {
    let certain = is_unknown_to_device(code);
    match operation {
        Operation::ReadComposite { .. } => Quirks {
            no_composite: certain,
            ..Quirks::default()
        },
        Operation::Observe {
            observed: Observed::Composite(_),
            parameters,
        } => Quirks {
            no_composite: certain && parameters.is_empty(),
            ..Quirks::default()
        },
        // LwM2M Core 1.2 §6.4.1: a client without them rejects the Observe. 4.05 may be about the path.
        Operation::Observe { .. } => Quirks {
            no_observe_parameters: matches!(
                code,
                Code::BAD_REQUEST_4_00 | Code::BAD_OPTION_4_02 | Code::NOT_IMPLEMENTED_5_01
            ),
            ..Quirks::default()
        },
        _ => Quirks::default(),
    }
}

/// Whether a step that is refused like this leaves its path out and spoils nothing.
// LwM2M Core 1.2 §6.3.8: what does not exist or cannot be read is not in the answer.
pub(super) fn may_be_absent(operation: &Operation, step: &Operation, code: Code) -> bool {
    let looks = matches!(step, Operation::Read { .. } | Operation::Observe { .. });
    let several = matches!(
        operation,
        Operation::ReadComposite { .. }
            | Operation::Observe {
                observed: Observed::Composite(_),
                ..
            }
    );
    looks
        && several
        && matches!(
            code,
            Code::NOT_FOUND_4_04 | Code::UNAUTHORIZED_4_01 | Code::METHOD_NOT_ALLOWED_4_05
        )
}
