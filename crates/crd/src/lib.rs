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

pub mod condition;
pub mod device;
mod manifest;

pub use condition::{ConditionStatus, ConditionType, Observation, Reason, set_condition};
pub use device::{
    DesiredResource, Device, DeviceSpec, DeviceStatus, Drift, ManagementPolicy, RegistrationState,
    RegistrationStatus, ResourceState, ResourceStatus,
};
pub use manifest::{Manifest, crds};

/// The API group of every kind here.
pub const GROUP: &str = "drover.dev";
