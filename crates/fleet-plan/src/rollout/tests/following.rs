//! A campaign that is there.

use std::time::Duration;

use device_state::campaign::PauseReason;

use super::*;

const BEGUN: [WaveState; 2] = [WaveState::Running, WaveState::Pending];

#[test]
fn only_what_people_say_is_passed_on() {
    let running = || Rig::new().made(CampaignState::Running, &BEGUN);
    assert_eq!(running().plan().actions, []);
    let mut rig = running();
    rig.rollout.spec.paused = true;
    assert_eq!(rig.plan().actions, [Action::Pause]);
    says(&rig.plan(), "Paused", "True", "UserPaused");
    rig.seen().campaign.control.paused = true;
    assert_eq!(rig.plan().actions, []);
    rig.rollout.spec.paused = false;
    assert_eq!(rig.plan().actions, [Action::Resume]);
    rig.rollout.spec.approved_through = Some("canary".to_owned());
    let approve = Action::Approve("canary".to_owned());
    assert_eq!(rig.plan().actions, [Action::Resume, approve]);
    rig.rollout.spec.abort = true;
    assert_eq!(rig.plan().actions, [Action::Abort]);
    rig.seen().campaign.course.state = CampaignState::Aborting;
    assert_eq!(rig.plan().actions, []);
}

#[test]
fn an_approval_is_not_taken_back() {
    let mut rig = Rig::new().made(CampaignState::Running, &BEGUN);
    rig.seen().campaign.control.approved_through = "rest".to_owned();
    rig.rollout.spec.approved_through = Some("canary".to_owned());
    assert_eq!(rig.plan().actions, []);
    rig.rollout.spec.approved_through = None;
    assert_eq!(rig.plan().actions, []);
}

#[test]
fn an_approval_waits_until_a_campaign_that_stopped_goes_on() {
    let stopped = CampaignState::Paused(PauseReason::FailureThreshold);
    let mut rig = Rig::new().made(stopped, &[WaveState::Failed, WaveState::Pending]);
    rig.rollout.spec.approved_through = Some("canary".to_owned());
    assert_eq!(rig.plan().actions, []);
    rig.seen().campaign.course.state = CampaignState::Running;
    let approve = Action::Approve("canary".to_owned());
    assert_eq!(rig.plan().actions, [approve]);
}

#[test]
fn a_fleet_that_is_not_well_is_told() {
    let stopped = CampaignState::Paused(PauseReason::Unreachable);
    let mut rig = Rig::with("{strategy: {pauseWhenUnreachable: 20%}}", "{}");
    assert_eq!(rig.campaign().plan.pause_when_unreachable, Some(200_000));
    rig = rig.made(stopped, &BEGUN);
    rig.seen().reason = "too many devices are not registered any more: 3 of 10 now".to_owned();
    let plan = rig.plan();
    for (condition, status) in [
        ("Paused", "True"),
        ("Progressing", "False"),
        ("Stalled", "True"),
        ("Ready", "False"),
    ] {
        says(&plan, condition, status, "FleetUnhealthy");
    }
    says(&plan, "Succeeded", "Unknown", "Running");
    let mut conditions = plan.status.conditions.iter();
    let paused = conditions.find(|one| one.type_ == "Paused").unwrap();
    let told = "wave canary: too many devices are not registered any more: 3 of 10 now: 1 of 10 devices succeeded; ";
    assert!(paused.message.starts_with(told), "{}", paused.message);
    // Somebody has looked at it.
    rig.rollout.spec.paused = true;
    assert_eq!(rig.plan().actions, [Action::Pause]);
}

#[test]
fn a_yanked_image_holds_the_campaign() {
    let mut rig = Rig::new().made(CampaignState::Running, &BEGUN);
    rig.image.as_mut().unwrap().spec.yanked = true;
    assert_eq!(rig.plan().actions, [Action::Pause]);
    rig.seen().campaign.control.paused = true;
    rig.seen().campaign.course.state = CampaignState::Paused(PauseReason::Asked);
    says(&rig.plan(), "Paused", "True", "Yanked");
    // Without the image nobody knows whether it is good again.
    let image = rig.image.take();
    assert_eq!(rig.plan().actions, []);
    rig.image = image;
    rig.image.as_mut().unwrap().spec.yanked = false;
    assert_eq!(rig.plan().actions, [Action::Resume]);
}

#[test]
fn a_campaign_goes_on_without_its_image() {
    let mut rig = Rig::new().made(CampaignState::Running, &BEGUN);
    rig.image = None;
    let plan = rig.plan();
    assert_eq!(plan.actions, []);
    says(&plan, "Accepted", "True", "Accepted");
    says(&plan, "Progressing", "True", "WaveRunning");
}

#[test]
fn a_change_that_the_campaign_cannot_follow_is_told() {
    let changes = [
        (
            "{schedule: {windows: []}}",
            "spec.schedule.windows was changed",
        ),
        (
            "{strategy: {waves: [{name: canary, size: '2', maxConcurrent: 1}, {name: rest, size: 100%}]}}",
            "spec.strategy.waves[0].maxConcurrent was changed",
        ),
        (
            "{schedule: {windows: [{startTime: '01:00', endTime: '02:00', timeZone: Device}]}}",
            "spec.schedule.windows[0].timeZone: Device",
        ),
    ];
    for (change, message) in changes {
        let mut rig = Rig::new().made(CampaignState::Running, &BEGUN);
        rig.rollout.spec = Rig::with(change, "{}").rollout.spec;
        rig.rollout.spec.abort = true;
        let plan = rig.plan();
        says(&plan, "Accepted", "False", "Unsupported");
        says(&plan, "Stalled", "True", "NotAccepted");
        let told = plan.refusal.unwrap().message.replacen(": was", " was", 1);
        assert!(told.starts_with(message), "{told}");
        // It can be ended all the same.
        assert_eq!(plan.actions, [Action::Abort]);
    }
}

#[test]
fn a_campaign_that_was_deleted_is_not_made_again() {
    let mut rig = Rig::new().made(CampaignState::Running, &BEGUN);
    rig.publish();
    rig.observed = Observed::default();
    let plan = rig.plan();
    assert_eq!(plan.actions, []);
    says(&plan, "Succeeded", "False", "Aborted");
    // What came of one that had ended stays.
    let mut rig = Rig::new().made(CampaignState::Succeeded, &[WaveState::Succeeded; 2]);
    rig.publish();
    rig.observed = Observed::default();
    assert_eq!(rig.plan().actions, []);
    assert_eq!(rig.plan().status_change(&rig.rollout), None);
}

#[test]
fn what_is_aborted_before_it_begins_never_does() {
    let rig = Rig::with("{abort: true}", "{}");
    let plan = rig.plan();
    assert_eq!(plan.actions, []);
    says(&plan, "Succeeded", "False", "Aborted");
}

#[test]
fn a_status_counts_devices_in_its_own_words() {
    let mut rig = Rig::new().made(CampaignState::Running, &BEGUN);
    let seen = rig.seen();
    seen.counts = Tally {
        waiting: 3,
        scheduled: 1,
        offered: 1,
        downloading: 1,
        updating: 1,
        verifying: 1,
        retrying: 1,
        failed: 2,
        ..Tally::default()
    };
    seen.waves[0].failed = 1;
    seen.failures = vec![("update result 5: integrity check failed".to_owned(), 2)];
    seen.samples = vec![Sample {
        endpoint: "meter-1".to_owned(),
        reason: "refused with 4.04".to_owned(),
        at: Some(Timestamp(1_000)),
    }];
    let status = rig.plan().status;
    let counts = status.counts.unwrap();
    assert_eq!((counts.total, counts.scheduled, counts.asleep), (11, 3, 2));
    assert_eq!((counts.updating, counts.retrying, counts.failed), (2, 1, 2));
    // Of the two of the wave one has no result yet.
    let wave = status.waves[0].counts;
    assert_eq!((wave.total, wave.scheduled, wave.failed), (2, 1, 1));
    assert_eq!(status.current_wave.as_deref(), Some("canary"));
    assert_eq!(
        status.failure_reasons[0].reason,
        "UpdateResult5IntegrityCheckFailed"
    );
    assert_eq!(status.failure_samples[0].reason, "RefusedWith404");
    assert_eq!(status.membership.unwrap().snapshot_id, "c-1f");
    assert_eq!(status.ledger.unwrap().id, "m200-2-3-1");
}

#[test]
fn progress_says_what_is_waited_for() {
    use WaveState::{AwaitingApproval, Pending, Running, Soaking, Succeeded};
    let until = Timestamp(9_000_000);
    for (waves, status, reason) in [
        ([Running, Pending], "True", "WaveRunning"),
        ([Soaking { until }, Pending], "True", "Soaking"),
        ([AwaitingApproval, Pending], "False", "AwaitingApproval"),
        ([Succeeded, Running], "True", "WaveRunning"),
    ] {
        let rig = Rig::new().made(CampaignState::Running, &waves);
        says(&rig.plan(), "Progressing", status, reason);
        assert_eq!(rig.plan().pace, Pace::Running);
    }
    let mut rig = Rig::new().made(CampaignState::Running, &BEGUN);
    rig.seen().window = Some(until);
    says(&rig.plan(), "Progressing", "False", "OutsideWindow");
}

#[test]
fn a_rollback_is_followed_to_its_end() {
    let spec = "{onFailure: Rollback, rollback: {imageRef: {name: old}, policy: Automatic}}";
    let mut rig = Rig::with(spec, "{}");
    rig.rollback_image.clone_from(&rig.image);
    let failed = [WaveState::Failed, WaveState::Skipped];
    let mut rig = rig.made(CampaignState::Aborted, &failed);
    says(&rig.plan(), "RolledBack", "False", "Running");
    assert_eq!(rig.plan().pace, Pace::Running);
    let mut back = rig.observed.campaign.clone().unwrap();
    back.campaign.course.state = CampaignState::Succeeded;
    rig.observed.way_back = Some(back);
    says(&rig.plan(), "RolledBack", "True", "Complete");
    says(
        &rig.plan(),
        "Succeeded",
        "False",
        "FailureThresholdExceeded",
    );
    assert_eq!(rig.plan().pace, Pace::Resting);
    // A person aborted it: nobody goes back, though a wave was stopped by that.
    rig.seen().campaign.control.aborted = true;
    says(&rig.plan(), "RolledBack", "", "");
    says(&rig.plan(), "Succeeded", "False", "Aborted");
}

#[test]
fn an_abort_is_told_as_one_while_the_last_devices_come_to_their_end() {
    for (spec, yanked) in [
        ("{abort: true}", false),
        ("{abort: true, paused: true}", false),
        ("{abort: true}", true),
    ] {
        let mut rig = Rig::new().made(CampaignState::Aborting, &BEGUN);
        rig.rollout.spec = Rig::with(spec, "{}").rollout.spec;
        rig.image.as_mut().unwrap().spec.yanked = yanked;
        rig.seen().campaign.control.aborted = true;
        let plan = rig.plan();
        assert_eq!(plan.actions, []);
        says(&plan, "Progressing", "True", "Aborted");
        says(&plan, "Paused", "False", "NotPaused");
        says(&plan, "Succeeded", "False", "Aborted");
        says(&plan, "Ready", "False", "Aborted");
        says(&plan, "Reconciling", "True", "Aborted");
        assert_eq!(plan.pace, Pace::Running);
        // The wave was stopped by it.
        rig.seen().campaign.course.state = CampaignState::Aborted;
        rig.seen().campaign.course.waves[0] = course(WaveState::Failed);
        says(&rig.plan(), "Succeeded", "False", "Aborted");
        says(&rig.plan(), "Stalled", "True", "Aborted");
    }
}

#[test]
fn nobody_selected_is_not_a_success_to_rely_on() {
    let mut rig = Rig::new().made(CampaignState::Succeeded, &[WaveState::Succeeded; 2]);
    rig.seen().campaign.course.members = 0;
    says(&rig.plan(), "Accepted", "False", "SelectorEmpty");
    says(&rig.plan(), "Ready", "False", "SelectorEmpty");
    says(&rig.plan(), "Succeeded", "True", "Complete");
}

#[test]
fn bytes_in_a_second_say_how_fast_devices_begin() {
    // The image of the example has 1,843,200 bytes.
    for (rate, every) in [
        ("921600", Duration::from_secs(2)),
        ("1843200000", Duration::from_millis(1)),
        ("1000000000000", Duration::from_micros(2)),
    ] {
        let rig = Rig::with(&format!("{{transfer: {{bytesPerSecond: {rate}}}}}"), "{}");
        assert_eq!(rig.campaign().plan.begin_every, Some(every), "{rate}");
    }
    // Slower than a device a day: something else is meant. And what the definition does not let through, a file may say.
    for rate in ["5", "21", "0", "-1"] {
        let rig = Rig::with(&format!("{{transfer: {{bytesPerSecond: {rate}}}}}"), "{}");
        let refusal = rig.plan().refusal.unwrap();
        let says = "spec.transfer.bytesPerSecond: give at least 22";
        assert!(refusal.message.starts_with(says), "{}", refusal.message);
    }
    let rig = Rig::with("{transfer: {bytesPerSecond: 22}}", "{}");
    assert!(rig.campaign().plan.begin_every.is_some());
}

#[test]
fn what_goes_back_is_no_faster() {
    let spec = "{onFailure: Rollback, rollback: {imageRef: {name: old}, policy: Automatic}, transfer: {bytesPerSecond: \
                921600}}";
    let mut rig = Rig::with(spec, "{}");
    rig.rollback_image.clone_from(&rig.image);
    if let Some(old) = &mut rig.rollback_image {
        old.spec.size_bytes *= 2;
    }
    let every = rig.campaign().plan.begin_every;
    assert_eq!(every, Some(Duration::from_secs(4)));
}
