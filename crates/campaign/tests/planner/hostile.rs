//! Nothing panics, whatever the plan says and however the course was left.

use std::time::Duration;

use campaign::{ShardView, check, decide, next_wake, window};
use device_state::campaign::{
    Campaign, CampaignState, Control, Course, FailureThreshold, Membership, OnFailure, PauseReason,
    Plan, Promotion, Reach, Schedule, Share, Tally, Wave, WaveCourse, WaveState, Window,
};
use device_state::{ShardId, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::rig::{campaign, plan, selector, wave};

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<u64>(), 0_u64..4_000_000_000_000].prop_map(Timestamp)
}

fn share() -> impl Strategy<Value = Share> {
    prop_oneof![
        any::<u64>().prop_map(Share::Devices),
        any::<u32>().prop_map(Share::Millionths),
    ]
}

prop_compose! {
    fn any_wave()(
        (name, size, max_concurrent) in ("[a-c ]{0,2}", share(), share()),
        (success_threshold, minimum_results) in any::<(u32, u64)>(),
        (devices, millionths) in any::<(Option<u64>, Option<u32>)>(),
        (has_lane, is_manual, soak) in any::<(bool, bool, Duration)>(),
    ) -> Wave {
        Wave {
            selector: has_lane.then(selector),
            max_concurrent,
            success_threshold,
            failure_threshold: FailureThreshold { devices, millionths },
            minimum_results,
            soak,
            promotion: if is_manual { Promotion::Manual } else { Promotion::Automatic },
            ..wave(&name, size)
        }
    }
}

prop_compose! {
    fn any_window()(
        (days, start, end) in any::<(u8, u16, u16)>(),
        time_zone in prop_oneof![Just("Europe/Berlin"), Just("Pacific/Apia"), Just("UTC"), Just("\0"), Just("")],
    ) -> Window {
        Window { days, start: start % 1_500, end: end % 1_500, time_zone: time_zone.into() }
    }
}

prop_compose! {
    fn any_plan()(
        waves in vec(any_wave(), 0..5),
        max_unavailable in option::of(share()),
        membership in prop_oneof![Just(Membership::Snapshot), Just(Membership::Dynamic)],
        on_failure in prop_oneof![Just(OnFailure::Pause), Just(OnFailure::Abort), Just(OnFailure::Rollback)],
        (not_before, windows) in (option::of(time()), vec(any_window(), 0..3)),
        (deadline, begin_every, pause_when_unreachable) in any::<(Option<Duration>, Option<Duration>, Option<u32>)>(),
    ) -> Plan {
        let schedule = Schedule { not_before, windows, deadline };
        Plan { pause_when_unreachable, begin_every, max_unavailable, membership, on_failure, schedule, ..plan(waves) }
    }
}

fn wave_state() -> impl Strategy<Value = WaveState> {
    prop_oneof![
        Just(WaveState::Pending),
        Just(WaveState::Running),
        time().prop_map(|until| WaveState::Soaking { until }),
        Just(WaveState::AwaitingApproval),
        Just(WaveState::Succeeded),
        Just(WaveState::Failed),
    ]
}

prop_compose! {
    fn any_course()(
        (step, members, started_at) in (any::<u64>(), any::<u64>(), option::of(time())),
        state in prop_oneof![
            Just(CampaignState::Enrolling),
            Just(CampaignState::Running),
            Just(CampaignState::Paused(PauseReason::Asked)),
            Just(CampaignState::Paused(PauseReason::SuccessThreshold)),
            Just(CampaignState::Aborting),
        ],
        waves in vec((wave_state(), any::<u64>()), 0..6),
    ) -> Course {
        let wave = |(state, size)| WaveCourse { state, size, ..WaveCourse::default() };
        let waves = waves.into_iter().map(wave).collect();
        Course { step, state, members, waves, started_at, ended_at: None, census: step % 3 }
    }
}

prop_compose! {
    fn any_tally()(counts in any::<[u32; 6]>()) -> Tally {
        let [waiting, updating, succeeded, failed, expired, cancelled] = counts.map(u64::from);
        Tally { waiting, updating, succeeded, failed, expired, cancelled, ..Tally::default() }
    }
}

prop_compose! {
    fn any_reach()((census, registered, counted, lost) in (0..3_u64, any::<u64>(), any::<u64>(), any::<u64>())) -> Reach {
        Reach { census, registered, counted, lost }
    }
}

prop_compose! {
    fn any_view()(
        shard in any::<u16>(),
        (enrolled, halted) in (prop::bool::weighted(0.9), prop::bool::weighted(0.1)),
        waves in vec(any_tally(), 0..6),
        (common, reach) in (any_tally(), option::of(any_reach())),
    ) -> ShardView {
        ShardView { shard: ShardId(shard), enrolled, halted, waves, common, reach }
    }
}

prop_compose! {
    fn any_campaign()(
        (plan, course) in (any_plan(), any_course()),
        (paused, aborted) in (any::<bool>(), prop::bool::weighted(0.1)),
        approved_through in "[a-c]{0,2}",
    ) -> Campaign {
        let control = Control { paused, approved_through, aborted };
        Campaign { control, course, ..campaign(plan) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn nothing_panics(campaign in any_campaign(), shards in vec(any_view(), 0..4), now in time()) {
        let _ = check(&campaign.plan);
        decide(&campaign, &shards, now);
        window(&campaign.plan.schedule, now);
        let wake = next_wake(&campaign, now);
        prop_assert!(wake.is_none_or(|wake| wake > now));
    }
}
