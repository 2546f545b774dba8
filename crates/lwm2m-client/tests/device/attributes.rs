//! Notification attributes and observe parameters by release, and how Discover shows them.

use std::time::Duration;

use coap::Code;
use lwm2m::{LwM2mVersion, Path, Value};

use crate::pair::{Pair, discover, with_version, words, write_attributes};

const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const AT: &str = "/3303/0/5700";

fn set(pair: &mut Pair, value: f64) {
    pair.device
        .set_value(pair.now, TEMPERATURE, Value::Float(value))
        .unwrap();
    pair.settle();
}

#[test]
fn each_release_knows_its_own_attributes() {
    use LwM2mVersion::{V1_0, V1_1, V1_2};
    let cases = [
        ("pmin=10", V1_0),
        ("gt=30", V1_0),
        ("epmin=1", V1_1),
        ("epmax=2", V1_1),
        ("con=1", V1_2),
        ("hqmax=5", V1_2),
        ("edge=1", V1_2),
    ];
    for release in [V1_0, V1_1, V1_2] {
        let mut pair = Pair::registered(with_version(release));
        for (attribute, since) in cases {
            let code = pair.ask(write_attributes(AT, &[attribute])).code;
            let expected = if release >= since {
                Code::CHANGED_2_04
            } else {
                Code::BAD_REQUEST_4_00
            };
            assert_eq!(code, expected, "{attribute} in {release:?}");
        }
        let unknown = pair.ask(write_attributes(AT, &["speed=1"]));
        assert_eq!(unknown.code, Code::BAD_REQUEST_4_00);
    }
}

#[test]
fn all_attributes_are_shown_at_the_level_they_were_written_to() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    pair.ask(write_attributes("/3303", &["pmin=10", "con=1"]));
    pair.ask(write_attributes(
        "/3303/0",
        &["pmax=60", "epmin=2", "epmax=9"],
    ));
    let thresholds = ["gt=30", "lt=-5", "st=0.5", "edge=1", "hqmax=7"];
    pair.ask(write_attributes(AT, &thresholds));
    let object = words(&pair.ask(discover("/3303", &[])));
    for link in [
        "</3303>;pmin=10;con=1,",
        "</3303/0>;pmax=60;epmin=2;epmax=9,",
        "</3303/0/5700>;gt=30;lt=-5;st=0.5;edge=1;hqmax=7",
    ] {
        assert!(object.contains(link), "{object}");
    }
    // A resource shows what it inherits as well.
    assert_eq!(
        words(&pair.ask(discover(AT, &[]))),
        "</3303/0/5700>;pmin=10;pmax=60;gt=30;lt=-5;st=0.5;epmin=2;epmax=9;edge=1;con=1;hqmax=7"
    );
}

#[test]
fn lower_levels_override_and_cleared_attributes_are_gone() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_1));
    pair.ask(write_attributes("/3/0", &["pmin=10", "pmax=60"]));
    pair.ask(write_attributes(
        "/3/0/7",
        &["pmax=200", "gt=6", "lt=1", "st=1"],
    ));
    let shown = |pair: &mut Pair| words(&pair.ask(discover("/3/0/7", &[])));
    assert_eq!(
        shown(&mut pair),
        "</3/0/7>;dim=2;pmin=10;pmax=200;gt=6;lt=1;st=1"
    );
    pair.ask(write_attributes("/3/0/7", &["pmax", "gt", "lt", "st"]));
    assert_eq!(shown(&mut pair), "</3/0/7>;dim=2;pmin=10;pmax=60");
}

#[test]
fn discover_goes_as_deep_as_it_is_asked_to() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    let shown =
        |pair: &mut Pair, path: &str, query: &[&str]| words(&pair.ask(discover(path, query)));
    assert_eq!(shown(&mut pair, "/3", &["depth=0"]), "</3>");
    assert_eq!(shown(&mut pair, "/3", &["depth=1"]), "</3>,</3/0>");
    let two = shown(&mut pair, "/3", &["depth=2"]);
    assert!(
        two.contains("</3/0/6>;dim=2") && !two.contains("</3/0/6/0>"),
        "{two}"
    );
    assert_eq!(two, shown(&mut pair, "/3", &[]));
    let three = shown(&mut pair, "/3", &["depth=3"]);
    assert!(
        three.contains("</3/0/6>;dim=2,</3/0/6/0>,</3/0/6/1>"),
        "{three}"
    );
    assert_eq!(shown(&mut pair, "/3/0", &["depth=0"]), "</3/0>");
    assert_eq!(shown(&mut pair, "/3/0/6", &["depth=0"]), "</3/0/6>;dim=2");
    for query in ["depth=4", "depth=x", "depth", "pmin=1"] {
        let refused = pair.ask(discover("/3", &[query]));
        assert_eq!(refused.code, Code::BAD_REQUEST_4_00, "{query}");
    }
}

#[test]
fn a_1_1_device_knows_no_depth_and_lists_no_resource_instances() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_1));
    let refused = pair.ask(discover("/3", &["depth=1"]));
    assert_eq!(refused.code, Code::BAD_REQUEST_4_00);
    assert_eq!(words(&pair.ask(discover("/3/0/6", &[]))), "</3/0/6>;dim=2");
}

#[test]
fn parameters_of_an_observe_count_in_1_2() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    pair.observe(AT, &["pmin=5", "pmax=20"]);
    set(&mut pair, 21.0);
    pair.drive(Duration::from_secs(4));
    assert!(pair.notifications.is_empty());
    pair.drive(Duration::from_secs(22));
    assert_eq!(pair.notifications.len(), 2);
    let refused = pair.observe(AT, &["depth=1"]);
    assert_eq!(refused.code, Code::BAD_REQUEST_4_00);
}

#[test]
fn parameters_of_an_observe_hide_written_attributes() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    pair.ask(write_attributes(AT, &["pmin=60", "gt=50"]));
    pair.observe(AT, &["pmax=30"]);
    set(&mut pair, 21.0);
    pair.drive(Duration::from_secs(1));
    assert_eq!(pair.notifications.len(), 1, "neither pmin nor gt holds");
}

#[test]
fn older_devices_refuse_parameters_of_an_observe() {
    for release in [LwM2mVersion::V1_0, LwM2mVersion::V1_1] {
        let mut pair = Pair::registered(with_version(release));
        let refused = pair.observe(AT, &["pmin=5", "pmax=10"]);
        assert_eq!(refused.code, Code::BAD_REQUEST_4_00);
        assert_eq!(pair.device.observation_count(), 0);
    }
}
