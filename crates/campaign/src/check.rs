//! Whether a plan can be carried out.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use device_state::Digest;
use device_state::campaign::{
    Campaign, DevicePolicy, Image, OnFailure, Plan, Schedule, Share, Transfer, UpdateObject, Wave,
    Window, is_comparable,
};
use device_state::profile::ProfileRollout;
use thiserror::Error;

use crate::schedule::Zone;

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct PlanError {
    /// Such as `waves[1].size`, in the words of [`Plan`].
    pub field: String,
    pub problem: Problem,
}

/// What a field should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("give it at least 1 and at most {maximum} bytes")]
    Length { maximum: usize },
    #[error("say what devices go back to, or do not ask for a rollback")]
    Missing,
    #[error("what devices go back to has to be for {0}, as the image is")]
    OtherObject(UpdateObject),
    #[error("use printable ASCII characters without spaces")]
    Characters,
    #[error(
        "only packages of the cluster can be pushed: store it (drover artefacts put), and give drover:sha256:…"
    )]
    NotInTheCluster,
    #[error("use letters, digits, -, _ and . only, with a letter or a digit first and last")]
    Name,
    #[error("give a semantic version, such as 2.3.1: no other can be compared")]
    NotComparable,
    #[error("another wave has this name; give each its own")]
    NotUnique,
    #[error("give at least 1 and at most {maximum}")]
    Count { maximum: usize },
    #[error("give at least 1 device, or a part above 0 % and up to 100 %")]
    Share,
    #[error(
        "the last wave takes everybody that is left; give it 100 %, or parts that together reach 100 %"
    )]
    NotEverybody,
    #[error("give a part of at most 100 %")]
    Part,
    #[error("give at least 1 device, or leave it out")]
    NoDevices,
    #[error("give at least 1 microsecond and at most 1 day")]
    BeginEvery,
    #[error("give less than all devices: no threshold helps when all of them begin at once")]
    Unbounded,
    #[error("give at most {maximum}")]
    TooMany { maximum: u64 },
    #[error("give at least 1 second and at most 366 days")]
    Time,
    #[error("give at most 366 days")]
    Soak,
    #[error("name at least one day of the week, and none but those")]
    Days,
    #[error("give a time of day from 00:00 to 23:59")]
    TimeOfDay,
    #[error(
        "no time zone of the IANA database has this name; use one such as Europe/Berlin or UTC"
    )]
    TimeZone,
}

const MAX_TIME: Duration = Duration::from_hours(366 * 24);
/// In millionths.
const ALL: u32 = 1_000_000;
const MAX_SEED: usize = Campaign::MAX_NAME;
/// Between two devices that begin.
const BEGIN_EVERY: RangeInclusive<Duration> =
    Duration::from_micros(1)..=Duration::from_secs(86_400);
/// Their pause doubles: more are never reached.
const MAX_RETRIES: u8 = 10;

/// Checks a whole plan. The first thing that is wrong is told.
pub fn check(plan: &Plan) -> Result<(), PlanError> {
    check_image(&plan.image, plan.transfer, "image")?;
    if let Some(image) = &plan.rollback_image {
        check_image(image, plan.transfer, "rollback_image")?;
        let object = plan.image.object;
        ensure(image.object == object, "rollback_image.object", || {
            Problem::OtherObject(object)
        })?;
    }
    let goes_back = plan.on_failure == OnFailure::Rollback;
    ensure(
        !goes_back || plan.rollback_image.is_some(),
        "rollback_image",
        || Problem::Missing,
    )?;
    ensure(plan.seed.len() <= MAX_SEED, "seed", || Problem::TooMany {
        maximum: MAX_SEED as u64,
    })?;
    check_waves(&plan.waves)?;
    if let Some(share) = plan.max_unavailable {
        check_share(share, "max_unavailable")?;
    }
    let lost = plan.pause_when_unreachable.unwrap_or(0);
    ensure(lost <= ALL, "pause_when_unreachable", || Problem::Part)?;
    let is_sound = plan
        .begin_every
        .is_none_or(|every| BEGIN_EVERY.contains(&every));
    ensure(is_sound, "begin_every", || Problem::BeginEvery)?;
    check_schedule(&plan.schedule)?;
    check_device(&plan.device)
}

fn ensure(
    holds: bool,
    field: impl Into<String>,
    problem: impl FnOnce() -> Problem,
) -> Result<(), PlanError> {
    if holds {
        return Ok(());
    }
    Err(PlanError {
        field: field.into(),
        problem: problem(),
    })
}

fn check_image(image: &Image, transfer: Transfer, field: &str) -> Result<(), PlanError> {
    let at = |part: &str| format!("{field}.{part}");
    check_length(&image.name, Image::MAX_NAME, &at("name"))?;
    check_length(&image.version, Image::MAX_VERSION, &at("version"))?;
    check_length(&image.uri, Image::MAX_URI, &at("uri"))?;
    let is_printable = image.uri.bytes().all(|byte| byte.is_ascii_graphic());
    ensure(is_printable, at("uri"), || Problem::Characters)?;
    let can_come = match transfer {
        Transfer::Pull => true,
        Transfer::Push => Digest::of_package_uri(&image.uri).is_some(),
    };
    ensure(can_come, at("uri"), || Problem::NotInTheCluster)?;
    let bounds = [
        ("minimum_version", &image.compatibility.minimum_version),
        ("maximum_version", &image.compatibility.maximum_version),
    ];
    for (name, bound) in bounds {
        let is_comparable = bound.as_deref().is_none_or(is_comparable);
        ensure(is_comparable, at(name), || Problem::NotComparable)?;
    }
    Ok(())
}

fn check_length(text: &str, maximum: usize, field: &str) -> Result<(), PlanError> {
    let fits = (1..=maximum).contains(&text.len());
    ensure(fits, field, || Problem::Length { maximum })
}

fn check_waves(waves: &[Wave]) -> Result<(), PlanError> {
    check_count(waves.len(), Campaign::MAX_WAVES, "waves")?;
    let mut names = BTreeSet::new();
    for (index, wave) in waves.iter().enumerate() {
        let field = |name: &str| format!("waves[{index}].{name}");
        check_length(&wave.name, Campaign::MAX_NAME, &field("name"))?;
        ensure(is_name(&wave.name), field("name"), || Problem::Name)?;
        let is_new = names.insert(&wave.name);
        ensure(is_new, field("name"), || Problem::NotUnique)?;
        check_wave(wave, &field)?;
    }
    let parts = waves.iter().map(|wave| match wave.size {
        Share::Devices(_) => 0,
        Share::Millionths(part) => u64::from(part),
    });
    let is_part = |wave: &Wave| matches!(wave.size, Share::Millionths(_));
    let reaches_all = parts.sum::<u64>() >= u64::from(ALL) && waves.last().is_some_and(is_part);
    let field = format!("waves[{}].size", waves.len().saturating_sub(1));
    ensure(reaches_all, field, || Problem::NotEverybody)
}

fn check_wave(wave: &Wave, field: &impl Fn(&str) -> String) -> Result<(), PlanError> {
    check_share(wave.size, &field("size"))?;
    check_share(wave.max_concurrent, &field("max_concurrent"))?;
    let part = |part: u32, name| ensure(part <= ALL, field(name), || Problem::Part);
    part(wave.success_threshold, "success_threshold")?;
    let failure = wave.failure_threshold;
    part(
        failure.millionths.unwrap_or(0),
        "failure_threshold.millionths",
    )?;
    let stops = failure.devices != Some(0);
    ensure(stops, field("failure_threshold.devices"), || {
        Problem::NoDevices
    })?;
    ensure(wave.soak <= MAX_TIME, field("soak"), || Problem::Soak)
}

/// As it is named on the command line and in files.
fn is_name(name: &str) -> bool {
    let is_outer = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(is_outer))
        && bytes
            .iter()
            .all(|byte| is_outer(byte) || b"-_.".contains(byte))
}

fn check_count(count: usize, maximum: usize, field: &str) -> Result<(), PlanError> {
    let fits = (1..=maximum).contains(&count);
    ensure(fits, field, || Problem::Count { maximum })
}

fn check_share(share: Share, field: &str) -> Result<(), PlanError> {
    let fits = match share {
        Share::Devices(devices) => devices > 0,
        Share::Millionths(part) => (1..=ALL).contains(&part),
    };
    ensure(fits, field, || Problem::Share)
}

/// Whether the changes of a profile can go through its devices so.
pub fn check_rollout(rollout: &ProfileRollout) -> Result<(), PlanError> {
    check_share(rollout.max_concurrent, "max_concurrent")?;
    if let Some(most) = rollout.failure_threshold {
        check_share(most, "failure_threshold")?;
        let bounded = rollout.max_concurrent != Share::ALL;
        ensure(bounded, "max_concurrent", || Problem::Unbounded)?;
    }
    check_windows(&rollout.windows, "windows")
}

fn check_schedule(schedule: &Schedule) -> Result<(), PlanError> {
    check_windows(&schedule.windows, "schedule.windows")?;
    match schedule.deadline {
        Some(deadline) => check_time(deadline, "schedule.deadline"),
        None => Ok(()),
    }
}

fn check_windows(windows: &[Window], field: &str) -> Result<(), PlanError> {
    let maximum = Campaign::MAX_WINDOWS;
    ensure(windows.len() <= maximum, field, || Problem::TooMany {
        maximum: maximum as u64,
    })?;
    for (index, window) in windows.iter().enumerate() {
        check_window(window, &|name| format!("{field}[{index}].{name}"))?;
    }
    Ok(())
}

fn check_window(window: &Window, field: &impl Fn(&str) -> String) -> Result<(), PlanError> {
    let is_week = (1..=0b111_1111).contains(&window.days);
    ensure(is_week, field("days"), || Problem::Days)?;
    for (minutes, name) in [(window.start, "start"), (window.end, "end")] {
        ensure(minutes < 24 * 60, field(name), || Problem::TimeOfDay)?;
    }
    let is_known = Zone::named(&window.time_zone).is_some();
    ensure(is_known, field("time_zone"), || Problem::TimeZone)
}

fn check_time(time: Duration, field: &str) -> Result<(), PlanError> {
    let fits = (Duration::from_secs(1)..=MAX_TIME).contains(&time);
    ensure(fits, field, || Problem::Time)
}

fn check_device(device: &DevicePolicy) -> Result<(), PlanError> {
    for (time, field) in [
        (device.wake_up_deadline, "device.wake_up_deadline"),
        (device.download_timeout, "device.download_timeout"),
        (device.install_timeout, "device.install_timeout"),
        (device.retry_backoff, "device.retry_backoff"),
    ] {
        check_time(time, field)?;
    }
    for (value, maximum, field) in [
        (device.retries, MAX_RETRIES, "device.retries"),
        (device.minimum_battery, 100, "device.minimum_battery"),
    ] {
        let maximum = u64::from(maximum);
        ensure(u64::from(value) <= maximum, field, || Problem::TooMany {
            maximum,
        })?;
    }
    Ok(())
}
