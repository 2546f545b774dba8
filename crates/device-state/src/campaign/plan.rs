//! What is declared of a campaign.

use std::time::Duration;

use super::{CampaignId, Compatibility, Selector, UpdateObject};
use crate::id::Timestamp;

/// What is to be done. Checked by whoever takes it in; `apply` trusts it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub image: Image,
    pub transfer: Transfer,
    pub selector: Selector,
    pub membership: Membership,
    /// Devices of a wave go in an order that looks random; campaigns with the same seed take them in the same order.
    pub seed: String,
    /// At least one, at most [`Campaign::MAX_WAVES`](super::Campaign::MAX_WAVES), with names of their own. The last one
    /// takes everybody that is left.
    pub waves: Vec<Wave>,
    /// Devices of the whole campaign that may be on their way at once.
    pub max_unavailable: Option<Share>,
    pub schedule: Schedule,
    pub device: DevicePolicy,
    pub on_failure: OnFailure,
    /// What devices get by [`OnFailure::Rollback`].
    pub rollback_image: Option<Image>,
    /// The campaign stops when more than this part of the devices that were registered when the wave began are not any
    /// more, whatever else it does; in millionths.
    pub pause_when_unreachable: Option<u32>,
    /// Devices begin one after the other, and so long lies between two of them on average; to the microsecond. `None`: as
    /// fast as they can.
    pub begin_every: Option<Duration>,
}

impl Plan {
    /// The place of a wave among the others.
    pub fn wave(&self, name: &str) -> Option<usize> {
        self.waves.iter().position(|wave| wave.name == name)
    }
}

/// A firmware or a software.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// For people; the name of a `FirmwareImage`.
    pub name: String,
    /// What a device says in [`UpdateObject::version`] once it runs it; compared exactly.
    pub version: String,
    /// Where it is.
    pub uri: String,
    /// What of the device it is for.
    pub object: UpdateObject,
    /// Which devices it is for.
    pub compatibility: Compatibility,
}

impl Image {
    /// The longest name in bytes: as of any object of Kubernetes.
    pub const MAX_NAME: usize = 253;
    /// The longest version in bytes.
    pub const MAX_VERSION: usize = 128;
    // LwM2M Core 1.2 §E.6: a Package URI of 0 to 255 bytes.
    /// The longest URI in bytes.
    pub const MAX_URI: usize = 255;

    /// Whether it is firmware for every device: what releases before [`FeatureLevel::UPDATE_OBJECTS`] take it for.
    ///
    /// [`FeatureLevel::UPDATE_OBJECTS`]: crate::FeatureLevel::UPDATE_OBJECTS
    pub fn is_plain(&self) -> bool {
        self.object == UpdateObject::Firmware && self.compatibility.is_any()
    }
}

/// How a device gets the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transfer {
    /// It gets the URI in [`UpdateObject::uri`], and fetches it.
    #[default]
    Pull,
    /// It gets the package in [`UpdateObject::package`]. The image's URI is that of a package of the cluster.
    Push,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Who meets the selector when the campaign begins.
    #[default]
    Snapshot,
    /// Also who meets it later, until the campaign ends.
    Dynamic,
    /// Who got the firmware of another campaign, for going back; the selector does not count.
    UpdatedBy(CampaignId),
}

/// A number of devices, or a part of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    Devices(u64),
    /// Millionths, so that 0.1 % of a million is exact: 1,000,000 is everybody.
    Millionths(u32),
}

impl Share {
    pub const ALL: Self = Self::Millionths(1_000_000);

    /// Of so many devices. A part that is not zero is never nobody.
    pub const fn of(self, total: u64) -> u64 {
        match self {
            Self::Devices(devices) => {
                if devices < total {
                    devices
                } else {
                    total
                }
            }
            Self::Millionths(part) => {
                let exact = total as u128 * part as u128;
                exact.div_ceil(1_000_000) as u64
            }
        }
    }
}

/// A step of a campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// Of the campaign's other waves no other has it; at most [`Campaign::MAX_NAME`](super::Campaign::MAX_NAME) bytes.
    pub name: String,
    /// Of all members, not cumulative. The last wave takes who is left, whatever this says.
    pub size: Share,
    /// Only these members. A member that meets the selectors of several waves is of the first; one that meets none is
    /// of any wave without.
    pub selector: Option<Selector>,
    /// Devices of the wave that may be on their way at once, of its size.
    pub max_concurrent: Share,
    /// The part of the devices with a result that must have succeeded before the next wave begins; in millionths.
    pub success_threshold: u32,
    pub failure_threshold: FailureThreshold,
    /// A part of failed devices is not looked at before so many have a result; a number of them counts at once.
    pub minimum_results: u64,
    /// From the last result to the next wave.
    pub soak: Duration,
    pub promotion: Promotion,
}

impl Wave {
    /// Everybody at once: no threshold, no soak, no approval.
    pub const fn everybody(name: String) -> Self {
        Self {
            name,
            size: Share::ALL,
            selector: None,
            max_concurrent: Share::ALL,
            success_threshold: 0,
            failure_threshold: FailureThreshold {
                devices: None,
                millionths: None,
            },
            minimum_results: 0,
            soak: Duration::ZERO,
            promotion: Promotion::Automatic,
        }
    }
}

/// When a wave is stopped; whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FailureThreshold {
    /// So many failed devices are too many.
    pub devices: Option<u64>,
    /// More than this part of the devices with a result failed; in millionths.
    pub millionths: Option<u32>,
}

/// What leads from a wave to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Promotion {
    #[default]
    Automatic,
    /// Somebody has to approve.
    Manual,
}

/// When devices may begin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    pub not_before: Option<Timestamp>,
    /// Any time if there is none. What has begun in a window goes on after it.
    pub windows: Vec<Window>,
    /// From the beginning of the campaign; then it ends with what there is.
    pub deadline: Option<Duration>,
}

/// A part of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bits by day, Monday the lowest; on which it begins.
    pub days: u8,
    /// Minutes after midnight, below 1440.
    pub start: u16,
    /// Minutes after midnight. Not after `start` means on the next day.
    pub end: u16,
    /// A name of the IANA database, such as `Europe/Berlin`.
    pub time_zone: String,
}

/// How patient one is with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePolicy {
    /// From its turn until it has taken the firmware's URI; then it expired. Asleep is not failed.
    pub wake_up_deadline: Duration,
    /// From there until the package is checked.
    pub download_timeout: Duration,
    /// From the order to install until it runs the new version.
    pub install_timeout: Duration,
    /// How often it is tried again, if that can help.
    pub retries: u8,
    /// Before the first of them; doubled each time.
    pub retry_backoff: Duration,
    /// Not begun below this level of `/3/0/9` in percent; 0 for not asked.
    pub minimum_battery: u8,
}

impl Default for DevicePolicy {
    fn default() -> Self {
        Self {
            wake_up_deadline: Duration::from_hours(7 * 24),
            download_timeout: Duration::from_hours(24),
            install_timeout: Duration::from_mins(30),
            retries: 2,
            retry_backoff: Duration::from_mins(10),
            minimum_battery: 0,
        }
    }
}

/// What a wave with too many failed devices leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFailure {
    #[default]
    Pause,
    Abort,
    /// Abort, and a campaign that brings [`Plan::rollback_image`] to those that have the image.
    Rollback,
}
