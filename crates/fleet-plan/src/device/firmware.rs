//! Which firmware a device has, and what the rollout that is about it has come to.

use crd::device::FirmwareStatus;
use crd::{ConditionStatus, ConditionType, Reason};
use lwm2m::Path;

use super::status::Report;
use super::{FirmwareCampaign, FirmwareProgress, Observed};
use crate::text::cut;

/// Firmware Version of Device.
const VERSION: Path = Path::Resource(3, 0, 3);
/// A longer version is cut.
const MAX_VERSION_BYTES: usize = 255;

impl Report<'_> {
    /// Nothing is said of a rollout if none is about the device.
    pub(super) fn firmware(&mut self, observed: &Observed) {
        let reported = observed.values.iter().find(|one| one.path == VERSION);
        let current = reported.map(|one| cut(&one.text, MAX_VERSION_BYTES));
        let campaign = observed.firmware.as_ref();
        let is_known = current.is_some() || campaign.is_some();
        self.status_mut().firmware = is_known.then(|| FirmwareStatus {
            current_version: current.map(str::to_owned),
            target_version: campaign.map(|one| cut(&one.version, MAX_VERSION_BYTES).to_owned()),
            rollout: campaign.map(|one| one.name.clone()),
        });
        let condition = ConditionType::FirmwareCurrent;
        match campaign {
            Some(campaign) => {
                let (status, reason, message) = judged(campaign, current);
                self.set(condition, status, reason, message);
            }
            None => self.leave_out(condition),
        }
    }
}

/// What the device tells counts more than what the campaign has seen of it: that may be long ago.
fn judged(campaign: &FirmwareCampaign, current: Option<&str>) -> (ConditionStatus, Reason, String) {
    use ConditionStatus::{False, True, Unknown};
    let FirmwareCampaign { name, version, .. } = campaign;
    let why = |what: &str| match campaign.reason.as_str() {
        "" => format!("the rollout {name} {what}"),
        reason => format!("the rollout {name} {what}: {reason}"),
    };
    let runs_it = current == Some(version.as_str());
    match campaign.progress {
        FirmwareProgress::Scheduled => {
            let message = format!("the rollout {name} is to bring it {version}");
            (False, Reason::UpdateScheduled, message)
        }
        FirmwareProgress::Updating => {
            let message = format!("the rollout {name} is bringing it {version}");
            (False, Reason::Updating, message)
        }
        _ if runs_it => {
            let message = format!("it runs {version}, as the rollout {name} wants");
            (True, Reason::UpToDate, message)
        }
        FirmwareProgress::Succeeded => match current {
            None => {
                let message = format!("it ran {version} when the rollout {name} was done with it");
                (True, Reason::UpToDate, message)
            }
            Some(other) => {
                let message = format!(
                    "it ran {version} when the rollout {name} was done with it, and tells {other} now"
                );
                (False, Reason::NotUpdated, message)
            }
        },
        FirmwareProgress::Failed => {
            let message = why(&format!("could not bring it {version}"));
            (False, Reason::UpdateFailed, message)
        }
        FirmwareProgress::LeftOut => (Unknown, Reason::NotUpdated, why("left it out")),
    }
}
