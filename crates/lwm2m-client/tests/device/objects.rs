//! The objects that a device has if its profile says so.

use std::time::Duration;

use coap::{Code, Request};
use lwm2m::{
    Binding, ContentFormat, Entry, LwM2mVersion, Patch, Path, RegisterRequest, Value, encode,
};
use lwm2m_client::{Config, Event, OptionalObject, Profile};

use crate::pair::{
    Pair, config, discover, fetch, get, patch, put, request, text, values, with_version, words,
    write_attributes,
};

const ETCH: ContentFormat = ContentFormat::SENML_ETCH_CBOR;

fn full(version: LwM2mVersion) -> Config {
    Config {
        profile: Profile::full("full-1"),
        ..with_version(version)
    }
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn number(pair: &mut Pair, path: &str) -> i64 {
    words(&pair.ask(get(path))).parse().unwrap()
}

#[test]
fn a_full_device_lists_all_of_its_objects() {
    for version in [LwM2mVersion::V1_0, LwM2mVersion::V1_1, LwM2mVersion::V1_2] {
        let mut pair = Pair::new(full(version));
        pair.wait_for(|event| matches!(event, Event::Registered { .. }));
        let sent = &pair.requests[0];
        let parsed = RegisterRequest::parse(&sent.query, &sent.payload).unwrap();
        assert_eq!(parsed.binding, Binding::UDP);
        for object in [1, 2, 3, 4, 5, 6, 7, 10, 11, 16, 19, 20, 3303] {
            assert!(
                parsed.links.contains(Path::Object(object)),
                "/{object} in {version:?}"
            );
            let read = pair.ask(get(&format!("/{object}")));
            assert_eq!(read.code, Code::CONTENT_2_05, "/{object} in {version:?}");
        }
    }
}

#[test]
fn a_plain_device_has_none_of_them() {
    let mut pair = Pair::registered(config());
    for object in [2, 7, 10, 16, 19, 20] {
        let read = pair.ask(get(&format!("/{object}")));
        assert_eq!(read.code, Code::NOT_FOUND_4_04, "/{object}");
    }
}

#[test]
fn cellular_connectivity_names_its_version() {
    let mut pair = Pair::new(full(LwM2mVersion::V1_1));
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    let listed = String::from_utf8(pair.requests[0].payload.clone()).unwrap();
    assert!(
        listed.contains("</10>;ver=1.1") || listed.contains("</10>;ver=\"1.1\""),
        "{listed}"
    );
    assert_eq!(number(&mut pair, "/10/0/12"), 3);
    let timer = pair.ask(text(Code::PUT, "/10/0/4", "120"));
    assert_eq!(timer.code, Code::CHANGED_2_04);
    assert_eq!(number(&mut pair, "/4/0/9"), 1);
}

#[test]
fn portfolios_come_and_go() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_1));
    let identity = |id, text| Entry::new(Path::ResourceInstance(16, 1, 0, id), string(text));
    let create = Request {
        content_format: Some(ContentFormat::TLV.0),
        payload: encode(
            ContentFormat::TLV,
            Path::Object(16),
            &[identity(0, "host"), identity(1, "maker")],
        )
        .unwrap(),
        ..request(Code::POST, "/16")
    };
    let created = pair.ask(create);
    assert_eq!(created.code, Code::CREATED_2_01);
    assert_eq!(created.location_path, ["16", "1"]);
    assert_eq!(words(&pair.ask(get("/16/1/0/1"))), "maker");
    assert_eq!(
        pair.ask(text(Code::PUT, "/16/1/0/1", "other")).code,
        Code::CHANGED_2_04
    );
    assert_eq!(words(&pair.ask(get("/16/1/0/1"))), "other");
    assert_eq!(
        words(&pair.ask(get("/16/1/0/0"))),
        "host",
        "its neighbour stays"
    );
    for path in ["/16/0", "/16/1"] {
        assert_eq!(
            pair.ask(request(Code::DELETE, path)).code,
            Code::DELETED_2_02
        );
    }
    assert_eq!(pair.ask(get("/16/1")).code, Code::NOT_FOUND_4_04);
    pair.drive(Duration::from_secs(1));
    let told = String::from_utf8(pair.requests.last().unwrap().payload.clone()).unwrap();
    assert!(told.contains("</16>") && !told.contains("</16/"), "{told}");
    let incomplete = pair.ask(request(Code::POST, "/16"));
    assert_eq!(
        incomplete.code,
        Code::BAD_REQUEST_4_00,
        "it lacks an identity"
    );
}

#[test]
fn resource_instances_are_deleted_in_1_2_only() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_2));
    pair.ask(write_attributes("/16/0/0/1", &["pmin=7"]));
    let deleted = pair.ask(request(Code::DELETE, "/16/0/0/1"));
    assert_eq!(deleted.code, Code::DELETED_2_02);
    let left = words(&pair.ask(discover("/16/0/0", &[])));
    assert_eq!(left, "</16/0/0>;dim=3,</16/0/0/0>,</16/0/0/2>,</16/0/0/3>");
    pair.wait_for(|event| {
        matches!(event, Event::Deleted { path } if *path == Path::ResourceInstance(16, 0, 0, 1))
    });
    let cases = [
        ("/16/0/0/1", Code::NOT_FOUND_4_04),
        ("/3/0/6/0", Code::METHOD_NOT_ALLOWED_4_05),
        ("/16/0/0", Code::METHOD_NOT_ALLOWED_4_05),
    ];
    for (path, code) in cases {
        assert_eq!(pair.ask(request(Code::DELETE, path)).code, code, "{path}");
    }
    let mut older = Pair::registered(full(LwM2mVersion::V1_1));
    let refused = older.ask(request(Code::DELETE, "/16/0/0/1"));
    assert_eq!(refused.code, Code::METHOD_NOT_ALLOWED_4_05);
}

#[test]
fn a_composite_write_removes_resource_instances_in_1_2() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_2));
    let remove = |path: &str| Patch::Remove(path.parse().unwrap());
    let patches = [remove("/16/0/0/2"), put("/16/0/0/9", string("new"))];
    assert_eq!(pair.ask(patch(ETCH, &patches)).code, Code::CHANGED_2_04);
    let patches = [remove("/16/0/0/9"), put("/16/0/0/8", string("newer"))];
    let written = pair.ask(patch(ContentFormat::LWM2M_CBOR, &patches));
    assert_eq!(written.code, Code::CHANGED_2_04);
    let listed = words(&pair.ask(discover("/16/0/0", &["depth=1"])));
    let expected = "</16/0/0>;dim=4,</16/0/0/0>,</16/0/0/1>,</16/0/0/3>,</16/0/0/8>";
    assert_eq!(listed, expected);
    for (bad, code) in [
        ("/16/0/0/2", Code::NOT_FOUND_4_04),
        ("/3/0/6/0", Code::METHOD_NOT_ALLOWED_4_05),
    ] {
        let patches = [put("/16/0/0/0", string("lost")), remove(bad)];
        assert_eq!(pair.ask(patch(ETCH, &patches)).code, code);
    }
    assert_ne!(words(&pair.ask(get("/16/0/0/0"))), "lost");
}

#[test]
fn statistics_count_bytes_between_start_and_stop() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_1));
    assert_eq!(number(&mut pair, "/7/0/2"), 0);
    assert_eq!(
        pair.ask(request(Code::POST, "/7/0/6")).code,
        Code::CHANGED_2_04
    );
    let long = "x".repeat(900);
    pair.ask(text(Code::PUT, "/3/0/15", &long));
    pair.ask(text(Code::PUT, "/3/0/15", &long));
    assert_eq!(
        number(&mut pair, "/7/0/3"),
        2,
        "two times 900 bytes and their headers"
    );
    assert!(number(&mut pair, "/7/0/4") > 900);
    pair.ask(request(Code::POST, "/7/0/7"));
    let stopped = number(&mut pair, "/7/0/3");
    pair.ask(text(Code::PUT, "/3/0/15", &long));
    assert_eq!(number(&mut pair, "/7/0/3"), stopped);
    pair.ask(request(Code::POST, "/7/0/6"));
    assert!(number(&mut pair, "/7/0/3") <= 1, "a start begins anew");
}

#[test]
fn statistics_are_reported_to_their_observer() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_1));
    pair.ask(request(Code::POST, "/7/0/6"));
    pair.observe("/7/0/4", &[]);
    pair.ask(text(Code::PUT, "/3/0/15", &"x".repeat(500)));
    pair.wait_for_notifications(1);
    pair.drive(Duration::from_secs(60));
    let count = pair.notifications.len();
    assert!(count <= 2, "a report does not cause the next one: {count}");
}

#[test]
fn the_event_log_has_a_line_per_request_while_it_runs() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_1));
    pair.ask(request(Code::POST, "/20/0/4011"));
    assert_eq!(number(&mut pair, "/20/0/4013"), 1);
    pair.ask(get("/3/0/9"));
    pair.ask(request(Code::POST, "/20/0/4012"));
    assert_eq!(number(&mut pair, "/20/0/4013"), 2);
    let log = words(&pair.ask(get("/20/0/4014")));
    assert!(log.contains("/3/0/9 2.05\n"), "{log}");
    assert_eq!(words(&pair.ask(get("/20/0/4014"))), log, "it has stopped");
}

#[test]
fn several_errors_are_instances_of_one_resource() {
    let mut pair = Pair::registered(with_version(LwM2mVersion::V1_2));
    pair.observe("/3/0/11", &[]);
    pair.device.report_errors(pair.now, &[1, 4, 7]);
    pair.settle();
    pair.wait_for_notifications(1);
    let codes = pair.ask(fetch(ContentFormat::SENML_CBOR, &["/3/0/11"]));
    let codes: Vec<_> = values(&codes).into_iter().map(|(_, value)| value).collect();
    assert_eq!(codes, [1, 4, 7].map(Value::Integer));
    pair.ask(request(Code::POST, "/3/0/12"));
    let left = pair.ask(fetch(ContentFormat::SENML_CBOR, &["/3/0/11"]));
    assert_eq!(values(&left), [("/3/0/11/0".to_owned(), Value::Integer(0))]);
}

/// Grants the server these rights on the Device object, which bootstrap owns.
fn grant(pair: &mut Pair, rights: i64) {
    pair.device
        .set_value(
            pair.now,
            Path::ResourceInstance(2, 0, 2, 1),
            Value::Integer(rights),
        )
        .unwrap();
    pair.settle();
}

#[test]
fn access_rights_are_enforced() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_2));
    let requests = [
        (1, get("/3/0/9"), Code::CONTENT_2_05),
        (
            1,
            write_attributes("/3/0/9", &["pmin=1"]),
            Code::CHANGED_2_04,
        ),
        (2, text(Code::PUT, "/3/0/14", "+01:00"), Code::CHANGED_2_04),
        (
            2,
            patch(ETCH, &[put("/3/0/14", string("+02:00"))]),
            Code::CHANGED_2_04,
        ),
        (4, request(Code::POST, "/3/0/12"), Code::CHANGED_2_04),
    ];
    for (right, request, allowed) in requests {
        let shown = format!("{request:?}");
        grant(&mut pair, right);
        assert_eq!(pair.ask(request.clone()).code, allowed, "{shown}");
        grant(&mut pair, 31 & !right);
        assert_eq!(pair.ask(request).code, Code::UNAUTHORIZED_4_01, "{shown}");
    }
    grant(&mut pair, 0);
    let read = pair.ask(fetch(
        ContentFormat::SENML_CBOR,
        &["/3/0/9", "/3303/0/5700"],
    ));
    assert_eq!(
        values(&read),
        [("/3303/0/5700".to_owned(), Value::Float(20.0))]
    );
    assert_eq!(pair.ask(discover("/3", &[])).code, Code::CONTENT_2_05);
}

#[test]
fn only_an_owner_changes_access_rights() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_1));
    let foreign = pair.ask(text(Code::PUT, "/2/0/2/1", "1"));
    assert_eq!(foreign.code, Code::UNAUTHORIZED_4_01);
    let own = pair.ask(text(Code::PUT, "/2/1/2/1", "30"));
    assert_eq!(own.code, Code::CHANGED_2_04);
    assert_eq!(pair.ask(get("/3303/0/5700")).code, Code::UNAUTHORIZED_4_01);
}

#[test]
fn who_creates_an_instance_owns_it() {
    let mut pair = Pair::registered(full(LwM2mVersion::V1_1));
    pair.ask(request(Code::POST, "/3303"));
    assert_eq!(number(&mut pair, "/2/2/0"), 3303);
    assert_eq!(number(&mut pair, "/2/2/1"), 1);
    assert_eq!(number(&mut pair, "/2/2/3"), 1);
    assert_eq!(
        pair.ask(request(Code::DELETE, "/3303/1")).code,
        Code::DELETED_2_02
    );
    assert_eq!(pair.ask(get("/2/2")).code, Code::NOT_FOUND_4_04);
}

#[test]
fn a_profile_chooses_single_objects() {
    let mut pair = Pair::registered(Config {
        profile: Profile {
            optional: vec![OptionalObject::BinaryAppData],
            ..Profile::new("one")
        },
        ..config()
    });
    let data = Request {
        content_format: Some(ContentFormat::OPAQUE.0),
        payload: vec![1, 2, 3],
        ..request(Code::PUT, "/19/0/0/0")
    };
    assert_eq!(pair.ask(data).code, Code::CHANGED_2_04);
    assert_eq!(pair.ask(get("/19/0/0/0")).payload, [1, 2, 3]);
    assert_eq!(pair.ask(get("/16")).code, Code::NOT_FOUND_4_04);
}
