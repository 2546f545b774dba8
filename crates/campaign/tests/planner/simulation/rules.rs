//! What holds at every moment.

use campaign::Decision;
use device_state::campaign::{Campaign, CampaignState, Course, Membership, OnFailure, WaveState};

use super::shard::{Device, Outcome, Shard};
use super::world::World;

/// How far the limits may be exceeded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Strictness {
    /// Views are as old as they like while devices are deleted: by one for each.
    pub(crate) forgives_deleted: bool,
    pub(crate) deleted: u64,
}

impl Strictness {
    fn excess(self) -> u64 {
        if self.forgives_deleted {
            self.deleted
        } else {
            0
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
        if is_done && after.state != CampaignState::Aborted {
            let is_active = |device: &Device| *device == Device::Active { wave: index as u8 };
            let mut devices = shards.iter().flat_map(|shard| &shard.devices);
            assert!(!devices.any(is_active), "wave {index} is not over");
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
    let excess = world.strictness.excess();
    assert!(
        active as u64 <= limit + excess,
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
        let excess = world.strictness.excess();
        assert!(
            admitted <= size.saturating_add(excess),
            "{admitted} in wave {index} of {size}"
        );
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
