//! `FirmwareRollout`: an image that goes through a set of devices in waves.
//!
//! What starts, promotes and ends a rollout stands in the spec and can be kept in Git: paused,
//! approvedThrough, abort. All that decides what it does to devices cannot be changed.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{ConditionRow, ConditionType, Reason};
use crate::membership::Membership;
use crate::reference::ObjectReference;
use crate::selector::Selector;

pub mod delivery;
pub mod status;
pub mod strategy;

pub use delivery::{
    DevicePolicy, Preconditions, Retry, Schedule, Transfer, TransferMode, TransferProtocol,
};
pub use status::{
    FailureReason, FirmwareRolloutStatus, RolloutCounts, RolloutMembership, WaveState, WaveStatus,
};
pub use strategy::{FailureThreshold, Promotion, Strategy, Wave};

/// An image that goes through a set of devices in waves.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "FirmwareRollout",
    plural = "firmwarerollouts",
    doc = "FirmwareRollout brings a FirmwareImage to a set of devices in waves, and stops by itself when devices fail.",
    namespaced,
    status = "FirmwareRolloutStatus",
    shortname = "fwr",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.imageRef.name",
    selectable = ".spec.paused",
    selectable = ".status.currentWave",
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.imageRef.name"),
    printcolumn(name = "Wave", type_ = "string", json_path = ".status.currentWave"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.counts.total"),
    printcolumn(
        name = "Done",
        type_ = "integer",
        json_path = ".status.counts.succeeded"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.counts.failed"
    ),
    printcolumn(
        name = "Paused",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Paused')].status"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Progressing')].reason",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.selector) != has(self.groupRef)").message("exactly one of selector and groupRef must be set"))]
#[x_kube(validation = Rule::new("has(self.selector) == has(oldSelf.selector) && has(self.groupRef) == has(oldSelf.groupRef)").message("selector and groupRef are immutable"))]
#[x_kube(validation = Rule::new("has(self.orderingSeed) == has(oldSelf.orderingSeed)").message("orderingSeed is immutable"))]
#[x_kube(validation = Rule::new("has(self.transfer) == has(oldSelf.transfer) && has(self.device) == has(oldSelf.device) && has(self.rollback) == has(oldSelf.rollback)").message("transfer, device and rollback are immutable"))]
#[x_kube(validation = Rule::new("(has(self.schedule) && has(self.schedule.notBeforeTime)) == (has(oldSelf.schedule) && has(oldSelf.schedule.notBeforeTime)) && (has(self.schedule) && has(self.schedule.deadlineSeconds)) == (has(oldSelf.schedule) && has(oldSelf.schedule.deadlineSeconds))").message("of schedule only windows can be changed"))]
#[x_kube(validation = Rule::new("!has(self.approvedThrough) || self.strategy.waves.exists(wave, wave.name == self.approvedThrough)").message("approvedThrough must be the name of a wave"))]
#[x_kube(validation = Rule::new("self.onFailure != 'Rollback' || has(self.rollback)").message("onFailure Rollback needs rollback.imageRef"))]
#[x_kube(validation = Rule::new("!has(self.rollback) || self.rollback.imageRef.name != self.imageRef.name").message("rollback.imageRef must be another image than imageRef"))]
pub struct FirmwareRolloutSpec {
    /// The FirmwareImage.
    #[x_kube(validation = Rule::new("self == oldSelf").message("imageRef is immutable"))]
    pub image_ref: ObjectReference,
    /// The devices, by labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("selector is immutable"))]
    pub selector: Option<Selector>,
    /// The devices, as a DeviceGroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("groupRef is immutable"))]
    pub group_ref: Option<ObjectReference>,
    /// Whether devices that come later take part.
    #[serde(default = "snapshot")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("membership is immutable"))]
    pub membership: Membership,
    /// In which order devices come.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("ordering is immutable"))]
    pub ordering: Ordering,
    /// The same seed gives the same order; absent: one that is drawn from the object's UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("orderingSeed is immutable"))]
    pub ordering_seed: Option<String>,
    /// The waves, and what stops them.
    pub strategy: Strategy,
    /// How the image comes to devices; absent: they pull it, by what they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("transfer is immutable"))]
    pub transfer: Option<Transfer>,
    /// When work may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What is granted to each device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("device is immutable"))]
    pub device: Option<DevicePolicy>,
    /// What happens when a wave fails.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("onFailure is immutable"))]
    pub on_failure: FailureAction,
    /// What devices go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("rollback is immutable"))]
    pub rollback: Option<Rollback>,
    /// With true no further device begins.
    #[serde(default)]
    pub paused: bool,
    /// The last wave that may be followed by the next one, for waves with promotion Manual. Needs
    /// the verb approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub approved_through: Option<String>,
    /// With true the rollout ends: no further device begins. It cannot be taken back. Needs the
    /// verb approve.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self || !oldSelf").message("abort cannot be taken back"))]
    pub abort: bool,
}

const fn snapshot() -> Membership {
    Membership::Snapshot
}

/// In which order devices come.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// By a hash of seed and endpoint name, so that neighbours do not come together.
    #[default]
    Random,
}

/// What happens when a wave fails.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureAction {
    /// No further device begins until paused was set and taken back.
    #[default]
    Pause,
    /// The rollout ends.
    Abort,
    /// The rollout ends, and devices that have the image go back.
    Rollback,
}

/// What devices go back to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// The FirmwareImage.
    pub image_ref: ObjectReference,
    /// Who decides.
    #[serde(default)]
    pub policy: Promotion,
}

impl FirmwareRollout {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::ImageNotFound,
                Reason::ImageNotVerified,
                Reason::GroupNotFound,
                Reason::Unsupported,
                Reason::InvalidValue,
                Reason::InvalidFilter,
                Reason::Yanked,
                Reason::IdentityConflict,
                Reason::QuotaExceeded,
                Reason::SelectorEmpty,
                Reason::OverlapsRollout,
            ],
        ),
        (
            ConditionType::Progressing,
            &[
                Reason::Evaluating,
                Reason::WaveRunning,
                Reason::Soaking,
                Reason::OutsideWindow,
                Reason::AwaitingApproval,
                Reason::UserPaused,
                Reason::Yanked,
                Reason::FailureThresholdExceeded,
                Reason::FleetUnhealthy,
                Reason::Aborted,
                Reason::ProgressDeadlineExceeded,
                Reason::Complete,
                Reason::NotAccepted,
            ],
        ),
        (
            ConditionType::Paused,
            &[
                Reason::UserPaused,
                Reason::Yanked,
                Reason::FailureThresholdExceeded,
                Reason::FleetUnhealthy,
                Reason::PausedByAnnotation,
                Reason::PausedByNamespace,
                Reason::NotPaused,
            ],
        ),
        (
            ConditionType::Succeeded,
            &[
                Reason::Complete,
                Reason::Running,
                Reason::NotAccepted,
                Reason::Aborted,
                Reason::FailureThresholdExceeded,
                Reason::ProgressDeadlineExceeded,
            ],
        ),
        (
            ConditionType::RolledBack,
            &[
                Reason::Complete,
                Reason::Running,
                Reason::Aborted,
                Reason::FailureThresholdExceeded,
                Reason::ProgressDeadlineExceeded,
                Reason::AwaitingApproval,
            ],
        ),
        (ConditionType::Ready, SUMMARY),
        (ConditionType::Reconciling, SUMMARY),
        (ConditionType::Stalled, SUMMARY),
    ];
}

/// What Ready, Reconciling and Stalled say together.
const SUMMARY: &[Reason] = &[
    Reason::Complete,
    Reason::Running,
    Reason::Suspended,
    Reason::AwaitingApproval,
    Reason::NotAccepted,
    Reason::SelectorEmpty,
    Reason::FailureThresholdExceeded,
    Reason::FleetUnhealthy,
    Reason::Aborted,
    Reason::ProgressDeadlineExceeded,
];
