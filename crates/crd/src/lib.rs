//! The custom resources of the API group `drover.dev`.
//!
//! This crate owns what stands in etcd: the Rust types, the schema and the CEL rules that are
//! generated from them ([`crds`]), the condition types with their reasons, and the one way to
//! write a condition ([`set_condition`]). It never talks to an API server and decides nothing:
//! what a spec leads to is decided in `fleet-plan`.
//!
//! ```
//! use crd::Device;
//!
//! let device: Device = serde_yaml_ng::from_str(
//!     "apiVersion: drover.dev/v1alpha1
//! kind: Device
//! metadata: {name: meter-1}
//! spec:
//!   endpointName: urn:imei:490154203237518
//!   resources: [{path: /3/0/14, value: '+02:00'}]",
//! )?;
//! assert_eq!(device.spec.resources[0].path, "/3/0/14");
//! # Ok::<(), serde_yaml_ng::Error>(())
//! ```

#![expect(
    clippy::duplicated_attributes,
    reason = "each printer column has a type, and the lint takes them for one list"
)]

pub mod amount;
pub mod approval;
pub mod bootstrap_profile;
#[cfg(test)]
mod compatibility;
pub mod condition;
pub mod conditioned;
pub mod desired_instance;
pub mod desired_observation;
pub mod desired_value;
pub mod device;
pub mod device_group;
pub mod device_operation;
pub mod device_profile;
pub mod enrollment_policy;
pub mod failure_sample;
pub mod firmware_image;
pub mod firmware_rollout;
mod manifest;
mod membership;
pub mod object_model;
pub mod reference;
#[cfg(test)]
mod rules;
pub mod security_profile;
pub mod selector;
pub mod window;

pub use bootstrap_profile::{BootstrapProfile, BootstrapProfileSpec, BootstrapProfileStatus};
pub use condition::{ConditionStatus, ConditionType, Observation, Reason, set_condition};
pub use conditioned::Conditioned;
pub use desired_value::DriftPolicy;
pub use device::{
    AdoptionPolicy, DeletionPolicy, DesiredResource, Device, DeviceDelivery, DeviceSpec,
    DeviceStatus, Drift, ManagementPolicy, Outstanding, RegistrationState, RegistrationStatus,
    ResourceState, ResourceStatus,
};
pub use device_group::{DeviceGroup, DeviceGroupSpec, DeviceGroupStatus};
pub use device_operation::{DeviceOperation, DeviceOperationSpec, DeviceOperationStatus};
pub use device_profile::{DeviceProfile, DeviceProfileSpec, DeviceProfileStatus};
pub use enrollment_policy::{EnrollmentPolicy, EnrollmentPolicySpec, EnrollmentPolicyStatus};
pub use firmware_image::{FirmwareImage, FirmwareImageSpec, FirmwareImageStatus};
pub use firmware_rollout::{FirmwareRollout, FirmwareRolloutSpec, FirmwareRolloutStatus};
pub use manifest::{Manifest, crds, manifests};
pub use membership::Membership;
pub use object_model::{ObjectModel, ObjectModelSpec, ObjectModelStatus};
pub use security_profile::{SecurityProfile, SecurityProfileSpec, SecurityProfileStatus};

/// The API group of every kind here.
pub const GROUP: &str = "drover.dev";

/// With the value true, on an object or on its namespace, an emergency brake: of what the object asks for the operator changes
/// nothing until it is taken away.
pub const PAUSED: &str = "drover.dev/paused";
