//! Read-Composite, Write-Composite and Observe-Composite.

use std::time::Duration;

use coap::{Code, Reliability, Request, Response};
use lwm2m::{ContentFormat, LwM2mVersion, Path, Value};
use lwm2m_client::{Config, Event};

use crate::pair::{
    Pair, config, fetch, get, patch, put, request, text, values, with_version, words,
    write_attributes,
};

const JSON: ContentFormat = ContentFormat::SENML_JSON;
const CBOR: ContentFormat = ContentFormat::SENML_CBOR;
const ETCH_JSON: ContentFormat = ContentFormat::SENML_ETCH_JSON;
const ETCH_CBOR: ContentFormat = ContentFormat::SENML_ETCH_CBOR;
const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);

fn paths(response: &Response) -> Vec<String> {
    values(response).into_iter().map(|(path, _)| path).collect()
}

fn observe(pair: &mut Pair, listed: &[&str], query: &[&str]) -> Response {
    pair.ask(Request {
        observe: Some(0),
        query: query.iter().map(|&part| part.to_owned()).collect(),
        ..fetch(CBOR, listed)
    })
}

fn set(pair: &mut Pair, value: f64) {
    pair.device
        .set_value(pair.now, TEMPERATURE, Value::Float(value))
        .unwrap();
    pair.settle();
}

fn offset(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn a_composite_read_leaves_out_what_cannot_be_read() {
    for format in [JSON, CBOR] {
        let mut pair = Pair::registered(config());
        let listed = [
            "/3/0/9",
            "/3/0/4",
            "/3303/0/5700",
            "/3303/7/5700",
            "/0/0/1",
            "/99",
            "/3/0/6",
        ];
        let answer = pair.ask(fetch(format, &listed));
        assert_eq!(answer.code, Code::CONTENT_2_05);
        assert_eq!(answer.content_format, Some(format.0));
        let expected = [
            ("/3/0/6/0", Value::Integer(1)),
            ("/3/0/6/1", Value::Integer(5)),
            ("/3/0/9", Value::Integer(100)),
            ("/3303/0/5700", Value::Float(20.0)),
        ];
        assert_eq!(
            values(&answer),
            expected.map(|(path, value)| (path.to_owned(), value))
        );
    }
}

#[test]
fn paths_within_each_other_are_answered_once() {
    let mut pair = Pair::registered(config());
    let answer = pair.ask(fetch(CBOR, &["/6/0/0", "/6/0", "/6", "/6/0/0"]));
    assert_eq!(paths(&answer), ["/6/0/0", "/6/0/1", "/6/0/5"]);
    let nothing = pair.ask(fetch(CBOR, &["/99/0"]));
    assert_eq!(
        (nothing.code, values(&nothing)),
        (Code::CONTENT_2_05, Vec::new())
    );
}

#[test]
fn the_root_stands_for_everything_but_credentials() {
    let mut pair = Pair::registered(config());
    let all = paths(&pair.ask(fetch(CBOR, &["/"])));
    for path in ["/1/0/1", "/3/0/9", "/3303/0/5700", "/5/0/3"] {
        assert!(all.contains(&path.to_owned()), "{path}");
    }
    let hidden = |path: &String| {
        ["/0/", "/21/", "/23/"]
            .iter()
            .any(|at| path.starts_with(at))
    };
    assert!(!all.iter().any(hidden));
    assert!(!all.contains(&"/3/0/4".to_owned()), "it is executable");
}

#[test]
fn composite_answers_come_in_the_format_asked_for() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    let ask = |pair: &mut Pair, body: ContentFormat, accept: Option<ContentFormat>| {
        let answer = pair.ask(Request {
            accept: accept.map(|format| format.0),
            ..fetch(body, &["/3/0/9"])
        });
        (answer.code, answer.content_format.map(ContentFormat))
    };
    let fine = |format| (Code::CONTENT_2_05, Some(format));
    assert_eq!(ask(&mut pair, CBOR, Some(JSON)), fine(JSON));
    assert_eq!(ask(&mut pair, ETCH_JSON, Some(CBOR)), fine(CBOR));
    let lwm2m_cbor = ContentFormat::LWM2M_CBOR;
    assert_eq!(ask(&mut pair, lwm2m_cbor, None), fine(lwm2m_cbor));
    assert_eq!(
        ask(&mut pair, ETCH_CBOR, Some(lwm2m_cbor)),
        fine(lwm2m_cbor)
    );
    assert_eq!(ask(&mut pair, ETCH_JSON, None), fine(JSON));
    assert_eq!(ask(&mut pair, ETCH_CBOR, None), fine(CBOR));
    for refused in [ContentFormat::TLV, ContentFormat::TEXT, ETCH_CBOR] {
        let (code, _) = ask(&mut pair, CBOR, Some(refused));
        assert_eq!(code, Code::NOT_ACCEPTABLE_4_06, "{refused}");
    }
}

#[test]
fn composite_operations_are_refused_with_the_right_codes() {
    let mut pair = Pair::registered(config());
    let body = |format: u16, payload: &[u8]| Request {
        content_format: Some(format),
        payload: payload.to_vec(),
        ..request(Code::FETCH, "/")
    };
    let cases = [
        (
            body(ContentFormat::TLV.0, &[1]),
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
        ),
        // SenML-ETCH came with 1.2.
        (
            fetch(ETCH_CBOR, &["/3"]),
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
        ),
        (
            request(Code::FETCH, "/"),
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
        ),
        (body(JSON.0, b"{}"), Code::BAD_REQUEST_4_00),
        (body(JSON.0, b"[{\"n\":\"/x\"}]"), Code::BAD_REQUEST_4_00),
        (
            Request {
                path: vec!["3".to_owned()],
                ..fetch(CBOR, &["/3"])
            },
            Code::METHOD_NOT_ALLOWED_4_05,
        ),
    ];
    for (request, code) in cases {
        let shown = format!("{request:?}");
        assert_eq!(pair.ask(request).code, code, "{shown}");
    }
    let many = vec!["/3/0/9"; 65];
    let too_many = pair.ask(fetch(CBOR, &many));
    assert_eq!(too_many.code, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
}

#[test]
fn lwm2m_1_0_has_no_composite_operations() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_0));
    let read = pair.ask(fetch(CBOR, &["/3/0/9"]));
    assert_eq!(read.code, Code::METHOD_NOT_ALLOWED_4_05);
    let written = pair.ask(patch(CBOR, &[put("/3/0/14", offset("+01:00"))]));
    assert_eq!(written.code, Code::METHOD_NOT_ALLOWED_4_05);
}

#[test]
fn a_composite_write_changes_several_objects_at_once() {
    let mut pair = Pair::registered(config());
    let patches = [
        put("/1/0/1", Value::Integer(120)),
        put("/3/0/14", offset("+03:00")),
    ];
    assert_eq!(pair.ask(patch(JSON, &patches)).code, Code::CHANGED_2_04);
    assert_eq!(words(&pair.ask(get("/3/0/14"))), "+03:00");
    pair.wait_for(|event| *event == Event::Updated);
    assert_eq!(pair.requests.last().unwrap().query, ["lt=120"]);
    let written = |event: &Event| matches!(event, Event::Written { path: Path::Root, values, .. } if values.len() == 2);
    assert!(pair.events.iter().any(written));
}

#[test]
fn a_composite_write_that_fails_in_part_changes_nothing() {
    let mut pair = Pair::registered(config());
    let cases = [
        (put("/3/7/14", offset("x")), Code::NOT_FOUND_4_04),
        (put("/99/0/1", Value::Integer(1)), Code::NOT_FOUND_4_04),
        (
            put("/3/0/9", Value::Integer(1)),
            Code::METHOD_NOT_ALLOWED_4_05,
        ),
        (
            put("/3/0/4", Value::Integer(1)),
            Code::METHOD_NOT_ALLOWED_4_05,
        ),
        (
            put("/1/0/1", Value::String("soon".to_owned())),
            Code::BAD_REQUEST_4_00,
        ),
        (put("/1/0/1", Value::Integer(-1)), Code::BAD_REQUEST_4_00),
        (put("/0/0/1", Value::Boolean(true)), Code::UNAUTHORIZED_4_01),
        (put("/5/0/1", Value::Integer(1)), Code::BAD_REQUEST_4_00),
    ];
    for (bad, code) in cases {
        let patches = [put("/3/0/14", offset("+09:00")), bad];
        assert_eq!(pair.ask(patch(CBOR, &patches)).code, code, "{patches:?}");
        assert_eq!(words(&pair.ask(get("/3/0/14"))), "+00:00", "{patches:?}");
    }
    let written = |event: &Event| matches!(event, Event::Written { .. });
    assert!(!pair.events.iter().any(written));
}

#[test]
fn any_change_within_a_composite_observation_reports_all_of_it() {
    let mut pair = Pair::registered(config());
    let first = observe(&mut pair, &["/3303/0/5700", "/3/0/14", "/3/0/4"], &[]);
    assert_eq!(first.code, Code::CONTENT_2_05);
    assert!(first.observe.is_some());
    set(&mut pair, 23.0);
    pair.wait_for_notifications(1);
    pair.ask(text(Code::PUT, "/3/0/14", "+02:00"));
    pair.wait_for_notifications(2);
    let reports: Vec<_> = pair
        .notifications
        .iter()
        .map(|(_, report)| values(report))
        .collect();
    let report = |utc: &str| {
        vec![
            ("/3/0/14".to_owned(), offset(utc)),
            ("/3303/0/5700".to_owned(), Value::Float(23.0)),
        ]
    };
    assert_eq!(reports, [report("+00:00"), report("+02:00")]);
    // What lies outside is not reported.
    pair.ask(text(Code::PUT, "/3/0/15", "Europe/Vienna"));
    pair.drive(Duration::from_secs(5));
    assert_eq!(pair.notifications.len(), 2);
}

#[test]
fn periods_of_a_composite_observation_come_from_its_parameters() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    observe(
        &mut pair,
        &["/3303/0/5700", "/3/0/9"],
        &["pmin=10", "pmax=30", "con=1"],
    );
    set(&mut pair, 23.0);
    pair.drive(Duration::from_secs(9));
    assert!(pair.notifications.is_empty());
    pair.drive(Duration::from_secs(2));
    assert_eq!(pair.notifications.len(), 1);
    pair.drive(Duration::from_secs(31));
    assert_eq!(pair.notifications.len(), 2);
    let acknowledged = |event: &Event| matches!(event, Event::NotificationAcknowledged { .. });
    assert!(pair.events.iter().any(acknowledged), "con=1 asks for it");
    for query in ["gt=1", "st=1", "edge=1", "hqmax=2", "speed=1"] {
        let refused = observe(&mut pair, &["/3303/0/5700"], &[query]);
        assert_eq!(refused.code, Code::BAD_REQUEST_4_00, "{query}");
    }
}

#[test]
fn a_1_1_device_refuses_parameters_of_a_composite_observation() {
    let mut pair = Pair::registered(config());
    let refused = observe(&mut pair, &["/3303/0/5700"], &["pmin=1"]);
    assert_eq!(refused.code, Code::BAD_REQUEST_4_00);
    assert_eq!(pair.device.observation_count(), 0);
}

#[test]
fn periods_of_a_composite_observation_may_be_written_or_default() {
    let mut pair = Pair::registered(config());
    pair.ask(write_attributes("/3/0/9", &["pmax=40"]));
    pair.ask(write_attributes("/3303", &["pmax=25"]));
    observe(&mut pair, &["/3303/0/5700", "/3/0/9"], &[]);
    pair.drive(Duration::from_secs(51));
    assert_eq!(pair.notifications.len(), 2, "the shorter one holds");
    // They follow a later Write-Attributes, and the server object where there is none.
    pair.ask(write_attributes("/3303", &["pmax"]));
    pair.ask(write_attributes("/3/0/9", &["pmax"]));
    pair.notifications.clear();
    pair.drive(Duration::from_secs(60));
    assert!(pair.notifications.is_empty());
    pair.ask(text(Code::PUT, "/1/0/3", "10"));
    pair.drive(Duration::from_secs(11));
    assert!(!pair.notifications.is_empty());
}

#[test]
fn instances_that_come_and_go_do_so_within_a_composite_observation() {
    let mut pair = Pair::registered(config());
    let first = observe(&mut pair, &["/3303/1/5700", "/3/0/9"], &[]);
    assert_eq!(paths(&first), ["/3/0/9"]);
    assert_eq!(
        pair.ask(request(Code::POST, "/3303")).code,
        Code::CREATED_2_01
    );
    pair.wait_for_notifications(1);
    let (_, report) = &pair.notifications[0];
    assert_eq!(paths(report), ["/3/0/9", "/3303/1/5700"]);
    assert_eq!(
        pair.ask(request(Code::DELETE, "/3303/1")).code,
        Code::DELETED_2_02
    );
    pair.wait_for_notifications(2);
    let (_, report) = &pair.notifications[1];
    assert_eq!(paths(report), ["/3/0/9"]);
    assert_eq!(pair.device.observation_count(), 1);
}

#[test]
fn a_composite_observation_is_cancelled_by_its_token_and_its_paths() {
    let mut pair = Pair::registered(config());
    observe(&mut pair, &["/3303/0/5700", "/3/0/9"], &[]);
    let token = pair.token();
    let other = pair.ask(Request {
        observe: Some(1),
        token: Some(token),
        ..fetch(CBOR, &["/3/0/9"])
    });
    assert_eq!(other.code, Code::CONTENT_2_05);
    assert_eq!(pair.device.observation_count(), 1, "that is another list");
    pair.drive(Duration::from_secs(1));
    let mut pair = Pair::registered(config());
    observe(&mut pair, &["/3303/0/5700", "/3/0/9"], &[]);
    let token = pair.token();
    let last = pair.cancel(token);
    assert_eq!(paths(&last), ["/3/0/9", "/3303/0/5700"]);
    assert_eq!(pair.device.observation_count(), 0);
    set(&mut pair, 30.0);
    pair.drive(Duration::from_secs(5));
    assert!(pair.notifications.is_empty());
}

#[test]
fn a_composite_observation_ends_by_a_reset() {
    for notifications in [Reliability::Confirmable, Reliability::NonConfirmable] {
        let mut pair = Pair::registered(Config {
            notifications,
            ..config()
        });
        observe(&mut pair, &["/3303/0/5700", "/3/0/9"], &[]);
        pair.forget_observations();
        set(&mut pair, 30.0);
        pair.wait_for(|event| matches!(event, Event::ObservationEnded { path: Path::Root }));
        assert_eq!(pair.device.observation_count(), 0);
    }
}

#[test]
fn a_large_composite_report_arrives_in_blocks() {
    let mut pair = Pair::registered(config());
    pair.ask(text(Code::PUT, "/3/0/15", &"x".repeat(1500)));
    observe(&mut pair, &["/"], &[]);
    set(&mut pair, 26.5);
    pair.wait_for_notifications(1);
    let (_, report) = &pair.notifications[0];
    assert!(values(report).contains(&("/3303/0/5700".to_owned(), Value::Float(26.5))));
}

#[test]
fn two_large_composite_reports_do_not_mix() {
    let mut pair = Pair::registered(config());
    let texts = ["x".repeat(1500), "y".repeat(1500)];
    for (path, value) in ["/3/0/14", "/3/0/15"].iter().zip(&texts) {
        pair.ask(text(Code::PUT, path, value));
        observe(&mut pair, &[path, "/3303/0/5700"], &[]);
    }
    set(&mut pair, 26.5);
    pair.drive(Duration::from_mins(1));
    let reported = |wanted: &str| {
        let reports = pair
            .notifications
            .iter()
            .flat_map(|(_, report)| values(report));
        let found: Vec<_> = reports
            .filter(|(_, value)| *value == offset(wanted))
            .collect();
        found.len()
    };
    assert_eq!(texts.map(|wanted| reported(&wanted)), [1, 1]);
}
