//! Which firmware a device has and should have.

use super::*;

fn campaign(progress: FirmwareProgress, reason: &str) -> FirmwareCampaign {
    FirmwareCampaign {
        name: "fw231".to_owned(),
        version: "2.3.1".to_owned(),
        progress,
        reason: reason.to_owned(),
    }
}

fn told(current: &str, campaign: Option<FirmwareCampaign>) -> Plan {
    let observed = match current {
        "" => registered("U"),
        version => values(registered("U"), &[&format!("/3/0/3={version}")]),
    };
    let firmware = campaign;
    planned(
        &managed(&[]),
        &Observed {
            firmware,
            ..observed
        },
    )
}

#[test]
fn what_a_rollout_has_come_to_is_told_and_what_the_device_tells_counts_more() {
    use FirmwareProgress::{Failed, LeftOut, Scheduled, Succeeded, Updating};
    for (progress, current, expected) in [
        (Scheduled, "2.3.0", "False/UpdateScheduled"),
        // It may be told to install what it has once more.
        (Scheduled, "2.3.1", "False/UpdateScheduled"),
        (Updating, "2.3.0", "False/Updating"),
        (Succeeded, "", "True/UpToDate"),
        (Succeeded, "2.3.1", "True/UpToDate"),
        (Succeeded, "2.2.9", "False/NotUpdated"),
        (Failed, "2.3.0", "False/UpdateFailed"),
        (Failed, "2.3.1", "True/UpToDate"),
        (LeftOut, "2.3.0", "Unknown/NotUpdated"),
        (LeftOut, "2.3.1", "True/UpToDate"),
    ] {
        let plan = told(current, Some(campaign(progress, "")));
        let all = conditions(&plan);
        let condition = format!("FirmwareCurrent={expected}");
        assert!(all.contains(&condition), "{progress:?} {current}: {all}");
        for one in &plan.status.conditions {
            crate::conditions::documented(Device::CONDITIONS, one);
        }
    }
    let plan = told("2.3.0", Some(campaign(Failed, "out of memory")));
    assert_eq!(
        message(&plan, "FirmwareCurrent"),
        "the rollout fw231 could not bring it 2.3.1: out of memory"
    );
    let firmware = plan.status.firmware.unwrap();
    assert_eq!(firmware.current_version.as_deref(), Some("2.3.0"));
    assert_eq!(firmware.target_version.as_deref(), Some("2.3.1"));
    assert_eq!(firmware.rollout.as_deref(), Some("fw231"));
}

#[test]
fn without_a_rollout_nothing_is_said_of_one() {
    let mut device = managed(&[]);
    let before = told("2.3.0", Some(campaign(FirmwareProgress::Updating, "")));
    device.status = Some(before.status);
    let after = planned(&device, &values(registered("U"), &["/3/0/3=2.3.0"]));
    assert!(!conditions(&after).contains("FirmwareCurrent"));
    let firmware = after.status.firmware.unwrap();
    assert_eq!((firmware.rollout, firmware.target_version), (None, None));
    assert_eq!(firmware.current_version.as_deref(), Some("2.3.0"));
    assert_eq!(told("", None).status.firmware, None);
}
