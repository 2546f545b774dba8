//! Updates of components (`/33629`) and of software (`/9`).

use coap::{Code, Request};
use lwm2m::{ContentFormat, LwM2mVersion};
use lwm2m_client::{Config, Event, FirmwareBehaviour, OptionalObject};

use crate::pair::{Pair, config, get, request, text, with_version, words};

fn device(optional: OptionalObject) -> Pair {
    let mut config = with_version(LwM2mVersion::V1_1);
    config.profile.optional = vec![optional];
    Pair::registered(config)
}

fn package(path: &str, version: &str) -> Request {
    Request {
        content_format: Some(ContentFormat::OPAQUE.0),
        payload: format!("meter-app {version}\n").into_bytes(),
        ..request(Code::PUT, path)
    }
}

/// Until a resource says so.
fn until(pair: &mut Pair, path: &str, wanted: &str) {
    for _ in 0..100 {
        if words(&pair.ask(get(path))) == wanted {
            return;
        }
        pair.drive(std::time::Duration::from_millis(100));
    }
    panic!("{path} does not become {wanted}");
}

fn execute(pair: &mut Pair, path: &str, arguments: &str) -> Code {
    pair.ask(text(Code::POST, path, arguments)).code
}

#[test]
fn a_component_gets_firmware_of_its_own() {
    let mut pair = device(OptionalObject::Components);
    assert_eq!(words(&pair.ask(get("/33629/0/14"))), "modem");
    assert_eq!(
        pair.ask(package("/33629/1/0", "2.5.0")).code,
        Code::CHANGED_2_04
    );
    until(&mut pair, "/33629/1/3", "2");
    // Its neighbours have nothing to do with it.
    assert_eq!(words(&pair.ask(get("/33629/0/3"))), "0");
    assert_eq!(words(&pair.ask(get("/5/0/3"))), "0");
    pair.events.clear();
    assert_eq!(execute(&mut pair, "/33629/1/2", ""), Code::CHANGED_2_04);
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    for (path, wanted) in [
        ("/33629/1/15", "2.5.0"),
        ("/33629/0/15", "1.0.0"),
        ("/3/0/3", "1.0.0"),
        ("/33629/1/3", "0"),
        ("/33629/1/5", "1"),
    ] {
        assert_eq!(words(&pair.ask(get(path))), wanted, "{path}");
    }
}

#[test]
fn a_software_is_installed_activated_and_makes_room() {
    let mut pair = device(OptionalObject::Software);
    assert_eq!(
        execute(&mut pair, "/9/0/4", ""),
        Code::METHOD_NOT_ALLOWED_4_05
    );
    let pushed = pair.ask(package("/9/0/2", "7.1")).code;
    assert_eq!(pushed, Code::CHANGED_2_04);
    assert_eq!(words(&pair.ask(get("/9/0/7"))), "1");
    until(&mut pair, "/9/0/7", "3");
    assert_eq!(words(&pair.ask(get("/9/0/9"))), "3");
    assert_eq!(
        execute(&mut pair, "/9/0/10", ""),
        Code::METHOD_NOT_ALLOWED_4_05
    );
    assert_eq!(execute(&mut pair, "/9/0/4", ""), Code::CHANGED_2_04);
    until(&mut pair, "/9/0/7", "4");
    for (path, wanted) in [("/9/0/9", "2"), ("/9/0/1", "7.1"), ("/9/0/12", "0")] {
        assert_eq!(words(&pair.ask(get(path))), wanted, "{path}");
    }
    assert_eq!(execute(&mut pair, "/9/0/10", ""), Code::CHANGED_2_04);
    assert_eq!(words(&pair.ask(get("/9/0/12"))), "1");
    // Another version needs room first.
    let early = pair.ask(package("/9/0/2", "7.2")).code;
    assert_eq!(early, Code::METHOD_NOT_ALLOWED_4_05);
    assert_eq!(execute(&mut pair, "/9/0/6", "1"), Code::CHANGED_2_04);
    assert_eq!(words(&pair.ask(get("/9/0/7"))), "0");
    let pushed = pair.ask(package("/9/0/2", "7.2")).code;
    assert_eq!(pushed, Code::CHANGED_2_04);
    until(&mut pair, "/9/0/7", "3");
    // What is ready is removed without an argument.
    assert_eq!(execute(&mut pair, "/9/0/6", ""), Code::CHANGED_2_04);
    assert_eq!(words(&pair.ask(get("/9/0/7"))), "0");
    assert_eq!(words(&pair.ask(get("/9/0/9"))), "0");
}

#[test]
fn a_software_fails_with_results_of_its_own() {
    for (behaviour, state, result) in [
        (FirmwareBehaviour::FailsDownload(5), "0", "53"),
        (FirmwareBehaviour::FailsUpdate, "3", "58"),
    ] {
        let mut config = Config {
            firmware: behaviour,
            ..config()
        };
        config.profile.optional = vec![OptionalObject::Software];
        let mut pair = Pair::registered(config);
        pair.ask(package("/9/0/2", "7.1"));
        if behaviour == FirmwareBehaviour::FailsUpdate {
            until(&mut pair, "/9/0/7", "3");
            execute(&mut pair, "/9/0/4", "");
        }
        until(&mut pair, "/9/0/9", result);
        assert_eq!(words(&pair.ask(get("/9/0/7"))), state);
    }
}

#[test]
fn who_has_no_such_object_takes_no_package_for_it() {
    let mut pair = Pair::registered(config());
    for path in ["/9/0/2", "/33629/0/0"] {
        let code = pair.ask(package(path, "1.1")).code;
        assert_eq!(code, Code::NOT_FOUND_4_04, "{path}");
    }
}
