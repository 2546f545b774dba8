//! Campaigns: what is asked for, and what is told of them.

mod heard;
mod text;
mod told;

use std::time::Duration;

use device_state::campaign::{
    Abort, Campaign, CampaignId, Control, Course, DevicePolicy, FailureThreshold, Image,
    Membership, OnFailure, Plan, Promotion, Schedule, Selector, Share, Transfer, Wave, Window,
};
use device_state::{Command, Timestamp};

pub(super) use self::text::share_text;
use self::text::{days, minutes, percent, share};
use super::{InNamespace, device_filter};
use crate::convert::campaign::{compatibility, update_object};
use crate::convert::list::each;
use crate::convert::{ConvertError, Reason, Within, narrow, required};
use crate::drover::v1 as public;

pub use self::heard::{heard_campaign, heard_counts};
pub(super) use self::told::campaign_moved;
pub use self::told::{Standing, campaign_device, phases};

const EVERY_DAY: u8 = 0b111_1111;

impl TryFrom<InNamespace<public::CreateCampaignRequest>> for Campaign {
    type Error = ConvertError;

    /// What can be told from the text alone; whether the plan is sound is for the planner to say.
    fn try_from(asked: InNamespace<public::CreateCampaignRequest>) -> Result<Self, ConvertError> {
        let campaign = required("campaign", asked.request.campaign)?;
        let name = campaign.name;
        checked_name("name", &name).within("campaign")?;
        if campaign.owner.len() > Self::MAX_OWNER {
            let reason = Reason::Length(campaign.owner.len());
            return Err(ConvertError::new("campaign.owner", reason));
        }
        let plan = required("plan", campaign.plan).and_then(|asked| plan(asked, &name));
        Ok(Self {
            id: CampaignId(0),
            namespace: asked.namespace,
            plan: plan.within("plan").within("campaign")?,
            name,
            control: Control {
                paused: campaign.paused,
                approved_through: campaign.approved_through,
                aborted: false,
            },
            course: Course::default(),
            created_at: Timestamp(0),
            owner: campaign.owner,
        })
    }
}

/// The name of a campaign or of a wave.
pub fn checked_name(field: &str, name: &str) -> Result<(), ConvertError> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=Campaign::MAX_NAME).contains(&name.len()) && name.bytes().all(letter);
    fits.then_some(())
        .ok_or_else(|| ConvertError::new(field, Reason::CampaignName))
}

fn plan(asked: public::CampaignPlan, name: &str) -> Result<Plan, ConvertError> {
    let seed = match asked.seed.as_str() {
        "" => name.to_owned(),
        seed if seed.len() <= Campaign::MAX_NAME => seed.to_owned(),
        seed => return Err(ConvertError::new("seed", Reason::Length(seed.len()))),
    };
    let waves = match asked.waves.len() {
        // The one wave of a plan that names none.
        0 => vec![Wave::everybody("all".to_owned())],
        _ => each("waves", asked.waves, Campaign::MAX_WAVES, wave)?,
    };
    Ok(Plan {
        image: required("image", asked.image)
            .and_then(|asked| named_image(asked, name).within("image"))?,
        transfer: match public::campaign_plan::Transfer::try_from(asked.transfer) {
            Ok(public::campaign_plan::Transfer::Push) => Transfer::Push,
            Ok(_) => Transfer::Pull,
            Err(_) => return Err(unknown("transfer", asked.transfer)),
        },
        selector: selector("filter", asked.filter)?,
        membership: match public::campaign_plan::Membership::try_from(asked.membership) {
            Ok(public::campaign_plan::Membership::Dynamic) => Membership::Dynamic,
            Ok(_) => Membership::Snapshot,
            Err(_) => return Err(unknown("membership", asked.membership)),
        },
        seed,
        waves,
        max_unavailable: optional_share("max_unavailable", &asked.max_unavailable)?,
        schedule: schedule(asked.schedule.unwrap_or_default()).within("schedule")?,
        device: policy(asked.device.unwrap_or_default()).within("device")?,
        on_failure: match public::campaign_plan::OnFailure::try_from(asked.on_failure) {
            Ok(public::campaign_plan::OnFailure::Abort) => OnFailure::Abort,
            Ok(public::campaign_plan::OnFailure::Rollback) if asked.rollback_image.is_none() => {
                return Err(ConvertError::new("rollback_image", Reason::Missing));
            }
            Ok(public::campaign_plan::OnFailure::Rollback) => OnFailure::Rollback,
            Ok(_) => OnFailure::Pause,
            Err(_) => return Err(unknown("on_failure", asked.on_failure)),
        },
        rollback_image: asked
            .rollback_image
            .map(|asked| named_image(asked, name).within("rollback_image"))
            .transpose()?,
        pause_when_unreachable: optional_percent(
            "pause_when_unreachable",
            &asked.pause_when_unreachable,
        )?,
        begin_every: asked
            .begin_every
            .map(|every| duration("begin_every", every))
            .transpose()?,
    })
}

/// An image that has no name is called as its campaign.
fn named_image(asked: public::CampaignImage, campaign: &str) -> Result<Image, ConvertError> {
    let mut image = image(asked)?;
    if image.name.is_empty() {
        campaign.clone_into(&mut image.name);
    }
    Ok(image)
}

fn image(asked: public::CampaignImage) -> Result<Image, ConvertError> {
    Ok(Image {
        name: asked.name,
        version: asked.version,
        uri: asked.uri,
        object: update_object("object", &asked.object)?,
        compatibility: compatibility([
            ("minimum_version", asked.minimum_version),
            ("maximum_version", asked.maximum_version),
            ("hardware_version", asked.hardware_version),
        ])?,
    })
}

fn unknown(field: &str, number: i32) -> ConvertError {
    ConvertError::new(field, Reason::UnknownEnum(number))
}

fn wave(asked: public::CampaignWave) -> Result<Wave, ConvertError> {
    checked_name("name", &asked.name)?;
    let selector = match asked.filter.as_str() {
        "" => None,
        _ => Some(selector("filter", asked.filter)?),
    };
    Ok(Wave {
        name: asked.name,
        size: optional_share("size", &asked.size)?.unwrap_or(Share::ALL),
        selector,
        max_concurrent: optional_share("max_concurrent", &asked.max_concurrent)?
            .unwrap_or(Share::ALL),
        success_threshold: optional_percent("success_threshold", &asked.success_threshold)?
            .unwrap_or(0),
        failure_threshold: FailureThreshold {
            devices: Some(asked.max_failed_devices).filter(|devices| *devices > 0),
            millionths: optional_percent("max_failed_percent", &asked.max_failed_percent)?,
        },
        minimum_results: asked.minimum_results,
        soak: asked
            .soak
            .map_or(Ok(Duration::ZERO), |soak| duration("soak", soak))?,
        promotion: if asked.needs_approval {
            Promotion::Manual
        } else {
            Promotion::Automatic
        },
    })
}

fn selector(field: &str, text: String) -> Result<Selector, ConvertError> {
    // The conversion names the field `filter`.
    let filter = device_filter(&text).map_err(|error| ConvertError::new(field, error.reason))?;
    Ok(Selector { text, filter })
}

fn schedule(asked: public::CampaignSchedule) -> Result<Schedule, ConvertError> {
    Ok(Schedule {
        not_before: asked
            .not_before
            .map(|at| moment("not_before", at))
            .transpose()?,
        windows: each("windows", asked.windows, Campaign::MAX_WINDOWS, window)?,
        deadline: asked
            .deadline
            .map(|deadline| duration("deadline", deadline))
            .transpose()?,
    })
}

pub(super) fn window(asked: public::campaign_schedule::Window) -> Result<Window, ConvertError> {
    let minutes = |field, text: &str| {
        minutes(text).ok_or_else(|| ConvertError::new(field, Reason::TimeOfDay))
    };
    Ok(Window {
        days: match asked.days.as_slice() {
            [] => EVERY_DAY,
            names => days(names).ok_or_else(|| ConvertError::new("days", Reason::Days))?,
        },
        start: minutes("start", &asked.start)?,
        end: minutes("end", &asked.end)?,
        time_zone: match asked.time_zone.as_str() {
            "" => "UTC".to_owned(),
            _ => asked.time_zone,
        },
    })
}

fn policy(asked: public::CampaignDevicePolicy) -> Result<DevicePolicy, ConvertError> {
    let usual = DevicePolicy::default();
    let or = |field, given: Option<prost_types::Duration>, usual| {
        given.map_or(Ok(usual), |given| duration(field, given))
    };
    Ok(DevicePolicy {
        wake_up_deadline: or(
            "wake_up_deadline",
            asked.wake_up_deadline,
            usual.wake_up_deadline,
        )?,
        download_timeout: or(
            "download_timeout",
            asked.download_timeout,
            usual.download_timeout,
        )?,
        install_timeout: or(
            "install_timeout",
            asked.install_timeout,
            usual.install_timeout,
        )?,
        retries: match asked.retries {
            Some(retries) => narrow("retries", retries)?,
            None => usual.retries,
        },
        retry_backoff: or("retry_backoff", asked.retry_backoff, usual.retry_backoff)?,
        minimum_battery: narrow("minimum_battery_percent", asked.minimum_battery_percent)?,
    })
}

pub(super) fn optional_share(field: &str, given: &str) -> Result<Option<Share>, ConvertError> {
    match given {
        "" => Ok(None),
        _ => share(given)
            .map(Some)
            .ok_or_else(|| ConvertError::new(field, Reason::Share)),
    }
}

fn optional_percent(field: &str, given: &str) -> Result<Option<u32>, ConvertError> {
    match given {
        "" => Ok(None),
        _ => percent(given)
            .map(Some)
            .ok_or_else(|| ConvertError::new(field, Reason::Percent)),
    }
}

fn duration(field: &str, given: prost_types::Duration) -> Result<Duration, ConvertError> {
    let seconds = given.seconds.unsigned_abs();
    Duration::try_from(given).map_err(|_| ConvertError::new(field, Reason::OutOfRange(seconds)))
}

fn moment(field: &str, at: prost_types::Timestamp) -> Result<Timestamp, ConvertError> {
    let out = || ConvertError::new(field, Reason::OutOfRange(at.seconds.unsigned_abs()));
    let seconds = u64::try_from(at.seconds).map_err(|_| out())?;
    let nanos = u64::try_from(at.nanos).map_err(|_| out())?;
    Ok(Timestamp(
        seconds
            .saturating_mul(1_000)
            .saturating_add(nanos / 1_000_000),
    ))
}

impl TryFrom<InNamespace<public::PauseCampaignRequest>> for Command {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::PauseCampaignRequest>) -> Result<Self, ConvertError> {
        checked_name("name", &asked.request.name)?;
        Ok(Self::ControlCampaign {
            namespace: asked.namespace,
            name: asked.request.name,
            paused: Some(!asked.request.resume),
            approved_through: None,
            abort: Abort::No,
        })
    }
}

impl TryFrom<InNamespace<public::AbortCampaignRequest>> for Command {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::AbortCampaignRequest>) -> Result<Self, ConvertError> {
        checked_name("name", &asked.request.name)?;
        Ok(Self::ControlCampaign {
            namespace: asked.namespace,
            name: asked.request.name,
            paused: None,
            approved_through: None,
            abort: Abort::Now,
        })
    }
}

impl TryFrom<InNamespace<public::DeleteCampaignRequest>> for Command {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::DeleteCampaignRequest>) -> Result<Self, ConvertError> {
        checked_name("name", &asked.request.name)?;
        Ok(Self::RemoveCampaign {
            namespace: asked.namespace,
            name: asked.request.name,
        })
    }
}

impl TryFrom<InNamespace<public::ApproveCampaignRequest>> for Command {
    type Error = ConvertError;

    /// The wave has to be named.
    fn try_from(asked: InNamespace<public::ApproveCampaignRequest>) -> Result<Self, ConvertError> {
        checked_name("name", &asked.request.name)?;
        checked_name("through", &asked.request.through)?;
        Ok(Self::ControlCampaign {
            namespace: asked.namespace,
            name: asked.request.name,
            paused: None,
            approved_through: Some(asked.request.through),
            abort: Abort::No,
        })
    }
}
