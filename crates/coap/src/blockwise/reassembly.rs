//! Putting together a request body that arrives in blocks (Block1, RFC 7959 §2.3).

use std::time::Instant;

use super::{Block, Budget};
use crate::message::Token;

/// A request body on its way in.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// Peer-local key: method, path, query and Request-Tag.
    pub(crate) key: u64,
    pub(crate) expires: Instant,
    body: Vec<u8>,
    /// Where the newest block starts, to recognise its repetition.
    newest: usize,
    token: Token,
    /// Token of the transfer that this one replaced. RFC 7959 matches blocks without the token,
    /// so this is what keeps the two bodies from being mixed.
    displaced: Option<Token>,
}

/// One block of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) block: Block,
    pub(crate) token: Token,
    pub(crate) payload: &'a [u8],
}

/// What became of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// 2.31
    Continue,
    /// This was the last one.
    Complete(Vec<u8>),
    /// 4.00, the payload does not fit the block option.
    WrongLength,
    /// 4.08, a block is missing.
    OutOfOrder,
    /// 4.13
    TooLarge,
    /// 5.03, the endpoint is at its bound.
    OverBudget,
}

impl Reassembly {
    /// A transfer that has received nothing yet and replaces `previous`.
    pub(crate) fn new(key: u64, token: Token, previous: Option<Self>, expires: Instant) -> Self {
        let displaced = previous
            .map(|previous| previous.token)
            .filter(|old| *old != token);
        Self {
            key,
            expires,
            body: Vec::new(),
            newest: 0,
            token,
            displaced,
        }
    }

    /// Bytes charged to the budget.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether a block with this token belongs to the transfer that this one replaced.
    pub(crate) fn was_displaced(&self, token: Token) -> bool {
        self.displaced == Some(token)
    }

    pub(crate) fn accept(
        &mut self,
        part: Part<'_>,
        max_body: usize,
        budget: &mut Budget,
    ) -> Accepted {
        let Part {
            block,
            token,
            payload,
        } = part;
        let full = block.size.is_full(payload.len());
        if block.more && !full || !block.size.holds(payload.len()) {
            return Accepted::WrongLength;
        }
        if self.was_displaced(token) {
            return Accepted::OutOfOrder;
        }
        let repeated = block.offset() == self.newest
            && self.newest + payload.len() == self.body.len()
            && block.more
            && !self.body.is_empty();
        if repeated {
            return Accepted::Continue;
        }
        if block.offset() != self.body.len() {
            return Accepted::OutOfOrder;
        }
        if self.body.len() + payload.len() > max_body {
            return Accepted::TooLarge;
        }
        if budget.charge(payload.len()).is_err() {
            return Accepted::OverBudget;
        }
        self.newest = self.body.len();
        self.body.extend_from_slice(payload);
        if block.more {
            return Accepted::Continue;
        }
        budget.release(self.body.len());
        Accepted::Complete(std::mem::take(&mut self.body))
    }
}
