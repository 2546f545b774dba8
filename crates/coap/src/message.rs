//! The parts of a CoAP message (RFC 7252 §3).

use std::fmt;

use crate::option::Options;

/// The message type, `T` of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Wants an acknowledgement, is retransmitted until it has one.
    Confirmable,
    /// Sent once.
    NonConfirmable,
    /// Acknowledges a confirmable message, may carry its response.
    Acknowledgement,
    /// Says that a message could not be placed.
    Reset,
}

/// A request method or response code, `class.detail` in eight bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u8);

impl Code {
    /// No request and no response: an acknowledgement, reset or ping.
    pub const EMPTY: Self = Self(0);
    pub const GET: Self = Self(1);
    pub const POST: Self = Self(2);
    pub const PUT: Self = Self(3);
    pub const DELETE: Self = Self(4);
    /// RFC 8132.
    pub const FETCH: Self = Self(5);
    /// RFC 8132.
    pub const PATCH: Self = Self(6);
    /// RFC 8132.
    pub const IPATCH: Self = Self(7);
    pub const CREATED_2_01: Self = Self::response(2, 1);
    pub const DELETED_2_02: Self = Self::response(2, 2);
    pub const VALID_2_03: Self = Self::response(2, 3);
    pub const CHANGED_2_04: Self = Self::response(2, 4);
    pub const CONTENT_2_05: Self = Self::response(2, 5);
    pub const CONTINUE_2_31: Self = Self::response(2, 31);
    pub const BAD_REQUEST_4_00: Self = Self::response(4, 0);
    pub const UNAUTHORIZED_4_01: Self = Self::response(4, 1);
    pub const BAD_OPTION_4_02: Self = Self::response(4, 2);
    pub const FORBIDDEN_4_03: Self = Self::response(4, 3);
    pub const NOT_FOUND_4_04: Self = Self::response(4, 4);
    pub const METHOD_NOT_ALLOWED_4_05: Self = Self::response(4, 5);
    pub const NOT_ACCEPTABLE_4_06: Self = Self::response(4, 6);
    pub const REQUEST_ENTITY_INCOMPLETE_4_08: Self = Self::response(4, 8);
    pub const CONFLICT_4_09: Self = Self::response(4, 9);
    pub const PRECONDITION_FAILED_4_12: Self = Self::response(4, 12);
    pub const REQUEST_ENTITY_TOO_LARGE_4_13: Self = Self::response(4, 13);
    pub const UNSUPPORTED_CONTENT_FORMAT_4_15: Self = Self::response(4, 15);
    pub const UNPROCESSABLE_ENTITY_4_22: Self = Self::response(4, 22);
    pub const TOO_MANY_REQUESTS_4_29: Self = Self::response(4, 29);
    pub const INTERNAL_SERVER_ERROR_5_00: Self = Self::response(5, 0);
    pub const NOT_IMPLEMENTED_5_01: Self = Self::response(5, 1);
    pub const BAD_GATEWAY_5_02: Self = Self::response(5, 2);
    pub const SERVICE_UNAVAILABLE_5_03: Self = Self::response(5, 3);
    pub const GATEWAY_TIMEOUT_5_04: Self = Self::response(5, 4);
    pub const PROXYING_NOT_SUPPORTED_5_05: Self = Self::response(5, 5);

    const fn response(class: u8, detail: u8) -> Self {
        Self(class << 5 | detail)
    }

    /// The code with this byte on the wire.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte on the wire.
    pub const fn as_byte(self) -> u8 {
        self.0
    }

    /// The three class bits: 0 request, 2 success, 4 client error, 5 server error.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The five detail bits.
    pub const fn detail(self) -> u8 {
        self.0 & 0x1f
    }

    /// 0.00.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// 0.01 to 0.31, also methods that nobody has defined.
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// 2.xx, 4.xx or 5.xx.
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }

    /// 2.xx.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// 4.xx.
    pub const fn is_client_error(self) -> bool {
        self.class() == 4
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identifies a message between two endpoints for the exchange lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u16);

/// Ties a response to its request: 0 to 8 bytes that mean something to the requester only.
///
/// The empty token is a token like any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Token {
    len: u8,
    bytes: [u8; 8],
}

impl Token {
    /// The token of zero bytes.
    pub const EMPTY: Self = Self {
        len: 0,
        bytes: [0; 8],
    };

    /// The token with these bytes, `None` above eight.
    pub fn new(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            len: value.len() as u8,
            bytes,
        })
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.len))
            .unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// One message as it travels: [`crate::decode`] and [`Message::encode`] turn it from and to bytes.
///
/// On a stream (RFC 8323 §3) a message has neither type nor id: there, `kind` and `id` say
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: Type,
    pub code: Code,
    pub id: MessageId,
    pub token: Token,
    pub options: Options,
    /// Empty when the message has no payload marker.
    pub payload: Vec<u8>,
}

impl Message {
    /// A message with neither token, options nor payload.
    pub fn new(kind: Type, code: Code, id: MessageId) -> Self {
        Self {
            kind,
            code,
            id,
            token: Token::EMPTY,
            options: Options::default(),
            payload: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn codes_read_as_class_and_detail() {
        assert_eq!(Code::CONTENT_2_05.to_string(), "2.05");
        assert_eq!(Code::CONTINUE_2_31.to_string(), "2.31");
        assert_eq!(Code::GET.to_string(), "0.01");
        assert!(Code::IPATCH.is_request() && !Code::EMPTY.is_request());
        assert!(Code::CHANGED_2_04.is_success() && !Code::NOT_FOUND_4_04.is_success());
        assert!(Code::NOT_FOUND_4_04.is_response() && !Code::from_byte(0xe1).is_response());
    }

    #[test]
    fn tokens_hold_at_most_eight_bytes() {
        assert_eq!(Token::new(&[]).unwrap(), Token::EMPTY);
        assert_eq!(Token::new(&[1; 8]).unwrap().as_bytes(), [1; 8]);
        assert_eq!(Token::new(&[1; 9]), None);
        assert_eq!(
            format!("{:?}", Token::new(&[0xab, 1]).unwrap()),
            "Token(ab01)"
        );
    }
}
