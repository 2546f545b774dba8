use std::time::Duration;

use proto::drover::v1::campaign_device::Phase;
use proto::drover::v1::{CampaignCounts, CampaignImage};

use super::*;

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn wave(name: &str, state: WaveState, devices: u64, counts: CampaignCounts) -> WaveStatus {
    WaveStatus {
        name: name.to_owned(),
        state: state.into(),
        devices,
        counts: Some(counts),
        ..WaveStatus::default()
    }
}

fn campaign(state: State, waves: Vec<WaveStatus>, counts: CampaignCounts) -> Campaign {
    let image = CampaignImage {
        name: "meters".to_owned(),
        version: "2.1.0".to_owned(),
        uri: "coap://10.0.0.1/fw".to_owned(),
        ..Default::default()
    };
    Campaign {
        name: "meters-2-1".to_owned(),
        plan: Some(CampaignPlan {
            image: Some(image),
            filter: "labels.site = north".to_owned(),
            ..CampaignPlan::default()
        }),
        state: state.into(),
        create_time: at(0),
        members: 12,
        waves,
        counts: Some(counts),
        ..Campaign::default()
    }
}

fn shown(campaign: &Campaign) -> String {
    text(campaign, SystemTime::UNIX_EPOCH + Duration::from_secs(185))
}

#[test]
fn a_campaign_that_runs_shows_its_progress_by_wave() {
    let canary = CampaignCounts {
        succeeded: 2,
        ..CampaignCounts::default()
    };
    let rest = CampaignCounts {
        succeeded: 3,
        downloading: 2,
        waiting: 5,
        ..CampaignCounts::default()
    };
    let all = CampaignCounts {
        succeeded: 5,
        ..rest
    };
    let waves = vec![
        wave("canary", WaveState::Succeeded, 2, canary),
        wave("most", WaveState::Running, 10, rest),
        wave("rest", WaveState::Pending, 0, CampaignCounts::default()),
    ];
    insta::assert_snapshot!(shown(&campaign(State::Running, waves, all)), @"
    Name:      meters-2-1
    State:     ◌ Running
    Image:     2.1.0 from coap://10.0.0.1/fw
    Devices:   12 of labels.site = north
    Progress:  5 succeeded, 2 downloading, 5 waiting
    Age:       3m5s

    Waves
    ├── ✔ canary  Succeeded  ████████████████████  2/2  2 succeeded
    ├── ◌ most    Running    ██████░░░░░░░░░░░░░░  3/10  3 succeeded, 2 downloading
    └── · rest    Pending
    ");
}

#[test]
fn a_campaign_that_waits_for_approval_says_how_to_give_it() {
    let counts = CampaignCounts {
        succeeded: 1,
        waiting: 11,
        ..CampaignCounts::default()
    };
    let waves = vec![
        wave("canary", WaveState::AwaitingApproval, 1, counts),
        wave("rest", WaveState::Pending, 0, CampaignCounts::default()),
    ];
    insta::assert_snapshot!(shown(&campaign(State::Running, waves, counts)), @"
    Name:      meters-2-1
    State:     ◌ Running
    Image:     2.1.0 from coap://10.0.0.1/fw
    Devices:   12 of labels.site = north
    Progress:  1 succeeded, 11 waiting
    Age:       3m5s
    Next:      `drover rollout approve meters-2-1` lets the wave after canary begin

    Waves
    ├── ॥ canary  AwaitingApproval  ████████████████████  1/1  1 succeeded
    └── · rest    Pending
    ");
}

#[test]
fn a_campaign_that_stopped_shows_what_failed_and_what_to_do() {
    let counts = CampaignCounts {
        failed: 2,
        waiting: 10,
        ..CampaignCounts::default()
    };
    let mut stopped = campaign(
        State::Stopped,
        vec![wave("all", WaveState::Failed, 12, counts)],
        counts,
    );
    stopped.reason = "too many devices of the wave failed".to_owned();
    stopped.failures = vec![FailureCount {
        reason: "update result 8: update failed".to_owned(),
        devices: 2,
    }];
    stopped.failure_samples = vec![CampaignDevice {
        endpoint: "dev\u{7}1".to_owned(),
        phase: Phase::Failed.into(),
        reason: "update result 8: update failed".to_owned(),
        phase_time: at(155),
        ..CampaignDevice::default()
    }];
    insta::assert_snapshot!(shown(&stopped), @r"
    Name:      meters-2-1
    State:     ⚠ Stopped: too many devices of the wave failed
    Image:     2.1.0 from coap://10.0.0.1/fw
    Devices:   12 of labels.site = north
    Progress:  2 failed, 10 waiting
    Age:       3m5s
    Next:      `drover rollout devices meters-2-1 --failed` tells what failed. To go on: `drover rollout pause meters-2-1`, then `drover rollout resume meters-2-1`. To give up: `drover rollout abort meters-2-1`

    Waves
    └── ✖ all  Failed  ███░░░░░░░░░░░░░░░░░  2/12  2 failed
    Failures
    └──      2  update result 8: update failed
    Failed last
    └── dev\u{7}1  update result 8: update failed (30s ago)
    ");
}

#[test]
fn a_campaign_that_stopped_because_devices_are_lost_tells_how_many() {
    let counts = CampaignCounts {
        succeeded: 2,
        waiting: 10,
        ..CampaignCounts::default()
    };
    let mut stopped = campaign(
        State::Stopped,
        vec![wave("all", WaveState::Running, 12, counts)],
        counts,
    );
    stopped.stop = Stop::Unreachable.into();
    stopped.reason = "too many devices are not registered any more: 3 of 12 now".to_owned();
    stopped.reach = Some(proto::drover::v1::campaign::Reach {
        counted: 12,
        lost: 3,
    });
    insta::assert_snapshot!(shown(&stopped), @"
    Name:      meters-2-1
    State:     ⚠ Stopped: too many devices are not registered any more: 3 of 12 now
    Image:     2.1.0 from coap://10.0.0.1/fw
    Devices:   12 of labels.site = north
    Progress:  2 succeeded, 10 waiting
    Lost:      3 of 12 that were registered
    Age:       3m5s
    Next:      `drover devices --filter 'NOT state = REGISTERED'` tells who is away. To go on: `drover rollout pause meters-2-1`, then `drover rollout resume meters-2-1`. To give up: `drover rollout abort meters-2-1`

    Waves
    └── ◌ all  Running  ███░░░░░░░░░░░░░░░░░  2/12  2 succeeded
    ");
}

#[test]
fn a_bar_is_full_only_when_nobody_is_left() {
    assert_eq!(bar(0, 0), "█".repeat(BAR));
    assert_eq!(bar(999, 1000), "█".repeat(BAR - 1) + "░");
    assert_eq!(bar(u64::MAX, u64::MAX), "█".repeat(BAR));
}
