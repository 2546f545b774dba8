//! What kstatus makes of a rollout (sigs.k8s.io/cli-utils/pkg/kstatus), and with it Flux and others.

use device_state::campaign::PauseReason;

use super::*;

/// The rules of kstatus for a kind that it does not know.
fn kstatus(rollout: &FirmwareRollout) -> &'static str {
    let status = rollout.status.as_ref().unwrap();
    if status.observed_generation != rollout.metadata.generation {
        return "InProgress";
    }
    for one in &status.conditions {
        match (one.type_.as_str(), one.status.as_str()) {
            ("Reconciling", "True") => return "InProgress",
            ("Stalled", "True") => return "Failed",
            _ => {}
        }
    }
    let mut conditions = status.conditions.iter();
    match conditions.find(|one| one.type_ == "Ready") {
        Some(ready) if ready.status != "True" => "InProgress",
        _ => "Current",
    }
}

fn of(mut rig: Rig) -> &'static str {
    rig.publish();
    kstatus(&rig.rollout)
}

#[test]
fn a_rollout_is_in_progress_until_it_is_through_or_needs_somebody() {
    use CampaignState::{
        Aborted, Aborting, DeadlineExceeded, Enrolling, Paused, Running, Succeeded,
    };
    let pending = [WaveState::Pending; 2];
    let failed = [WaveState::Failed, WaveState::Pending];
    for (state, waves, wanted) in [
        (Enrolling, pending, "InProgress"),
        (
            Running,
            [WaveState::Running, WaveState::Pending],
            "InProgress",
        ),
        (
            Running,
            [WaveState::AwaitingApproval, WaveState::Pending],
            "InProgress",
        ),
        (Paused(PauseReason::FailureThreshold), failed, "Failed"),
        (Aborting, pending, "InProgress"),
        (Aborted, failed, "Failed"),
        (Aborted, pending, "Failed"),
        (DeadlineExceeded, pending, "Failed"),
        (Succeeded, [WaveState::Succeeded; 2], "Current"),
    ] {
        assert_eq!(of(Rig::new().made(state, &waves)), wanted, "{state:?}");
    }
    let paused = Paused(PauseReason::Asked);
    let mut rig = Rig::new().made(paused, &pending);
    rig.rollout.spec.paused = true;
    assert_eq!(of(rig), "InProgress");
}

#[test]
fn what_is_not_accepted_fails_unless_it_can_pass() {
    assert_eq!(of(Rig::with("{transfer: {mode: Push}}", "{}")), "Failed");
    let mut rig = Rig::new();
    rig.image = None;
    assert_eq!(of(rig), "InProgress");
}

#[test]
fn a_newer_generation_is_in_progress() {
    let mut rig = Rig::new().made(CampaignState::Succeeded, &[WaveState::Succeeded; 2]);
    rig.publish();
    rig.rollout.metadata.generation = Some(2);
    assert_eq!(kstatus(&rig.rollout), "InProgress");
    rig.publish();
    assert_eq!(kstatus(&rig.rollout), "Current");
}

#[test]
fn every_condition_is_one_of_the_documented() {
    let states = [
        (CampaignState::Enrolling, [WaveState::Pending; 2]),
        (
            CampaignState::Paused(PauseReason::SuccessThreshold),
            [WaveState::Failed; 2],
        ),
        (CampaignState::Aborted, [WaveState::Failed; 2]),
        (CampaignState::DeadlineExceeded, [WaveState::Skipped; 2]),
    ];
    let mut rigs: Vec<Rig> = states
        .into_iter()
        .map(|(state, waves)| Rig::new().made(state, &waves))
        .collect();
    rigs.push(Rig::new());
    rigs.push(Rig::with("{transfer: {mode: Push}}", "{}"));
    for rig in rigs {
        for one in rig.plan().status.conditions {
            let mut rows = FirmwareRollout::CONDITIONS.iter();
            let row = rows.find(|(kind, _)| kind.as_str() == one.type_).unwrap();
            let is_known = row.1.iter().any(|reason| reason.as_str() == one.reason);
            assert!(is_known, "{}: {}", one.type_, one.reason);
            assert_eq!(one.observed_generation, Some(1));
        }
    }
}
