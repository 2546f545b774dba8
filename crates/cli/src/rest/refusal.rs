//! Requests that are not answered by a device.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// An HTTP error with the text that says why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// The request makes no sense.
    pub(super) fn invalid(reason: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("Invalid request: {reason}"),
        )
    }

    /// Leshan answers 400 for a device that it does not know, and suites look for that.
    pub(super) fn no_client(endpoint: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("No registered client with id '{endpoint}'"),
        )
    }

    /// The device did not answer in time.
    pub(super) fn timeout() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Request timeout")
    }
}

impl From<Status> for Refusal {
    /// What the API answered instead of the device.
    fn from(status: Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason);
        match (status.code(), reason.as_deref()) {
            // This client cancels nothing: a call ends as cancelled when its time runs out.
            (Code::DeadlineExceeded | Code::Cancelled, _) => Self::timeout(),
            (_, Some("DEVICE_ASLEEP" | "DEVICE_NOT_REGISTERED")) | (Code::InvalidArgument, _) => {
                Self::invalid(status.message())
            }
            (Code::NotFound, _) => Self::new(StatusCode::NOT_FOUND, status.message()),
            (Code::Unavailable | Code::ResourceExhausted, _) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, status.message())
            }
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, status.message()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, self.text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(code: Code, reason: &str) -> u16 {
        let details = ErrorDetails::with_error_info(reason, "drover.dev", HashMap::new());
        let status = Status::with_error_details(code, "why", details);
        Refusal::from(status).status.as_u16()
    }

    #[test]
    fn errors_have_leshans_status_codes() {
        assert_eq!(refused(Code::DeadlineExceeded, "DEVICE_TIMEOUT"), 504);
        assert_eq!(refused(Code::Unavailable, "DEVICE_ASLEEP"), 400);
        assert_eq!(refused(Code::InvalidArgument, "INVALID_FIELD"), 400);
        assert_eq!(refused(Code::Unavailable, "NO_LEADER"), 503);
        assert_eq!(refused(Code::Internal, "SEAL"), 500);
    }
}
