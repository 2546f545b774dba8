//! How much of a body goes into one message.

use super::BlockSize;
use crate::reliable::Capabilities;

/// How a body is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    /// What the block option says, and the unit in which it counts.
    pub(crate) size: BlockSize,
    /// Bytes of one block: those of `size`, or with BERT several times 1024.
    pub(crate) bytes: usize,
    /// The longest body that is not cut.
    pub(crate) whole: usize,
}

impl Portion {
    /// Blocks of a datagram, or of a peer that asks for this size.
    pub(crate) fn of(size: BlockSize) -> Self {
        Self {
            size,
            bytes: size.bytes(),
            whole: size.bytes(),
        }
    }

    /// As much as fits into a message of a stream whose header and options take `overhead`
    /// bytes. `asked` is the size which the peer wants.
    pub(crate) fn of_stream(peer: Capabilities, asked: Option<BlockSize>, overhead: usize) -> Self {
        let room = peer.max_message_size.saturating_sub(overhead);
        let size = BlockSize::at_most(room);
        match asked {
            Some(asked) if asked != BlockSize::BERT => Self::of(asked.min(size)),
            // RFC 8323 §6: who asks by a BERT option takes BERT blocks.
            _ if room >= 1024 && (peer.bert || asked.is_some()) => Self {
                size: BlockSize::BERT,
                bytes: room - room % 1024,
                whole: room,
            },
            _ => Self {
                whole: room.max(size.bytes()),
                ..Self::of(size)
            },
        }
    }
}
