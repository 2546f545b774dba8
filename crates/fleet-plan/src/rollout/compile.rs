//! From a spec to a campaign. Each field of a spec is carried out, or the spec is refused with its name.

use std::time::Duration;

use crd::firmware_rollout::{FailureAction, FailureThreshold, Promotion, Strategy, Wave};
use crd::{FirmwareImage, FirmwareRollout, Membership, Reason};
use device_state::campaign::{
    Campaign, CampaignId, Control, Course, Image, OnFailure, Plan, Share,
};
use device_state::{Timestamp, campaign};

use super::{Surroundings, terms};
use crate::amount::{percent, share, share_text};
use crate::selection::Selection;
use crate::{Refusal, image};

/// The longest seed in bytes.
const MAX_SEED: usize = Campaign::MAX_NAME;

/// The campaign that carries a rollout out, or why there can be none.
pub fn compile(rollout: &FirmwareRollout, around: &Surroundings<'_>) -> Result<Campaign, Refusal> {
    let spec = &rollout.spec;
    let name = super::campaign_name(rollout)?;
    let object = found(around.image, "spec.imageRef", &spec.image_ref.name)?;
    let plan = plan(rollout, object, around)?;
    ::campaign::check(&plan).map_err(|error| {
        Refusal::invalid(&field_of_spec(&error.field), &error.problem.to_string())
    })?;
    if object.spec.yanked {
        return Err(Refusal {
            reason: Reason::Yanked,
            message: format!(
                "spec.imageRef: the FirmwareImage {} is yanked",
                spec.image_ref.name
            ),
        });
    }
    Ok(Campaign {
        id: CampaignId(0),
        namespace: around.namespace.clone(),
        name,
        plan,
        control: Control {
            paused: spec.paused,
            approved_through: spec.approved_through.clone().unwrap_or_default(),
            aborted: false,
        },
        course: Course::default(),
        created_at: Timestamp(0),
        owner: around.owner.to_owned(),
    })
}

fn plan(
    rollout: &FirmwareRollout,
    object: &FirmwareImage,
    around: &Surroundings<'_>,
) -> Result<Plan, Refusal> {
    let spec = &rollout.spec;
    let image = usable("spec.imageRef", object)?;
    let transfer = terms::transfer(spec.transfer.as_ref(), &image.uri)?;
    let rollback_image = rollback(rollout, object, around)?;
    if let Some(image) = &rollback_image {
        terms::transfer(spec.transfer.as_ref(), &image.uri)?;
    }
    Ok(Plan {
        image,
        transfer,
        selector: members(rollout, object, around)?,
        membership: match spec.membership {
            Membership::Snapshot => campaign::Membership::Snapshot,
            Membership::Dynamic => campaign::Membership::Dynamic,
        },
        seed: seed(rollout)?,
        waves: waves(&spec.strategy, around)?,
        max_unavailable: max_unavailable(&spec.strategy)?,
        schedule: terms::schedule(spec.schedule.as_ref())?,
        device: terms::device(spec.device.as_ref()),
        on_failure: match spec.on_failure {
            FailureAction::Pause => OnFailure::Pause,
            FailureAction::Abort => OnFailure::Abort,
            FailureAction::Rollback => OnFailure::Rollback,
        },
        rollback_image,
        pause_when_unreachable: pause_when_unreachable(&spec.strategy)?,
        begin_every: begin_every(rollout, object, around)?,
    })
}

/// By the larger one, if there is an image to go back to.
fn begin_every(
    rollout: &FirmwareRollout,
    object: &FirmwareImage,
    around: &Surroundings<'_>,
) -> Result<Option<Duration>, Refusal> {
    let before = around
        .rollback_image
        .filter(|_| rollout.spec.rollback.is_some());
    let sizes = [Some(object), before].into_iter().flatten();
    let largest = sizes.map(|image| image.spec.size_bytes).max();
    terms::begin_every(rollout.spec.transfer.as_ref(), largest.unwrap_or_default())
}

fn found<'a>(
    image: Option<&'a FirmwareImage>,
    field: &str,
    name: &str,
) -> Result<&'a FirmwareImage, Refusal> {
    image.ok_or_else(|| Refusal {
        reason: Reason::ImageNotFound,
        message: format!("{field}: there is no FirmwareImage {name} in the namespace"),
    })
}

fn usable(field: &str, object: &FirmwareImage) -> Result<Image, Refusal> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    image::usable(object)
        .map_err(|refusal| refusal.of(&format!("{field}: the FirmwareImage {name}")))
}

fn rollback(
    rollout: &FirmwareRollout,
    object: &FirmwareImage,
    around: &Surroundings<'_>,
) -> Result<Option<Image>, Refusal> {
    const FIELD: &str = "spec.rollback.imageRef";
    let Some(rollback) = &rollout.spec.rollback else {
        return Ok(None);
    };
    if rollout.spec.on_failure != FailureAction::Rollback {
        let why = "takes effect with onFailure: Rollback only; leave it out";
        return Err(Refusal::unsupported("spec.rollback", why));
    }
    if rollback.policy == Promotion::Manual {
        let why = "Manual: what goes back goes back by itself; use Automatic, or onFailure: Pause";
        return Err(Refusal::unsupported("spec.rollback.policy", why));
    }
    let before = found(around.rollback_image, FIELD, &rollback.image_ref.name)?;
    let models = |image: &FirmwareImage| -> Vec<String> {
        let compatibility = image.spec.compatibility.as_ref();
        compatibility.map_or_else(Vec::new, |one| one.models.clone())
    };
    let (had, have) = (models(before), models(object));
    let is_for_all =
        had.is_empty() || (!have.is_empty() && have.iter().all(|one| had.contains(one)));
    if !is_for_all {
        let why =
            "the image is not for every model that gets the new one (spec.compatibility.models)";
        return Err(Refusal::invalid(FIELD, why));
    }
    usable(FIELD, before).map(Some)
}

fn members(
    rollout: &FirmwareRollout,
    object: &FirmwareImage,
    around: &Surroundings<'_>,
) -> Result<campaign::Selector, Refusal> {
    let spec = &rollout.spec;
    let (selection, field) = match (&spec.selector, &spec.group_ref) {
        (_, Some(reference)) => {
            let field = "spec.groupRef";
            let selection = Selection::default();
            let selection = selection.named_group(around.group, &reference.name, field)?;
            (selection, field)
        }
        (Some(selector), None) => {
            let field = "spec.selector";
            (Selection::default().labels(selector, field)?, field)
        }
        (None, None) => return Err(Refusal::invalid("spec.selector", "is missing")),
    };
    selection
        .models_of(object)
        .finish(field, around.read_filter)
}

fn seed(rollout: &FirmwareRollout) -> Result<String, Refusal> {
    // Of two objects of one name, the second one goes another way.
    let own = || {
        let metadata = &rollout.metadata;
        let own = metadata.uid.clone().or_else(|| metadata.name.clone());
        own.unwrap_or_default()
    };
    let seed = rollout.spec.ordering_seed.clone().unwrap_or_else(own);
    if seed.len() > MAX_SEED {
        let why = format!("has more than {MAX_SEED} bytes");
        return Err(Refusal::invalid("spec.orderingSeed", &why));
    }
    Ok(seed)
}

fn max_unavailable(strategy: &Strategy) -> Result<Option<Share>, Refusal> {
    let given = strategy.max_unavailable.as_ref();
    given
        .map(|amount| share("spec.strategy.maxUnavailable", amount))
        .transpose()
}

fn pause_when_unreachable(strategy: &Strategy) -> Result<Option<u32>, Refusal> {
    let given = strategy.pause_when_unreachable.as_deref();
    given
        .map(|text| percent("spec.strategy.pauseWhenUnreachable", text))
        .transpose()
}

fn waves(strategy: &Strategy, around: &Surroundings<'_>) -> Result<Vec<campaign::Wave>, Refusal> {
    let waves = strategy.waves.iter().enumerate();
    waves
        .map(|(place, one)| wave(&format!("spec.strategy.waves[{place}]"), one, around))
        .collect()
}

fn wave(field: &str, wave: &Wave, around: &Surroundings<'_>) -> Result<campaign::Wave, Refusal> {
    let at = |name: &str| format!("{field}.{name}");
    let selector = wave.selector.as_ref().map(|selector| {
        let field = at("selector");
        Selection::default()
            .labels(selector, &field)?
            .finish(&field, around.read_filter)
    });
    let part = |name: &str, text: &Option<String>| {
        let given = text.as_deref();
        given.map(|text| percent(&at(name), text)).transpose()
    };
    Ok(campaign::Wave {
        name: wave.name.clone(),
        size: share_text(&at("size"), &wave.size)?,
        // One that says nothing selects everybody, as no selector does.
        selector: selector.transpose()?.filter(|one| !one.text.is_empty()),
        max_concurrent: max_concurrent(field, wave)?,
        success_threshold: part("successThreshold", &wave.success_threshold)?.unwrap_or(0),
        failure_threshold: match &wave.failure_threshold {
            None => campaign::FailureThreshold {
                devices: Some(1),
                millionths: None,
            },
            Some(FailureThreshold { devices, percent }) => campaign::FailureThreshold {
                devices: devices.map(|devices| u64::try_from(devices).unwrap_or(0)),
                millionths: part("failureThreshold.percent", percent)?,
            },
        },
        minimum_results: u64::try_from(wave.minimum_results).unwrap_or(0),
        soak: terms::seconds(wave.soak_seconds),
        promotion: match wave.promotion {
            Promotion::Manual => campaign::Promotion::Manual,
            Promotion::Automatic => campaign::Promotion::Automatic,
        },
    })
}

fn max_concurrent(field: &str, wave: &Wave) -> Result<Share, Refusal> {
    let given = wave.max_concurrent.as_ref();
    given.map_or(Ok(Share::ALL), |amount| {
        share(&format!("{field}.maxConcurrent"), amount)
    })
}

/// What was changed of a spec that the campaign cannot follow any more.
pub(super) fn change_refused(rollout: &FirmwareRollout, made: &Plan) -> Result<(), Refusal> {
    let spec = &rollout.spec;
    let kept = |field: &str| {
        let why = "was changed, and the campaign goes on as it was made; put it back, or abort and \
                   make another FirmwareRollout";
        Refusal::unsupported(field, why)
    };
    if terms::windows(spec.schedule.as_ref())? != made.schedule.windows {
        return Err(kept("spec.schedule.windows"));
    }
    for (place, (wave, made)) in spec.strategy.waves.iter().zip(&made.waves).enumerate() {
        let field = format!("spec.strategy.waves[{place}]");
        if max_concurrent(&field, wave)? != made.max_concurrent {
            return Err(kept(&format!("{field}.maxConcurrent")));
        }
    }
    Ok(())
}

/// The words of plans that are other words in a spec.
const WORDS: [(&str, &str); 18] = [
    ("begin_every", "transfer.bytesPerSecond"),
    ("waves[", "strategy.waves["),
    ("max_unavailable", "strategy.maxUnavailable"),
    ("pause_when_unreachable", "strategy.pauseWhenUnreachable"),
    ("max_concurrent", "maxConcurrent"),
    ("success_threshold", "successThreshold"),
    ("failure_threshold.millionths", "failureThreshold.percent"),
    ("failure_threshold.devices", "failureThreshold.devices"),
    ("soak", "soakSeconds"),
    ("time_zone", "timeZone"),
    ("wake_up_deadline", "wakeupDeadlineSeconds"),
    ("schedule.deadline", "schedule.deadlineSeconds"),
    ("download_timeout", "downloadTimeoutSeconds"),
    ("install_timeout", "installTimeoutSeconds"),
    ("retries", "retry.limit"),
    ("retry_backoff", "retry.initialBackoffSeconds"),
    ("minimum_battery", "preconditions.minimumBatteryPercent"),
    ("seed", "orderingSeed"),
];

/// A field of a plan, as it is called in the spec of a rollout.
fn field_of_spec(field: &str) -> String {
    let other = WORDS.iter().fold(field.to_owned(), |text, (plan, spec)| {
        text.replacen(plan, spec, 1)
    });
    format!("spec.{other}")
}
