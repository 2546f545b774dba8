//! Bytes to messages and back (RFC 7252 §3).

#[cfg(test)]
mod tests;

use crate::error::DecodeError;
use crate::message::{Code, Message, MessageId, Token, Type};
use crate::option::Options;

const PAYLOAD_MARKER: u8 = 0xff;

/// Reads one message. Trailing bytes are the payload, so the whole datagram is always consumed.
pub fn decode(datagram: &[u8]) -> Result<Message, DecodeError> {
    let (&[first, code, id_high, id_low], mut rest) = datagram
        .split_first_chunk::<4>()
        .ok_or(DecodeError::TooShort)?;
    if first >> 6 != 1 {
        return Err(DecodeError::UnknownVersion(first >> 6));
    }
    let token_len = first & 0x0f;
    let code = Code::from_byte(code);
    // RFC 7252 §4.1: an empty message "MUST NOT contain bytes after the Message ID".
    if code.is_empty() && (token_len != 0 || !rest.is_empty()) {
        return Err(DecodeError::EmptyWithContent);
    }
    if token_len > 8 {
        return Err(DecodeError::TokenLength(token_len));
    }
    let token = take(&mut rest, usize::from(token_len))?;
    let token = Token::new(token).ok_or(DecodeError::TokenLength(token_len))?;
    let options = options(&mut rest)?;
    Ok(Message {
        kind: kind(first),
        code,
        id: MessageId(u16::from_be_bytes([id_high, id_low])),
        token,
        options,
        payload: rest.to_vec(),
    })
}

/// Type and id of a datagram of version 1, whatever its rest looks like: what is needed to
/// reject it.
pub fn decode_header(datagram: &[u8]) -> Option<(Type, MessageId)> {
    let (&[first, _, id_high, id_low], _) = datagram.split_first_chunk::<4>()?;
    let id = MessageId(u16::from_be_bytes([id_high, id_low]));
    (first >> 6 == 1).then(|| (kind(first), id))
}

fn kind(first: u8) -> Type {
    match first >> 4 & 0b11 {
        0 => Type::Confirmable,
        1 => Type::NonConfirmable,
        2 => Type::Acknowledgement,
        _ => Type::Reset,
    }
}

/// Reads the options and the payload marker; `rest` is the payload afterwards.
pub(crate) fn options(rest: &mut &[u8]) -> Result<Options, DecodeError> {
    if rest.is_empty() {
        return Ok(Options::default());
    }
    // Most requests have at most eight options in their first 128 bytes; more only costs growth.
    let mut options = Options::with_capacity(8, rest.len().min(128));
    let mut number = 0_u16;
    while let Some((&head, tail)) = rest.split_first() {
        *rest = tail;
        if head == PAYLOAD_MARKER {
            if tail.is_empty() {
                return Err(DecodeError::EmptyPayload);
            }
            break;
        }
        let delta = extended(head >> 4, rest)?;
        let len = extended(head & 0x0f, rest)?;
        number = u16::try_from(delta)
            .ok()
            .and_then(|delta| number.checked_add(delta))
            .ok_or(DecodeError::OptionNumber)?;
        let len = u16::try_from(len).map_err(|_| DecodeError::OptionLength)?;
        options.push(number, take(rest, usize::from(len))?);
    }
    Ok(options)
}

fn extended(nibble: u8, rest: &mut &[u8]) -> Result<u32, DecodeError> {
    match (nibble, *rest) {
        (0..=12, _) => Ok(u32::from(nibble)),
        (13, [byte, tail @ ..]) => {
            *rest = tail;
            Ok(u32::from(*byte) + 13)
        }
        (14, [high, low, tail @ ..]) => {
            *rest = tail;
            Ok(u32::from(u16::from_be_bytes([*high, *low])) + 269)
        }
        (15, _) => Err(DecodeError::ReservedNibble),
        _ => Err(DecodeError::Truncated),
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, tail) = rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    *rest = tail;
    Ok(taken)
}

impl Message {
    /// Appends the bytes of this message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            Type::Confirmable => 0,
            Type::NonConfirmable => 1,
            Type::Acknowledgement => 2,
            Type::Reset => 3,
        };
        let token = self.token.as_bytes();
        out.push(0b0100_0000 | kind << 4 | token.len() as u8);
        out.push(self.code.as_byte());
        out.extend_from_slice(&self.id.0.to_be_bytes());
        out.extend_from_slice(token);
        self.encode_content(out);
    }

    /// Appends options, payload marker and payload: what is the same on every transport.
    pub(crate) fn encode_content(&self, out: &mut Vec<u8>) {
        let mut previous = 0;
        for (number, value) in self.options.iter() {
            let (delta, delta_bytes) = shorten(number.saturating_sub(previous));
            let (len, len_bytes) = shorten(value.len() as u16);
            out.push(delta << 4 | len);
            delta_bytes.append_to(out);
            len_bytes.append_to(out);
            out.extend_from_slice(value);
            previous = number;
        }
        if !self.payload.is_empty() {
            out.push(PAYLOAD_MARKER);
            out.extend_from_slice(&self.payload);
        }
    }

    /// How many bytes [`Self::encode_content`] appends.
    pub(crate) fn content_len(&self) -> usize {
        let mut previous = 0;
        let options: usize = self
            .options
            .iter()
            .map(|(number, value)| {
                let delta = shorten(number.saturating_sub(previous)).1;
                previous = number;
                1 + delta.len() + shorten(value.len() as u16).1.len() + value.len()
            })
            .sum();
        let marker = usize::from(!self.payload.is_empty());
        options + marker + self.payload.len()
    }

    /// The bytes of this message in a buffer of their own.
    pub fn to_datagram(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.payload.len());
        self.encode(&mut out);
        out
    }
}

enum Extension {
    None,
    One(u8),
    Two(u16),
}

impl Extension {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Two(_) => 2,
        }
    }

    fn append_to(self, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::One(byte) => out.push(byte),
            Self::Two(bytes) => out.extend_from_slice(&bytes.to_be_bytes()),
        }
    }
}

fn shorten(value: u16) -> (u8, Extension) {
    match value {
        0..=12 => (value as u8, Extension::None),
        13..=268 => (13, Extension::One((value - 13) as u8)),
        269.. => (14, Extension::Two(value - 269)),
    }
}
