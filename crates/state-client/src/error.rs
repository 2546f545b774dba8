//! Why a call did not give what was asked for.

use device_state::OperationId;
use proto::convert::ConvertError;
use thiserror::Error;
use tonic::Code;

use crate::call::CallFailure;

/// The client cannot be made from this configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    #[error("no seed address is configured")]
    NoSeeds,
    /// Not `host:port`.
    #[error("{0:?} is not an address of a state node")]
    Address(String),
}

/// A command without an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// The time ran out after the command was sent: whether it was applied is unknown.
    #[error("no answer in time; whether the command was applied is unknown")]
    Deadline,
    /// The time ran out and no node had taken the command: it was not applied.
    #[error("no state node could be reached in time")]
    Unavailable,
    /// Too much is under way, here or at the leader: the command was not applied.
    #[error("too many calls are under way")]
    Overloaded,
    /// The state tier calls the command malformed.
    #[error("refused: {0}")]
    Invalid(String),
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] AnswerError),
}

/// A query without a result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    #[error("no answer in time")]
    Deadline,
    #[error("no state node could be reached in time")]
    Unavailable,
    #[error("too many calls are under way")]
    Overloaded,
    #[error("refused: {0}")]
    Invalid(String),
    /// The id names no shard.
    #[error("the registration id names no shard")]
    NoShard,
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] AnswerError),
}

/// An answer that does not belong to the question, or that is malformed: the nodes are of releases that do not match.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    #[error(transparent)]
    Malformed(#[from] ConvertError),
    #[error("it answers another question")]
    Mismatch,
}

/// An operation on a device without an answer of the device.
#[derive(Clone, Debug, Error)]
pub enum OperateError {
    #[error("no answer in time")]
    Deadline,
    #[error("no state node could be reached in time")]
    Unavailable,
    /// The operation was committed and has not ended; it goes on without the caller.
    #[error("operation {operation} has not ended in time")]
    StillRunning { operation: OperationId },
    /// As the leader put it: unknown device, asleep, busy, …
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] AnswerError),
}

/// Accounts of a device that could not be made, or a bootstrap that could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BootstrapError {
    #[error("no bootstrap profile is for this device")]
    NoProfile,
    #[error("the device did not prove who it is, and there are keys in its accounts")]
    NotAllowed,
    #[error("{0}")]
    Unavailable(String),
}

/// A description that could not be had.
#[derive(Clone, Debug, Error)]
pub enum DescribeError {
    #[error("no answer in time")]
    Deadline,
    #[error("no state node could be reached in time")]
    Unavailable,
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] AnswerError),
}

impl ProposeError {
    /// Whether the same command may succeed later. After [`ProposeError::Deadline`] the command may be applied twice,
    /// because a new call has a new request id.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Deadline | Self::Unavailable | Self::Overloaded)
    }

    /// Whether the caller should slow down.
    pub const fn is_overloaded(&self) -> bool {
        matches!(self, Self::Overloaded)
    }
}

impl QueryError {
    /// Whether the same query may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Deadline | Self::Unavailable | Self::Overloaded)
    }

    /// Whether the caller should slow down.
    pub const fn is_overloaded(&self) -> bool {
        matches!(self, Self::Overloaded)
    }
}

impl OperateError {
    /// Whether the same operation may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Deadline | Self::Unavailable => true,
            Self::Refused(status) => is_transient(status.code()),
            Self::StillRunning { .. } | Self::Answer(_) => false,
        }
    }
}

impl DescribeError {
    /// Whether the same question may be answered later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Deadline | Self::Unavailable => true,
            Self::Refused(status) => is_transient(status.code()),
            Self::Answer(_) => false,
        }
    }
}

const fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::DeadlineExceeded
    )
}

impl From<CallFailure> for ProposeError {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Deadline => Self::Deadline,
            CallFailure::Unavailable => Self::Unavailable,
            CallFailure::Overloaded => Self::Overloaded,
            CallFailure::Invalid(message) => Self::Invalid(message),
        }
    }
}

impl From<CallFailure> for QueryError {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Deadline => Self::Deadline,
            CallFailure::Unavailable => Self::Unavailable,
            CallFailure::Overloaded => Self::Overloaded,
            CallFailure::Invalid(message) => Self::Invalid(message),
        }
    }
}
