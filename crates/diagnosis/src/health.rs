//! What the device says of itself: Device (`/3`), Connectivity Monitoring (`/4`), Firmware Update (`/5`), Location (`/6`),
//! Event Log (`/20`).

use std::time::Duration;

use lwm2m::{Path, Value};

use crate::{Facts, Finding, Severity, spoken};

const BATTERY_LEVEL: Path = Path::Resource(3, 0, 9);
const MEMORY_FREE: Path = Path::Resource(3, 0, 10);
const ERROR_CODE: Path = Path::Resource(3, 0, 11);
const CURRENT_TIME: Path = Path::Resource(3, 0, 13);
const BATTERY_STATUS: Path = Path::Resource(3, 0, 20);
const MEMORY_TOTAL: Path = Path::Resource(3, 0, 21);
const SIGNAL_STRENGTH: Path = Path::Resource(4, 0, 2);
const UPDATE_RESULT: Path = Path::Resource(5, 0, 5);
const LOCATED_AT: Path = Path::Resource(6, 0, 5);
const LOG_CLASS: Path = Path::Resource(20, 0, 4010);
const LOG_STATUS: Path = Path::Resource(20, 0, 4013);

/// Percent.
const LOW_BATTERY: i64 = 20;
/// A clock that is off by less is none to speak of.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// dBm. Below that cellular links lose much of what is sent.
const WEAK_SIGNAL: i64 = -110;
/// A location that is older may not be where the device is.
const OLD_LOCATION: Duration = Duration::from_hours(24);

pub(crate) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = errors(facts);
    let single = [
        battery(facts),
        memory(facts),
        clock(facts),
        signal(facts),
        firmware(facts),
        location(facts),
        event_log(facts),
    ];
    findings.extend(single.into_iter().flatten());
    findings
}

/// LwM2M Core 1.2 §E.4, Error Code: what each number means, and whether it hinders the device.
const fn error(code: i64) -> (&'static str, Severity) {
    match code {
        1 => ("low battery power", Severity::Warning),
        2 => ("external power supply off", Severity::Warning),
        3 => ("GPS module failure", Severity::Warning),
        4 => ("low received signal strength", Severity::Warning),
        5 => ("out of memory", Severity::Problem),
        6 => ("SMS failure", Severity::Warning),
        7 => ("IP connectivity failure", Severity::Problem),
        8 => ("peripheral malfunction", Severity::Problem),
        _ => ("an error of the device's own", Severity::Warning),
    }
}

fn errors(facts: &Facts<'_>) -> Vec<Finding> {
    facts
        .answers(ERROR_CODE)
        .filter_map(|(path, value)| match value {
            Value::Integer(code) if *code != 0 => Some((path, *code)),
            _ => None,
        })
        .map(|(path, code)| {
            let (meaning, severity) = error(code);
            Finding::new(
                severity,
                &format!("The device reports an error: {meaning}."),
                format!("{path} is {code}."),
                "/3/0/12 resets the list of errors.",
            )
        })
        .collect()
}

fn battery(facts: &Facts<'_>) -> Option<Finding> {
    let level = facts.integer(BATTERY_LEVEL);
    // LwM2M Core 1.2 §E.4, Battery Status: 4 is low, 3 damaged.
    match (facts.integer(BATTERY_STATUS), level) {
        (Some(3), _) => Some(Finding::new(
            Severity::Problem,
            "The device's battery is damaged.",
            format!("{BATTERY_STATUS} is 3."),
            "Replace it.",
        )),
        (Some(5), _) => None,
        (status, Some(level)) if status == Some(4) || level < LOW_BATTERY => {
            Some(low_battery(format!("{BATTERY_LEVEL} is {level} %.")))
        }
        (Some(4), None) => Some(low_battery(format!("{BATTERY_STATUS} is 4."))),
        _ => None,
    }
}

fn low_battery(evidence: String) -> Finding {
    Finding::new(
        Severity::Warning,
        "The device's battery is low.",
        evidence,
        "Replace or charge it.",
    )
}

fn memory(facts: &Facts<'_>) -> Option<Finding> {
    let (free, total) = (facts.integer(MEMORY_FREE)?, facts.integer(MEMORY_TOTAL)?);
    (total > 0 && free.saturating_mul(10) < total).then(|| {
        Finding::new(
            Severity::Warning,
            "The device has little memory left.",
            format!("{free} of {total} kB are free ({MEMORY_FREE}, {MEMORY_TOTAL})."),
            "Firmware packages and stored notifications may not fit.",
        )
    })
}

/// A time that the device shows, and the time now, both in seconds since 1970.
fn shown_time(facts: &Facts<'_>, path: Path) -> Option<(i64, i64)> {
    let Value::Time(shown) = facts.answered(path)? else {
        return None;
    };
    let now = i64::try_from(facts.now.0 / 1_000).ok()?;
    Some((*shown, now))
}

fn clock(facts: &Facts<'_>) -> Option<Finding> {
    let (shown, now) = shown_time(facts, CURRENT_TIME)?;
    let off = Duration::from_secs(shown.abs_diff(now));
    (off > CLOCK_TOLERANCE).then(|| {
        let direction = if shown < now { "slow" } else { "fast" };
        Finding::new(
            Severity::Warning,
            "The device's clock is wrong.",
            format!("{CURRENT_TIME} is {} {direction}.", spoken(off)),
            "Write /3/0/13. Certificates are not trusted by a clock that is years off, and values have wrong times.",
        )
    })
}

fn signal(facts: &Facts<'_>) -> Option<Finding> {
    let strength = facts.integer(SIGNAL_STRENGTH)?;
    (strength < WEAK_SIGNAL).then(|| {
        Finding::new(
            Severity::Warning,
            "The device's radio signal is weak.",
            format!("{SIGNAL_STRENGTH} is {strength} dBm."),
            "Move the device or its antenna.",
        )
    })
}

/// LwM2M Core 1.2 §E.6, Update Result: 0 is nothing yet, 1 success.
fn firmware(facts: &Facts<'_>) -> Option<Finding> {
    let result = facts.integer(UPDATE_RESULT)?;
    let meaning = match result {
        2 => "not enough flash memory",
        3 => "out of memory during the download",
        4 => "the connection was lost during the download",
        5 => "the package's integrity check failed",
        6 => "the package's type is not supported",
        7 => "the URI is invalid",
        8 => "the update failed",
        9 => "the protocol of the URI is not supported",
        10 => "the update was cancelled",
        11 => "the update was deferred",
        _ => return None,
    };
    Some(Finding::new(
        Severity::Warning,
        &format!("The device's last firmware update did not succeed: {meaning}."),
        format!("{UPDATE_RESULT} is {result}."),
        "",
    ))
}

fn location(facts: &Facts<'_>) -> Option<Finding> {
    let (located, now) = shown_time(facts, LOCATED_AT)?;
    let age = Duration::from_secs(u64::try_from(now.checked_sub(located)?).ok()?);
    // 0 is not half a century ago but never.
    (located != 0 && age > OLD_LOCATION).then(|| {
        Finding::new(
            Severity::Notice,
            "The device's location is old.",
            format!("{LOCATED_AT} is {} ago.", spoken(age)),
            "It has not found out where it is since; it may be indoors, or switched its receiver off.",
        )
    })
}

/// Event Log 2.0, LogClass and LogStatus: class 5 is panic; of the status, bit 1 says that there is data, bit 2 that its
/// collection failed.
fn event_log(facts: &Facts<'_>) -> Option<Finding> {
    const PANIC: i64 = 5;
    let status = facts.integer(LOG_STATUS)?;
    let (has_data, has_failed) = (status & 2 != 0, status & 4 != 0);
    let class = facts.integer(LOG_CLASS);
    if has_data && class == Some(PANIC) {
        return Some(Finding::new(
            Severity::Problem,
            "The device has logged a panic.",
            format!("{LOG_CLASS} is {PANIC}, and {LOG_STATUS} is {status}: there is data."),
            "Read it from /20/0/4014; `drover exec EP /20/0/4012 \"0='1'\"` empties the log.",
        ));
    }
    has_failed.then(|| {
        Finding::new(
            Severity::Warning,
            "The device could not collect its event log.",
            format!("{LOG_STATUS} is {status}."),
            "`drover exec EP /20/0/4011` begins it anew.",
        )
    })
}
