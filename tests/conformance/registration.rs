//! Registration, 101 to 111.

use std::time::Duration;

use lwm2m::{Binding, Lifetime, QueueMode};
use lwm2m_client::{Event, ProfileId, RegistrationFailure};
use serde_json::Value as Json;
use tests::LiveDevice;

use crate::cases::{Case, long, short};
use crate::channel::{Carrier, Channel};
use crate::stage::{PROFILE_ID, Stage};

/// Until a device that is gone has lost its registration: the lifetime and what is granted beyond.
const EXPIRY: Duration = Duration::from_mins(4);

/// Until a device in queue mode stops listening, and more.
const ASLEEP: Duration = Duration::from_secs(120);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        short("1.1-int-101", "Initial registration", initial),
        long("1.1-int-102", "Registration update, and expiry", update),
        short("1.1-int-103", "Deregistration", deregistration),
        short("1.1-int-104", "Update trigger", trigger),
        long("1.1-int-105", "Discarded update", discarded),
        short("1.1-int-106", "TCP binding", on_tcp),
        short("1.1-int-107", "Longer lifetime", longer),
        short("1.1-int-108", "Queue mode on", queue_mode),
        long("1.1-int-109", "Queue mode: behaviour", queue_behaviour),
        short("1.2-int-110", "Profile ID", profile_id),
        short(
            "1.2-int-111",
            "Profile ID and objects",
            profile_id_and_objects,
        ),
    ]
}

fn is_updated(event: &Event) -> bool {
    *event == Event::Updated
}

pub(crate) fn wait_for_updates(device: &LiveDevice, count: usize) {
    device.wait_for("an Update", count, is_updated);
}

fn has_lifetime(seconds: i64) -> impl Fn(&Json) -> bool {
    move |shown| shown["lifetimeSeconds"] == seconds
}

pub(crate) fn is_gone(shown: &Json) -> bool {
    shown["state"] == "NotRegistered" || shown["state"] == "Unknown"
}

fn initial(stage: &Stage, id: &str) {
    let peer = stage.peer(id);
    let shown = stage.shown(id);
    assert_eq!(shown["state"], "Registered", "{shown}");
    assert_eq!(shown["lwm2mVersion"], peer.version(), "{shown}");
    assert_eq!(shown["lifetimeSeconds"], 300, "{shown}");
    assert_eq!(shown["binding"], "U", "{shown}");
    let objects = shown["objects"].as_array().unwrap();
    assert!(objects.contains(&"/3/0".into()), "{shown}");
    // Security and OSCORE are not told to a server (Core 1.2 §6.2.1).
    let told = |object: &str| {
        objects
            .iter()
            .any(|one| one.as_str().unwrap().starts_with(object))
    };
    assert!(!told("/0/") && !told("/21/"), "{shown}");
}

fn update(stage: &Stage, id: &str) {
    let device = stage.device(id);
    stage.ok(&["write", id, "/1/0/1", "20"]);
    wait_for_updates(&device, 1);
    stage.until_shown("the new lifetime", id, has_lifetime(20));
    drop(device);
    stage.until_shown_within(EXPIRY, "the end of the registration", id, is_gone);
}

fn deregistration(stage: &Stage, id: &str) {
    let device = stage.device(id);
    stage.ok(&["exec", id, "/1/0/4"]);
    device.wait_for("Deregister", 1, |event| *event == Event::Deregistered);
    stage.until_shown("the end of the registration", id, is_gone);
}

fn trigger(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let before = stage.shown(id);
    stage.ok(&["exec", id, "/1/0/8"]);
    wait_for_updates(&device, 1);
    stage.until_shown("a longer registration", id, |shown| {
        shown["expireTime"].as_str() > before["expireTime"].as_str()
            && shown["registrationId"] == before["registrationId"]
            && shown["lifetimeSeconds"] == before["lifetimeSeconds"]
    });
}

fn discarded(stage: &Stage, id: &str) {
    let device = stage.device_of(id, |config| {
        config.lifetime = Lifetime::from_secs(10);
        config.update_interval = Some(Duration::from_hours(1));
    });
    let before = stage.shown(id);
    stage.until_shown_within(EXPIRY, "the end of the registration", id, is_gone);
    device.with(lwm2m_client::Device::update);
    device.wait_for("4.04", 1, |event| {
        let Event::UpdateFailed { reason, .. } = event else {
            return false;
        };
        matches!(reason, RegistrationFailure::Refused(code) if code.to_string().starts_with("4.04"))
    });
    stage.until_shown("another registration", id, |shown| {
        shown["state"] == "Registered" && shown["registrationId"] != before["registrationId"]
    });
}

fn longer(stage: &Stage, id: &str) {
    let device = stage.device_of(id, |config| config.lifetime = Lifetime::from_secs(60));
    stage.ok(&["write", id, "/1/0/1", "120"]);
    wait_for_updates(&device, 1);
    stage.until_shown("the new lifetime", id, has_lifetime(120));
    assert_eq!(stage.value(id, "/1/0/1"), "120");
}

fn queued(stage: &Stage, id: &str) -> LiveDevice {
    stage.device_of(id, |config| {
        config.binding = Binding::UDP.with_queue_mode(QueueMode::On);
    })
}

fn queue_mode(stage: &Stage, id: &str) {
    let _device = queued(stage, id);
    let shown = stage.shown(id);
    assert_eq!(shown["binding"], "UQ", "{shown}");
}

fn queue_behaviour(stage: &Stage, id: &str) {
    let device = queued(stage, id);
    device.wait_for_within(ASLEEP, "sleep", 1, |event| *event == Event::FellAsleep);
    stage.ok(&[
        "write",
        id,
        "/3/0/14",
        "+02:00",
        "--no-wait",
        "--timeout",
        "5m",
    ]);
    let listed = stage.json(&["operations", "list", id]);
    assert_eq!(listed["operations"][0]["state"], "Pending", "{listed}");
    assert_eq!(
        device.count(|event| matches!(event, Event::Written { .. })),
        0
    );
    device.with(lwm2m_client::Device::update);
    device.wait_for("the write", 1, |event| {
        matches!(event, Event::Written { .. })
    });
    assert_eq!(stage.value(id, "/3/0/14"), "+02:00");
}

fn on_tcp(stage: &Stage, id: &str) {
    let channel = Channel::open(stage.ingress("tcp"), &Carrier::Tcp).unwrap();
    let _device = stage.device_on(channel, id, |config| config.binding = Binding::TCP);
    let shown = stage.shown(id);
    assert_eq!(
        (&shown["transport"], &shown["binding"]),
        (&"TCP".into(), &"T".into()),
        "{shown}"
    );
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
}

fn profile_id(stage: &Stage, id: &str) {
    registered_by_profile(stage, id, Vec::new(), &["/1/0", "/3/0", "/3303/0"]);
}

fn profile_id_and_objects(stage: &Stage, id: &str) {
    let objects = ["/1/0", "/3/0", "/3303/0", "/4/0"];
    registered_by_profile(stage, id, vec![4], &objects);
}

/// A device registers at once with its profile id and objects besides; what the server knows of it, and can read.
fn registered_by_profile(stage: &Stage, id: &str, besides: Vec<u16>, objects: &[&str]) {
    let device = stage.device_of(id, |config| {
        config.profile_id = Some(ProfileId {
            id: PROFILE_ID.to_owned(),
            besides,
        });
    });
    let refused = |event: &Event| matches!(event, Event::RegistrationFailed { .. });
    assert_eq!(device.count(refused), 0);
    let shown = stage.shown(id);
    let mut known: Vec<&str> = shown["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Json::as_str)
        .collect();
    known.sort_unstable();
    assert_eq!(known, objects, "{shown}");
    for object in objects {
        assert!(!stage.read(&[id, *object]).is_empty(), "{object}");
    }
}
