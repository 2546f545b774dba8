//! Exchanges: a request and its response, in either direction (RFC 7252 §5.3).

use std::time::{Duration, Instant};

use crate::blockwise::{Block, Download, Upload};
use crate::message::{Code, Message, MessageId, Token};
use crate::option::number;
use crate::peer::{PeerRef, PeerSlot};
use crate::request::Reliability;

/// Names one exchange of an endpoint, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(u64);

impl ExchangeId {
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Names one notification sent by an endpoint, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotificationId(u64);

impl NotificationId {
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Why an exchange ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No acknowledgement after all retransmissions, or no turn to be sent in time.
    Timeout,
    /// The request arrived, or was one that is not acknowledged, and no response came in time.
    Unanswered,
    /// The peer answered with a reset.
    Reset,
    /// By [`crate::Endpoint::cancel`].
    Cancelled,
    /// By [`crate::Endpoint::forget_peer`].
    PeerGone,
    /// The peer broke the rules of block-wise transfer, or the representation kept changing.
    BlockwiseFailed,
    /// The response is larger than [`crate::Config::max_body`] or no memory is left for it.
    BodyTooLarge,
    /// The response has a critical option that is unknown or of a wrong form.
    BadOption,
    /// No message id was free when the message had to leave.
    OutOfMessageIds,
}

impl Failure {
    /// Whether the same may succeed another time.
    pub(crate) const fn is_passing(self) -> bool {
        match self {
            Self::Timeout
            | Self::Unanswered
            | Self::Reset
            | Self::Cancelled
            | Self::PeerGone
            | Self::OutOfMessageIds => true,
            Self::BlockwiseFailed | Self::BodyTooLarge | Self::BadOption => false,
        }
    }
}

/// A request that we made.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) slot: PeerSlot,
    pub(crate) purpose: Purpose,
    /// The token under which the caller knows the exchange.
    pub(crate) origin: Token,
    /// The token of the present leg.
    pub(crate) token: Token,
    pub(crate) reliability: Reliability,
    /// Code and options of every leg.
    pub(crate) template: Message,
    pub(crate) observe: Option<u32>,
    /// Block2 that the first leg carries to ask for small blocks.
    pub(crate) wanted: Option<Block>,
    pub(crate) transfer: Transfer,
    /// How long the response to a leg may take.
    pub(crate) response_timeout: Duration,
    pub(crate) wait: Wait,
    /// When the timer that is set for this exchange runs out.
    pub(crate) timer: Option<Instant>,
}

/// Who waits for the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Caller,
    /// Fetches the later blocks of a notification, which waits for its acknowledgement if it has a
    /// message id here.
    Notification(Option<MessageId>),
    /// The response is not needed.
    Nobody,
}

/// In which direction the body travels.
#[derive(Debug)]
pub(crate) enum Transfer {
    Upload(Upload),
    Download(Download),
}

impl Transfer {
    pub(crate) fn is_upload_in_blocks(&self) -> bool {
        matches!(self, Self::Upload(upload) if upload.is_in_blocks())
    }
}

/// What the present leg waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its turn (RFC 7252 §4.7).
    Queued,
    /// The acknowledgement of this message.
    Acknowledgement(MessageId),
    /// The response; this message is acknowledged or non-confirmable.
    Response(MessageId),
}

impl Outgoing {
    /// The payload of a FETCH that fits into one message: it is part of what is asked for.
    pub(crate) fn fetch_body(&self) -> &[u8] {
        match &self.transfer {
            Transfer::Upload(upload) if self.template.code == Code::FETCH => upload.whole_body(),
            _ => &[],
        }
    }

    /// The message of the present leg.
    pub(crate) fn leg(&self, id: MessageId) -> Message {
        let mut message = Message {
            kind: self.reliability.kind(),
            id,
            token: self.token,
            ..self.template.clone()
        };
        match &self.transfer {
            Transfer::Upload(upload) => {
                if let Some(observe) = self.observe {
                    message.options.push_uint(number::OBSERVE, observe);
                }
                if let Some(wanted) = self.wanted {
                    wanted.push(number::BLOCK2, &mut message.options);
                }
                upload.push(&mut message);
            }
            // RFC 7959 §3.4: the rest of an observed representation is fetched without Observe.
            Transfer::Download(download) => download.push(&mut message),
        }
        message
    }
}

/// A request that we received and that is not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    pub(crate) peer: PeerRef,
    pub(crate) call: Call,
    pub(crate) progress: Progress,
    /// What later blocks of the response are matched by.
    pub(crate) resource: u64,
    pub(crate) block1: Option<Block>,
    pub(crate) block2: Option<Block>,
    pub(crate) size_asked: SizeAsked,
    pub(crate) observe: Option<u32>,
    /// When the timer that is set for this request runs out.
    pub(crate) timer: Instant,
}

/// What it takes to answer a request message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) slot: PeerSlot,
    pub(crate) id: MessageId,
    pub(crate) token: Token,
    pub(crate) reliability: Reliability,
}

/// How the response will travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// In the acknowledgement, which is still owed.
    Unacknowledged,
    /// In a confirmable message of its own, the request is acknowledged.
    Acknowledged,
    /// In a non-confirmable message, as the request did.
    NonConfirmable,
}

/// Whether the requester asked by a Size2 how large the response is (RFC 7959 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeAsked {
    Yes,
    No,
}
