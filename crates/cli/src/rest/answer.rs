//! What a device answered, as Leshan writes it: `{"status": "CONTENT(205)", "valid", "success", "failure", …}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use proto::drover::v1::{Operation, RawAnswer, operation};
use serde_json::{Value as JsonValue, json};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::refusal::Refusal;

/// A CoAP response code: class and detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(u8, u8);

impl Code {
    pub(super) const CONTENT: Self = Self(2, 5);
    const CHANGED: Self = Self(2, 4);
    const BAD_REQUEST: Self = Self(4, 0);

    /// Reads `2.05`.
    fn parse(text: &str) -> Option<Self> {
        let (class, detail) = text.split_once('.')?;
        Some(Self(class.parse().ok()?, detail.parse().ok()?))
    }

    /// Reads the reason of a status that stands for a device's answer: `COAP_4_04`.
    fn of_status(status: &Status) -> Option<Self> {
        let reason = status.get_details_error_info()?.reason;
        let (class, detail) = reason.strip_prefix("COAP_")?.split_once('_')?;
        Some(Self(class.parse().ok()?, detail.parse().ok()?))
    }

    const fn is_success(self) -> bool {
        self.0 == 2
    }

    /// `CONTENT(205)`; `UNKNOWN(429)` for a code that LwM2M does not name.
    fn name(self) -> String {
        let name = match (self.0, self.1) {
            (2, 1) => "CREATED",
            (2, 2) => "DELETED",
            (2, 4) => "CHANGED",
            (2, 5) => "CONTENT",
            (4, 0) => "BAD_REQUEST",
            (4, 1) => "UNAUTHORIZED",
            (4, 3) => "FORBIDDEN",
            (4, 4) => "NOT_FOUND",
            (4, 5) => "METHOD_NOT_ALLOWED",
            (4, 6) => "NOT_ACCEPTABLE",
            (4, 8) => "REQUEST_ENTITY_INCOMPLETE",
            (4, 12) => "PRECONDITION_FAILED",
            (4, 13) => "REQUEST_ENTITY_TOO_LARGE",
            (4, 15) => "UNSUPPORTED_CONTENT_FORMAT",
            (5, 0) => "INTERNAL_SERVER_ERROR",
            _ => "UNKNOWN",
        };
        format!("{name}({}{:02})", self.0, self.1)
    }
}

/// The answer of a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    code: Code,
    /// `content` or `objectLinks`, and what it is.
    part: Option<(&'static str, JsonValue)>,
    /// What the device says about an error; may be empty.
    diagnostic: String,
}

impl Answer {
    const fn bare(code: Code, diagnostic: String) -> Self {
        Self {
            code,
            part: None,
            diagnostic,
        }
    }

    /// 2.05 with values; no values at all are left out.
    pub(super) fn content(content: JsonValue) -> Self {
        Self {
            code: Code::CONTENT,
            part: (!content.is_null()).then_some(("content", content)),
            diagnostic: String::new(),
        }
    }

    /// 2.05 to a Discover.
    pub(super) fn links(links: JsonValue) -> Self {
        Self {
            code: Code::CONTENT,
            part: Some(("objectLinks", links)),
            diagnostic: String::new(),
        }
    }

    /// The error that a device answered, or why it did not answer.
    pub(super) fn refused(status: Status) -> Result<Self, Refusal> {
        let Some(code) = Code::of_status(&status) else {
            return Err(status.into());
        };
        // "the device answered 4.04: no such resource"
        let diagnostic = status.message().split_once(": ").map(|(_, text)| text);
        Ok(Self::bare(code, diagnostic.unwrap_or_default().to_owned()))
    }

    /// How an operation ended.
    pub(super) fn of_operation(operation: &Operation) -> Result<Self, Refusal> {
        use operation::State;
        let code = Code::parse(&operation.coap_code);
        match operation.state() {
            State::Delivered => Ok(Self::bare(code.unwrap_or(Code::CHANGED), String::new())),
            State::Rejected => Ok(Self::bare(
                code.unwrap_or(Code::BAD_REQUEST),
                operation.diagnostic.clone(),
            )),
            State::Expired | State::Pending | State::InFlight => Err(Refusal::timeout()),
            State::Cancelled | State::Superseded | State::Unspecified => Err(Refusal::new(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                "Request cancelled: another caller cancelled or replaced it",
            )),
        }
    }

    /// What came back of a raw request; of an error the payload is the diagnostic text (RFC 7252 §5.5.2).
    pub(super) fn of_raw(answer: &RawAnswer) -> Option<Self> {
        let code = Code::parse(&answer.coap_code)?;
        let text = if code.is_success() {
            String::new()
        } else {
            String::from_utf8_lossy(&answer.payload).into_owned()
        };
        Some(Self::bare(code, text))
    }

    fn json(self) -> JsonValue {
        let success = self.code.is_success();
        let mut json = json!({
            "status": self.code.name(),
            "valid": true,
            "success": success,
            "failure": !success,
        });
        if let Some((name, part)) = self.part {
            json[name] = part;
        }
        if !success && !self.diagnostic.is_empty() {
            json["errormessage"] = self.diagnostic.into();
        }
        json
    }
}

impl IntoResponse for Answer {
    /// Always 200: also an error is what the device was asked for.
    fn into_response(self) -> Response {
        Json(self.json()).into_response()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn ended(state: operation::State, coap_code: &str) -> Operation {
        Operation {
            state: state.into(),
            coap_code: coap_code.to_owned(),
            ..Operation::default()
        }
    }

    #[test]
    fn a_success_has_leshans_shape() {
        let expected = json!({
            "status": "CHANGED(204)", "valid": true, "success": true, "failure": false,
        });
        let operation = ended(operation::State::Delivered, "2.04");
        assert_eq!(Answer::of_operation(&operation).unwrap().json(), expected);
        let answer = Answer::content(json!({"id": 0})).json();
        assert_eq!(answer["content"], json!({"id": 0}));
        assert_eq!(answer["status"], "CONTENT(205)");
    }

    #[test]
    fn an_error_of_the_device_is_an_answer() {
        let details = ErrorDetails::with_error_info("COAP_4_01", "drover.dev", HashMap::new());
        let status = Status::with_error_details(
            tonic::Code::PermissionDenied,
            "the device answered 4.01: not yours",
            details,
        );
        let expected = json!({
            "status": "UNAUTHORIZED(401)", "valid": true, "success": false, "failure": true,
            "errormessage": "not yours",
        });
        assert_eq!(Answer::refused(status).unwrap().json(), expected);
        let raw = RawAnswer {
            coap_code: "4.05".to_owned(),
            ..RawAnswer::default()
        };
        let status = Answer::of_raw(&raw).unwrap().json()["status"].clone();
        assert_eq!(status, "METHOD_NOT_ALLOWED(405)");
    }

    #[test]
    fn without_an_answer_there_is_a_refusal() {
        let expired = ended(operation::State::Expired, "");
        assert_eq!(Answer::of_operation(&expired), Err(Refusal::timeout()));
        let status = Status::unavailable("no leader");
        assert_eq!(Answer::refused(status).unwrap_err().status.as_u16(), 503);
    }

    #[test]
    fn codes_that_lwm2m_does_not_name_are_unknown() {
        assert_eq!(Code(4, 29).name(), "UNKNOWN(429)");
        assert_eq!(Code(5, 3).name(), "UNKNOWN(503)");
    }
}
