//! Observations (RFC 8613 §4.1.3.5, §7.4.1 and §8.4.2).

use coap::{Code, Event, Reliability, Request, Response, Token, Type};

use crate::pair::Pair;

fn notification(value: &str, observe: u32) -> Response {
    let mut response = Response::new(Code::CONTENT_2_05);
    response.observe = Some(observe);
    response.payload = value.into();
    response
}

/// A device that the server observes.
fn observed() -> (Pair, Token) {
    let mut pair = Pair::new();
    pair.device_gets("rd");
    let mut request = Request::new(Code::GET, ["3303", "0", "5700"]);
    request.observe = Some(0);
    let context = pair.context;
    pair.engine
        .send_request(pair.now, context, request)
        .unwrap();
    pair.settle_with(|_| notification("first", 7));
    let token = pair.server_events.drain(..).find_map(|event| match event {
        Event::Response {
            token, response, ..
        } => {
            assert_eq!(response.payload, b"first");
            Some(token)
        }
        _ => None,
    });
    (pair, token.unwrap())
}

fn notify(pair: &mut Pair, token: Token, value: &str, observe: u32, reliability: Reliability) {
    let response = notification(value, observe);
    pair.device
        .notify(pair.now, (), token, response, reliability)
        .unwrap();
    pair.settle();
}

fn values(pair: &mut Pair) -> Vec<String> {
    pair.server_events
        .drain(..)
        .filter_map(|event| match event {
            Event::Notification { response, .. } => {
                Some(String::from_utf8(response.payload).unwrap())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn notifications_arrive_and_proxies_see_an_observation() {
    let (mut pair, token) = observed();
    notify(&mut pair, token, "a", 8, Reliability::Confirmable);
    notify(&mut pair, token, "b", 9, Reliability::NonConfirmable);
    assert_eq!(values(&mut pair), ["a", "b"]);
    let outer = coap::decode(pair.up.sent.last().unwrap()).unwrap();
    assert_eq!(outer.code, Code::CONTENT_2_05);
    assert!(outer.options.first(6).is_some());
    let is_fetch = |datagram: &Vec<u8>| coap::decode(datagram).unwrap().code == Code::FETCH;
    assert!(pair.down.sent.iter().any(is_fetch));
}

#[test]
fn an_overtaken_notification_is_acknowledged_and_dropped() {
    let (mut pair, token) = observed();
    pair.up.lose = 1;
    notify(&mut pair, token, "late", 8, Reliability::Confirmable);
    let late = pair.up.sent.last().unwrap().clone();
    notify(&mut pair, token, "newer", 9, Reliability::NonConfirmable);
    assert_eq!(values(&mut pair), ["newer"]);
    pair.deliver_up(&late);
    pair.settle();
    assert_eq!(values(&mut pair), [""; 0]);
    assert_eq!(pair.server.counters().stale_notifications, 1);
    let acknowledgement = coap::decode(pair.down.sent.last().unwrap()).unwrap();
    assert_eq!(acknowledgement.kind, Type::Acknowledgement);
    assert!(acknowledgement.code.is_empty());
}

#[test]
fn a_replayed_notification_is_never_fresh_again() {
    let (mut pair, token) = observed();
    notify(&mut pair, token, "on", 8, Reliability::NonConfirmable);
    let recorded = pair.up.sent.last().unwrap().clone();
    notify(&mut pair, token, "off", 9, Reliability::NonConfirmable);
    values(&mut pair);
    // RFC 7641 alone would take any number after 128 seconds.
    pair.now += std::time::Duration::from_secs(500);
    let mut message = coap::decode(&recorded).unwrap();
    message.id.0 ^= 0x5555;
    pair.deliver_up(&message.to_datagram());
    pair.settle();
    assert_eq!(values(&mut pair), [""; 0]);
}

#[test]
fn an_observation_outlives_the_memory_of_requests_and_ends_by_cancelling() {
    let (mut pair, token) = observed();
    for round in 0..20 {
        pair.now += std::time::Duration::from_secs(3600);
        pair.server_puts("3");
        notify(&mut pair, token, "x", 10 + round, Reliability::Confirmable);
        assert_eq!(values(&mut pair), ["x"], "round {round}");
    }
    let context = pair.context;
    pair.engine
        .cancel_observation(pair.now, context, token)
        .unwrap();
    pair.settle_with(|request| {
        assert_eq!(request.observe, Some(1));
        Response::new(Code::CONTENT_2_05)
    });
    assert!(pair.engine.observations(context).is_empty());
}

#[test]
fn a_notification_that_nobody_knows_is_reset() {
    let (mut pair, token) = observed();
    let context = pair.context;
    let state = pair.server.release(context).unwrap();
    let generation = state.generation() + 1;
    pair.context = pair.server.import(state, generation).unwrap();
    // The device is heard of again by a request.
    pair.device_gets("rd");
    notify(&mut pair, token, "lost", 8, Reliability::Confirmable);
    let gone = |event: &Event<()>| matches!(event, Event::ObservationReset { .. });
    assert!(pair.device_events.iter().any(gone));
}
