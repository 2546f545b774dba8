//! A campaign and its shards, as short as they can be said.

use std::time::Duration;

use campaign::{Decision, ShardView, decide};
use device_state::campaign::{
    Campaign, CampaignId, CampaignState, Compatibility, Control, Course, DevicePolicy, Failure,
    FailureThreshold, Image, Membership, OnFailure, Plan, Promotion, Schedule, Selector, Share,
    Tally, Transfer, UpdateObject, Wave, WaveCourse, WaveState,
};
use device_state::selection::DeviceFilter;
use device_state::{Namespace, ShardId, Timestamp};

pub(crate) const NOW: Timestamp = Timestamp(1_796_122_800_000);

/// So many seconds after [`NOW`].
pub(crate) fn after(seconds: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

pub(crate) fn wave(name: &str, size: Share) -> Wave {
    Wave {
        name: name.into(),
        size,
        selector: None,
        max_concurrent: Share::ALL,
        success_threshold: 0,
        failure_threshold: FailureThreshold::default(),
        minimum_results: 0,
        soak: Duration::ZERO,
        promotion: Promotion::Automatic,
    }
}

pub(crate) fn selector() -> Selector {
    Selector {
        text: String::new(),
        filter: DeviceFilter::everything(),
    }
}

pub(crate) fn plan(waves: Vec<Wave>) -> Plan {
    Plan {
        image: Image {
            name: "m200".into(),
            version: "2.3.1".into(),
            uri: "coaps://fw.example/m200".into(),
            object: UpdateObject::Firmware,
            compatibility: Compatibility::default(),
        },
        transfer: Transfer::Pull,
        selector: selector(),
        membership: Membership::Snapshot,
        seed: String::new(),
        waves,
        max_unavailable: None,
        schedule: Schedule::default(),
        device: DevicePolicy::default(),
        on_failure: OnFailure::Pause,
        rollback_image: None,
        pause_when_unreachable: None,
        begin_every: None,
    }
}

pub(crate) fn campaign(plan: Plan) -> Campaign {
    Campaign {
        id: CampaignId(7),
        namespace: Namespace::default(),
        name: "spring".into(),
        plan,
        control: Control::default(),
        course: Course::default(),
        owner: String::new(),
        created_at: Timestamp(0),
    }
}

/// Running, with its first wave begun.
pub(crate) fn begun(plan: Plan, members: u64, size: u64) -> Campaign {
    let mut campaign = campaign(plan);
    campaign.course = Course {
        step: 2,
        state: CampaignState::Running,
        members,
        waves: vec![WaveCourse::default(); campaign.plan.waves.len()],
        started_at: Some(NOW),
        ended_at: None,
        census: 0,
    };
    campaign.course.waves[0] = running(size);
    campaign
}

pub(crate) fn running(size: u64) -> WaveCourse {
    WaveCourse {
        state: WaveState::Running,
        size,
        started_at: Some(NOW),
        ended_at: None,
    }
}

/// Enrolled, with so many who wait in the common lane.
pub(crate) fn shard(shard: u16, waiting: u64, waves: Vec<Tally>) -> ShardView {
    ShardView {
        shard: ShardId(shard),
        enrolled: true,
        halted: false,
        waves,
        common: Tally {
            waiting,
            ..Tally::default()
        },
        reach: None,
    }
}

/// Devices of a wave: on their way, with the firmware, failed.
pub(crate) fn tally(updating: u64, succeeded: u64, failed: u64) -> Tally {
    let failures = (failed > 0).then_some((Failure::DownloadTimeout, failed));
    Tally {
        updating,
        succeeded,
        failed,
        failures: failures.into_iter().collect(),
        ..Tally::default()
    }
}

/// The only decision, which is a step of the course.
#[track_caller]
pub(crate) fn steered(decisions: Vec<Decision>) -> Course {
    match <[Decision; 1]>::try_from(decisions) {
        Ok([Decision::Steer(course)]) => course,
        other => panic!("not one step: {other:?}"),
    }
}

/// Decides and commits until nothing but time or devices change anything.
#[track_caller]
pub(crate) fn settle(
    campaign: &mut Campaign,
    shards: &[ShardView],
    now: Timestamp,
) -> Vec<Decision> {
    for _ in 0..200 {
        let decisions = decide(campaign, shards, now);
        let mut others = Vec::new();
        let step = campaign.course.step;
        for decision in decisions {
            match decision {
                Decision::Steer(course) => {
                    assert_eq!(course.step, campaign.course.step + 1);
                    campaign.course = course;
                }
                other => others.push(other),
            }
        }
        if campaign.course.step == step {
            return others;
        }
    }
    panic!("the course does not settle: {:?}", campaign.course);
}

/// Who may be admitted, by shard.
#[track_caller]
pub(crate) fn admitted(decisions: &[Decision]) -> Vec<(u16, u8, u64)> {
    let admit = |decision: &Decision| match decision {
        Decision::Admit { shard, wave, until } => (shard.0, *wave, *until),
        other => panic!("not an admission: {other:?}"),
    };
    let mut admitted: Vec<_> = decisions.iter().map(admit).collect();
    admitted.sort_unstable();
    admitted
}
