//! Devices behind a gateway (OMA LwM2M Gateway 1.1).

use std::time::Duration;

use coap::{Code, Request, Response};
use device_state::Quirks;
use lwm2m::attributes::NotificationAttributes;
use lwm2m::gateway::children;
use lwm2m::{
    ChildPrefix, CompositePaths, ContentFormat, Entry, ExecuteArguments, Observed, Operation,
    Patch, Path, RawRequest, Value, WriteMode,
};
use lwm2m_server::OperationFailure;

use crate::scripted::{Scripted, content, refused, text, values};

const OBJECTS: &str = "</>;ct=\"112 110\",</1/0>,</3/0>,</25/0>,</25/1>";
const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const UNIT: Path = Path::Resource(3303, 0, 5701);

fn gateway(script: impl FnMut(&Request) -> Option<Response> + 'static) -> Scripted {
    Scripted::registered("1.1", OBJECTS, script)
}

fn child() -> ChildPrefix {
    "dev0".parse().unwrap()
}

fn read(path: Path) -> Operation {
    Operation::Read { path, accept: None }
}

fn write(path: Path, value: Value) -> Operation {
    Operation::Write {
        path,
        mode: WriteMode::Replace,
        values: vec![Entry::new(path, value)],
    }
}

fn observe(path: Path) -> Operation {
    Operation::Observe {
        observed: path.into(),
        parameters: NotificationAttributes::default(),
    }
}

/// A gateway that takes observations, all of them of what reads as this.
fn observed_gateway(reading: &'static str) -> Scripted {
    gateway(move |request| {
        Some(Response {
            observe: request.observe.filter(|observe| *observe == 0),
            ..text(reading)
        })
    })
}

fn path_of(request: &Request) -> String {
    request.path.join("/")
}

#[test]
fn the_children_of_a_gateway_are_found_by_a_read_of_it_and_come_and_go_with_its_notifications() {
    let mut device = gateway(|_| {
        Some(Response {
            observe: Some(1),
            ..content(
                ContentFormat::SENML_JSON,
                br#"[{"bn":"/25/0/","n":"0","vs":"SN01"},{"n":"1","vs":"dev0"},
                    {"n":"3","vs":"</3303/0>"}]"#,
            )
        })
    });
    let observe = Operation::Observe {
        observed: Path::Object(25).into(),
        parameters: NotificationAttributes::default(),
    };
    let as_entries = |values: Vec<(Path, Value)>| -> Vec<Entry> {
        let entry = |(path, value)| Entry::new(path, value);
        values.into_iter().map(entry).collect()
    };
    let found = children(&as_entries(values(device.operate(observe))));
    let first = found[&0].as_ref().unwrap();
    assert_eq!((first.id.as_str(), &first.prefix), ("SN01", &child()));
    assert!(first.objects.contains(Path::ObjectInstance(3303, 0)));

    device.notify(content(
        ContentFormat::SENML_JSON,
        br#"[{"bn":"/25/1/","n":"0","vs":"SN02"},{"n":"1","vs":"dev1"}]"#,
    ));
    let name = |instance| Path::Resource(25, instance, 0);
    let (second, _) = device.last_value(name(1)).unwrap();
    assert_eq!(second, Value::String("SN02".to_owned()));
}

#[test]
fn an_operation_on_a_child_has_its_prefix_in_front_of_the_path() {
    let mut device = gateway(|request| {
        Some(match request.method {
            Code::GET => text("21.5"),
            _ => Response::new(Code::CHANGED_2_04),
        })
    });
    let read = device.operate_on(&child(), read(TEMPERATURE));
    assert_eq!(values(read), [(TEMPERATURE, Value::Float(21.5))]);
    let operations = [
        write(UNIT, Value::String("K".to_owned())),
        Operation::Execute {
            path: Path::Resource(3303, 0, 5605),
            arguments: ExecuteArguments::default(),
        },
        Operation::WriteAttributes {
            path: TEMPERATURE,
            attributes: NotificationAttributes::parse_query(&["pmin=5"]).unwrap(),
        },
    ];
    for operation in operations {
        device.operate_on(&child(), operation).unwrap();
    }
    let asked: Vec<_> = device.asked.iter().map(path_of).collect();
    assert_eq!(
        asked,
        [
            "dev0/3303/0/5700",
            "dev0/3303/0/5701",
            "dev0/3303/0/5605",
            "dev0/3303/0/5700"
        ]
    );
}

#[test]
fn what_a_child_answers_lies_below_it_whether_the_gateway_names_it_or_not() {
    let names = ["/dev0/3303/0/5701", "/3303/0/5701"];
    for name in names {
        let payload = format!(r#"[{{"n":"{name}","vs":"K"}}]"#);
        let mut device =
            gateway(move |_| Some(content(ContentFormat::SENML_JSON, payload.as_bytes())));
        let instance = read(Path::ObjectInstance(3303, 0));
        let read = values(device.operate_on(&child(), instance));
        assert_eq!(read, [(UNIT, Value::String("K".to_owned()))]);
    }
    // What another child says is no answer.
    let mut device = gateway(|_| {
        Some(content(
            ContentFormat::SENML_JSON,
            br#"[{"n":"/dev1/3303/0/5701","vs":"K"}]"#,
        ))
    });
    let answer = device.operate_on(&child(), read(UNIT));
    assert!(matches!(answer, Err(OperationFailure::BadAnswer(_))));
}

#[test]
fn a_write_to_a_child_names_it_in_the_formats_that_name_whole_paths() {
    let mut device = gateway(|_| Some(Response::new(Code::CHANGED_2_04)));
    let whole = Operation::Write {
        path: Path::ObjectInstance(3303, 0),
        mode: WriteMode::Update,
        values: vec![Entry::new(UNIT, Value::String("K".to_owned()))],
    };
    device.operate_on(&child(), whole).unwrap();
    let sent = &device.asked[0];
    assert_eq!(sent.content_format, Some(ContentFormat::SENML_CBOR.0));
    assert_eq!(
        sent.payload,
        b"\x81\xa3\x21\x6d/dev0/3303/0/\x00\x645701\x03\x61K"
    );
}

#[test]
fn a_discover_of_a_child_lists_paths_below_it() {
    let mut device = gateway(|_| {
        Some(content(
            ContentFormat::LINK,
            b"</dev0/3303/0>;pmin=5,</dev0/3303/0/5700>",
        ))
    });
    let discover = Operation::Discover {
        path: Path::ObjectInstance(3303, 0),
        depth: None,
    };
    let reply = device.operate_on(&child(), discover).unwrap();
    assert_eq!(reply.links, "</3303/0>;pmin=5,</3303/0/5700>");
    assert_eq!(path_of(&device.asked[0]), "dev0/3303/0");
}

#[test]
fn a_child_that_vanished_is_told_with_the_code_of_the_gateway() {
    let mut device = gateway(|_| Some(Response::new(Code::NOT_FOUND_4_04)));
    let gone = device.operate_on(&child(), read(TEMPERATURE));
    assert_eq!(refused(gone), Code::NOT_FOUND_4_04);
}

#[test]
fn what_a_gateway_does_not_do_for_its_children_is_refused_before_it_is_sent() {
    let mut device = gateway(|_| Some(text("")));
    let several = CompositePaths::new(vec![TEMPERATURE, UNIT]).unwrap();
    let observed = Observed::Composite(several);
    let operations = [
        Operation::ReadComposite {
            paths: vec![TEMPERATURE, UNIT],
            accept: None,
        },
        Operation::WriteComposite {
            patches: vec![Patch::Set(Entry::new(UNIT, Value::String("K".to_owned())))],
        },
        Operation::Create {
            path: Path::Object(3303),
            instance: Some(1),
            values: Vec::new(),
        },
        Operation::Delete {
            path: Path::ObjectInstance(3303, 0),
        },
        Operation::Observe {
            observed: observed.clone(),
            parameters: NotificationAttributes::default(),
        },
        Operation::CancelObserve { observed },
        Operation::Raw(RawRequest::new(lwm2m::Method::Get, "/3/0").unwrap()),
    ];
    for operation in operations {
        let name = operation.name();
        let refused = device.operate_on(&child(), operation).unwrap_err();
        assert!(
            matches!(&refused, OperationFailure::Invalid(why) if why.contains(name)),
            "{name}: {refused}"
        );
    }
    assert!(device.asked.is_empty());
}

#[test]
fn a_lifetime_that_is_written_to_a_child_is_not_that_of_the_gateway() {
    let year = || write(Path::Resource(1, 0, 1), Value::Integer(365 * 24 * 3_600));
    let mut device = gateway(|_| Some(Response::new(Code::CHANGED_2_04)));
    device.operate_on(&child(), year()).unwrap();
    device.drive(Duration::from_hours(48));
    assert_eq!(device.device_count(), 0, "it registered for a day");
    let mut device = gateway(|_| Some(Response::new(Code::CHANGED_2_04)));
    device.operate(year()).unwrap();
    device.drive(Duration::from_hours(48));
    assert_eq!(device.device_count(), 1);
}

#[test]
fn what_a_child_notifies_is_kept_as_its_own_and_not_as_the_gateways() {
    let mut device = observed_gateway("21.5");
    let first = device.operate_on(&child(), observe(TEMPERATURE));
    assert_eq!(values(first), [(TEMPERATURE, Value::Float(21.5))]);
    assert_eq!(path_of(&device.asked[0]), "dev0/3303/0/5700");
    assert_eq!(device.asked[0].observe, Some(0));

    let own = |device: &Scripted| device.last_value(TEMPERATURE);
    let of = |device: &Scripted, prefix: &str| {
        let child: ChildPrefix = prefix.parse().unwrap();
        device.child_value(&child, TEMPERATURE)
    };
    device.notify(text("22.5"));
    assert_eq!(of(&device, "dev0"), Some(Value::Float(22.5)));
    assert_eq!((of(&device, "dev1"), own(&device)), (None, None));
    // A gateway that names the whole path means the same.
    for name in ["/dev0/3303/0/5700", "/3303/0/5700"] {
        let payload = format!(r#"[{{"n":"{name}","v":23.5}}]"#);
        device.notify(content(ContentFormat::SENML_JSON, payload.as_bytes()));
        assert_eq!(of(&device, "dev0"), Some(Value::Float(23.5)), "{name}");
        device.notify(text("22.5"));
    }
    // What another child says is not of this observation.
    device.notify(content(
        ContentFormat::SENML_JSON,
        br#"[{"n":"/dev1/3303/0/5700","v":1}]"#,
    ));
    assert_eq!(of(&device, "dev0"), Some(Value::Float(22.5)));
    assert_eq!((of(&device, "dev1"), own(&device)), (None, None));
}

#[test]
fn the_same_path_of_a_gateway_and_of_its_child_is_observed_apart() {
    let mut device = observed_gateway("21.5");
    device.operate(observe(TEMPERATURE)).unwrap();
    device.notify(text("1.5"));
    device.operate_on(&child(), observe(TEMPERATURE)).unwrap();
    device.notify(text("2.5"));
    let tokens: Vec<_> = device.asked.iter().map(|asked| asked.token).collect();
    assert_ne!(tokens[0], tokens[1]);
    let (own, _) = device.last_value(TEMPERATURE).unwrap();
    assert_eq!(own, Value::Float(1.5));
    let behind = device.child_value(&child(), TEMPERATURE);
    assert_eq!(behind, Some(Value::Float(2.5)));

    // Once more is the same observation.
    device.operate_on(&child(), observe(TEMPERATURE)).unwrap();
    assert_eq!(device.asked[2].token, tokens[1]);
}

#[test]
fn a_child_is_observed_again_when_its_gateway_registers_until_nobody_wants_it() {
    let mut device = observed_gateway("21.5");
    device.hold(Observed::Behind {
        child: child(),
        path: TEMPERATURE,
    });
    device.register("1.1", OBJECTS);
    assert_eq!(path_of(&device.asked[0]), "dev0/3303/0/5700");
    assert_eq!(device.asked[0].observe, Some(0));
    // Nobody waits for the first value, so it is kept.
    let kept = |device: &Scripted| device.child_value(&child(), TEMPERATURE);
    assert_eq!(kept(&device), Some(Value::Float(21.5)));
    assert_eq!(device.last_value(TEMPERATURE), None);
    device.notify(text("22.5"));
    assert_eq!(kept(&device), Some(Value::Float(22.5)));

    let cancel = |observed: Path| Operation::CancelObserve {
        observed: observed.into(),
    };
    device.operate(cancel(TEMPERATURE)).unwrap();
    assert_eq!(device.asked.len(), 1, "the gateway's own was not observed");
    device.operate_on(&child(), cancel(TEMPERATURE)).unwrap();
    let told = &device.asked[1];
    assert_eq!(
        (path_of(told).as_str(), told.observe),
        ("dev0/3303/0/5700", Some(1))
    );
    assert_eq!(told.token, device.asked[0].token);
}

#[test]
fn parameters_that_are_refused_for_a_child_are_written_to_its_path_and_teach_nothing() {
    let mut device = Scripted::registered("1.2", OBJECTS, |request| {
        Some(match request.method {
            Code::GET if !request.query.is_empty() => Response::new(Code::BAD_REQUEST_4_00),
            Code::GET => Response {
                observe: Some(0),
                ..text("21.5")
            },
            _ => Response::new(Code::CHANGED_2_04),
        })
    });
    let asked_for = Operation::Observe {
        observed: TEMPERATURE.into(),
        parameters: NotificationAttributes::parse_query(&["pmin=5"]).unwrap(),
    };
    let first = device.operate_on(&child(), asked_for);
    assert_eq!(values(first), [(TEMPERATURE, Value::Float(21.5))]);
    let asked: Vec<_> = device.asked.iter().map(path_of).collect();
    assert_eq!(asked, ["dev0/3303/0/5700"; 3]);
    assert_eq!(device.asked[1].method, Code::PUT);
    assert!(!device.registration().quirks.no_observe_parameters);
    device.notify(text("22.5"));
    let behind = device.child_value(&child(), TEMPERATURE);
    assert_eq!(behind, Some(Value::Float(22.5)));
    assert_eq!(device.last_value(TEMPERATURE), None);
}

#[test]
fn what_a_child_gets_wrong_is_not_learnt_of_its_gateway() {
    let senml = br#"[{"bn":"/dev0/3303/0/","n":"5700","v":20.5}]"#;
    let mut device = gateway(|_| Some(content(ContentFormat::TLV, senml)));
    let result = device.operate_on(&child(), read(TEMPERATURE));
    assert_eq!(values(result), [(TEMPERATURE, Value::Float(20.5))]);
    assert_eq!(device.registration().quirks, Quirks::default());
}
