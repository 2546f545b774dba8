//! Enrollment policies.

use device_state::{
    Command, EnrollmentAction, EnrollmentCriteria, EnrollmentPolicy, EnrollmentProof,
    EnrollmentTally, Etag, LabelKey, LabelValue,
};

use super::{InNamespace, checked_name};
use crate::convert::metadata::{label_key, label_value};
use crate::convert::{ConvertError, Reason, Within, enrollment, required};
use crate::drover::v1 as public;
use crate::drover::v1::enrollment_policy::{Action, Counts, Proof};

impl From<EnrollmentPolicy> for public::EnrollmentPolicy {
    /// Without its counts.
    fn from(policy: EnrollmentPolicy) -> Self {
        let text =
            |(key, value): (LabelKey, LabelValue)| (key.to_string(), value.as_str().to_owned());
        Self {
            etag: Etag::of_enrollment_policy(&policy).to_string(),
            name: policy.name,
            description: policy.description,
            priority: policy.priority,
            endpoint_pattern: policy.criteria.endpoint_pattern,
            psk_identity_prefix: policy.criteria.psk_identity_prefix,
            action: told_action(policy.action).into(),
            proof: told_proof(policy.proof).into(),
            labels: policy.labels.into_iter().map(text).collect(),
            max_devices: policy.max_devices.unwrap_or_default(),
            registrations_per_second: policy.registrations_per_second.unwrap_or_default(),
            counts: None,
        }
    }
}

const fn told_action(action: EnrollmentAction) -> Action {
    match action {
        EnrollmentAction::Admit => Action::Admit,
        EnrollmentAction::Quarantine => Action::Quarantine,
        EnrollmentAction::Deny => Action::Deny,
    }
}

const fn told_proof(proof: Option<EnrollmentProof>) -> Proof {
    match proof {
        None => Proof::Unspecified,
        Some(EnrollmentProof::Psk) => Proof::Psk,
        Some(EnrollmentProof::PublicKey) => Proof::PublicKey,
        Some(EnrollmentProof::Certificate) => Proof::Certificate,
        Some(EnrollmentProof::Oscore) => Proof::Oscore,
    }
}

fn asked_proof(number: i32) -> Result<Option<EnrollmentProof>, ConvertError> {
    Ok(match Proof::try_from(number) {
        Ok(Proof::Unspecified) => None,
        Ok(Proof::Psk) => Some(EnrollmentProof::Psk),
        Ok(Proof::PublicKey) => Some(EnrollmentProof::PublicKey),
        Ok(Proof::Certificate) => Some(EnrollmentProof::Certificate),
        Ok(Proof::Oscore) => Some(EnrollmentProof::Oscore),
        Err(_) => return Err(ConvertError::new("proof", Reason::UnknownEnum(number))),
    })
}

/// How many devices are registered by a policy, and how often one was refused.
pub const fn enrollment_counts(tally: EnrollmentTally, denied: u64) -> Counts {
    Counts {
        admitted: tally.admitted,
        quarantined: tally.quarantined,
        denied,
    }
}

impl TryFrom<InNamespace<public::PutEnrollmentPolicyRequest>> for EnrollmentPolicy {
    type Error = ConvertError;

    fn try_from(
        asked: InNamespace<public::PutEnrollmentPolicyRequest>,
    ) -> Result<Self, ConvertError> {
        let policy = required("policy", asked.request.policy)?;
        checked_name("name", &policy.name).within("policy")?;
        if policy.labels.len() > Self::MAX_LABELS {
            let reason = Reason::TooMany {
                found: policy.labels.len(),
                limit: Self::MAX_LABELS,
            };
            return Err(ConvertError::new("policy.labels", reason));
        }
        let label = |(key, value): (String, String)| Ok((label_key(&key)?, label_value(value)?));
        let labels = policy.labels.into_iter().map(label);
        let labels: Result<_, ConvertError> = labels.collect();
        let policy = Self {
            namespace: asked.namespace,
            name: policy.name,
            description: policy.description,
            priority: policy.priority,
            criteria: EnrollmentCriteria {
                endpoint_pattern: policy.endpoint_pattern,
                psk_identity_prefix: policy.psk_identity_prefix,
            },
            action: asked_action(policy.action).within("policy")?,
            proof: asked_proof(policy.proof).within("policy")?,
            labels: labels.within("labels").within("policy")?,
            max_devices: Some(policy.max_devices).filter(|most| *most > 0),
            registrations_per_second: Some(policy.registrations_per_second)
                .filter(|most| *most > 0),
        };
        enrollment::check(&policy).within("policy")?;
        if policy.action == EnrollmentAction::Deny
            && !(policy.labels.is_empty()
                && policy.proof.is_none()
                && policy.max_devices.is_none()
                && policy.registrations_per_second.is_none())
        {
            return Err(ConvertError::new("policy.action", Reason::NothingToGive));
        }
        Ok(policy)
    }
}

fn asked_action(number: i32) -> Result<EnrollmentAction, ConvertError> {
    match Action::try_from(number) {
        Ok(Action::Unspecified | Action::Admit) => Ok(EnrollmentAction::Admit),
        Ok(Action::Quarantine) => Ok(EnrollmentAction::Quarantine),
        Ok(Action::Deny) => Ok(EnrollmentAction::Deny),
        Err(_) => Err(ConvertError::new("action", Reason::UnknownEnum(number))),
    }
}

impl TryFrom<InNamespace<public::DeleteEnrollmentPolicyRequest>> for Command {
    type Error = ConvertError;

    fn try_from(
        asked: InNamespace<public::DeleteEnrollmentPolicyRequest>,
    ) -> Result<Self, ConvertError> {
        checked_name("name", &asked.request.name)?;
        Ok(Self::RemoveEnrollmentPolicy {
            namespace: asked.namespace,
            name: asked.request.name,
        })
    }
}
