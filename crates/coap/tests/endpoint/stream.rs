//! Peers on a stream (RFC 8323): one endpoint with hand-made messages, and two with connections
//! between them.

use std::time::{Duration, Instant};

use coap::reliable::{self, Capabilities, Connection};
use coap::{
    Block, BlockSize, Code, Config, Endpoint, Event, ExchangeId, Failure, Message, MessageId,
    Output, Reliability, Request, Response, SendError, Token, Type, number,
};

use crate::rig::{PEER, Rig, content, pattern};

fn on_stream(max_message_size: usize, bert: bool) -> Rig {
    let mut rig = Rig::new();
    let capabilities = Capabilities {
        max_message_size,
        bert,
    };
    let opened = rig.endpoint.open_stream(rig.now, PEER, capabilities);
    opened.unwrap();
    rig
}

fn receive(rig: &mut Rig, message: Message) {
    rig.endpoint.handle_message(rig.now, PEER, message);
}

fn message(code: Code, token: u8) -> Message {
    let mut message = Message::new(Type::NonConfirmable, code, MessageId(0));
    message.token = Token::new(&[token]).unwrap();
    message
}

fn answer(request: &Message, code: Code) -> Message {
    Message {
        token: request.token,
        ..message(code, 0)
    }
}

#[test]
fn requests_are_told_apart_by_nothing_but_order() {
    let mut rig = on_stream(1152, false);
    // The same message twice is two requests.
    for _ in 0..2 {
        receive(&mut rig, message(Code::GET, 1));
        let (exchange, _) = rig.one_request();
        rig.advance(Duration::from_secs(60));
        assert_eq!(rig.sent(), []);
        rig.respond(exchange, content(b"late"));
        let sent = rig.one_sent();
        assert_eq!(
            (sent.token, sent.code),
            (message(Code::GET, 1).token, Code::CONTENT_2_05)
        );
        assert!(matches!(rig.one_event(), Event::ResponseDelivered { .. }));
    }
    assert_eq!(rig.endpoint.remembered_count(), 0);
}

#[test]
fn requests_do_not_wait_for_each_other_and_are_not_repeated() {
    let mut rig = on_stream(1152, false);
    let ids = [(); 3].map(|()| rig.send(Request::new(Code::GET, ["a"])));
    let sent = rig.sent();
    assert_eq!(sent.len(), 3);
    rig.advance(Duration::from_secs(60));
    assert_eq!(rig.sent(), []);
    receive(&mut rig, answer(&sent[2], Code::CONTENT_2_05));
    assert!(matches!(rig.one_event(), Event::Response { exchange, .. } if exchange == ids[2]));
    rig.advance(Duration::from_secs(60));
    let failed = rig.events();
    assert_eq!(failed.len(), 2);
    // A late answer is dropped without a word.
    receive(&mut rig, answer(&sent[0], Code::CONTENT_2_05));
    assert_eq!((rig.sent(), rig.events()), (Vec::new(), Vec::new()));
}

#[test]
fn what_is_refused_is_answered_and_never_reset() {
    let mut rig = on_stream(1152, false);
    let mut critical = message(Code::GET, 1);
    critical.options.push(9, b"?");
    receive(&mut rig, critical);
    assert_eq!(rig.one_sent().code, Code::BAD_OPTION_4_02);
    let mut notification = message(Code::CONTENT_2_05, 9);
    notification.options.push_uint(number::OBSERVE, 1);
    receive(&mut rig, notification);
    receive(&mut rig, message(Code::from_byte(0x21), 1));
    // A stranger has no stream.
    rig.endpoint
        .handle_message(rig.now, 77, message(Code::GET, 1));
    assert_eq!((rig.sent(), rig.events()), (Vec::new(), Vec::new()));
}

#[test]
fn a_closed_stream_frees_everything() {
    let mut rig = on_stream(1152, false);
    receive(&mut rig, message(Code::GET, 1));
    let (exchange, _) = rig.one_request();
    let asked = rig.send(Request::new(Code::GET, ["a"]));
    rig.sent();
    rig.endpoint.forget_peer(PEER);
    let failed = Event::Failed {
        peer: PEER,
        exchange: asked,
        reason: Failure::PeerGone,
    };
    assert_eq!(rig.one_event(), failed);
    rig.respond(exchange, content(b"too late"));
    rig.advance(Duration::from_secs(1000));
    assert_eq!((rig.sent(), rig.events()), (Vec::new(), Vec::new()));
    assert_eq!(rig.endpoint.peer_count(), 0);
    assert_eq!(rig.endpoint.counters().abandoned, 0);
}

#[test]
fn an_open_stream_is_kept_however_quiet() {
    let mut rig = on_stream(1152, false);
    rig.advance(Duration::from_secs(100_000));
    assert_eq!(rig.endpoint.peer_count(), 1);
    receive(&mut rig, message(Code::GET, 1));
    rig.one_request();
}

fn observe(rig: &mut Rig) -> Token {
    rig.send(Request {
        observe: Some(0),
        ..Request::new(Code::GET, ["3", "0"])
    });
    let sent = rig.one_sent();
    receive(rig, notification(sent.token, 5));
    rig.one_response();
    sent.token
}

fn notification(token: Token, sequence: u32) -> Message {
    let mut notification = Message {
        token,
        ..message(Code::CONTENT_2_05, 0)
    };
    notification.options.push_uint(number::OBSERVE, sequence);
    notification
}

/// RFC 8323 appendix A.
#[test]
fn notifications_are_as_new_as_they_arrive() {
    let mut rig = on_stream(1152, false);
    let token = observe(&mut rig);
    for sequence in [5, 4, 0] {
        receive(&mut rig, notification(token, sequence));
        assert!(matches!(rig.one_event(), Event::Notification { .. }));
    }
    assert_eq!(rig.sent(), []);
    // There is no reset that would end an observation.
    rig.endpoint.forget_observation(PEER, token);
    let cancel = rig.one_sent();
    assert_eq!((cancel.token, cancel.code), (token, Code::GET));
    assert_eq!(cancel.options.first(number::OBSERVE), Some(&[1][..]));
    receive(&mut rig, notification(token, 7));
    receive(&mut rig, answer(&cancel, Code::CONTENT_2_05));
    assert_eq!((rig.sent(), rig.events()), (Vec::new(), Vec::new()));
    assert_eq!(rig.endpoint.exchange_count(), 0);
}

#[test]
fn notifications_go_out_at_once_and_count_as_delivered() {
    let mut rig = on_stream(1152, false);
    let token = Token::new(&[1]).unwrap();
    for _ in 0..3 {
        let response = Response {
            observe: Some(1),
            ..content(b"x")
        };
        let reliability = Reliability::Confirmable;
        let id = rig
            .endpoint
            .notify(rig.now, PEER, token, response, reliability)
            .unwrap();
        let delivered = Event::NotificationDelivered {
            peer: PEER,
            token,
            notification: id,
        };
        assert_eq!(rig.one_event(), delivered);
    }
    assert_eq!(rig.sent().len(), 3);
}

fn block(message: &Message, number: u16) -> Option<(u32, bool, BlockSize)> {
    // `Block::from_value` reads what a datagram may hold.
    let value = message.options.first(number)?;
    let value = value
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    let size = match value & 7 {
        7 => BlockSize::BERT,
        exponent => BlockSize::at_most(16 << exponent),
    };
    Some((value >> 4, value & 8 != 0, size))
}

/// RFC 8323 §6.1, figure 16: blocks of several times 1024 bytes.
#[test]
fn a_response_in_bert_blocks_counts_in_units_of_1024() {
    let mut rig = on_stream(4096, true);
    receive(&mut rig, message(Code::GET, 1));
    let (exchange, _) = rig.one_request();
    let body = pattern(9000);
    rig.respond(exchange, content(&body));
    let mut got = Vec::new();
    let mut blocks = Vec::new();
    let mut sent = rig.one_sent();
    while let Some((at, more, BlockSize::BERT)) = block(&sent, number::BLOCK2) {
        assert!(reliable::encoded_len(&sent) <= 4096);
        got.extend_from_slice(&sent.payload);
        blocks.push((at, more));
        if !more {
            break;
        }
        let mut next = message(Code::GET, 2);
        let at = (got.len() / 1024) as u32;
        next.options.push_uint(number::BLOCK2, at << 4 | 7);
        receive(&mut rig, next);
        sent = rig.one_sent();
    }
    assert_eq!(blocks, [(0, true), (3, true), (6, false)]);
    assert_eq!(got, body);
}

#[test]
fn a_peer_without_bert_gets_plain_blocks_that_fit() {
    for (max_message_size, size) in [(1152, BlockSize::B1024), (600, BlockSize::B512)] {
        let mut rig = on_stream(max_message_size, false);
        receive(&mut rig, message(Code::GET, 1));
        let (exchange, _) = rig.one_request();
        rig.respond(exchange, content(&pattern(3000)));
        let sent = rig.one_sent();
        assert_eq!(block(&sent, number::BLOCK2), Some((0, true, size)));
        assert!(reliable::encoded_len(&sent) <= max_message_size);
    }
    // What fits is not cut.
    let mut rig = on_stream(8192, false);
    receive(&mut rig, message(Code::GET, 1));
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(&pattern(8000)));
    assert_eq!(rig.one_sent().payload.len(), 8000);
}

#[test]
fn size_exponent_7_is_reserved_on_datagrams_only() {
    let mut bert = message(Code::PUT, 1);
    bert.options.push_uint(number::BLOCK1, 7);
    bert.payload = pattern(5000);
    let mut rig = on_stream(1152, false);
    receive(&mut rig, bert.clone());
    let (exchange, request) = rig.one_request();
    assert_eq!(request.payload, pattern(5000));
    rig.respond(exchange, Response::new(Code::CHANGED_2_04));
    let echo = block(&rig.one_sent(), number::BLOCK1);
    assert_eq!(echo, Some((0, false, BlockSize::BERT)));
    assert_eq!(Block::from_value(&[7]), None);

    let mut rig = Rig::new();
    bert.kind = Type::Confirmable;
    rig.receive(&bert);
    assert_eq!(rig.one_sent().code, Code::BAD_OPTION_4_02);
}

/// Two endpoints with a connection between them that passes bytes in small chunks.
struct Pair {
    now: Instant,
    sides: [(Endpoint<()>, Connection); 2],
    responses: Vec<Response>,
    notifications: Vec<Response>,
    observer: Option<Token>,
    served: Vec<(ExchangeId, Request)>,
}

impl Pair {
    fn new(sizes: [usize; 2]) -> Self {
        let now = Instant::now();
        let sides = sizes.map(|max_message_size| {
            let config = reliable::Config {
                max_message_size,
                ..reliable::Config::default()
            };
            (
                Endpoint::new(Config::default(), max_message_size as u64),
                Connection::new(now, config),
            )
        });
        let mut pair = Self {
            now,
            sides,
            responses: Vec::new(),
            notifications: Vec::new(),
            observer: None,
            served: Vec::new(),
        };
        pair.drive();
        pair
    }

    fn drive(&mut self) {
        loop {
            let mut idle = true;
            for at in [0, 1] {
                self.settle(at);
                if let Some(bytes) = self.sides[at].1.poll_transmit() {
                    idle = false;
                    for chunk in bytes.chunks(333) {
                        self.sides[1 - at].1.handle_bytes(self.now, chunk);
                        self.settle(1 - at);
                    }
                }
            }
            if idle {
                return;
            }
        }
    }

    fn settle(&mut self, at: usize) {
        let (endpoint, connection) = &mut self.sides[at];
        while let Some(output) = connection.poll_output() {
            match output {
                reliable::Output::Ready(capabilities) => {
                    endpoint.open_stream(self.now, (), capabilities).unwrap();
                }
                reliable::Output::Message(message) => {
                    endpoint.handle_message(self.now, (), message);
                }
                other @ reliable::Output::Closed(_) => panic!("{other:?}"),
            }
        }
        while let Some(output) = endpoint.poll_output() {
            match output {
                Output::Send { message, .. } => connection.send(&message).unwrap(),
                Output::Event(Event::Request {
                    exchange,
                    request,
                    token,
                    ..
                }) => {
                    self.observer = request.observe.map(|_| token);
                    let mut response = content(&pattern(request.path[0].parse().unwrap()));
                    response.observe = request.observe;
                    self.served.push((exchange, request));
                    endpoint.respond(self.now, exchange, response);
                }
                Output::Event(Event::Response { response, .. }) => self.responses.push(response),
                Output::Event(Event::Notification { response, .. }) => {
                    self.notifications.push(response);
                }
                Output::Event(Event::ResponseDelivered { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn bodies_of_any_size_pass_in_both_directions() {
    for sizes in [
        [1152, 1152],
        [1152, 20_000],
        [20_000, 1152],
        [20_000, 20_000],
    ] {
        for (up, down) in [
            (0, 0),
            (1000, 1100),
            (5000, 40_000),
            (40_000, 5000),
            (65_536, 65_536),
        ] {
            let mut pair = Pair::new(sizes);
            let request = Request {
                payload: pattern(up),
                ..Request::new(Code::POST, [down.to_string()])
            };
            let (endpoint, _) = &mut pair.sides[0];
            endpoint.send_request(pair.now, (), request).unwrap();
            pair.drive();
            assert_eq!(pair.served.len(), 1, "{sizes:?} {up} {down}");
            assert_eq!(pair.served[0].1.payload, pattern(up));
            assert_eq!(pair.responses.len(), 1, "{sizes:?} {up} {down}");
            assert_eq!(pair.responses[0].payload, pattern(down));
            assert!(
                pair.sides
                    .iter()
                    .all(|(endpoint, _)| endpoint.body_bytes() == 0)
            );
        }
    }
}

#[test]
fn large_notifications_pass_in_blocks() {
    for sizes in [[1152, 1152], [20_000, 20_000]] {
        let mut pair = Pair::new(sizes);
        let request = Request {
            observe: Some(0),
            ..Request::new(Code::GET, ["30000"])
        };
        let (endpoint, _) = &mut pair.sides[0];
        endpoint.send_request(pair.now, (), request).unwrap();
        pair.drive();
        assert_eq!(pair.responses[0].payload, pattern(30_000));
        for sequence in 1..3 {
            let response = Response {
                observe: Some(sequence),
                ..content(&pattern(40_000))
            };
            let token = pair.observer.unwrap();
            let (endpoint, _) = &mut pair.sides[1];
            let reliability = Reliability::NonConfirmable;
            endpoint
                .notify(pair.now, (), token, response, reliability)
                .unwrap();
            pair.drive();
            assert_eq!(pair.notifications.len(), sequence as usize);
        }
        assert_eq!(pair.notifications[1].payload, pattern(40_000));
    }
}

#[test]
fn the_bound_of_peers_holds_for_streams() {
    let config = Config {
        max_peers: 1,
        ..Config::default()
    };
    let mut rig = Rig::with(config);
    let capabilities = Capabilities::default();
    rig.endpoint.open_stream(rig.now, 1, capabilities).unwrap();
    let refused = rig.endpoint.open_stream(rig.now, 2, capabilities);
    assert_eq!(refused, Err(SendError::Overloaded));
}
