//! `BootstrapProfile`: which servers devices are told of when they bootstrap.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{BRAKE, ConditionRow, ConditionType, Reason, conditions_schema};
use crate::reference::ObjectReference;
use crate::selector::Selector;

/// Which servers devices are told of when they bootstrap.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "BootstrapProfile",
    plural = "bootstrapprofiles",
    doc = "BootstrapProfile says which servers, and which access rights, a device gets when it bootstraps.",
    namespaced,
    status = "BootstrapProfileStatus",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(name = "Servers", type_ = "string", json_path = ".spec.servers[*].uri"),
    printcolumn(
        name = "Bootstrapped",
        type_ = "integer",
        json_path = ".status.bootstrapped"
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
#[x_kube(validation = Rule::new("!has(self.acl) || self.acl.all(entry, entry.access.all(grant, grant.shortServerID == 0 || self.servers.exists(server, server.shortServerID == grant.shortServerID)))").message("acl may name only servers of this profile, or 0 for every server"))]
pub struct BootstrapProfileSpec {
    /// The highest profile whose selector matches counts, then the name that comes first.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub priority: i32,
    /// The devices, by the labels that they have in the state tier; absent: every one of the
    /// namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The servers.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["shortServerID".into()]))]
    pub servers: Vec<BootstrapAccount>,
    /// Whether all that a device has is deleted first.
    #[serde(default)]
    pub delete_all: bool,
    /// Who may do what (object 2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub acl: Vec<AccessRule>,
}

/// A server that a device is told of.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapAccount {
    /// Its id on the device (/0/x/10, /1/x/0).
    #[serde(rename = "shortServerID")]
    #[schemars(range(min = 1, max = 65_534))]
    pub short_server_id: i32,
    /// Where it is (/0/x/0).
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new("self.matches('^coaps?([+]tcp)?://[^/ ]+/?$')").message("uri must be coap://, coaps://, coap+tcp:// or coaps+tcp:// with a host"))]
    pub uri: String,
    /// How the device proves to it who it is; absent: without security.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_profile_ref: Option<ObjectReference>,
    /// The registration lifetime (/1/x/1).
    #[serde(default = "day")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub lifetime_seconds: i64,
    /// The binding (/1/x/7).
    #[serde(default = "udp")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self.matches('^(UT?|TU?)Q?$')").message("binding must be of U and T, with Q at the end for queue mode"))]
    pub binding: String,
}

const fn day() -> i64 {
    86_400
}

fn udp() -> String {
    "U".to_owned()
}

/// Who may do what with an object or an instance.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// /object, for who may create instances, or /object/instance.
    #[schemars(length(min = 2, max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^(/(0|[1-9][0-9]{0,4})){1,2}$')").message("path must be /object or /object/instance, for example /3/0"))]
    pub path: String,
    /// What each server may do.
    #[schemars(length(min = 1, max = 9))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["shortServerID".into()]))]
    pub access: Vec<AccessGrant>,
}

/// What a server may do.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccessGrant {
    /// The server; 0 for every one without an entry of its own.
    #[serde(rename = "shortServerID")]
    #[schemars(range(min = 0, max = 65_534))]
    pub short_server_id: i32,
    /// What it may do.
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub rights: Vec<AccessRight>,
}

/// What a server may do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRight {
    /// Read, Observe, Discover and Write-Attributes.
    Read,
    /// Write.
    Write,
    /// Execute.
    Execute,
    /// Delete.
    Delete,
    /// Create.
    Create,
}

/// How many devices have bootstrapped with a profile.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapProfileStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many devices have bootstrapped with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrapped: Option<i64>,
    /// How many devices refused something of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i64>,
}

impl BootstrapProfile {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::ProfileNotFound,
                Reason::InvalidValue,
                Reason::Unsupported,
                Reason::IdentityConflict,
                Reason::QuotaExceeded,
            ],
        ),
        (
            ConditionType::Ready,
            &[Reason::InForce, Reason::Applying, Reason::NotAccepted],
        ),
        BRAKE,
    ];
}
