//! What the state tier does not take, as something that whoever wrote the spec can do something about.

use fleet_plan::Refusal;
use tonic::Code;

use super::CallError;

/// Why the state tier does not take `what`, if it is for whoever wrote the spec to know.
pub(crate) fn refusal(what: &str, error: &CallError) -> Option<Refusal> {
    match error {
        CallError::Refused(status) => fleet_wire::refusal(what, status),
        CallError::Stale | CallError::Timeout | CallError::Answer(_) => None,
    }
}

/// As [`refusal`], of an enrollment policy.
pub(crate) fn enrollment_refusal(error: &CallError) -> Option<Refusal> {
    match error {
        CallError::Refused(status) => fleet_wire::enrollment::refusal(status),
        CallError::Stale | CallError::Timeout | CallError::Answer(_) => None,
    }
}

impl CallError {
    /// Whether something of the same name is there already.
    pub(crate) fn is_there_already(&self) -> bool {
        self.is(Code::AlreadyExists)
    }

    /// Whether the operator may not make the call.
    pub(crate) fn is_denied(&self) -> bool {
        self.is(Code::PermissionDenied)
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
        match self {
            Self::Refused(status) => fleet_wire::reason(status),
            Self::Stale | Self::Timeout | Self::Answer(_) => String::new(),
        }
    }
}
