//! Operations on a device and how they end.

use device_state::OperationOutcome;
use lwm2m::{ContentFormat, ExecuteArguments, NotificationAttributes, Operation, WriteMode};

use super::list::{entries, values, wire_entries, wire_values};
use super::value::wire_enum;
use super::{ConvertError, InField, Reason, Within, message, narrow, required};
use crate::storage::v1 as wire;
use crate::storage::v1::operation::{self, Kind};

wire_enum!(WriteMode, operation::WriteMode, wire_write_mode, write_mode, { Replace, Update });

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
            Operation::Observe { path } => Kind::Observe(operation::Observe {
                path: Some(path.into()),
            }),
            Operation::CancelObserve { path } => Kind::CancelObserve(operation::CancelObserve {
                path: Some(path.into()),
            }),
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
            Kind::Observe(observe) => Ok(Self::Observe {
                path: message("path", observe.path).within("observe")?,
            }),
            Kind::CancelObserve(cancel) => Ok(Self::CancelObserve {
                path: message("path", cancel.path).within("cancel_observe")?,
            }),
            Kind::Create(create) => create.try_into().within("create"),
            Kind::Delete(delete) => Ok(Self::Delete {
                path: message("path", delete.path).within("delete")?,
            }),
            Kind::WriteAttributes(write) => write.try_into().within("write_attributes"),
        }
    }
}

impl TryFrom<operation::Read> for Operation {
    type Error = ConvertError;

    fn try_from(read: operation::Read) -> Result<Self, ConvertError> {
        let accept = read
            .accept
            .map(|format| narrow("accept", format).map(ContentFormat));
        Ok(Self::Read {
            path: message("path", read.path)?,
            accept: accept.transpose()?,
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
        use wire::operation_outcome::{Delivered, Kind, Rejected};
        let kind = match outcome {
            OperationOutcome::Delivered { code, values } => Kind::Delivered(Delivered {
                code: u32::from(code),
                values: wire_values(values),
            }),
            OperationOutcome::Rejected { code, diagnostic } => Kind::Rejected(Rejected {
                code: u32::from(code),
                diagnostic,
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
            Kind::Expired(_) => Self::Expired,
            Kind::Cancelled(_) => Self::Cancelled,
            Kind::Superseded(_) => Self::Superseded,
        })
    }
}
