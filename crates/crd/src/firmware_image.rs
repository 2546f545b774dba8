//! `FirmwareImage`: a version of firmware, where it lies and how it is known to be right.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{BRAKE, ConditionRow, ConditionType, Reason, conditions_schema};
use crate::reference::{ObjectReference, PublicKeyReference};

/// A version of firmware. Only description and yanked can be changed: other bytes are another image.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "FirmwareImage",
    plural = "firmwareimages",
    doc = "FirmwareImage names a version of firmware: where it lies, its digest, its signature, and what it is for.",
    namespaced,
    status = "FirmwareImageStatus",
    shortname = "fwi",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.packageName",
    selectable = ".spec.version",
    printcolumn(name = "Package", type_ = "string", json_path = ".spec.packageName"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".spec.sizeBytes"),
    printcolumn(
        name = "Verified",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Verified')].status"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status"
    ),
    printcolumn(name = "Yanked", type_ = "boolean", json_path = ".spec.yanked"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.credentialsSecretRef) == has(oldSelf.credentialsSecretRef) && has(self.signature) == has(oldSelf.signature) && has(self.compatibility) == has(oldSelf.compatibility)").message("an image cannot be changed, except description and yanked"))]
#[x_kube(validation = Rule::new("self.versionScheme != 'SemVer' || self.version.matches('^(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)[.](0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?([+][0-9A-Za-z.-]+)?$')").message("version must be a semantic version such as 2.3.1, unless versionScheme is Opaque"))]
#[x_kube(validation = Rule::new("!has(self.signature) || self.signature.type != 'Cosign' || has(self.source.ociRef)").message("a Cosign signature needs source.ociRef"))]
pub struct FirmwareImageSpec {
    /// Where the bytes are fetched from.
    #[x_kube(validation = Rule::new("self == oldSelf").message("source is immutable"))]
    pub source: ImageSource,
    /// A Secret with what the source asks for: username and password, token, .dockerconfigjson, or AWS_….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("credentialsSecretRef is immutable"))]
    pub credentials_secret_ref: Option<ObjectReference>,
    /// The package as devices name it, such as in /5/0/6.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("packageName is immutable"))]
    pub package_name: String,
    /// The version as devices report it once they run it: in /3/0/3, of a component in /33629/x/15, of a software in /9/x/1.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("version is immutable"))]
    pub version: String,
    /// What of a device it is for, as the path of an object instance: /5/0 for its firmware, /33629/x for a component of it
    /// (Advanced Firmware Update), /9/x for a software (Software Management).
    #[serde(default = "firmware")]
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^/(5/0|(9|33629)/(0|[1-9][0-9]{0,4}))$')").message("object must be /5/0, or an instance of /33629 or /9, for example /33629/1"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("object is immutable"))]
    pub object: String,
    /// How versions are compared.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("versionScheme is immutable"))]
    pub version_scheme: VersionScheme,
    /// The length in bytes.
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("sizeBytes is immutable"))]
    pub size_bytes: i64,
    /// sha256: and 64 hex digits; checked before a device gets the first byte.
    #[schemars(length(max = 71))]
    #[x_kube(validation = Rule::new("self.matches('^sha256:[0-9a-f]{64}$')").message("digest must be sha256: and 64 lower-case hex digits"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("digest is immutable"))]
    pub digest: String,
    /// Who vouches for the bytes. The device checks its own signature besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("signature is immutable"))]
    pub signature: Option<ImageSignature>,
    /// Which devices it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("compatibility is immutable"))]
    pub compatibility: Option<Compatibility>,
    /// With true no further device begins with it.
    #[serde(default)]
    pub yanked: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
}

fn firmware() -> String {
    "/5/0".to_owned()
}

/// Where an image is fetched from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.uri), has(self.ociRef), has(self.objectRef)].filter(given, given).size() == 1").message("exactly one of uri, ociRef and objectRef must be set"))]
#[x_kube(validation = Rule::new("!has(self.fetchedBy) || self.fetchedBy == 'Cluster' || has(self.uri)").message("devices fetch from a uri only"))]
#[x_kube(validation = Rule::new("!has(self.fetchedBy) || self.fetchedBy == 'Devices' || !has(self.uri) || self.uri.matches('^https?://')").message("the cluster fetches from http and https only"))]
pub struct ImageSource {
    /// A server, or drover:sha256: and the digest of what drover artefacts put has stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^((https?|coaps?([+]tcp)?)://[^/ ]+/.*|drover:sha256:[0-9a-f]{64})$')").message("uri must begin with http://, https://, coap://, coaps://, coap+tcp:// or coaps+tcp:// and have a path, or be drover:sha256: and 64 hex digits"))]
    pub uri: Option<String>,
    /// A registry of container images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci_ref: Option<OciReference>,
    /// A bucket of an S3 store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<BucketReference>,
    /// Who fetches it. Absent: devices from a uri, the cluster from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_by: Option<FetchedBy>,
}

/// Who fetches an image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchedBy {
    /// Each device by itself, from the uri.
    Devices,
    /// The operator, once; it checks the image and stores it for the devices.
    Cluster,
}

/// An artefact in a registry.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OciReference {
    /// The repository with its registry, for example registry.example.com/firmware/m200.
    #[schemars(length(min = 1, max = 512))]
    pub repository: String,
    /// The digest of the manifest.
    #[schemars(length(max = 71))]
    #[x_kube(validation = Rule::new("self.matches('^sha256:[0-9a-f]{64}$')").message("ociRef.digest must be sha256: and 64 lower-case hex digits"))]
    pub digest: String,
}

/// An object in a bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BucketReference {
    /// The bucket.
    #[schemars(length(min = 1, max = 63))]
    pub bucket: String,
    /// The name of the object in it.
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
}

/// Who vouches for an image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.type == 'RawEd25519') == has(self.value)").message("RawEd25519 needs value; with Cosign the signature lies in the registry"))]
pub struct ImageSignature {
    /// How it is signed.
    #[serde(rename = "type")]
    pub kind: SignatureType,
    /// The public key.
    pub public_key_ref: PublicKeyReference,
    /// The signature of the image's bytes, 64 bytes in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 88))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9+/]{86}==$')").message("signature.value must be 64 bytes in Base64"))]
    pub value: Option<String>,
}

/// How an image is signed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureType {
    /// Ed25519 over the bytes of the image.
    RawEd25519,
    /// By cosign, in the registry next to the image.
    Cosign,
}

/// How versions are compared.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionScheme {
    /// As semantic versions.
    #[default]
    SemVer,
    /// They are equal or not.
    Opaque,
}

/// Which devices an image is for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Compatibility {
    /// Model numbers (/3/0/1); none: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub models: Vec<String>,
    /// The oldest version that it can be put over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub minimum_version: Option<String>,
    /// The newest version that it can be put over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub maximum_version: Option<String>,
    /// The hardware version that it needs (/3/0/18).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub hardware_version: Option<String>,
}

/// Whether an image was fetched and is right.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareImageStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The digest of what was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub observed_digest: Option<String>,
    /// When it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_time: Option<Time>,
    /// How many state nodes have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_nodes: Option<i32>,
    /// How many rollouts that are not at an end name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<i32>,
}

impl FirmwareImage {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::Unsupported,
                Reason::InvalidValue,
                Reason::SecretNotFound,
                Reason::KeyNotFound,
            ],
        ),
        (
            ConditionType::Verified,
            &[
                Reason::NotChecked,
                Reason::Verified,
                Reason::Fetching,
                Reason::FetchFailed,
                Reason::SizeMismatch,
                Reason::DigestMismatch,
                Reason::SignatureInvalid,
                Reason::UntrustedKey,
            ],
        ),
        (
            ConditionType::Available,
            &[
                Reason::NotChecked,
                Reason::NotAccepted,
                Reason::Available,
                Reason::NotVerified,
                Reason::NotStored,
                Reason::Yanked,
                Reason::StorageFull,
            ],
        ),
        BRAKE,
    ];
}
