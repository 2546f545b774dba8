//! A handshake whose client owns its address and says whatever it likes.

use crate::dtls_messages::{Messages, STEPS, as_steps};
use crate::dtls_rig::{MAX_HANDSHAKES, Rig, address, client, client_config, next};
use crate::script::{Script, put_chunk, secret};

const CLIENT_HELLO: u8 = 1;
/// Of a message in a record.
const HEADERS: usize = 13 + 12;

/// The parts of a hello that the fuzzer chooses.
struct Hello<'a> {
    session: &'a [u8],
    suites: &'a [u8],
    compression: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Hello<'a> {
    fn read(script: &mut Script<'a>) -> Self {
        Self {
            session: script.chunk(),
            suites: script.chunk(),
            compression: script.chunk(),
            extensions: script.chunk(),
        }
    }

    fn body(&self, cookie: &[u8]) -> Vec<u8> {
        let mut body = vec![0xFE, 0xFD];
        body.extend([7; 32]);
        for short in [self.session, cookie] {
            body.push(short.len() as u8);
            body.extend_from_slice(short);
        }
        put_chunk(&mut body, self.suites);
        body.push(self.compression.len() as u8);
        body.extend_from_slice(self.compression);
        put_chunk(&mut body, self.extensions);
        body
    }
}

/// Before the cookie nothing is kept and answers are smaller than questions. After it, what is kept is bounded, and
/// without the key there is never a session.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut rig = Rig::new(secret(data));
    let (mut messages, from) = (Messages::starting_at(0), address(0));
    let hello = Hello::read(&mut script);
    let first = messages.message(CLIENT_HELLO, &hello.body(&[]));
    rig.receive(from, &first);
    assert!(rig.bytes_out <= first.len());
    assert_eq!(rig.server.handshake_count(), 0);
    let Some((_, answer)) = rig.sent.pop() else {
        return;
    };
    // RFC 6347 §4.2.1: a version, then the cookie with a byte of length.
    let cookie = answer.get(HEADERS + 3..).unwrap_or_default().to_vec();
    rig.receive(from, &messages.message(CLIENT_HELLO, &hello.body(&cookie)));
    while !script.is_over() {
        let step = script.byte();
        match step % (STEPS + 2) {
            kind if kind < STEPS => {
                let datagram = messages.step(kind, &mut script);
                rig.receive(from, &datagram);
            }
            STEPS => rig.pass(),
            _ => {
                // From another port: another cookie, which is not known here.
                let hello = messages.message(CLIENT_HELLO, &hello.body(&cookie));
                rig.receive(address(step >> 7), &hello);
            }
        }
        assert!(rig.server.handshake_count() <= MAX_HANDSHAKES);
        assert!(rig.sent.len() <= 32, "a flight, a few times over");
        assert_eq!((rig.server.session_count(), rig.stored), (0, 0));
        rig.sent.clear();
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    (0..9).map(|choice| seed(choice / 3, choice % 3)).collect()
}

/// What a real client says to a server that answers it.
fn seed(kind: u8, cid: u8) -> Vec<u8> {
    let (mut rig, from) = (Rig::new([0; 32]), address(0));
    let mut client = client(client_config(kind, cid), [0; 32]);
    client.start(rig.now);
    let hello = next(&mut client);
    let mut out = hello_chunks(&hello);
    rig.receive(from, &hello);
    for _ in 0..2 {
        for (_, mut datagram) in std::mem::take(&mut rig.sent) {
            client.handle_datagram(rig.now, &mut datagram);
        }
        let mut flight = Vec::new();
        while let Some(datagram) = Some(next(&mut client)).filter(|it| !it.is_empty()) {
            rig.receive(from, &datagram);
            flight.push(datagram);
        }
        // The second hello is sent by the target.
        if flight.len() != 1 || rig.stored > 0 {
            as_steps(&flight, &mut out);
        }
    }
    out
}

fn hello_chunks(datagram: &[u8]) -> Vec<u8> {
    let body = datagram.get(HEADERS + 34..).unwrap_or_default();
    let (mut rest, mut out) = (body, Vec::new());
    for (index, width) in [1, 1, 2, 1, 2].into_iter().enumerate() {
        let (length, after) = rest.split_at_checked(width).unwrap_or_default();
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (part, after) = after.split_at_checked(length).unwrap_or_default();
        rest = after;
        // All but the cookie.
        if index != 1 {
            put_chunk(&mut out, part);
        }
    }
    out
}
