//! Notification attributes: what the server sends of them, and what it makes of the device's answer.

use std::time::Duration;

use coap::{Message, number};
use device_state::OperationOutcome;
use lwm2m::attributes::AttributeName;
use lwm2m::{LwM2mVersion, NotificationAttributes, ObjectLinks, Operation, Path, Value};
use lwm2m_client::{Config, Event, Fault};

use crate::system::{System, config};
use crate::{TEMPERATURE, delivered, observe};

const SECOND: Duration = Duration::from_secs(1);
const SENSOR: Path = Path::ObjectInstance(3303, 0);

fn of_release(version: LwM2mVersion) -> Config {
    Config {
        version,
        ..config()
    }
}

fn attach(path: Path, query: &[&str]) -> Operation {
    Operation::WriteAttributes {
        path,
        attributes: NotificationAttributes::parse_query(query).unwrap(),
    }
}

fn queries(requests: &[Message]) -> Vec<String> {
    let options = requests.iter().flat_map(|request| request.options.iter());
    options
        .filter(|(number, _)| *number == number::URI_QUERY)
        .map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

#[test]
fn every_attribute_goes_to_a_device_of_1_2_and_is_taken_away_again() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_2));
    let all = [
        "pmin=10", "pmax=60", "gt=25.5", "lt=-3", "st=0.5", "epmin=1", "epmax=2", "con=0",
        "hqmax=7",
    ];
    system.sent_by_server();
    delivered(system.operate(attach(TEMPERATURE, &all)));
    assert_eq!(queries(&system.requests()), all);
    let shown = system.discover(TEMPERATURE, None);
    for attribute in all {
        assert!(
            shown.contains(&format!(";{attribute}")),
            "{attribute}: {shown}"
        );
    }
    delivered(system.operate(attach(TEMPERATURE, &["pmin", "gt"])));
    assert_eq!(queries(&system.requests()), ["pmin", "gt"]);
    let shown = system.discover(TEMPERATURE, None);
    assert!(
        !shown.contains(";pmin") && !shown.contains("gt="),
        "{shown}"
    );
    assert!(shown.contains(";pmax=60"), "{shown}");
}

#[test]
fn a_maximum_below_the_minimum_or_of_zero_is_written_and_means_nothing() {
    for query in [["pmin=30", "pmax=5"], ["pmin=30", "pmax=0"]] {
        let mut system = System::registered(config());
        delivered(system.operate(attach(TEMPERATURE, &query)));
        delivered(system.operate(observe(TEMPERATURE)));
        system.drive(SECOND * 29);
        assert_eq!(system.last_value(TEMPERATURE), None);
        system.set(TEMPERATURE, Value::Float(21.0));
        system.drive(SECOND * 2);
        assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(21.0)));
    }
}

#[test]
fn thresholds_that_contradict_each_other_in_one_request_are_not_sent() {
    let mut system = System::registered(config());
    system.sent_by_server();
    for query in [
        &["lt=9", "gt=5"][..],
        &["lt=5", "gt=5"],
        &["lt=1", "gt=5", "st=2"],
    ] {
        let refusal = system.refuse(attach(TEMPERATURE, query)).to_string();
        assert!(
            refusal.starts_with("the operation cannot be sent"),
            "{refusal}"
        );
    }
    assert_eq!(system.requests(), []);
    // By itself each makes sense; what comes of both is for the device to say.
    for query in ["gt=5", "lt=9"] {
        system.operate(attach(TEMPERATURE, &[query]));
        assert_eq!(queries(&system.requests()), [query]);
    }
}

#[test]
fn an_attribute_at_a_level_that_it_is_not_for_is_not_sent() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_2));
    system.sent_by_server();
    for query in ["gt=1", "lt=1", "st=1", "edge=1"] {
        for path in [Path::Object(3303), SENSOR] {
            system.refuse(attach(path, &[query]));
        }
    }
    system.refuse(attach(Path::Root, &["pmin=1"]));
    assert_eq!(system.requests(), []);
    for query in ["pmin=1", "pmax=9", "epmin=1", "epmax=2", "con=1", "hqmax=3"] {
        for path in [Path::Object(3303), SENSOR, TEMPERATURE] {
            delivered(system.operate(attach(path, &[query])));
        }
    }
}

#[test]
fn reports_come_by_period_threshold_and_step_and_none_is_lost_to_a_period() {
    let mut system = System::registered(config());
    let attributes = ["pmin=10", "pmax=60", "gt=30", "st=5"];
    delivered(system.operate(attach(TEMPERATURE, &attributes)));
    delivered(system.operate(observe(TEMPERATURE)));
    let mut expect = |value: f64, after: u64, kept: Option<f64>| {
        system.set(TEMPERATURE, Value::Float(value));
        system.drive(SECOND * after as u32);
        let last = system.last_value(TEMPERATURE);
        assert_eq!(last, kept.map(Value::Float), "{value}");
    };
    // A step of five, but too soon after the first answer; it is told when the period is over.
    expect(26.0, 8, None);
    expect(26.0, 4, Some(26.0));
    expect(27.0, 30, Some(26.0));
    // Nothing is worth a report, until the longest period is over.
    expect(28.0, 35, Some(28.0));
    // Across the threshold by less than a step.
    expect(31.0, 12, Some(31.0));
}

#[test]
fn what_is_attached_lower_and_what_is_asked_with_an_observe_goes_before() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_2));
    delivered(system.operate(attach(Path::Object(3303), &["pmin=5", "pmax=50"])));
    delivered(system.operate(attach(SENSOR, &["pmax=40"])));
    delivered(system.operate(attach(TEMPERATURE, &["pmin=60"])));
    let shown = system.discover(TEMPERATURE, None);
    assert!(
        shown.contains(";pmin=60") && shown.contains(";pmax=40"),
        "{shown}"
    );
    let parameters = NotificationAttributes::parse_query(&["pmin=1"]).unwrap();
    delivered(system.operate(Operation::Observe {
        observed: TEMPERATURE.into(),
        parameters,
    }));
    system.set(TEMPERATURE, Value::Float(21.0));
    system.drive(SECOND * 3);
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(21.0)));
}

#[test]
fn a_device_that_does_not_know_an_attribute_is_observed_without_and_remembered() {
    let mut system = System::registered(Config {
        faults: vec![Fault::RefusesObserveParameters],
        ..of_release(LwM2mVersion::V1_2)
    });
    let asked = Operation::Observe {
        observed: TEMPERATURE.into(),
        parameters: NotificationAttributes::parse_query(&["pmin=5"]).unwrap(),
    };
    delivered(system.operate(asked.clone()));
    assert!(system.registration().unwrap().quirks.no_observe_parameters);
    let now = system.now;
    system.events.clear();
    system.device.start(now);
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    system.sent_by_server();
    delivered(system.operate(asked));
    // It is not asked again for what it does not do.
    let refused = system
        .requests()
        .iter()
        .filter(|request| request.options.first(number::OBSERVE).is_some())
        .filter(|request| request.options.first(number::URI_QUERY).is_some())
        .count();
    assert_eq!(refused, 0);

    // Of an attribute that is written the caller is told.
    let mut system = System::registered(Config {
        faults: vec![Fault::RefusesAttribute(AttributeName::Con)],
        ..of_release(LwM2mVersion::V1_2)
    });
    let outcome = system.operate(attach(TEMPERATURE, &["con=1"]));
    assert!(
        matches!(outcome, OperationOutcome::Rejected { .. }),
        "{outcome:?}"
    );
    delivered(system.operate(attach(TEMPERATURE, &["pmin=1"])));
}

#[test]
fn a_depth_is_asked_only_of_devices_that_know_it() {
    for (version, sent) in [
        (LwM2mVersion::V1_0, &[][..]),
        (LwM2mVersion::V1_1, &[]),
        (LwM2mVersion::V1_2, &["depth=3"]),
    ] {
        let mut system = System::registered(of_release(version));
        system.sent_by_server();
        let links = system.discover(Path::Object(3), Some(3));
        assert_eq!(queries(&system.requests()), sent);
        assert!(links.contains("</3/0/9>"), "{version}: {links}");
        system.discover(Path::Object(3), None);
        assert_eq!(queries(&system.requests()), [""; 0]);
    }
}

#[test]
fn a_list_of_links_is_taken_as_deep_as_it_is_and_with_slashes_at_the_ends() {
    for faults in [
        vec![Fault::IgnoresDepth],
        vec![Fault::DiscoversWithSlashes],
        vec![],
    ] {
        let mut system = System::registered(Config {
            faults,
            ..of_release(LwM2mVersion::V1_2)
        });
        for depth in 0..=3 {
            let links = system.discover(Path::Object(3), Some(depth));
            let links = ObjectLinks::parse(&links).unwrap();
            assert!(links.contains(Path::Object(3)), "{links}");
        }
    }
}
