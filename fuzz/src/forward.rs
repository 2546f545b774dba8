//! What comes to the forwarding port.

use aws_lc_rs::hmac;
use forward::{Channel, Direction, Forwarded, Key, Opener, Refusal, Seal, WorkerId};

use crate::script::{Script, secret};

const HERE: WorkerId = WorkerId { node: 1, worker: 0 };
const THERE: WorkerId = WorkerId { node: 2, worker: 1 };
const TAG: usize = 16;

/// Without the key nothing opens. With it, arbitrary content does no harm, and nothing opens twice.
pub fn run(data: &[u8]) {
    let cluster = secret(data);
    let key = Key::derive(&cluster);
    let mut opener = Opener::new(&key, HERE);
    let mut script = Script::new(data);
    match script.byte() % 3 {
        0 => assert!(opener.open(script.rest()).is_err(), "a forgery opens"),
        1 => arbitrary(&cluster, &mut opener, script.rest()),
        _ => structured(&key, &mut opener, &mut script),
    }
}

/// As from a member that has gone mad.
fn arbitrary(cluster: &[u8; 32], opener: &mut Opener, content: &[u8]) {
    let bytes = [content, &tag(cluster, content)].concat();
    match opener.open(&bytes) {
        Ok((_, forwarded)) => {
            assert!(content.ends_with(forwarded.datagram));
            assert!(bytes.len() - forwarded.datagram.len() <= forward::OVERHEAD);
            assert_eq!(opener.open(&bytes), Err(Refusal::Replayed));
        }
        Err(reason) => assert_ne!(reason, Refusal::Unauthentic),
    }
}

/// What one node packs another unpacks, unless a byte is changed.
fn structured(key: &Key, opener: &mut Opener, script: &mut Script<'_>) {
    let mut seal = Seal::new(key, THERE);
    while !script.is_over() {
        let flags = script.byte();
        let client = if flags & 4 == 0 {
            (script.bytes::<4>(), script.number()).into()
        } else {
            (script.bytes::<16>(), script.number()).into()
        };
        let entry = WorkerId {
            node: u64::from_be_bytes(script.bytes()),
            worker: script.byte(),
        };
        let sent = Forwarded {
            direction: if flags & 1 == 0 {
                Direction::In
            } else {
                Direction::Out
            },
            channel: if flags & 2 == 0 {
                Channel::Plain
            } else {
                Channel::Secured
            },
            hops: script.byte(),
            entry,
            client,
            datagram: script.chunk(),
        };
        let mut packed = seal.pack(HERE, &sent);
        if script.damage(&mut packed) {
            assert!(opener.open(&packed).is_err());
        } else {
            assert_eq!(opener.open(&packed), Ok((THERE, sent)));
            assert!(opener.open(&packed).is_err());
        }
    }
}

/// As `forward::Key` has it, which does not give tags of arbitrary content away.
fn tag(cluster: &[u8; 32], content: &[u8]) -> [u8; TAG] {
    let root = hmac::Key::new(hmac::HMAC_SHA256, cluster);
    let derived = hmac::sign(&root, b"drover forward mac 1");
    let mac = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hmac::sign(&mac, content).as_ref()[..TAG]);
    tag
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seal = Seal::new(&Key::derive(&[7; 32]), THERE);
    let mut packed = |client: &str| {
        let sent = Forwarded {
            direction: Direction::In,
            channel: Channel::Secured,
            hops: 1,
            entry: THERE,
            client: client.parse().expect("an address"),
            datagram: b"record",
        };
        seal.pack(HERE, &sent)
    };
    let (four, six) = (packed("192.0.2.1:5684"), packed("[2001:db8::1]:5684"));
    let content = |packed: &[u8]| [&[1], &packed[..packed.len() - TAG]].concat();
    let structured = [
        &[2, 0, 192, 0, 2, 1, 0x16, 0x34][..],
        &[0; 9],
        &[1, 0, 1, b'x', 0],
    ]
    .concat();
    vec![
        [&[0], &four[..]].concat(),
        content(&four),
        content(&six),
        structured,
    ]
}
