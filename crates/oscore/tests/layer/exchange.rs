//! Requests both ways, and what the network does to them.

use coap::{Code, Message, MessageId, Request, Response, Token, Type, number};
use oscore::Disposition;

use crate::pair::{Pair, Place};

#[test]
fn both_sides_make_requests_in_one_context() {
    let mut pair = Pair::new();
    assert_eq!(pair.device_gets("rd"), [b"rd"]);
    assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
    assert_eq!(pair.device_gets("again"), [b"again"]);
    // Nothing of the messages can be read on the way.
    for datagram in pair.up.sent.iter().chain(&pair.down.sent) {
        let message = coap::decode(datagram).unwrap();
        assert!(message.code.is_empty() || message.options.first(9).is_some());
        assert!(message.options.first(number::URI_PATH).is_none());
        assert!(matches!(
            message.code,
            Code::EMPTY | Code::POST | Code::CHANGED_2_04
        ));
    }
}

#[test]
fn a_lost_request_or_answer_is_repeated_and_handled_once() {
    for (lost_up, lost_down) in [(1, 0), (0, 1), (1, 1), (0, 3)] {
        let mut pair = Pair::new();
        pair.up.lose = lost_up;
        pair.down.lose = lost_down;
        assert_eq!(pair.device_gets("rd"), [b"rd"]);
        assert_eq!(pair.requests_at_server(), 1);

        pair.up.lose = lost_up;
        pair.down.lose = lost_down;
        assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
        assert_eq!(pair.requests_at_device(), 1);
    }
}

#[test]
fn a_copied_datagram_is_handled_once() {
    let mut pair = Pair::new();
    (pair.up.copies, pair.down.copies) = (2, 2);
    assert_eq!(pair.device_gets("rd"), [b"rd"]);
    assert_eq!(pair.requests_at_server(), 1);
    assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
    assert_eq!(pair.requests_at_device(), 1);
    assert_eq!(pair.server.counters().repeated, 2);
}

#[test]
fn a_large_body_travels_in_protected_blocks() {
    let mut pair = Pair::new();
    let body: Vec<u8> = (0..10_000_u32).map(|i| i as u8).collect();
    let mut request = Request::new(Code::PUT, ["5", "0", "0"]);
    request.payload.clone_from(&body);
    let context = pair.context;
    assert_eq!(pair.device_gets("rd"), [b"rd"]);
    pair.engine
        .send_request(pair.now, context, request)
        .unwrap();
    pair.settle_with(|request| {
        let mut response = Response::new(Code::CONTENT_2_05);
        response.payload.clone_from(&request.payload);
        response
    });
    let response = pair.server_events.iter().find_map(|event| match event {
        coap::Event::Response { response, .. } => Some(response.payload.clone()),
        _ => None,
    });
    assert_eq!(response, Some(body));
}

#[test]
fn the_peer_moves_with_its_newest_request_only() {
    let mut pair = Pair::new();
    let first = pair.place;
    assert_eq!(pair.server.peer(pair.context), None);
    pair.device_gets("1");
    assert_eq!(pair.server.peer(pair.context), Some(first));
    let old = pair.up.sent[0].clone();
    pair.place = Place::address("198.51.100.7:1024");
    pair.device_gets("2");
    assert_eq!(pair.server.peer(pair.context), Some(pair.place));
    assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
    // A copy of an old request, from where the peer was.
    pair.server.handle_datagram(pair.now, first, &old);
    assert_eq!(pair.server.peer(pair.context), Some(pair.place));
    assert_eq!(pair.server.counters().peers_moved, 1);
}

#[test]
fn unprotected_messages_are_left_to_the_caller_or_dropped() {
    let mut pair = Pair::new();
    let request = Message::new(Type::Confirmable, Code::GET, MessageId(1)).to_datagram();
    let plain = pair.server.handle_datagram(pair.now, pair.place, &request);
    assert_eq!(plain, Disposition::Plain);
    pair.client.handle_datagram(pair.now, &request);
    assert_eq!(pair.client.counters().unprotected, 1);
    assert_eq!(pair.client.poll_output(), None);

    // An answer in the clear to a protected request does not end the exchange.
    pair.device_gets("rd");
    let token = Token::new(b"token").unwrap();
    let request = Request {
        token: Some(token),
        ..Request::new(Code::PUT, ["3"])
    };
    let context = pair.context;
    pair.down.lose = 1;
    pair.engine
        .send_request(pair.now, context, request)
        .unwrap();
    pair.settle();
    let forged = Message {
        token,
        ..Message::new(Type::NonConfirmable, Code::NOT_FOUND_4_04, MessageId(2))
    };
    pair.deliver_up(&forged.to_datagram());
    assert_eq!(pair.server.poll_output(), None);
    assert_eq!(pair.server.counters().unprotected, 1);
}
