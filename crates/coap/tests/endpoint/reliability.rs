use std::time::Duration;

use coap::{
    Code, Config, Event, Failure, Message, MessageId, Reliability, Request, Response, SendError,
    Token, Type, number,
};

use crate::rig::{PEER, Rig, ack, con, content, empty, get};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_format_error_in_a_confirmable_message_is_reset_and_otherwise_dropped() {
    let mut rig = Rig::new();
    rig.receive_bytes(&[0x49, 0x01, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let reset = rig.one_sent();
    assert_eq!(
        (reset.kind, reset.code, reset.id.0),
        (Type::Reset, Code::EMPTY, 0x1234)
    );
    rig.receive_bytes(&[0x59, 0x01, 0x12, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    rig.receive_bytes(&[0x80, 0x01, 0x12, 0x36]);
    rig.receive_bytes(&[]);
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.endpoint.counters().malformed, 4);
    assert_eq!(rig.endpoint.peer_count(), 0);
}

#[test]
fn a_ping_and_a_reserved_code_class_are_reset() {
    let mut rig = Rig::new();
    rig.receive(&Message::new(Type::Confirmable, Code::EMPTY, MessageId(7)));
    assert_eq!(
        rig.one_sent(),
        Message::new(Type::Reset, Code::EMPTY, MessageId(7))
    );
    rig.receive(&con(Code::from_byte(0x21), 8));
    assert_eq!(rig.one_sent().kind, Type::Reset);
    rig.receive(&Message {
        kind: Type::NonConfirmable,
        ..con(Code::from_byte(0xe1), 9)
    });
    assert_eq!(rig.sent(), []);
    assert_eq!(
        (
            rig.endpoint.counters().pings,
            rig.endpoint.counters().malformed
        ),
        (1, 2)
    );
}

#[test]
fn a_quick_answer_is_piggybacked_and_counts_as_delivered() {
    let mut rig = Rig::new();
    rig.receive(&get(5, "3"));
    let (exchange, request) = rig.one_request();
    assert_eq!(
        (request.method, &request.path[..]),
        (Code::GET, &["3".to_owned()][..])
    );
    rig.respond(exchange, content(b"x"));
    let answer = rig.one_sent();
    assert_eq!(
        (answer.kind, answer.id.0, answer.code),
        (Type::Acknowledgement, 5, Code::CONTENT_2_05)
    );
    assert_eq!(
        (answer.token, answer.payload),
        (get(5, "3").token, b"x".to_vec())
    );
    assert_eq!(
        rig.one_event(),
        Event::ResponseDelivered {
            peer: PEER,
            exchange
        }
    );
    rig.advance(SECOND * 60);
    assert_eq!(rig.sent(), []);
}

#[test]
fn a_duplicate_gets_the_stored_reply_for_the_exchange_lifetime() {
    let mut rig = Rig::new();
    rig.receive(&get(5, "3"));
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(b"x"));
    let first = rig.one_sent();
    rig.events();
    rig.advance(SECOND * 246);
    rig.receive(&get(5, "3"));
    assert_eq!(rig.one_sent(), first);
    assert_eq!(rig.events(), []);
    assert_eq!(rig.endpoint.counters().duplicates, 1);
    assert_eq!(rig.again, (0, 1));
    rig.advance(SECOND * 2);
    rig.receive(&get(5, "3"));
    rig.one_request();
}

#[test]
fn a_duplicate_of_a_request_in_process_is_acknowledged_without_a_second_event() {
    let mut rig = Rig::new();
    rig.receive(&get(5, "3"));
    let (exchange, _) = rig.one_request();
    rig.receive(&get(5, "3"));
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &get(5, "3")));
    assert_eq!(rig.events(), []);
    rig.respond(exchange, content(b"x"));
    let separate = rig.one_sent();
    assert_eq!(
        (separate.kind, separate.token),
        (Type::Confirmable, get(5, "3").token)
    );
    rig.receive(&get(5, "3"));
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &get(5, "3")));
    rig.receive(&empty(Type::Acknowledgement, &separate));
    assert_eq!(
        rig.one_event(),
        Event::ResponseDelivered {
            peer: PEER,
            exchange
        }
    );
}

#[test]
fn a_slow_answer_is_preceded_by_an_empty_acknowledgement_and_retransmitted() {
    let mut rig = Rig::new();
    rig.receive(&get(5, "3"));
    let (exchange, _) = rig.one_request();
    rig.advance(SECOND);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &get(5, "3")));
    rig.respond(exchange, content(b"x"));
    let separate = rig.one_sent();
    rig.advance(SECOND * 3);
    assert_eq!(rig.one_sent(), separate);
    rig.receive(&empty(Type::Reset, &separate));
    let reason = Failure::Reset;
    assert_eq!(
        rig.one_event(),
        Event::ResponseFailed {
            peer: PEER,
            exchange,
            reason
        }
    );
}

#[test]
fn a_request_that_is_never_answered_is_forgotten() {
    let mut rig = Rig::new();
    rig.receive(&get(5, "3"));
    let (exchange, _) = rig.one_request();
    rig.advance(SECOND * 260);
    assert_eq!(rig.endpoint.counters().abandoned, 1);
    rig.sent();
    rig.respond(exchange, content(b"x"));
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.endpoint.counters().late_answers, 1);
}

#[test]
fn a_non_confirmable_request_is_answered_non_confirmable() {
    let mut rig = Rig::new();
    let request = Message {
        kind: Type::NonConfirmable,
        ..get(5, "3")
    };
    rig.receive(&request);
    rig.receive(&request);
    let (exchange, received) = rig.one_request();
    assert_eq!(received.confirmable, Reliability::NonConfirmable);
    rig.respond(exchange, content(b"x"));
    assert_eq!(rig.one_sent().kind, Type::NonConfirmable);
    assert_eq!(
        rig.one_event(),
        Event::ResponseDelivered {
            peer: PEER,
            exchange
        }
    );
}

#[test]
fn retransmissions_double_from_two_to_three_seconds_and_end_in_a_timeout() {
    let mut rig = Rig::new();
    let start = rig.now;
    let exchange = rig.send(Request::new(Code::GET, ["3"]));
    let first = rig.one_sent();
    let mut at = vec![];
    loop {
        let due = rig.endpoint.poll_timeout().unwrap();
        rig.advance(due - rig.now);
        match (rig.sent().as_slice(), rig.events().as_slice()) {
            ([again], []) => {
                assert_eq!(*again, first);
                at.push((rig.now - start).as_secs_f64());
            }
            ([], []) => {}
            (
                [],
                [
                    Event::Failed {
                        exchange: failed,
                        reason: Failure::Timeout,
                        ..
                    },
                ],
            ) => {
                assert_eq!(*failed, exchange);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(at.len(), 4);
    assert_eq!(rig.again, (4, 0));
    assert!((2.0..=3.0).contains(&at[0]), "{at:?}");
    for (index, factor) in [(1, 3.0), (2, 7.0), (3, 15.0)] {
        assert!((at[index] / at[0] - factor).abs() < 0.01, "{at:?}");
    }
    let total = (rig.now - start).as_secs_f64();
    assert!((62.0..=93.0).contains(&total), "{total}");
    assert_eq!(rig.endpoint.exchange_count(), 0);
}

#[test]
fn one_request_is_outstanding_and_the_others_wait_up_to_a_bound() {
    let mut rig = Rig::with(Config {
        max_exchanges_per_peer: 3,
        ..Config::default()
    });
    for path in ["a", "b", "c"] {
        rig.send(Request::new(Code::GET, [path]));
    }
    let refused = rig
        .endpoint
        .send_request(rig.now, PEER, Request::new(Code::GET, ["d"]));
    assert!(matches!(refused, Err(SendError::PeerBusy { .. })));
    for path in ["a", "b", "c"] {
        let request = rig.one_sent();
        assert_eq!(
            request.options.first(number::URI_PATH),
            Some(path.as_bytes())
        );
        rig.receive(&ack(&request, Code::CONTENT_2_05));
        assert_eq!(rig.one_response().code, Code::CONTENT_2_05);
    }
}

#[test]
fn another_peer_does_not_wait() {
    let mut rig = Rig::new();
    rig.send(Request::new(Code::GET, ["a"]));
    rig.endpoint
        .send_request(rig.now, 2, Request::new(Code::GET, ["b"]))
        .unwrap();
    assert_eq!(rig.sent().len(), 2);
}

#[test]
fn a_queued_request_times_out_by_itself() {
    let mut rig = Rig::with(Config {
        queue_timeout: SECOND * 5,
        ..Config::default()
    });
    rig.send(Request::new(Code::GET, ["a"]));
    let waiting = rig.send(Request::new(Code::GET, ["b"]));
    rig.advance(SECOND * 5);
    let reason = Failure::Timeout;
    assert_eq!(
        rig.one_event(),
        Event::Failed {
            peer: PEER,
            exchange: waiting,
            reason
        }
    );
}

#[test]
fn a_separate_response_is_accepted_when_the_empty_acknowledgement_was_lost() {
    let mut rig = Rig::new();
    rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    let response = Message {
        token: request.token,
        ..con(Code::CONTENT_2_05, 900)
    };
    rig.receive(&response);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &response));
    assert_eq!(rig.one_response().code, Code::CONTENT_2_05);
    rig.receive(&response);
    assert_eq!(rig.one_sent(), empty(Type::Acknowledgement, &response));
    rig.advance(SECOND * 100);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
}

#[test]
fn a_separate_response_may_be_non_confirmable_and_come_without_acknowledgement() {
    for acknowledged in [true, false] {
        let mut rig = Rig::new();
        rig.send(Request::new(Code::GET, ["3"]));
        let request = rig.one_sent();
        if acknowledged {
            rig.receive(&empty(Type::Acknowledgement, &request));
        }
        rig.receive(&Message {
            kind: Type::NonConfirmable,
            token: request.token,
            ..con(Code::CONTENT_2_05, 900)
        });
        assert_eq!(rig.one_response().code, Code::CONTENT_2_05);
        rig.advance(SECOND * 100);
        assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    }
}

#[test]
fn a_response_of_another_peer_does_not_match() {
    let mut rig = Rig::new();
    rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    let response = Message {
        token: request.token,
        ..con(Code::CONTENT_2_05, request.id.0)
    };
    for message in [&response, &ack(&request, Code::CONTENT_2_05)] {
        rig.endpoint
            .handle_datagram(rig.now, PEER + 1, &message.to_datagram());
    }
    assert_eq!(rig.events(), []);
    assert_eq!(rig.one_sent(), empty(Type::Reset, &response));
    rig.receive(&response);
    rig.one_response();
}

#[test]
fn an_empty_acknowledgement_stops_retransmission_and_frees_the_turn() {
    let mut rig = Rig::new();
    let first = rig.send(Request::new(Code::GET, ["a"]));
    rig.send(Request::new(Code::GET, ["b"]));
    let request = rig.one_sent();
    rig.receive(&empty(Type::Acknowledgement, &request));
    let second = rig.one_sent();
    rig.receive(&ack(&second, Code::CONTENT_2_05));
    rig.one_response();
    rig.advance(SECOND * 93);
    let reason = Failure::Unanswered;
    assert_eq!(
        rig.one_event(),
        Event::Failed {
            peer: PEER,
            exchange: first,
            reason
        }
    );
}

#[test]
fn a_request_may_wait_for_its_response_for_a_time_of_its_own() {
    let mut rig = Rig::new();
    let exchange = rig.send(Request {
        response_timeout: Some(SECOND * 15),
        ..Request::new(Code::FETCH, ["a"])
    });
    let request = rig.one_sent();
    // The time begins with the acknowledgement.
    rig.advance(SECOND);
    rig.receive(&empty(Type::Acknowledgement, &request));
    rig.advance(SECOND * 14 + SECOND * 999 / 1000);
    assert_eq!(rig.events(), vec![]);
    rig.advance(SECOND / 1000);
    let reason = Failure::Unanswered;
    assert_eq!(
        rig.one_event(),
        Event::Failed {
            peer: PEER,
            exchange,
            reason
        }
    );
}

#[test]
fn a_reset_fails_the_request_confirmable_or_not() {
    let mut rig = Rig::new();
    for confirmable in [Reliability::Confirmable, Reliability::NonConfirmable] {
        let request = Request {
            confirmable,
            ..Request::new(Code::GET, ["3"])
        };
        let exchange = rig.send(request);
        let sent = rig.one_sent();
        rig.receive(&empty(Type::Reset, &sent));
        let reason = Failure::Reset;
        assert_eq!(
            rig.one_event(),
            Event::Failed {
                peer: PEER,
                exchange,
                reason
            }
        );
    }
}

#[test]
fn the_late_answer_to_a_request_that_was_reset_is_rejected() {
    let mut rig = Rig::new();
    let failed = rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    let other = rig.send(Request::new(Code::GET, ["4"]));
    rig.receive(&empty(Type::Reset, &request));
    let reason = Failure::Reset;
    assert_eq!(
        rig.one_event(),
        Event::Failed {
            peer: PEER,
            exchange: failed,
            reason
        }
    );
    let waiting = rig.one_sent();
    let late = Message {
        token: request.token,
        ..con(Code::NOT_FOUND_4_04, 900)
    };
    rig.receive(&late);
    assert_eq!(rig.one_sent(), empty(Type::Reset, &late));
    assert_eq!(rig.events(), []);
    rig.receive(&ack(&waiting, Code::CONTENT_2_05));
    assert!(matches!(rig.one_event(), Event::Response { exchange, .. } if exchange == other));
}

#[test]
fn a_response_with_another_token_does_not_match() {
    let mut rig = Rig::new();
    rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    let wrong = Message {
        token: Token::new(&[1]).unwrap(),
        ..ack(&request, Code::CONTENT_2_05)
    };
    rig.receive(&wrong);
    assert_eq!(rig.events(), []);
    let stranger = con(Code::CONTENT_2_05, 77);
    rig.receive(&stranger);
    assert_eq!(rig.one_sent(), empty(Type::Reset, &stranger));
    rig.receive(&Message {
        kind: Type::NonConfirmable,
        ..con(Code::CONTENT_2_05, 78)
    });
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.endpoint.counters().unknown_token, 3);
    rig.receive(&ack(&request, Code::CONTENT_2_05));
    rig.one_response();
}

#[test]
fn a_token_of_nine_to_fifteen_bytes_is_a_format_error() {
    let mut rig = Rig::new();
    for length in 9..=15 {
        let mut datagram = vec![0x40 | length, 0x01, 0, length];
        datagram.resize(4 + usize::from(length), 0xaa);
        rig.receive_bytes(&datagram);
        let reset = rig.one_sent();
        assert_eq!(
            (reset.kind, reset.id.0),
            (Type::Reset, u16::from(length)),
            "{length}"
        );
    }
    assert_eq!(rig.events(), []);
    rig.receive_bytes(&[0x48, 0x01, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    rig.one_request();
}

#[test]
fn a_path_is_its_segments_also_where_they_are_empty_or_look_encoded() {
    let mut rig = Rig::new();
    let segments: [&[&str]; 4] = [&["rd", ""], &["", "rd"], &["r%64"], &[""]];
    for (segments, id) in segments.into_iter().zip(0..) {
        let mut message = con(Code::POST, id);
        for segment in segments {
            message.options.push(number::URI_PATH, segment.as_bytes());
        }
        rig.receive(&message);
        assert_eq!(rig.one_request().1.path, segments);
    }
}

#[test]
fn the_empty_token_is_a_token() {
    let mut rig = Rig::new();
    rig.receive(&Message {
        token: Token::EMPTY,
        ..get(5, "3")
    });
    let (exchange, request) = rig.one_request();
    assert_eq!(request.token, Some(Token::EMPTY));
    rig.respond(exchange, content(b"x"));
    assert_eq!(rig.one_sent().token, Token::EMPTY);
    rig.events();
    rig.send(Request {
        token: Some(Token::EMPTY),
        ..Request::new(Code::GET, ["3"])
    });
    let sent = rig.one_sent();
    rig.receive(&ack(&sent, Code::CONTENT_2_05));
    rig.one_response();
}

#[test]
fn an_unknown_critical_option_is_refused_and_an_elective_one_ignored() {
    let mut rig = Rig::new();
    let mut critical = get(5, "3");
    critical.options.push(65_001, b"x");
    rig.receive(&critical);
    assert_eq!(rig.one_sent().code, Code::BAD_OPTION_4_02);
    rig.receive(&Message {
        kind: Type::NonConfirmable,
        id: MessageId(6),
        ..critical
    });
    assert_eq!(rig.one_sent().kind, Type::Reset);
    let mut elective = get(7, "3");
    elective.options.push(65_000, b"x");
    rig.receive(&elective);
    rig.one_request();
    let mut twice = get(8, "3");
    twice.options.push_uint(number::ACCEPT, 0);
    twice.options.push_uint(number::ACCEPT, 0);
    rig.receive(&twice);
    assert_eq!(rig.one_sent().code, Code::BAD_OPTION_4_02);
    let mut proxy = get(9, "3");
    proxy.options.push(number::PROXY_URI, b"coap://x");
    rig.receive(&proxy);
    assert_eq!(rig.one_sent().code, Code::PROXYING_NOT_SUPPORTED_5_05);
    rig.receive(&con(Code::from_byte(8), 10));
    assert_eq!(rig.one_sent().code, Code::METHOD_NOT_ALLOWED_4_05);
    assert_eq!(rig.events(), []);
}

#[test]
fn a_response_with_an_unknown_critical_option_fails_the_request() {
    let mut rig = Rig::new();
    let bad = |message: Message| {
        let mut message = message;
        message.options.push(65_001, b"x");
        message
    };
    rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    rig.receive(&bad(ack(&request, Code::CONTENT_2_05)));
    assert!(matches!(
        rig.one_event(),
        Event::Failed {
            reason: Failure::BadOption,
            ..
        }
    ));
    rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    let separate = bad(Message {
        token: request.token,
        ..con(Code::CONTENT_2_05, 4)
    });
    rig.receive(&separate);
    assert_eq!(rig.one_sent(), empty(Type::Reset, &separate));
    assert!(matches!(
        rig.one_event(),
        Event::Failed {
            reason: Failure::BadOption,
            ..
        }
    ));
}

#[test]
fn options_the_caller_understands_are_passed_through() {
    let mut rig = Rig::with(Config {
        passed_options: vec![9],
        ..Config::default()
    });
    let mut request = get(5, "3");
    request.options.push(9, b"oscore");
    rig.receive(&request);
    let (exchange, request) = rig.one_request();
    assert_eq!(request.extra[0].value, b"oscore");
    rig.respond(
        exchange,
        Response {
            extra: request.extra,
            ..content(b"")
        },
    );
    assert_eq!(rig.one_sent().options.first(9), Some(&b"oscore"[..]));
}

#[test]
fn cancelling_fails_the_request_and_lets_the_next_go() {
    let mut rig = Rig::new();
    let first = rig.send(Request::new(Code::GET, ["a"]));
    rig.send(Request::new(Code::GET, ["b"]));
    let sent = rig.one_sent();
    rig.endpoint.cancel(first);
    let reason = Failure::Cancelled;
    assert_eq!(
        rig.one_event(),
        Event::Failed {
            peer: PEER,
            exchange: first,
            reason
        }
    );
    assert!(rig.endpoint.poll_timeout().unwrap() <= rig.now);
    rig.advance(Duration::ZERO);
    assert_eq!(
        rig.one_sent().options.first(number::URI_PATH),
        Some(&b"b"[..])
    );
    rig.receive(&ack(&sent, Code::CONTENT_2_05));
    assert_eq!(rig.events(), []);
}
