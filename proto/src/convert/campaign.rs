//! Campaigns as they are stored.

mod course;
mod ledger;

use std::time::Duration;

use device_state::campaign::{
    Abort, Campaign, CampaignId, Compatibility, Control, DevicePolicy, FailureThreshold, Image,
    Membership, NoUpdateObject, OnFailure, Plan, Promotion, Schedule, Selector, Share, Transfer,
    UpdateObject, Wave, Window,
};
use device_state::{Command, Namespace, Timestamp};

use super::list::each;
use super::public::device_filter;
use super::value::wire_enum;
use super::{ConvertError, Reason, Within, message, namespace, narrow, required, time};
use crate::storage::v1 as wire;
use crate::storage::v1::command as stored;

pub(super) use ledger::{queue, tally_row, wire_queue, wire_tally};

wire_enum!(Transfer, wire::CampaignTransfer, wire_transfer, transfer, { Pull, Push });
wire_enum!(Promotion, wire::CampaignPromotion, wire_promotion, promotion, { Automatic, Manual });
wire_enum!(OnFailure, wire::CampaignOnFailure, wire_on_failure, on_failure, {
    Pause,
    Abort,
    Rollback,
});

impl From<Campaign> for wire::Campaign {
    fn from(campaign: Campaign) -> Self {
        Self {
            id: campaign.id.0,
            namespace: campaign.namespace.stored().to_owned(),
            name: campaign.name,
            plan: Some(campaign.plan.into()),
            control: Some(wire::CampaignControl {
                paused: campaign.control.paused,
                approved_through: campaign.control.approved_through,
                aborted: campaign.control.aborted,
            }),
            course: Some(campaign.course.into()),
            created_at_ms: campaign.created_at.0,
            owner: campaign.owner,
        }
    }
}

impl TryFrom<wire::Campaign> for Campaign {
    type Error = ConvertError;

    fn try_from(campaign: wire::Campaign) -> Result<Self, ConvertError> {
        let control = required("control", campaign.control)?;
        bounded("name", &campaign.name, Self::MAX_NAME)?;
        bounded("owner", &campaign.owner, Self::MAX_OWNER)?;
        bounded(
            "approved_through",
            &control.approved_through,
            Self::MAX_NAME,
        )?;
        Ok(Self {
            id: CampaignId(campaign.id),
            namespace: namespace(&campaign.namespace)?,
            name: campaign.name,
            plan: message("plan", campaign.plan)?,
            control: Control {
                paused: control.paused,
                approved_through: control.approved_through,
                aborted: control.aborted,
            },
            course: message("course", campaign.course)?,
            created_at: time(campaign.created_at_ms),
            owner: campaign.owner,
        })
    }
}

/// A text of at most so many bytes.
pub(super) fn bounded(field: &str, text: &str, limit: usize) -> Result<(), ConvertError> {
    if text.len() > limit {
        return Err(ConvertError::new(field, Reason::Length(text.len())));
    }
    Ok(())
}

pub(super) fn selector(text: String) -> Result<Selector, ConvertError> {
    let filter = device_filter(&text)?;
    Ok(Selector { text, filter })
}

impl From<Plan> for wire::CampaignPlan {
    fn from(plan: Plan) -> Self {
        Self {
            image: Some(plan.image.into()),
            transfer: wire_transfer(plan.transfer),
            selector: plan.selector.text,
            membership: Some(plan.membership.into()),
            seed: plan.seed,
            waves: plan.waves.into_iter().map(Into::into).collect(),
            max_unavailable: plan.max_unavailable.map(Into::into),
            schedule: Some(plan.schedule.into()),
            device: Some(plan.device.into()),
            on_failure: wire_on_failure(plan.on_failure),
            rollback_image: plan.rollback_image.map(Into::into),
            pause_when_unreachable: plan.pause_when_unreachable,
            begin_every_us: plan
                .begin_every
                .map(|every| u64::try_from(every.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

impl TryFrom<wire::CampaignPlan> for Plan {
    type Error = ConvertError;

    fn try_from(plan: wire::CampaignPlan) -> Result<Self, ConvertError> {
        bounded("seed", &plan.seed, Campaign::MAX_NAME)?;
        Ok(Self {
            image: message("image", plan.image)?,
            transfer: transfer("transfer", plan.transfer)?,
            selector: selector(plan.selector).within("selector")?,
            membership: message("membership", plan.membership)?,
            seed: plan.seed,
            waves: each("waves", plan.waves, Campaign::MAX_WAVES, Wave::try_from)?,
            max_unavailable: plan
                .max_unavailable
                .map(|share| share.try_into().within("max_unavailable"))
                .transpose()?,
            schedule: message("schedule", plan.schedule)?,
            device: message("device", plan.device)?,
            on_failure: on_failure("on_failure", plan.on_failure)?,
            rollback_image: plan
                .rollback_image
                .map(|image| image.try_into().within("rollback_image"))
                .transpose()?,
            pause_when_unreachable: plan.pause_when_unreachable,
            begin_every: plan.begin_every_us.map(Duration::from_micros),
        })
    }
}

impl From<Image> for wire::CampaignImage {
    fn from(image: Image) -> Self {
        Self {
            name: image.name,
            version: image.version,
            uri: image.uri,
            object: match image.object {
                // As releases before have written it.
                UpdateObject::Firmware => String::new(),
                other => other.to_string(),
            },
            minimum_version: image.compatibility.minimum_version.unwrap_or_default(),
            maximum_version: image.compatibility.maximum_version.unwrap_or_default(),
            hardware_version: image.compatibility.hardware_version.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::CampaignImage> for Image {
    type Error = ConvertError;

    fn try_from(image: wire::CampaignImage) -> Result<Self, ConvertError> {
        bounded("name", &image.name, Self::MAX_NAME)?;
        bounded("version", &image.version, Self::MAX_VERSION)?;
        bounded("uri", &image.uri, Self::MAX_URI)?;
        Ok(Self {
            name: image.name,
            version: image.version,
            uri: image.uri,
            object: update_object("object", &image.object)?,
            compatibility: compatibility([
                ("minimum_version", image.minimum_version),
                ("maximum_version", image.maximum_version),
                ("hardware_version", image.hardware_version),
            ])?,
        })
    }
}

/// Which devices an image is for: the oldest and the newest version, and the hardware, each with the name of its field;
/// empty texts ask for nothing.
pub(super) fn compatibility(texts: [(&str, String); 3]) -> Result<Compatibility, ConvertError> {
    for (field, text) in &texts {
        bounded(field, text, Image::MAX_VERSION)?;
    }
    let [minimum_version, maximum_version, hardware_version] =
        texts.map(|(_, text)| (!text.is_empty()).then_some(text));
    Ok(Compatibility {
        minimum_version,
        maximum_version,
        hardware_version,
    })
}

/// What an image is for; an empty text is `/5/0`.
pub(super) fn update_object(field: &str, text: &str) -> Result<UpdateObject, ConvertError> {
    let object: Result<UpdateObject, NoUpdateObject> = text.parse();
    object.map_err(|error| ConvertError::new(field, Reason::UpdateObject(error)))
}

impl From<Membership> for wire::CampaignMembership {
    fn from(membership: Membership) -> Self {
        use wire::campaign_membership::Kind;
        let kind = match membership {
            Membership::Snapshot => Kind::Snapshot(true),
            Membership::Dynamic => Kind::Dynamic(true),
            Membership::UpdatedBy(id) => Kind::UpdatedBy(id.0),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::CampaignMembership> for Membership {
    type Error = ConvertError;

    fn try_from(membership: wire::CampaignMembership) -> Result<Self, ConvertError> {
        use wire::campaign_membership::Kind;
        Ok(match required("kind", membership.kind)? {
            Kind::Snapshot(_) => Self::Snapshot,
            Kind::Dynamic(_) => Self::Dynamic,
            Kind::UpdatedBy(id) => Self::UpdatedBy(CampaignId(id)),
        })
    }
}

impl From<Share> for wire::CampaignShare {
    fn from(share: Share) -> Self {
        use wire::campaign_share::Kind;
        let kind = match share {
            Share::Devices(devices) => Kind::Devices(devices),
            Share::Millionths(part) => Kind::Millionths(part),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::CampaignShare> for Share {
    type Error = ConvertError;

    fn try_from(share: wire::CampaignShare) -> Result<Self, ConvertError> {
        use wire::campaign_share::Kind;
        Ok(match required("kind", share.kind)? {
            Kind::Devices(devices) => Self::Devices(devices),
            Kind::Millionths(part) => Self::Millionths(part),
        })
    }
}

impl From<Wave> for wire::CampaignWave {
    fn from(wave: Wave) -> Self {
        Self {
            name: wave.name,
            size: Some(wave.size.into()),
            selector: wave.selector.map(|selector| selector.text),
            max_concurrent: Some(wave.max_concurrent.into()),
            success_threshold: wave.success_threshold,
            failed_devices: wave.failure_threshold.devices,
            failed_millionths: wave.failure_threshold.millionths,
            minimum_results: wave.minimum_results,
            soak_ms: millis(wave.soak),
            promotion: wire_promotion(wave.promotion),
        }
    }
}

impl TryFrom<wire::CampaignWave> for Wave {
    type Error = ConvertError;

    fn try_from(wave: wire::CampaignWave) -> Result<Self, ConvertError> {
        bounded("name", &wave.name, Campaign::MAX_NAME)?;
        Ok(Self {
            name: wave.name,
            size: message("size", wave.size)?,
            selector: wave
                .selector
                .map(|text| selector(text).within("selector"))
                .transpose()?,
            max_concurrent: message("max_concurrent", wave.max_concurrent)?,
            success_threshold: wave.success_threshold,
            failure_threshold: FailureThreshold {
                devices: wave.failed_devices,
                millionths: wave.failed_millionths,
            },
            minimum_results: wave.minimum_results,
            soak: Duration::from_millis(wave.soak_ms),
            promotion: promotion("promotion", wave.promotion)?,
        })
    }
}

impl From<Window> for wire::campaign_schedule::Window {
    fn from(window: Window) -> Self {
        Self {
            days: u32::from(window.days),
            start: u32::from(window.start),
            end: u32::from(window.end),
            time_zone: window.time_zone,
        }
    }
}

/// The windows of a schedule, or of the rollout of a profile.
pub(super) fn windows(
    windows: Vec<wire::campaign_schedule::Window>,
) -> Result<Vec<Window>, ConvertError> {
    let window = |window: wire::campaign_schedule::Window| {
        bounded("time_zone", &window.time_zone, Campaign::MAX_NAME)?;
        Ok(Window {
            days: narrow("days", window.days)?,
            start: narrow("start", window.start)?,
            end: narrow("end", window.end)?,
            time_zone: window.time_zone,
        })
    };
    each("windows", windows, Campaign::MAX_WINDOWS, window)
}

impl From<Schedule> for wire::CampaignSchedule {
    fn from(schedule: Schedule) -> Self {
        Self {
            not_before_ms: schedule.not_before.map(|at| at.0),
            windows: schedule.windows.into_iter().map(Into::into).collect(),
            deadline_ms: schedule.deadline.map(millis),
        }
    }
}

impl TryFrom<wire::CampaignSchedule> for Schedule {
    type Error = ConvertError;

    fn try_from(schedule: wire::CampaignSchedule) -> Result<Self, ConvertError> {
        Ok(Self {
            not_before: schedule.not_before_ms.map(time),
            windows: windows(schedule.windows)?,
            deadline: schedule.deadline_ms.map(Duration::from_millis),
        })
    }
}

impl From<DevicePolicy> for wire::CampaignDevicePolicy {
    fn from(policy: DevicePolicy) -> Self {
        Self {
            wake_up_deadline_ms: millis(policy.wake_up_deadline),
            download_timeout_ms: millis(policy.download_timeout),
            install_timeout_ms: millis(policy.install_timeout),
            retries: u32::from(policy.retries),
            retry_backoff_ms: millis(policy.retry_backoff),
            minimum_battery: u32::from(policy.minimum_battery),
        }
    }
}

impl TryFrom<wire::CampaignDevicePolicy> for DevicePolicy {
    type Error = ConvertError;

    fn try_from(policy: wire::CampaignDevicePolicy) -> Result<Self, ConvertError> {
        Ok(Self {
            wake_up_deadline: Duration::from_millis(policy.wake_up_deadline_ms),
            download_timeout: Duration::from_millis(policy.download_timeout_ms),
            install_timeout: Duration::from_millis(policy.install_timeout_ms),
            retries: narrow("retries", policy.retries)?,
            retry_backoff: Duration::from_millis(policy.retry_backoff_ms),
            minimum_battery: narrow("minimum_battery", policy.minimum_battery)?,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn optional_time(at: Option<Timestamp>) -> Option<u64> {
    at.map(|at| at.0)
}

pub(super) fn wire_name(namespace: &Namespace, name: String) -> stored::CampaignName {
    stored::CampaignName {
        namespace: namespace.stored().to_owned(),
        name,
    }
}

pub(super) const fn wire_walk(id: CampaignId, limit: u32) -> stored::CampaignWalk {
    stored::CampaignWalk { id: id.0, limit }
}

pub(super) fn name(name: stored::CampaignName) -> Result<(Namespace, String), ConvertError> {
    bounded("name", &name.name, Campaign::MAX_NAME)?;
    Ok((namespace(&name.namespace)?, name.name))
}

pub(super) fn boxed<W, T: TryFrom<W, Error = ConvertError>>(
    wire: W,
) -> Result<Box<T>, ConvertError> {
    T::try_from(wire).map(Box::new)
}

pub(super) fn controlled(control: stored::ControlCampaign) -> Result<Command, ConvertError> {
    let (namespace, name) = required("campaign", control.campaign).and_then(name)?;
    let approved = control.approved_through.as_deref().unwrap_or_default();
    bounded("approved_through", approved, Campaign::MAX_NAME)?;
    let abort = if control.abort { Abort::Now } else { Abort::No };
    Ok(Command::ControlCampaign {
        namespace,
        name,
        paused: control.paused,
        approved_through: control.approved_through,
        abort,
    })
}

pub(super) fn steered(steered: stored::SteerCampaign) -> Result<Command, ConvertError> {
    let (namespace, name) = required("campaign", steered.campaign).and_then(name)?;
    Ok(Command::SteerCampaign {
        id: CampaignId(steered.id),
        namespace,
        name,
        course: message("course", steered.course)?,
    })
}
