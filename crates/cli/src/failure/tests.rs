use std::time::Duration;

use tonic::Status;
use tonic_types::ErrorDetails;

use super::*;

fn answered(code: Code, message: &str, details: ErrorDetails) -> Failure {
    Failure::call("read /3/0/0 of dev-1")(Status::with_error_details(code, message, details))
}

#[test]
fn field_violations_and_reasons_are_named() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("path", "path segment 0 is not an id");
    details.set_error_info(
        "INVALID_PATH",
        "drover.dev",
        std::collections::HashMap::new(),
    );
    let failure = answered(Code::InvalidArgument, "the request is malformed", details);
    insta::assert_snapshot!(failure.report(), @r"
    error: cannot read /3/0/0 of dev-1: the request is malformed [INVALID_ARGUMENT, INVALID_PATH]
      path: path segment 0 is not an id
    ");
    assert_eq!(failure.code(), USAGE);
}

#[test]
fn a_connection_that_breaks_is_told_with_its_cause() {
    let cause = io::Error::other("received corrupt message of type InvalidContentType");
    let failure = Failure::call("list devices")(Status::from_error(Box::new(cause)));
    insta::assert_snapshot!(failure.report(), @r"
    error: cannot list devices: the connection failed: received corrupt message of type InvalidContentType [UNKNOWN]
    hint: a server that speaks TLS is reached by --api https://HOST:PORT, one that does not by --api HOST:PORT
    ");
}

#[test]
fn the_time_to_wait_is_the_hint() {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(20)));
    let failure = answered(Code::Unavailable, "the device sleeps", details);
    assert!(
        failure.report().ends_with("hint: try again in 20s\n"),
        "{}",
        failure.report()
    );
    assert_eq!(failure.code(), UNAVAILABLE);
}

#[test]
fn a_device_that_is_not_registered_is_unavailable() {
    let mut details = ErrorDetails::new();
    details.set_error_info(
        "DEVICE_NOT_REGISTERED",
        "drover.dev",
        std::collections::HashMap::new(),
    );
    assert_eq!(
        answered(Code::FailedPrecondition, "not registered", details).code(),
        UNAVAILABLE
    );
    assert_eq!(
        answered(Code::FailedPrecondition, "4.05", ErrorDetails::new()).code(),
        FAILED
    );
    assert_eq!(
        answered(Code::NotFound, "no such device", ErrorDetails::new()).code(),
        NOT_FOUND
    );
}

#[test]
fn the_end_of_an_operation_says_what_the_device_said() {
    let operation = Operation {
        endpoint: "dev-1".to_owned(),
        id: "3-17".to_owned(),
        name: "write".to_owned(),
        path: "/3/0/0".to_owned(),
        state: operation::State::Rejected.into(),
        coap_code: "4.05".to_owned(),
        diagnostic: "read\u{1b}only".to_owned(),
        ..Operation::default()
    };
    let failure = Failure::Operation {
        operation: Box::new(operation),
    };
    insta::assert_snapshot!(
        failure.report(),
        @r"error: write /3/0/0 of dev-1 was refused by the device: 4.05: read\u{1b}only (operation 3-17)"
    );
    assert_eq!(failure.code(), FAILED);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let failure = Failure::Output(io::Error::from(io::ErrorKind::BrokenPipe));
    assert!(failure.is_closed_pipe());
    assert_eq!(failure.exit_code(), ExitCode::SUCCESS);
}

#[test]
fn the_last_lines_of_a_log_stay_lines() {
    let failure = Failure::Other(anyhow::anyhow!("state-0 ended\n  | \u{1b}[31mno volume"));
    assert_eq!(
        failure.report(),
        "error: state-0 ended\n  | \\u{1b}[31mno volume\n"
    );
}
