//! CoAP over TCP: frames, and a connection.

use coap::reliable::{CloseReason, Config, Connection, Output, decode, encode, encoded_len};
use coap::{Code, Message, MessageId, Type};

use crate::dtls_rig::start;
use crate::script::Script;

/// Small, so that the bounds are met.
const MAX_MESSAGE: usize = 1152;
const MAX_OUTPUT: usize = 4096;

fn connection() -> Connection {
    let config = Config {
        max_message_size: MAX_MESSAGE,
        max_output: MAX_OUTPUT,
        ..Config::default()
    };
    Connection::new(start(), config)
}

/// What comes of bytes that arrive in pieces of these sizes, over and over.
fn receive(bytes: &[u8], sizes: &[u8]) -> (Vec<Output>, Vec<u8>) {
    let (mut connection, mut outputs, mut rest) = (connection(), Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(*size) + 1));
        connection.handle_bytes(start(), piece);
        while let Some(output) = connection.poll_output() {
            outputs.push(output);
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let transmitted = connection.poll_transmit().unwrap_or_default();
    // What is queued last may go beyond the bound: an Abort, with a diagnostic of ours.
    assert!(transmitted.len() <= MAX_OUTPUT + MAX_MESSAGE);
    (outputs, transmitted)
}

/// Whether the device has announced the end: what arrives together with that is still taken, what comes later is not.
fn is_released(outputs: &[Output]) -> bool {
    let released = |output: &Output| matches!(output, Output::Closed(CloseReason::Released { .. }));
    outputs.iter().any(released)
}

/// Frames are written as they were read, and it does not matter how a stream is cut.
pub fn run(data: &[u8]) {
    if let Ok(Some((message, length))) = decode(data, MAX_MESSAGE) {
        assert!(length <= data.len() && length <= MAX_MESSAGE);
        let mut encoded = Vec::new();
        encode(&message, &mut encoded);
        assert_eq!(encoded.len(), encoded_len(&message));
        assert_eq!(
            decode(&encoded, usize::MAX),
            Ok(Some((message, encoded.len())))
        );
    }
    let mut script = Script::new(data);
    let sizes: [u8; 4] = script.bytes();
    let bytes = script.rest();
    let whole = receive(bytes, &[u8::MAX]);
    let cut = receive(bytes, &sizes);
    if is_released(&cut.0) || is_released(&whole.0) {
        let before = cut.0.len().min(whole.0.len()) - 1;
        assert_eq!(cut.0[..before], whole.0[..before]);
    } else {
        assert_eq!(cut, whole);
    }
    let closed = whole.0.iter().filter(|it| matches!(it, Output::Closed(_)));
    assert!(closed.count() <= 1);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let message = |code: u8, payload: &[u8]| {
        let mut message = Message::new(Type::NonConfirmable, Code::from_byte(code), MessageId(0));
        message.payload = payload.to_vec();
        let mut bytes = Vec::new();
        encode(&message, &mut bytes);
        bytes
    };
    // Settings, a request, a ping, a release, an abort.
    let [settings, get, ping, release, abort] =
        [(0xe1, ""), (1, "x"), (0xe2, ""), (0xe4, ""), (0xe5, "why")]
            .map(|(code, payload)| message(code, payload.as_bytes()));
    let long = message(2, &[b'y'; 400]);
    vec![
        [&[0, 1, 2, 3], &settings[..], &get, &ping, &release].concat(),
        [&[9, 0, 0, 0], &settings[..], &long, &abort].concat(),
        [&[0; 4], &get[..]].concat(),
        get,
        long,
    ]
}
