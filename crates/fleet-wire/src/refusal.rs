//! What the state tier does not take, as something that whoever wrote the spec can do something about.

use crd::Reason;
use fleet_plan::Refusal;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Reasons of RESOURCE_EXHAUSTED that go by themselves.
const PASSING: [&str; 3] = ["OVERLOADED", "RATE_LIMITED", "DISK_NEARLY_FULL"];

/// Why the state tier does not take `what`, if it is for whoever wrote the spec to know.
pub fn refusal(what: &str, status: &Status) -> Option<Refusal> {
    let told = reason(status);
    let reason = match status.code() {
        Code::InvalidArgument => Reason::InvalidValue,
        Code::AlreadyExists if told == "CREDENTIAL_TAKEN" => Reason::CredentialTaken,
        // A package that the image names.
        Code::FailedPrecondition if told == "UNKNOWN_ARTEFACT" => Reason::ImageNotFound,
        Code::ResourceExhausted if !PASSING.contains(&told.as_str()) => Reason::QuotaExceeded,
        _ => return None,
    };
    Some(Refusal {
        reason,
        message: format!("the state tier refused {what}: {}", status.message()),
    })
}

/// The reason that the state tier gives, one word of docs/api.md; empty without one.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}
