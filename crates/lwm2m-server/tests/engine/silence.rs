//! Devices that acknowledge composite requests and never answer them, as Wakaama does.

use std::time::Duration;

use coap::{Code, Request, Response};
use device_state::Quirks;
use lwm2m::{
    CompositePaths, Entry, NotificationAttributes, Observed, Operation, Patch, Path, Value,
};
use lwm2m_server::{OperationFailure, OperationTag};

use crate::scripted::{Scripted, text, values};

const MANUFACTURER: Path = Path::Resource(3, 0, 0);
const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const OBJECTS: &str = "</1/0>,</3/0>,</3303/0>";

fn is_composite(request: &Request) -> bool {
    matches!(request.method, Code::FETCH | Code::IPATCH)
}

/// What Wakaama says.
fn single_only(request: &Request) -> Option<Response> {
    if is_composite(request) {
        return None;
    }
    let value = if request.path == ["3", "0", "0"] {
        "Drover"
    } else {
        "21.5"
    };
    Some(Response {
        observe: request.observe.map(|_| 5),
        ..text(value)
    })
}

fn wakaama() -> Scripted {
    Scripted::registered("1.1", OBJECTS, single_only)
}

fn read() -> Operation {
    Operation::ReadComposite {
        paths: vec![MANUFACTURER, TEMPERATURE],
        accept: None,
    }
}

fn write() -> Operation {
    let offset = Path::Resource(3, 0, 14);
    let value = Value::String("+02:00".to_owned());
    Operation::WriteComposite {
        patches: vec![Patch::Set(Entry::new(offset, value))],
    }
}

fn composites(device: &Scripted) -> usize {
    device
        .asked
        .iter()
        .filter(|asked| is_composite(asked))
        .count()
}

fn both() -> [(Path, Value); 2] {
    [
        (MANUFACTURER, Value::String("Drover".to_owned())),
        (TEMPERATURE, Value::Float(21.5)),
    ]
}

fn knows_none(device: &Scripted) -> bool {
    device.registration().quirks.no_composite
}

#[test]
fn a_composite_read_without_an_answer_is_made_of_single_reads_and_remembered() {
    let mut device = wakaama();
    let began = device.now;
    assert_eq!(values(device.operate(read())), both());
    assert!(device.now - began < Duration::from_secs(20), "callers wait");
    assert!(knows_none(&device));
    device.asked.clear();
    let began = device.now;
    assert_eq!(values(device.operate(read())), both());
    assert_eq!((composites(&device), device.now), (0, began));
}

#[test]
fn a_composite_observation_without_an_answer_is_made_of_single_ones_and_remembered() {
    let observed = CompositePaths::new(vec![MANUFACTURER, TEMPERATURE]).unwrap();
    let observe = Operation::Observe {
        observed: Observed::Composite(observed),
        parameters: NotificationAttributes::default(),
    };
    let mut device = wakaama();
    assert_eq!(values(device.operate(observe)), both());
    assert!(knows_none(&device));
    let singles = device
        .asked
        .iter()
        .filter(|asked| asked.observe == Some(0) && !is_composite(asked));
    assert_eq!(singles.count(), 2);
}

#[test]
fn a_device_that_answers_single_reads_neither_is_not_thought_to_lack_composite_ones() {
    // The sensor hangs, whatever way it is asked for.
    let hangs = |request: &Request| {
        (!is_composite(request) && request.path[0] == "3").then(|| text("Drover"))
    };
    let mut device = Scripted::registered("1.1", OBJECTS, hangs);
    assert_eq!(device.operate(read()), Err(OperationFailure::Timeout));
    assert_eq!(device.registration().quirks, Quirks::default());
}

#[test]
fn a_composite_read_of_the_whole_device_is_not_taken_apart() {
    let mut device = wakaama();
    let root = Operation::ReadComposite {
        paths: vec![Path::Root],
        accept: None,
    };
    assert_eq!(device.operate(root), Err(OperationFailure::Timeout));
    assert_eq!(device.asked.len(), composites(&device));
}

/// Whether a write was given up, and the next one is refused at once.
fn assert_learnt(device: &mut Scripted) {
    device.drive(Duration::from_mins(1));
    assert!(knows_none(device));
    let written = device
        .asked
        .iter()
        .filter(|asked| asked.method == Code::IPATCH);
    assert_eq!(written.count(), 1, "it is not repeated");
    let puts = |asked: &&Request| matches!(asked.method, Code::PUT | Code::POST);
    assert_eq!(device.asked.iter().find(puts), None, "nor made of pieces");
    device.asked.clear();
    let refused = device.operate(write()).unwrap_err().to_string();
    assert!(refused.contains("no composite operations"), "{refused}");
    assert_eq!(values(device.operate(read())), both());
    assert_eq!(composites(device), 0);
}

#[test]
fn a_composite_write_without_an_answer_is_not_made_of_pieces_and_remembered() {
    let mut device = wakaama();
    assert_eq!(device.operate(write()), Err(OperationFailure::Timeout));
    assert_learnt(&mut device);
}

#[test]
fn a_composite_write_that_its_caller_gave_up_is_remembered_too() {
    let mut device = wakaama();
    let tag: OperationTag = device.begin(write());
    device.drive(Duration::from_secs(30));
    device.cancel(tag);
    assert_learnt(&mut device);
}

#[test]
fn a_composite_write_without_an_answer_teaches_nothing_of_a_device_that_answers_composite_reads() {
    let mut device = Scripted::registered("1.1", OBJECTS, |request| {
        (request.method != Code::IPATCH)
            .then(|| crate::scripted::content(lwm2m::ContentFormat::SENML_JSON, b"[]"))
    });
    assert_eq!(device.operate(write()), Err(OperationFailure::Timeout));
    device.drive(Duration::from_mins(2));
    assert_eq!(device.registration().quirks, Quirks::default());
}

#[test]
fn a_device_that_is_not_there_is_not_asked_in_pieces() {
    let mut device = wakaama();
    device.lose_everything = true;
    assert_eq!(device.operate(read()), Err(OperationFailure::Timeout));
    assert_eq!(device.registration().quirks, Quirks::default());
}
