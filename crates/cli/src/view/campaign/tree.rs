//! A campaign as a tree: what it is, its waves with their progress, and what failed.

use std::fmt::Write as _;
use std::time::SystemTime;

use proto::drover::v1::campaign::wave_status::State as WaveState;
use proto::drover::v1::campaign::{FailureCount, State, Stop, WaveStatus};
use proto::drover::v1::{Campaign, CampaignDevice, CampaignPlan};

use super::{counted, ended, firmware, state_name, wave_state_name};
use crate::table::printable;
use crate::time::{age, rfc3339};

const BAR: usize = 20;

/// For people.
pub(crate) fn text(campaign: &Campaign, now: SystemTime) -> String {
    let mut text = header(campaign, now);
    text.push('\n');
    let waves = campaign.waves.iter();
    let names = waves.clone().map(|wave| wave.name.chars().count());
    let states = waves.map(|wave| wave_state_name(wave.state()).len());
    let width = (names.max().unwrap_or(0), states.max().unwrap_or(0));
    text += &branches(
        "Waves",
        campaign.waves.iter().map(|one| wave(one, width, now)),
    );
    text += &branches("Failures", campaign.failures.iter().map(failure));
    let samples = campaign.failure_samples.iter();
    text += &branches("Failed last", samples.map(|one| sample(one, now)));
    text
}

fn header(campaign: &Campaign, now: SystemTime) -> String {
    let plan = campaign.plan.clone().unwrap_or_default();
    let state = match campaign.reason.as_str() {
        "" => state_name(campaign.state()).to_owned(),
        reason => format!("{}: {reason}", state_name(campaign.state())),
    };
    let lines = [
        ("Name", campaign.name.clone()),
        ("State", format!("{} {state}", icon(campaign.state()))),
        ("Image", firmware(&plan)),
        ("Devices", devices(campaign, &plan)),
        ("Progress", progress(campaign)),
        ("Lost", lost(campaign)),
        ("Schedule", schedule(campaign, &plan)),
        ("Age", ages(campaign, now)),
        ("Next", next(campaign).unwrap_or_default()),
    ];
    let mut text = String::new();
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        let name = format!("{name}:");
        let _ = writeln!(text, "{name:10} {}", printable(value));
    }
    text
}

fn devices(campaign: &Campaign, plan: &CampaignPlan) -> String {
    match plan.filter.as_str() {
        "" => campaign.members.to_string(),
        filter => format!("{} of {filter}", campaign.members),
    }
}

fn progress(campaign: &Campaign) -> String {
    counted(&campaign.counts.unwrap_or_default())
}

/// Of the devices that were registered when the wave began.
fn lost(campaign: &Campaign) -> String {
    let reach = campaign.reach.unwrap_or_default();
    match reach.lost {
        0 => String::new(),
        lost => format!("{lost} of {} that were registered", reach.counted),
    }
}

fn schedule(campaign: &Campaign, plan: &CampaignPlan) -> String {
    if let Some(opens) = rfc3339(campaign.window_time.as_ref()) {
        return format!("devices begin from {opens} on");
    }
    let schedule = plan.schedule.clone().unwrap_or_default();
    let windows = schedule.windows.iter().map(|window| {
        let days = window.days.join(",");
        format!(
            "{days} {}-{} {}",
            window.start, window.end, window.time_zone
        )
    });
    windows.collect::<Vec<_>>().join("; ")
}

fn ages(campaign: &Campaign, now: SystemTime) -> String {
    let created = age(campaign.create_time.as_ref(), now);
    match campaign.end_time {
        Some(end) => format!("{created}, ended {} ago", age(Some(&end), now)),
        None => created,
    }
}

/// What a person has to do for it to go on.
pub(crate) fn next(campaign: &Campaign) -> Option<String> {
    let name = &campaign.name;
    match campaign.state() {
        State::Stopped if campaign.stop() == Stop::Unreachable => Some(format!(
            "`drover devices --filter 'NOT state = REGISTERED'` tells who is away. To go on: `drover rollout pause {name}`, \
             then `drover rollout resume {name}`. To give up: `drover rollout abort {name}`"
        )),
        State::Stopped => Some(format!(
            "`drover rollout devices {name} --failed` tells what failed. To go on: `drover rollout pause {name}`, then \
             `drover rollout resume {name}`. To give up: `drover rollout abort {name}`"
        )),
        State::Paused => Some(format!("`drover rollout resume {name}` lets it go on")),
        State::Running => {
            let mut waves = campaign.waves.iter();
            let waits = waves.find(|wave| wave.state() == WaveState::AwaitingApproval)?;
            Some(format!(
                "`drover rollout approve {name}` lets the wave after {} begin",
                waits.name
            ))
        }
        _ => None,
    }
}

const fn icon(state: State) -> &'static str {
    match state {
        State::Succeeded => "✔",
        State::Aborted | State::DeadlineExceeded => "✖",
        State::Stopped => "⚠",
        State::Paused => "॥",
        State::Unspecified | State::Enrolling | State::Running | State::Aborting => "◌",
    }
}

const fn wave_icon(state: WaveState) -> &'static str {
    match state {
        WaveState::Succeeded => "✔",
        WaveState::Failed => "✖",
        WaveState::AwaitingApproval => "॥",
        WaveState::Running | WaveState::Soaking => "◌",
        WaveState::Unspecified | WaveState::Pending | WaveState::Skipped => "·",
    }
}

/// Lines below a heading; nothing without lines.
fn branches(heading: &str, lines: impl ExactSizeIterator<Item = String>) -> String {
    let count = lines.len();
    if count == 0 {
        return String::new();
    }
    let mut text = format!("{heading}\n");
    for (number, line) in lines.enumerate() {
        let branch = if number + 1 == count {
            "└──"
        } else {
            "├──"
        };
        let _ = writeln!(text, "{branch} {}", printable(&line).trim_end());
    }
    text
}

fn wave(wave: &WaveStatus, (names, states): (usize, usize), now: SystemTime) -> String {
    let state = wave_state_name(wave.state());
    let head = format!(
        "{} {:names$}  {state:states$}",
        wave_icon(wave.state()),
        wave.name
    );
    // It has no size before it begins.
    if matches!(wave.state(), WaveState::Pending | WaveState::Skipped) {
        return head;
    }
    let counts = wave.counts.unwrap_or_default();
    let done = ended(&counts);
    let soak = match (wave.state(), &wave.soak_time) {
        (WaveState::Soaking, Some(until)) => format!(", soaks for {} more", left(until, now)),
        _ => String::new(),
    };
    // Those that wait for their turn are not counted by wave alone.
    let counts = proto::drover::v1::CampaignCounts {
        waiting: 0,
        ..counts
    };
    format!(
        "{head}  {}  {done}/{}  {}{soak}",
        bar(done, wave.devices),
        wave.devices,
        counted(&counts)
    )
}

/// How long it is until then.
fn left(until: &prost_types::Timestamp, now: SystemTime) -> String {
    let until = SystemTime::try_from(*until).unwrap_or(now);
    crate::time::short(until.duration_since(now).unwrap_or_default())
}

fn bar(done: u64, all: u64) -> String {
    let full = match all {
        0 => BAR,
        // Full only when nobody is left.
        all => (u128::from(done.min(all)) * BAR as u128 / u128::from(all)) as usize,
    };
    "█".repeat(full) + &"░".repeat(BAR - full)
}

fn failure(failure: &FailureCount) -> String {
    format!("{:>6}  {}", failure.devices, failure.reason)
}

fn sample(device: &CampaignDevice, now: SystemTime) -> String {
    let ago = age(device.phase_time.as_ref(), now);
    format!("{}  {} ({ago} ago)", device.endpoint, device.reason)
}

#[cfg(test)]
mod tests;
