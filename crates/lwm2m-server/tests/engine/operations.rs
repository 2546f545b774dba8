//! Operations as requests, and what devices make of them.

use coap::{Code, Request, Response};
use lwm2m::attributes::NotificationAttributes;
use lwm2m::{ContentFormat, Entry, ExecuteArguments, Operation, Path, Value, WriteMode};
use lwm2m_server::OperationFailure;

use crate::scripted::{Scripted, content, refused, text, values};

const OBJECTS: &str = "</>;ct=\"112 110\",</1/0>,</3/0>,</5/0>,</16/0>,</3303/0>";

fn write(path: Path, mode: WriteMode, value: Value) -> Operation {
    let values = vec![Entry::new(path, value)];
    Operation::Write { path, mode, values }
}

fn create(instance: Option<u16>) -> Operation {
    let unit = Path::Resource(3303, instance.unwrap_or(0), 5701);
    Operation::Create {
        path: Path::Object(3303),
        instance,
        values: vec![Entry::new(unit, Value::String("K".to_owned()))],
    }
}

fn execute(path: Path, arguments: &str) -> Operation {
    Operation::Execute {
        path,
        arguments: arguments.parse().unwrap(),
    }
}

/// The one request that an operation leads to.
fn request_of(operation: Operation) -> Request {
    let mut device =
        Scripted::registered("1.1", OBJECTS, |_| Some(Response::new(Code::CHANGED_2_04)));
    device.operate(operation).unwrap();
    assert_eq!(device.asked.len(), 1);
    device.asked.remove(0)
}

#[test]
fn an_instance_without_values_is_created_under_its_id() {
    let request = request_of(Operation::Create {
        path: Path::Object(3303),
        instance: Some(7),
        values: Vec::new(),
    });
    assert_eq!(request.content_format, Some(ContentFormat::TLV.0));
    assert_eq!(request.payload, [0, 7]);
}

#[test]
fn each_operation_has_the_method_by_which_a_client_tells_it_from_the_others() {
    let level = Path::Resource(3303, 0, 5700);
    let several = Path::Resource(16, 0, 0);
    let identity = Path::ResourceInstance(16, 0, 0, 3);
    let merged = Operation::Write {
        path: several,
        mode: WriteMode::Update,
        values: vec![Entry::new(identity, Value::String("x".to_owned()))],
    };
    let replaced = Operation::Write {
        path: several,
        mode: WriteMode::Replace,
        values: vec![Entry::new(identity, Value::String("x".to_owned()))],
    };
    let partial = Operation::Write {
        path: Path::ObjectInstance(3303, 0),
        mode: WriteMode::Update,
        values: vec![Entry::new(level, Value::Float(1.0))],
    };
    let whole = Operation::Write {
        path: Path::ObjectInstance(3303, 0),
        mode: WriteMode::Replace,
        values: vec![Entry::new(level, Value::Float(1.0))],
    };
    let attributes = Operation::WriteAttributes {
        path: level,
        attributes: NotificationAttributes::parse_query(&["pmin=5"]).unwrap(),
    };
    // The method, the depth of the path, whether there is a format and a payload.
    let cases = [
        (create(Some(4)), Code::POST, 1, true),
        (partial, Code::POST, 2, true),
        (merged, Code::POST, 3, true),
        (whole, Code::PUT, 2, true),
        (replaced, Code::PUT, 3, true),
        (
            write(level, WriteMode::Replace, Value::Float(1.0)),
            Code::PUT,
            3,
            true,
        ),
        (execute(Path::Resource(3, 0, 4), ""), Code::POST, 3, false),
        (attributes, Code::PUT, 3, false),
        (
            Operation::Delete {
                path: Path::ObjectInstance(3303, 0),
            },
            Code::DELETE,
            2,
            false,
        ),
    ];
    for (operation, method, depth, has_body) in cases {
        let request = request_of(operation.clone());
        assert_eq!(request.method, method, "{operation:?}");
        assert_eq!(request.path.len(), depth, "{operation:?}");
        assert_eq!(request.content_format.is_some(), has_body, "{operation:?}");
        assert_eq!(!request.payload.is_empty(), has_body, "{operation:?}");
        let has_query = matches!(operation, Operation::WriteAttributes { .. });
        assert_eq!(!request.query.is_empty(), has_query, "{operation:?}");
    }
}

#[test]
fn a_created_instance_that_the_device_does_not_name_is_not_guessed_and_can_be_discovered() {
    let located = |segments: &[&str]| Response {
        location_path: segments.iter().map(|&part| part.to_owned()).collect(),
        ..Response::new(Code::CREATED_2_01)
    };
    let mut device = Scripted::registered("1.1", OBJECTS, |_| None);
    let answer = located(&["3303", "7"]);
    device.answer_by(move |_| Some(answer.clone()));
    let seven = Path::ObjectInstance(3303, 7);
    let named = values(device.operate(create(None)));
    assert_eq!(named, [(seven, Value::String(seven.to_string()))]);

    device.answer_by(|request| match request.method {
        Code::POST => Some(Response::new(Code::CREATED_2_01)),
        _ if request.accept == Some(ContentFormat::LINK.0) => {
            Some(content(ContentFormat::LINK, b"</3303>,</3303/0>,</3303/7>"))
        }
        _ => Some(text("21.5")),
    });
    assert_eq!(values(device.operate(create(None))), []);
    // What was asked for is what there is.
    let four = Path::ObjectInstance(3303, 4);
    let asked_for = values(device.operate(create(Some(4))));
    assert_eq!(asked_for, [(four, Value::String(four.to_string()))]);
    let discover = Operation::Discover {
        path: Path::Object(3303),
        depth: None,
    };
    let links = device.operate(discover).unwrap().links;
    assert!(links.contains("</3303/7>"), "{links}");
    // No Update told of the instance, and still it is used.
    let path = Path::Resource(3303, 7, 5700);
    let read = Operation::Read { path, accept: None };
    assert_eq!(values(device.operate(read)), [(path, Value::Float(21.5))]);
}

#[test]
fn a_create_of_what_exists_is_refused_in_either_way_and_is_not_made_another_operation() {
    for code in [Code::BAD_REQUEST_4_00, Code::NOT_ACCEPTABLE_4_06] {
        let mut device = Scripted::registered("1.1", OBJECTS, move |_| Some(Response::new(code)));
        assert_eq!(refused(device.operate(create(Some(0)))), code);
        let creates = |request: &Request| request.method == Code::POST && request.path == ["3303"];
        assert!(device.asked.iter().all(creates), "{:?}", device.asked);
    }
}

#[test]
fn the_state_and_the_result_of_an_update_are_reported_whatever_a_client_makes_of_them() {
    let mut device = Scripted::registered("1.1", OBJECTS, |_| None);
    // Of an unsupported type of package some return to Idle and some stay in Downloading.
    for (state, result) in [(1, 6), (0, 6), (0, 10), (2, 11), (3, 12), (2, 13)] {
        let tlv = [0xc1, 3, state, 0xc1, 5, result];
        device.answer_by(move |_| Some(content(ContentFormat::TLV, &tlv)));
        let read = Operation::Read {
            path: Path::ObjectInstance(5, 0),
            accept: None,
        };
        let number = |value: u8| Value::Integer(value.into());
        assert_eq!(
            values(device.operate(read)),
            [
                (Path::Resource(5, 0, 3), number(state)),
                (Path::Resource(5, 0, 5), number(result)),
            ]
        );
    }
}

#[test]
fn an_execute_carries_the_links_of_the_instances_to_update_together() {
    let arguments = "0='</33629/1>,</33629/2>'";
    let request = request_of(execute(Path::Resource(33_629, 0, 2), arguments));
    assert_eq!(request.method, Code::POST);
    assert_eq!(request.path, ["33629", "0", "2"]);
    assert_eq!(request.payload, arguments.as_bytes());
    // No link list of a device ends the quoted value early.
    for broken in [
        "0='</33629/1>;title='x''",
        "0='</33629/1>;ver=\"1.0\"'",
        "0=</33629/1>",
    ] {
        assert!(broken.parse::<ExecuteArguments>().is_err(), "{broken}");
    }
}

#[test]
fn a_refused_update_is_told_with_its_code_and_the_state_can_be_read() {
    let mut device = Scripted::registered("1.1", OBJECTS, |request| {
        Some(match request.method {
            Code::POST => Response::new(Code::METHOD_NOT_ALLOWED_4_05),
            _ => content(ContentFormat::TLV, &[0xc1, 3, 3, 0xc1, 5, 0]),
        })
    });
    let update = device.operate(execute(Path::Resource(5, 0, 2), ""));
    assert_eq!(refused(update), Code::METHOD_NOT_ALLOWED_4_05);
    let executions = device.asked.len();
    assert_eq!(executions, 1, "it is not repeated");
    let read = Operation::Read {
        path: Path::ObjectInstance(5, 0),
        accept: None,
    };
    let state = (Path::Resource(5, 0, 3), Value::Integer(3));
    assert!(values(device.operate(read)).contains(&state));
}

#[test]
fn what_resets_an_update_is_sent_as_one_zero_byte_or_as_an_empty_address() {
    let package = Path::Resource(5, 0, 0);
    let reset = request_of(write(package, WriteMode::Replace, Value::Opaque(vec![0])));
    assert_eq!(
        (reset.method, reset.payload.as_slice()),
        (Code::PUT, &[0][..])
    );
    assert_eq!(reset.content_format, Some(ContentFormat::OPAQUE.0));
    let address = Path::Resource(5, 0, 1);
    let empty = Value::String(String::new());
    let reset = request_of(write(address, WriteMode::Replace, empty));
    assert_eq!(
        (reset.method, reset.payload.as_slice()),
        (Code::PUT, &[][..])
    );
    // Without a format it would write attributes.
    assert_eq!(reset.content_format, Some(ContentFormat::TEXT.0));
}

#[test]
fn a_device_whose_session_is_gone_is_sent_nothing_until_it_comes_back() {
    let read = || Operation::Read {
        path: Path::Resource(3, 0, 0),
        accept: None,
    };
    let mut device = Scripted::registered("1.1", OBJECTS, |_| Some(text("Drover")));
    device.end_session();
    assert_eq!(device.operate(read()), Err(OperationFailure::NotHere));
    assert!(device.asked.is_empty());
    // An Update over another session.
    let id = device.registration().id;
    let updated = device.uplink(Request::new(Code::POST, ["rd", id.as_str()]));
    assert_eq!(updated.code, Code::CHANGED_2_04);
    assert_eq!(values(device.operate(read())).len(), 1);
}
