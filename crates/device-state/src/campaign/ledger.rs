//! The devices of a campaign in one shard.

use super::{CampaignId, DevicePolicy, Image, Membership, Selector, Transfer};
use crate::id::{OperationId, Timestamp};
use crate::name::{DeviceName, Namespace};

/// What a shard knows of a campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub id: CampaignId,
    pub namespace: Namespace,
    /// Of the campaign, for what is told of it.
    pub name: String,
    pub image: Image,
    pub transfer: Transfer,
    pub selector: Selector,
    pub membership: Membership,
    pub seed: String,
    /// Of the waves, in their order.
    pub wave_selectors: Vec<Option<Selector>>,
    pub device: DevicePolicy,
    /// Who was asked whether it takes part.
    pub enrolment: Sweep,
    /// Whose way was ended; from the moment it begins, no device begins.
    pub halt: Sweep,
    /// The highest step of the course that the shard was told of. What was decided before it admits nobody any more.
    pub step: u64,
    /// `None` if nobody wants to know.
    pub reach: Option<Reach>,
}

/// How many devices of a campaign can be reached. Changes with each registration that begins or ends, so that nobody has to
/// look through the devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// [`Course::census`](super::Course::census), as the shard was told; 0 before.
    pub census: u64,
    /// Devices that are registered now.
    pub registered: u64,
    /// Devices that were registered when the census began, but for those that were deleted since.
    pub counted: u64,
    /// Those of them that are not registered now.
    pub lost: u64,
}

/// A device in a [`Reach`]. What stands here was so when the registration of the device began or ended last; a census that
/// began since finds `registered` as it was then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    pub registered: bool,
    /// During which this was written.
    pub census: u64,
    /// Whether it was registered when that census began.
    pub counted: bool,
}

impl Presence {
    /// Whether the device is one of [`Reach::counted`] in this census.
    pub const fn counts(self, census: u64) -> bool {
        if self.census == census {
            self.counted
        } else {
            self.registered
        }
    }
}

/// A walk over all devices, in the order of their names, in steps of a bounded size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sweep {
    #[default]
    NotBegun,
    /// Everybody up to this one.
    Through(DeviceName),
    Done,
}

impl Sweep {
    /// Where to go on.
    pub const fn after(&self) -> Option<&DeviceName> {
        match self {
            Self::Through(name) => Some(name),
            Self::NotBegun | Self::Done => None,
        }
    }

    /// Where it is after a step that ended with `last`, behind which there may be more.
    pub(crate) fn to(last: Option<DeviceName>) -> Self {
        last.map_or(Self::Done, Self::Through)
    }
}

impl Ledger {
    /// Where it is counted: with its wave, or while it waits with the wave whose selector it meets.
    pub fn slot(&self) -> u8 {
        self.wave.or(self.lane).unwrap_or(Tally::COMMON)
    }
}

/// What became of a device in a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    pub campaign: CampaignId,
    pub endpoint: DeviceName,
    /// Its place among those that wait: the lower, the earlier.
    pub rank: u64,
    /// The wave whose selector it meets.
    pub lane: Option<u8>,
    /// The wave in which it had its turn.
    pub wave: Option<u8>,
    pub phase: Phase,
    /// When the phase began.
    pub since: Timestamp,
    /// When the phase is over in any case.
    pub deadline: Timestamp,
    /// When the device is looked after next, at the latest; [`Timestamp::NEVER`] for not at all.
    pub due: Timestamp,
    /// What is being done with it.
    pub operation: Option<OperationId>,
    /// What the device said before this does not count.
    pub asked_at: Timestamp,
    /// How often it was tried again.
    pub retries: u8,
    /// What it ran when its turn came, if it told.
    pub version_before: Option<String>,
    /// In [`Part::reach`].
    pub presence: Presence,
}

/// How far a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// For its turn.
    Waiting,
    /// It is asked what it runs and whether it can be updated: asleep, perhaps.
    Scheduled,
    /// What was left of an earlier update is cleared away, or it is told where the image is.
    Offered,
    Downloading,
    /// It has the image; the order to install it is on its way.
    Downloaded,
    Updating,
    /// It says that it is done, and is asked what it runs.
    Verifying,
    /// It failed, and is tried again later.
    Retrying,
    Succeeded,
    Failed(Failure),
    /// It did not wake up in time.
    Expired,
    Skipped(SkipReason),
    /// The campaign was aborted before the device had the image installed.
    Cancelled,
}

impl Phase {
    /// Whether nothing more happens to the device.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed(_) | Self::Expired | Self::Skipped(_) | Self::Cancelled
        )
    }

    /// Whether it had its turn and has no result yet.
    pub const fn is_active(self) -> bool {
        !self.is_final() && !matches!(self, Self::Waiting)
    }
}

/// Why the update of a device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// It says so in `UpdateObject::result`: 2 to 13 of firmware and its components, from 50 on of software.
    UpdateResult(u8),
    /// It refused the URI or the order to install, with this CoAP code (class and detail, as in 4.05).
    Refused(u8, u8),
    DownloadTimeout,
    /// It is without a package again, and does not say why.
    Interrupted,
    InstallTimeout,
    /// It said that it is done, and runs another version.
    VersionMismatch,
}

/// Why a device is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// It runs the version already.
    UpToDate,
    /// It has not the object that the image is for.
    Unsupported,
    /// Its battery is too low.
    Battery,
    /// It was deleted.
    Forgotten,
    /// The image cannot be put over what it runs.
    Version,
    /// The image is not for its hardware.
    Hardware,
}

/// How many devices of a wave are where. Devices without a wave have a tally of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub waiting: u64,
    pub scheduled: u64,
    pub offered: u64,
    pub downloading: u64,
    pub downloaded: u64,
    pub updating: u64,
    pub verifying: u64,
    pub retrying: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub expired: u64,
    pub skipped: u64,
    pub cancelled: u64,
    /// By reason; there are few.
    pub failures: Vec<(Failure, u64)>,
    /// The last ones, the newest last; at most [`Tally::MAX_SAMPLES`].
    pub samples: Vec<FailureSample>,
    /// Those of `waiting` that were met in line while another campaign held them. They are out of line until it lets them
    /// go.
    pub held: u64,
}

/// A device that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureSample {
    pub endpoint: DeviceName,
    pub failure: Failure,
    pub at: Timestamp,
}

impl Tally {
    /// The slot of those that wait and are of no wave in particular.
    pub const COMMON: u8 = u8::MAX;
    /// More samples are not kept.
    pub const MAX_SAMPLES: usize = 10;

    /// Devices that had their turn.
    pub const fn admitted(&self) -> u64 {
        self.active() + self.ended()
    }

    /// Devices on their way.
    pub const fn active(&self) -> u64 {
        self.scheduled
            + self.offered
            + self.downloading
            + self.downloaded
            + self.updating
            + self.verifying
            + self.retrying
    }

    /// Devices of which nothing more is to come.
    pub const fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.expired + self.skipped + self.cancelled
    }

    /// Devices that tell something about the firmware: they have it, or failed to get it.
    pub const fn results(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// The count that a device in this phase is in.
    pub const fn count(&mut self, phase: Phase) -> &mut u64 {
        match phase {
            Phase::Waiting => &mut self.waiting,
            Phase::Scheduled => &mut self.scheduled,
            Phase::Offered => &mut self.offered,
            Phase::Downloading => &mut self.downloading,
            Phase::Downloaded => &mut self.downloaded,
            Phase::Updating => &mut self.updating,
            Phase::Verifying => &mut self.verifying,
            Phase::Retrying => &mut self.retrying,
            Phase::Succeeded => &mut self.succeeded,
            Phase::Failed(_) => &mut self.failed,
            Phase::Expired => &mut self.expired,
            Phase::Skipped(_) => &mut self.skipped,
            Phase::Cancelled => &mut self.cancelled,
        }
    }

    /// All counts, in the order in which they are stored: only ever longer.
    pub const fn counts_mut(&mut self) -> [&mut u64; 13] {
        [
            &mut self.waiting,
            &mut self.scheduled,
            &mut self.offered,
            &mut self.downloading,
            &mut self.downloaded,
            &mut self.updating,
            &mut self.verifying,
            &mut self.retrying,
            &mut self.succeeded,
            &mut self.expired,
            &mut self.cancelled,
            &mut self.failed,
            &mut self.skipped,
        ]
    }

    /// Adds what another shard counted.
    pub fn add(&mut self, other: &Self) {
        let mut theirs = other.clone();
        for (ours, theirs) in self.counts_mut().into_iter().zip(theirs.counts_mut()) {
            *ours += *theirs;
        }
        self.held += other.held;
        for (failure, devices) in &other.failures {
            self.add_failures(*failure, *devices);
        }
        self.samples.extend(other.samples.iter().cloned());
        self.samples.sort_by_key(|sample| sample.at);
        let surplus = self.samples.len().saturating_sub(Self::MAX_SAMPLES);
        self.samples.drain(..surplus);
    }

    /// So many more devices failed so.
    pub fn add_failures(&mut self, failure: Failure, devices: u64) {
        let known = self
            .failures
            .iter_mut()
            .find(|(known, _)| *known == failure);
        if let Some((_, known)) = known {
            *known += devices;
        } else {
            self.failures.push((failure, devices));
            self.failures.sort_unstable();
        }
    }
}
