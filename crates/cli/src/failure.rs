//! Why a command did not succeed: what it was, where, what to do about it, and the exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use proto::broken_connection;
use proto::drover::v1::{Operation, operation};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::api::Addresses;
use crate::table::printable;

/// The API refused, or the device did, or it cannot be told.
const FAILED: u8 = 1;
/// The command cannot be understood.
const USAGE: u8 = 2;
/// What the command names does not exist.
const NOT_FOUND: u8 = 3;
/// API, cluster or device cannot be reached now, or time ran out.
const UNAVAILABLE: u8 = 4;

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was given makes no sense.
    #[error("{message}")]
    Usage { message: String, hint: String },
    /// What is asked for is not there.
    #[error("{message}")]
    NotFound { message: String, hint: String },
    /// No address of the API is known.
    #[error("the address of the API is not known: {0}")]
    NoAddress(String),
    /// No address answers.
    #[error("cannot reach the API at {addresses}: {cause}")]
    Unreachable {
        addresses: Box<Addresses>,
        cause: String,
    },
    /// A call was answered with an error; `action` continues "cannot …".
    #[error("cannot {action}: {}", told(status))]
    Call {
        action: String,
        status: Box<tonic::Status>,
    },
    /// An operation was accepted and did not end well.
    #[error("{}", operation_end(operation))]
    Operation { operation: Box<Operation> },
    /// A firmware campaign ended otherwise than well, or stopped.
    #[error("{message}")]
    Campaign { message: String, hint: String },
    /// What was waited for did not come in time.
    #[error("{message}")]
    Unfinished { message: String, hint: String },
    /// Standard output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// Anything else, with its causes.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<serde_yaml_ng::Error> for Failure {
    fn from(error: serde_yaml_ng::Error) -> Self {
        Self::Other(error.into())
    }
}

impl Failure {
    /// A usage error with advice.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Makes an answered error of a call a failure; `action` continues "cannot …".
    pub(crate) fn call(action: impl Into<String>) -> impl FnOnce(tonic::Status) -> Self {
        let action = action.into();
        |status| Self::Call {
            action,
            status: Box::new(status),
        }
    }

    /// Whether the reader of standard output went away, as `head` does: not worth a message.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code that `drover --help` documents.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::NoAddress(_) => USAGE,
            Self::NotFound { .. } => NOT_FOUND,
            Self::Unreachable { .. } | Self::Unfinished { .. } => UNAVAILABLE,
            Self::Call { status, .. } => status_code(status),
            Self::Operation { operation } => match operation.state() {
                operation::State::Expired => UNAVAILABLE,
                operation::State::Rejected if operation.coap_code == "4.04" => NOT_FOUND,
                _ => FAILED,
            },
            Self::Campaign { .. } | Self::Output(_) | Self::Other(_) => FAILED,
        }
    }

    /// The lines for standard error.
    pub(crate) fn report(&self) -> String {
        let text = self.to_string();
        // Only what this program wrote itself may have several lines.
        let text = match self {
            Self::Other(_) => text.lines().map(printable).collect::<Vec<_>>().join("\n"),
            _ => printable(&text),
        };
        let mut report = format!("error: {text}");
        if let Self::Call { status, .. } = self {
            let _ = write!(report, " [{}]", codes(status));
            let told = |violation: &String| violation == status.message();
            for violation in violations(status).into_iter().filter(|one| !told(one)) {
                let _ = write!(report, "\n  {}", printable(&violation));
            }
        }
        report.push('\n');
        if let Some(hint) = self.hint() {
            let _ = writeln!(report, "hint: {hint}");
        }
        report
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. }
            | Self::NotFound { hint, .. }
            | Self::Campaign { hint, .. }
            | Self::Unfinished { hint, .. } => Some(hint.clone()),
            Self::NoAddress(_) => Some(
                "give --api HOST:PORT or set DROVER_API; or name the directory of a running `drover dev` \
                 with --dir DIR or DROVER_DIR"
                    .to_owned(),
            ),
            Self::Unreachable { addresses, .. } => Some(addresses.advice()),
            Self::Call { status, .. } => call_hint(status),
            Self::Operation { operation } => (operation.state() == operation::State::Expired).then(|| {
                "the device did not take it in time; give it longer with --timeout, for example --timeout 10m".to_owned()
            }),
            _ => None,
        }
    }
}

/// What the API said; if the connection failed instead, why.
fn told(status: &tonic::Status) -> String {
    match broken_connection(status) {
        Some(error) => format!("the connection failed: {}", innermost(error)),
        None => status.message().to_owned(),
    }
}

/// The cause of all causes.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn operation_end(operation: &Operation) -> String {
    let end = match operation.state() {
        operation::State::Rejected => "was refused by the device",
        operation::State::Expired => "was not delivered before its deadline",
        operation::State::Cancelled => "was cancelled",
        operation::State::Superseded => "was replaced by a later operation",
        _ => "did not end",
    };
    let mut text = format!(
        "{} {} of {} {end}",
        operation.name, operation.path, operation.endpoint
    );
    for detail in [&operation.coap_code, &operation.diagnostic] {
        if !detail.is_empty() {
            let _ = write!(text, ": {detail}");
        }
    }
    let _ = write!(text, " (operation {})", operation.id);
    text
}

impl Failure {
    /// Whether the connection ended before the answer came.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Call { status, .. } if broken_connection(status).is_some())
    }

    /// The reason that the API gives, if it refused the call.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Call { status, .. } => reason(status),
            _ => None,
        }
    }
}

fn reason(status: &tonic::Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

fn status_code(status: &tonic::Status) -> u8 {
    match status.code() {
        Code::InvalidArgument => USAGE,
        Code::NotFound => NOT_FOUND,
        // This client cancels nothing: a call ends as cancelled when its time runs out.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
            UNAVAILABLE
        }
        Code::FailedPrecondition if reason(status).as_deref() == Some("DEVICE_NOT_REGISTERED") => {
            UNAVAILABLE
        }
        _ => FAILED,
    }
}

/// `FAILED_PRECONDITION, DEVICE_NOT_REGISTERED`.
fn codes(status: &tonic::Status) -> String {
    let code = code_name(status.code());
    match reason(status) {
        Some(reason) if reason != code => format!("{code}, {}", printable(&reason)),
        _ => code.to_owned(),
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// `field: what is wrong with it`, for fields of the request and for preconditions.
fn violations(status: &tonic::Status) -> Vec<String> {
    let fields = status
        .get_details_bad_request()
        .into_iter()
        .flat_map(|details| details.field_violations);
    let fields = fields.map(|violation| format!("{}: {}", violation.field, violation.description));
    let conditions = status
        .get_details_precondition_failure()
        .into_iter()
        .flat_map(|details| details.violations);
    fields
        .chain(
            conditions.map(|violation| format!("{}: {}", violation.subject, violation.description)),
        )
        .collect()
}

fn call_hint(status: &tonic::Status) -> Option<String> {
    let retry = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let again = retry.map(|delay| format!("try again in {}", crate::time::short(delay)));
    match (status.code(), reason(status).as_deref()) {
        (_, Some("DEVICE_NOT_REGISTERED")) => {
            Some("`drover devices` tells which devices are registered".to_owned())
        }
        (_, Some("RESUME_TOKEN_EXPIRED")) => Some(
            "the events since then are no longer kept: watch without --resume-token, or remove the file of \
             --resume-file; with --initial a watch begins again by itself"
                .to_owned(),
        ),
        (Code::DeadlineExceeded | Code::Cancelled, _) => Some(again.unwrap_or_else(|| {
            "allow more time with --timeout, for example --timeout 2m".to_owned()
        })),
        _ if broken_connection(status).is_some() => Some(
            "a server that speaks TLS is reached by --api https://HOST:PORT, one that does not by --api HOST:PORT"
                .to_owned(),
        ),
        (Code::Unavailable, _) => Some(
            again.unwrap_or_else(|| "the cluster may be electing a leader: try again".to_owned()),
        ),
        _ => again,
    }
}

#[cfg(test)]
mod tests;
