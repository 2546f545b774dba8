//! Sending a request body, in blocks when it is large (Block1, RFC 7959 §2.3 and §2.9).

use bytes::Bytes;

use super::{Block, BlockSize, Portion, fits};
use crate::message::{Code, Message};
use crate::option::number;
use crate::response::ParsedResponse;

/// A request body on its way out.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Bytes,
    portion: Portion,
    offset: usize,
    framing: Framing,
    /// A 4.13 may shrink the blocks once, a 4.08 may restart the transfer once.
    shrinks_left: u8,
    restarts_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Whole,
    Blocks,
}

/// What a response means for the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadStep {
    /// Send the leg again that [`Upload::push`] now makes.
    Continue,
    /// The upload is over, the response is the server's answer to the request.
    Answered,
    /// The server broke the protocol.
    Broken,
}

impl Upload {
    /// `None` if the body has more bytes than 2^20 blocks.
    pub(crate) fn new(body: Bytes, portion: Portion) -> Option<Self> {
        let framing = if body.len() > portion.whole {
            Framing::Blocks
        } else {
            Framing::Whole
        };
        fits(body.len(), portion.size).then_some(Self {
            body,
            portion,
            offset: 0,
            framing,
            shrinks_left: 1,
            restarts_left: 1,
        })
    }

    /// The body, if it goes out in one message.
    pub(crate) fn whole_body(&self) -> &[u8] {
        match self.framing {
            Framing::Whole => &self.body,
            Framing::Blocks => &[],
        }
    }

    /// Whether the body goes out in several messages.
    pub(crate) fn is_in_blocks(&self) -> bool {
        self.framing == Framing::Blocks
    }

    fn remaining(&self) -> &[u8] {
        self.body.get(self.offset..).unwrap_or_default()
    }

    /// Bytes of the body in the present leg.
    fn sent(&self) -> usize {
        match self.framing {
            Framing::Whole => self.body.len(),
            Framing::Blocks => self.remaining().len().min(self.portion.bytes),
        }
    }

    /// Adds payload and options of the present leg.
    pub(crate) fn push(&self, message: &mut Message) {
        let sent = self.sent();
        message
            .payload
            .extend_from_slice(self.remaining().get(..sent).unwrap_or_default());
        if self.framing == Framing::Whole {
            return;
        }
        let block = Block {
            number: (self.offset / self.portion.size.bytes()) as u32,
            more: self.remaining().len() > sent,
            size: self.portion.size,
        };
        block.push(number::BLOCK1, &mut message.options);
        if self.offset == 0 {
            // RFC 7959 §4: the first request may estimate the size of the body for the server.
            message
                .options
                .push_uint(number::SIZE1, self.body.len() as u32);
        }
    }

    pub(crate) fn step(&mut self, answer: &ParsedResponse) -> UploadStep {
        let last = self.offset + self.sent() >= self.body.len();
        match answer.response.code {
            Code::CONTINUE_2_31 if self.framing == Framing::Whole || last => UploadStep::Broken,
            Code::CONTINUE_2_31 => self.advance(answer.block1),
            // RFC 7959 §2.3: a server may act on every block by itself and says so by a final
            // code with M unset; without a Block1 it has answered before the body was complete.
            code if code.is_success() && !last && answer.block1.is_some() => {
                self.advance(answer.block1)
            }
            Code::REQUEST_ENTITY_INCOMPLETE_4_08
                if self.framing == Framing::Blocks && self.restarts_left > 0 =>
            {
                self.restarts_left -= 1;
                self.offset = 0;
                UploadStep::Continue
            }
            Code::REQUEST_ENTITY_TOO_LARGE_4_13 => self.shrink(answer),
            _ => UploadStep::Answered,
        }
    }

    fn advance(&mut self, block: Option<Block>) -> UploadStep {
        let unit = self.portion.size;
        let number = (self.offset / unit.bytes()) as u32;
        if block.is_some_and(|block| block.number != number) {
            return UploadStep::Broken;
        }
        let size = block.map_or(unit, |block| block.size.min(unit));
        // RFC 7959 §2.3: when the server asks for smaller blocks, the number is scaled: what was
        // sent so far counts in the new unit.
        if !fits(self.body.len(), size) {
            return UploadStep::Broken;
        }
        self.offset += self.sent();
        if size < unit {
            self.portion = Portion::of(size);
        }
        UploadStep::Continue
    }

    /// RFC 7959 §2.9.3: a 4.13 with a smaller size exponent is a hint to try that size.
    fn shrink(&mut self, answer: &ParsedResponse) -> UploadStep {
        let hinted = answer.block1.map(|block| block.size).or_else(|| {
            let size1 = answer.size1? as usize;
            (size1 >= 16).then(|| BlockSize::at_most(size1))
        });
        let smaller =
            hinted.filter(|size| size.bytes() < self.sent() && fits(self.body.len(), *size));
        match smaller {
            Some(size) if self.shrinks_left > 0 => {
                self.shrinks_left -= 1;
                self.portion = Portion::of(size);
                self.offset = 0;
                self.framing = Framing::Blocks;
                UploadStep::Continue
            }
            _ => UploadStep::Answered,
        }
    }
}
