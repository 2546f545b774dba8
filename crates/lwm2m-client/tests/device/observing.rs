//! Observations and the attributes that govern them.

use std::time::Duration;

use coap::{Code, Reliability, Request, Token};
use lwm2m::{ContentFormat, Path, Registry, Value, decode};
use lwm2m_client::{Config, Event};

use crate::pair::{Pair, config, get, request, text, words};

const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const AT: &str = "/3303/0/5700";

fn set(pair: &mut Pair, value: f64) {
    pair.device
        .set_value(pair.now, TEMPERATURE, Value::Float(value))
        .unwrap();
    pair.settle();
}

fn write_attributes(pair: &mut Pair, path: &str, query: &[&str]) -> Code {
    pair.ask(Request {
        query: query.iter().map(|&part| part.to_owned()).collect(),
        ..request(Code::PUT, path)
    })
    .code
}

fn values(pair: &Pair) -> Vec<String> {
    pair.notifications
        .iter()
        .map(|(_, response)| words(response))
        .collect()
}

#[test]
fn every_change_is_reported_in_order() {
    let mut pair = Pair::registered(config());
    let first = pair.observe(AT, &[]);
    assert!(first.observe.is_some());
    assert_eq!(words(&first), "20.0");
    for value in [21.0, 21.0, 22.5] {
        set(&mut pair, value);
        pair.drive(Duration::from_secs(1));
    }
    assert_eq!(values(&pair), ["21.0", "22.5"]);
    let numbers: Vec<_> = pair
        .notifications
        .iter()
        .map(|(_, sent)| sent.observe)
        .collect();
    assert!(first.observe < numbers[0] && numbers[0] < numbers[1]);
}

#[test]
fn an_instance_is_reported_whole_in_the_format_asked_for() {
    let mut pair = Pair::registered(config());
    pair.ask(Request {
        observe: Some(0),
        accept: Some(ContentFormat::TLV.0),
        ..get("/3303/0")
    });
    set(&mut pair, 25.0);
    pair.wait_for_notifications(1);
    let (_, sent) = &pair.notifications[0];
    assert_eq!(sent.content_format, Some(ContentFormat::TLV.0));
    let base = Path::ObjectInstance(3303, 0);
    let entries = decode(ContentFormat::TLV, base, &sent.payload, Registry::oma()).unwrap();
    let found = entries.iter().find(|entry| entry.path == TEMPERATURE);
    assert_eq!(found.unwrap().value, Value::Float(25.0));
    // The maximum moved along, which is the same report.
    let maximum = entries
        .iter()
        .find(|entry| entry.path == Path::Resource(3303, 0, 5602));
    assert_eq!(maximum.unwrap().value, Value::Float(25.0));
}

#[test]
fn pmin_holds_reports_back_and_the_last_value_counts() {
    let mut pair = Pair::registered(config());
    assert_eq!(
        write_attributes(&mut pair, AT, &["pmin=10"]),
        Code::CHANGED_2_04
    );
    pair.observe(AT, &[]);
    for value in [21.0, 22.0, 23.0] {
        set(&mut pair, value);
        pair.drive(Duration::from_secs(2));
    }
    assert!(pair.notifications.is_empty());
    pair.drive(Duration::from_secs(10));
    assert_eq!(values(&pair), ["23.0"]);
}

#[test]
fn pmax_reports_without_change() {
    let mut pair = Pair::registered(config());
    write_attributes(&mut pair, "/3303", &["pmax=30"]);
    pair.observe(AT, &[]);
    pair.drive(Duration::from_secs(95));
    assert_eq!(values(&pair), ["20.0", "20.0", "20.0"]);
}

#[test]
fn periods_of_the_server_object_are_the_default() {
    let mut pair = Pair::registered(config());
    pair.observe(AT, &[]);
    pair.ask(text(Code::PUT, "/1/0/3", "15"));
    pair.drive(Duration::from_secs(50));
    assert_eq!(pair.notifications.len(), 3);
}

#[test]
fn thresholds_are_reported_when_crossed() {
    let mut pair = Pair::registered(config());
    write_attributes(&mut pair, AT, &["gt=30", "lt=10"]);
    pair.observe(AT, &[]);
    for value in [25.0, 31.0, 35.0, 29.0, 15.0, 9.0] {
        set(&mut pair, value);
        pair.drive(Duration::from_secs(1));
    }
    assert_eq!(values(&pair), ["31.0", "29.0", "9.0"]);
}

#[test]
fn steps_are_counted_from_the_last_report() {
    let mut pair = Pair::registered(config());
    write_attributes(&mut pair, AT, &["st=2"]);
    pair.observe(AT, &[]);
    for value in [21.0, 22.0, 23.0, 24.5] {
        set(&mut pair, value);
        pair.drive(Duration::from_secs(1));
    }
    assert_eq!(values(&pair), ["22.0", "24.5"]);
}

#[test]
fn crossing_thresholds_are_refused() {
    let mut pair = Pair::registered(config());
    let refused = write_attributes(&mut pair, AT, &["gt=1", "lt=2"]);
    assert_eq!(refused, Code::BAD_REQUEST_4_00);
    assert_eq!(
        write_attributes(&mut pair, "/3303", &["gt=1"]),
        Code::BAD_REQUEST_4_00
    );
    assert_eq!(
        write_attributes(&mut pair, "/3303/9", &["pmin=1"]),
        Code::NOT_FOUND_4_04
    );
}

#[test]
fn a_write_of_the_server_is_reported_as_well() {
    let mut pair = Pair::registered(config());
    pair.observe("/3/0/14", &[]);
    pair.ask(text(Code::PUT, "/3/0/14", "+03:00"));
    pair.wait_for_notifications(1);
    assert_eq!(values(&pair), ["+03:00"]);
}

#[test]
fn a_cancelled_observation_is_silent() {
    let mut pair = Pair::registered(config());
    let token = Token::new(b"t1").unwrap();
    let observe = |observe| Request {
        token: Some(token),
        observe: Some(observe),
        ..get(AT)
    };
    pair.ask(observe(0));
    assert_eq!(pair.device.observation_count(), 1);
    let cancelled = pair.ask(observe(1));
    assert_eq!(cancelled.code, Code::CONTENT_2_05);
    assert_eq!(cancelled.observe, None);
    set(&mut pair, 25.0);
    pair.drive(Duration::from_secs(5));
    assert!(pair.notifications.is_empty());
    assert_eq!(pair.device.observation_count(), 0);
}

#[test]
fn a_rejected_notification_ends_its_observation() {
    for notifications in [Reliability::Confirmable, Reliability::NonConfirmable] {
        let mut pair = Pair::registered(Config {
            notifications,
            ..config()
        });
        pair.observe(AT, &[]);
        pair.forget_observations();
        set(&mut pair, 25.0);
        pair.wait_for(|event| matches!(event, Event::ObservationEnded { .. }));
        assert_eq!(pair.device.observation_count(), 0);
    }
}

#[test]
fn a_confirmable_notification_reaches_the_server_through_loss() {
    let mut pair = Pair::registered(Config {
        notifications: Reliability::Confirmable,
        ..config()
    });
    pair.observe(AT, &[]);
    pair.lose(40);
    // While the first is under way, later values take its place.
    for value in [21.0, 22.0, 23.0] {
        set(&mut pair, value);
    }
    pair.drive(Duration::from_secs(60));
    assert_eq!(values(&pair).last().unwrap(), "23.0");
    assert!(pair.notifications.len() <= 2);
}

#[test]
fn a_notification_that_nobody_confirms_ends_its_observation() {
    let mut pair = Pair::registered(Config {
        notifications: Reliability::Confirmable,
        ..config()
    });
    pair.observe(AT, &[]);
    pair.cut();
    set(&mut pair, 25.0);
    pair.drive(Duration::from_secs(100));
    assert_eq!(pair.device.observation_count(), 0);
}

#[test]
fn a_deleted_instance_ends_its_observation_with_an_error() {
    let mut pair = Pair::registered(config());
    pair.ask(request(Code::POST, "/3303"));
    pair.observe("/3303/1/5700", &[]);
    pair.ask(request(Code::DELETE, "/3303/1"));
    pair.wait_for_notifications(1);
    assert_eq!(pair.notifications[0].1.code, Code::NOT_FOUND_4_04);
    assert_eq!(pair.device.observation_count(), 0);
}

#[test]
fn a_new_registration_begins_without_observations() {
    let mut pair = Pair::registered(config());
    pair.observe(AT, &[]);
    pair.ask(request(Code::POST, "/3/0/4"));
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    set(&mut pair, 25.0);
    pair.drive(Duration::from_secs(5));
    assert!(pair.notifications.is_empty());
}

#[test]
fn observations_are_bounded() {
    let mut pair = Pair::registered(config());
    let room = config().coap.max_observations_per_peer;
    for _ in 0..room {
        assert!(pair.observe(AT, &[]).observe.is_some());
    }
    let refused = pair.observe(AT, &[]);
    assert_eq!(refused.code, Code::INTERNAL_SERVER_ERROR_5_00);
}
