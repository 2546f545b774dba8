//! A firmware update by push, and what can go wrong with it.

use std::time::Duration;

use coap::{Code, Request};
use lwm2m::ContentFormat;
use lwm2m_client::{Config, Event, FirmwareBehaviour, FirmwareState};

use crate::pair::{Pair, config, get, request, words};

pub(crate) fn firmware_state(pair: &mut Pair) -> (String, String) {
    let state = words(&pair.ask(get("/5/0/3")));
    (state, words(&pair.ask(get("/5/0/5"))))
}

/// A package with the version in its first line, long enough to need many blocks.
fn package() -> Request {
    let mut payload = b"sim-firmware 2.5.0\n".to_vec();
    payload.resize(40_000, 0xa5);
    Request {
        content_format: Some(ContentFormat::OPAQUE.0),
        payload,
        ..request(Code::PUT, "/5/0/0")
    }
}

#[test]
fn firmware_is_pushed_and_installed() {
    let mut pair = Pair::registered(config());
    pair.lose(5);
    assert_eq!(pair.ask(package()).code, Code::CHANGED_2_04);
    pair.lose(0);
    pair.wait_for(|event| {
        matches!(
            event,
            Event::FirmwareChanged {
                state: FirmwareState::Downloaded,
                ..
            }
        )
    });
    assert_eq!(words(&pair.ask(get("/5/0/7"))), "2.5.0");
    assert_eq!(
        pair.ask(request(Code::POST, "/5/0/2")).code,
        Code::CHANGED_2_04
    );
    pair.events.clear();
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert_eq!(words(&pair.ask(get("/3/0/3"))), "2.5.0");
    assert_eq!(firmware_state(&mut pair), ("0".to_owned(), "1".to_owned()));
}

#[test]
fn firmware_can_fail_in_two_places() {
    for (behaviour, state, result) in [
        (FirmwareBehaviour::FailsDownload(5), "0", "5"),
        (FirmwareBehaviour::FailsDownload(2), "0", "2"),
        (FirmwareBehaviour::FailsDownload(6), "0", "6"),
        (FirmwareBehaviour::FailsUpdate, "2", "8"),
    ] {
        let mut pair = Pair::registered(Config {
            firmware: behaviour,
            ..config()
        });
        pair.ask(package());
        pair.drive(Duration::from_secs(2));
        pair.ask(request(Code::POST, "/5/0/2"));
        pair.drive(Duration::from_secs(2));
        assert_eq!(
            firmware_state(&mut pair),
            (state.to_owned(), result.to_owned())
        );
        assert_eq!(words(&pair.ask(get("/3/0/3"))), "1.0.0");
    }
}

#[test]
fn a_package_for_which_there_is_no_memory_is_dropped() {
    let mut pair = Pair::registered(Config {
        max_package: 39_999,
        ..config()
    });
    pair.ask(package());
    assert_eq!(firmware_state(&mut pair), ("0".to_owned(), "3".to_owned()));
}

#[test]
fn a_reset_drops_a_package_that_is_being_checked() {
    let mut pair = Pair::registered(config());
    pair.ask(package());
    assert_eq!(firmware_state(&mut pair).0, "1");
    let reset = Request {
        payload: vec![0],
        ..package()
    };
    assert_eq!(pair.ask(reset).code, Code::CHANGED_2_04);
    pair.drive(Duration::from_secs(5));
    assert_eq!(firmware_state(&mut pair), ("0".to_owned(), "0".to_owned()));
}
