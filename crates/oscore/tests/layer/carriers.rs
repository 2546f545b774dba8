//! Whatever carries the messages: addresses, DTLS sessions, streams.

use coap::{Code, Event, Message, MessageId, Reliability, Request, Response, Token, Type, number};
use oscore::{Carried, Disposition, OSCORE, OscoreOption, Output};

use crate::pair::{Pair, Place};

const SESSION: Place = Place::Session(1);
const STREAM: Place = Place::Stream(1);

fn at(place: Place) -> Pair {
    let mut pair = Pair::new();
    pair.move_to(place);
    pair
}

fn value(value: &str, observe: u32) -> Response {
    let mut response = Response::new(Code::CONTENT_2_05);
    response.observe = Some(observe);
    response.payload = value.into();
    response
}

/// The server observes; the token of that.
fn observe(pair: &mut Pair) -> Token {
    let mut request = Request::new(Code::GET, ["3303", "0", "5700"]);
    request.observe = Some(0);
    let context = pair.context;
    let sent = pair.engine.send_request(pair.now, context, request);
    sent.unwrap();
    pair.settle_with(|_| value("first", 1));
    let token = pair.server_events.drain(..).find_map(|event| match event {
        Event::Response { token, .. } => Some(token),
        _ => None,
    });
    token.unwrap()
}

fn notify(pair: &mut Pair, token: Token, sequence: u32) {
    let sent = pair.device.notify(
        pair.now,
        (),
        token,
        value("next", sequence),
        Reliability::Confirmable,
    );
    sent.unwrap();
    pair.settle();
    // It is kept; on a stream nothing is acknowledged.
    let receipts: Vec<_> = pair.server_events.iter().filter_map(receipt).collect();
    for receipt in receipts {
        pair.engine.acknowledge(receipt);
    }
    pair.settle();
}

fn receipt(event: &Event<oscore::ContextId>) -> Option<coap::Receipt<oscore::ContextId>> {
    match event {
        Event::Notification { receipt, .. } => *receipt,
        _ => None,
    }
}

fn notifications(pair: &mut Pair) -> usize {
    let is_one = |event: &Event<_>| matches!(event, Event::Notification { .. });
    pair.server_events.drain(..).filter(is_one).count()
}

#[test]
fn every_carrier_has_requests_both_ways_and_observations() {
    for place in [Place::address("192.0.2.1:5683"), SESSION, STREAM] {
        let mut pair = at(place);
        assert_eq!(pair.device_gets("rd"), [b"rd"], "{place:?}");
        assert_eq!(pair.server.peer(pair.context), Some(place));
        assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04], "{place:?}");
        let token = observe(&mut pair);
        for sequence in 2..5 {
            notify(&mut pair, token, sequence);
        }
        assert_eq!(notifications(&mut pair), 3, "{place:?}");
    }
}

#[test]
fn a_large_body_travels_in_blocks_that_fit_into_the_streams_messages() {
    let mut pair = at(STREAM);
    pair.device_gets("rd");
    let mut request = Request::new(Code::PUT, ["5", "0", "0"]);
    request.payload = vec![7; 10_000];
    let context = pair.context;
    let sent = pair.engine.send_request(pair.now, context, request);
    sent.unwrap();
    pair.settle_with(|request| {
        let mut response = Response::new(Code::CONTENT_2_05);
        response.payload.clone_from(&request.payload);
        response
    });
    let echoed = pair.server_events.iter().find_map(|event| match event {
        Event::Response { response, .. } => Some(response.payload.len()),
        _ => None,
    });
    assert_eq!(echoed, Some(10_000));
}

#[test]
fn protection_adds_no_more_than_its_overhead() {
    let mut pair = at(STREAM);
    pair.device_gets("rd");
    let overhead = pair.server.overhead(pair.context);
    for observe in [None, Some(0)] {
        let mut request = Message::new(Type::NonConfirmable, Code::GET, MessageId(0));
        if let Some(observe) = observe {
            request.options.push_uint(number::OBSERVE, observe);
        }
        request.payload = vec![1; 300];
        let length = coap::reliable::encoded_len(&request);
        let sent = pair.server.send_message(pair.now, pair.context, &request);
        sent.unwrap();
        let Some(Output::Transmit {
            message: Carried::Message(outer),
            ..
        }) = pair.server.poll_output()
        else {
            panic!("a message of a stream was sent");
        };
        let added = coap::reliable::encoded_len(&outer) - length;
        assert!(added <= overhead, "{added} bytes, {overhead} at most");
    }
}

#[test]
fn a_peer_that_changes_its_carrier_is_a_new_one_to_the_endpoint() {
    let address = Place::address("192.0.2.1:5683");
    for (from, to) in [
        (address, STREAM),
        (STREAM, address),
        (SESSION, STREAM),
        (STREAM, Place::Stream(2)),
        (SESSION, Place::Session(2)),
    ] {
        let mut pair = at(from);
        pair.device_gets("rd");
        let token = observe(&mut pair);
        let before = pair.context;
        // A request that will never be answered where it went.
        pair.down.lose = usize::MAX;
        let request = Request::new(Code::PUT, ["3"]);
        let sent = pair.engine.send_request(pair.now, before, request);
        sent.unwrap();
        pair.settle();
        pair.down.lose = 0;

        pair.move_to(to);
        assert_eq!(pair.device_gets("rd"), [b"rd"], "{from:?} to {to:?}");
        assert_ne!(pair.context, before, "{from:?} to {to:?}");
        assert_eq!(pair.server.peer(pair.context), Some(to));
        assert!(pair.engine.observations(before).is_empty());
        let is_over = |event: &Event<_>| matches!(event, Event::Failed { reason, .. } if *reason == coap::Failure::PeerGone);
        assert!(pair.server_events.drain(..).any(|event| is_over(&event)));
        assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
        assert_ne!(observe(&mut pair), token);
        assert_eq!(pair.server.counters().challenges, 0);
    }
}

#[test]
fn what_was_recorded_on_one_carrier_is_nothing_on_another() {
    let address = Place::address("192.0.2.1:5683");
    let places = [address, SESSION, STREAM, Place::Stream(2)];
    for from in places {
        let mut pair = at(from);
        pair.device_gets("1");
        pair.server_events.clear();
        let recorded = pair.up.sent.clone();
        for other in places {
            for message in &recorded {
                pair.deliver_from(other, message);
            }
            pair.settle();
        }
        // Where datagrams may be repeated, the endpoint recognises the copy.
        assert_eq!(pair.requests_at_server(), 0, "{from:?}");
        assert_eq!(pair.server.peer(pair.context), Some(from));
        // Also after the device has gone elsewhere.
        let to = if from == STREAM { address } else { STREAM };
        pair.move_to(to);
        pair.device_gets("2");
        pair.server_events.clear();
        for message in &recorded {
            pair.deliver_from(from, message);
            pair.deliver_from(to, message);
        }
        pair.settle();
        assert_eq!(pair.requests_at_server(), 0, "{from:?}");
        assert_eq!(pair.server.peer(pair.context), Some(to));
    }
}

#[test]
fn a_request_that_the_newest_one_overtook_elsewhere_is_dropped() {
    let mut pair = at(STREAM);
    pair.device_gets("1");
    pair.up.lose = 1;
    pair.device_gets("late");
    let late = pair.up.sent.last().unwrap().clone();
    pair.move_to(SESSION);
    pair.device_gets("2");
    pair.server_events.clear();
    pair.deliver_from(STREAM, &late);
    pair.settle();
    assert_eq!(pair.requests_at_server(), 0);
    assert_eq!(pair.server.peer(pair.context), Some(SESSION));
    assert_eq!(pair.server.counters().left_behind, 1);
}

#[test]
fn the_end_of_a_carrier_forgets_the_peer_but_not_what_it_sent() {
    for place in [SESSION, STREAM] {
        let mut pair = at(place);
        pair.device_gets("1");
        let (before, recorded) = (pair.context, pair.up.sent.clone());
        pair.server.forget_peer(place);
        pair.settle();
        assert_ne!(pair.context, before);
        assert_eq!(pair.server.peer(pair.context), None);
        assert!(!pair.server.holds_peer(place));
        let error = pair
            .server
            .send(pair.now, pair.context, &[0x40, 1, 0, 1])
            .unwrap_err();
        assert_eq!(error, oscore::SendError::UnknownPeer);
        pair.server_events.clear();

        pair.move_to(Place::Stream(9));
        for message in &recorded {
            pair.deliver_up(message);
        }
        pair.settle();
        assert_eq!(pair.requests_at_server(), 0);
        assert_eq!(pair.device_gets("2"), [b"2"]);
    }
}

#[test]
fn nothing_on_a_stream_is_acknowledged_or_reset() {
    let mut pair = at(STREAM);
    pair.device_gets("rd");
    let token = observe(&mut pair);
    notify(&mut pair, token, 2);
    let late = pair.up.sent.last().unwrap().clone();
    notify(&mut pair, token, 3);
    // One that is out of order, and one of an observation that nobody knows.
    pair.deliver_up(&late);
    pair.server.forget_peer(STREAM);
    pair.settle();
    pair.device_gets("rd");
    pair.deliver_up(&late);
    pair.settle();
    let messages = pair.up.sent.iter().chain(&pair.down.sent);
    for message in messages.map(|bytes| coap::decode(bytes).unwrap()) {
        assert!(!message.code.is_empty());
        assert_eq!(message.kind, Type::NonConfirmable);
    }
    let counters = pair.server.counters();
    assert_eq!(
        (counters.stale_notifications, counters.unknown_token),
        (1, 1)
    );
}

#[test]
fn what_nothing_protects_on_a_stream_is_left_to_the_caller() {
    let mut pair = at(STREAM);
    let request = Message::new(Type::NonConfirmable, Code::GET, MessageId(0)).to_datagram();
    assert_eq!(pair.deliver_from(STREAM, &request), Disposition::Plain);
    pair.device_gets("rd");
    assert_eq!(pair.deliver_from(STREAM, &request), Disposition::Plain);
}

#[test]
fn the_same_request_twice_on_a_stream_has_two_numbers() {
    let mut pair = at(STREAM);
    let mut request = Message::new(Type::NonConfirmable, Code::GET, MessageId(0));
    request.token = Token::new(b"same").unwrap();
    let mut numbers = Vec::new();
    for _ in 0..2 {
        pair.client.send_message(pair.now, &request).unwrap();
        let Some(oscore::ClientOutput::Transmit(outer)) = pair.client.poll_output() else {
            panic!("a request was sent");
        };
        let outer = outer.decode().unwrap();
        let option = OscoreOption::decode(outer.options.first(OSCORE).unwrap()).unwrap();
        numbers.push(option.partial_iv.unwrap());
    }
    assert_ne!(numbers[0], numbers[1]);
}
