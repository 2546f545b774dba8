//! What a device gets wrong on demand.

use std::time::Duration;

use coap::{Code, Failure, Request, Response};
use lwm2m::attributes::AttributeName;
use lwm2m::{ContentFormat, Entry, LwM2mVersion, Path, Value, encode};
use lwm2m_client::{Config, Event, Fault, Profile};

use crate::pair::{
    Pair, accepting, config, discover, fetch, get, patch, put, request, text, with_version, words,
    write_attributes,
};

const CBOR: ContentFormat = ContentFormat::SENML_CBOR;
const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const AT: &str = "/3303/0/5700";

fn with(fault: Fault) -> Pair {
    Pair::registered(Config {
        faults: vec![fault],
        ..with_version(LwM2mVersion::V1_2)
    })
}

fn set(pair: &mut Pair, value: f64) {
    pair.device
        .set_value(pair.now, TEMPERATURE, Value::Float(value))
        .unwrap();
    pair.settle();
}

/// How a request ends, however long that takes.
fn end(pair: &mut Pair, request: Request) -> Result<Response, Failure> {
    let exchange = pair.send(request);
    pair.drive(Duration::from_mins(5));
    let at = pair.concluded.iter().position(|(id, _)| *id == exchange);
    pair.concluded.swap_remove(at.unwrap()).1
}

#[test]
fn composites_can_be_refused() {
    let mut pair = with(Fault::RefusesComposite);
    let read = pair.ask(fetch(CBOR, &["/3/0/9"]));
    assert_eq!(read.code, Code::METHOD_NOT_ALLOWED_4_05);
    let offset = put("/3/0/14", Value::String("+01:00".to_owned()));
    let written = pair.ask(patch(CBOR, &[offset]));
    assert_eq!(written.code, Code::METHOD_NOT_ALLOWED_4_05);
    assert_eq!(pair.ask(get("/3/0/9")).code, Code::CONTENT_2_05);
}

#[test]
fn composites_can_be_acknowledged_and_forgotten() {
    let mut pair = with(Fault::SwallowsComposite);
    assert_eq!(
        end(&mut pair, fetch(CBOR, &["/3/0/9"])),
        Err(Failure::Unanswered)
    );
    assert_eq!(pair.ask(get("/3/0/9")).code, Code::CONTENT_2_05);
}

#[test]
fn a_path_can_go_unanswered() {
    let mut pair = with(Fault::NeverAnswers(Path::ObjectInstance(3303, 0)));
    assert_eq!(end(&mut pair, get(AT)), Err(Failure::Unanswered));
    assert_eq!(pair.ask(get("/3/0/9")).code, Code::CONTENT_2_05);
}

#[test]
fn answers_can_come_in_messages_of_their_own() {
    let mut pair = with(Fault::AnswersAfter(Duration::from_secs(5)));
    let began = pair.now;
    let answer = pair.ask(text(Code::PUT, "/3/0/14", "+01:00"));
    assert_eq!(answer.code, Code::CHANGED_2_04);
    assert!(pair.now - began >= Duration::from_secs(5));
    let written = |event: &&Event| matches!(event, Event::Written { .. });
    assert_eq!(pair.events.iter().filter(written).count(), 1);
    assert_eq!(words(&pair.ask(get("/3/0/14"))), "+01:00");
    let mut pair = with(Fault::AnswersAfter(Duration::from_millis(300)));
    let reboot = pair.ask(request(Code::POST, "/3/0/4"));
    assert_eq!(reboot.code, Code::CHANGED_2_04, "even while it goes down");
}

#[test]
fn an_attribute_can_be_unknown() {
    let mut pair = with(Fault::RefusesAttribute(AttributeName::Con));
    let refused = pair.ask(write_attributes(AT, &["pmin=1", "con=1"]));
    assert_eq!(refused.code, Code::BAD_REQUEST_4_00);
    assert_eq!(pair.observe(AT, &["con=1"]).code, Code::BAD_REQUEST_4_00);
    let known = pair.ask(write_attributes(AT, &["pmin=1"]));
    assert_eq!(known.code, Code::CHANGED_2_04);
}

#[test]
fn parameters_of_an_observe_can_be_unknown_in_1_2() {
    let mut pair = with(Fault::RefusesObserveParameters);
    assert_eq!(pair.observe(AT, &["pmin=1"]).code, Code::BAD_REQUEST_4_00);
    assert_eq!(pair.observe(AT, &[]).code, Code::CONTENT_2_05);
}

#[test]
fn a_discover_can_be_answered_in_other_ways() {
    let mut pair = with(Fault::IgnoresDepth);
    let deep = words(&pair.ask(discover("/6", &["depth=0"])));
    assert_eq!(deep, words(&pair.ask(discover("/6", &[]))));
    let mut pair = with(Fault::DiscoversWithSlashes);
    let links = words(&pair.ask(discover("/6", &["depth=1"])));
    assert_eq!(links, "</6/>,</6/0/>");
}

#[test]
fn content_can_be_mislabelled() {
    let mut pair = with(Fault::MislabelsFormat(ContentFormat::TEXT));
    let read = pair.ask(accepting("/3303/0", ContentFormat::TLV));
    assert_eq!(read.content_format, Some(ContentFormat::TEXT.0));
    let honest = Pair::registered(config()).ask(accepting("/3303/0", ContentFormat::TLV));
    assert_eq!(read.payload, honest.payload);
    let written = pair.ask(text(Code::PUT, "/3/0/14", "+01:00"));
    assert_eq!(written.content_format, None, "there is nothing to label");
}

#[test]
fn content_can_come_without_format() {
    let mut pair = with(Fault::OmitsFormat);
    let read = pair.observe(AT, &[]);
    assert_eq!((read.content_format, words(&read).as_str()), (None, "20.0"));
    set(&mut pair, 21.0);
    pair.wait_for_notifications(1);
    assert_eq!(pair.notifications[0].1.content_format, None);
}

#[test]
fn formats_can_have_the_numbers_of_the_drafts() {
    let mut pair = with(Fault::NumbersFormatsAsDrafts);
    let numbers = [
        (ContentFormat::TLV, 1_542),
        (ContentFormat::JSON, 1_543),
        (CBOR, 112),
    ];
    for (format, number) in numbers {
        let read = pair.ask(accepting("/3303/0", format));
        assert_eq!(read.content_format, Some(number));
    }
    assert_eq!(pair.ask(get(AT)).content_format, Some(1_541));
}

#[test]
fn accept_can_be_ignored() {
    let mut pair = with(Fault::IgnoresAccept);
    let read = pair.ask(accepting(AT, ContentFormat::TLV));
    assert_eq!(
        (read.content_format, words(&read).as_str()),
        (Some(0), "20.0")
    );
}

#[test]
fn accept_can_be_refused_as_a_format() {
    let mut pair = with(Fault::RefusesAcceptAsFormat);
    let read = pair.ask(accepting("/3/0", ContentFormat::TEXT));
    assert_eq!(read.code, Code::UNSUPPORTED_CONTENT_FORMAT_4_15);
}

#[test]
fn a_created_instance_can_be_left_unnamed() {
    let mut pair = with(Fault::OmitsLocation);
    let created = pair.ask(request(Code::POST, "/3303"));
    assert_eq!(created.code, Code::CREATED_2_01);
    assert!(created.location_path.is_empty());
    assert_eq!(pair.ask(get("/3303/1")).code, Code::CONTENT_2_05);
}

#[test]
fn a_known_instance_can_be_refused_in_another_way() {
    let mut pair = with(Fault::RefusesKnownInstance);
    let unit = Entry::new(Path::Resource(3303, 0, 5701), Value::String("K".to_owned()));
    let create = Request {
        content_format: Some(CBOR.0),
        payload: encode(CBOR, Path::Object(3303), &[unit]).unwrap(),
        ..request(Code::POST, "/3303")
    };
    assert_eq!(pair.ask(create).code, Code::NOT_ACCEPTABLE_4_06);
}

#[test]
fn observations_can_lack_their_option() {
    let mut pair = with(Fault::OmitsObserve);
    let first = pair.observe(AT, &[]);
    assert_eq!((first.code, first.observe), (Code::CONTENT_2_05, None));
    assert_eq!(pair.device.observation_count(), 1);
    pair.events.clear();
    set(&mut pair, 21.0);
    assert_eq!(pair.events, [Event::Notified { path: TEMPERATURE }]);
    pair.drive(Duration::from_secs(1));
    assert!(
        pair.notifications.is_empty(),
        "a server takes it for a stray answer"
    );
}

#[test]
fn a_reset_can_be_ignored() {
    let mut pair = with(Fault::IgnoresReset);
    pair.observe(AT, &[]);
    pair.forget_observations();
    for value in [21.0, 22.0, 23.0] {
        set(&mut pair, value);
        pair.drive(Duration::from_secs(1));
    }
    assert_eq!(pair.device.observation_count(), 1);
    let notified = |event: &&Event| matches!(event, Event::Notified { .. });
    assert_eq!(pair.events.iter().filter(notified).count(), 3);
}

#[test]
fn tokens_can_be_wrong() {
    let mut pair = Pair::new(Config {
        faults: vec![Fault::WrongToken],
        ..config()
    });
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert!(end(&mut pair, get("/3/0/9")).is_err());
    assert!(pair.device.is_registered(), "its own requests are sound");
}

#[test]
fn faults_add_up() {
    let mut pair = Pair::registered(Config {
        faults: vec![
            Fault::OmitsLocation,
            Fault::IgnoresAccept,
            Fault::OmitsFormat,
        ],
        profile: Profile::full("odd"),
        ..config()
    });
    assert!(
        pair.ask(request(Code::POST, "/3303"))
            .location_path
            .is_empty()
    );
    let read = pair.ask(accepting("/3303/1/5700", CBOR));
    assert_eq!((read.content_format, words(&read).as_str()), (None, "0.0"));
}
