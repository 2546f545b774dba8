//! Several bootstraps: one after the other, at a time, and too many.

use std::time::Duration;

use coap::{Code, Message, MessageId, Token, Type, number};
use lwm2m_client::bootstrap::{BootstrapEvent, BootstrapFailure};
use lwm2m_server::bootstrap::{BootstrapConfig, BootstrapOutcome};

use super::pair::{Output, Pair, client_config, engine, origin};

/// A Bootstrap-Request of somebody.
fn request(id: u16, method: Code, path: &str, query: &[&str]) -> Vec<u8> {
    let mut message = Message::new(Type::Confirmable, method, MessageId(id));
    message.token = Token::new(&id.to_be_bytes()).unwrap();
    message.options.push(number::URI_PATH, path.as_bytes());
    for argument in query {
        message.options.push(number::URI_QUERY, argument.as_bytes());
    }
    message.to_datagram()
}

/// Lets the device come so far that it is being bootstrapped.
fn accepted() -> Pair {
    let mut pair = Pair::new(client_config());
    pair.start();
    while !pair.events.contains(&BootstrapEvent::Accepted) {
        pair.drive(Duration::from_millis(10));
    }
    pair
}

/// The code that `datagram` of `peer` is answered with at once.
fn answered(pair: &mut Pair, peer: u8, identity: &[u8], datagram: &[u8]) -> Option<Message> {
    let now = pair.clock();
    pair.engine
        .handle_datagram(now, peer, &origin(identity), datagram);
    let mut answer = None;
    while let Some(output) = pair.engine.poll_output() {
        match output {
            Output::Transmit { peer: to, datagram } if to == peer => {
                answer = coap::decode(&datagram).ok();
            }
            Output::Transmit { .. } => {}
            output => pair.outputs.push(output),
        }
    }
    answer
}

#[test]
fn a_device_that_begins_anew_is_bootstrapped_anew() {
    let mut pair = accepted();
    pair.start();
    while pair.endings().len() < 2 {
        pair.drive(Duration::from_millis(100));
    }
    let outcomes: Vec<_> = pair
        .endings()
        .into_iter()
        .map(|(outcome, _)| outcome)
        .collect();
    assert_eq!(
        outcomes,
        [BootstrapOutcome::Gone, BootstrapOutcome::Finished]
    );
    pair.check();
}

#[test]
fn a_device_that_comes_from_another_address_is_bootstrapped_there() {
    let mut pair = accepted();
    let datagram = request(7, Code::POST, "bs", &["ep=device-1"]);
    answered(&mut pair, 9, b"device-1", &datagram);
    assert_eq!(pair.endings()[0].0, BootstrapOutcome::Gone);
    assert_eq!(pair.engine.bootstrap_count(), 1);
}

#[test]
fn a_name_alone_does_not_end_the_bootstrap_of_another() {
    let mut pair = accepted();
    // Nobody in particular, from somewhere else, and then with another credential for the same name.
    pair.prepare_after = None;
    let datagram = request(7, Code::POST, "bs", &["ep=device-1"]);
    answered(&mut pair, 9, b"another", &datagram);
    assert_eq!(pair.engine.bootstrap_count(), 2);
    let (outcome, _) = pair.ended();
    assert_eq!(outcome, BootstrapOutcome::Finished);
}

#[test]
fn too_many_bootstraps_are_asked_to_come_later() {
    let mut pair = Pair::new(client_config());
    pair.engine = engine(BootstrapConfig {
        max_bootstraps: 1,
        ..BootstrapConfig::default()
    });
    let datagram = request(7, Code::POST, "bs", &["ep=device-1"]);
    answered(&mut pair, 9, b"another", &datagram);
    pair.start();
    pair.drive(Duration::from_secs(1));
    let (reason, retry_after) = pair.failure().unwrap();
    let busy = BootstrapFailure::Refused(Code::SERVICE_UNAVAILABLE_5_03);
    assert_eq!(reason, busy);
    assert!(retry_after.is_some_and(|wait| wait >= Duration::from_secs(5)));
    assert_eq!(pair.engine.counters().overloaded, 1);

    // The one that is there may begin anew, though.
    let datagram = request(8, Code::POST, "bs", &["ep=device-1"]);
    let before = pair.prepares();
    answered(&mut pair, 9, b"another", &datagram);
    assert_eq!(pair.prepares(), before + 1);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut pair = Pair::new(client_config());
    let cases: [(Code, &str, &[&str], Code); 9] = [
        (Code::POST, "bs", &["ep="], Code::BAD_REQUEST_4_00),
        (Code::POST, "bs", &["ep=a", "ep=b"], Code::BAD_REQUEST_4_00),
        (Code::POST, "bs", &["pct=x"], Code::BAD_REQUEST_4_00),
        (Code::POST, "bs", &["x"; 17], Code::BAD_REQUEST_4_00),
        (
            Code::POST,
            "bs",
            &["pct=0"],
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
        ),
        (Code::POST, "bs", &["ep=device-2"], Code::FORBIDDEN_4_03),
        (Code::GET, "bs", &[], Code::METHOD_NOT_ALLOWED_4_05),
        (Code::POST, "bspack", &[], Code::METHOD_NOT_ALLOWED_4_05),
        (Code::POST, "rd", &["ep=device-1"], Code::NOT_FOUND_4_04),
    ];
    for (id, (method, path, query, code)) in (1..).zip(cases) {
        let datagram = request(id, method, path, query);
        let answer = answered(&mut pair, 9, b"device-1", &datagram).unwrap();
        assert_eq!(answer.code, code, "{path} {query:?}");
    }
    assert_eq!(pair.prepares(), 0);
    assert_eq!(pair.engine.counters().refused, 9);
    // A credential stands in for the name.
    let datagram = request(99, Code::POST, "bs", &["other=1"]);
    assert!(answered(&mut pair, 9, b"device-1", &datagram).is_none());
    assert_eq!(pair.prepares(), 1);
}
