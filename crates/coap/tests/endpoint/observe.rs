use std::time::Duration;

use coap::{
    BlockSize, Code, Event, Failure, Message, MessageId, Receipt, Reliability, Request, Response,
    Token, Type, number,
};

use crate::rig::{
    PEER, Rig, ack, block_of, con, content, empty, get, pattern, small_blocks, uint_of, with_block,
};

fn observe_request() -> Request {
    Request {
        observe: Some(0),
        ..Request::new(Code::GET, ["3", "0"])
    }
}

/// An endpoint with one observation, and its token.
fn observing() -> (Rig, Token) {
    let mut rig = Rig::new();
    rig.send(observe_request());
    let request = rig.one_sent();
    assert_eq!(uint_of(&request, number::OBSERVE), Some(0));
    let mut answer = ack(&request, Code::CONTENT_2_05);
    answer.options.push_uint(number::OBSERVE, 1);
    rig.receive(&answer);
    assert_eq!(rig.one_response().observe, Some(1));
    assert_eq!(rig.endpoint.observations(PEER), [request.token]);
    (rig, request.token)
}

fn notification(token: Token, id: u16, sequence: u32) -> Message {
    let mut message = Message {
        token,
        ..con(Code::CONTENT_2_05, id)
    };
    message.options.push_uint(number::OBSERVE, sequence);
    message
}

#[test]
fn notifications_are_delivered_in_order_and_acknowledged() {
    let (mut rig, token) = observing();
    for (id, sequence, fresh) in [(1, 7, true), (2, 5, false), (3, 8, true)] {
        let message = notification(token, id, sequence);
        rig.receive(&message);
        if fresh {
            assert_eq!(rig.sent(), []);
            let receipt = receipt_of(&rig.one_event());
            rig.endpoint.acknowledge(receipt);
        }
        assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &message));
        assert_eq!(rig.events(), [], "{sequence}");
    }
    assert_eq!(rig.endpoint.counters().stale_notifications, 1);
    rig.receive(&Message {
        kind: Type::NonConfirmable,
        ..notification(token, 4, 9)
    });
    assert_eq!(rig.sent(), []);
    assert!(matches!(
        rig.one_event(),
        Event::Notification { peer: PEER, .. }
    ));
}

#[test]
fn a_notification_in_the_middle_of_a_refresh_is_acknowledged_when_it_is_kept() {
    let (mut rig, token) = observing();
    rig.send(Request {
        token: Some(token),
        ..observe_request()
    });
    let refresh = rig.one_sent();
    assert_eq!(refresh.token, token);
    let message = notification(token, 1, 7);
    rig.receive(&message);
    assert_eq!(rig.sent(), [], "nobody has kept it");
    let events = rig.events();
    let receipt = receipt_of(&events[0]);
    // It says as much as the answer to the refresh would.
    assert!(
        matches!(&events[1..], [Event::Response { response, .. }] if response.observe == Some(7))
    );
    rig.endpoint.acknowledge(receipt);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &message));
    let mut answer = ack(&refresh, Code::CONTENT_2_05);
    answer.options.push_uint(number::OBSERVE, 8);
    rig.receive(&answer);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.endpoint.observations(PEER), [token]);
}

#[test]
fn an_observation_that_is_refreshed_takes_its_order_from_the_answer() {
    let (mut rig, token) = observing();
    rig.receive(&non(notification(token, 1, 500)));
    rig.one_event();
    rig.send(Request {
        token: Some(token),
        ..observe_request()
    });
    // The device has rebooted meanwhile, and counts from the start.
    let mut answer = ack(&rig.one_sent(), Code::CONTENT_2_05);
    answer.options.push_uint(number::OBSERVE, 1);
    rig.receive(&answer);
    rig.one_response();
    rig.receive(&non(notification(token, 2, 2)));
    assert!(
        matches!(rig.one_event(), Event::Notification { response, .. } if response.observe == Some(2))
    );
}

#[test]
fn observations_go_along_with_a_peer_that_is_known_by_another_key() {
    const OTHER: u8 = 9;
    let (mut rig, token) = observing();
    rig.receive(&non(notification(token, 1, 7)));
    rig.one_event();
    rig.endpoint
        .move_observations(rig.now, PEER, OTHER)
        .unwrap();
    assert_eq!(rig.sent(), [], "the peer is asked for nothing");
    assert_eq!(rig.endpoint.observations(OTHER), [token]);
    for (id, sequence, fresh) in [(2, 6, false), (3, 8, true)] {
        let message = non(notification(token, id, sequence)).to_datagram();
        rig.endpoint.handle_datagram(rig.now, OTHER, &message);
        assert_eq!(rig.events().len(), usize::from(fresh), "{sequence}");
    }
    // Whoever talks from where it was has none.
    let stray = notification(token, 4, 9);
    rig.receive(&stray);
    assert_eq!(rig.one_sent(), empty(Type::Reset, &stray));
}

fn non(message: Message) -> Message {
    Message {
        kind: Type::NonConfirmable,
        ..message
    }
}

fn receipt_of(event: &Event<u8>) -> Receipt<u8> {
    match event {
        Event::Notification { receipt, .. } => receipt.expect("it is confirmable"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_notification_is_acknowledged_when_it_is_kept_and_not_before() {
    let (mut rig, token) = observing();
    let message = notification(token, 1, 7);
    rig.receive(&message);
    let receipt = receipt_of(&rig.one_event());
    // A copy comes while it is being kept.
    rig.receive(&message);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    rig.endpoint.acknowledge(receipt);
    let acknowledgement = empty(Type::Acknowledgement, &message);
    assert_eq!(rig.one_sent(), acknowledgement);
    rig.receive(&message);
    assert_eq!(rig.one_sent(), acknowledgement);
    assert_eq!(rig.events(), []);
}

#[test]
fn a_notification_that_was_not_kept_is_taken_when_it_comes_again() {
    let (mut rig, token) = observing();
    let message = notification(token, 1, 7);
    rig.receive(&message);
    let receipt = receipt_of(&rig.one_event());
    rig.endpoint.decline(receipt);
    assert_eq!(rig.sent(), []);
    rig.receive(&message);
    let receipt = receipt_of(&rig.one_event());
    rig.endpoint.acknowledge(receipt);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &message));
}

#[test]
fn a_notification_that_is_never_kept_is_reset_and_ends_its_observation() {
    let (mut rig, token) = observing();
    let message = notification(token, 1, 7);
    rig.receive(&message);
    let receipt = receipt_of(&rig.one_event());
    rig.endpoint.reject(receipt);
    assert_eq!(rig.one_sent(), empty(Type::Reset, &message));
    assert_eq!(rig.endpoint.observations(PEER), []);
    for again in [message, notification(token, 2, 8)] {
        rig.receive(&again);
        assert_eq!(rig.one_sent(), empty(Type::Reset, &again));
        assert_eq!(rig.events(), []);
    }
}

#[test]
fn a_notification_that_comes_before_the_answer_to_observe_is_acknowledged_when_it_is_kept() {
    let mut rig = Rig::new();
    rig.send(observe_request());
    let request = rig.one_sent();
    // The answer was lost, and what is observed has changed since.
    let message = notification(request.token, 1, 7);
    rig.receive(&message);
    assert_eq!(rig.sent(), [], "nobody has kept it");
    let events = rig.events();
    assert!(
        matches!(&events[..1], [Event::Response { response, .. }] if response.observe == Some(7))
    );
    let receipt = receipt_of(&events[1]);
    rig.receive(&message);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    rig.endpoint.acknowledge(receipt);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &message));
    assert_eq!(rig.endpoint.observations(PEER), [request.token]);
}

#[test]
fn a_response_without_observe_establishes_nothing() {
    let mut rig = Rig::new();
    rig.send(observe_request());
    let request = rig.one_sent();
    rig.receive(&ack(&request, Code::CONTENT_2_05));
    rig.one_response();
    assert_eq!(rig.endpoint.observations(PEER), []);
    let message = notification(request.token, 1, 2);
    rig.receive(&message);
    assert_eq!(rig.one_sent(), empty(Type::Reset, &message));
}

#[test]
fn a_notification_with_an_unknown_token_is_reset_confirmable_or_not() {
    let mut rig = Rig::new();
    for kind in [Type::Confirmable, Type::NonConfirmable] {
        let message = Message {
            kind,
            ..notification(Token::EMPTY, 1, 2)
        };
        rig.receive(&message);
        assert_eq!(rig.one_sent(), empty(Type::Reset, &message));
    }
    assert_eq!(rig.endpoint.peer_count(), 0);
}

#[test]
fn an_observation_made_elsewhere_can_be_made_known_and_forgotten() {
    let mut rig = Rig::new();
    let token = Token::new(&[4, 2]).unwrap();
    rig.endpoint
        .observe_known(rig.now, PEER, token, &observe_request())
        .unwrap();
    rig.receive(&notification(token, 1, 2));
    assert!(matches!(rig.one_event(), Event::Notification { .. }));
    rig.sent();
    rig.advance(Duration::from_hours(1));
    rig.receive(&notification(token, 2, 3));
    assert!(matches!(rig.one_event(), Event::Notification { .. }));
    rig.sent();
    rig.endpoint.forget_observation(PEER, token);
    rig.receive(&notification(token, 3, 4));
    assert_eq!(rig.one_sent().kind, Type::Reset);
}

#[test]
fn an_error_or_a_success_without_observe_ends_the_observation() {
    for code in [Code::NOT_FOUND_4_04, Code::CONTENT_2_05] {
        let (mut rig, token) = observing();
        rig.receive(&Message {
            token,
            ..con(code, 1)
        });
        assert!(
            matches!(rig.one_event(), Event::Notification { response, .. } if response.code == code)
        );
        assert_eq!(rig.endpoint.observations(PEER), []);
    }
}

#[test]
fn cancelling_uses_the_same_token_and_swallows_late_notifications() {
    let (mut rig, token) = observing();
    rig.endpoint
        .cancel_observation(rig.now, PEER, token)
        .unwrap();
    let request = rig.one_sent();
    assert_eq!(
        (request.token, uint_of(&request, number::OBSERVE)),
        (token, Some(1))
    );
    assert_eq!(request.options.first(number::URI_PATH), Some(&b"3"[..]));
    let late = notification(token, 1, 2);
    rig.receive(&late);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &late));
    assert_eq!(rig.events(), []);
    rig.receive(&ack(&request, Code::CONTENT_2_05));
    assert_eq!(rig.one_response().observe, None);
    assert!(
        rig.endpoint
            .cancel_observation(rig.now, PEER, token)
            .is_err()
    );
}

#[test]
fn the_rest_of_a_large_notification_is_fetched_without_observe() {
    let (mut rig, token) = observing();
    let body = pattern(100);
    let mut first = notification(token, 1, 2);
    first.payload = body[..64].to_vec();
    rig.receive(&with_block(first, number::BLOCK2, (0, 1, 64)));
    let sent = rig.sent();
    let fetch = &sent[0];
    assert_eq!(fetch.code, Code::GET);
    assert_eq!(block_of(fetch, number::BLOCK2), Some((1, false, 64)));
    assert_eq!(uint_of(fetch, number::OBSERVE), None);
    assert_ne!(fetch.token, token);
    let mut rest = with_block(ack(fetch, Code::CONTENT_2_05), number::BLOCK2, (1, 0, 64));
    rest.payload = body[64..].to_vec();
    rig.receive(&rest);
    match rig.one_event() {
        Event::Notification {
            token: delivered,
            response,
            ..
        } => {
            assert_eq!((delivered, response.payload), (token, body));
            assert_eq!(response.observe, Some(2));
        }
        other => panic!("{other:?}"),
    }
}

/// The first block of a notification of 100 bytes, and the fetch that follows it.
fn large_notification(rig: &mut Rig, token: Token) -> (Message, Message) {
    let mut first = notification(token, 1, 2);
    first.payload = pattern(100)[..64].to_vec();
    let first = with_block(first, number::BLOCK2, (0, 1, 64));
    rig.receive(&first);
    let fetch = rig.one_sent();
    assert_eq!(fetch.code, Code::GET);
    (first, fetch)
}

#[test]
fn a_large_notification_is_acknowledged_when_all_of_it_is_kept() {
    let (mut rig, token) = observing();
    let (first, fetch) = large_notification(&mut rig, token);
    // A copy comes while the rest does.
    rig.receive(&first);
    assert_eq!(rig.sent(), []);
    let mut rest = with_block(ack(&fetch, Code::CONTENT_2_05), number::BLOCK2, (1, 0, 64));
    rest.payload = pattern(100)[64..].to_vec();
    rig.receive(&rest);
    let receipt = receipt_of(&rig.one_event());
    assert_eq!(rig.sent(), []);
    rig.endpoint.acknowledge(receipt);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &first));
}

#[test]
fn a_large_notification_is_taken_again_when_its_rest_did_not_come() {
    let (mut rig, token) = observing();
    let (first, fetch) = large_notification(&mut rig, token);
    rig.receive(&empty(Type::Reset, &fetch));
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    rig.receive(&first);
    assert_eq!(rig.one_sent().code, Code::GET);
}

#[test]
fn a_large_notification_whose_rest_is_refused_is_acknowledged() {
    let (mut rig, token) = observing();
    let (first, fetch) = large_notification(&mut rig, token);
    rig.receive(&ack(&fetch, Code::NOT_FOUND_4_04));
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &first));
    assert_eq!(rig.events(), []);
}

#[test]
fn a_newer_notification_replaces_a_fetch_that_is_under_way() {
    let (mut rig, token) = observing();
    let mut first = notification(token, 1, 2);
    first.payload = pattern(64);
    rig.receive(&with_block(first, number::BLOCK2, (0, 1, 64)));
    rig.sent();
    rig.receive(&notification(token, 2, 3));
    assert!(
        matches!(rig.one_event(), Event::Notification { response, .. } if response.observe == Some(3))
    );
    assert_eq!(
        (rig.endpoint.exchange_count(), rig.endpoint.body_bytes()),
        (0, 0)
    );
}

#[test]
fn the_rest_of_a_notification_that_changed_meanwhile_is_fetched_from_the_start() {
    let (mut rig, token) = observing();
    let (old, new) = (pattern(100), vec![9; 100]);
    let tagged = |mut message: Message, etag: u8, payload: &[u8], block| {
        message.options.push(number::ETAG, &[etag]);
        message.payload = payload.to_vec();
        with_block(message, number::BLOCK2, block)
    };
    let first = non(notification(token, 1, 2));
    rig.receive(&tagged(first, 1, &old[..64], (0, 1, 64)));
    let fetch = rig.one_sent();
    let changed = ack(&fetch, Code::CONTENT_2_05);
    rig.receive(&tagged(changed, 2, &new[64..], (1, 0, 64)));
    let again = rig.one_sent();
    assert_eq!(block_of(&again, number::BLOCK2), Some((0, false, 64)));
    assert_eq!(uint_of(&again, number::OBSERVE), None);
    let answer = ack(&again, Code::CONTENT_2_05);
    rig.receive(&tagged(answer, 2, &new[..64], (0, 1, 64)));
    let answer = ack(&rig.one_sent(), Code::CONTENT_2_05);
    rig.receive(&tagged(answer, 2, &new[64..], (1, 0, 64)));
    assert!(
        matches!(rig.one_event(), Event::Notification { response, .. } if response.payload == new)
    );
}

/// An endpoint that is observed, and the token.
fn observed(config: coap::Config) -> (Rig, Token) {
    let mut rig = Rig::with(config);
    let mut request = get(1, "3");
    request.options.push_uint(number::OBSERVE, 0);
    rig.receive(&request);
    let (exchange, received) = rig.one_request();
    assert_eq!(received.observe, Some(0));
    rig.respond(
        exchange,
        Response {
            observe: Some(1),
            ..content(b"x")
        },
    );
    assert_eq!(uint_of(&rig.one_sent(), number::OBSERVE), Some(1));
    rig.events();
    (rig, request.token)
}

#[test]
fn a_confirmable_notification_is_delivered_or_reset_or_times_out() {
    let (mut rig, token) = observed(coap::Config::default());
    let notify = |rig: &mut Rig, sequence| {
        let response = Response {
            observe: Some(sequence),
            ..content(b"y")
        };
        rig.endpoint
            .notify(rig.now, PEER, token, response, Reliability::Confirmable)
            .unwrap()
    };
    let id = notify(&mut rig, 2);
    let waiting = notify(&mut rig, 3);
    let message = rig.one_sent();
    assert_eq!(
        (message.token, uint_of(&message, number::OBSERVE)),
        (token, Some(2))
    );
    rig.receive(&empty(Type::Acknowledgement, &message));
    let delivered = Event::NotificationDelivered {
        peer: PEER,
        token,
        notification: id,
    };
    assert_eq!(rig.one_event(), delivered);
    rig.one_sent();
    rig.advance(Duration::from_secs(93));
    let reason = Failure::Timeout;
    let failed = Event::NotificationFailed {
        peer: PEER,
        token,
        notification: waiting,
        reason,
    };
    assert_eq!(rig.one_event(), failed);
    rig.sent();
    notify(&mut rig, 4);
    let message = rig.one_sent();
    rig.receive(&empty(Type::Reset, &message));
    assert_eq!(
        rig.one_event(),
        Event::ObservationReset { peer: PEER, token }
    );
}

#[test]
fn a_reset_to_a_non_confirmable_notification_ends_the_observation() {
    let (mut rig, token) = observed(coap::Config::default());
    let response = Response {
        observe: Some(2),
        ..content(b"y")
    };
    rig.endpoint
        .notify(rig.now, PEER, token, response, Reliability::NonConfirmable)
        .unwrap();
    let message = rig.one_sent();
    assert_eq!(message.kind, Type::NonConfirmable);
    rig.receive(&empty(Type::Reset, &message));
    assert_eq!(
        rig.one_event(),
        Event::ObservationReset { peer: PEER, token }
    );
}

#[test]
fn a_reset_ends_the_observation_of_its_notification_and_no_other() {
    let (mut rig, token) = observed(coap::Config::default());
    let other = Token::new(&[0xbb]).unwrap();
    let mut request = Message {
        token: other,
        ..get(7, "3")
    };
    request.options.push_uint(number::OBSERVE, 0);
    rig.receive(&request);
    let (exchange, _) = rig.one_request();
    let first = Response {
        observe: Some(1),
        ..content(b"x")
    };
    rig.respond(exchange, first);
    let notify = |rig: &mut Rig, token| {
        let response = Response {
            observe: Some(2),
            ..content(b"y")
        };
        rig.endpoint
            .notify(rig.now, PEER, token, response, Reliability::NonConfirmable)
            .unwrap();
    };
    notify(&mut rig, other);
    notify(&mut rig, token);
    rig.events();
    let rejected = rig.sent().pop().unwrap();
    assert_eq!(rejected.token, token);
    rig.receive(&empty(Type::Reset, &rejected));
    assert_eq!(
        rig.one_event(),
        Event::ObservationReset { peer: PEER, token }
    );
    notify(&mut rig, other);
    assert_eq!(rig.one_sent().token, other);
}

#[test]
fn later_blocks_of_a_notification_come_from_the_notified_state() {
    let (mut rig, token) = observed(small_blocks(BlockSize::B64));
    let body = pattern(100);
    let response = Response {
        observe: Some(2),
        ..content(&body)
    };
    rig.endpoint
        .notify(rig.now, PEER, token, response, Reliability::NonConfirmable)
        .unwrap();
    let first = rig.one_sent();
    assert_eq!(block_of(&first, number::BLOCK2), Some((0, true, 64)));
    rig.receive(&with_block(get(2, "3"), number::BLOCK2, (1, 0, 64)));
    let rest = rig.one_sent();
    assert_eq!((rest.id, &rest.payload[..]), (MessageId(2), &body[64..]));
    assert_eq!(uint_of(&rest, number::OBSERVE), None);
    let etag = rest.options.first(number::ETAG);
    assert!(etag.is_some() && etag == first.options.first(number::ETAG));
    assert_eq!(rig.events(), []);
}
