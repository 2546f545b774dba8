//! Objects: Device, Connectivity Monitoring and the like, from 551.

use lwm2m::Value;

use crate::cases::{Case, delegated, not_run, short};
use crate::registration::wait_for_updates;
use crate::reporting::Observer;
use crate::stage::Stage;

const NO_PROCEDURE: &str = "what the procedure asks for was not looked up";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        delegated("1.1-int-551", "1.1-int-215"),
        delegated("1.1-int-556", "1.1-int-104"),
        delegated("1.1-int-655", "1.1-int-241"),
        delegated("1.1-int-660", "1.1-int-301"),
        short(
            "1.1-int-651",
            "Device: write time and time zone",
            write_time,
        ),
        short("1.1-int-652", "Device: firmware version", firmware_version),
        short("1.1-int-680", "Device: Create", create_device),
        short("1.1-int-685", "Device: Delete", delete_device),
        short(
            "1.1-int-701",
            "Connectivity Monitoring: read",
            read_connectivity,
        ),
        short(
            "1.1-int-710",
            "Connectivity Monitoring: observe",
            observe_connectivity,
        ),
        short("1.1-int-801", "Location: read", read_location),
        short("1.1-int-810", "Location: observe", observe_location),
        short("1.1-int-901", "Connectivity Statistics: collect", collect),
        short("1.1-int-905", "Connectivity Statistics: period", period),
        short(
            "1.1-int-910",
            "Connectivity Statistics: observe",
            observe_statistics,
        ),
    ];
    cases.extend(additional());
    cases
}

fn additional() -> Vec<Case> {
    vec![
        short("1.1-int-1200", "Cellular Connectivity: read", read_cellular),
        short(
            "1.1-int-1201",
            "Cellular Connectivity 1.1: read",
            read_cellular_1_1,
        ),
        short(
            "1.1-int-1202",
            "Cellular Connectivity: set power saving",
            set_power_saving,
        ),
        not_run("1.1-int-1203", "Cellular Connectivity", NO_PROCEDURE),
        not_run("1.1-int-1204", "Cellular Connectivity", NO_PROCEDURE),
        not_run(
            "CONMGMT-1.1-int-1250",
            "APN profile",
            "the test device does not dial with a profile",
        ),
        short("CONMGMT-1.1-int-1350", "Change of bearer", change_bearer),
        short("1.1-int-1630", "Portfolio: create", create_portfolio),
        short("1.1-int-1635", "Portfolio: delete", delete_portfolio),
        short("1.1-int-1900", "Binary App Data: observe", observe_binary),
        short("1.1-int-1901", "Binary App Data: write", write_binary),
        short("1.1-int-2000", "Event Log: write", write_log),
        short("1.1-int-2001", "Event Log: read", read_log),
    ]
}

/// Asserts that a read has these paths at least.
fn assert_readable(stage: &Stage, id: &str, path: &str, wanted: &[&str]) {
    let read = stage.read(&[id, path]);
    for path in wanted {
        assert!(
            read.iter().any(|(known, _)| known == path),
            "{path} in {read:?}"
        );
    }
}

/// Observes, and expects the value that the device has afterwards.
fn observe_change(
    stage: &Stage,
    id: &str,
    observed_path: &str,
    path: &str,
    value: Value,
    text: &str,
) {
    let device = stage.device(id);
    let observer = Observer::start(stage, id, &[observed_path]);
    let changed = (path.to_owned(), text.to_owned());
    device.set(path, value);
    observer.until("the new value", |messages| {
        !messages[0].contains(&changed)
            && messages.last().is_some_and(|last| last.contains(&changed))
    });
}

fn write_time(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    // Current Time, UTC Offset, Timezone (12 bytes, length in a byte of its own).
    let values = format!(
        "c40d5182428fc60e{}c80f0c{}",
        hex::encode("+02:00"),
        hex::encode("Europe/Paris")
    );
    let write = [id, "POST", "/3/0", "--format", "tlv", "--hex", &values];
    assert_eq!(stage.raw(&write).0, "2.04");
    // 0x5182428f is 2013-05-02T10:40:15Z; the clock goes on from there.
    let time = stage.value(id, "/3/0/13");
    assert!(time.starts_with("2013-05-02T10:4"), "{time}");
    assert_eq!(stage.value(id, "/3/0/14"), "+02:00");
    assert_eq!(stage.value(id, "/3/0/15"), "Europe/Paris");
}

fn firmware_version(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    assert_eq!(stage.value(id, "/3/0/3"), "1.0.0");
}

fn create_device(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let create = [
        id,
        "POST",
        "/3",
        "--format",
        "tlv",
        "--hex",
        "08010ac808074578616d706c65",
    ];
    assert_eq!(stage.raw(&create).0, "4.05");
}

fn delete_device(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    assert_eq!(stage.raw(&[id, "DELETE", "/3/0"]).0, "4.05");
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
}

fn read_connectivity(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let wanted = [
        "/4/0/0", "/4/0/1/0", "/4/0/2", "/4/0/4/0", "/4/0/8", "/4/0/9", "/4/0/10",
    ];
    assert_readable(stage, id, "/4/0", &wanted);
}

fn observe_connectivity(stage: &Stage, id: &str) {
    observe_change(stage, id, "/4/0", "/4/0/2", Value::Integer(-99), "-99");
}

fn read_location(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    assert_eq!(stage.value(id, "/6/0/0"), "52.52");
    assert_readable(stage, id, "/6/0", &["/6/0/0", "/6/0/1", "/6/0/5"]);
}

fn observe_location(stage: &Stage, id: &str) {
    observe_change(stage, id, "/6/0", "/6/0/0", Value::Float(48.5), "48.5");
}

fn collect(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["exec", id, "/7/0/6"]);
    assert_readable(stage, id, "/7/0", &["/7/0/2", "/7/0/3", "/7/0/4", "/7/0/5"]);
    stage.ok(&["exec", id, "/7/0/7"]);
    let largest: i64 = stage.value(id, "/7/0/4").parse().unwrap();
    assert!(largest > 0);
    // After the end it counts no more.
    assert_eq!(stage.value(id, "/7/0/4"), largest.to_string());
}

fn period(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["write", id, "/7/0/8", "20"]);
    assert_eq!(stage.value(id, "/7/0/8"), "20");
}

fn observe_statistics(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let observer = Observer::start(stage, id, &["/7/0/4", "pmin=1", "pmax=2"]);
    stage.ok(&["exec", id, "/7/0/6"]);
    observer.until("another number", |messages| {
        messages.first().is_some_and(|first| first[0].1 == "0")
            && messages.last().is_some_and(|last| last[0].1 != "0")
    });
}

fn read_cellular(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    assert_readable(
        stage,
        id,
        "/10/0",
        &["/10/0/0", "/10/0/1", "/10/0/4", "/10/0/11/0"],
    );
}

fn read_cellular_1_1(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let shown = stage.shown(id);
    assert!(shown["objectVersions"]["10"].is_string(), "{shown}");
    assert_readable(stage, id, "/10/0", &["/10/0/12", "/10/0/13"]);
}

fn set_power_saving(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["write", id, "/10/0/4", "7200"]);
    stage.ok(&["write", id, "/10/0/13", "2"]);
    assert_eq!(stage.value(id, "/10/0/4"), "7200");
    assert_eq!(stage.value(id, "/10/0/13"), "2");
}

fn change_bearer(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let before = stage.shown(id);
    device.move_away();
    device.with(lwm2m_client::Device::update);
    wait_for_updates(&device, 1);
    stage.until_shown("the new address", id, |shown| {
        shown["peer"] != before["peer"] && shown["registrationId"] == before["registrationId"]
    });
    assert_eq!(stage.value(id, "/4/0/0"), "6");
}

fn create_portfolio(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    // Instance 1 with the identities 0 and 1.
    let identity = |instance: u8, text: &str| {
        let text = text.as_bytes();
        [&[0x48, instance, text.len() as u8][..], text].concat()
    };
    let identities = [
        identity(0, "Host Device ID #1"),
        identity(1, "Host Manufacturer"),
    ]
    .concat();
    let resource = [&[0x88, 0, identities.len() as u8][..], &identities].concat();
    let instance = [&[0x08, 1, resource.len() as u8][..], &resource].concat();
    let create = [
        id,
        "POST",
        "/16",
        "--format",
        "tlv",
        "--hex",
        &hex::encode(instance),
    ];
    assert_eq!(stage.raw(&create).0, "2.01");
    assert_eq!(stage.value(id, "/16/1/0/1"), "Host Manufacturer");
    stage.until_shown("the instance", id, |shown| {
        shown["objects"]
            .as_array()
            .unwrap()
            .contains(&"/16/1".into())
    });
}

fn delete_portfolio(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["delete", id, "/16/0"]);
    stage.until_shown("no instance", id, |shown| {
        let objects = shown["objects"].as_array().unwrap();
        !objects.contains(&"/16/0".into()) && objects.contains(&"/16".into())
    });
}

fn observe_binary(stage: &Stage, id: &str) {
    let new = Value::Opaque(b"abc".to_vec());
    observe_change(stage, id, "/19/0/0", "/19/0/0/0", new, "YWJj");
}

fn write_binary(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["write", id, "/19/0/0/0", "YWJj"]);
    assert_eq!(stage.value(id, "/19/0/0/0"), "YWJj");
}

fn write_log(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["write", id, "/20/0/4010", "1"]);
    assert_eq!(stage.value(id, "/20/0/4010"), "1");
}

fn read_log(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["exec", id, "/20/0/4011"]);
    assert_eq!(stage.value(id, "/20/0/4013"), "1");
    stage.ok(&["exec", id, "/20/0/4012"]);
    assert_readable(stage, id, "/20/0", &["/20/0/4013", "/20/0/4014"]);
    assert_ne!(stage.value(id, "/20/0/4014"), "");
}
