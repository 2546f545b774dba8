//! The OSCORE option (RFC 8613 §2 and §6.1).

use crate::identifier::{IdContext, Identifier};
use crate::partial_iv::PartialIv;

/// Its number.
pub const OSCORE: u16 = 9;

const RESERVED: u8 = 0b1110_0000;
const KID_CONTEXT: u8 = 0b0001_0000;
const KID: u8 = 0b0000_1000;
const LENGTH: u8 = 0b0000_0111;

/// The compressed COSE header that the option carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OscoreOption {
    /// The sender's sequence number; always there in requests.
    pub partial_iv: Option<PartialIv>,
    /// Which set of contexts, usually the ID Context.
    pub kid_context: Option<IdContext>,
    /// The sender's identifier; always there in requests.
    pub kid: Option<Identifier>,
}

/// Whether an encoded message has the option, without a look at the rest of it: most messages of a
/// carrier that is used without OSCORE as well have none. Of what is no message this says nothing.
pub(crate) fn is_in(datagram: &[u8]) -> bool {
    const HEADER: usize = 4;
    let token = datagram
        .first()
        .map_or(0, |first| usize::from(first & 0x0F));
    let mut rest = datagram.get(HEADER + token..).unwrap_or_default();
    let mut number = 0;
    // RFC 7252 §3.1: options come in the order of their numbers, each as the distance to the one before.
    while let Some((&head, tail)) = rest.split_first() {
        let (delta, tail) = match head >> 4 {
            small @ 0..13 => (u16::from(small), tail),
            // That far ahead there are only higher numbers, and behind 0xff the payload.
            _ => return false,
        };
        number += delta;
        if number >= OSCORE {
            return number == OSCORE;
        }
        let (length, tail) = match (head & 0x0F, tail) {
            (13, [more, tail @ ..]) => (13 + usize::from(*more), tail),
            (14, [high, low, tail @ ..]) => {
                (269 + usize::from(u16::from_be_bytes([*high, *low])), tail)
            }
            (small @ 0..13, tail) => (usize::from(small), tail),
            _ => return false,
        };
        rest = tail.get(length..).unwrap_or_default();
    }
    false
}

/// The option's value is not as RFC 8613 §6.1 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the OSCORE option is malformed")]
pub struct MalformedOption;

impl OscoreOption {
    /// The option's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0];
        let mut flags = 0;
        if let Some(partial_iv) = self.partial_iv {
            partial_iv.with_encoded(|bytes| {
                flags |= bytes.len() as u8;
                out.extend_from_slice(bytes);
            });
        }
        if let Some(context) = &self.kid_context {
            flags |= KID_CONTEXT;
            out.push(context.as_bytes().len() as u8);
            out.extend_from_slice(context.as_bytes());
        }
        if let Some(kid) = &self.kid {
            flags |= KID;
            out.extend_from_slice(kid.as_bytes());
        }
        // RFC 8613 §2: "If the OSCORE flag bits are all zero (0x00), the option value SHALL be
        // empty".
        if flags == 0 {
            return Vec::new();
        }
        if let Some(first) = out.first_mut() {
            *first = flags;
        }
        out
    }

    /// Reads an option's value. Strict: reserved bits and lengths, numbers in a long form, and
    /// whatever is left over, are malformed.
    pub fn decode(value: &[u8]) -> Result<Self, MalformedOption> {
        let Some((&flags, mut rest)) = value.split_first() else {
            return Ok(Self::default());
        };
        // Bit 0 announces a second byte of flags, of which none is defined.
        if flags == 0 || flags & RESERVED != 0 || flags & LENGTH > 5 {
            return Err(MalformedOption);
        }
        let mut option = Self::default();
        let length = usize::from(flags & LENGTH);
        if length > 0 {
            let bytes = take(&mut rest, length)?;
            option.partial_iv = Some(PartialIv::decode(bytes).ok_or(MalformedOption)?);
        }
        if flags & KID_CONTEXT != 0 {
            let length = take(&mut rest, 1)?.first().copied().unwrap_or_default();
            let bytes = take(&mut rest, usize::from(length))?;
            option.kid_context = Some(IdContext::new(bytes).ok_or(MalformedOption)?);
        }
        if flags & KID != 0 {
            option.kid = Some(Identifier::new(rest).ok_or(MalformedOption)?);
        } else if !rest.is_empty() {
            return Err(MalformedOption);
        }
        Ok(option)
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], MalformedOption> {
    let (head, tail) = rest.split_at_checked(length).ok_or(MalformedOption)?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use coap::{Code, Message, MessageId, Token, Type};
    use proptest::prelude::*;

    use super::*;

    fn option(partial_iv: Option<u64>, context: Option<&[u8]>, kid: Option<&[u8]>) -> OscoreOption {
        OscoreOption {
            partial_iv: partial_iv.map(|number| PartialIv::new(number).unwrap()),
            kid_context: context.map(|bytes| IdContext::new(bytes).unwrap()),
            kid: kid.map(|bytes| Identifier::new(bytes).unwrap()),
        }
    }

    proptest! {
        #[test]
        fn the_option_is_found_without_decoding(
            options in proptest::collection::vec(
                (prop_oneof![0..20_u16, any::<u16>()], proptest::collection::vec(any::<u8>(), 0..300)),
                0..6
            ),
            token in proptest::collection::vec(any::<u8>(), 0..=8),
            garbage in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut message = Message::new(Type::Confirmable, Code::POST, MessageId(1));
            message.token = Token::new(&token).unwrap();
            for (number, value) in &options {
                message.options.push(*number, value);
            }
            message.payload = vec![9; 3];
            let datagram = message.to_datagram();
            prop_assert_eq!(is_in(&datagram), message.options.first(OSCORE).is_some());
            // Of what is no message it only has to say something.
            is_in(&garbage);
        }
    }

    #[test]
    fn the_examples_of_section_6_3_read_and_write() {
        for (value, fields) in [
            ("", option(None, None, None)),
            ("090525", option(Some(5), None, Some(&[0x25]))),
            ("0900", option(Some(0), None, Some(&[]))),
            ("190500", option(Some(5), Some(&[]), Some(&[]))),
            (
                "1905044461746125",
                option(Some(5), Some(b"Data"), Some(&[0x25])),
            ),
            ("0107", option(Some(7), None, None)),
        ] {
            let bytes = hex::decode(value).unwrap();
            assert_eq!(OscoreOption::decode(&bytes), Ok(fields.clone()), "{value}");
            assert_eq!(fields.encode(), bytes);
        }
    }

    #[test]
    fn what_is_reserved_or_left_over_is_refused() {
        for value in [
            "00",                 // no flags must be no bytes
            "8900",               // an extended flag byte
            "2900",               // reserved bits
            "0e010203040506",     // a Partial IV of six bytes
            "02",                 // cut off
            "020001",             // a leading zero
            "010102",             // bytes behind the Partial IV, but no kid
            "1001",               // a kid context that is cut off
            "080102030405060708", // a kid of eight bytes
        ] {
            let bytes = hex::decode(value).unwrap();
            assert_eq!(
                OscoreOption::decode(&bytes),
                Err(MalformedOption),
                "{value}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn what_can_be_read_is_written_back_the_same(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)
        ) {
            if let Ok(option) = OscoreOption::decode(&bytes) {
                proptest::prop_assert_eq!(option.encode(), bytes);
            }
        }
    }
}
