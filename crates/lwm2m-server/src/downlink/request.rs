//! Operations as CoAP requests (LwM2M Transport 1.2 §6.4.4, §6.4.5).

use coap::{Code, Request};
use lwm2m::{
    AlternatePath, ContentFormat, EncodeError, Entry, LwM2mVersion, Operation, Path, Value,
    WriteMode, encode as encode_entries,
};

use crate::device::Device;

/// Formats to send an operation in, the first to try last. `None` leaves the choice to the device, or there is no
/// payload. Devices disagree on formats, so a refusal (4.06, 4.15) leads to the next.
pub(super) fn formats<P>(operation: &Operation, device: &Device<P>) -> Vec<Option<ContentFormat>> {
    match operation {
        Operation::Read {
            accept: Some(accept),
            ..
        } => vec![Some(*accept)],
        Operation::Read { accept: None, path } | Operation::Observe { path } => {
            read_formats(*path, device)
        }
        Operation::Write { path, values, .. } => write_formats(*path, values, device),
        // Only TLV can leave the id of the new instance to the device (LwM2M Core 1.2 §7.4.3): SenML names every
        // value by its whole path, which would ask for instance 0.
        Operation::Create {
            instance: None,
            values,
            ..
        } if !values.is_empty() => {
            vec![Some(ContentFormat::TLV)]
        }
        Operation::Create { values, .. } => {
            let mut formats = structured_formats(device);
            if values.is_empty() {
                formats.push(None);
            }
            formats
        }
        Operation::Execute { .. }
        | Operation::Discover { .. }
        | Operation::CancelObserve { .. }
        | Operation::Delete { .. }
        | Operation::WriteAttributes { .. } => vec![None],
    }
}

fn read_formats<P>(path: Path, device: &Device<P>) -> Vec<Option<ContentFormat>> {
    let announced = device
        .formats
        .iter()
        .copied()
        .find(|format| format.is_structured());
    match announced {
        // Without Accept the device answers in the format it prefers; every format can be decoded.
        None => vec![None],
        Some(_) if path.depth() >= 3 => vec![None],
        Some(format) => vec![None, Some(format)],
    }
}

fn write_formats<P>(
    path: Path,
    values: &[Entry],
    device: &Device<P>,
) -> Vec<Option<ContentFormat>> {
    let mut formats = structured_formats(device);
    if let [entry] = values
        && entry.path == path
    {
        let simple = match entry.value {
            Value::Opaque(_) => ContentFormat::OPAQUE,
            _ => ContentFormat::TEXT,
        };
        formats.push(Some(simple));
    }
    formats
}

/// TLV is mandatory in 1.0 only, SenML CBOR is what 1.1 and later devices announce.
fn structured_formats<P>(device: &Device<P>) -> Vec<Option<ContentFormat>> {
    let order = [
        ContentFormat::SENML_CBOR,
        ContentFormat::TLV,
        ContentFormat::SENML_JSON,
    ];
    let mut formats: Vec<_> = order
        .into_iter()
        .filter(|format| device.formats.contains(format))
        .collect();
    if formats.is_empty() {
        formats = match device.version {
            LwM2mVersion::V1_0 => vec![ContentFormat::TLV],
            _ => vec![ContentFormat::TLV, ContentFormat::SENML_CBOR],
        };
    }
    formats.reverse();
    formats.into_iter().map(Some).collect()
}

/// The request for `operation`, with its payload or Accept in `format`.
pub(super) fn encode(
    operation: &Operation,
    format: Option<ContentFormat>,
    alternate_path: &AlternatePath,
) -> Result<Request, EncodeError> {
    let uri = alternate_path.uri_path(operation.path());
    let accept = |request: Request| Request {
        accept: format.map(|format| format.0),
        ..request
    };
    Ok(match operation {
        Operation::Read { .. } => accept(Request::new(Code::GET, uri)),
        Operation::Observe { .. } => accept(Request {
            observe: Some(0),
            ..Request::new(Code::GET, uri)
        }),
        Operation::CancelObserve { .. } => Request {
            observe: Some(1),
            ..Request::new(Code::GET, uri)
        },
        Operation::Write { mode, values, .. } => {
            let method = match mode {
                WriteMode::Replace => Code::PUT,
                WriteMode::Update => Code::POST,
            };
            with_entries(
                Request::new(method, uri),
                format,
                operation.payload_base(),
                values,
            )?
        }
        Operation::Create { values, .. } => with_entries(
            Request::new(Code::POST, uri),
            format,
            operation.payload_base(),
            values,
        )?,
        Operation::Execute { arguments, .. } => Request {
            content_format: (!arguments.is_empty()).then_some(ContentFormat::TEXT.0),
            payload: arguments.as_str().as_bytes().to_vec(),
            ..Request::new(Code::POST, uri)
        },
        Operation::Discover { depth, .. } => Request {
            accept: Some(ContentFormat::LINK.0),
            query: depth.iter().map(|depth| format!("depth={depth}")).collect(),
            ..Request::new(Code::GET, uri)
        },
        Operation::Delete { .. } => Request::new(Code::DELETE, uri),
        Operation::WriteAttributes { attributes, .. } => Request {
            query: attributes.to_query(),
            ..Request::new(Code::PUT, uri)
        },
    })
}

fn with_entries(
    request: Request,
    format: Option<ContentFormat>,
    base: Path,
    values: &[Entry],
) -> Result<Request, EncodeError> {
    let Some(format) = format else {
        return Ok(request);
    };
    let payload = encode_entries(format, base, values)?;
    Ok(Request {
        content_format: Some(format.0),
        payload,
        ..request
    })
}
