//! The Firmware Update object, 751 to 779.

use lwm2m_client::{Config, Event, FirmwareBehaviour, FirmwareState, PullProtocol};
use tests::{LiveDevice, PackageServer};

use crate::cases::{Case, short};
use crate::reporting::Observer;
use crate::stage::Stage;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        short("1.1-int-751", "Firmware Update: read", read),
        short(
            "1.1-int-755",
            "Firmware Update: write the package",
            write_package,
        ),
        short("1.1-int-756", "Firmware Update: write the URI", write_uri),
        short(
            "1.1-int-760",
            "Firmware Update: observe the state",
            observe_state,
        ),
        short("1.1-int-770", "Firmware Update: pushed", pushed),
        short("1.1-int-771", "Firmware Update: pulled", pulled),
        short(
            "1.1-int-772",
            "Firmware Update without a package",
            without_package,
        ),
        short(
            "1.1-int-773",
            "Firmware Update: not enough flash",
            no_storage,
        ),
        short("1.1-int-774", "Firmware Update: not enough RAM", no_memory),
        short(
            "1.1-int-775",
            "Firmware Update: connection lost",
            connection_lost,
        ),
        short("1.1-int-776", "Firmware Update: integrity", no_integrity),
        short(
            "1.1-int-777",
            "Firmware Update: type of package",
            unsupported_type,
        ),
        short("1.1-int-778", "Firmware Update: URI", invalid_uri),
        short("1.1-int-779", "Firmware Update that fails", update_fails),
    ]
}

/// A package that installs as 2.0.0, of several blocks.
fn content() -> Vec<u8> {
    let mut content = b"meter 2.0.0\n".to_vec();
    content.resize(5000, 0xa5);
    content
}

/// Resets the state machine with one zero byte, and pushes the package.
fn push(stage: &Stage, id: &str) {
    let reset = [id, "PUT", "/5/0/0", "--format", "opaque", "--hex", "00"];
    assert_eq!(stage.raw(&reset).0, "2.04");
    let file = stage.file(&format!("{id}.bin"), &content());
    let write = [id, "PUT", "/5/0/0", "--format", "opaque", "--file", &file];
    assert_eq!(stage.raw(&write).0, "2.04");
}

fn wait_for(device: &LiveDevice, wanted: (FirmwareState, u8)) {
    device.wait_for(&format!("{wanted:?}"), 1, |event| {
        matches!(event, Event::FirmwareChanged { state, result } if (*state, *result) == wanted)
    });
}

/// The device, when its package is there.
fn downloaded(stage: &Stage, id: &str, behaviour: FirmwareBehaviour) -> LiveDevice {
    let device = stage.device_of(id, |config| config.firmware = behaviour);
    push(stage, id);
    wait_for(&device, (FirmwareState::Downloaded, 0));
    assert_eq!(stage.value(id, "/5/0/3"), "2");
    device
}

fn read(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let read = stage.read(&[id, "/5/0"]);
    for path in ["/5/0/3", "/5/0/5", "/5/0/9"] {
        assert!(read.iter().any(|(known, _)| known == path), "{read:?}");
    }
    // What can only be written is not read.
    assert!(!read.iter().any(|(path, _)| path == "/5/0/0"), "{read:?}");
}

fn write_package(stage: &Stage, id: &str) {
    let _device = downloaded(stage, id, FirmwareBehaviour::Succeeds);
    assert_eq!(stage.value(id, "/5/0/7"), "2.0.0");
}

fn observe_state(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let observer = Observer::start(stage, id, &["/5/0/3"]);
    push(stage, id);
    observer.until("every state", |messages| {
        let states = messages.iter().map(|values| values[0].1.as_str());
        states.eq(["0", "1", "2"])
    });
}

fn pushed(stage: &Stage, id: &str) {
    let device = downloaded(stage, id, FirmwareBehaviour::Succeeds);
    assert_installs(stage, &device);
}

/// Starts the update, and waits for a device with the new version.
fn assert_installs(stage: &Stage, device: &LiveDevice) {
    let id = &device.endpoint;
    stage.ok(&["exec", id, "/5/0/2"]);
    device.wait_for("a registration after the update", 2, |event| {
        matches!(event, Event::Registered { .. })
    });
    assert_eq!(stage.value(id, "/5/0/5"), "1");
    assert_eq!(stage.value(id, "/5/0/3"), "0");
    assert_eq!(stage.value(id, "/3/0/3"), "2.0.0");
}

fn without_package(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.refused("4.05", &["exec", id, "/5/0/2"]);
    assert_eq!(stage.value(id, "/5/0/3"), "0");
}

/// The package is refused after it came, with a result.
fn refused(stage: &Stage, id: &str, behaviour: FirmwareBehaviour, result: u8) {
    let device = stage.device_of(id, |config| config.firmware = behaviour);
    push(stage, id);
    wait_for(&device, (FirmwareState::Idle, result));
    assert_eq!(stage.value(id, "/5/0/3"), "0");
    assert_eq!(stage.value(id, "/5/0/5"), result.to_string());
    assert_eq!(stage.value(id, "/3/0/3"), "1.0.0");
}

/// A device that pulls over CoAP.
fn pulling(stage: &Stage, id: &str, change: impl FnOnce(&mut Config)) -> LiveDevice {
    let device = stage.device_of(id, |config| {
        config.pull = vec![PullProtocol::Coap];
        change(config);
    });
    assert_eq!(stage.read(&[id, "/5/0/8"])[0].1, "0");
    assert_eq!(stage.value(id, "/5/0/9"), "2");
    device
}

/// The URI is written, and the pull ends with a result.
fn assert_pull_fails(stage: &Stage, device: &LiveDevice, uri: &str, result: u8) {
    let id = &device.endpoint;
    stage.ok(&["write", id, "/5/0/1", uri]);
    wait_for(device, (FirmwareState::Idle, result));
    assert_eq!(stage.value(id, "/5/0/3"), "0");
    assert_eq!(stage.value(id, "/5/0/5"), result.to_string());
    assert_eq!(stage.value(id, "/3/0/3"), "1.0.0");
}

fn write_uri(stage: &Stage, id: &str) {
    let device = pulling(stage, id, |_| {});
    let server = PackageServer::that_falls_silent(&content());
    stage.ok(&["write", id, "/5/0/1", &server.uri()]);
    assert_eq!(stage.value(id, "/5/0/1"), server.uri());
    wait_for(&device, (FirmwareState::Downloading, 0));
    let reset = [id, "PUT", "/5/0/1", "--format", "text", "--hex", ""];
    assert_eq!(stage.raw(&reset).0, "2.04");
    assert_eq!(stage.value(id, "/5/0/1"), "");
    assert_eq!(stage.value(id, "/5/0/3"), "0");
    assert_eq!(stage.value(id, "/5/0/5"), "0");
}

fn pulled(stage: &Stage, id: &str) {
    let device = pulling(stage, id, |_| {});
    let observer = Observer::start(stage, id, &["/5/0/3"]);
    let server = PackageServer::start(&content());
    stage.ok(&["write", id, "/5/0/1", &server.uri()]);
    observer.until("every state", |messages| {
        let states = messages.iter().map(|values| values[0].1.as_str());
        states.eq(["0", "1", "2"])
    });
    assert_eq!(stage.value(id, "/5/0/7"), "2.0.0");
    assert_installs(stage, &device);
}

fn no_memory(stage: &Stage, id: &str) {
    let device = pulling(stage, id, |config| config.max_package = 4999);
    let server = PackageServer::start(&content());
    assert_pull_fails(stage, &device, &server.uri(), 3);
}

fn connection_lost(stage: &Stage, id: &str) {
    let device = pulling(stage, id, |_| {});
    let server = PackageServer::that_falls_silent(&content());
    assert_pull_fails(stage, &device, &server.uri(), 4);
}

fn unsupported_type(stage: &Stage, id: &str) {
    let device = pulling(stage, id, |config| {
        config.firmware = FirmwareBehaviour::FailsDownload(6);
    });
    let server = PackageServer::start(&content());
    assert_pull_fails(stage, &device, &server.uri(), 6);
}

fn invalid_uri(stage: &Stage, id: &str) {
    let device = pulling(stage, id, |_| {});
    let server = PackageServer::start(&content());
    assert_pull_fails(stage, &device, &server.uri_of("nothing"), 7);
    // Of a protocol that the device does not name in /5/0/8 the result is 9, not 7.
    assert_pull_fails(stage, &device, "https://127.0.0.1/packages/meter", 9);
    assert_pull_fails(stage, &device, "coap:packages/meter", 7);
}

fn no_storage(stage: &Stage, id: &str) {
    refused(stage, id, FirmwareBehaviour::FailsDownload(2), 2);
}

fn no_integrity(stage: &Stage, id: &str) {
    refused(stage, id, FirmwareBehaviour::FailsDownload(5), 5);
}

fn update_fails(stage: &Stage, id: &str) {
    let device = downloaded(stage, id, FirmwareBehaviour::FailsUpdate);
    stage.ok(&["exec", id, "/5/0/2"]);
    wait_for(&device, (FirmwareState::Downloaded, 8));
    assert_eq!(stage.value(id, "/5/0/5"), "8");
    assert_eq!(stage.value(id, "/3/0/3"), "1.0.0");
}
