//! The messages which concern the connection itself (RFC 8323 §5).

use std::time::Duration;

use crate::message::{Code, Message, MessageId, Token, Type};
use crate::option::uint;

/// 7.01, capabilities and settings.
const CSM: Code = Code::from_byte(0xe1);
const PING: Code = Code::from_byte(0xe2);
const PONG: Code = Code::from_byte(0xe3);
const RELEASE: Code = Code::from_byte(0xe4);
const ABORT: Code = Code::from_byte(0xe5);

/// Option numbers; each signal has its own.
mod number {
    pub(super) const MAX_MESSAGE_SIZE: u16 = 2;
    pub(super) const BLOCK_WISE_TRANSFER: u16 = 4;
    pub(super) const CUSTODY: u16 = 2;
    pub(super) const HOLD_OFF: u16 = 4;
    pub(super) const BAD_CSM_OPTION: u16 = 2;
}

/// More of a diagnostic text is not kept.
const MAX_DIAGNOSTIC: usize = 256;

/// A signal of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Settings {
        max_message_size: Option<u32>,
        block_wise: BlockWise,
    },
    Ping(Custody),
    Pong,
    Release {
        hold_off: Option<Duration>,
    },
    Abort {
        diagnostic: String,
    },
    /// A code that nobody has defined.
    Unknown,
}

/// Whether the sender of a CSM supports block-wise transfer (§5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockWise {
    Supported,
    NotSaid,
}

/// Whether a Ping or Pong carries the Custody option (§5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Custody {
    Given,
    None,
}

/// A critical option which the signal does not have (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownOption(pub(super) u16);

impl Signal {
    /// Reads a message of class 7. Values of a wrong form are ignored: all known options are
    /// elective.
    pub(super) fn read(message: &Message) -> Result<Self, UnknownOption> {
        if let Some((critical, _)) = message
            .options
            .iter()
            .find(|(number, _)| number & 1 == 1)
            .filter(|_| message.code <= ABORT)
        {
            return Err(UnknownOption(critical));
        }
        let first = |number| message.options.first(number);
        Ok(match message.code {
            CSM => Self::Settings {
                max_message_size: first(number::MAX_MESSAGE_SIZE).and_then(|value| uint(value, 4)),
                block_wise: first(number::BLOCK_WISE_TRANSFER)
                    .map_or(BlockWise::NotSaid, |_| BlockWise::Supported),
            },
            PING => Self::Ping(first(number::CUSTODY).map_or(Custody::None, |_| Custody::Given)),
            PONG => Self::Pong,
            RELEASE => Self::Release {
                hold_off: first(number::HOLD_OFF)
                    .and_then(|value| uint(value, 3))
                    .map(|seconds| Duration::from_secs(seconds.into())),
            },
            ABORT => {
                let text = &message.payload;
                let text = text.get(..MAX_DIAGNOSTIC).unwrap_or(text);
                Self::Abort {
                    diagnostic: String::from_utf8_lossy(text).into_owned(),
                }
            }
            _ => Self::Unknown,
        })
    }
}

/// Whether the message is a signal.
pub(super) fn is_signal(code: Code) -> bool {
    code.class() == 7
}

fn message(code: Code) -> Message {
    Message::new(Type::NonConfirmable, code, MessageId(0))
}

/// Our settings: block-wise transfer, with BERT where the size of messages allows it (§6).
pub(super) fn settings(max_message_size: usize) -> Message {
    let mut settings = message(CSM);
    let size = u32::try_from(max_message_size).unwrap_or(u32::MAX);
    settings.options.push_uint(number::MAX_MESSAGE_SIZE, size);
    settings.options.push(number::BLOCK_WISE_TRANSFER, &[]);
    settings
}

pub(super) fn ping() -> Message {
    message(PING)
}

/// §5.4: the Pong has the token of its Ping.
pub(super) fn pong(token: Token, custody: Custody) -> Message {
    let mut pong = message(PONG);
    pong.token = token;
    if custody == Custody::Given {
        pong.options.push(number::CUSTODY, &[]);
    }
    pong
}

pub(super) fn release() -> Message {
    message(RELEASE)
}

/// §5.6: with the option of a CSM that was not understood, if that was the reason.
pub(super) fn abort(bad_csm_option: Option<u16>, diagnostic: &str) -> Message {
    let mut abort = message(ABORT);
    if let Some(option) = bad_csm_option {
        abort
            .options
            .push_uint(number::BAD_CSM_OPTION, option.into());
    }
    abort.payload = diagnostic.as_bytes().to_vec();
    abort
}

/// Whether a message is a CSM.
pub(super) fn is_settings(code: Code) -> bool {
    code == CSM
}
