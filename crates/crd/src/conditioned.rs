//! Statuses with conditions: those of all kinds here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::condition::ConditionRow;
use crate::{
    BootstrapProfile, BootstrapProfileStatus, Device, DeviceGroup, DeviceGroupStatus,
    DeviceOperation, DeviceOperationStatus, DeviceProfile, DeviceProfileStatus, DeviceStatus,
    EnrollmentPolicy, EnrollmentPolicyStatus, FirmwareImage, FirmwareImageStatus, FirmwareRollout,
    FirmwareRolloutStatus, ObjectModel, ObjectModelStatus, SecurityProfile, SecurityProfileStatus,
};

/// A status with conditions.
pub trait Conditioned {
    /// Those that its kind has, and their reasons.
    const ROWS: &'static [ConditionRow];

    /// All of them.
    fn conditions(&self) -> &[Condition];

    /// All of them, to be changed.
    fn conditions_mut(&mut self) -> &mut Vec<Condition>;
}

macro_rules! conditioned {
    ( $( $kind:ty: $status:ty, )+ ) => { $(
        impl Conditioned for $status {
            const ROWS: &'static [ConditionRow] = <$kind>::CONDITIONS;

            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn conditions_mut(&mut self) -> &mut Vec<Condition> {
                &mut self.conditions
            }
        }
    )+ };
}

conditioned! {
    BootstrapProfile: BootstrapProfileStatus,
    Device: DeviceStatus,
    DeviceGroup: DeviceGroupStatus,
    DeviceOperation: DeviceOperationStatus,
    DeviceProfile: DeviceProfileStatus,
    EnrollmentPolicy: EnrollmentPolicyStatus,
    FirmwareImage: FirmwareImageStatus,
    FirmwareRollout: FirmwareRolloutStatus,
    ObjectModel: ObjectModelStatus,
    SecurityProfile: SecurityProfileStatus,
}
