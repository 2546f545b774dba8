//! Whose turn it is, of the devices of a profile.

use campaign::{Hold, check_rollout, release};
use device_state::Timestamp;
use device_state::campaign::{Share, Window};
use device_state::profile::{ProfileRollout, ProfileTally};

// 2026-01-05, a Monday, 00:00 UTC.
const MONDAY: u64 = 1_767_571_200_000;
const HOUR: u64 = 3_600_000;

fn rollout(max_concurrent: Share) -> ProfileRollout {
    ProfileRollout {
        max_concurrent,
        failure_threshold: None,
        windows: Vec::new(),
    }
}

fn waiting(waiting: u64) -> ProfileTally {
    ProfileTally {
        waiting,
        ..ProfileTally::default()
    }
}

#[test]
fn as_many_begin_as_may_be_on_their_way() {
    let now = Timestamp(MONDAY);
    let one_in_fifty = rollout(Share::Millionths(20_000));
    assert_eq!(release(&one_in_fifty, &waiting(1_000), now), Ok(20));
    let begun = ProfileTally {
        pending: 15,
        in_sync: 85,
        unregistered: 100,
        ..waiting(800)
    };
    assert_eq!(release(&one_in_fifty, &begun, now), Ok(5));
    let full = ProfileTally {
        pending: 30,
        ..begun
    };
    assert_eq!(release(&one_in_fifty, &full, now), Ok(0));
    // Of a few devices it is one at least.
    assert_eq!(release(&one_in_fifty, &waiting(3), now), Ok(1));
}

#[test]
fn nobody_begins_when_too_many_have_refused() {
    let mut careful = rollout(Share::Devices(20));
    careful.failure_threshold = Some(Share::Millionths(10_000));
    let now = Timestamp(MONDAY);
    let some = ProfileTally {
        rejected: 1,
        ..waiting(199)
    };
    assert_eq!(release(&careful, &some, now), Ok(20));
    let many = ProfileTally {
        rejected: 2,
        ..waiting(198)
    };
    assert_eq!(release(&careful, &many, now), Err(Hold::Failures));
    // There is nobody left to be kept from it.
    let over = ProfileTally {
        rejected: 200,
        ..waiting(0)
    };
    assert!(release(&careful, &over, now).is_ok());
}

#[test]
fn nobody_begins_outside_the_windows() {
    let mut nightly = rollout(Share::Devices(1));
    nightly.windows.push(Window {
        days: 1,
        start: 22 * 60,
        end: 4 * 60,
        time_zone: "UTC".to_owned(),
    });
    let at = |hour: u64| release(&nightly, &waiting(9), Timestamp(MONDAY + hour * HOUR));
    assert_eq!(at(21), Err(Hold::Window));
    assert_eq!(at(22), Ok(1));
    assert_eq!(at(27), Ok(1));
    assert_eq!(at(28), Err(Hold::Window));
}

#[test]
fn a_rollout_that_lets_nobody_begin_is_refused() {
    assert_eq!(check_rollout(&rollout(Share::Devices(1))), Ok(()));
    let field = |rollout: &ProfileRollout| {
        let refused = check_rollout(rollout).err();
        refused.map(|refused| refused.field).unwrap_or_default()
    };
    assert_eq!(field(&rollout(Share::Devices(0))), "max_concurrent");
    assert_eq!(field(&rollout(Share::Millionths(0))), "max_concurrent");
    let mut never = rollout(Share::Devices(1));
    never.failure_threshold = Some(Share::Devices(0));
    assert_eq!(field(&never), "failure_threshold");
    let mut late = rollout(Share::ALL);
    late.failure_threshold = Some(Share::Devices(1));
    assert_eq!(field(&late), "max_concurrent");
    let mut nowhere = rollout(Share::ALL);
    nowhere.windows.push(Window {
        days: 1,
        start: 0,
        end: 60,
        time_zone: "Mars/Olympus".to_owned(),
    });
    assert_eq!(field(&nowhere), "windows[0].time_zone");
}
