//! What holds at every moment.

use campaign::Decision;
use device_state::campaign::{Campaign, CampaignState, Course, Membership, OnFailure, WaveState};

use super::shard::{Device, Outcome, Shard};
use super::world::World;

/// Whether the limit of devices on their way may be exceeded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Holds,
    /// Planners with old views, and so many devices that were deleted while they waited.
    Gives {
        deleted: u64,
    },
}

impl Limit {
    fn excess(self) -> u64 {
        match self {
            Self::Holds => 0,
            Self::Gives { deleted } if deleted <= 1 => deleted,
            // Views that know of different ones add up.
            Self::Gives { .. } => u64::MAX,
        }
    }
}

fn is_behind(state: WaveState) -> bool {
    matches!(state, WaveState::Succeeded | WaveState::Skipped)
}

pub(crate) fn check_decisions(row: &Campaign, decisions: &[Decision]) {
    let course = &row.course;
    let admits = decisions
        .iter()
        .any(|decision| matches!(decision, Decision::Admit { .. }));
    let mut steps = decisions.iter().filter_map(|decision| match decision {
        Decision::Steer(course) => Some(course),
        _ => None,
    });
    let step = steps.next();
    assert_eq!(steps.next(), None, "two steps at once");
    if course.state.is_final() {
        assert_eq!(decisions, [], "the campaign is over");
    }
    if !admits {
        return;
    }
    assert_eq!(course.state, CampaignState::Running);
    assert!(!row.control.paused && !row.control.aborted);
    if let Some(step) = step {
        let states = |course: &Course| {
            course
                .waves
                .iter()
                .map(|wave| wave.state)
                .collect::<Vec<_>>()
        };
        assert_eq!((step.state, states(step)), (course.state, states(course)));
    }
}

/// What was committed follows from what stood before and from how the devices really are.
pub(crate) fn check_step(before: &Campaign, after: &Course, shards: &[Shard]) {
    let plan = &before.plan;
    assert!(!before.course.state.is_final());
    assert_eq!(after.waves.len(), plan.waves.len());
    if before.course.state == CampaignState::Aborting {
        assert_eq!(after.state, CampaignState::Aborted);
    }
    for (index, wave) in after.waves.iter().enumerate() {
        let was = before.course.waves.get(index).copied().unwrap_or_default();
        if was.state != WaveState::Pending {
            assert_ne!(wave.state, WaveState::Pending);
            assert_eq!(was.started_at, wave.started_at);
        }
        if is_behind(was.state) {
            assert_eq!(was, *wave);
        }
        let is_done = matches!(
            wave.state,
            WaveState::Soaking { .. } | WaveState::AwaitingApproval
        ) || wave.state == WaveState::Succeeded;
        if is_done && !is_behind(was.state) && after.state != CampaignState::Aborted {
            check_done(before, index, was.state, shards);
        }
        if wave.state == WaveState::Running && was.state == WaveState::Pending {
            let earlier = &after.waves[..index];
            assert!(
                earlier
                    .iter()
                    .all(|wave| wave.state == WaveState::Succeeded)
            );
        }
    }
}

/// A wave that is done has nobody on the way, and is good if nobody let it go on although it was not.
fn check_done(campaign: &Campaign, index: usize, was: WaveState, shards: &[Shard]) {
    let own = index as u8;
    let devices = || shards.iter().flat_map(|shard| &shard.devices);
    assert!(
        !devices().any(|device| *device == Device::Active { wave: own }),
        "wave {index} is not over"
    );
    let count = |outcome| {
        let ended = Device::Ended {
            wave: Some(own),
            outcome,
        };
        devices().filter(|device| **device == ended).count() as u64
    };
    let (succeeded, failed) = (count(Outcome::Succeeded), count(Outcome::Failed));
    let wave = &campaign.plan.waves[index];
    if was == WaveState::Running {
        let part = |of: u64| of * 1_000_000;
        let results = succeeded + failed;
        assert!(part(succeeded) >= u64::from(wave.success_threshold) * results);
        let threshold = wave.failure_threshold;
        assert!(threshold.devices.is_none_or(|devices| failed < devices));
        let is_within = |millionths| part(failed) <= u64::from(millionths) * results;
        let is_judged = results >= wave.minimum_results;
        assert!(!is_judged || threshold.millionths.is_none_or(is_within));
    }
}

pub(crate) fn check(world: &World) {
    check_limits(world);
    check_waves(world);
    check_end(world);
}

/// Devices on their way, against what the plan says of the wave whose turn it is.
fn check_limits(world: &World) {
    let campaign = &world.campaign;
    let active: usize = world.shards.iter().map(|shard| shard.active().len()).sum();
    let turn = campaign
        .course
        .waves
        .iter()
        .position(|wave| !is_behind(wave.state));
    let limit = turn.map_or(0, |turn| {
        let of_wave = campaign.plan.waves[turn]
            .max_concurrent
            .of(campaign.course.waves[turn].size);
        let of_all = campaign.plan.max_unavailable;
        of_all.map_or(of_wave, |share| {
            of_wave.min(share.of(campaign.course.members))
        })
    });
    let excess = world.limit.excess();
    assert!(
        active as u64 <= limit.saturating_add(excess),
        "{active} devices on their way, not {limit} and {excess}"
    );
}

fn check_waves(world: &World) {
    let course = &world.campaign.course;
    for (index, wave) in course.waves.iter().enumerate() {
        let admitted: u64 = world
            .shards
            .iter()
            .map(|shard| shard.admitted(index as u8))
            .sum();
        let is_open_ended = index + 1 == course.waves.len()
            && world.campaign.plan.membership == Membership::Dynamic;
        let size = if is_open_ended { u64::MAX } else { wave.size };
        assert!(admitted <= size, "{admitted} in wave {index} of {size}");
        if wave.state == WaveState::Pending || wave.state == WaveState::Skipped {
            assert_eq!(admitted, 0, "wave {index} has not begun");
        }
    }
}

fn check_end(world: &World) {
    let devices = || world.shards.iter().flat_map(|shard| &shard.devices);
    let waits = |device: &Device| matches!(device, Device::Waiting { .. });
    let is_active = |device: &Device| matches!(device, Device::Active { .. });
    let was_cancelled = |device: &Device| {
        matches!(
            device,
            Device::Ended {
                outcome: Outcome::Cancelled,
                ..
            }
        )
    };
    let course = &world.campaign.course;
    match course.state {
        CampaignState::Succeeded => {
            assert!(!devices().any(|device| waits(device) || was_cancelled(device)));
        }
        CampaignState::Aborted | CampaignState::DeadlineExceeded => {
            assert!(!devices().any(is_active));
            assert!(world.shards.iter().all(|shard| shard.halted));
        }
        _ => {}
    }
    let goes_back = world.campaign.plan.on_failure == OnFailure::Rollback;
    assert!(goes_back || world.back == 0);
}
