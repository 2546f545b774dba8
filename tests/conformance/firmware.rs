//! The Firmware Update object, 751 to 779.

use lwm2m_client::{Event, FirmwareBehaviour, FirmwareState};

use crate::cases::{Case, not_run, short};
use crate::device::CaseDevice;
use crate::reporting::Observer;
use crate::stage::Stage;

const PULL: &str = "the test device does not pull; packages are pushed";
const NO_SUCH: &str = "the test device has no such failure";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        short("1.1-int-751", "Firmware Update: read", read),
        short(
            "1.1-int-755",
            "Firmware Update: write the package",
            write_package,
        ),
        not_run("1.1-int-756", "Firmware Update: write the URI", PULL),
        short(
            "1.1-int-760",
            "Firmware Update: observe the state",
            observe_state,
        ),
        short("1.1-int-770", "Firmware Update: pushed", pushed),
        not_run("1.1-int-771", "Firmware Update: pulled", PULL),
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
        not_run("1.1-int-774", "Firmware Update: not enough RAM", NO_SUCH),
        not_run("1.1-int-775", "Firmware Update: connection lost", PULL),
        short("1.1-int-776", "Firmware Update: integrity", no_integrity),
        not_run("1.1-int-777", "Firmware Update: type of package", NO_SUCH),
        not_run("1.1-int-778", "Firmware Update: URI", PULL),
        short("1.1-int-779", "Firmware Update that fails", update_fails),
    ]
}

/// A package that installs as 2.0.0, of several blocks.
fn package(stage: &Stage, id: &str) -> String {
    let mut content = b"meter 2.0.0\n".to_vec();
    content.resize(5000, 0xa5);
    stage.file(&format!("{id}.bin"), &content)
}

/// Resets the state machine with one zero byte, and pushes the package.
fn push(stage: &Stage, id: &str) {
    let reset = [id, "PUT", "/5/0/0", "--format", "opaque", "--hex", "00"];
    assert_eq!(stage.raw(&reset).0, "2.04");
    let file = package(stage, id);
    let write = [id, "PUT", "/5/0/0", "--format", "opaque", "--file", &file];
    assert_eq!(stage.raw(&write).0, "2.04");
}

fn wait_for(device: &CaseDevice, wanted: (FirmwareState, u8)) {
    device.wait_for(&format!("{wanted:?}"), 1, |event| {
        matches!(event, Event::FirmwareChanged { state, result } if (*state, *result) == wanted)
    });
}

/// The device, when its package is there.
fn downloaded(stage: &Stage, id: &str, behaviour: FirmwareBehaviour) -> CaseDevice {
    let device = stage.device_of(id, |config| config.firmware = behaviour);
    push(stage, id);
    wait_for(&device, (FirmwareState::Downloaded, 0));
    assert_eq!(stage.value(id, "/5/0/3"), "2");
    device
}

fn read(stage: &Stage, id: &str) {
    let _device = stage.device(id);
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
    let _device = stage.device(id);
    let observer = Observer::start(stage, id, &["/5/0/3"]);
    push(stage, id);
    observer.until("every state", |messages| {
        let states = messages.iter().map(|values| values[0].1.as_str());
        states.eq(["0", "1", "2"])
    });
}

fn pushed(stage: &Stage, id: &str) {
    let device = downloaded(stage, id, FirmwareBehaviour::Succeeds);
    stage.ok(&["exec", id, "/5/0/2"]);
    device.wait_for("a registration after the update", 2, |event| {
        matches!(event, Event::Registered { .. })
    });
    assert_eq!(stage.value(id, "/5/0/5"), "1");
    assert_eq!(stage.value(id, "/5/0/3"), "0");
    assert_eq!(stage.value(id, "/3/0/3"), "2.0.0");
}

fn without_package(stage: &Stage, id: &str) {
    let _device = stage.device(id);
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

fn no_storage(stage: &Stage, id: &str) {
    refused(stage, id, FirmwareBehaviour::OutOfStorage, 2);
}

fn no_integrity(stage: &Stage, id: &str) {
    refused(stage, id, FirmwareBehaviour::FailsIntegrityCheck, 5);
}

fn update_fails(stage: &Stage, id: &str) {
    let device = downloaded(stage, id, FirmwareBehaviour::FailsUpdate);
    stage.ok(&["exec", id, "/5/0/2"]);
    wait_for(&device, (FirmwareState::Downloaded, 8));
    assert_eq!(stage.value(id, "/5/0/5"), "8");
    assert_eq!(stage.value(id, "/3/0/3"), "1.0.0");
}
