#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

const STEP: Duration = Duration::from_secs(1);

fn firmware(behaviour: FirmwareBehaviour) -> Firmware {
    let config = Config {
        firmware: behaviour,
        firmware_step: STEP,
        max_package: 100,
        pull: vec![PullProtocol::Coap, PullProtocol::CoapTls],
        ..Config::new(lwm2m::EndpointName::new("device-1").unwrap())
    };
    Firmware::new(&config, 0)
}

fn pushed(behaviour: FirmwareBehaviour) -> (Firmware, Instant) {
    let now = Instant::now();
    let mut firmware = firmware(behaviour);
    firmware.push(now, b"app 2.1.0\n\x7fELF").unwrap();
    assert_eq!(firmware.state(), FirmwareState::Downloading);
    (firmware, now + STEP)
}

fn wanted(firmware: &mut Firmware) -> PullId {
    firmware.pull("coap://h/1").unwrap().unwrap().id
}

#[test]
fn a_pushed_package_is_installed_on_command() {
    let (mut firmware, now) = pushed(FirmwareBehaviour::Succeeds);
    assert_eq!(firmware.update(now), Err(WrongState));
    assert_eq!(firmware.handle_timeout(now), Some(Step::Changed));
    assert_eq!(firmware.state(), FirmwareState::Downloaded);
    firmware.update(now).unwrap();
    let installed = firmware.handle_timeout(now + STEP);
    let Some(Step::Install(package)) = installed else {
        panic!("{installed:?}");
    };
    assert_eq!(
        (package.name.as_str(), package.version.as_str()),
        ("app", "2.1.0")
    );
    assert_eq!(
        (firmware.state(), firmware.result()),
        (FirmwareState::Idle, 1)
    );
}

#[test]
fn a_failed_update_keeps_the_package() {
    let (mut firmware, now) = pushed(FirmwareBehaviour::FailsUpdate);
    firmware.handle_timeout(now);
    firmware.update(now).unwrap();
    assert_eq!(firmware.handle_timeout(now + STEP), Some(Step::Changed));
    assert_eq!(
        (firmware.state(), firmware.result()),
        (FirmwareState::Downloaded, 8)
    );
}

#[test]
fn a_broken_package_is_dropped() {
    let (mut firmware, now) = pushed(FirmwareBehaviour::FailsDownload(5));
    assert_eq!(firmware.handle_timeout(now), Some(Step::Changed));
    assert_eq!(
        (firmware.state(), firmware.result()),
        (FirmwareState::Idle, 5)
    );
}

#[test]
fn an_empty_package_resets() {
    let (mut firmware, now) = pushed(FirmwareBehaviour::Succeeds);
    firmware.handle_timeout(now);
    firmware.push(now, &[0]).unwrap();
    assert_eq!(firmware.state(), FirmwareState::Idle);
    assert_eq!(firmware.timeout(), None);
}
#[test]
fn uris_that_lead_nowhere_are_not_pulled() {
    let mut firmware = firmware(FirmwareBehaviour::Succeeds);
    for (uri, result) in [
        ("coap", 7),
        ("coap:/h/1", 7),
        ("coap:///1", 7),
        ("://h/1", 7),
        ("0coap://h/1", 7),
        ("co ap://h/1", 7),
        ("coap://h/a b", 7),
        ("coap://h\u{e4}/1", 7),
        ("http://h/1", 9),
        ("coaps://h/1", 9),
        ("", 0),
    ] {
        assert_eq!(firmware.pull(uri), Ok(None), "{uri}");
        assert_eq!(firmware.result(), result, "{uri}");
        assert_eq!(firmware.state(), FirmwareState::Idle, "{uri}");
    }
    for uri in ["coap://h", "COAP://h/1?v=2", "coaps+tcp://[::1]:5684/1"] {
        let pull = firmware.pull(uri).unwrap().unwrap();
        assert_eq!((pull.uri.as_str(), pull.max_bytes), (uri, 100));
        assert_eq!(firmware.state(), FirmwareState::Downloading);
    }
}

#[test]
fn a_pull_that_was_replaced_or_ended_brings_nothing() {
    let now = Instant::now();
    let mut firmware = firmware(FirmwareBehaviour::Succeeds);
    let first = wanted(&mut firmware);
    let second = wanted(&mut firmware);
    firmware.pulled(now, first, Ok(b"old 1.0.0"));
    assert_eq!(firmware.timeout(), None, "it still waits for the second");
    firmware.pulled(now, second, Ok(b"new 3.0.0"));
    firmware.pulled(now, second, Err(PullFailure::ConnectionLost));
    firmware.handle_timeout(now + STEP);
    let version = firmware.package().map(|package| package.version.as_str());
    assert_eq!(version, Some("3.0.0"));
    let ends: [fn(&mut Firmware); 3] = [
        |firmware| firmware.cancel().unwrap(),
        |firmware| assert_eq!(firmware.pull(""), Ok(None)),
        Firmware::interrupt,
    ];
    for end in ends {
        let pull = wanted(&mut firmware);
        end(&mut firmware);
        let result = firmware.result();
        firmware.pulled(now, pull, Ok(b"late 4.0.0"));
        assert_eq!(firmware.state(), FirmwareState::Idle);
        assert_eq!(firmware.result(), result);
    }
}

#[test]
fn each_failure_of_a_pull_has_its_result() {
    let now = Instant::now();
    let mut firmware = firmware(FirmwareBehaviour::Succeeds);
    for (package, result) in [
        (Err(PullFailure::OutOfMemory), 3),
        (Ok(&[0xa5; 101][..]), 3),
        (Err(PullFailure::ConnectionLost), 4),
        (Err(PullFailure::InvalidUri), 7),
        (Err(PullFailure::UnsupportedProtocol), 9),
    ] {
        let pull = wanted(&mut firmware);
        firmware.pulled(now, pull, package);
        assert_eq!(firmware.state(), FirmwareState::Idle);
        assert_eq!(firmware.result(), result);
    }
}

#[test]
fn an_update_that_has_begun_is_not_replaced() {
    let (mut firmware, now) = pushed(FirmwareBehaviour::Succeeds);
    firmware.handle_timeout(now);
    firmware.update(now).unwrap();
    assert_eq!(firmware.pull("coap://h/1"), Err(WrongState));
    assert_eq!(firmware.pull(""), Err(WrongState));
    assert_eq!(firmware.push(now, &[0]), Err(WrongState));
    assert_eq!(firmware.state(), FirmwareState::Updating);
}
