//! Commands, their outcomes, and the log entries that carry them.

mod message;
mod reading;
mod writing;

use device_state::Envelope;

use super::list::bounded;
use super::{ConvertError, Reason, Within, required, time};
use crate::storage::v1 as wire;

/// The layout of log entries that this release writes and reads.
pub const ENTRY_FORMAT: u32 = 1;

/// The most commands in one log entry.
pub const MAX_ENVELOPES: usize = 16_384;

impl From<Vec<Envelope>> for wire::Entry {
    fn from(envelopes: Vec<Envelope>) -> Self {
        Self {
            format: ENTRY_FORMAT,
            envelopes: envelopes.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Entry> for Vec<Envelope> {
    type Error = ConvertError;

    fn try_from(entry: wire::Entry) -> Result<Self, ConvertError> {
        if entry.format != ENTRY_FORMAT {
            return Err(ConvertError::new("entry", Reason::Format(entry.format)));
        }
        bounded("entry.envelopes", &entry.envelopes, MAX_ENVELOPES)?;
        entry
            .envelopes
            .into_iter()
            .map(Envelope::try_from)
            .collect::<Result<_, _>>()
            .within("entry.envelopes")
    }
}

impl From<Envelope> for wire::Envelope {
    fn from(envelope: Envelope) -> Self {
        Self {
            request_id: envelope.request_id.map(Into::into),
            leader_time_ms: envelope.leader_time.0,
            command: Some(envelope.command.into()),
        }
    }
}

impl TryFrom<wire::Envelope> for Envelope {
    type Error = ConvertError;

    fn try_from(envelope: wire::Envelope) -> Result<Self, ConvertError> {
        Ok(Self {
            request_id: envelope.request_id.map(Into::into),
            leader_time: time(envelope.leader_time_ms),
            // A command names itself in its errors.
            command: required("command", envelope.command)?.try_into()?,
        })
    }
}
