//! Enrollment policies, and who is registered by one, as they are stored.

use device_state::{
    Enrollment, EnrollmentAction, EnrollmentCriteria, EnrollmentPolicy, EnrollmentProof,
    EnrollmentStanding, EnrollmentTally, Namespace, Row,
};

use super::campaign::bounded;
use super::metadata::{label_map, wire_label_map};
use super::value::wire_enum;
use super::{ConvertError, Reason, namespace};
use crate::storage::v1 as wire;

wire_enum!(EnrollmentAction, wire::EnrollmentAction, wire_action, action, {
    Admit,
    Quarantine,
    Deny,
});
wire_enum!(EnrollmentStanding, wire::EnrollmentStanding, wire_standing, standing, {
    Admitted,
    Quarantined,
});
wire_enum!(EnrollmentProof, wire::EnrollmentProof, wire_proof, known_proof, {
    Psk,
    PublicKey,
    Certificate,
    Oscore,
});

fn proof(number: i32) -> Result<Option<EnrollmentProof>, ConvertError> {
    match number {
        // Unspecified: by anything.
        0 => Ok(None),
        number => known_proof("proof", number).map(Some),
    }
}

impl From<EnrollmentPolicy> for wire::EnrollmentPolicy {
    fn from(policy: EnrollmentPolicy) -> Self {
        Self {
            namespace: policy.namespace.stored().to_owned(),
            name: policy.name,
            description: policy.description,
            priority: policy.priority,
            endpoint_pattern: policy.criteria.endpoint_pattern,
            psk_identity_prefix: policy.criteria.psk_identity_prefix,
            action: wire_action(policy.action),
            proof: policy.proof.map(wire_proof).unwrap_or_default(),
            labels: wire_label_map(policy.labels),
            max_devices: policy.max_devices,
            registrations_per_second: policy.registrations_per_second,
        }
    }
}

impl TryFrom<wire::EnrollmentPolicy> for EnrollmentPolicy {
    type Error = ConvertError;

    fn try_from(policy: wire::EnrollmentPolicy) -> Result<Self, ConvertError> {
        bounded("name", &policy.name, Self::MAX_NAME)?;
        let criteria = EnrollmentCriteria {
            endpoint_pattern: policy.endpoint_pattern,
            psk_identity_prefix: policy.psk_identity_prefix,
        };
        let policy = Self {
            namespace: namespace(&policy.namespace)?,
            name: policy.name,
            description: policy.description,
            priority: policy.priority,
            criteria,
            action: action("action", policy.action)?,
            proof: proof(policy.proof)?,
            labels: label_map("labels", policy.labels, Self::MAX_LABELS)?,
            max_devices: policy.max_devices,
            registrations_per_second: policy.registrations_per_second,
        };
        check(&policy)?;
        Ok(policy)
    }
}

/// What is bounded of a policy, however it came.
pub(super) fn check(policy: &EnrollmentPolicy) -> Result<(), ConvertError> {
    let criteria = &policy.criteria;
    bounded(
        "description",
        &policy.description,
        EnrollmentPolicy::MAX_DESCRIPTION,
    )?;
    bounded(
        "endpoint_pattern",
        &criteria.endpoint_pattern,
        EnrollmentPolicy::MAX_PATTERN,
    )?;
    bounded(
        "psk_identity_prefix",
        &criteria.psk_identity_prefix,
        EnrollmentPolicy::MAX_PREFIX,
    )?;
    if policy.priority > EnrollmentPolicy::MAX_PRIORITY {
        let reason = Reason::OutOfRange(u64::from(policy.priority));
        return Err(ConvertError::new("priority", reason));
    }
    Ok(())
}

impl From<Enrollment> for wire::Enrollment {
    fn from(enrollment: Enrollment) -> Self {
        Self {
            policy: enrollment.policy,
            standing: wire_standing(enrollment.standing),
            labels: wire_label_map(enrollment.labels),
        }
    }
}

impl TryFrom<wire::Enrollment> for Enrollment {
    type Error = ConvertError;

    fn try_from(enrollment: wire::Enrollment) -> Result<Self, ConvertError> {
        bounded("policy", &enrollment.policy, EnrollmentPolicy::MAX_NAME)?;
        Ok(Self {
            policy: enrollment.policy,
            standing: standing("standing", enrollment.standing)?,
            labels: label_map("labels", enrollment.labels, EnrollmentPolicy::MAX_LABELS)?,
        })
    }
}

pub(super) fn wire_tally(
    namespace: &Namespace,
    policy: String,
    tally: EnrollmentTally,
) -> wire::EnrollmentTally {
    wire::EnrollmentTally {
        namespace: namespace.stored().to_owned(),
        policy,
        admitted: tally.admitted,
        quarantined: tally.quarantined,
    }
}

pub(super) fn tally_row(row: wire::EnrollmentTally) -> Result<Row, ConvertError> {
    bounded("policy", &row.policy, EnrollmentPolicy::MAX_NAME)?;
    Ok(Row::EnrollmentTally {
        namespace: namespace(&row.namespace)?,
        policy: row.policy,
        tally: EnrollmentTally {
            admitted: row.admitted,
            quarantined: row.quarantined,
        },
    })
}
