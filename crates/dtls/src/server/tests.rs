#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to start from"
)]

use super::*;
use crate::cid::CidPair;
use crate::extension::Extensions;
use crate::handshake::client_hello::Offer;
use crate::protection::Outgoing;
use crate::protection::{RecordKeys, Role};
use crate::record::{EPOCH_PROTECTED, split_first};
use crate::suite::CipherSuite;
use replay::ReplayWindow;

fn export(cid: Option<[u8; 8]>) -> SessionExport {
    let suite = CipherSuite::PskAes128Ccm8;
    SessionExport {
        suite,
        generation: 0,
        peer: "192.0.2.1:5684".parse().unwrap(),
        identity: PeerIdentity::Psk(b"urn:dev:1"[..].into()),
        cids: cid.map(|bytes| CidPair {
            server: ConnectionId::from_bytes(&bytes).unwrap(),
            client: Box::default(),
        }),
        window: ReplayWindow::default(),
        keys: RecordKeys::from_key_block(suite, Role::Server, &[7; 40]).unwrap(),
    }
}

fn server(config: Config) -> Server {
    Server::new(config, &CookieSecret::new([1; 32]), [2; 32])
}

#[test]
fn a_session_whose_numbers_are_used_up_is_closed() {
    let mut server = server(Config::default());
    let id = server.import(Instant::now(), export(None), 1).unwrap();
    server.sessions.get_mut(id).unwrap().write.skip_to_the_end();
    assert_eq!(server.send(id, b"x"), Err(SendError::SequenceExhausted));
    assert!(matches!(
        server.poll_output(),
        Some(Output::Closed {
            reason: CloseReason::SequenceExhausted,
            ..
        })
    ));
    assert_eq!(server.send(id, b"x"), Err(SendError::NoSession));
}

#[test]
fn an_idle_session_takes_less_than_300_bytes() {
    let identity = b"urn:dev:ops:00000000000000001".len();
    // The indices hold four bytes and one control byte at a load of at least 7/16.
    let index = 5 * 16 / 7 + 1;
    let bytes = size_of::<Session>() + 8 + identity + index;
    assert!(bytes <= 300, "{bytes}");
}

#[test]
fn import_guards_generation_presence_and_limit() {
    let now = Instant::now();
    let mut server = server(Config {
        max_sessions: 2,
        ..Config::default()
    });
    let stale = server.import(now, export(None), 0);
    assert!(matches!(stale, Err(ImportError::StaleGeneration { .. })));
    let id = server.import(now, export(None), 1).unwrap();
    assert_eq!(
        server.import(now, export(None), 2),
        Err(ImportError::AlreadyPresent(id))
    );
    let cid = [1, 0, 0, 1, 2, 3, 4, 5];
    let with_cid = server.import(now, export(Some(cid)), 1).unwrap();
    assert_eq!(
        server.import(now, export(Some(cid)), 2),
        Err(ImportError::AlreadyPresent(with_cid))
    );
    let other = [1, 0, 0, 5, 4, 3, 2, 1];
    assert_eq!(
        server.import(now, export(Some(other)), 1),
        Err(ImportError::TableFull)
    );
    assert_eq!(server.release(with_cid).unwrap().generation, 1);
    assert!(server.import(now, export(Some(other)), 1).is_ok());
    assert_eq!(server.generation(id), Some(1));
}

#[test]
fn sessions_that_stay_silent_are_forgotten() {
    let start = Instant::now();
    let idle = Duration::from_mins(10);
    let mut server = server(Config {
        session_idle: Some(idle),
        ..Config::default()
    });
    for i in 0..200 {
        let cid = [1, 0, 0, 0, 0, 0, 0, i];
        server.import(start, export(Some(cid)), 1).unwrap();
    }
    while let Some(due) = server.poll_timeout() {
        server.handle_timeout(due);
        let elapsed = due - start;
        assert!(elapsed >= idle || server.session_count() == 200);
        assert!(elapsed < idle + Duration::from_mins(2));
    }
    assert_eq!(server.session_count(), 0);
    let mut closed = 0;
    while let Some(output) = server.poll_output() {
        assert!(matches!(
            output,
            Output::Closed {
                reason: CloseReason::Idle,
                ..
            }
        ));
        closed += 1;
    }
    assert_eq!(closed, 200);
}

#[test]
fn renegotiation_is_refused_with_an_authenticated_warning() {
    let mut server = server(Config::default());
    let original = export(Some([1, 0, 0, 1, 2, 3, 4, 5]));
    let (peer, cid) = (original.peer, original.cid().unwrap());
    let now = Instant::now();
    let id = server.import(now, original, 1).unwrap();
    let client =
        RecordKeys::from_key_block(CipherSuite::PskAes128Ccm8, Role::Client, &[7; 40]).unwrap();
    let hello = Offer {
        random: &[3; 32],
        session_id: &[],
        cookie: &[],
        suites: CipherSuite::ALL,
        extensions: Extensions::default(),
    };
    let mut record = Vec::new();
    let outgoing = Outgoing {
        content_type: ContentType::Handshake,
        epoch: EPOCH_PROTECTED,
        sequence: 9,
        cid: cid.as_bytes(),
    };
    client.seal(outgoing, &hello.encode(0), &mut record);
    server.handle_datagram(now, peer, &mut record);
    let Some(Output::Transmit { mut datagram, .. }) = server.poll_output() else {
        panic!("no answer");
    };
    let (record, _) = split_first(&mut datagram, 0).unwrap();
    let opened = client.open(record).unwrap();
    assert_eq!(opened.content_type, ContentType::Alert);
    assert_eq!(opened.content, [1, 100]);
    assert!(server.poll_output().is_none());
    assert_eq!(server.counters().renegotiations_refused, 1);
    assert_eq!(server.handshake_count(), 0);
    assert!(server.send(id, b"still here").is_ok());
}
