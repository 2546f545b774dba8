#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MAX: usize = 200_000;

fn message(code: Code, token: &[u8], options: &[(u16, Vec<u8>)], payload: Vec<u8>) -> Message {
    let mut message = Message::new(Type::NonConfirmable, code, MessageId(0));
    message.token = Token::new(token).unwrap();
    for (number, value) in options {
        message.options.push(*number, value);
    }
    message.payload = payload;
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    encode(message, &mut out);
    assert_eq!(out.len(), encoded_len(message));
    out
}

/// RFC 8323 §3.2, figures 5 and 6.
#[test]
fn the_examples_of_the_rfc_are_read_and_written() {
    let csm = message(Code::from_byte(0xe1), &[], &[], Vec::new());
    assert_eq!(bytes(&csm), [0x00, 0xe1]);
    let response = message(
        Code::CONTENT_2_05,
        &[0x7f],
        &[(12, Vec::new()), (14, vec![60])],
        Vec::new(),
    );
    assert_eq!(bytes(&response), [0x31, 0x45, 0x7f, 0xc0, 0x21, 0x3c]);
    for expected in [csm, response] {
        let bytes = bytes(&expected);
        let decoded = decode(&bytes, MAX).unwrap();
        assert_eq!(decoded, Some((expected, bytes.len())));
    }
}

#[test]
fn lengths_take_up_to_four_more_bytes() {
    // The payload marker counts as well.
    for (payload, head) in [
        (11, &[0xc0, 0x01][..]),
        (12, &[0xd0, 0x00, 0x01]),
        (267, &[0xd0, 0xff, 0x01]),
        (268, &[0xe0, 0x00, 0x00, 0x01]),
        (65_803, &[0xe0, 0xff, 0xff, 0x01]),
        (65_804, &[0xf0, 0x00, 0x00, 0x00, 0x00, 0x01]),
    ] {
        let message = message(Code::GET, &[], &[], vec![7; payload]);
        let bytes = bytes(&message);
        assert_eq!(bytes.get(..head.len()), Some(head), "{payload}");
        assert_eq!(
            decode(&bytes, MAX).unwrap(),
            Some((message, head.len() + 1 + payload))
        );
    }
}

#[test]
fn what_is_no_message_is_refused_as_soon_as_it_shows() {
    for (bytes, max, error) in [
        (&[0x09][..], MAX, FrameError::TokenLength(9)),
        (
            &[0xe0, 0xff, 0xff],
            1152,
            FrameError::TooLarge {
                size: 4 + 65_804,
                max: 1152,
            },
        ),
        (
            &[0xf0, 0xff, 0xff, 0xff, 0xff],
            MAX,
            FrameError::TooLarge {
                size: u64::from(u32::MAX) + 6,
                max: MAX,
            },
        ),
        (
            &[0x10, 0x01, 0xff],
            MAX,
            FrameError::Content(DecodeError::EmptyPayload),
        ),
        (
            &[0x10, 0x01, 0x41],
            MAX,
            FrameError::Content(DecodeError::Truncated),
        ),
    ] {
        assert_eq!(decode(bytes, max), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn an_option_above_65535_bytes_is_refused() {
    // Number 1 with an extended length of 65,535 + 269.
    let mut content = vec![0x1e, 0xff, 0xff];
    content.resize(3 + 65_535 + 269, 0);
    let mut frame = vec![0xf0];
    frame.extend_from_slice(&(content.len() as u32 - FOUR_BYTES).to_be_bytes());
    frame.push(0x01);
    frame.extend_from_slice(&content);
    assert_eq!(
        decode(&frame, MAX),
        Err(FrameError::Content(DecodeError::OptionLength))
    );
}

fn messages() -> impl Strategy<Value = Message> {
    let options = vec((0..2000_u16, vec(any::<u8>(), 0..300)), 0..4);
    (any::<u8>(), vec(any::<u8>(), 0..=8), options, 0..2000_usize).prop_map(
        |(code, token, options, payload)| {
            message(Code::from_byte(code), &token, &options, vec![3; payload])
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(messages in vec(messages(), 0..8)) {
        let mut stream = Vec::new();
        for message in &messages {
            encode(message, &mut stream);
        }
        let (mut rest, mut decoded) = (&stream[..], Vec::new());
        while let Some((message, len)) = decode(rest, MAX).unwrap() {
            decoded.push(message);
            rest = &rest[len..];
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(decoded, messages);
    }

    #[test]
    fn a_message_that_is_cut_off_is_waited_for(message in messages(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes(&message);
        prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())], MAX), Ok(None));
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(Some((_, len))) = decode(&bytes, 300) {
            prop_assert!(len <= 300);
        }
    }
}
