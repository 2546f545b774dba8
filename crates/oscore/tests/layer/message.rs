//! Single messages: what goes in comes out, and nothing else does.

use coap::{Code, Message, MessageId, Token, Type, number};
use oscore::{
    Algorithm, OSCORE, ProtectError, ReceivedRequest, Secrets, SecurityContext, SentRequest,
    UnprotectError,
};
use proptest::prelude::*;

use crate::pair::{DEVICE, SERVER};

fn contexts(algorithm: Algorithm) -> (SecurityContext, SecurityContext) {
    let device = Secrets {
        algorithm,
        ..DEVICE
    };
    let server = Secrets {
        algorithm,
        ..SERVER
    };
    (
        SecurityContext::derive(&device).unwrap(),
        SecurityContext::derive(&server).unwrap(),
    )
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::AesCcm16_64_128), Just(Algorithm::A128Gcm)]
}

/// Any options but those that have a rule of their own.
fn options() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let known = prop_oneof![
        Just(number::URI_HOST),
        Just(number::URI_PATH),
        Just(number::URI_QUERY),
        Just(number::CONTENT_FORMAT),
        Just(number::BLOCK1),
        Just(number::BLOCK2),
        Just(number::MAX_AGE),
        Just(number::PROXY_SCHEME),
        Just(252_u16),
        any::<u16>(),
    ];
    let allowed = |number: &u16| ![OSCORE, number::PROXY_URI, number::OBSERVE].contains(number);
    let value = proptest::collection::vec(any::<u8>(), 0..20);
    let known = known.prop_filter("has rules", allowed);
    proptest::collection::vec((known, value), 0..6)
}

fn message(code: impl Strategy<Value = Code>) -> impl Strategy<Value = Message> {
    let kind = prop_oneof![Just(Type::Confirmable), Just(Type::NonConfirmable)];
    let token = proptest::collection::vec(any::<u8>(), 0..=8);
    let payload = proptest::collection::vec(any::<u8>(), 0..100);
    (kind, code, any::<u16>(), token, options(), payload).prop_map(
        |(kind, code, id, token, options, payload)| {
            let mut message = Message::new(kind, code, MessageId(id));
            message.token = Token::new(&token).unwrap();
            for (number, value) in options {
                message.options.push(number, &value);
            }
            message.payload = payload;
            message
        },
    )
}

fn request() -> impl Strategy<Value = Message> {
    let code = (1..=31_u8).prop_map(Code::from_byte);
    (message(code), proptest::option::of(0..=1_u32)).prop_map(|(mut message, observe)| {
        if let Some(value) = observe {
            message.options.push_uint(number::OBSERVE, value);
        }
        message
    })
}

fn response() -> impl Strategy<Value = Message> {
    let code = prop_oneof![0x40..0x60_u8, 0x80..0xC0_u8];
    message(code.prop_map(Code::from_byte))
}

/// The messages of one exchange, protected, and what either side remembers of it.
fn exchange(
    device: &mut SecurityContext,
    server: &mut SecurityContext,
    request: &Message,
) -> (Message, SentRequest, ReceivedRequest) {
    let (outer, sent) = device.protect_request(request).unwrap();
    let (inner, received) = server.unprotect_request(&outer).unwrap();
    assert_eq!(inner, *request);
    (outer, sent, received)
}

/// The message with one bit of its OSCORE option or payload inverted.
fn flipped(outer: &Message, bit: usize) -> Message {
    let mut copy = Message {
        options: coap::Options::default(),
        ..outer.clone()
    };
    let option_bits = outer.options.first(OSCORE).unwrap().len() * 8;
    for (number, value) in outer.options.iter() {
        let mut value = value.to_vec();
        if number == OSCORE && bit < option_bits {
            value[bit / 8] ^= 1 << (bit % 8);
        }
        copy.options.push(number, &value);
    }
    if let Some(bit) = bit.checked_sub(option_bits) {
        copy.payload[bit / 8] ^= 1 << (bit % 8);
    }
    copy
}

fn bits(outer: &Message) -> usize {
    (outer.options.first(OSCORE).unwrap().len() + outer.payload.len()) * 8
}

proptest! {
    #[test]
    fn what_is_protected_comes_out_again(
        algorithm in algorithm(), request in request(), response in response()
    ) {
        let (mut device, mut server) = contexts(algorithm);
        let (_, mut sent, mut received) = exchange(&mut device, &mut server, &request);
        for _ in 0..2 {
            let outer = server.protect_response(&response, &mut received).unwrap();
            prop_assert_eq!(coap::decode(&outer.to_datagram()).unwrap(), outer.clone());
            let inner = device.unprotect_response(&outer, &mut sent).unwrap();
            prop_assert_eq!(&inner, &response);
        }
        prop_assert_eq!(
            server.unprotect_request(&device.protect_request(&request).unwrap().0).unwrap().0,
            request
        );
    }

    #[test]
    fn every_flipped_bit_is_found(
        algorithm in algorithm(), request in request(), response in response()
    ) {
        let (mut device, mut server) = contexts(algorithm);
        let (outer, mut sent) = device.protect_request(&request).unwrap();
        for bit in 0..bits(&outer) {
            prop_assert!(server.unprotect_request(&flipped(&outer, bit)).is_err(), "bit {bit}");
        }
        // None of the forgeries moved the window.
        let (_, mut received) = server.unprotect_request(&outer).unwrap();
        for _ in 0..2 {
            let outer = server.protect_response(&response, &mut received).unwrap();
            for bit in 0..bits(&outer) {
                let forged = flipped(&outer, bit);
                prop_assert!(device.unprotect_response(&forged, &mut sent).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_request_is_accepted_once_in_any_order(order in Just((0..40_usize).collect::<Vec<_>>())
        .prop_shuffle())
    {
        let (mut device, mut server) = contexts(Algorithm::AesCcm16_64_128);
        let request = Message::new(Type::NonConfirmable, Code::GET, MessageId(1));
        let outer: Vec<_> = order.iter().map(|_| device.protect_request(&request).unwrap().0)
            .collect();
        for &at in &order {
            prop_assert!(server.unprotect_request(&outer[at]).is_ok());
            prop_assert_eq!(
                server.unprotect_request(&outer[at]).unwrap_err(), UnprotectError::Replayed
            );
        }
    }

    #[test]
    fn arbitrary_messages_do_not_panic(
        option in proptest::collection::vec(any::<u8>(), 0..20), mut outer in request()
    ) {
        let (mut device, mut server) = contexts(Algorithm::AesCcm16_64_128);
        let (_, mut sent) = device.protect_request(&outer).unwrap();
        outer.options.push(OSCORE, &option);
        prop_assert!(server.unprotect_request(&outer).is_err());
        prop_assert!(device.unprotect_response(&outer, &mut sent).is_err());
        prop_assert_eq!(
            device.protect_request(&outer).unwrap_err(), ProtectError::AlreadyProtected
        );
    }
}

fn notification(value: &[u8]) -> Message {
    let mut message = Message::new(Type::NonConfirmable, Code::CONTENT_2_05, MessageId(1));
    message.options.push_uint(number::OBSERVE, 1234);
    message.payload = value.to_vec();
    message
}

#[test]
fn notifications_count_up_and_never_go_back() {
    let (mut device, mut server) = contexts(Algorithm::AesCcm16_64_128);
    let mut observe = Message::new(Type::Confirmable, Code::GET, MessageId(1));
    observe.options.push_uint(number::OBSERVE, 0);
    let (outer, mut sent, mut received) = exchange(&mut device, &mut server, &observe);
    assert_eq!(outer.code, Code::FETCH);
    let outer: Vec<_> = [b"a", b"b", b"c"]
        .map(|value| {
            server
                .protect_response(&notification(value), &mut received)
                .unwrap()
        })
        .to_vec();
    let first = device.unprotect_response(&outer[0], &mut sent).unwrap();
    assert_eq!(first.options.first(number::OBSERVE), Some(&[1][..]));
    let third = device.unprotect_response(&outer[2], &mut sent).unwrap();
    assert_eq!(third.options.first(number::OBSERVE), Some(&[2][..]));
    assert_eq!(third.payload, b"c");
    for old in &outer {
        let again = device.unprotect_response(old, &mut sent);
        assert_eq!(again.unwrap_err(), UnprotectError::Stale);
    }
}

#[test]
fn a_response_is_bound_to_its_request() {
    let (mut device, mut server) = contexts(Algorithm::AesCcm16_64_128);
    let get = Message::new(Type::Confirmable, Code::GET, MessageId(1));
    let (_, mut first, mut received) = exchange(&mut device, &mut server, &get);
    let (_, mut second, _) = exchange(&mut device, &mut server, &get);
    let content = Message::new(Type::Acknowledgement, Code::CONTENT_2_05, MessageId(1));
    for _ in 0..2 {
        let outer = server.protect_response(&content, &mut received).unwrap();
        let mixed_up = device.unprotect_response(&outer, &mut second);
        assert_eq!(mixed_up.unwrap_err(), UnprotectError::DecryptionFailed);
        assert!(device.unprotect_response(&outer, &mut first).is_ok());
    }
}

#[test]
fn what_was_not_encrypted_does_not_count_if_it_should_have_been() {
    let (mut device, mut server) = contexts(Algorithm::AesCcm16_64_128);
    let mut get = Message::new(Type::Confirmable, Code::GET, MessageId(1));
    get.options.push(number::URI_PATH, b"3");
    get.options.push(number::URI_HOST, b"host");
    let (mut outer, _) = device.protect_request(&get).unwrap();
    assert_eq!(outer.options.first(number::URI_HOST), Some(&b"host"[..]));
    outer.options.push(number::URI_PATH, b"forged");
    outer.options.push_uint(number::OBSERVE, 0);
    outer.options.push_uint(number::MAX_AGE, 9);
    outer.code = Code::DELETE;
    assert_eq!(server.unprotect_request(&outer).unwrap().0, get);
}

#[test]
fn requests_and_responses_do_not_pass_for_each_other() {
    let (mut device, mut server) = contexts(Algorithm::AesCcm16_64_128);
    let get = Message::new(Type::Confirmable, Code::GET, MessageId(1));
    let content = Message::new(Type::Acknowledgement, Code::CONTENT_2_05, MessageId(1));
    assert_eq!(
        device.protect_request(&content).unwrap_err(),
        ProtectError::WrongKind
    );
    let (_, _, mut received) = exchange(&mut device, &mut server, &get);
    assert_eq!(
        server.protect_response(&get, &mut received).unwrap_err(),
        ProtectError::WrongKind
    );
}
