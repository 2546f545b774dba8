use std::collections::HashMap;
use std::time::{Duration, Instant};

use coap::{
    BlockSize, Code, Config, Endpoint, Event, Failure, Message, MessageId, Output, Reliability,
    Request, SendError, Token, Type, decode, number,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::rig::{PEER, Rig, ack, con, content, empty, get, pattern, with_block};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn seventy_thousand_reads_of_one_device_never_reuse_a_message_id() {
    let mut rig = Rig::new();
    let mut used = HashMap::new();
    let mut longest = Duration::ZERO;
    let mut answered = 0;
    while answered < 70_000 {
        rig.now += Duration::from_millis(1);
        match rig
            .endpoint
            .send_request(rig.now, PEER, Request::new(Code::GET, ["3"]))
        {
            Ok(_) => {
                let request = rig.one_sent();
                if let Some(before) = used.insert(request.id, rig.now) {
                    assert!(rig.now - before >= SECOND * 247);
                }
                rig.receive(&ack(&request, Code::CONTENT_2_05));
                rig.one_response();
                answered += 1;
            }
            Err(SendError::OutOfMessageIds { retry_after }) => {
                longest = longest.max(retry_after);
                rig.advance(retry_after);
            }
            Err(other) => panic!("{other}"),
        }
    }
    // It was held back, and never for so long that the device would look dead.
    assert!(
        longest > Duration::ZERO && longest < SECOND / 10,
        "{longest:?}"
    );
}

#[test]
fn a_peer_without_activity_costs_no_memory() {
    let mut rig = Rig::new();
    for peer in 0..200 {
        rig.endpoint
            .handle_datagram(rig.now, peer, &get(5, "3").to_datagram());
        if let [Event::Request { exchange, .. }] = rig.events()[..] {
            rig.respond(exchange, content(b"x"));
        }
        rig.endpoint
            .send_request(rig.now, peer, Request::new(Code::GET, ["3"]))
            .unwrap();
        rig.advance(Duration::from_millis(10));
    }
    assert_eq!(
        (rig.endpoint.peer_count(), rig.endpoint.remembered_count()),
        (200, 200)
    );
    rig.advance(SECOND * 500);
    assert_eq!(
        (rig.endpoint.peer_count(), rig.endpoint.remembered_count()),
        (0, 0)
    );
    assert_eq!(rig.endpoint.poll_timeout(), None);
}

#[test]
fn forgetting_a_peer_fails_what_it_has_open_and_keeps_the_others() {
    let mut rig = Rig::new();
    rig.receive(&get(5, "3"));
    let (served, _) = rig.one_request();
    let sent = rig.send(Request::new(Code::GET, ["a"]));
    let queued = rig.send(Request::new(Code::GET, ["b"]));
    let other = rig
        .endpoint
        .send_request(rig.now, 2, Request::new(Code::GET, ["c"]))
        .unwrap();
    rig.sent();
    rig.endpoint.forget_peer(PEER);
    let reason = Failure::PeerGone;
    assert_eq!(
        rig.events(),
        [sent, queued].map(|exchange| Event::Failed {
            peer: PEER,
            exchange,
            reason
        })
    );
    rig.respond(served, content(b"x"));
    assert_eq!(rig.sent(), []);
    assert_eq!(
        (rig.endpoint.peer_count(), rig.endpoint.exchange_count()),
        (1, 1)
    );
    // The same key is a new peer.
    rig.receive(&get(5, "3"));
    rig.one_request();
    rig.advance(SECOND * 93);
    let reason = Failure::Timeout;
    assert!(rig.events().contains(&Event::Failed {
        peer: 2,
        exchange: other,
        reason
    }));
}

#[test]
fn requests_beyond_the_bounds_are_refused_with_a_time_to_come_back() {
    let mut rig = Rig::with(Config {
        max_requests_per_peer: 2,
        max_peers: 1,
        ..Config::default()
    });
    for id in 0..3 {
        rig.receive(&get(id, "3"));
    }
    assert_eq!(rig.events().len(), 2);
    let refusal = rig.one_sent();
    assert_eq!(refusal.code, Code::SERVICE_UNAVAILABLE_5_03);
    assert!(refusal.options.first(number::MAX_AGE).is_some());
    rig.endpoint
        .handle_datagram(rig.now, 2, &get(9, "3").to_datagram());
    assert_eq!(rig.one_sent().code, Code::SERVICE_UNAVAILABLE_5_03);
    assert_eq!(rig.endpoint.peer_count(), 1);
    let refused = rig
        .endpoint
        .send_request(rig.now, 2, Request::new(Code::GET, ["3"]));
    assert_eq!(refused, Err(SendError::Overloaded));
}

#[test]
fn deduplication_memory_is_bounded() {
    let mut rig = Rig::with(Config {
        max_remembered: 10,
        ..Config::default()
    });
    for id in 0..50 {
        rig.receive(&get(id, "3"));
        let (exchange, _) = rig.one_request();
        rig.respond(exchange, content(b"x"));
        rig.events();
    }
    assert_eq!(rig.endpoint.remembered_count(), 10);
    assert_eq!(rig.endpoint.counters().forgotten_early, 40);
}

#[test]
fn unfinished_uploads_are_bounded_and_expire() {
    let config = Config {
        max_body_bytes: 2048,
        ..Config::default()
    };
    let mut rig = Rig::with(config);
    let block = |id: u16, path: &str| {
        let mut message = con(Code::PUT, id);
        message.options.push(number::URI_PATH, path.as_bytes());
        message.payload = pattern(1024);
        with_block(message, number::BLOCK1, (0, 1, 1024))
    };
    let codes: Vec<_> = ["a", "b", "c"]
        .iter()
        .zip(1..)
        .map(|(path, id)| {
            rig.receive(&block(id, path));
            rig.one_sent().code
        })
        .collect();
    let (more, full) = (Code::CONTINUE_2_31, Code::SERVICE_UNAVAILABLE_5_03);
    assert_eq!(codes, [more, more, full]);
    assert_eq!(rig.endpoint.body_bytes(), 2048);
    rig.advance(SECOND * 248);
    assert_eq!(rig.endpoint.body_bytes(), 0);
}

#[test]
fn too_long_options_and_tokens_in_use_are_the_callers_errors() {
    let mut rig = Rig::new();
    let long = Request::new(Code::GET, ["x".repeat(256)]);
    assert_eq!(
        rig.endpoint.send_request(rig.now, PEER, long),
        Err(SendError::TooLarge)
    );
    let token = Token::new(&[1, 2]);
    let request = Request {
        token,
        ..Request::new(Code::GET, ["3"])
    };
    rig.send(request.clone());
    assert_eq!(
        rig.endpoint.send_request(rig.now, PEER, request),
        Err(SendError::TokenInUse)
    );
}

fn hostile_datagram() -> impl Strategy<Value = Vec<u8>> {
    let options = vec(
        (
            prop_oneof![
                Just(6_u16),
                Just(23),
                Just(27),
                Just(4),
                Just(60),
                0_u16..70
            ],
            vec(any::<u8>(), 0..4),
        ),
        0..5,
    );
    let shaped = (
        0_u8..4,
        any::<u8>(),
        0_u16..8,
        0_u8..6,
        options,
        0_usize..40,
        any::<u8>(),
    );
    let shaped = shaped.prop_map(|(kind, code, id, token, options, len, fill)| {
        let kind = [
            Type::Confirmable,
            Type::NonConfirmable,
            Type::Acknowledgement,
            Type::Reset,
        ][usize::from(kind)];
        // Mostly codes that are in use.
        let code = [
            0, 1, 2, 3, 5, 0x41, 0x44, 0x45, 0x5f, 0x84, 0x88, 0x8d, code,
        ][usize::from(code) % 13];
        let mut message = Message::new(kind, Code::from_byte(code), MessageId(id));
        if code != 0 {
            message.token = Token::new(&[token][..usize::from(token.min(1))]).unwrap();
            for (number, value) in options {
                message.options.push(number, &value);
            }
            message.payload = vec![fill; len];
        }
        message.to_datagram()
    });
    let damaged = (shaped.clone(), any::<prop::sample::Index>(), any::<u8>());
    let damaged = damaged.prop_map(|(mut datagram, at, byte)| {
        let at = at.index(datagram.len());
        datagram[at] = byte;
        datagram
    });
    prop_oneof![4 => shaped, 2 => damaged, 1 => vec(any::<u8>(), 0..60)]
}

/// Answers whatever is asked and keeps tokens in use which `hostile_datagram` hits.
fn keep_busy(endpoint: &mut Endpoint<u8>, now: Instant) {
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Event(Event::Request { exchange, .. }) => {
                endpoint.respond(now, exchange, content(&pattern(100)));
            }
            Output::Event(_) | Output::Send { .. } => {}
            Output::Transmit { datagram, .. } => {
                decode(&datagram).unwrap();
            }
        }
    }
    for token in 1..6 {
        let observe = (token < 4).then_some(0);
        let confirmable = if token == 5 {
            Reliability::NonConfirmable
        } else {
            Reliability::Confirmable
        };
        let payload = pattern(usize::from(token) * 10);
        let token = Token::new(&[token]);
        let request = Request {
            token,
            observe,
            confirmable,
            payload,
            ..Request::new(Code::FETCH, ["3"])
        };
        endpoint.send_request(now, PEER, request).ok();
    }
    let notification = content(&pattern(40));
    endpoint
        .notify(
            now,
            PEER,
            Token::EMPTY,
            notification,
            Reliability::Confirmable,
        )
        .ok();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_datagram_makes_the_endpoint_panic_or_leak(
        seed in any::<u64>(),
        steps in vec((hostile_datagram(), 0_u64..3_000), 1..120),
    ) {
        let config = Config {
            block_size: BlockSize::B16,
            max_body: 200,
            max_body_bytes: 400,
            max_remembered: 50,
            max_observations_per_peer: 3,
            ..Config::default()
        };
        let mut endpoint: Endpoint<u8> = Endpoint::new(config, seed);
        let mut now = Instant::now();
        for (datagram, millis) in steps {
            endpoint.handle_datagram(now, PEER, &datagram);
            keep_busy(&mut endpoint, now);
            prop_assert!(endpoint.body_bytes() <= 400);
            prop_assert!(endpoint.remembered_count() <= 50);
            prop_assert!(endpoint.exchange_count() <= 32);
            now += Duration::from_millis(millis);
            endpoint.handle_timeout(now);
            prop_assert!(endpoint.poll_timeout().is_none_or(|due| due > now));
        }
        endpoint.forget_peer(PEER);
        while endpoint.poll_output().is_some() {}
        prop_assert_eq!(endpoint.body_bytes(), 0);
        prop_assert_eq!(endpoint.exchange_count(), 0);
        prop_assert_eq!(endpoint.peer_count(), 0);
        now += SECOND * 600;
        endpoint.handle_timeout(now);
        prop_assert_eq!(endpoint.poll_output(), None);
        endpoint.handle_timeout(now + SECOND);
        prop_assert_eq!(endpoint.poll_timeout(), None);
    }
}

#[test]
fn an_unmatched_acknowledgement_or_reset_is_counted() {
    let mut rig = Rig::new();
    rig.receive(&empty(Type::Acknowledgement, &get(1, "x")));
    rig.receive(&empty(Type::Reset, &get(2, "x")));
    rig.receive(&ack(&get(3, "x"), Code::CONTENT_2_05));
    assert_eq!(rig.endpoint.counters().unmatched, 3);
    assert_eq!((rig.sent(), rig.endpoint.peer_count()), (vec![], 0));
}
