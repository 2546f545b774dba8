#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use coap_lite::Packet;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn the_examples_of_rfc_7252_appendix_a_decode_and_encode() {
    // Figure 16: CON GET /temperature, MID 0x7d34, no token.
    let get = bytes("40 01 7d34 bb 74656d7065726174757265");
    let message = decode(&get).unwrap();
    assert_eq!(
        (message.kind, message.code, message.id.0),
        (Type::Confirmable, Code::GET, 0x7d34)
    );
    assert_eq!(message.options.first(11), Some(&b"temperature"[..]));
    assert_eq!(message.to_datagram(), get);
    // Its answer: ACK 2.05 with payload "22.3 C".
    let content = bytes("60 45 7d34 ff 32322e332043");
    let message = decode(&content).unwrap();
    assert_eq!(
        (message.kind, message.code),
        (Type::Acknowledgement, Code::CONTENT_2_05)
    );
    assert_eq!(message.payload, b"22.3 C");
    assert_eq!(message.to_datagram(), content);
}

#[test]
fn broken_messages_are_told_apart() {
    for (datagram, error) in [
        ("40 01 00", DecodeError::TooShort),
        ("80 01 0001", DecodeError::UnknownVersion(2)),
        ("49 01 0001 000000000000000000", DecodeError::TokenLength(9)),
        ("4f 01 0001", DecodeError::TokenLength(15)),
        ("42 01 0001 aa", DecodeError::Truncated),
        ("41 00 0001 aa", DecodeError::EmptyWithContent),
        ("40 00 0001 ff", DecodeError::EmptyWithContent),
        ("40 01 0001 f0", DecodeError::ReservedNibble),
        ("40 01 0001 0f", DecodeError::ReservedNibble),
        ("40 01 0001 b3 7264", DecodeError::Truncated),
        ("40 01 0001 d0", DecodeError::Truncated),
        ("40 01 0001 e0 00", DecodeError::Truncated),
        ("40 01 0001 e0 ffff", DecodeError::OptionNumber),
        ("40 01 0001 e0 fef2 10", DecodeError::OptionNumber),
        ("40 01 0001 ff", DecodeError::EmptyPayload),
    ] {
        assert_eq!(decode(&bytes(datagram)), Err(error), "{datagram}");
    }
}

#[test]
fn the_largest_option_number_and_long_values_are_carried() {
    let mut message = Message::new(Type::NonConfirmable, Code::POST, MessageId(9));
    for (number, len) in [(1, 12), (14, 13), (283, 268), (65_535, 269), (65_535, 1034)] {
        message.options.push(number, &vec![7; len]);
    }
    assert_eq!(decode(&message.to_datagram()).unwrap(), message);
}

fn message() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![
        Just(Type::Confirmable),
        Just(Type::NonConfirmable),
        Just(Type::Acknowledgement),
        Just(Type::Reset)
    ];
    let number = prop_oneof![0_u16..70, 260_u16..300, any::<u16>()];
    let options = vec((number, vec(any::<u8>(), 0..300)), 0..12);
    let token = vec(any::<u8>(), 0..=8);
    (
        kind,
        1_u8..,
        any::<u16>(),
        token,
        options,
        vec(any::<u8>(), 0..100),
    )
        .prop_map(|(kind, code, id, token, options, payload)| {
            let mut message = Message::new(kind, Code::from_byte(code), MessageId(id));
            message.token = Token::new(&token).unwrap();
            for (number, value) in options {
                message.options.push(number, &value);
            }
            Message { payload, ..message }
        })
}

proptest! {
    #[test]
    fn messages_survive_the_round_trip(message in message()) {
        prop_assert_eq!(decode(&message.to_datagram()), Ok(message));
    }

    #[test]
    fn random_bytes_never_panic_and_decode_to_what_they_encode(
        datagram in vec(any::<u8>(), 0..200),
    ) {
        if let Ok(message) = decode(&datagram) {
            prop_assert_eq!(decode(&message.to_datagram()), Ok(message));
        }
    }

    #[test]
    fn another_codec_reads_and_writes_the_same_bytes(message in message()) {
        let ours = message.to_datagram();
        let theirs = Packet::from_bytes(&ours).unwrap().to_bytes_unlimited().unwrap();
        prop_assert_eq!(decode(&theirs), Ok(message));
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn another_codec_agrees_on_damaged_messages(
        message in message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut datagram = message.to_datagram();
        let at = at.index(datagram.len());
        datagram[at] = byte;
        if let (Ok(ours), Ok(theirs)) = (decode(&datagram), Packet::from_bytes(&datagram))
            && let Ok(again) = theirs.to_bytes_unlimited()
        {
            prop_assert_eq!(decode(&again), Ok(ours));
        }
    }
}
