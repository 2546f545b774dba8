//! Whatever arrives, nothing panics, grows or is believed.

use coap::{Code, Message, MessageId, Token, Type};
use oscore::{Config, ContextState, Output, Server};
use proptest::prelude::*;

use crate::pair::{Pair, SERVER};

/// Code and diagnostic payload of what the server answers.
fn answer(pair: &mut Pair, datagram: &[u8]) -> Option<(Code, Vec<u8>)> {
    pair.server.handle_datagram(pair.now, pair.place, datagram);
    match pair.server.poll_output() {
        Some(Output::Transmit { message, .. }) => {
            let message = message.decode().unwrap();
            Some((message.code, message.payload))
        }
        Some(other) => panic!("{other:?}"),
        None => None,
    }
}

#[test]
fn requests_that_are_not_accepted_are_answered_as_section_8_2_says() {
    let mut pair = Pair::new();
    pair.device_gets("rd");
    let recorded = coap::decode(&pair.up.sent[0]).unwrap();
    let with = |id: u16, option: &[u8], payload: &[u8]| {
        let mut message = Message::new(Type::Confirmable, Code::POST, MessageId(id));
        message.options.push(oscore::OSCORE, option);
        message.payload = payload.to_vec();
        message.to_datagram()
    };
    let mut replayed = recorded.clone();
    replayed.id.0 ^= 1;
    // Above the numbers of the device, which are of generation 1.
    let fresh = b"\x0c\x01\x00\x00\x7fdev";
    for (datagram, code, diagnostic) in [
        (
            replayed.to_datagram(),
            Code::UNAUTHORIZED_4_01,
            "Replay detected",
        ),
        (
            with(1, fresh, &[7; 40]),
            Code::BAD_REQUEST_4_00,
            "Decryption failed",
        ),
        (
            with(2, fresh, &[7; 3]),
            Code::BAD_REQUEST_4_00,
            "Decryption failed",
        ),
        (
            with(3, fresh, &[]),
            Code::BAD_OPTION_4_02,
            "Failed to decode COSE",
        ),
        (
            with(4, b"\xe9\x01dev", &[7; 40]),
            Code::BAD_OPTION_4_02,
            "Failed to decode COSE",
        ),
        (
            with(5, b"", &[7; 40]),
            Code::BAD_OPTION_4_02,
            "Failed to decode COSE",
        ),
        (
            with(6, b"\x08dev", &[7; 40]),
            Code::BAD_OPTION_4_02,
            "Failed to decode COSE",
        ),
    ] {
        let expected = (code, diagnostic.as_bytes().to_vec());
        assert_eq!(answer(&mut pair, &datagram), Some(expected), "{diagnostic}");
    }
    assert_eq!(pair.requests_at_server(), 1);
}

#[test]
fn copies_of_one_request_cost_a_bounded_number_of_answers() {
    let mut pair = Pair::new();
    pair.device_gets("rd");
    let recorded = pair.up.sent[0].clone();
    let before = pair
        .server
        .remaining_sequence_numbers(pair.context)
        .unwrap();
    for _ in 0..1000 {
        pair.deliver_up(&recorded);
        pair.settle();
    }
    let after = pair
        .server
        .remaining_sequence_numbers(pair.context)
        .unwrap();
    assert!(before - after <= 8, "{} numbers", before - after);
}

#[test]
fn requests_without_answer_are_bounded() {
    let mut server = Server::new(
        Config {
            max_requests: 10,
            max_received: 10,
            ..Config::default()
        },
        [1; 32],
    );
    let mut pair = Pair::new();
    let state = ContextState::never_used(&SERVER).unwrap();
    let context = server.import(state, 1).unwrap();
    pair.device_gets("rd");
    server.handle_datagram(pair.now, pair.place, &pair.up.sent[0]);
    let mut refused = 0;
    for i in 0..100_u16 {
        let mut request = Message::new(Type::Confirmable, Code::GET, MessageId(i));
        request.token = Token::new(&i.to_be_bytes()).unwrap();
        if server
            .send(pair.now, context, &request.to_datagram())
            .is_err()
        {
            refused += 1;
        }
    }
    assert_eq!(refused, 90);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_datagrams_do_not_panic(
        datagrams in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..60), 1..20
        )
    ) {
        let mut pair = Pair::new();
        pair.device_gets("rd");
        let accepted = pair.server.counters().requests;
        for datagram in &datagrams {
            pair.server.handle_datagram(pair.now, pair.place, datagram);
            pair.client.handle_datagram(pair.now, datagram);
            let _ = pair.server.send(pair.now, pair.context, datagram);
            while pair.server.poll_output().is_some() {}
        }
        prop_assert_eq!(pair.server.counters().requests, accepted);
    }

    #[test]
    fn damaged_datagrams_are_not_believed(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut pair = Pair::new();
        pair.device_gets("rd");
        let state = ContextState::never_used(&SERVER).unwrap();
        let mut fresh = Server::new(Config::default(), [1; 32]);
        fresh.import(state, 1).unwrap();
        let mut datagram = pair.up.sent[0].clone();
        // Header, token and U options are not protected (RFC 8613 §4): the ciphertext is.
        let payload = coap::decode(&datagram).unwrap().payload.len();
        let start = datagram.len() - payload;
        for (at, mask) in edits {
            let at = start + at.index(payload);
            datagram[at] ^= mask;
        }
        if let Some(cut) = cut {
            datagram.truncate(cut.index(datagram.len()));
        }
        if datagram != pair.up.sent[0] {
            fresh.handle_datagram(pair.now, pair.place, &datagram);
            prop_assert_eq!(fresh.counters().requests, 0);
        }
    }
}
