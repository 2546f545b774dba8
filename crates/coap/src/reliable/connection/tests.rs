#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time has to start somewhere"
)]

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::error::DecodeError;
use crate::message::{Code, MessageId, Type};
use crate::reliable::FrameError;

const PING: Code = Code::from_byte(0xe2);
const PONG: Code = Code::from_byte(0xe3);
const RELEASE: Code = Code::from_byte(0xe4);
const ABORT: Code = Code::from_byte(0xe5);

/// One connection under test; the test plays the peer.
struct Rig {
    now: Instant,
    connection: Connection,
}

impl Rig {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let connection = Connection::new(now, config);
        Self { now, connection }
    }

    /// A connection on which both CSM have passed.
    fn open() -> Self {
        Self::open_with(Config::default())
    }

    fn open_with(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.sent();
        rig.receive(&signal::settings(4096));
        let ready = Output::Ready(Capabilities {
            max_message_size: 4096,
            bert: true,
        });
        assert_eq!(rig.outputs(), [ready]);
        rig
    }

    fn receive(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        frame::encode(message, &mut bytes);
        self.connection.handle_bytes(self.now, &bytes);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.connection.poll_output()).collect()
    }

    fn sent(&mut self) -> Vec<Message> {
        let (bytes, mut sent) = (
            self.connection.poll_transmit().unwrap_or_default(),
            Vec::new(),
        );
        let mut rest = &bytes[..];
        while let Some((message, len)) = frame::decode(rest, usize::MAX).unwrap() {
            sent.push(message);
            rest = &rest[len..];
        }
        sent
    }

    fn advance(&mut self, duration: Duration) {
        self.now += duration;
        self.connection.handle_timeout(self.now);
    }

    /// Takes a message that is the end of the connection; returns the code of the last word.
    fn dies_of(&mut self, message: &Message) -> (Option<Message>, CloseReason) {
        self.receive(message);
        let reason = match self.outputs().pop() {
            Some(Output::Closed(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(self.connection.poll_timeout(), None);
        (self.sent().pop(), reason)
    }
}

fn message(code: Code, token: u8) -> Message {
    let mut message = Message::new(Type::NonConfirmable, code, MessageId(0));
    message.token = Token::new(&[token]).unwrap();
    message
}

fn with_option(code: Code, option: u16) -> Message {
    let mut message = message(code, 1);
    message.options.push(option, &[]);
    message
}

#[test]
fn the_csm_comes_first_in_both_directions() {
    let mut rig = Rig::new(Config::default());
    assert_eq!(rig.sent(), [signal::settings(16 * 1024 + 1152)]);
    // RFC 8323 §5.3: without options, the base values hold.
    rig.receive(&Message::new(
        Type::NonConfirmable,
        Code::from_byte(0xe1),
        MessageId(0),
    ));
    rig.receive(&message(Code::GET, 1));
    assert_eq!(
        rig.outputs(),
        [
            Output::Ready(Capabilities::default()),
            Output::Message(message(Code::GET, 1))
        ]
    );

    for first in [message(Code::GET, 1), message(PING, 1)] {
        let (last, reason) = Rig::new(Config::default()).dies_of(&first);
        assert_eq!(
            (last.unwrap().code, reason),
            (ABORT, CloseReason::NoSettings)
        );
    }
    let mut late = Rig::new(Config::default());
    late.advance(Duration::from_secs(10));
    assert_eq!(late.outputs(), [Output::Closed(CloseReason::NoSettings)]);
    assert_eq!(late.sent().pop().unwrap().code, ABORT);
}

#[test]
fn a_later_csm_replaces_what_it_names() {
    let mut rig = Rig::open();
    let mut settings = Message::new(Type::NonConfirmable, Code::from_byte(0xe1), MessageId(0));
    settings.options.push_uint(2, 1152);
    rig.receive(&settings);
    assert_eq!(rig.outputs(), [Output::Ready(Capabilities::default())]);
    rig.receive(&signal::settings(1 << 30));
    // More than we would take ourselves is not sent either.
    let ours = Config::default().max_message_size;
    assert_eq!(
        rig.outputs(),
        [Output::Ready(Capabilities {
            max_message_size: ours,
            bert: true
        })]
    );
}

#[test]
fn a_ping_is_answered_with_custody_once_everything_is() {
    let mut rig = Rig::open();
    rig.receive(&message(PING, 7));
    rig.receive(&with_option(PING, 2));
    rig.receive(&message(Code::GET, 9));
    rig.receive(&with_option(PING, 2));
    assert_eq!(rig.outputs().len(), 1);
    rig.connection
        .send(&message(Code::CONTENT_2_05, 9))
        .unwrap();
    rig.receive(&with_option(PING, 2));
    assert_eq!(rig.outputs(), []);
    assert_eq!(
        rig.sent(),
        [
            message(PONG, 7),
            with_option(PONG, 2),
            message(PONG, 1),
            message(Code::CONTENT_2_05, 9),
            with_option(PONG, 2),
        ]
    );
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let config = Config {
        keepalive: Some(Duration::from_secs(60)),
        ..Config::default()
    };
    let mut rig = Rig::open_with(config);
    rig.advance(Duration::from_secs(60));
    assert_eq!(rig.sent(), [signal::ping()]);
    rig.receive(&message(PONG, 0));
    rig.advance(Duration::from_secs(59));
    assert_eq!((rig.sent(), rig.outputs()), (Vec::new(), Vec::new()));
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.sent(), [signal::ping()]);
    rig.advance(Duration::from_secs(30));
    assert_eq!(rig.outputs(), [Output::Closed(CloseReason::Unresponsive)]);

    let mut idle = Rig::open();
    assert_eq!(
        idle.connection.poll_timeout(),
        Some(idle.now + Duration::from_secs(24 * 3600))
    );
    idle.advance(Duration::from_secs(24 * 3600));
    assert_eq!(idle.outputs(), [Output::Closed(CloseReason::Idle)]);
    assert_eq!(idle.sent(), [signal::release()]);
}

#[test]
fn a_release_waits_for_the_answers_that_are_owed() {
    let mut rig = Rig::open();
    rig.receive(&message(Code::GET, 1));
    let mut release = message(RELEASE, 0);
    release.options.push_uint(4, 30);
    rig.receive(&release);
    assert_eq!(rig.outputs(), [Output::Message(message(Code::GET, 1))]);
    rig.connection
        .send(&message(Code::CONTENT_2_05, 1))
        .unwrap();
    let hold_off = Some(Duration::from_secs(30));
    assert_eq!(
        rig.outputs(),
        [Output::Closed(CloseReason::Released { hold_off })]
    );
    assert_eq!(rig.sent(), [message(Code::CONTENT_2_05, 1)]);

    let mut abandoned = Rig::open();
    abandoned.receive(&message(Code::GET, 1));
    abandoned.receive(&message(RELEASE, 0));
    assert_eq!(abandoned.outputs().len(), 1);
    abandoned.advance(Duration::from_secs(5));
    let reason = CloseReason::Released { hold_off: None };
    assert_eq!(abandoned.outputs(), [Output::Closed(reason)]);
}

#[test]
fn our_release_lets_the_peer_finish() {
    let mut rig = Rig::open();
    rig.connection.release(rig.now);
    rig.connection.release(rig.now);
    assert_eq!(rig.sent(), [signal::release()]);
    rig.receive(&message(Code::CONTENT_2_05, 1));
    assert_eq!(rig.outputs().len(), 1);
    rig.connection.handle_end();
    assert_eq!(rig.outputs(), [Output::Closed(CloseReason::Ended)]);
    assert_eq!(
        rig.connection.send(&message(Code::GET, 1)),
        Err(NotSent::Closed)
    );
}

#[test]
fn what_breaks_the_rules_is_aborted() {
    let (last, reason) = Rig::open().dies_of(&with_option(Code::from_byte(0xe1), 3));
    let last = last.unwrap();
    assert_eq!(reason, CloseReason::UnknownOption(3));
    // RFC 8323 §5.6: Bad-CSM-Option names it.
    assert_eq!(last.options.first(2), Some(&[3][..]));
    assert_eq!(last.payload, b"unknown critical option 3");

    let (last, reason) = Rig::open().dies_of(&with_option(PING, 5));
    assert_eq!(reason, CloseReason::UnknownOption(5));
    assert_eq!(last.unwrap().options.first(2), None);

    let mut rig = Rig::open();
    rig.connection
        .handle_bytes(rig.now, &[0x10, 0x01, 0xff, 0x00, 0x01]);
    let error = FrameError::Content(DecodeError::EmptyPayload);
    assert_eq!(
        rig.outputs(),
        [Output::Closed(CloseReason::Malformed(error))]
    );
    assert_eq!(rig.sent().pop().unwrap().code, ABORT);

    let mut abort = message(ABORT, 0);
    abort.payload = b"no".to_vec();
    let (last, reason) = Rig::open().dies_of(&abort);
    let diagnostic = "no".to_owned();
    assert_eq!((last, reason), (None, CloseReason::Aborted { diagnostic }));
}

#[test]
fn unknown_signals_and_empty_messages_are_ignored() {
    let mut rig = Rig::open();
    rig.receive(&message(Code::EMPTY, 0));
    rig.receive(&message(Code::from_byte(0xe9), 0));
    assert_eq!((rig.outputs(), rig.sent()), (Vec::new(), Vec::new()));
}

#[test]
fn messages_respect_the_size_which_the_peer_takes() {
    let mut rig = Rig::open();
    let mut large = message(Code::CONTENT_2_05, 1);
    large.payload = vec![0; 4096];
    assert_eq!(rig.connection.send(&large), Err(NotSent::TooLarge));
    large.payload.truncate(4096 - 6);
    assert_eq!(rig.connection.send(&large), Ok(()));
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut rig = Rig::open();
    let mut large = message(Code::CONTENT_2_05, 1);
    large.payload = vec![0; 4000];
    let taken = (0..100)
        .take_while(|_| rig.connection.send(&large).is_ok())
        .count();
    assert_eq!(taken, 128 * 1024 / 4006);
    assert_eq!(rig.outputs(), [Output::Closed(CloseReason::Overflow)]);
    assert_eq!(rig.sent(), []);
}

proptest! {
    #[test]
    fn chunks_do_not_matter(
        payloads in vec(0..3000_usize, 1..6),
        chunks in vec(1..700_usize, 1..20),
    ) {
        let mut stream = Vec::new();
        let requests: Vec<_> = payloads.iter().zip(0..).map(|(len, token)| {
            let mut request = message(Code::POST, token);
            request.payload = vec![token; *len];
            frame::encode(&request, &mut stream);
            Output::Message(request)
        }).collect();
        let mut rig = Rig::open();
        let (mut rest, mut outputs) = (&stream[..], Vec::new());
        for chunk in chunks.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*chunk).min(rest.len()));
            rig.connection.handle_bytes(rig.now, now);
            outputs.extend(rig.outputs());
            rest = later;
        }
        prop_assert_eq!(outputs, requests);
        prop_assert_eq!(rig.connection.input.capacity(), 0);
    }

    #[test]
    fn hostile_bytes_are_bounded(chunks in vec(vec(any::<u8>(), 0..600), 0..40)) {
        let config = Config { max_message_size: 1152, max_output: 2000, ..Config::default() };
        let mut rig = Rig::new(config);
        rig.receive(&signal::settings(2000));
        for chunk in &chunks {
            rig.connection.handle_bytes(rig.now, chunk);
            while rig.connection.poll_output().is_some() {}
            prop_assert!(rig.connection.input.len() <= 1152);
            prop_assert!(rig.connection.output.len() <= 2000 + 300);
        }
    }
}
