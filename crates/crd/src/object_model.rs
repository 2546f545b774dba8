//! `ObjectModel`: the definition of an object that the OMA registry does not have.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{BRAKE, ConditionRow, ConditionType, Reason, conditions_schema};

/// The definition of an object. Every object of the OMA registry is known without one.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "ObjectModel",
    plural = "objectmodels",
    doc = "ObjectModel defines an object of a vendor: its resources, their types and what may be done with them.",
    status = "ObjectModelStatus",
    shortname = "lwom",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.objectID",
    selectable = ".spec.version",
    printcolumn(name = "Object", type_ = "integer", json_path = ".spec.objectID"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source"),
    printcolumn(name = "Resources", type_ = "integer", json_path = ".status.resources"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.source == 'OMA' || self.objectID >= 1024").message("objects 0 to 1023 are defined by the OMA alone; vendors use 10241 and above, and 26241 to 32768 for objects that they do not register"))]
pub struct ObjectModelSpec {
    /// The id of the object.
    #[serde(rename = "objectID")]
    #[schemars(range(min = 0, max = 65_534))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("objectID is immutable"))]
    pub object_id: i32,
    /// The version of the object.
    #[serde(default = "first")]
    #[schemars(length(max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,2}[.][0-9]{1,2}$')").message("version must have two numbers, for example 1.0"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("version is immutable"))]
    pub version: String,
    /// Who defines it.
    #[serde(default)]
    pub source: ModelSource,
    /// What it is.
    pub definition: Definition,
}

fn first() -> String {
    "1.0".to_owned()
}

/// Who defines an object.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelSource {
    /// A vendor.
    #[default]
    Vendor,
    /// The OMA, in a version that is newer than the one that is built in.
    OMA,
}

/// What an object is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.xml) != has(self.inline)").message("exactly one of xml and inline must be set"))]
pub struct Definition {
    /// As the OMA writes it (DDF), at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub xml: Option<String>,
    /// As it is written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<InlineDefinition>,
}

/// An object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InlineDefinition {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// How many instances it may have.
    #[serde(default)]
    pub instances: Instances,
    /// Its resources.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub resources: Vec<ResourceDefinition>,
}

/// A resource.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.operations == 'Execute') != has(self.type)").message("a resource has a type, unless its operations are Execute"))]
pub struct ResourceDefinition {
    /// Its id.
    #[schemars(range(min = 0, max = 65_534))]
    pub id: i32,
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What may be done with it.
    pub operations: Operations,
    /// How many instances it may have.
    #[serde(default)]
    pub instances: Instances,
    /// Whether an instance of the object must have it.
    #[serde(default)]
    pub presence: Presence,
    /// The type of its values.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ResourceType>,
    /// The unit of its values, for example Cel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub units: Option<String>,
}

/// How many instances there may be.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instances {
    /// One.
    #[default]
    Single,
    /// Several.
    Multiple,
}

/// Whether something must be there.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It may.
    #[default]
    Optional,
    /// It must.
    Mandatory,
}

/// What may be done with a resource.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operations {
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    ReadWrite,
    /// Execute it.
    Execute,
    /// Nothing; only a bootstrap server writes it.
    Bootstrap,
}

/// The type of a resource's values.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceType {
    /// Text.
    String,
    /// A number without a fraction.
    Integer,
    /// One that is not negative.
    Unsigned,
    /// A number.
    Float,
    /// True or false.
    Boolean,
    /// Bytes.
    Opaque,
    /// Seconds since 1970.
    Time,
    /// A reference to an object instance.
    Objlnk,
    /// Links (RFC 6690).
    Corelnk,
}

/// Whether a definition is in force.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectModelStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many resources the object has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<i32>,
}

impl ObjectModel {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::InvalidDefinition,
                Reason::IdentityConflict,
                Reason::NotNewer,
                Reason::InvalidValue,
                Reason::Unsupported,
                Reason::QuotaExceeded,
            ],
        ),
        BRAKE,
    ];
}
