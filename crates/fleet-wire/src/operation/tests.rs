#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::HashMap;

use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;

fn ask(request: Request, immediate: bool) -> Ask {
    Ask {
        endpoint: "meter-1".to_owned(),
        request,
        deadline: Duration::from_secs(3_600),
        immediate,
        request_id: "once".to_owned(),
    }
}

fn status(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "drover.dev", HashMap::new());
    Status::with_error_details(code, "as it was said", details)
}

#[test]
fn what_changes_a_device_is_asked_for_once_and_kept_until_it_listens() {
    let request = Request::Execute {
        path: "/3/0/4".parse().unwrap(),
        arguments: String::new(),
    };
    let Call::Execute(message) = Call::from(&ask(request.clone(), false)) else {
        panic!("an Execute is an Execute");
    };
    assert_eq!(
        (message.endpoint.as_str(), message.path.as_str()),
        ("meter-1", "/3/0/4")
    );
    let delivery = message.delivery.unwrap();
    assert_eq!(delivery.request_id, "once");
    assert_eq!(delivery.deadline.unwrap().seconds, 3_600);
    assert_eq!(delivery.wait(), api::delivery::Wait::UntilAccepted);
    // Nobody waits longer than the call for what is to be done now.
    let Call::Execute(message) = Call::from(&ask(request, true)) else {
        panic!("an Execute is an Execute");
    };
    let delivery = message.delivery.unwrap();
    assert!(delivery.immediate);
    assert_eq!(
        delivery.deadline.unwrap().seconds,
        PATIENCE.as_secs() as i64
    );
    assert_eq!(delivery.wait(), api::delivery::Wait::UntilFinished);
}

#[test]
fn a_refused_call_says_what_becomes_of_the_operation() {
    let said = |code, reason, immediate| {
        turned_down(&status(code, reason), immediate).map(Refused::outcome)
    };
    let asleep = Some(Outcome::Waiting(Deafness::Asleep));
    assert_eq!(
        said(Code::FailedPrecondition, "DEVICE_ASLEEP", false),
        asleep
    );
    for (reason, immediate, expected) in [
        ("DEVICE_ASLEEP", true, ""),
        ("COAP_4_05", false, "4.05"),
        ("DEVICE_TIMEOUT", false, ""),
    ] {
        match said(Code::FailedPrecondition, reason, immediate) {
            Some(Outcome::Failed { coap_code, .. }) => assert_eq!(coap_code, expected, "{reason}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
    let silent = turned_down(&status(Code::DeadlineExceeded, "DEVICE_TIMEOUT"), false);
    assert!(matches!(silent, Some(Refused::Silent(_))), "{silent:?}");
    match said(Code::InvalidArgument, "INVALID_FIELD", false) {
        Some(Outcome::Refused(refusal)) => assert_eq!(
            refusal.message,
            "the state tier refused the operation: as it was said"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(said(Code::Unavailable, "NO_LEADER", false), None);
    assert_eq!(said(Code::ResourceExhausted, "OVERLOADED", false), None);
}

#[test]
fn an_operation_is_told_as_it_is() {
    use api::operation::State;
    let told = |state: State| api::Operation {
        id: "7-2".to_owned(),
        state: state.into(),
        coap_code: "4.05".to_owned(),
        diagnostic: "no".to_owned(),
        ..api::Operation::default()
    };
    let running = outcome(told(State::InFlight)).unwrap();
    assert_eq!(
        running,
        Outcome::Running {
            id: "7-2".to_owned(),
            in_flight: true
        }
    );
    match outcome(told(State::Rejected)).unwrap() {
        Outcome::Failed { message, .. } => assert_eq!(message, "the device answered 4.05: no"),
        other => panic!("{other:?}"),
    }
    assert!(outcome(told(State::Unspecified)).is_err());
}
