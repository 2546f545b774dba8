//! CoAP responses as outcomes of operations.

use coap::Response;
use device_state::OperationOutcome;
use lwm2m::{AlternatePath, ContentFormat, Entry, Operation, Path, Registry, Value};

use crate::output::{OperationFailure, OperationReply};

/// Longest diagnostic text that is kept of a device's refusal, in bytes.
const MAX_DIAGNOSTIC: usize = 256;

/// What the device's `response` to `operation` means.
pub(super) fn decode(
    operation: &Operation,
    alternate_path: &AlternatePath,
    response: &Response,
) -> Result<OperationReply, OperationFailure> {
    let code = response.code.as_byte();
    if !response.code.is_success() {
        let text = String::from_utf8_lossy(&response.payload);
        let end = text.floor_char_boundary(MAX_DIAGNOSTIC.min(text.len()));
        let diagnostic = text.get(..end).unwrap_or_default().to_owned();
        return Ok(reply(
            OperationOutcome::Rejected { code, diagnostic },
            String::new(),
        ));
    }
    match operation {
        Operation::Read { path, .. } | Operation::Observe { path } => {
            let values = entries(*path, response)?
                .into_iter()
                .map(|entry| (entry.path, entry.value))
                .collect();
            Ok(reply(
                OperationOutcome::Delivered { code, values },
                String::new(),
            ))
        }
        Operation::Discover { .. } => {
            let links = String::from_utf8(response.payload.clone()).map_err(|_| {
                OperationFailure::BadAnswer("the list of links is not UTF-8".to_owned())
            })?;
            Ok(reply(
                OperationOutcome::Delivered {
                    code,
                    values: Vec::new(),
                },
                links,
            ))
        }
        Operation::Create { path, instance, .. } => {
            let created = created(*path, *instance, alternate_path, response);
            let values = created
                .map(|path| vec![(path, Value::String(path.to_string()))])
                .unwrap_or_default();
            Ok(reply(
                OperationOutcome::Delivered { code, values },
                String::new(),
            ))
        }
        Operation::Write { .. }
        | Operation::Execute { .. }
        | Operation::CancelObserve { .. }
        | Operation::Delete { .. }
        | Operation::WriteAttributes { .. } => Ok(reply(
            OperationOutcome::Delivered {
                code,
                values: Vec::new(),
            },
            String::new(),
        )),
    }
}

fn reply(outcome: OperationOutcome, links: String) -> OperationReply {
    OperationReply { outcome, links }
}

/// The values in a response; the format may be any, asked for or not.
pub(crate) fn entries(path: Path, response: &Response) -> Result<Vec<Entry>, OperationFailure> {
    // LwM2M Transport 1.2 §6.4.4: a payload without Content-Format is plain text.
    let format = response
        .content_format
        .map_or(ContentFormat::TEXT, ContentFormat);
    lwm2m::decode(format, path, &response.payload, Registry::oma())
        .map_err(|error| OperationFailure::BadAnswer(error.to_string()))
}

/// The new instance: from the Location-Path where the device sends one, else what was asked for.
fn created(
    path: Path,
    instance: Option<u16>,
    alternate_path: &AlternatePath,
    response: &Response,
) -> Option<Path> {
    let located = (!response.location_path.is_empty())
        .then(|| format!("/{}", response.location_path.join("/")))
        .and_then(|target| {
            alternate_path
                .strip(&target)
                .and_then(|path| path.parse().ok())
        });
    located.or_else(|| instance.and_then(|instance| path.child(instance)))
}
