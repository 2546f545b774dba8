//! Formats: what devices answer in, and what they take.

use coap::{Code, Request, Response, number};
use device_state::{NodeId, OperationOutcome};
use lwm2m::{
    ContentFormat, Entry, Operation, Patch, Path, Registry, Value, decode_patch, decode_paths,
};

use lwm2m_server::Config;

use crate::scripted::{Scripted, content, refused, text, values};
use crate::site::{Commits, Site, answer, anyone, asked_of};

const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const UNIT: Path = Path::Resource(3303, 0, 5701);
const OBJECTS: &str = "</1/0>,</3/0>,</3303/0>";

fn read(path: Path) -> Operation {
    Operation::Read { path, accept: None }
}

fn accepts(request: &Request, formats: &[ContentFormat]) -> bool {
    let body = request.content_format.map(ContentFormat);
    body.is_some_and(|body| formats.contains(&body))
}

#[test]
fn without_accept_a_device_may_answer_in_any_format_that_there_is() {
    let unit = [(UNIT, Value::String("K".to_owned()))];
    let bytes = |hex: &[u8]| hex.to_vec();
    let answers = [
        (ContentFormat::TLV, bytes(b"\xe1\x16\x45K")),
        (ContentFormat(1_542), bytes(b"\xe1\x16\x45K")),
        (
            ContentFormat::JSON,
            bytes(br#"{"bn":"/3303/0/","e":[{"n":"5701","sv":"K"}]}"#),
        ),
        (
            ContentFormat(1_543),
            bytes(br#"{"bn":"/3303/0/","e":[{"n":"5701","sv":"K"}]}"#),
        ),
        (
            ContentFormat::SENML_JSON,
            bytes(br#"[{"bn":"/3303/0/","n":"5701","vs":"K"}]"#),
        ),
        (
            ContentFormat::SENML_CBOR,
            bytes(b"\x81\xa2\x00\x6c/3303/0/5701\x03\x61K"),
        ),
        (
            ContentFormat::LWM2M_CBOR,
            bytes(b"\xa1\x83\x19\x0c\xe7\x00\x19\x16\x45\x61K"),
        ),
    ];
    let mut device = Scripted::registered("1.2", OBJECTS, |_| None);
    for (format, payload) in answers {
        device.answer_by(move |_| Some(content(format, &payload)));
        let read = values(device.operate(read(Path::ObjectInstance(3303, 0))));
        assert_eq!(read, unit, "{format}");
        assert_eq!(device.asked[0].accept, None);
    }
    let singles = [
        (ContentFormat::TEXT, bytes(b"K")),
        (ContentFormat(1_541), bytes(b"K")),
        (ContentFormat::CBOR, bytes(b"\x61K")),
    ];
    for (format, payload) in singles {
        device.answer_by(move |_| Some(content(format, &payload)));
        assert_eq!(values(device.operate(read(UNIT))), unit, "{format}");
    }
    // No format at all is text (LwM2M Transport 1.2 §6.4.4).
    device.answer_by(|_| {
        Some(Response {
            payload: b"K".to_vec(),
            ..Response::new(Code::CONTENT_2_05)
        })
    });
    assert_eq!(values(device.operate(read(UNIT))), unit);
}

#[test]
fn a_refused_accept_or_format_leads_to_the_next_one_and_in_the_end_to_the_refusal() {
    for code in [
        Code::NOT_ACCEPTABLE_4_06,
        Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
    ] {
        // It answers in the format that it likes and takes no Accept, whatever it announced.
        let links = "</>;ct=\"112\",</3303/0>";
        let mut device = Scripted::registered("1.1", links, move |request| {
            Some(match request.accept {
                None => content(
                    ContentFormat::SENML_JSON,
                    br#"[{"bn":"/3303/0/","n":"5701","vs":"K"}]"#,
                ),
                Some(_) => Response::new(code),
            })
        });
        let instance = Path::ObjectInstance(3303, 0);
        assert_eq!(values(device.operate(read(instance))).len(), 1, "{code}");
        let asked: Vec<_> = device.asked.iter().map(|request| request.accept).collect();
        assert_eq!(asked, [Some(ContentFormat::SENML_CBOR.0), None]);

        device.answer_by(move |_| Some(Response::new(code)));
        assert_eq!(refused(device.operate(read(instance))), code);

        // A write is tried in every format that the device may know.
        device.answer_by(move |request| {
            let takes = accepts(request, &[ContentFormat::SENML_CBOR]);
            Some(Response::new(if takes { Code::CHANGED_2_04 } else { code }))
        });
        let write = Operation::Write {
            path: UNIT,
            mode: lwm2m::WriteMode::Replace,
            values: vec![Entry::new(UNIT, Value::String("K".to_owned()))],
        };
        values(device.operate(write));
        let formats = device.asked.iter().map(|asked| asked.content_format);
        assert!(formats.eq([
            Some(ContentFormat::TEXT.0),
            Some(ContentFormat::SENML_CBOR.0)
        ]));
    }
}

#[test]
fn the_body_of_a_composite_operation_is_senml_or_senml_etch_as_the_device_takes_it() {
    let etch = [
        ContentFormat::SENML_ETCH_CBOR,
        ContentFormat::SENML_ETCH_JSON,
    ];
    let senml = [ContentFormat::SENML_CBOR, ContentFormat::SENML_JSON];
    let asked_for = [UNIT, Path::Resource(3, 0, 0)];
    for taken in etch.iter().chain(&senml).copied() {
        let mut device = Scripted::registered("1.2", OBJECTS, move |request| {
            if !accepts(request, &[taken]) {
                return Some(Response::new(Code::UNSUPPORTED_CONTENT_FORMAT_4_15));
            }
            Some(match request.method {
                Code::FETCH => content(
                    ContentFormat::SENML_JSON,
                    br#"[{"n":"/3303/0/5701","vs":"K"}]"#,
                ),
                _ => Response::new(Code::CHANGED_2_04),
            })
        });
        let read = Operation::ReadComposite {
            paths: asked_for.to_vec(),
            accept: None,
        };
        assert_eq!(values(device.operate(read)).len(), 1, "{taken}");
        let fetch = device.asked.last().unwrap();
        assert_eq!(fetch.method, Code::FETCH, "{taken}");
        assert_eq!(
            decode_paths(taken, &fetch.payload),
            Ok(asked_for.to_vec()),
            "{taken}"
        );
        let patches = vec![Patch::Set(Entry::new(UNIT, Value::String("C".to_owned())))];
        let write = Operation::WriteComposite {
            patches: patches.clone(),
        };
        device.operate(write).unwrap();
        let patch = device.asked.last().unwrap();
        assert_eq!(
            decode_patch(taken, &patch.payload, Registry::oma()),
            Ok(patches),
            "{taken}"
        );
    }
}

#[test]
fn a_format_that_the_device_announced_is_tried_first() {
    let links = "</>;ct=\"322 112\",</3303/0>";
    let mut device = Scripted::registered("1.2", links, |_| Some(text("")));
    let read = Operation::ReadComposite {
        paths: vec![TEMPERATURE, UNIT],
        accept: None,
    };
    device.operate(read).unwrap_err();
    let first = device.asked[0].content_format.map(ContentFormat);
    assert_eq!(first, Some(ContentFormat::SENML_CBOR));
    // Only a patch in SenML-ETCH removes.
    let remove = Operation::WriteComposite {
        patches: vec![Patch::Remove(Path::ResourceInstance(16, 0, 0, 1))],
    };
    device.answer_by(|_| Some(Response::new(Code::CHANGED_2_04)));
    device.operate(remove).unwrap();
    let patch = &device.asked[0];
    assert!(accepts(patch, &[ContentFormat::SENML_ETCH_CBOR]));
    assert_eq!(patch.payload, b"\x81\xa2\x00\x69/16/0/0/1\x02\xf6");
}

#[test]
fn names_below_an_alternate_path_are_read_with_it_and_without() {
    let links = "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3303/0>";
    let mut device = Scripted::registered("1.1", links, |_| None);
    for name in ["/lwm2m/3303/0/5701", "/3303/0/5701"] {
        let payload = format!(r#"[{{"n":"{name}","vs":"K"}}]"#).into_bytes();
        let sent = payload.clone();
        device.answer_by(move |_| Some(content(ContentFormat::SENML_JSON, &payload)));
        let read = values(device.operate(read(Path::ObjectInstance(3303, 0))));
        assert_eq!(read, [(UNIT, Value::String("K".to_owned()))], "{name}");
        assert_eq!(device.asked[0].path, ["lwm2m", "3303", "0"]);
        let sent = device.uplink(Request {
            content_format: Some(ContentFormat::SENML_JSON.0),
            payload: sent,
            ..Request::new(Code::POST, ["dp"])
        });
        assert_eq!(sent.code, Code::CHANGED_2_04, "{name}");
        assert!(device.last_value(UNIT).is_some(), "{name}");
    }
}

#[test]
fn what_is_learnt_of_a_device_asks_for_no_commit_when_too_many_wait() {
    let mut site = Site::with(Config {
        max_pending_commits: 1,
        ..Config::new(NodeId(1), 1)
    });
    let id = site.registered(&anyone(1), "mislabels", "");
    site.commits = Commits::Wait;
    let update = site.update(&id, "", "");
    site.tell(&anyone(1), &update);
    let before = site.asked;
    let asked = asked_of(1, &site.operate(&id, read(TEMPERATURE)));
    let mut answer = answer(&asked, Code::CONTENT_2_05, "");
    let label = u32::from(ContentFormat::TLV.0);
    answer.options.push_uint(number::CONTENT_FORMAT, label);
    answer.payload = br#"[{"n":"/3303/0/5700","v":20.5}]"#.to_vec();
    site.tell(&anyone(1), &answer);
    let (_, result) = site.done.pop().unwrap();
    let values = vec![(TEMPERATURE, Value::Float(20.5))];
    let code = Code::CONTENT_2_05.as_byte();
    assert_eq!(result, Ok(OperationOutcome::Delivered { code, values }));
    assert_eq!(site.asked, before);
}
