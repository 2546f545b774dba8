//! Messages in a byte stream (RFC 8323 §3.2).
//!
//! ```text
//!  Len | TKL   extended length   code   token   options   0xff payload
//!   4     4      0, 1, 2 or 4      1    0 to 8  └────── Len bytes ─────┘
//! ```

#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::codec;
use crate::error::DecodeError;
use crate::message::{Code, Message, MessageId, Token, Type};

/// Why a stream holds no message where one should begin. Nothing behind it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A token length of 9 to 15.
    #[error("reserved token length {0}")]
    TokenLength(u8),
    /// The message is longer than agreed.
    #[error("message of {size} bytes, at most {max} are taken")]
    TooLarge {
        /// From the first byte of the header to the last of the payload.
        size: u64,
        /// What was agreed.
        max: usize,
    },
    /// What follows the token is broken.
    #[error(transparent)]
    Content(#[from] DecodeError),
}

/// Lengths from here on have one, two and four bytes of their own.
const ONE_BYTE: u32 = 13;
const TWO_BYTES: u32 = 269;
const FOUR_BYTES: u32 = 65_805;

/// Reads the message at the front of `input`, and says how many bytes it took. `None` until all
/// of them are there; a message of more than `max` bytes is refused by its header already, so no
/// more than `max` bytes need to be kept of an incomplete one.
pub fn decode(input: &[u8], max: usize) -> Result<Option<(Message, usize)>, FrameError> {
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let token_len = first & 0x0f;
    if token_len > 8 {
        return Err(FrameError::TokenLength(token_len));
    }
    let Some((content_len, extension)) = length(first >> 4, rest) else {
        return Ok(None);
    };
    let head = 1 + extension + 1 + usize::from(token_len);
    let size = head as u64 + u64::from(content_len);
    if size > max as u64 {
        return Err(FrameError::TooLarge { size, max });
    }
    let Some(frame) = input.get(..size as usize) else {
        return Ok(None);
    };
    let (head, mut content) = frame.split_at(head);
    let (code, token) = head
        .get(1 + extension..)
        .and_then(<[u8]>::split_first)
        .ok_or(DecodeError::TooShort)?;
    let token = Token::new(token).ok_or(FrameError::TokenLength(token_len))?;
    let options = codec::options(&mut content)?;
    let message = Message {
        kind: Type::NonConfirmable,
        code: Code::from_byte(*code),
        id: MessageId(0),
        token,
        options,
        payload: content.to_vec(),
    };
    Ok(Some((message, frame.len())))
}

/// The length of options and payload, and in how many bytes of its own it is given.
fn length(nibble: u8, rest: &[u8]) -> Option<(u32, usize)> {
    Some(match nibble {
        13 => (u32::from(*rest.first()?) + ONE_BYTE, 1),
        14 => {
            let bytes = rest.first_chunk()?;
            (u32::from(u16::from_be_bytes(*bytes)) + TWO_BYTES, 2)
        }
        15 => {
            let bytes = rest.first_chunk()?;
            // What does not fit into 32 bits is above every bound.
            (u32::from_be_bytes(*bytes).saturating_add(FOUR_BYTES), 4)
        }
        _ => (u32::from(nibble), 0),
    })
}

/// How many bytes [`encode`] appends for a message.
pub fn encoded_len(message: &Message) -> usize {
    let content = message.content_len();
    let extension = match content as u64 {
        0..13 => 0,
        13..269 => 1,
        269..65_805 => 2,
        _ => 4,
    };
    2 + extension + message.token.as_bytes().len() + content
}

/// Appends a message to a stream.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    let token = message.token.as_bytes();
    let content = message.content_len();
    // A content of 4 GiB would not have fitted into memory next to its message.
    let len = content as u32;
    out.reserve(6 + token.len() + content);
    let nibble = match len {
        0..ONE_BYTE => len as u8,
        ONE_BYTE..TWO_BYTES => 13,
        TWO_BYTES..FOUR_BYTES => 14,
        FOUR_BYTES.. => 15,
    };
    out.push(nibble << 4 | token.len() as u8);
    match nibble {
        13 => out.push((len - ONE_BYTE) as u8),
        14 => out.extend_from_slice(&((len - TWO_BYTES) as u16).to_be_bytes()),
        15 => out.extend_from_slice(&(len - FOUR_BYTES).to_be_bytes()),
        _ => {}
    }
    out.push(message.code.as_byte());
    out.extend_from_slice(token);
    message.encode_content(out);
}
