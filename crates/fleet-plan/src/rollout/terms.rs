//! When devices may begin, what is granted to each, and how they get the image.

use std::time::Duration;

use crd::firmware_rollout::{DevicePolicy, Schedule, Transfer, TransferMode, TransferProtocol};
use device_state::campaign;
use device_state::{Digest, Timestamp};

use crate::Refusal;
use crate::image::scheme;
use crate::window;

/// How devices get an image from a URI.
pub(super) fn transfer(
    transfer: Option<&Transfer>,
    uri: &str,
) -> Result<campaign::Transfer, Refusal> {
    let Some(transfer) = transfer else {
        return Ok(campaign::Transfer::Pull);
    };
    if transfer.block_size_bytes.is_some() {
        return Err(Refusal::unsupported(
            "spec.transfer.blockSizeBytes",
            "is for whoever serves the image, and nothing here keeps to it yet; leave it out",
        ));
    }
    match transfer.protocol {
        Some(protocol) if !is_of(protocol, uri) => Err(Refusal::invalid(
            "spec.transfer.protocol",
            &format!("the image's URI is {uri}, and its scheme decides; leave protocol out"),
        )),
        _ => mode(transfer.mode, uri),
    }
}

/// How long lies between two devices that begin, so that all of them together begin to fetch no more bytes in a second on average.
pub(super) fn begin_every(
    transfer: Option<&Transfer>,
    size_bytes: i64,
) -> Result<Option<Duration>, Refusal> {
    const DAY: u64 = 86_400;
    let Some(rate) = transfer.and_then(|transfer| transfer.bytes_per_second) else {
        return Ok(None);
    };
    let invalid = |why: &str| Refusal::invalid("spec.transfer.bytesPerSecond", why);
    let size = u64::try_from(size_bytes).map_err(|_| invalid("the image has no size"))?;
    let least = size.div_ceil(DAY).max(1);
    match u64::try_from(rate) {
        Ok(rate) if rate >= least => {
            let micros = (u128::from(size) * 1_000_000)
                .div_ceil(u128::from(rate))
                .max(1);
            Ok(u64::try_from(micros).ok().map(Duration::from_micros))
        }
        Ok(_) | Err(_) => Err(invalid(&format!(
            "give at least {least}: with less, not even one device a day would begin to fetch an image of {size} bytes"
        ))),
    }
}

fn mode(mode: TransferMode, uri: &str) -> Result<campaign::Transfer, Refusal> {
    match mode {
        TransferMode::Pull => Ok(campaign::Transfer::Pull),
        TransferMode::Push if Digest::of_package_uri(uri).is_some() => Ok(campaign::Transfer::Push),
        TransferMode::Push => Err(Refusal::invalid(
            "spec.transfer.mode",
            &format!(
                "Push is for packages of the cluster, drover:sha256:…, and the image's URI is {uri}; store it \
                 (drover artefacts put), or use Pull"
            ),
        )),
    }
}

fn is_of(protocol: TransferProtocol, uri: &str) -> bool {
    let schemes: &[&str] = match protocol {
        TransferProtocol::CoAP => &["coap", "coap+tcp"],
        TransferProtocol::CoAPS => &["coaps", "coaps+tcp"],
        TransferProtocol::HTTP => &["http"],
        TransferProtocol::HTTPS => &["https"],
    };
    scheme(uri).is_some_and(|scheme| schemes.contains(&scheme))
}

pub(super) fn schedule(schedule: Option<&Schedule>) -> Result<campaign::Schedule, Refusal> {
    let Some(schedule) = schedule else {
        return Ok(campaign::Schedule::default());
    };
    let not_before = schedule.not_before_time.as_ref().map(|time| {
        let millis = time.0.as_millisecond();
        Timestamp(u64::try_from(millis).unwrap_or(0))
    });
    Ok(campaign::Schedule {
        not_before,
        windows: windows(Some(schedule))?,
        deadline: schedule.deadline_seconds.map(seconds),
    })
}

/// The windows of a schedule, which alone of it can be changed.
pub(super) fn windows(schedule: Option<&Schedule>) -> Result<Vec<campaign::Window>, Refusal> {
    let given = schedule.map(|schedule| schedule.windows.as_slice());
    window::windows("spec.schedule.windows", given.unwrap_or_default())
}

/// What is absent is as the definition says, which grants no second try unless asked.
pub(super) fn device(policy: Option<&DevicePolicy>) -> campaign::DevicePolicy {
    let usual = campaign::DevicePolicy {
        retries: 0,
        ..campaign::DevicePolicy::default()
    };
    let Some(policy) = policy else {
        return usual;
    };
    let (retries, retry_backoff) = match &policy.retry {
        Some(retry) => (byte(retry.limit), seconds(retry.initial_backoff_seconds)),
        None => (usual.retries, usual.retry_backoff),
    };
    let preconditions = policy.preconditions.as_ref();
    let battery = preconditions.and_then(|wanted| wanted.minimum_battery_percent);
    campaign::DevicePolicy {
        wake_up_deadline: seconds(policy.wakeup_deadline_seconds),
        download_timeout: seconds(policy.download_timeout_seconds),
        install_timeout: seconds(policy.install_timeout_seconds),
        retries,
        retry_backoff,
        minimum_battery: battery.map_or(0, byte),
    }
}

/// Too many for a byte are too many for a campaign, which says so.
fn byte(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

pub(super) fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
