//! Operations as CoAP requests (LwM2M Transport 1.2 §6.4.4, §6.4.5).

use coap::{Code, Request};
use lwm2m::{
    AlternatePath, ContentFormat, EncodeError, Entry, LwM2mVersion, Method, Observed, Operation,
    Patch, Path, RawRequest, Value, WriteMode, encode as encode_entries, encode_below,
    encode_empty_instance, encode_patch, encode_paths,
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
        Operation::Read { accept: None, path } => read_formats(*path, device),
        Operation::Observe {
            observed: Observed::Path(path) | Observed::Behind { path, .. },
            ..
        } => read_formats(*path, device),
        Operation::ReadComposite {
            accept: Some(accept),
            ..
        } => vec![Some(composite_format(*accept))],
        Operation::ReadComposite { accept: None, .. }
        | Operation::Observe { .. }
        | Operation::WriteComposite { .. } => composite_formats(operation, device),
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
        // And only TLV can name an instance without values.
        Operation::Create {
            instance: Some(_),
            values,
            ..
        } if values.is_empty() => vec![Some(ContentFormat::TLV)],
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
        | Operation::WriteAttributes { .. }
        | Operation::Raw(_) => vec![None],
        Operation::Behind { operation, .. } => formats(operation, device),
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
        ContentFormat::LWM2M_CBOR,
        ContentFormat::JSON,
    ];
    let mut formats: Vec<_> = order
        .into_iter()
        .filter_map(|format| announced(device, format))
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

/// The number by which the device announced a format: early 1.0 clients have numbers of their own.
fn announced<P>(device: &Device<P>, format: ContentFormat) -> Option<ContentFormat> {
    let mut formats = device.formats.iter().copied();
    formats.find(|announced| announced.canonical() == format)
}

/// Formats of the body of a composite operation.
// LwM2M Core 1.2 §6.3.8, §6.3.9: 1.1 has SenML, 1.2 also SenML-ETCH and LwM2M CBOR. Only a patch has a way to remove in
// SenML-ETCH that it has not in SenML.
fn composite_formats<P>(operation: &Operation, device: &Device<P>) -> Vec<Option<ContentFormat>> {
    let removes = |patch: &Patch| matches!(patch, Patch::Remove(_));
    let order: &[ContentFormat] = match operation {
        Operation::WriteComposite { patches } if patches.iter().any(removes) => &[
            ContentFormat::SENML_ETCH_CBOR,
            ContentFormat::SENML_ETCH_JSON,
            ContentFormat::LWM2M_CBOR,
        ],
        Operation::WriteComposite { .. } => &[
            ContentFormat::SENML_CBOR,
            ContentFormat::SENML_JSON,
            ContentFormat::LWM2M_CBOR,
            ContentFormat::SENML_ETCH_CBOR,
            ContentFormat::SENML_ETCH_JSON,
        ],
        // How LwM2M CBOR would list paths is nowhere told.
        _ => &[
            ContentFormat::SENML_CBOR,
            ContentFormat::SENML_JSON,
            ContentFormat::SENML_ETCH_CBOR,
            ContentFormat::SENML_ETCH_JSON,
        ],
    };
    // What the device announced comes first; the rest is tried if it refuses that.
    let (mut best, rest): (Vec<_>, Vec<_>) = order
        .iter()
        .copied()
        .filter(|format| device.version == LwM2mVersion::V1_2 || is_of_release_1_1(*format))
        .partition(|format| announced(device, *format).is_some());
    best.extend(rest);
    best.reverse();
    best.into_iter().map(Some).collect()
}

const fn is_of_release_1_1(format: ContentFormat) -> bool {
    matches!(
        format,
        ContentFormat::SENML_CBOR | ContentFormat::SENML_JSON
    )
}

/// The format of the paths for an answer in `accept`.
const fn composite_format(accept: ContentFormat) -> ContentFormat {
    match accept {
        ContentFormat::SENML_JSON => accept,
        _ => ContentFormat::SENML_CBOR,
    }
}

/// The format of the answer to a request with a body in `format`.
const fn answer_format(format: ContentFormat) -> ContentFormat {
    match format {
        ContentFormat::SENML_ETCH_JSON => ContentFormat::SENML_JSON,
        ContentFormat::SENML_ETCH_CBOR => ContentFormat::SENML_CBOR,
        other => other,
    }
}

/// The request for `operation`, with its payload or Accept in `format`. Paths in the URI begin with `root`, those in the
/// payload with `names`.
pub(super) fn encode(
    operation: &Operation,
    format: Option<ContentFormat>,
    version: LwM2mVersion,
    (root, names): (&AlternatePath, Option<&AlternatePath>),
) -> Result<Request, EncodeError> {
    let uri = root.uri_path(operation.path());
    let accept = |request: Request| Request {
        accept: format.map(|format| format.0),
        ..request
    };
    Ok(match operation {
        Operation::Read { .. } => accept(Request::new(Code::GET, uri)),
        Operation::Observe {
            observed: observed @ Observed::Composite(_),
            parameters,
        } => Request {
            observe: Some(0),
            query: parameters.to_query(),
            ..fetch(uri, format, None, observed.paths())?
        },
        Operation::Observe { parameters, .. } => accept(Request {
            observe: Some(0),
            query: parameters.to_query(),
            ..Request::new(Code::GET, uri)
        }),
        // It goes by the token of the observation.
        Operation::CancelObserve { .. } => Request::new(Code::GET, uri),
        Operation::ReadComposite {
            paths,
            accept: asked,
        } => fetch(uri, format, *asked, paths)?,
        Operation::WriteComposite { patches } => {
            let format = format.unwrap_or(ContentFormat::SENML_CBOR);
            Request {
                content_format: Some(format.0),
                payload: encode_patch(format, patches)?,
                ..Request::new(Code::IPATCH, uri)
            }
        }
        Operation::Write { mode, values, .. } => {
            let method = match mode {
                WriteMode::Replace => Code::PUT,
                WriteMode::Update => Code::POST,
            };
            let request = Request::new(method, uri);
            with_entries(request, format, names, (operation.payload_base(), values))?
        }
        Operation::Create {
            instance: Some(id),
            values,
            ..
        } if values.is_empty() => Request {
            content_format: Some(ContentFormat::TLV.0),
            payload: encode_empty_instance(*id)?,
            ..Request::new(Code::POST, uri)
        },
        Operation::Create { values, .. } => {
            let request = Request::new(Code::POST, uri);
            with_entries(request, format, names, (operation.payload_base(), values))?
        }
        Operation::Execute { arguments, .. } => Request {
            content_format: (!arguments.is_empty()).then_some(ContentFormat::TEXT.0),
            payload: arguments.as_str().as_bytes().to_vec(),
            ..Request::new(Code::POST, uri)
        },
        Operation::Discover { depth, .. } => Request {
            accept: Some(ContentFormat::LINK.0),
            // LwM2M Core 1.2 §6.3.2: older devices do not know it, and some refuse it.
            query: depth
                .filter(|_| version == LwM2mVersion::V1_2)
                .iter()
                .map(|depth| format!("depth={depth}"))
                .collect(),
            ..Request::new(Code::GET, uri)
        },
        Operation::Delete { .. } => Request::new(Code::DELETE, uri),
        Operation::WriteAttributes { attributes, .. } => Request {
            query: attributes.to_query(),
            ..Request::new(Code::PUT, uri)
        },
        Operation::Raw(raw) => self::raw(raw),
        Operation::Behind { operation, .. } => encode(operation, format, version, (root, names))?,
    })
}

/// LwM2M Core 1.2 §6.3.8: the paths are the body.
fn fetch(
    uri: Vec<String>,
    format: Option<ContentFormat>,
    accept: Option<ContentFormat>,
    paths: &[Path],
) -> Result<Request, EncodeError> {
    let format = format.unwrap_or(ContentFormat::SENML_CBOR);
    Ok(Request {
        content_format: Some(format.0),
        accept: Some(accept.unwrap_or_else(|| answer_format(format)).0),
        payload: encode_paths(format, paths)?,
        ..Request::new(Code::FETCH, uri)
    })
}

fn raw(raw: &RawRequest) -> Request {
    let method = match raw.method {
        Method::Get => Code::GET,
        Method::Post => Code::POST,
        Method::Put => Code::PUT,
        Method::Delete => Code::DELETE,
        Method::Fetch => Code::FETCH,
        Method::IPatch => Code::IPATCH,
    };
    Request {
        query: raw.query.clone(),
        content_format: raw.content_format.map(|format| format.0),
        accept: raw.accept.map(|format| format.0),
        payload: raw.payload.clone(),
        ..Request::new(method, raw.path.iter().cloned())
    }
}

fn with_entries(
    request: Request,
    format: Option<ContentFormat>,
    names: Option<&AlternatePath>,
    (base, values): (Path, &[Entry]),
) -> Result<Request, EncodeError> {
    let Some(format) = format else {
        return Ok(request);
    };
    let payload = match names {
        None => encode_entries(format, base, values)?,
        Some(root) => encode_below(root, format, base, values)?,
    };
    Ok(Request {
        content_format: Some(format.0),
        payload,
        ..request
    })
}
