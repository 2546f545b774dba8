use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;

/// A condition of `Type Status Reason`, with the reason as its message.
fn condition(said: &str) -> Condition {
    let mut words = said.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let (type_, status, reason) = (word(), word(), word());
    Condition {
        type_,
        status,
        message: format!("because of {reason}"),
        reason,
        observed_generation: Some(1),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

fn conditions(said: &[&str]) -> Vec<Condition> {
    said.iter().map(|said| condition(said)).collect()
}

/// What is told, as `Urgency Action Reason`.
fn told(before: &[&str], after: &[&str]) -> Vec<String> {
    let all = announcements(&conditions(before), &conditions(after));
    let text = |one: &Announcement| format!("{:?} {} {}", one.urgency, one.action, one.reason);
    all.iter().map(text).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_stays_is_not_told_again() {
    let status = ["Accepted True Accepted", "Ready True InSync"];
    assert_eq!(told(&status, &status), NOTHING);
    let mut later = conditions(&status);
    later[1].message = "3 of 3 in sync".to_owned();
    assert!(announcements(&conditions(&status), &later).is_empty());
}

#[test]
fn a_new_object_is_told_of_by_what_was_decided() {
    let new = [
        "Accepted True Accepted",
        "Registered Unknown NeverSeen",
        "Synced False Pending",
        "Degraded False AsExpected",
        "Paused False NotPaused",
        "Failed Unknown DevicesFailed",
        "Ready Unknown NotRegistered",
    ];
    assert_eq!(told(&[], &new), ["Information Accept Accepted"]);
}

#[test]
fn one_reason_of_several_conditions_is_told_once() {
    let refused = [
        "Accepted False InvalidValue",
        "Synced Unknown InvalidValue",
        "Ready False InvalidValue",
    ];
    assert_eq!(told(&[], &refused), ["Warning Accept InvalidValue"]);
    let pending = ["Synced False Pending", "Ready False Applying"];
    let written = ["Synced True InSync", "Ready True InSync"];
    assert_eq!(told(&pending, &written), ["Information Write InSync"]);
    // That something is on its way is not told.
    assert_eq!(told(&written, &pending), NOTHING);
}

#[test]
fn what_a_person_has_to_see_is_a_warning() {
    for (after, expected) in [
        ("Accepted False Yanked", "Warning Accept Yanked"),
        ("Available False Yanked", "Information Provide Yanked"),
        ("Synced False Rejected", "Warning Write Rejected"),
        ("Degraded True Conflicts", "Warning Check Conflicts"),
        (
            "Progressing False FailureThresholdExceeded",
            "Warning Progress FailureThresholdExceeded",
        ),
        (
            "Progressing False AwaitingApproval",
            "Information Progress AwaitingApproval",
        ),
        (
            "Verified False DigestMismatch",
            "Warning Verify DigestMismatch",
        ),
        ("Failed True DevicesFailed", "Warning Finish DevicesFailed"),
    ] {
        assert_eq!(told(&[], &[after]), [expected]);
    }
}

#[test]
fn an_object_that_is_stuck_warns_whatever_the_reason() {
    let before = ["Ready Unknown Running", "Stalled False Running"];
    let aborted = [
        "Progressing False Aborted",
        "Ready False Aborted",
        "Reconciling False Aborted",
        "Stalled True Aborted",
    ];
    assert_eq!(told(&before, &aborted), ["Warning Progress Aborted"]);
}

#[test]
fn what_was_wrong_and_is_not_any_more_is_told() {
    assert_eq!(
        told(
            &["Degraded True Conflicts", "Paused True UserPaused"],
            &["Degraded False AsExpected", "Paused False NotPaused"],
        ),
        [
            "Information Check AsExpected",
            "Information Pause NotPaused"
        ]
    );
    let unregistered = ["Registered True Registered"];
    let gone = ["Registered False LifetimeExpired"];
    assert_eq!(
        told(&unregistered, &gone),
        ["Information Register LifetimeExpired"]
    );
}

#[test]
fn a_long_note_is_cut_between_characters() {
    let mut long = condition("Accepted False InvalidValue");
    long.message = format!("x{}", "ü".repeat(1024));
    let all = announcements(&[], &[long]);
    assert_eq!(all[0].note.len(), Observation::MAX_MESSAGE_BYTES - 1);
}

#[test]
fn conditions_of_others_are_theirs_to_tell() {
    let theirs = ["Shiny False NoRoute", "Ready False Because"];
    assert_eq!(told(&[], &theirs), NOTHING);
}
