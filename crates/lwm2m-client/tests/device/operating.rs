//! Read, Write, Execute, Create, Delete, Discover, Write-Attributes and Send.

use std::time::Duration;

use coap::{Code, Request};
use lwm2m::{
    ContentFormat, Entry, LwM2mVersion, Path, RegisterRequest, Registry, Value, decode, encode,
};
use lwm2m_client::{Event, SendError};

use crate::pair::{Pair, accepting, config, get, request, text, with_version, words};

const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);

#[test]
fn every_format_carries_the_same_values() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    let formats = [
        ContentFormat::TLV,
        ContentFormat::SENML_JSON,
        ContentFormat::SENML_CBOR,
        ContentFormat::LWM2M_CBOR,
        ContentFormat::JSON,
    ];
    for path in ["/3", "/3/0", "/3/0/6", "/3303/0", "/1/0"] {
        let base: Path = path.parse().unwrap();
        let answers = formats.map(|format| {
            let response = pair.ask(accepting(path, format));
            assert_eq!(response.code, Code::CONTENT_2_05, "{path} {format}");
            assert_eq!(response.content_format, Some(format.0));
            decode(format, base, &response.payload, Registry::oma()).unwrap()
        });
        assert!(!answers[0].is_empty());
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}");
    }
}

#[test]
fn single_values_are_text_unless_asked_otherwise() {
    let mut pair = Pair::registered(config());
    let plain = pair.ask(get("/3/0/9"));
    assert_eq!(
        (plain.content_format, words(&plain).as_str()),
        (Some(0), "100")
    );
    let cbor = pair.ask(accepting("/3/0/9", ContentFormat::CBOR));
    assert_eq!(cbor.payload, [0x18, 100]);
    let several = pair.ask(accepting("/3/0", ContentFormat::TEXT));
    assert_eq!(several.code, Code::NOT_ACCEPTABLE_4_06);
}

#[test]
fn each_release_has_its_formats_and_announces_them() {
    let cases = [
        (
            LwM2mVersion::V1_0,
            vec![ContentFormat::JSON],
            ContentFormat::TLV,
        ),
        (
            LwM2mVersion::V1_1,
            vec![
                ContentFormat::SENML_CBOR,
                ContentFormat::SENML_JSON,
                ContentFormat::JSON,
            ],
            ContentFormat::SENML_CBOR,
        ),
        (
            LwM2mVersion::V1_2,
            vec![
                ContentFormat::LWM2M_CBOR,
                ContentFormat::SENML_CBOR,
                ContentFormat::JSON,
            ],
            ContentFormat::LWM2M_CBOR,
        ),
    ];
    for (release, some, preferred) in cases {
        let mut pair = Pair::new(with_version(release));
        pair.wait_for(|event| matches!(event, Event::Registered { .. }));
        let sent = &pair.requests[0];
        let parsed = RegisterRequest::parse(&sent.query, &sent.payload).unwrap();
        let announced: Vec<_> = parsed.links.content_formats().collect();
        assert!(
            some.iter().all(|format| announced.contains(format)),
            "{announced:?}"
        );
        for format in [
            ContentFormat::JSON,
            ContentFormat::SENML_JSON,
            ContentFormat::SENML_CBOR,
            ContentFormat::LWM2M_CBOR,
        ] {
            let code = pair.ask(accepting("/3/0", format)).code;
            let spoken = code == Code::CONTENT_2_05;
            assert_eq!(
                spoken,
                announced.contains(&format),
                "{format} in {release:?}"
            );
        }
        let plain = pair.ask(get("/3/0")).content_format;
        assert_eq!(plain, Some(preferred.0));
    }
}

#[test]
fn lwm2m_1_0_has_no_senml() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_0));
    let senml = pair.ask(accepting("/3/0", ContentFormat::SENML_CBOR));
    assert_eq!(senml.code, Code::NOT_ACCEPTABLE_4_06);
    assert_eq!(
        pair.ask(get("/3/0")).content_format,
        Some(ContentFormat::TLV.0)
    );
    let write = Request {
        content_format: Some(ContentFormat::SENML_JSON.0),
        payload: b"[]".to_vec(),
        ..request(Code::PUT, "/3/0")
    };
    assert_eq!(pair.ask(write).code, Code::UNSUPPORTED_CONTENT_FORMAT_4_15);
}

#[test]
fn refusals_have_the_codes_of_the_specification() {
    let mut pair = Pair::registered(config());
    let cases = [
        (get("/0/0/5"), Code::UNAUTHORIZED_4_01),
        (get("/99"), Code::NOT_FOUND_4_04),
        (get("/3/1"), Code::NOT_FOUND_4_04),
        (get("/3/0/4"), Code::METHOD_NOT_ALLOWED_4_05),
        (get("/well/known"), Code::NOT_FOUND_4_04),
        (get("/"), Code::METHOD_NOT_ALLOWED_4_05),
        (
            text(Code::PUT, "/3/0/9", "1"),
            Code::METHOD_NOT_ALLOWED_4_05,
        ),
        (text(Code::PUT, "/1/0/1", "soon"), Code::BAD_REQUEST_4_00),
        (text(Code::PUT, "/1/0/1", "-1"), Code::BAD_REQUEST_4_00),
        (
            text(Code::PUT, "/1/0", "1"),
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
        ),
        (text(Code::PUT, "/3", "1"), Code::METHOD_NOT_ALLOWED_4_05),
        (
            request(Code::PUT, "/3/0/14"),
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
        ),
        (text(Code::POST, "/3/0/12", "x"), Code::BAD_REQUEST_4_00),
        (request(Code::DELETE, "/3/0"), Code::METHOD_NOT_ALLOWED_4_05),
        (request(Code::FETCH, "/3/0"), Code::METHOD_NOT_ALLOWED_4_05),
        (request(Code::POST, "/5/0/2"), Code::METHOD_NOT_ALLOWED_4_05),
    ];
    for (request, code) in cases {
        let shown = format!("{:?} {:?}", request.method, request.path);
        assert_eq!(pair.ask(request).code, code, "{shown}");
    }
}

#[test]
fn writes_are_kept_and_reported() {
    let mut pair = Pair::registered(config());
    assert_eq!(
        pair.ask(text(Code::PUT, "/3/0/14", "+02:00")).code,
        Code::CHANGED_2_04
    );
    assert_eq!(words(&pair.ask(get("/3/0/14"))), "+02:00");
    let path = Path::Resource(3, 0, 14);
    let value = Entry::new(path, Value::String("+02:00".to_owned()));
    assert!(pair.events.iter().any(
        |event| matches!(event, Event::Written { path: at, values, .. } if *at == path && *values == [value.clone()])
    ));
}

#[test]
fn a_whole_instance_is_written_in_blocks() {
    let mut pair = Pair::registered(config());
    let base = Path::ObjectInstance(3, 0);
    let long = "x".repeat(2000);
    let values = [
        Entry::new(Path::Resource(3, 0, 14), Value::String("+01:00".to_owned())),
        Entry::new(Path::Resource(3, 0, 15), Value::String(long.clone())),
    ];
    let write = Request {
        content_format: Some(ContentFormat::TLV.0),
        payload: encode(ContentFormat::TLV, base, &values).unwrap(),
        ..request(Code::POST, "/3/0")
    };
    assert_eq!(pair.ask(write).code, Code::CHANGED_2_04);
    assert_eq!(words(&pair.ask(get("/3/0/15"))), long);
}

#[test]
fn executions_are_reported_with_their_arguments() {
    let mut pair = Pair::registered(config());
    pair.device
        .set_value(pair.now, TEMPERATURE, Value::Float(35.0))
        .unwrap();
    assert_eq!(words(&pair.ask(get("/3303/0/5602"))), "35.0");
    pair.device
        .set_value(pair.now, TEMPERATURE, Value::Float(25.0))
        .unwrap();
    let execute = text(Code::POST, "/3303/0/5605", "1='a',2");
    assert_eq!(pair.ask(execute).code, Code::CHANGED_2_04);
    assert_eq!(words(&pair.ask(get("/3303/0/5602"))), "25.0");
    let executed = pair.wait_for(|event| matches!(event, Event::Executed { .. }));
    let Event::Executed { path, arguments } = executed else {
        unreachable!()
    };
    assert_eq!(
        (path, arguments.as_str()),
        (Path::Resource(3303, 0, 5605), "1='a',2")
    );
}

#[test]
fn a_repeated_request_is_executed_once() {
    let mut pair = Pair::registered(config());
    pair.lose(15);
    for _ in 0..20 {
        pair.ask(request(Code::POST, "/3303/0/5605"));
    }
    let executed = |event: &&Event| matches!(event, Event::Executed { .. });
    assert_eq!(pair.events.iter().filter(executed).count(), 20);
}

#[test]
fn instances_come_and_go() {
    let mut pair = Pair::registered(config());
    let base = Path::ObjectInstance(3303, 0);
    let unit = Entry::new(Path::Resource(3303, 0, 5701), Value::String("K".to_owned()));
    let create = Request {
        content_format: Some(ContentFormat::TLV.0),
        payload: encode(ContentFormat::TLV, base, &[unit]).unwrap(),
        ..request(Code::POST, "/3303")
    };
    let created = pair.ask(create);
    assert_eq!(created.code, Code::CREATED_2_01);
    assert_eq!(created.location_path, ["3303", "1"]);
    assert_eq!(words(&pair.ask(get("/3303/1/5701"))), "K");
    assert_eq!(
        pair.ask(request(Code::DELETE, "/3303/1")).code,
        Code::DELETED_2_02
    );
    assert_eq!(pair.ask(get("/3303/1/5701")).code, Code::NOT_FOUND_4_04);
}

#[test]
fn a_server_can_choose_the_instance() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    let formats = [
        ContentFormat::TLV,
        ContentFormat::SENML_CBOR,
        ContentFormat::SENML_JSON,
        ContentFormat::LWM2M_CBOR,
        ContentFormat::JSON,
    ];
    for (instance, format) in (7..).zip(formats) {
        let at = Path::Resource(3303, instance, 5701);
        let unit = Entry::new(at, Value::String("K".to_owned()));
        let create = Request {
            content_format: Some(format.0),
            payload: encode(format, Path::Object(3303), &[unit]).unwrap(),
            ..request(Code::POST, "/3303")
        };
        assert_eq!(
            pair.ask(create.clone()).code,
            Code::CREATED_2_01,
            "{format}"
        );
        assert_eq!(words(&pair.ask(get(&at.to_string()))), "K", "{format}");
        let again = pair.ask(create);
        assert_eq!(again.code, Code::BAD_REQUEST_4_00, "{format}: it is there");
    }
}

#[test]
fn discover_shows_attributes() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    for (path, query) in [("/3303", "pmin=10"), ("/3303/0/5700", "gt=30")] {
        let write = Request {
            query: vec![query.to_owned()],
            ..request(Code::PUT, path)
        };
        assert_eq!(pair.ask(write).code, Code::CHANGED_2_04);
    }
    let discover = |path: &str, query: &[&str]| Request {
        query: query.iter().map(|&part| part.to_owned()).collect(),
        ..accepting(path, ContentFormat::LINK)
    };
    let object = words(&pair.ask(discover("/3303", &[])));
    assert!(
        object.contains("</3303>;") && object.contains("pmin=10"),
        "{object}"
    );
    assert!(object.contains("</3303/0/5700>;gt=30"), "{object}");
    let resource = words(&pair.ask(discover("/3303/0/5700", &[])));
    assert_eq!(resource, "</3303/0/5700>;pmin=10;gt=30");
    assert_eq!(
        words(&pair.ask(discover("/6", &["depth=1"]))),
        "</6>,</6/0>"
    );
    assert_eq!(
        pair.ask(discover("/6", &["depth=9"])).code,
        Code::BAD_REQUEST_4_00
    );
    assert_eq!(pair.ask(discover("/0", &[])).code, Code::UNAUTHORIZED_4_01);
}

#[test]
fn the_clock_runs_once_it_is_set() {
    let mut pair = Pair::registered(config());
    assert_eq!(pair.ask(get("/3/0/13")).code, Code::NOT_FOUND_4_04);
    pair.device.set_wall_clock(pair.now, 1_000_000);
    pair.drive(Duration::from_secs(10));
    assert_eq!(words(&pair.ask(get("/3/0/13"))), "1000010");
    pair.ask(text(Code::PUT, "/3/0/13", "2000000"));
    pair.drive(Duration::from_secs(5));
    assert_eq!(words(&pair.ask(get("/3/0/13"))), "2000005");
}

#[test]
fn send_reports_values_unasked() {
    let mut pair = Pair::registered(config());
    pair.device
        .send(pair.now, &[TEMPERATURE, Path::Resource(3, 0, 9)])
        .unwrap();
    pair.wait_for(|event| *event == Event::Sent);
    let sent = pair.requests.last().unwrap();
    assert_eq!(sent.path, ["dp"]);
    let entries = decode(
        ContentFormat::SENML_CBOR,
        Path::Root,
        &sent.payload,
        Registry::oma(),
    );
    let paths: Vec<_> = entries.unwrap().iter().map(|entry| entry.path).collect();
    assert_eq!(paths, [TEMPERATURE, Path::Resource(3, 0, 9)]);
}

#[test]
fn send_can_be_muted() {
    let mut pair = Pair::registered(config());
    pair.ask(text(Code::PUT, "/1/0/23", "1"));
    assert_eq!(
        pair.device.send(pair.now, &[TEMPERATURE]),
        Err(SendError::Muted)
    );
    let mut old = Pair::registered(with_version(LwM2mVersion::V1_0));
    assert_eq!(
        old.device.send(old.now, &[TEMPERATURE]),
        Err(SendError::NotInRelease)
    );
}
