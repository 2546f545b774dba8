//! Why a request of the server is refused, and the one map to CoAP codes (LwM2M Transport 1.2
//! §6.4.4).

use coap::{Code, Response};
use lwm2m::attributes::{AttributeError, AttributeName};
use lwm2m::operation::ExecuteArgumentsError;
use lwm2m::{DecodeError, Path};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no such path on this device")]
    NotFound,
    #[error("{0} does not exist")]
    Missing(Path),
    #[error("{0} does not allow this")]
    NotAllowed(Path),
    #[error("{0} is not accessible to this server")]
    Forbidden(Path),
    #[error("no access to credentials")]
    Credentials,
    #[error("method is not supported")]
    Method,
    #[error("value at {0} does not fit the resource")]
    BadValue(Path),
    #[error("value at {0} is too large")]
    TooLarge(Path),
    #[error("{0} lacks a mandatory resource")]
    Incomplete(Path),
    #[error("{0} exists")]
    Exists(Path),
    #[error("no room for another instance")]
    Full,
    #[error("format cannot be produced for this path")]
    NotAcceptable,
    #[error("content format is not supported")]
    UnsupportedFormat,
    #[error("payload without content format")]
    NoFormat,
    #[error("query is not understood")]
    BadQuery,
    #[error("attribute {0} is not known in this release")]
    UnknownAttribute(AttributeName),
    #[error(transparent)]
    Payload(DecodeError),
    #[error(transparent)]
    Attributes(#[from] AttributeError),
    #[error(transparent)]
    Arguments(#[from] ExecuteArgumentsError),
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error {
            // A single-value format for something that holds several: another format will do.
            DecodeError::UnsupportedFormat(_) | DecodeError::NotAResource(_) => {
                Self::UnsupportedFormat
            }
            error => Self::Payload(error),
        }
    }
}

impl Refusal {
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::NotFound | Self::Missing(_) => Code::NOT_FOUND_4_04,
            Self::NotAllowed(_) | Self::Method => Code::METHOD_NOT_ALLOWED_4_05,
            Self::Credentials | Self::Forbidden(_) => Code::UNAUTHORIZED_4_01,
            Self::TooLarge(_) => Code::REQUEST_ENTITY_TOO_LARGE_4_13,
            Self::Full => Code::INTERNAL_SERVER_ERROR_5_00,
            Self::NotAcceptable => Code::NOT_ACCEPTABLE_4_06,
            Self::UnsupportedFormat | Self::NoFormat => Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
            Self::BadValue(_)
            | Self::Incomplete(_)
            | Self::Exists(_)
            | Self::BadQuery
            | Self::UnknownAttribute(_)
            | Self::Payload(_)
            | Self::Attributes(_)
            | Self::Arguments(_) => Code::BAD_REQUEST_4_00,
        }
    }

    /// The answer, with the reason as diagnostic payload (RFC 7252 §5.5.2).
    pub(crate) fn response(self) -> Response {
        Response {
            payload: self.to_string().into_bytes(),
            ..Response::new(self.code())
        }
    }
}
