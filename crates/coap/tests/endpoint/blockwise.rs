use std::time::Duration;

use coap::{
    BlockSize, Code, Config, Event, Failure, Message, MessageId, Request, Response, Token, Type,
    number,
};

use crate::rig::{
    PEER, Rig, ack, block_of, con, content, empty, get, pattern, small_blocks, uint_of, with_block,
};

const BLOCK1: u16 = number::BLOCK1;
const BLOCK2: u16 = number::BLOCK2;

fn put(payload: Vec<u8>) -> Request {
    Request {
        payload,
        ..Request::new(Code::PUT, ["5", "0", "0"])
    }
}

fn continued(request: &Message, block: (u32, u32, u32)) -> Message {
    with_block(ack(request, Code::CONTINUE_2_31), BLOCK1, block)
}

#[test]
fn a_large_request_is_sent_in_blocks_with_its_size_in_the_first() {
    let mut rig = Rig::with(small_blocks(BlockSize::B64));
    let body = pattern(150);
    rig.send(put(body.clone()));
    let mut received = vec![];
    for (at, more) in [(0, true), (1, true), (2, false)] {
        let block = rig.one_sent();
        assert_eq!(block_of(&block, BLOCK1), Some((at, more, 64)));
        assert_eq!(uint_of(&block, number::SIZE1), (at == 0).then_some(150));
        received.extend_from_slice(&block.payload);
        let code = if more {
            Code::CONTINUE_2_31
        } else {
            Code::CHANGED_2_04
        };
        rig.receive(&with_block(
            ack(&block, code),
            BLOCK1,
            (at, u32::from(more), 64),
        ));
    }
    assert_eq!(received, body);
    assert_eq!(rig.one_response().code, Code::CHANGED_2_04);
}

#[test]
fn a_smaller_size_in_a_continue_scales_the_number() {
    let mut rig = Rig::new();
    rig.send(put(pattern(2000)));
    let first = rig.one_sent();
    rig.receive(&continued(&first, (0, 1, 256)));
    let second = rig.one_sent();
    assert_eq!(block_of(&second, BLOCK1), Some((4, true, 256)));
    assert_eq!(second.payload, &pattern(2000)[1024..1280]);
}

#[test]
fn a_4_13_with_a_smaller_block_is_retried_once() {
    for whole in [true, false] {
        let mut rig = Rig::new();
        rig.send(put(pattern(if whole { 600 } else { 3000 })));
        let first = rig.one_sent();
        let refusal = ack(&first, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
        rig.receive(&with_block(refusal, BLOCK1, (0, 0, 128)));
        let again = rig.one_sent();
        assert_eq!(block_of(&again, BLOCK1), Some((0, true, 128)));
        let refusal = ack(&again, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
        rig.receive(&with_block(refusal, BLOCK1, (0, 0, 64)));
        assert_eq!(rig.one_response().code, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
    }
}

#[test]
fn a_4_13_with_a_size_is_retried_with_blocks_of_that_size() {
    let mut rig = Rig::new();
    rig.send(put(pattern(600)));
    let first = rig.one_sent();
    let mut refusal = ack(&first, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
    refusal.options.push_uint(number::SIZE1, 300);
    rig.receive(&refusal);
    assert_eq!(block_of(&rig.one_sent(), BLOCK1), Some((0, true, 256)));
    let mut rig = Rig::new();
    rig.send(put(pattern(600)));
    let first = rig.one_sent();
    rig.receive(&ack(&first, Code::REQUEST_ENTITY_TOO_LARGE_4_13));
    assert_eq!(rig.one_response().code, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
}

#[test]
fn a_4_08_restarts_the_upload_once() {
    let mut rig = Rig::new();
    rig.send(put(pattern(3000)));
    for _ in 0..2 {
        let first = rig.one_sent();
        assert_eq!(block_of(&first, BLOCK1), Some((0, true, 1024)));
        rig.receive(&continued(&first, (0, 1, 1024)));
        let second = rig.one_sent();
        rig.receive(&ack(&second, Code::REQUEST_ENTITY_INCOMPLETE_4_08));
    }
    assert_eq!(
        rig.one_response().code,
        Code::REQUEST_ENTITY_INCOMPLETE_4_08
    );
}

#[test]
fn a_continue_for_another_block_or_after_the_last_fails() {
    for (body, block) in [(3000, (5, 1, 1024)), (100, (0, 0, 1024))] {
        let mut rig = Rig::new();
        rig.send(put(pattern(body)));
        let first = rig.one_sent();
        rig.receive(&continued(&first, block));
        assert!(matches!(
            rig.one_event(),
            Event::Failed {
                reason: Failure::BlockwiseFailed,
                ..
            }
        ));
    }
}

fn upload_block(id: u16, token: u8, block: (u32, u32, u32), body: &[u8]) -> Message {
    let mut message = con(Code::POST, id);
    message.token = Token::new(&[token]).unwrap();
    message.options.push(number::URI_PATH, b"rd");
    let start = (block.0 * block.2) as usize;
    message.payload = body[start..body.len().min(start + block.2 as usize)].to_vec();
    with_block(message, BLOCK1, block)
}

#[test]
fn blocks_of_a_request_are_joined_whatever_their_tokens() {
    let mut rig = Rig::with(small_blocks(BlockSize::B32));
    let body = pattern(160);
    rig.receive(&upload_block(1, 1, (0, 1, 64), &body));
    let answer = rig.one_sent();
    assert_eq!(answer.code, Code::CONTINUE_2_31);
    assert_eq!(block_of(&answer, BLOCK1), Some((0, true, 32)));
    for (id, at) in [(2, 2), (3, 3)] {
        rig.receive(&upload_block(id, id as u8, (at, 1, 32), &body));
        assert_eq!(rig.one_sent().code, Code::CONTINUE_2_31);
    }
    // A repeated block with another message id changes nothing.
    rig.receive(&upload_block(4, 4, (3, 1, 32), &body));
    assert_eq!(rig.one_sent().code, Code::CONTINUE_2_31);
    rig.receive(&upload_block(5, 5, (4, 0, 32), &body));
    let (exchange, request) = rig.one_request();
    assert_eq!(request.payload, body);
    rig.respond(exchange, Response::new(Code::CREATED_2_01));
    let answer = rig.one_sent();
    assert_eq!((answer.code, answer.id.0), (Code::CREATED_2_01, 5));
    assert_eq!(block_of(&answer, BLOCK1), Some((4, false, 32)));
    assert_eq!(rig.endpoint.body_bytes(), 0);
}

#[test]
fn blocks_for_other_queries_are_other_bodies() {
    let mut rig = Rig::new();
    let bodies = [pattern(100), vec![7; 100]];
    let block = |id, device: usize, block| {
        let mut message = upload_block(id, 1, block, &bodies[device]);
        let endpoint = format!("ep={device}");
        message.options.push(number::URI_QUERY, endpoint.as_bytes());
        message
    };
    for device in [0, 1] {
        rig.receive(&block(device as u16, device, (0, 1, 64)));
    }
    rig.sent();
    for device in [0, 1] {
        rig.receive(&block(10 + device as u16, device, (1, 0, 64)));
        assert_eq!(rig.one_request().1.payload, bodies[device]);
    }
}

#[test]
fn a_body_of_more_than_65_536_blocks_arrives_and_is_sent() {
    const LEN: usize = 1_100_000;
    let mut rig = Rig::with(Config {
        block_size: BlockSize::B16,
        max_body: LEN,
        ..Config::default()
    });
    let body = pattern(LEN);
    let last = LEN.div_ceil(16) as u32 - 1;
    assert!(last > 1 << 16);
    for at in 0..=last {
        rig.receive(&upload_block(
            at as u16,
            1,
            (at, u32::from(at < last), 16),
            &body,
        ));
        // Ids are free again after the exchange lifetime.
        rig.advance(Duration::from_millis(5));
    }
    assert_eq!(rig.one_request().1.payload, body);

    let mut rig = Rig::with(small_blocks(BlockSize::B16));
    rig.send(put(body.clone()));
    for at in 0..last {
        let block = rig.one_sent();
        assert_eq!(block_of(&block, BLOCK1), Some((at, true, 16)));
        rig.receive(&continued(&block, (at, 1, 16)));
        rig.advance(Duration::from_millis(5));
    }
    let block = rig.one_sent();
    assert_eq!(block_of(&block, BLOCK1), Some((last, false, 16)));
    assert_eq!(block.payload, &body[last as usize * 16..]);
}

#[test]
fn a_missing_block_is_4_08_and_a_wrong_length_4_00() {
    let mut rig = Rig::new();
    let body = pattern(300);
    rig.receive(&upload_block(1, 1, (1, 1, 64), &body));
    assert_eq!(rig.one_sent().code, Code::REQUEST_ENTITY_INCOMPLETE_4_08);
    rig.receive(&upload_block(2, 1, (0, 1, 64), &body));
    rig.receive(&upload_block(3, 1, (2, 1, 64), &body));
    assert_eq!(rig.sent()[1].code, Code::REQUEST_ENTITY_INCOMPLETE_4_08);
    let mut short = upload_block(4, 1, (0, 1, 64), &body);
    short.payload.pop();
    rig.receive(&short);
    assert_eq!(rig.one_sent().code, Code::BAD_REQUEST_4_00);
    assert_eq!(rig.endpoint.body_bytes(), 0);
}

#[test]
fn a_body_above_the_bound_is_4_13_with_the_bound() {
    let mut rig = Rig::with(Config {
        max_body: 100,
        ..Config::default()
    });
    let body = pattern(192);
    rig.receive(&upload_block(1, 1, (0, 1, 64), &body));
    rig.receive(&upload_block(2, 1, (1, 1, 64), &body));
    let refusal = &rig.sent()[1];
    assert_eq!(refusal.code, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
    assert_eq!(uint_of(refusal, number::SIZE1), Some(100));
    let mut announced = upload_block(3, 1, (0, 1, 64), &body);
    announced.options.push_uint(number::SIZE1, 101);
    rig.receive(&announced);
    assert_eq!(rig.one_sent().code, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
}

#[test]
fn unrelated_requests_are_answered_in_the_middle_of_transfers() {
    let mut rig = Rig::new();
    let body = pattern(200);
    rig.receive(&upload_block(1, 1, (0, 1, 64), &body));
    rig.sent();
    rig.receive(&get(2, "rd"));
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(&pattern(3000)));
    rig.sent();
    rig.events();
    rig.receive(&upload_block(3, 1, (1, 1, 64), &body));
    assert_eq!(rig.one_sent().code, Code::CONTINUE_2_31);
    rig.receive(&with_block(get(4, "rd"), BLOCK2, (1, 0, 1024)));
    assert_eq!(rig.one_sent().payload, &pattern(3000)[1024..2048]);
    rig.receive(&upload_block(5, 1, (2, 1, 64), &body));
    rig.receive(&upload_block(6, 1, (3, 0, 64), &body));
    assert_eq!(rig.one_request().1.payload, body);
}

#[test]
fn a_large_response_is_served_in_blocks_with_an_entity_tag() {
    let mut rig = Rig::new();
    let body = pattern(2500);
    let mut first = get(1, "fw");
    first.options.push_uint(number::SIZE2, 0);
    rig.receive(&first);
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(&body));
    let answer = rig.one_sent();
    assert_eq!(block_of(&answer, BLOCK2), Some((0, true, 1024)));
    assert_eq!(uint_of(&answer, number::SIZE2), Some(2500));
    let etag = answer.options.first(number::ETAG).unwrap().to_vec();
    rig.events();
    let mut received = answer.payload;
    for (id, at) in [(2, 1), (3, 2)] {
        rig.receive(&with_block(get(id, "fw"), BLOCK2, (at, 0, 1024)));
        let answer = rig.one_sent();
        assert_eq!(answer.options.first(number::ETAG), Some(&etag[..]));
        assert_eq!(uint_of(&answer, number::SIZE2), None);
        received.extend_from_slice(&answer.payload);
    }
    assert_eq!(received, body);
    assert_eq!((rig.events(), rig.endpoint.body_bytes()), (vec![], 0));
}

#[test]
fn the_requester_chooses_smaller_blocks_also_in_the_middle() {
    let mut rig = Rig::new();
    let body = pattern(2500);
    rig.receive(&with_block(get(1, "fw"), BLOCK2, (0, 0, 512)));
    let (exchange, request) = rig.one_request();
    assert_eq!(request.block_size, Some(BlockSize::B512));
    rig.respond(exchange, content(&body));
    assert_eq!(block_of(&rig.one_sent(), BLOCK2), Some((0, true, 512)));
    rig.receive(&with_block(get(2, "fw"), BLOCK2, (8, 0, 64)));
    let answer = rig.one_sent();
    assert_eq!(block_of(&answer, BLOCK2), Some((8, true, 64)));
    assert_eq!(answer.payload, &body[512..576]);
}

#[test]
fn a_later_block_of_a_forgotten_body_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.receive(&with_block(get(1, "fw"), BLOCK2, (2, 0, 1024)));
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(&pattern(2500)));
    let answer = rig.one_sent();
    assert_eq!(block_of(&answer, BLOCK2), Some((2, false, 1024)));
    assert_eq!(answer.payload, &pattern(2500)[2048..]);
    rig.events();
    let post = Message {
        code: Code::POST,
        ..get(2, "fw")
    };
    rig.receive(&with_block(post, BLOCK2, (2, 0, 1024)));
    assert_eq!(rig.one_sent().code, Code::REQUEST_ENTITY_INCOMPLETE_4_08);
    rig.receive(&with_block(get(3, "fw"), BLOCK2, (9, 0, 1024)));
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(&pattern(2500)));
    assert_eq!(rig.one_sent().code, Code::BAD_REQUEST_4_00);
}

#[test]
fn nothing_is_kept_of_a_shared_body() {
    let mut rig = Rig::new();
    let body = bytes::Bytes::from(pattern(1_100_000));
    let respond = |rig: &mut Rig| {
        let (exchange, _) = rig.one_request();
        let response = Response::new(Code::CONTENT_2_05);
        rig.endpoint
            .respond_shared(rig.now, exchange, response, &body);
        assert!(matches!(rig.one_event(), Event::ResponseDelivered { .. }));
        rig.one_sent()
    };
    // Sent again, as its answer was lost: it is answered again.
    for _ in 0..2 {
        rig.receive(&get(1, "fw"));
        let sent = respond(&mut rig);
        assert_eq!(block_of(&sent, BLOCK2), Some((0, true, 1024)));
        assert_eq!(sent.payload, &body[..1024]);
    }
    assert_eq!(rig.endpoint.body_bytes(), 0);
    rig.receive(&with_block(get(2, "fw"), BLOCK2, (68_749, 0, 16)));
    assert_eq!(respond(&mut rig).payload, &body[1_099_984..]);
}

fn part(request: &Message, block: (u32, u32, u32), etag: u8, body: &[u8]) -> Message {
    let mut message = ack(request, Code::CONTENT_2_05);
    message.options.push(number::ETAG, &[etag]);
    let start = (block.0 * block.2) as usize;
    message.payload = body[start..body.len().min(start + block.2 as usize)].to_vec();
    with_block(message, BLOCK2, block)
}

#[test]
fn the_following_blocks_of_a_response_are_fetched() {
    let mut rig = Rig::new();
    let body = pattern(150);
    rig.send(Request::new(Code::GET, ["3"]));
    for (at, more) in [(0, 1), (1, 1), (2, 0)] {
        let request = rig.one_sent();
        assert_eq!(request.options.first(number::URI_PATH), Some(&b"3"[..]));
        if at > 0 {
            assert_eq!(block_of(&request, BLOCK2), Some((at, false, 64)));
        }
        rig.receive(&part(&request, (at, more, 64), 1, &body));
    }
    assert_eq!(rig.one_response().payload, body);
    assert_eq!(rig.endpoint.body_bytes(), 0);
}

#[test]
fn a_changed_entity_tag_restarts_the_fetch_once_and_then_fails() {
    for stable in [true, false] {
        let mut rig = Rig::new();
        let (old, new) = (pattern(128), vec![9; 128]);
        rig.send(Request::new(Code::GET, ["3"]));
        let request = rig.one_sent();
        rig.receive(&part(&request, (0, 1, 64), 1, &old));
        let request = rig.one_sent();
        rig.receive(&part(&request, (1, 0, 64), 2, &new));
        let request = rig.one_sent();
        assert_eq!(block_of(&request, BLOCK2), Some((0, false, 64)));
        rig.receive(&part(&request, (0, 1, 64), 2, &new));
        let request = rig.one_sent();
        rig.receive(&part(
            &request,
            (1, 0, 64),
            if stable { 2 } else { 3 },
            &new,
        ));
        match rig.one_event() {
            Event::Response { response, .. } if stable => assert_eq!(response.payload, new),
            Event::Failed {
                reason: Failure::BlockwiseFailed,
                ..
            } if !stable => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn entity_tags_are_the_same_only_byte_for_byte() {
    let mut rig = Rig::new();
    let tagged = |request: &Message, at: u32, etag: &[u8]| {
        let mut message = ack(request, Code::CONTENT_2_05);
        message.options.push(number::ETAG, etag);
        message.payload = vec![at as u8; 64];
        with_block(message, BLOCK2, (at, 1 - at, 64))
    };
    for other in [&[1, 0][..], &[0, 1], &[2], &[]] {
        rig.send(Request::new(Code::GET, ["3"]));
        let first = rig.one_sent();
        rig.receive(&tagged(&first, 0, &[1]));
        let request = rig.one_sent();
        rig.receive(&tagged(&request, 1, other));
        // It begins again.
        let again = rig.one_sent();
        assert_eq!(block_of(&again, BLOCK2), Some((0, false, 64)), "{other:?}");
        rig.receive(&tagged(&again, 0, &[1]));
        let last = rig.one_sent();
        rig.receive(&tagged(&last, 1, &[1]));
        assert_eq!(rig.one_response().payload.len(), 128);
    }
}

#[test]
fn a_body_that_is_replaced_while_it_is_fetched_has_another_entity_tag() {
    let mut rig = Rig::new();
    let (old, new) = (pattern(2500), vec![7; 2500]);
    let etag = |message: &Message| message.options.first(number::ETAG).unwrap().to_vec();
    let fetch = |rig: &mut Rig, id, at| {
        rig.receive(&with_block(get(id, "fw"), BLOCK2, (at, 0, 1024)));
    };
    fetch(&mut rig, 1, 0);
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(&old));
    let first = rig.one_sent();
    rig.events();
    // What was begun goes on with the body that it began with.
    fetch(&mut rig, 2, 1);
    let second = rig.one_sent();
    assert_eq!(
        (etag(&second), &second.payload[..]),
        (etag(&first), &old[1024..2048])
    );
    // By the time that the requester comes back it is forgotten, and there is another one.
    rig.advance(Duration::from_secs(300));
    fetch(&mut rig, 3, 2);
    let (exchange, _) = rig.one_request();
    rig.respond(exchange, content(&new));
    let third = rig.one_sent();
    assert_eq!(third.payload, &new[2048..]);
    assert_ne!(etag(&third), etag(&first));
}

#[test]
fn a_response_body_above_the_bound_fails() {
    let mut rig = Rig::with(Config {
        max_body: 100,
        ..Config::default()
    });
    rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    rig.receive(&part(&request, (0, 1, 64), 1, &pattern(200)));
    let request = rig.one_sent();
    rig.receive(&part(&request, (1, 1, 64), 1, &pattern(200)));
    let event = rig.one_event();
    assert!(
        matches!(
            event,
            Event::Failed {
                reason: Failure::BodyTooLarge,
                ..
            }
        ),
        "{event:?}"
    );
    assert_eq!(rig.endpoint.body_bytes(), 0);
}

#[test]
fn a_stale_copy_of_an_earlier_block_is_ignored() {
    let mut rig = Rig::new();
    let body = pattern(128);
    rig.send(Request::new(Code::GET, ["3"]));
    let request = rig.one_sent();
    rig.receive(&part(&request, (0, 1, 64), 1, &body));
    let second = rig.one_sent();
    rig.receive(&empty(Type::Acknowledgement, &second));
    let stale = part(&request, (0, 1, 64), 1, &body);
    rig.receive(&Message {
        kind: Type::NonConfirmable,
        id: MessageId(70),
        ..stale
    });
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    let last = part(&second, (1, 0, 64), 1, &body);
    rig.receive(&Message {
        kind: Type::Confirmable,
        id: MessageId(71),
        ..last
    });
    assert_eq!(rig.one_response().payload, body);
}

#[test]
fn transfers_take_turns_and_go_before_what_has_not_begun() {
    let mut rig = Rig::new();
    let body = pattern(192);
    let path = |message: &Message| message.options.first(number::URI_PATH).unwrap().to_vec();
    let begun = ["a", "b"].map(|path| {
        rig.send(Request::new(Code::GET, [path]));
        let request = rig.one_sent();
        rig.receive(&empty(Type::Acknowledgement, &request));
        request
    });
    rig.send(Request::new(Code::GET, ["hold"]));
    rig.send(Request::new(Code::GET, ["c"]));
    let hold = rig.one_sent();
    for (request, id) in begun.iter().zip([70, 71]) {
        let first = part(request, (0, 1, 64), 1, &body);
        let kind = Type::NonConfirmable;
        rig.receive(&Message {
            kind,
            id: MessageId(id),
            ..first
        });
    }
    rig.receive(&ack(&hold, Code::CONTENT_2_05));
    for (expected, block) in [
        (b"a", (1, 1, 64)),
        (b"b", (1, 1, 64)),
        (b"a", (2, 0, 64)),
        (b"b", (2, 0, 64)),
    ] {
        let leg = rig.one_sent();
        assert_eq!(path(&leg), expected);
        rig.receive(&part(&leg, block, 1, &body));
    }
    assert_eq!(path(&rig.one_sent()), b"c");
    assert_eq!(rig.events().len(), 3);
}

/// The requests that are sent, by path, until there is no more; each part of the body is asked for with 2.31.
fn begun_while_a_body_is_sent(waiting: Vec<Request>) -> Vec<String> {
    let mut rig = Rig::with(small_blocks(BlockSize::B64));
    rig.send(Request {
        payload: pattern(200),
        ..Request::new(Code::PUT, ["a"])
    });
    for request in waiting {
        rig.send(request);
    }
    let mut order = Vec::new();
    while let [request] = &rig.sent()[..] {
        let path = request.options.first(number::URI_PATH).unwrap();
        order.push(String::from_utf8(path.to_vec()).unwrap());
        let code = match block_of(request, BLOCK1) {
            Some((_, true, _)) => Code::CONTINUE_2_31,
            _ => Code::CHANGED_2_04,
        };
        let answer = ack(request, code);
        rig.receive(&match block_of(request, BLOCK1) {
            Some((number, more, _)) => with_block(answer, BLOCK1, (number, more.into(), 64)),
            None => answer,
        });
    }
    order
}

#[test]
fn a_transfer_lets_one_request_begin_after_each_leg() {
    let waiting = ["b", "c", "d"].map(|path| Request::new(Code::GET, [path]));
    let order = begun_while_a_body_is_sent(waiting.into());
    assert_eq!(order, ["a", "a", "b", "a", "c", "a", "d"]);
}

#[test]
fn a_transfer_lets_no_other_one_begin() {
    let large = Request {
        payload: pattern(100),
        ..Request::new(Code::PUT, ["b"])
    };
    let order = begun_while_a_body_is_sent(vec![large]);
    assert_eq!(order, ["a", "a", "a", "a", "b", "b"]);
}

#[test]
fn both_bodies_of_one_exchange_may_be_large() {
    let mut rig = Rig::with(small_blocks(BlockSize::B64));
    rig.send(Request {
        payload: pattern(100),
        ..Request::new(Code::POST, ["3"])
    });
    let request = rig.one_sent();
    rig.receive(&continued(&request, (0, 1, 64)));
    let request = rig.one_sent();
    let first = part(&request, (0, 1, 64), 1, &pattern(128));
    rig.receive(&with_block(first, BLOCK1, (1, 0, 64)));
    let request = rig.one_sent();
    assert_eq!(
        (block_of(&request, BLOCK1), request.payload.len()),
        (None, 0)
    );
    assert_eq!(block_of(&request, BLOCK2), Some((1, false, 64)));
    rig.receive(&part(&request, (1, 0, 64), 1, &pattern(128)));
    assert_eq!(rig.one_response().payload, pattern(128));
}

#[test]
fn progress_resets_the_timers_of_a_transfer() {
    let mut rig = Rig::with(small_blocks(BlockSize::B16));
    let body = pattern(160);
    for at in 0..10 {
        rig.receive(&upload_block(
            at as u16,
            1,
            (at, u32::from(at < 9), 16),
            &body,
        ));
        rig.advance(Duration::from_secs(200));
    }
    let events = rig.events();
    assert!(
        matches!(&events[..], [Event::Request { peer: PEER, request, .. }] if request.payload == body)
    );
}

#[test]
fn a_transfer_may_take_long_if_only_it_goes_on() {
    let mut rig = Rig::with(small_blocks(BlockSize::B16));
    let (start, body) = (rig.now, pattern(160));
    let slow = |rig: &mut Rig, request: &Message| {
        rig.receive(&empty(Type::Acknowledgement, request));
        rig.advance(Duration::from_secs(80));
    };
    let separate = |message: Message, id| Message {
        kind: Type::NonConfirmable,
        id: MessageId(id),
        ..message
    };
    rig.send(put(body.clone()));
    for at in 0..10 {
        let block = rig.one_sent();
        slow(&mut rig, &block);
        let more = u32::from(at < 9);
        let answer = match more {
            1 => continued(&block, (at, 1, 16)),
            _ => ack(&block, Code::CHANGED_2_04),
        };
        rig.receive(&separate(answer, at as u16));
    }
    assert_eq!(rig.one_response().code, Code::CHANGED_2_04);
    rig.send(Request::new(Code::GET, ["3"]));
    for at in 0..10 {
        let request = rig.one_sent();
        slow(&mut rig, &request);
        let answer = part(&request, (at, u32::from(at < 9), 16), 1, &body);
        rig.receive(&separate(answer, 100 + at as u16));
    }
    assert_eq!(rig.one_response().payload, body);
    assert!(rig.now - start > Duration::from_secs(1500));
}
