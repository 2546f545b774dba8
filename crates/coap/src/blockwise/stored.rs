//! Serving a response body in blocks (Block2, RFC 7959 §2.4).

use std::time::Instant;

use bytes::Bytes;

use super::{Block, Portion};
use crate::message::Code;
use crate::option::Options;

/// A response body kept for the requests of its later blocks.
#[derive(Debug)]
pub(crate) struct StoredBody {
    /// Peer-local key: method, path and query.
    pub(crate) key: u64,
    pub(crate) expires: Instant,
    pub(crate) code: Code,
    /// Options of every block but the block and observe ones.
    pub(crate) options: Options,
    /// All of it is charged to the budget.
    pub(crate) body: Bytes,
}

/// The block of `body` with this number, `None` if the body ends before it.
pub(crate) fn cut(body: &[u8], number: u32, portion: Portion) -> Option<(Block, &[u8])> {
    let block = Block {
        number,
        more: false,
        size: portion.size,
    };
    let rest = body
        .get(block.offset()..)
        .filter(|rest| !rest.is_empty() || number == 0)?;
    let payload = rest.get(..portion.bytes).unwrap_or(rest);
    Some((
        Block {
            more: rest.len() > payload.len(),
            ..block
        },
        payload,
    ))
}
