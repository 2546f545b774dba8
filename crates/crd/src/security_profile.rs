//! `SecurityProfile`: how devices prove who they are.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{ConditionRow, ConditionType, Reason, conditions_schema};
use crate::reference::{ObjectReference, PublicKeyReference};

/// How devices prove who they are. Keys stand in Secrets or in the state tier, never here.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "SecurityProfile",
    plural = "securityprofiles",
    doc = "SecurityProfile says how devices prove who they are, and where their credentials come from.",
    namespaced,
    status = "SecurityProfileStatus",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.mode",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".spec.credentialSource"
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
#[x_kube(validation = Rule::new("(self.mode == 'Certificate') == has(self.certificate)").message("certificate must be set with mode Certificate, and with no other"))]
#[x_kube(validation = Rule::new("(self.credentialSource == 'Secret') == has(self.credentialSecretRef)").message("credentialSecretRef must be set with credentialSource Secret, and with no other"))]
#[x_kube(validation = Rule::new("self.mode != 'Certificate' || self.credentialSource == 'StateTier'").message("with mode Certificate the authority vouches for devices: credentialSource must be StateTier"))]
#[x_kube(validation = Rule::new("!has(self.cipherSuites) || (self.mode == 'PSK' ? self.cipherSuites.all(suite, suite.contains('PSK')) : self.mode != 'OSCORE' && self.cipherSuites.all(suite, suite.contains('ECDSA')))").message("cipherSuites must suit the mode: with PSK those with a pre-shared key, with RawPublicKey and Certificate those with ECDSA, with OSCORE none"))]
pub struct SecurityProfileSpec {
    /// With what devices prove who they are. It cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("mode is immutable"))]
    pub mode: SecurityMode,
    /// Where the credentials of devices come from.
    #[serde(default)]
    pub credential_source: CredentialSource,
    /// The Secret with the credential that all devices of the profile begin with, of type
    /// drover.dev/psk, drover.dev/rpk or drover.dev/oscore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_secret_ref: Option<ObjectReference>,
    /// Which certificates count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificatePolicy>,
    /// The cipher suites that devices may use; none: all of the mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cipher_suites: Vec<CipherSuite>,
    /// Whether devices without a DTLS Connection ID are taken.
    #[serde(default, rename = "connectionID")]
    pub connection_id: ConnectionIdPolicy,
}

/// With what devices prove who they are.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityMode {
    /// A pre-shared key.
    PSK,
    /// A raw public key.
    RawPublicKey,
    /// An X.509 certificate.
    Certificate,
    /// An OSCORE master secret.
    OSCORE,
}

/// Where the credentials of devices come from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialSource {
    /// Each device has its own in the state tier (`drover credentials add`).
    #[default]
    StateTier,
    /// All begin with that of a Secret.
    Secret,
}

/// Which certificates count.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CertificatePolicy {
    /// The authority.
    pub authority_ref: PublicKeyReference,
    /// Its revocation list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_list_ref: Option<PublicKeyReference>,
    /// Where the endpoint name stands.
    #[serde(default)]
    pub endpoint_name_from: EndpointNameSource,
}

/// Where the endpoint name stands in a certificate.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointNameSource {
    /// In a subject alternative name, or else in the common name.
    #[default]
    Any,
    /// In a subject alternative name.
    SubjectAlternativeName,
    /// In the common name.
    CommonName,
}

/// A cipher suite by its name in the IANA registry.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherSuite {
    /// 0xc0a8
    #[serde(rename = "TLS_PSK_WITH_AES_128_CCM_8")]
    PskCcm8,
    /// 0x00ae
    #[serde(rename = "TLS_PSK_WITH_AES_128_CBC_SHA256")]
    PskCbc,
    /// 0xc037
    #[serde(rename = "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256")]
    EcdhePskCbc,
    /// 0xc0ae
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8")]
    EcdsaCcm8,
    /// 0xc02b
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")]
    EcdsaGcm,
}

/// Whether devices without a Connection ID are taken.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionIdPolicy {
    /// They are; the Connection ID is offered.
    #[default]
    Preferred,
    /// They are not.
    Required,
}

/// Whether a profile can be used.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecurityProfileStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

impl SecurityProfile {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::SecretNotFound,
                Reason::AuthorityNotFound,
                Reason::InvalidValue,
            ],
        ),
        (
            ConditionType::Ready,
            &[Reason::InForce, Reason::Applying, Reason::NotAccepted],
        ),
    ];
}
