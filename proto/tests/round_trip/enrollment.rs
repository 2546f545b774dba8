//! Enrollment policies, and who is registered by one.

use std::collections::BTreeMap;

use device_state::{
    Command, Enrollment, EnrollmentAction, EnrollmentCriteria, EnrollmentPolicy, EnrollmentProof,
    EnrollmentStanding, EnrollmentTally, LabelKey, LabelValue, Row,
};
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::strategy::namespace;

fn labels() -> impl Strategy<Value = BTreeMap<LabelKey, LabelValue>> {
    btree_map("[a-z]{1,5}", "[a-z]{0,5}", 0..3).prop_map(|labels| {
        let label = |(key, value): (String, String)| {
            (
                LabelKey::new(&key).unwrap(),
                LabelValue::new(&value).unwrap(),
            )
        };
        labels.into_iter().map(label).collect()
    })
}

fn policy() -> impl Strategy<Value = EnrollmentPolicy> {
    let action = select(vec![
        EnrollmentAction::Admit,
        EnrollmentAction::Quarantine,
        EnrollmentAction::Deny,
    ]);
    let proof = select(vec![
        EnrollmentProof::Psk,
        EnrollmentProof::PublicKey,
        EnrollmentProof::Certificate,
        EnrollmentProof::Oscore,
    ]);
    let action = (action, option::of(proof));
    let name = (namespace(), "[a-z]{1,9}", ".{0,9}");
    let priority = 0..=EnrollmentPolicy::MAX_PRIORITY;
    let limits = (option::of(any::<u64>()), option::of(any::<u32>()));
    (
        name,
        priority,
        [".{0,9}", ".{0,9}"],
        action,
        labels(),
        limits,
    )
        .prop_map(
            |(
                (namespace, name, description),
                priority,
                criteria,
                (action, proof),
                labels,
                limits,
            )| {
                let [endpoint_pattern, psk_identity_prefix] = criteria;
                EnrollmentPolicy {
                    namespace,
                    name,
                    description,
                    priority,
                    criteria: EnrollmentCriteria {
                        endpoint_pattern,
                        psk_identity_prefix,
                    },
                    action,
                    proof,
                    labels,
                    max_devices: limits.0,
                    registrations_per_second: limits.1,
                }
            },
        )
}

pub(crate) fn enrollment() -> impl Strategy<Value = Enrollment> {
    let standing = select(vec![
        EnrollmentStanding::Admitted,
        EnrollmentStanding::Quarantined,
    ]);
    ("[a-z]{1,9}", standing, labels()).prop_map(|(policy, standing, labels)| Enrollment {
        policy,
        standing,
        labels,
    })
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let tally = (namespace(), "[a-z]{1,9}", any::<[u64; 2]>());
    prop_oneof![
        policy().prop_map(|policy| Row::EnrollmentPolicy(Box::new(policy))),
        tally.prop_map(
            |(namespace, policy, [admitted, quarantined])| Row::EnrollmentTally {
                namespace,
                policy,
                tally: EnrollmentTally {
                    admitted,
                    quarantined,
                },
            }
        ),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        policy().prop_map(|policy| Command::PutEnrollmentPolicy {
            policy: Box::new(policy),
        }),
        (namespace(), "[a-z]{1,9}")
            .prop_map(|(namespace, name)| Command::RemoveEnrollmentPolicy { namespace, name }),
    ]
}
