//! What the state tier does not take, as something that whoever wrote the spec can do something about.

use crd::Reason;
use fleet_plan::Refusal;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::CallError;

/// Reasons of RESOURCE_EXHAUSTED that go by themselves.
const PASSING: [&str; 3] = ["OVERLOADED", "RATE_LIMITED", "DISK_NEARLY_FULL"];

/// Why the state tier does not take `what`, if it is for whoever wrote the spec to know.
pub(crate) fn refusal(what: &str, error: &CallError) -> Option<Refusal> {
    let CallError::Refused(status) = error else {
        return None;
    };
    let reason = match status.code() {
        Code::InvalidArgument => Reason::InvalidValue,
        // A package that the image names.
        Code::FailedPrecondition if error.told() == "UNKNOWN_ARTEFACT" => Reason::ImageNotFound,
        Code::ResourceExhausted if !PASSING.contains(&error.told().as_str()) => {
            Reason::QuotaExceeded
        }
        _ => return None,
    };
    Some(Refusal {
        reason,
        message: format!("the state tier refused {what}: {}", status.message()),
    })
}

impl CallError {
    /// Whether something of the same name is there already.
    pub(crate) fn is_there_already(&self) -> bool {
        self.is(Code::AlreadyExists)
    }

    /// Whether what the call is about is not known.
    pub(crate) fn is_unknown(&self) -> bool {
        self.is(Code::NotFound)
    }

    pub(super) fn is(&self, code: Code) -> bool {
        matches!(self, Self::Refused(status) if status.code() == code)
    }

    /// The reason that the state tier gives, one word of docs/api.md; empty without one.
    pub(crate) fn told(&self) -> String {
        let Self::Refused(status) = self else {
            return String::new();
        };
        let info = status.get_details_error_info();
        info.map(|info| info.reason).unwrap_or_default()
    }
}
