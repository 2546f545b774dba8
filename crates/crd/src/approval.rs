//! Who may let a rollout go on, or end it.
//!
//! Whoever may update a FirmwareRollout may pause it. What sends firmware to the next devices, or
//! ends the rollout for good, needs the verb `approve` on firmwarerollouts besides. The API server
//! asks RBAC for it while it handles the request, so that kubectl, Git and the command line are all
//! bound alike.

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec, Validation, Variable,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What is said to whom lacks the verb.
pub const REFUSAL: &str = "spec.approvedThrough and spec.abort can be set and changed only with \
                           the verb approve on firmwarerollouts.drover.dev";

/// The metadata.name of the policy.
pub const POLICY: &str = "firmwarerollout-approval.drover.dev";

/// The metadata.name of what puts the policy in force.
pub const BINDING: &str = "firmwarerollout-approval-binding.drover.dev";

/// A rollout that is created approved is as one that is approved later.
const VARIABLES: [(&str, &str); 4] = [
    (
        "approvedThrough",
        "has(object.spec.approvedThrough) ? object.spec.approvedThrough : ''",
    ),
    (
        "approvedBefore",
        "oldObject != null && has(oldObject.spec.approvedThrough) ? oldObject.spec.approvedThrough : ''",
    ),
    ("abort", "has(object.spec.abort) && object.spec.abort"),
    (
        "abortedBefore",
        "oldObject != null && has(oldObject.spec.abort) && oldObject.spec.abort",
    ),
];

const RULE: &str = "(variables.approvedThrough == variables.approvedBefore \
                    && variables.abort == variables.abortedBefore) \
                    || authorizer.requestResource.check('approve').allowed()";

/// The rule.
pub fn policy() -> ValidatingAdmissionPolicy {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let rollouts = NamedRuleWithOperations {
        api_groups: Some(owned(&[crate::GROUP])),
        api_versions: Some(owned(&["*"])),
        resources: Some(owned(&["firmwarerollouts"])),
        operations: Some(owned(&["CREATE", "UPDATE"])),
        ..NamedRuleWithOperations::default()
    };
    let variables = VARIABLES.map(|(name, expression)| Variable {
        name: name.to_owned(),
        expression: expression.to_owned(),
    });
    ValidatingAdmissionPolicy {
        metadata: named(POLICY),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                resource_rules: Some(vec![rollouts]),
                ..MatchResources::default()
            }),
            variables: Some(variables.to_vec()),
            validations: Some(vec![Validation {
                expression: RULE.to_owned(),
                message: Some(REFUSAL.to_owned()),
                reason: Some("Forbidden".to_owned()),
                ..Validation::default()
            }]),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        ..ValidatingAdmissionPolicy::default()
    }
}

/// What puts the rule in force, in every namespace.
pub fn binding() -> ValidatingAdmissionPolicyBinding {
    ValidatingAdmissionPolicyBinding {
        metadata: named(BINDING),
        spec: ValidatingAdmissionPolicyBindingSpec {
            policy_name: POLICY.to_owned(),
            validation_actions: vec!["Deny".to_owned()],
            ..ValidatingAdmissionPolicyBindingSpec::default()
        },
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}
