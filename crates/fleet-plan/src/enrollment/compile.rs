//! A spec as a policy of the state tier.

use std::collections::BTreeMap;

use crd::enrollment_policy::EnrollmentAction as Action;
use crd::security_profile::SecurityMode;
use crd::{EnrollmentPolicy, Reason, SecurityProfile};
use device_state::{
    EnrollmentAction, EnrollmentCriteria, EnrollmentPolicy as Policy, EnrollmentProof, LabelKey,
    LabelValue,
};

use super::{OWNER, Surroundings};
use crate::Refusal;

pub(super) fn compile(
    policy: &EnrollmentPolicy,
    name: &str,
    around: &Surroundings<'_>,
) -> Result<Policy, Refusal> {
    let spec = &policy.spec;
    if spec.criteria.certificate_authority_ref.is_some() {
        let what = "devices with certificates are let in by the authorities of the ingress nodes, which one is not known here";
        return Err(unsupported("spec.match.certificateAuthorityRef", what));
    }
    let proof = match &spec.security_profile_ref {
        None => None,
        Some(reference) => {
            let security = around.security.ok_or_else(|| Refusal {
                reason: Reason::ProfileNotFound,
                message: format!("there is no SecurityProfile {}", reference.name),
            })?;
            Some(proof(security).map_err(|refusal| refusal.of(&reference.name))?)
        }
    };
    let limits = spec.limits.as_ref();
    let most = limits.and_then(|limits| limits.maximum_devices);
    let rate = limits.and_then(|limits| limits.registrations_per_second);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok(Policy {
        namespace: around.namespace.clone(),
        name: name.to_owned(),
        description: OWNER.of(&policy.metadata),
        priority: u32::try_from(spec.priority)
            .map_err(|_| Refusal::invalid("spec.priority", "is below 0"))?,
        criteria: EnrollmentCriteria {
            endpoint_pattern: text(&spec.criteria.endpoint_name_pattern),
            psk_identity_prefix: text(&spec.criteria.psk_identity_prefix),
        },
        action: match spec.action {
            Action::Admit => EnrollmentAction::Admit,
            Action::Quarantine => EnrollmentAction::Quarantine,
            Action::Deny => EnrollmentAction::Deny,
        },
        proof,
        labels: labels(&spec.labels)?,
        max_devices: most.and_then(|most| u64::try_from(most).ok()),
        registrations_per_second: rate.and_then(|rate| u32::try_from(rate).ok()),
    })
}

/// By what devices of a profile prove who they are. All else that it says is for ingress nodes.
fn proof(security: &SecurityProfile) -> Result<EnrollmentProof, Refusal> {
    let spec = &security.spec;
    if !spec.cipher_suites.is_empty() {
        let what = "which cipher suites there are is said to the ingress nodes";
        return Err(unsupported("spec.cipherSuites", what));
    }
    match spec.mode {
        SecurityMode::PSK => Ok(EnrollmentProof::Psk),
        SecurityMode::RawPublicKey => Ok(EnrollmentProof::PublicKey),
        SecurityMode::OSCORE => Ok(EnrollmentProof::Oscore),
        SecurityMode::Certificate => {
            let what = "which authority has vouched for a device is not known here";
            Err(unsupported("spec.certificate.authorityRef", what))
        }
    }
}

fn labels(of: &BTreeMap<String, String>) -> Result<BTreeMap<LabelKey, LabelValue>, Refusal> {
    if of.len() > Policy::MAX_LABELS {
        let why = format!("has more than {} labels", Policy::MAX_LABELS);
        return Err(Refusal::invalid("spec.labels", &why));
    }
    let label = |(key, value): (&String, &String)| {
        let sound = LabelKey::new(key).and_then(|known| Ok((known, LabelValue::new(value)?)));
        sound.map_err(|error| Refusal::invalid(&format!("spec.labels[{key}]"), &error.to_string()))
    };
    of.iter().map(label).collect()
}

fn unsupported(field: &str, what: &str) -> Refusal {
    Refusal {
        reason: Reason::Unsupported,
        message: format!("{field}: {what}"),
    }
}
