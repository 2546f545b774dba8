use std::time::Duration;

use campaign::check;
use device_state::campaign::{
    DevicePolicy, FailureThreshold, OnFailure, Plan, Schedule, Share, Transfer, UpdateObject,
    Window,
};

use crate::rig::{plan, selector, wave};

fn sound() -> Plan {
    let mut canary = wave("canary", Share::Millionths(1_000));
    canary.selector = Some(selector());
    plan(vec![canary, wave("rest", Share::ALL)])
}

fn nights() -> Window {
    Window {
        days: 1,
        start: 60,
        end: 240,
        time_zone: "Europe/Berlin".into(),
    }
}

#[test]
fn a_sound_plan_is_taken() {
    let mut plan = sound();
    assert_eq!(check(&plan), Ok(()));
    plan.schedule = Schedule {
        windows: vec![nights(); 16],
        deadline: Some(Duration::from_hours(366 * 24)),
        ..Schedule::default()
    };
    plan.max_unavailable = Some(Share::Devices(1));
    plan.image.version = "v".repeat(128);
    plan.image.uri = format!("coap://{}", "h".repeat(248));
    assert_eq!(check(&plan), Ok(()));
    plan.waves[0].size = Share::Millionths(300_000);
    plan.waves[1].size = Share::Millionths(700_000);
    assert_eq!(check(&plan), Ok(()));
    plan.waves = (0..32)
        .map(|i| wave(&format!("w{i}"), Share::ALL))
        .collect();
    assert_eq!(check(&plan), Ok(()));
}

#[test]
fn packages_of_the_cluster_can_be_pushed_and_nothing_else() {
    let mut plan = sound();
    plan.transfer = Transfer::Push;
    let refused = check(&plan).expect_err("it is elsewhere").to_string();
    assert!(
        refused.starts_with("image.uri: only packages of the cluster"),
        "{refused}"
    );
    let elsewhere = plan.image.clone();
    plan.image.uri = format!("drover:sha256:{}", "0b".repeat(32));
    assert_eq!(check(&plan), Ok(()));
    plan.on_failure = OnFailure::Rollback;
    plan.rollback_image = Some(elsewhere);
    let refused = check(&plan).expect_err("it is elsewhere");
    assert_eq!(refused.field, "rollback_image.uri");
}

#[test]
fn bounds_of_versions_can_be_compared() {
    let mut plan = sound();
    plan.image.compatibility.minimum_version = Some("2.0.0-rc.1".to_owned());
    assert_eq!(check(&plan), Ok(()));
    plan.image.compatibility.maximum_version = Some("2.1".to_owned());
    let refused = check(&plan).expect_err("it is no semantic version");
    assert_eq!(refused.field, "image.maximum_version");
}

#[test]
fn devices_go_back_in_the_object_that_they_were_updated_in() {
    let mut plan = sound();
    plan.image.object = UpdateObject::Software(1);
    assert_eq!(check(&plan), Ok(()));
    plan.on_failure = OnFailure::Rollback;
    plan.rollback_image = Some(plan.image.clone());
    assert_eq!(check(&plan), Ok(()));
    plan.image.object = UpdateObject::Component(1);
    let refused = check(&plan).expect_err("a component does not go back to a software");
    assert_eq!(refused.field, "rollback_image.object");
    assert!(refused.problem.to_string().contains("/33629/1"));
}

#[track_caller]
fn check_refused(cases: &[(&str, fn(&mut Plan))]) {
    for (expected, spoil) in cases {
        let mut plan = sound();
        spoil(&mut plan);
        let error = check(&plan).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
}

#[test]
fn what_is_wrong_with_the_image_and_the_devices_is_told() {
    check_refused(&[
        (
            "image.name: give it at least 1 and at most 253 bytes",
            |p| p.image.name.clear(),
        ),
        (
            "image.version: give it at least 1 and at most 128 bytes",
            |p| p.image.version.clear(),
        ),
        ("image.version: give it", |p| {
            p.image.version = "v".repeat(129);
        }),
        ("image.uri: give it at least 1 and at most 255 bytes", |p| {
            p.image.uri = "u".repeat(256);
        }),
        ("image.uri: use printable ASCII", |p| {
            p.image.uri = "coap://a b".into();
        }),
        ("seed: give at most 63", |p| p.seed = "s".repeat(64)),
        ("max_unavailable: give at least", |p| {
            p.max_unavailable = Some(Share::Devices(0));
        }),
        ("device.wake_up_deadline: give at least", |p| {
            p.device.wake_up_deadline = Duration::ZERO;
        }),
        ("device.download_timeout: give", |p| {
            p.device.download_timeout = Duration::MAX;
        }),
        ("device.install_timeout: give", |p| {
            p.device.install_timeout = Duration::ZERO;
        }),
        ("device.retry_backoff: give", |p| {
            p.device.retry_backoff = Duration::ZERO;
        }),
        ("device.retries: give at most 10", |p| {
            p.device = DevicePolicy {
                retries: 11,
                ..DevicePolicy::default()
            };
        }),
        ("device.minimum_battery: give at most 100", |p| {
            p.device.minimum_battery = 101;
        }),
    ]);
}

#[test]
fn what_is_wrong_with_a_wave_is_told() {
    check_refused(&[
        ("waves: give at least 1 and at most 32", |p| p.waves.clear()),
        ("waves: give at least 1 and at most 32", |p| {
            p.waves = vec![wave("w", Share::ALL); 33];
        }),
        ("waves[1].name: another wave has this name", |p| {
            p.waves[1].name = "canary".into();
        }),
        ("waves[0].name: give it at least 1 and at most 63", |p| {
            p.waves[0].name.clear();
        }),
        ("waves[0].name: use letters, digits", |p| {
            p.waves[0].name = "-a".into();
        }),
        ("waves[0].name: use letters, digits", |p| {
            p.waves[0].name = "a b".into();
        }),
        ("waves[0].size: give at least 1 device", |p| {
            p.waves[0].size = Share::Devices(0);
        }),
        ("waves[0].size: give at least 1 device", |p| {
            p.waves[0].size = Share::Millionths(0);
        }),
        ("waves[0].size: give at least", |p| {
            p.waves[0].size = Share::Millionths(1_000_001);
        }),
        ("waves[1].size: the last wave takes everybody", |p| {
            p.waves[1].size = Share::Devices(9);
        }),
        ("waves[1].size: the last wave", |p| {
            p.waves[1].size = Share::Millionths(900_000);
        }),
        ("waves[1].max_concurrent: give at least", |p| {
            p.waves[1].max_concurrent = Share::Millionths(0);
        }),
        (
            "waves[0].success_threshold: give a part of at most 100 %",
            |p| {
                p.waves[0].success_threshold = 1_000_001;
            },
        ),
        (
            "waves[0].failure_threshold.devices: give at least 1 device, or",
            |p| {
                p.waves[0].failure_threshold = FailureThreshold {
                    devices: Some(0),
                    millionths: None,
                };
            },
        ),
        ("waves[0].failure_threshold.millionths: give a part", |p| {
            p.waves[0].failure_threshold.millionths = Some(1_000_001);
        }),
        ("waves[0].soak: give at most 366 days", |p| {
            p.waves[0].soak = Duration::MAX;
        }),
    ]);
}

#[test]
fn what_is_wrong_with_the_schedule_is_told() {
    check_refused(&[
        ("schedule.windows: give at most 16", |p| {
            p.schedule.windows = vec![nights(); 17];
        }),
        ("schedule.windows[0].days: name", |p| {
            p.schedule.windows = vec![Window {
                days: 0,
                ..nights()
            }];
        }),
        ("schedule.windows[1].days: name", |p| {
            p.schedule.windows = vec![
                nights(),
                Window {
                    days: 128,
                    ..nights()
                },
            ];
        }),
        ("schedule.windows[0].start: give a time of day", |p| {
            p.schedule.windows = vec![Window {
                start: 1440,
                ..nights()
            }];
        }),
        ("schedule.windows[0].end: give a time of day", |p| {
            p.schedule.windows = vec![Window {
                end: u16::MAX,
                ..nights()
            }];
        }),
        (
            "schedule.windows[0].time_zone: no time zone of the IANA database",
            |p| {
                p.schedule.windows = vec![Window {
                    time_zone: "Europe/Atlantis".into(),
                    ..nights()
                }];
            },
        ),
        (
            "schedule.deadline: give at least 1 second and at most 366 days",
            |p| {
                p.schedule.deadline = Some(Duration::from_millis(999));
            },
        ),
    ]);
}

#[test]
fn no_more_than_all_devices_can_be_lost() {
    let mut plan = sound();
    for (part, is_sound) in [(0, true), (1_000_000, true), (1_000_001, false)] {
        plan.pause_when_unreachable = Some(part);
        assert_eq!(check(&plan).is_ok(), is_sound, "{part}");
    }
    let wrong = check(&plan).expect_err("more than all").field;
    assert_eq!(wrong, "pause_when_unreachable");
}

#[test]
fn a_pace_is_between_a_microsecond_and_a_day() {
    let mut plan = sound();
    for (every, is_sound) in [
        (Duration::ZERO, false),
        (Duration::from_micros(1), true),
        (Duration::from_secs(86_400), true),
        (Duration::from_secs(86_401), false),
    ] {
        plan.begin_every = Some(every);
        assert_eq!(check(&plan).is_ok(), is_sound, "{every:?}");
    }
}
