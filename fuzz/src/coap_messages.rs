//! CoAP messages as a script has them: what a fuzzer would hardly guess, it chooses from tables.

use coap::{Code, Message, MessageId, Token, Type, number};
use lwm2m::{ContentFormat, Entry, Path, SampleTime, Value, encode};

use crate::script::Script;

/// What the fuzzer has a name for; `None`: two bytes of its own.
const FORMATS: [ContentFormat; 14] = [
    ContentFormat::TEXT,
    ContentFormat::SENML_CBOR,
    ContentFormat::SENML_JSON,
    ContentFormat::TLV,
    ContentFormat::LWM2M_CBOR,
    ContentFormat::JSON,
    ContentFormat::CBOR,
    ContentFormat::OPAQUE,
    ContentFormat::LINK,
    ContentFormat::SENML_ETCH_JSON,
    ContentFormat::SENML_ETCH_CBOR,
    ContentFormat(1542),
    ContentFormat(1543),
    ContentFormat(1541),
];

const CODES: [Code; 20] = [
    Code::CONTENT_2_05,
    Code::CHANGED_2_04,
    Code::CREATED_2_01,
    Code::DELETED_2_02,
    Code::CONTINUE_2_31,
    Code::VALID_2_03,
    Code::BAD_REQUEST_4_00,
    Code::UNAUTHORIZED_4_01,
    Code::BAD_OPTION_4_02,
    Code::NOT_FOUND_4_04,
    Code::METHOD_NOT_ALLOWED_4_05,
    Code::NOT_ACCEPTABLE_4_06,
    Code::REQUEST_ENTITY_INCOMPLETE_4_08,
    Code::PRECONDITION_FAILED_4_12,
    Code::REQUEST_ENTITY_TOO_LARGE_4_13,
    Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
    Code::INTERNAL_SERVER_ERROR_5_00,
    Code::NOT_IMPLEMENTED_5_01,
    Code::SERVICE_UNAVAILABLE_5_03,
    Code::FORBIDDEN_4_03,
];

const PATHS: [Path; 20] = [
    Path::Resource(3, 0, 9),
    Path::ObjectInstance(3, 0),
    Path::Object(3),
    Path::Root,
    Path::Resource(3303, 0, 5700),
    Path::ObjectInstance(3303, 0),
    Path::Object(3303),
    Path::Resource(1, 0, 1),
    Path::ObjectInstance(1, 0),
    Path::Object(1),
    Path::ResourceInstance(3, 0, 6, 1),
    Path::Resource(3, 0, 14),
    Path::Resource(5, 0, 0),
    Path::Resource(3, 0, 4),
    Path::ObjectInstance(0, 1),
    Path::Object(0),
    Path::ObjectInstance(2, 0),
    Path::Object(21),
    Path::ObjectInstance(16, 0),
    Path::Resource(3, 0, 22),
];

/// Lists of objects as devices send them.
pub(crate) const LINKS: [&str; 6] = [
    "</>;rt=\"oma.lwm2m\";ct=\"112 110 11542\",</1/0>,</3/0>,</5/0>,</3303/0>",
    "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>",
    "</1>,</1/0>;ssid=1,</3/0>,</3303>;ver=1.1",
    "</>;lwm2m=1.2,</0/0>,</0/1>;ssid=2;uri=\"coaps://a\",</1/0>;ssid=2,</21/0>",
    "</3/0/9>;pmin=10;pmax=60,</3/0/6>;dim=2",
    "",
];

/// The element of a table that a byte names; none for what is beyond the table.
pub(crate) fn pick<T: Copy>(table: &[T], byte: u8) -> Option<T> {
    table.get(usize::from(byte)).copied()
}

pub(crate) fn code(script: &mut Script<'_>) -> Code {
    let byte = script.byte();
    pick(&CODES, byte).unwrap_or(Code::from_byte(byte))
}

/// A format, or for 255 none.
pub(crate) fn format(script: &mut Script<'_>) -> Option<ContentFormat> {
    match script.byte() {
        u8::MAX => None,
        byte => Some(pick(&FORMATS, byte).unwrap_or_else(|| ContentFormat(script.number()))),
    }
}

pub(crate) fn path(script: &mut Script<'_>) -> Path {
    let byte = script.byte();
    pick(&PATHS, byte).unwrap_or_else(|| {
        let ids: Vec<u16> = (0..byte % 5).map(|_| script.number()).collect();
        Path::from_segments(&ids).unwrap_or(Path::Root)
    })
}

fn value(script: &mut Script<'_>) -> Value {
    match script.byte() % 9 {
        0 => Value::Integer(i64::from(script.number())),
        1 => Value::Float(f64::from(script.number()) / 8.0),
        2 => Value::Boolean(script.byte() & 1 == 1),
        3 => Value::String(String::from_utf8_lossy(script.chunk()).into_owned()),
        4 => Value::Opaque(script.chunk().to_vec()),
        5 => Value::Time(i64::from_be_bytes(script.bytes())),
        6 => Value::Unsigned(u64::from_be_bytes(script.bytes())),
        7 => Value::Float(f64::from_bits(u64::from_be_bytes(script.bytes()))),
        _ => Value::ObjectLink {
            object: script.number(),
            instance: script.number(),
        },
    }
}

/// Up to seven values at or below a path.
pub(crate) fn entries(script: &mut Script<'_>, base: Path) -> Vec<Entry> {
    let count = script.byte();
    let entry = |_| {
        let mut path = base;
        while path.depth() < 3 || (path.depth() == 3 && count & 0x40 != 0) {
            path = path.child(u16::from(script.byte()))?;
        }
        let mut entry = Entry::new(path, value(script));
        if count & 0x80 != 0 {
            entry.time = Some(SampleTime::FromNow(-i64::from(script.number())));
        }
        Some(entry)
    };
    (0..count & 7).filter_map(entry).collect()
}

/// A payload for `base`: nothing, bytes, values in some format, or a list of links.
pub(crate) fn payload(script: &mut Script<'_>, base: Path) -> Vec<u8> {
    match script.byte() % 6 {
        0 => Vec::new(),
        1 => script.chunk().to_vec(),
        2 => {
            let links = pick(&LINKS, script.byte()).unwrap_or_default();
            links.as_bytes().to_vec()
        }
        3 => vec![b'x'; usize::from(script.number() % 5000)],
        _ => {
            let format = format(script).unwrap_or(ContentFormat::TEXT);
            let entries = entries(script, base);
            encode(format, base, &entries).unwrap_or_default()
        }
    }
}

/// The numbers in the Uri-Path of a request.
pub(crate) fn asked_path(request: &Message) -> Path {
    let segments = request.options.iter().filter_map(|(number, value)| {
        let text = (number == number::URI_PATH).then_some(value)?;
        std::str::from_utf8(text).ok()?.parse().ok()
    });
    let ids: Vec<u16> = segments.collect();
    Path::from_segments(&ids).unwrap_or(Path::Root)
}

/// What kind and id a message has that begins an exchange.
fn head(script: &mut Script<'_>, flag: u8, code: Code) -> Message {
    let kind = if flag == 0 {
        Type::Confirmable
    } else {
        Type::NonConfirmable
    };
    Message::new(kind, code, MessageId(script.number()))
}

/// An answer to a request: usually what its sender waits for, otherwise anything.
///
/// A byte for its shape, one for the code, then what the shape asks for, then the payload. Bits of the shape: 0 and 1 say
/// how it travels, 2 takes an Observe option, 3 a Block2, 4 a Location-Path, 5 another token, 6 leaves out what is echoed of
/// a block-wise request, 7 makes it empty.
pub(crate) fn answer(script: &mut Script<'_>, request: &Message) -> Message {
    let shape = script.byte();
    if shape & 0x80 != 0 {
        let kind = if shape & 1 == 0 {
            Type::Acknowledgement
        } else {
            Type::Reset
        };
        return Message::new(kind, Code::EMPTY, request.id);
    }
    let code = code(script);
    let mut answer = match shape & 3 {
        0 | 1 => Message::new(Type::Acknowledgement, code, request.id),
        travels => head(script, travels & 1, code),
    };
    answer.token = request.token;
    if shape & 0x20 != 0 {
        answer.token = Token::new(&script.bytes::<3>()).unwrap_or_default();
    }
    if shape & 4 != 0 {
        let observe = u32::from(script.number());
        answer.options.push_uint(number::OBSERVE, observe);
    }
    if shape & 8 != 0 {
        let block = u32::from(script.number());
        answer.options.push_uint(number::BLOCK2, block);
    }
    if shape & 16 != 0 {
        let located = path(script);
        for id in located.segments() {
            let segment = id.to_string();
            answer
                .options
                .push(number::LOCATION_PATH, segment.as_bytes());
        }
    }
    if shape & 64 == 0
        && let Some(block) = request.options.first(number::BLOCK1)
    {
        answer.options.push(number::BLOCK1, block);
    }
    if let Some(format) = format(script) {
        let format = u32::from(format.0);
        answer.options.push_uint(number::CONTENT_FORMAT, format);
    }
    answer.payload = payload(script, asked_path(request));
    answer
}

/// A notification of what was observed by a request.
pub(crate) fn notification(script: &mut Script<'_>, request: &Message) -> Message {
    let shape = script.byte();
    let code = code(script);
    let mut notification = head(script, shape & 1, code);
    notification.token = request.token;
    if shape & 2 == 0 {
        let observe = u32::from(script.number());
        notification.options.push_uint(number::OBSERVE, observe);
    }
    if let Some(format) = format(script) {
        let format = u32::from(format.0);
        notification
            .options
            .push_uint(number::CONTENT_FORMAT, format);
    }
    notification.payload = payload(script, asked_path(request));
    notification
}

/// A request for `path`: a shape of which bit 0 is the reliability, 1 wants a Content-Format, 2 an Accept, 3 an Observe and
/// 4 a Block1; an id, a byte of token, and the rest.
pub(crate) fn request(script: &mut Script<'_>, method: Code, path: &[String]) -> Message {
    let shape = script.byte();
    let mut request = head(script, shape & 1, method);
    request.token = Token::new(&script.bytes::<1>()).unwrap_or_default();
    for segment in path {
        request.options.push(number::URI_PATH, segment.as_bytes());
    }
    for (bit, option) in [(2, number::CONTENT_FORMAT), (4, number::ACCEPT)] {
        if shape & bit != 0
            && let Some(format) = format(script)
        {
            request.options.push_uint(option, u32::from(format.0));
        }
    }
    for (bit, option) in [(8, number::OBSERVE), (16, number::BLOCK1)] {
        if shape & bit != 0 {
            request.options.push_uint(option, u32::from(script.byte()));
        }
    }
    request
}
