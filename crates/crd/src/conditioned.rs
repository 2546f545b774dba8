//! Statuses with conditions: those of all kinds here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    BootstrapProfileStatus, DeviceGroupStatus, DeviceOperationStatus, DeviceProfileStatus,
    DeviceStatus, EnrollmentPolicyStatus, FirmwareImageStatus, FirmwareRolloutStatus,
    ObjectModelStatus, SecurityProfileStatus,
};

/// A status with conditions.
pub trait Conditioned {
    /// All of them.
    fn conditions(&self) -> &[Condition];
}

macro_rules! conditioned {
    ( $( $status:ty, )+ ) => { $(
        impl Conditioned for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }
        }
    )+ };
}

conditioned! {
    BootstrapProfileStatus,
    DeviceGroupStatus,
    DeviceOperationStatus,
    DeviceProfileStatus,
    DeviceStatus,
    EnrollmentPolicyStatus,
    FirmwareImageStatus,
    FirmwareRolloutStatus,
    ObjectModelStatus,
    SecurityProfileStatus,
}
