//! CoAP responses as outcomes of operations.

use coap::{Code, Response};
use device_state::{OperationOutcome, Quirks};
use lwm2m::{AlternatePath, ContentFormat, DecodeError, Entry, Operation, Path, Registry, Value};

use crate::output::{OperationFailure, OperationReply};
use crate::quirks::likely_formats;

/// Longest diagnostic text that is kept of a device's refusal, in bytes.
const MAX_DIAGNOSTIC: usize = 256;

/// What the device's `response` to `operation` means, if that is not values.
pub(super) fn decode(
    operation: &Operation,
    alternate_path: &AlternatePath,
    response: &Response,
) -> Result<OperationReply, OperationFailure> {
    let code = response.code.as_byte();
    if let Operation::Raw(_) = operation {
        return Ok(reply(OperationOutcome::Answered {
            code,
            content_format: response.content_format.map(ContentFormat),
            payload: response.payload.clone(),
        }));
    }
    if !response.code.is_success() {
        let text = String::from_utf8_lossy(&response.payload);
        let end = text.floor_char_boundary(MAX_DIAGNOSTIC.min(text.len()));
        let diagnostic = text.get(..end).unwrap_or_default().to_owned();
        return Ok(reply(OperationOutcome::Rejected { code, diagnostic }));
    }
    match operation {
        Operation::Discover { .. } => {
            let links = String::from_utf8(response.payload.clone()).map_err(|_| {
                OperationFailure::BadAnswer("the list of links is not UTF-8".to_owned())
            })?;
            Ok(OperationReply {
                links,
                ..delivered(response.code, Vec::new())
            })
        }
        Operation::Create { path, instance, .. } => {
            let created = created(*path, *instance, alternate_path, response);
            let values = created
                .map(|path| vec![(path, Value::String(path.to_string()))])
                .unwrap_or_default();
            Ok(delivered(response.code, values))
        }
        _ => Ok(delivered(response.code, Vec::new())),
    }
}

/// Whether the answer to the operation holds values.
pub(super) const fn has_values(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Read { .. } | Operation::ReadComposite { .. } | Operation::Observe { .. }
    )
}

/// The device did it.
pub(super) fn delivered(code: Code, values: Vec<(Path, Value)>) -> OperationReply {
    let code = code.as_byte();
    reply(OperationOutcome::Delivered { code, values })
}

pub(super) fn values(entries: Vec<Entry>) -> Vec<(Path, Value)> {
    let pair = |entry: Entry| (entry.path, entry.value);
    entries.into_iter().map(pair).collect()
}

fn reply(outcome: OperationOutcome) -> OperationReply {
    OperationReply {
        outcome,
        links: String::new(),
    }
}

/// The format that a response says it has.
fn label(response: &Response) -> ContentFormat {
    // LwM2M Transport 1.2 §6.4.4: a payload without Content-Format is plain text.
    response
        .content_format
        .map_or(ContentFormat::TEXT, ContentFormat)
}

/// What a response is about.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// What the paths of the device begin with on the wire.
    pub(super) root: &'a AlternatePath,
    pub(super) base: Path,
    pub(super) definitions: &'a Registry,
}

impl Place<'_> {
    fn decode(self, format: ContentFormat, payload: &[u8]) -> Result<Vec<Entry>, DecodeError> {
        lwm2m::decode_below(self.root, format, self.base, payload, self.definitions)
    }
}

/// The values in a response; the format may be any, asked for or not.
pub(super) fn entries(
    place: Place<'_>,
    response: &Response,
    quirks: Quirks,
) -> Result<Vec<Entry>, OperationFailure> {
    let mut refusal = None;
    for format in likely_formats(&quirks, label(response)) {
        match place.decode(format, &response.payload) {
            Ok(entries) => return Ok(entries),
            Err(error) => refusal = Some(error.to_string()),
        }
    }
    Err(OperationFailure::BadAnswer(refusal.unwrap_or_default()))
}

/// The values in a response that is not in the format it says it has, with that format and the right one.
pub(super) fn guess(
    place: Place<'_>,
    response: &Response,
    quirks: Quirks,
) -> Option<((ContentFormat, ContentFormat), Vec<Entry>)> {
    // The strictest first. Anything reads as text, so nothing is taken for it.
    const STRICT: [ContentFormat; 5] = [
        ContentFormat::SENML_JSON,
        ContentFormat::JSON,
        ContentFormat::SENML_CBOR,
        ContentFormat::LWM2M_CBOR,
        ContentFormat::TLV,
    ];
    let label = label(response);
    let tried = |format: &ContentFormat| {
        likely_formats(&quirks, label).any(|tried| tried.canonical() == *format)
    };
    STRICT
        .into_iter()
        .filter(|format| !tried(format))
        .find_map(|format| {
            let entries = place.decode(format, &response.payload).ok()?;
            (!entries.is_empty()).then_some(((label, format), entries))
        })
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
