//! Enrollment policies.

use crd::Reason;
use device_state::{EnrollmentPolicy, EnrollmentTally, Namespace};
use fleet_plan::Refusal;
use fleet_plan::enrollment::{Counts, Stored};
use proto::convert::public::InNamespace;
use proto::drover::v1 as api;
use tonic::Status;

use crate::AnswerError;

/// The field that only the state tier can check.
const PATTERN: &str = "policy.endpoint_pattern";

/// A policy that is to be put.
pub fn asked(stored: Stored) -> api::EnrollmentPolicy {
    api::EnrollmentPolicy {
        etag: stored.etag,
        ..stored.policy.into()
    }
}

/// A policy as it stands, and what it has done.
pub fn stored(
    namespace: &Namespace,
    policy: api::EnrollmentPolicy,
) -> Result<(Stored, Counts), AnswerError> {
    let counts = policy.counts.unwrap_or_default();
    let counts = Counts {
        registered: EnrollmentTally {
            admitted: counts.admitted,
            quarantined: counts.quarantined,
        },
        denied: counts.denied,
    };
    let etag = policy.etag.clone();
    let request = api::PutEnrollmentPolicyRequest {
        policy: Some(policy),
        ..Default::default()
    };
    let policy = EnrollmentPolicy::try_from(InNamespace {
        namespace: namespace.clone(),
        request,
    })?;
    Ok((Stored { policy, etag }, counts))
}

/// Why the state tier does not take a policy, if it is for whoever wrote the spec to know.
pub fn refusal(status: &Status) -> Option<Refusal> {
    let refusal = crate::refusal("the policy", status)?;
    if status.message().starts_with(PATTERN) {
        return Some(Refusal {
            reason: Reason::InvalidPattern,
            ..refusal
        });
    }
    Some(refusal)
}
