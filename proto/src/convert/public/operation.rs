//! Operations and their ends.

use device_state::{OperationOutcome, OperationRecord, OperationState};

use lwm2m::ContentFormat;

use super::value::path_values;
use super::{coap_code, timestamp};
use crate::drover::v1 as public;
use crate::drover::v1::operation::State;

impl From<OperationRecord> for public::Operation {
    fn from(row: OperationRecord) -> Self {
        let bare = Self {
            endpoint: row.endpoint.endpoint_str().to_owned(),
            id: row.id.to_string(),
            name: row.operation.name().to_owned(),
            path: row.operation.target().to_string(),
            enqueue_time: timestamp(row.enqueued_at),
            deadline: timestamp(row.deadline),
            ..Default::default()
        };
        match row.state {
            OperationState::Pending => Self {
                state: State::Pending.into(),
                ..bare
            },
            OperationState::InFlight { .. } => Self {
                state: State::InFlight.into(),
                ..bare
            },
            OperationState::Finished { outcome, at, .. } => Self {
                finish_time: timestamp(at),
                ..finished(bare, outcome)
            },
        }
    }
}

/// What a device answered to a raw request.
pub fn raw_answer(
    code: u8,
    content_format: Option<ContentFormat>,
    payload: Vec<u8>,
) -> public::RawAnswer {
    public::RawAnswer {
        coap_code: coap_code(code),
        content_format: content_format.map(|format| u32::from(format.0)),
        payload,
    }
}

/// The operation with its end.
pub(super) fn finished(bare: public::Operation, outcome: OperationOutcome) -> public::Operation {
    match outcome {
        OperationOutcome::Delivered { code, values } => public::Operation {
            state: State::Delivered.into(),
            coap_code: coap_code(code),
            values: path_values(values),
            ..bare
        },
        OperationOutcome::Rejected { code, diagnostic } => public::Operation {
            state: State::Rejected.into(),
            coap_code: coap_code(code),
            diagnostic,
            ..bare
        },
        OperationOutcome::Answered {
            code,
            content_format,
            payload,
        } => public::Operation {
            state: State::Delivered.into(),
            coap_code: coap_code(code),
            answer: Some(raw_answer(code, content_format, payload)),
            ..bare
        },
        OperationOutcome::Expired => public::Operation {
            state: State::Expired.into(),
            ..bare
        },
        OperationOutcome::Cancelled => public::Operation {
            state: State::Cancelled.into(),
            ..bare
        },
        OperationOutcome::Superseded => public::Operation {
            state: State::Superseded.into(),
            ..bare
        },
    }
}
