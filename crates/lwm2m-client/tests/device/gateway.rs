//! Observations of devices behind a gateway (OMA LwM2M Gateway 1.1).

use std::time::Duration;

use coap::{Code, Request, Response};
use lwm2m::{
    AlternatePath, ChildPrefix, ContentFormat, LwM2mVersion, Path, Registry, Value, decode_below,
};
use lwm2m_client::{Config, Event, OptionalObject, Profile, SetValueError};

use crate::pair::{
    Pair, accepting, config, discover, fetch, get, request, text, with_version, words,
    write_attributes,
};

const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const ZONE: &str = "/dev0/3/0/14";

fn gateway() -> Pair {
    gateway_of(LwM2mVersion::V1_2)
}

fn gateway_of(version: LwM2mVersion) -> Pair {
    Pair::registered(Config {
        profile: Profile {
            optional: vec![OptionalObject::Gateway],
            ..Profile::new("gateway-1")
        },
        ..with_version(version)
    })
}

fn prefix(name: &str) -> ChildPrefix {
    name.parse().unwrap()
}

fn set(pair: &mut Pair, child: &str, value: f64) {
    pair.device
        .set_child_value(pair.now, &prefix(child), TEMPERATURE, Value::Float(value))
        .unwrap();
    pair.settle();
}

fn write(pair: &mut Pair, path: &str, value: &str) {
    assert_eq!(
        pair.ask(text(Code::PUT, path, value)).code,
        Code::CHANGED_2_04
    );
    pair.drive(Duration::from_secs(1));
}

fn told(pair: &Pair) -> Vec<String> {
    let shown = |(_, response): &(_, Response)| words(response);
    pair.notifications.iter().map(shown).collect()
}

#[test]
fn a_write_to_a_child_is_reported_to_its_observer_only() {
    let mut pair = gateway();
    let first = pair.observe(ZONE, &[]);
    assert_eq!(words(&first), "+00:00");
    for path in ["/dev1/3/0/14", "/3/0/14"] {
        write(&mut pair, path, "+05:00");
    }
    assert_eq!(told(&pair), [""; 0]);
    for value in ["+07:00", "+07:00", "+08:00"] {
        write(&mut pair, ZONE, value);
    }
    assert_eq!(told(&pair), ["+07:00", "+08:00"]);
    let (_, notification) = &pair.notifications[0];
    assert!(first.observe.is_some() && first.observe < notification.observe);
}

// An instance has no single value that could be found unchanged, so that nothing but whose change
// it is keeps it from being reported.
#[test]
fn an_observed_instance_is_told_of_its_own_device_only() {
    let zones = ["/dev0/3/0/14", "/dev1/3/0/14", "/3/0/14"];
    for (observed, own) in ["/dev0/3/0", "/dev1/3", "/3/0"].into_iter().zip(zones) {
        let mut pair = gateway();
        pair.observe(observed, &[]);
        for elsewhere in zones.into_iter().filter(|zone| *zone != own) {
            write(&mut pair, elsewhere, "+05:00");
        }
        assert_eq!(pair.notifications.len(), 0, "{observed}");
        write(&mut pair, own, "+07:00");
        assert_eq!(pair.notifications.len(), 1, "{observed}");
    }
}

#[test]
fn what_a_child_measures_is_reported() {
    let mut pair = gateway();
    pair.observe("/dev1/3303/0/5700", &[]);
    set(&mut pair, "dev0", 30.0);
    set(&mut pair, "dev1", 40.0);
    pair.drive(Duration::from_secs(1));
    assert_eq!(told(&pair), ["40.0"]);
    let set = |child: &str, path: Path, pair: &mut Pair| {
        let value = Value::Float(1.0);
        pair.device
            .set_child_value(pair.now, &prefix(child), path, value)
    };
    let nobody = set("dev7", TEMPERATURE, &mut pair);
    assert_eq!(nobody, Err(SetValueError::NoChild));
    let nothing = Path::Resource(3303, 1, 5700);
    let missing = set("dev0", nothing, &mut pair);
    assert_eq!(missing, Err(SetValueError::NoResource(nothing)));
}

#[test]
fn a_notification_names_paths_below_the_prefix() {
    for at in ["/dev0/3303", "/dev0/3303/0", "/dev0/3303/0/5700"] {
        let mut pair = gateway();
        let format = ContentFormat::SENML_CBOR;
        pair.ask(Request {
            observe: Some(0),
            ..accepting(at, format)
        });
        set(&mut pair, "dev0", 25.5);
        pair.wait_for_notifications(1);
        let read = pair.ask(accepting(at, format));
        let (_, sent) = &pair.notifications[0];
        assert_eq!(sent.content_format, Some(format.0));
        assert_eq!(sent.payload, read.payload, "{at}");
        let root = AlternatePath::default().of_child(&prefix("dev0"));
        let base = at.strip_prefix("/dev0").unwrap().parse().unwrap();
        let entries = decode_below(&root, format, base, &sent.payload, Registry::oma()).unwrap();
        let found = entries.iter().find(|entry| entry.path == TEMPERATURE);
        assert_eq!(found.unwrap().value, Value::Float(25.5));
        let own = AlternatePath::default();
        decode_below(&own, format, base, &sent.payload, Registry::oma()).unwrap_err();
    }
}

#[test]
fn a_cancelled_observation_of_a_child_is_over() {
    let mut pair = gateway();
    pair.observe(ZONE, &[]);
    let token = pair.token();
    let last = pair.cancel(token);
    assert_eq!((last.code, last.observe), (Code::CONTENT_2_05, None));
    assert_eq!(pair.device.observation_count(), 0);
    write(&mut pair, ZONE, "+07:00");
    assert_eq!(told(&pair), [""; 0]);
}

#[test]
fn a_reset_and_a_deregistration_end_the_observation_of_a_child() {
    let mut pair = gateway();
    pair.observe(ZONE, &[]);
    pair.forget_observations();
    write(&mut pair, ZONE, "+07:00");
    assert_eq!(pair.device.observation_count(), 0);
    pair.observe(ZONE, &[]);
    assert_eq!(pair.device.observation_count(), 1);
    pair.device.deregister(pair.now);
    pair.drive(Duration::from_secs(1));
    assert_eq!(pair.device.observation_count(), 0);
}

#[test]
fn parameters_of_an_observe_hold_for_a_child() {
    let mut pair = gateway();
    pair.observe("/dev0/3303/0/5700", &["pmin=10", "pmax=30"]);
    for value in [21.0, 22.0] {
        set(&mut pair, "dev0", value);
        pair.drive(Duration::from_secs(2));
    }
    assert_eq!(told(&pair), [""; 0], "before its pmin");
    pair.drive(Duration::from_secs(7));
    assert_eq!(told(&pair), ["22.0"]);
    pair.drive(Duration::from_secs(31));
    assert_eq!(told(&pair), ["22.0", "22.0"], "after its pmax");
    let mut older = gateway_of(LwM2mVersion::V1_1);
    let refused = older.observe("/dev0/3303/0/5700", &["pmin=10"]);
    assert_eq!(refused.code, Code::BAD_REQUEST_4_00);
    assert_eq!(older.device.observation_count(), 0);
}

#[test]
fn attributes_of_a_child_are_its_own() {
    let mut pair = gateway();
    pair.observe("/dev0/3303/0/5700", &[]);
    let elsewhere = ["/dev1/3303", "/3303"];
    for path in elsewhere {
        pair.ask(write_attributes(path, &["pmax=5"]));
    }
    pair.drive(Duration::from_secs(20));
    assert_eq!(told(&pair), [""; 0]);
    pair.ask(write_attributes(
        "/dev0/3303/0/5700",
        &["pmin=1", "pmax=30"],
    ));
    pair.drive(Duration::from_secs(11));
    assert_eq!(told(&pair), ["20.0"]);
    let listed = words(&pair.ask(discover("/dev0/3303/0/5700", &[])));
    assert_eq!(listed, "</dev0/3303/0/5700>;pmin=1;pmax=30");
    let unknown = pair.ask(write_attributes("/dev0/3303/0/5700", &["pmin=x"]));
    assert_eq!(unknown.code, Code::BAD_REQUEST_4_00);
}

#[test]
fn what_cannot_be_observed_at_a_child_is_refused() {
    let mut pair = gateway();
    let cases = [
        ("/dev0", Code::METHOD_NOT_ALLOWED_4_05),
        ("/dev0/3/0/4", Code::METHOD_NOT_ALLOWED_4_05),
        ("/dev0/3/0/99", Code::NOT_FOUND_4_04),
        ("/dev7/3/0/14", Code::NOT_FOUND_4_04),
    ];
    for (path, code) in cases {
        let refused = pair.observe(path, &[]);
        assert_eq!((refused.code, refused.observe), (code, None), "{path}");
    }
    let composite = Request {
        path: vec!["dev0".to_owned()],
        observe: Some(0),
        ..fetch(ContentFormat::SENML_CBOR, &["/3/0/14"])
    };
    assert_eq!(pair.ask(composite).code, Code::METHOD_NOT_ALLOWED_4_05);
    assert_eq!(pair.device.observation_count(), 0);
    let no_gateway = Pair::registered(config()).observe(ZONE, &[]);
    assert_eq!(no_gateway.code, Code::NOT_FOUND_4_04);
    assert_eq!(pair.ask(get(ZONE)).code, Code::CONTENT_2_05);
    assert_eq!(
        pair.ask(request(Code::PUT, ZONE)).code,
        Code::UNSUPPORTED_CONTENT_FORMAT_4_15
    );
}

#[test]
fn a_reboot_forgets_the_attributes_of_children() {
    let mut pair = gateway();
    pair.ask(write_attributes(ZONE, &["pmin=5"]));
    pair.ask(request(Code::POST, "/3/0/4"));
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    let listed = words(&pair.ask(discover(ZONE, &[])));
    assert_eq!(listed, "</dev0/3/0/14>");
}
