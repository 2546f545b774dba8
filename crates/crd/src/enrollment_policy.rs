//! `EnrollmentPolicy`: who may register without an object of its own.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{BRAKE, ConditionRow, ConditionType, Reason, conditions_schema};
use crate::reference::{ObjectReference, PublicKeyReference};
use crate::selector::labels_schema;

/// Who may register without an object of its own.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "EnrollmentPolicy",
    plural = "enrollmentpolicies",
    doc = "EnrollmentPolicy decides which unknown devices may register, and places them in its namespace.",
    namespaced,
    status = "EnrollmentPolicyStatus",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.action",
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Admitted", type_ = "integer", json_path = ".status.admitted"),
    printcolumn(name = "Denied", type_ = "integer", json_path = ".status.denied"),
    printcolumn(
        name = "Objects",
        type_ = "integer",
        json_path = ".status.objects",
        priority = 1
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.action != 'Deny' || !(has(self.labels) || has(self.securityProfileRef) || has(self.limits))").message("labels, securityProfileRef and limits mean nothing with action Deny"))]
#[x_kube(validation = Rule::new("self.action != 'Deny' || self.materialize != 'OnRegistration'").message("materialize means nothing with action Deny"))]
#[x_kube(validation = Rule::new("!has(self.maximumObjects) || self.materialize == 'OnRegistration'").message("maximumObjects means nothing without materialize: OnRegistration"))]
pub struct EnrollmentPolicySpec {
    /// The highest policy that matches decides, then the name that comes first.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub priority: i32,
    /// Whom it is about.
    #[serde(rename = "match")]
    pub criteria: EnrollmentMatch,
    /// What happens to them.
    #[serde(default)]
    pub action: EnrollmentAction,
    /// Labels that they get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    pub labels: BTreeMap<String, String>,
    /// How they prove who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_profile_ref: Option<ObjectReference>,
    /// How many may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<EnrollmentLimits>,
    /// Whether devices get objects of their own.
    #[serde(default)]
    pub materialize: Materialize,
    /// No more objects are made; 1,000 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum_objects: Option<i32>,
}

/// Whether devices that are registered by a policy get `Device` objects.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Materialize {
    /// They live in the state tier, and nothing of them is in etcd.
    #[default]
    Never,
    /// Each gets one when it is registered, unless there is one for its endpoint name.
    OnRegistration,
}

/// Whom a policy is about; all that is said must hold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.endpointNamePattern) || has(self.certificateAuthorityRef) || has(self.pskIdentityPrefix)").message("match must say something: endpointNamePattern, certificateAuthorityRef or pskIdentityPrefix"))]
#[x_kube(validation = Rule::new("!(has(self.certificateAuthorityRef) && has(self.pskIdentityPrefix))").message("a device has a certificate or a pre-shared key: certificateAuthorityRef and pskIdentityPrefix exclude each other"))]
pub struct EnrollmentMatch {
    /// A regular expression for the whole endpoint name, from ^ to $.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('^') && self.endsWith('$')").message("endpointNamePattern must begin with ^ and end with $"))]
    pub endpoint_name_pattern: Option<String>,
    /// The authority that has issued the device's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_ref: Option<PublicKeyReference>,
    /// How the identity of the device's pre-shared key begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub psk_identity_prefix: Option<String>,
}

/// What happens to a device that a policy is about.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnrollmentAction {
    /// It may register.
    #[default]
    Admit,
    /// It may register; nothing is written to it and no profile counts for it.
    Quarantine,
    /// It may not register.
    Deny,
}

/// How many devices may come through one policy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EnrollmentLimits {
    /// No more devices in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub maximum_devices: Option<i64>,
    /// No more new devices in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub registrations_per_second: Option<i32>,
}

/// Whom a policy has decided about.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnrollmentPolicyStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Devices that were admitted and are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<i64>,
    /// Devices in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<i64>,
    /// How often a device was refused, as far as the state node knows that was asked: a restart of it begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<i64>,
    /// Device objects with its label, drover.dev/enrollment-policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<i64>,
}

impl EnrollmentPolicy {
    /// The label of the objects that a policy has made; its value is the name of the policy.
    pub const MADE_BY: &str = "drover.dev/enrollment-policy";
    /// Objects that a policy makes whose spec does not say how many.
    pub const OBJECTS: i32 = 1_000;
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::InvalidPattern,
                Reason::InvalidValue,
                Reason::ProfileNotFound,
                Reason::AuthorityNotFound,
                Reason::Unsupported,
                Reason::IdentityConflict,
                Reason::QuotaExceeded,
            ],
        ),
        BRAKE,
        (
            ConditionType::Degraded,
            &[
                Reason::AsExpected,
                Reason::QuotaExceeded,
                Reason::ObjectsRefused,
            ],
        ),
        (
            ConditionType::Ready,
            &[
                Reason::InForce,
                Reason::Applying,
                Reason::QuotaExceeded,
                Reason::NotAccepted,
            ],
        ),
    ];
}
