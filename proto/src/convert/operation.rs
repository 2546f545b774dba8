//! Operations on a device and how they end.

use device_state::OperationOutcome;
use lwm2m::operation::MAX_PATCHES;
use lwm2m::{
    CompositePaths, ContentFormat, Entry, ExecuteArguments, Method, NotificationAttributes,
    Operation, Patch, Path, RawRequest, WriteMode,
};

use super::list::{each, entries, values, wire_entries, wire_values};
use super::value::{observed, wire_enum, wire_observed};
use super::{ConvertError, InField, Reason, Within, message, narrow, required};
use crate::storage::v1 as wire;
use crate::storage::v1::operation::{self, Kind};

wire_enum!(WriteMode, operation::WriteMode, wire_write_mode, write_mode, { Replace, Update });
wire_enum!(Method, operation::Method, wire_method, method, {
    Get,
    Post,
    Put,
    Delete,
    Fetch,
    IPatch,
});

impl From<Operation> for wire::Operation {
    fn from(operation: Operation) -> Self {
        let kind = match operation {
            Operation::Read { path, accept } => Kind::Read(operation::Read {
                path: Some(path.into()),
                accept: accept.map(|format| u32::from(format.0)),
            }),
            Operation::Write { path, mode, values } => Kind::Write(operation::Write {
                path: Some(path.into()),
                mode: wire_write_mode(mode),
                values: wire_entries(values),
            }),
            Operation::Execute { path, arguments } => Kind::Execute(operation::Execute {
                path: Some(path.into()),
                arguments: arguments.as_str().to_owned(),
            }),
            Operation::Discover { path, depth } => Kind::Discover(operation::Discover {
                path: Some(path.into()),
                depth: depth.map(u32::from),
            }),
            Operation::Observe {
                observed,
                parameters,
            } => {
                let (path, composite, behind) = wire_observed(&observed);
                Kind::Observe(operation::Observe {
                    path,
                    composite,
                    behind,
                    parameters: parameters.to_query().join("&"),
                })
            }
            Operation::CancelObserve { observed } => {
                let (path, composite, behind) = wire_observed(&observed);
                Kind::CancelObserve(operation::CancelObserve {
                    path,
                    composite,
                    behind,
                })
            }
            Operation::ReadComposite { paths, accept } => {
                Kind::ReadComposite(operation::ReadComposite {
                    paths: paths.into_iter().map(Into::into).collect(),
                    accept: accept.map(|format| u32::from(format.0)),
                })
            }
            Operation::WriteComposite { patches } => {
                Kind::WriteComposite(operation::WriteComposite {
                    patches: patches.into_iter().map(wire_patch).collect(),
                })
            }
            Operation::Raw(raw) => Kind::Raw(raw.into()),
            Operation::Create {
                path,
                instance,
                values,
            } => Kind::Create(operation::Create {
                path: Some(path.into()),
                instance: instance.map(u32::from),
                values: wire_entries(values),
            }),
            Operation::Delete { path } => Kind::Delete(operation::Delete {
                path: Some(path.into()),
            }),
            Operation::WriteAttributes { path, attributes } => {
                Kind::WriteAttributes(operation::WriteAttributes {
                    path: Some(path.into()),
                    attributes: attributes.to_query().join("&"),
                })
            }
            Operation::Behind { child, operation } => Kind::Behind(Box::new(operation::Behind {
                child: child.to_string(),
                operation: Some(Box::new((*operation).into())),
            })),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Operation> for Operation {
    type Error = ConvertError;

    fn try_from(operation: wire::Operation) -> Result<Self, ConvertError> {
        match required("kind", operation.kind)? {
            Kind::Read(read) => read.try_into().within("read"),
            Kind::Write(write) => write.try_into().within("write"),
            Kind::Execute(execute) => execute.try_into().within("execute"),
            Kind::Discover(discover) => discover.try_into().within("discover"),
            Kind::Observe(observe) => observe.try_into().within("observe"),
            Kind::CancelObserve(cancel) => Ok(Self::CancelObserve {
                observed: observed((cancel.path, cancel.composite, cancel.behind))
                    .within("cancel_observe")?,
            }),
            Kind::ReadComposite(read) => read.try_into().within("read_composite"),
            Kind::WriteComposite(write) => Ok(Self::WriteComposite {
                patches: each("patches", write.patches, MAX_PATCHES, patch)
                    .within("write_composite")?,
            }),
            Kind::Raw(raw) => raw.try_into().within("raw").map(Self::Raw),
            Kind::Create(create) => create.try_into().within("create"),
            Kind::Delete(delete) => Ok(Self::Delete {
                path: message("path", delete.path).within("delete")?,
            }),
            Kind::WriteAttributes(write) => write.try_into().within("write_attributes"),
            Kind::Behind(behind) => behind.try_into().within("behind"),
        }
    }
}

// Decoding bounds how deep they are nested; more than one is refused where it is asked for.
impl TryFrom<Box<operation::Behind>> for Operation {
    type Error = ConvertError;

    fn try_from(behind: Box<operation::Behind>) -> Result<Self, ConvertError> {
        let operation = required("operation", behind.operation)?;
        Ok(Self::Behind {
            child: behind.child.parse().in_field("child")?,
            operation: Box::new(Self::try_from(*operation).within("operation")?),
        })
    }
}

impl TryFrom<operation::Read> for Operation {
    type Error = ConvertError;

    fn try_from(read: operation::Read) -> Result<Self, ConvertError> {
        Ok(Self::Read {
            path: message("path", read.path)?,
            accept: format("accept", read.accept)?,
        })
    }
}

impl TryFrom<operation::Observe> for Operation {
    type Error = ConvertError;

    fn try_from(observe: operation::Observe) -> Result<Self, ConvertError> {
        Ok(Self::Observe {
            observed: observed((observe.path, observe.composite, observe.behind))?,
            parameters: attributes("parameters", &observe.parameters)?,
        })
    }
}

impl TryFrom<operation::ReadComposite> for Operation {
    type Error = ConvertError;

    fn try_from(read: operation::ReadComposite) -> Result<Self, ConvertError> {
        Ok(Self::ReadComposite {
            paths: each("paths", read.paths, CompositePaths::MAX, Path::try_from)?,
            accept: format("accept", read.accept)?,
        })
    }
}

fn wire_patch(patch: Patch) -> operation::Patch {
    let (path, value) = match patch {
        Patch::Set(entry) => (entry.path, Some(entry.value.into())),
        Patch::Remove(path) => (path, None),
    };
    operation::Patch {
        path: Some(path.into()),
        value,
    }
}

fn patch(patch: operation::Patch) -> Result<Patch, ConvertError> {
    let path = message("path", patch.path)?;
    Ok(match patch.value {
        Some(value) => Patch::Set(Entry::new(path, value.try_into().within("value")?)),
        None => Patch::Remove(path),
    })
}

/// An optional content format.
pub(crate) fn format(
    field: &str,
    number: Option<u32>,
) -> Result<Option<ContentFormat>, ConvertError> {
    number
        .map(|number| narrow(field, number).map(ContentFormat))
        .transpose()
}

impl From<RawRequest> for operation::RawRequest {
    fn from(raw: RawRequest) -> Self {
        Self {
            method: wire_method(raw.method),
            path: raw.path,
            query: raw.query,
            content_format: raw.content_format.map(|format| u32::from(format.0)),
            accept: raw.accept.map(|format| u32::from(format.0)),
            payload: raw.payload,
        }
    }
}

impl TryFrom<operation::RawRequest> for RawRequest {
    type Error = ConvertError;

    fn try_from(raw: operation::RawRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            method: method("method", raw.method)?,
            path: raw.path,
            query: raw.query,
            content_format: format("content_format", raw.content_format)?,
            accept: format("accept", raw.accept)?,
            payload: raw.payload,
        })
    }
}

impl TryFrom<operation::Write> for Operation {
    type Error = ConvertError;

    fn try_from(write: operation::Write) -> Result<Self, ConvertError> {
        Ok(Self::Write {
            path: message("path", write.path)?,
            mode: write_mode("mode", write.mode)?,
            values: entries("values", write.values)?,
        })
    }
}

impl TryFrom<operation::Execute> for Operation {
    type Error = ConvertError;

    fn try_from(execute: operation::Execute) -> Result<Self, ConvertError> {
        let arguments = execute
            .arguments
            .parse::<ExecuteArguments>()
            .in_field("arguments")?;
        Ok(Self::Execute {
            path: message("path", execute.path)?,
            arguments,
        })
    }
}

impl TryFrom<operation::Discover> for Operation {
    type Error = ConvertError;

    fn try_from(discover: operation::Discover) -> Result<Self, ConvertError> {
        let depth = discover
            .depth
            .map(|depth| narrow("depth", depth))
            .transpose()?;
        Ok(Self::Discover {
            path: message("path", discover.path)?,
            depth,
        })
    }
}

impl TryFrom<operation::Create> for Operation {
    type Error = ConvertError;

    fn try_from(create: operation::Create) -> Result<Self, ConvertError> {
        Ok(Self::Create {
            path: message("path", create.path)?,
            instance: create
                .instance
                .map(|id| narrow("instance", id))
                .transpose()?,
            values: entries("values", create.values)?,
        })
    }
}

impl TryFrom<operation::WriteAttributes> for Operation {
    type Error = ConvertError;

    fn try_from(write: operation::WriteAttributes) -> Result<Self, ConvertError> {
        Ok(Self::WriteAttributes {
            path: message("path", write.path)?,
            attributes: attributes("attributes", &write.attributes)?,
        })
    }
}

/// Attributes in the form of a query, `pmin=10&pmax=60`; empty text names none.
pub(crate) fn attributes(field: &str, text: &str) -> Result<NotificationAttributes, ConvertError> {
    let query: Vec<&str> = if text.is_empty() {
        Vec::new()
    } else {
        text.split('&').collect()
    };
    NotificationAttributes::parse_query(&query).in_field(field)
}

impl From<OperationOutcome> for wire::OperationOutcome {
    fn from(outcome: OperationOutcome) -> Self {
        use wire::operation_outcome::{Answered, Delivered, Kind, Rejected};
        let kind = match outcome {
            OperationOutcome::Delivered { code, values } => Kind::Delivered(Delivered {
                code: u32::from(code),
                values: wire_values(values),
            }),
            OperationOutcome::Rejected { code, diagnostic } => Kind::Rejected(Rejected {
                code: u32::from(code),
                diagnostic,
            }),
            OperationOutcome::Answered {
                code,
                content_format,
                payload,
            } => Kind::Answered(Answered {
                code: u32::from(code),
                content_format: content_format.map(|format| u32::from(format.0)),
                payload,
            }),
            OperationOutcome::Expired => Kind::Expired(true),
            OperationOutcome::Cancelled => Kind::Cancelled(true),
            OperationOutcome::Superseded => Kind::Superseded(true),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::OperationOutcome> for OperationOutcome {
    type Error = ConvertError;

    fn try_from(outcome: wire::OperationOutcome) -> Result<Self, ConvertError> {
        use wire::operation_outcome::Kind;
        Ok(match required("kind", outcome.kind)? {
            Kind::Delivered(delivered) => Self::Delivered {
                code: narrow("delivered.code", delivered.code)?,
                values: values("delivered.values", delivered.values)?,
            },
            Kind::Rejected(rejected) => Self::Rejected {
                code: narrow("rejected.code", rejected.code)?,
                diagnostic: rejected.diagnostic,
            },
            Kind::Answered(answered) => Self::Answered {
                code: narrow("answered.code", answered.code)?,
                content_format: format("answered.content_format", answered.content_format)?,
                payload: answered.payload,
            },
            Kind::Expired(_) => Self::Expired,
            Kind::Cancelled(_) => Self::Cancelled,
            Kind::Superseded(_) => Self::Superseded,
        })
    }
}
