//! What a bootstrap does when something is wrong.

use std::time::Duration;

use coap::{Code, Failure};
use lwm2m::{ContentFormat, Path, Value};
use lwm2m_client::bootstrap::{
    BootstrapConfig as ClientConfig, BootstrapEvent, BootstrapFailure, Misbehaviour,
};
use lwm2m_server::bootstrap::{
    BootstrapOutcome, BootstrapPlan, BootstrapStep, BootstrapWrite, PlanError, PrepareError,
};
use netsim::Conditions;

use super::pair::{DEVICE, Output, Pair, client_config, origin, steps};
use super::plans::{KEY, path, plan, psk};

/// EXCHANGE_LIFETIME.
const LIFETIME: Duration = Duration::from_secs(247);

fn with(misbehaviour: Misbehaviour) -> Pair {
    Pair::new(ClientConfig {
        misbehaviour,
        ..client_config()
    })
}

fn inconsistencies(pair: &Pair) -> usize {
    let told = |output: &&Output| matches!(output, Output::Inconsistent { .. });
    pair.outputs.iter().filter(told).count()
}

/// 1.1-int-9: a device with only `/1/x/5` is not provisioned.
#[test]
fn accounts_that_stay_inconsistent_are_not_taken_for_good() {
    let incomplete = BootstrapPlan {
        writes: vec![BootstrapWrite {
            path: Path::ObjectInstance(1, 0),
            values: vec![lwm2m::Entry::new(path("/1/0/5"), Value::Integer(86_400))],
        }],
        ..plan(&[])
    };
    let mut pair = Pair::with_plan(client_config(), incomplete);
    let (outcome, log) = pair.run();
    assert_eq!(outcome, BootstrapOutcome::Inconsistent);
    let once = [
        "delete /0 2.02",
        "delete /1 2.02",
        "write /1/0 tlv 2.04",
        "finish 4.06",
    ];
    let expected: Vec<&str> = ["discover 2.05"]
        .into_iter()
        .chain(once)
        .chain(once)
        .collect();
    assert_eq!(steps(&log), expected);
    assert_eq!(inconsistencies(&pair), 1);
    pair.check();
}

#[test]
fn inconsistent_accounts_are_corrected_once() {
    let mut pair = with(Misbehaviour::Inconsistent { times: 1 });
    let (outcome, log) = pair.run();
    assert_eq!(outcome, BootstrapOutcome::Finished);
    assert_eq!(inconsistencies(&pair), 1);
    let finishes = log
        .iter()
        .filter(|result| result.step == BootstrapStep::Finish);
    let codes: Vec<_> = finishes.map(|result| result.code).collect();
    assert_eq!(codes, [Code::NOT_ACCEPTABLE_4_06, Code::CHANGED_2_04]);
    assert_eq!(pair.accounts().len(), 1);

    let mut pair = with(Misbehaviour::Inconsistent { times: 2 });
    assert_eq!(pair.run().0, BootstrapOutcome::Inconsistent);
    pair.check();
}

#[test]
fn a_refused_write_ends_the_bootstrap() {
    let refused = Path::ObjectInstance(1, 0);
    let mut pair = with(Misbehaviour::RefusesWrite(refused));
    let (outcome, log) = pair.run();
    let expected = BootstrapOutcome::Refused {
        step: BootstrapStep::Write {
            path: refused,
            format: ContentFormat::TLV,
        },
        code: Code::BAD_REQUEST_4_00,
    };
    assert_eq!(outcome, expected);
    assert_eq!(steps(&log).last().unwrap(), "write /1/0 tlv 4.00");
    assert_eq!(pair.client.accounts(), None);
    pair.check();
}

#[test]
fn another_format_is_tried_when_the_device_refuses_one() {
    let mut pair = Pair::new(ClientConfig {
        formats: vec![ContentFormat::SENML_JSON],
        ..client_config()
    });
    let (outcome, log) = pair.run();
    assert_eq!(outcome, BootstrapOutcome::Finished);
    let writes: Vec<_> = steps(&log)
        .into_iter()
        .filter(|step| step.starts_with("write"))
        .collect();
    let expected = [
        "write /0/1 tlv 4.15",
        "write /0/1 senml-cbor 4.15",
        "write /0/1 senml-json 2.04",
        // What was refused once is not tried again.
        "write /1/0 senml-json 2.04",
    ];
    assert_eq!(writes, expected);

    let mut pair = Pair::new(ClientConfig {
        formats: Vec::new(),
        ..client_config()
    });
    let (outcome, _) = pair.run();
    assert!(matches!(
        outcome,
        BootstrapOutcome::Refused {
            code: Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
            ..
        }
    ));
}

/// Rule 68: 4.15 for a `pct` that the server does not have.
#[test]
fn a_device_with_an_unknown_preferred_format_comes_again_without_one() {
    let mut pair = Pair::new(ClientConfig {
        preferred_format: Some(ContentFormat(9999)),
        ..client_config()
    });
    assert_eq!(pair.run().0, BootstrapOutcome::Finished);
    assert!(pair.events.contains(&BootstrapEvent::FormatRejected));
    assert_eq!(pair.engine.counters().refused, 1);
    assert_eq!(pair.prepares(), 1);
}

/// Rule 63, for the server.
#[test]
fn a_device_that_falls_silent_is_given_up_in_time() {
    for after in 0..6 {
        let mut pair = with(Misbehaviour::Silent { after });
        let begun = pair.now;
        let (outcome, log) = pair.run();
        assert_eq!(outcome, BootstrapOutcome::TimedOut, "{after}");
        assert!(pair.now - begun <= LIFETIME, "{after}");
        assert!(log.len() <= after as usize, "{after}");
        let unanswered = pair.outputs.iter().find_map(|output| match output {
            Output::Ended { unanswered, .. } => Some(*unanswered),
            _ => None,
        });
        let is_finish = unanswered == Some(Some(BootstrapStep::Finish));
        assert_eq!(is_finish, after == 5, "{unanswered:?}");
        pair.check();
    }
}

/// Rule 63: a device that answers each request late, so that none fails, is not waited for any longer.
#[test]
fn a_slow_device_is_given_up_in_time() {
    let mut pair = Pair::new(client_config());
    pair.network.set_conditions(Conditions {
        delay: Duration::from_secs(21),
        ..Conditions::perfect()
    });
    pair.start();
    let begun = pair.now;
    while pair.endings().is_empty() {
        pair.drive(Duration::from_secs(1));
    }
    assert_eq!(pair.endings()[0].0, BootstrapOutcome::TimedOut);
    assert!(pair.now - begun <= LIFETIME + Duration::from_secs(22));
    pair.check();
}

/// Rule 63, for the device.
#[test]
fn a_device_gives_up_when_the_server_falls_silent() {
    let mut pair = Pair::new(client_config());
    pair.start();
    while pair.client.poll_timeout().is_none() || !pair.events.contains(&BootstrapEvent::Accepted) {
        pair.drive(Duration::from_millis(10));
    }
    pair.network.set_conditions(Conditions::cut());
    pair.drive(Duration::from_secs(246));
    assert_eq!(pair.failure(), None);
    pair.drive(Duration::from_secs(2));
    assert_eq!(pair.failure(), Some((BootstrapFailure::Silence, None)));
}

#[test]
fn the_device_is_told_that_there_is_no_plan() {
    for (error, code) in [
        (PrepareError::UnknownEndpoint, Code::BAD_REQUEST_4_00),
        (PrepareError::NotAllowed, Code::FORBIDDEN_4_03),
        (PrepareError::Unavailable, Code::SERVICE_UNAVAILABLE_5_03),
    ] {
        let mut pair = Pair::new(client_config());
        pair.prepared = Err(error);
        assert_eq!(pair.run().0, BootstrapOutcome::NotPrepared(error));
        let (reason, retry_after) = pair.failure().unwrap();
        assert_eq!(reason, BootstrapFailure::Refused(code));
        assert_eq!(retry_after.is_some(), error == PrepareError::Unavailable);
        pair.check();
    }
}

#[test]
fn a_device_does_not_wait_for_a_plan_for_ever() {
    let mut pair = Pair::new(client_config());
    pair.prepare_after = None;
    let begun = pair.now;
    let (outcome, _) = pair.run();
    let expected = BootstrapOutcome::NotPrepared(PrepareError::Unavailable);
    assert_eq!(outcome, expected);
    assert!(pair.now - begun < Duration::from_secs(35));
    let reason = BootstrapFailure::Refused(Code::SERVICE_UNAVAILABLE_5_03);
    assert_eq!(pair.failure().map(|(reason, _)| reason), Some(reason));
    // A plan that comes now is of no use any more.
    let late = pair.outputs.iter().find_map(|output| match output {
        Output::Prepare { id, .. } => Some(*id),
        _ => None,
    });
    pair.engine
        .handle_prepared(pair.clock(), late.unwrap(), pair.prepared.clone());
    pair.settle();
    pair.check();
}

#[test]
fn a_plan_that_no_device_could_take_is_not_begun() {
    let account = plan(&[psk()]);
    let long = |values| BootstrapWrite {
        path: Path::ObjectInstance(0, 1),
        values,
    };
    let entry = |at: &str, value| lwm2m::Entry::new(path(at), value);
    let bad = [
        (
            BootstrapPlan {
                reads: vec![Path::Object(0)],
                ..account.clone()
            },
            PlanError::Read(Path::Object(0)),
        ),
        (
            BootstrapPlan {
                reads: vec![Path::Root],
                ..account.clone()
            },
            PlanError::Read(Path::Root),
        ),
        (
            BootstrapPlan {
                reads: vec![path("/3/0")],
                ..account.clone()
            },
            PlanError::Read(path("/3/0")),
        ),
        (
            BootstrapPlan {
                deletes: vec![path("/0/0/1")],
                ..account.clone()
            },
            PlanError::Delete(path("/0/0/1")),
        ),
        (
            BootstrapPlan {
                writes: vec![long(Vec::new())],
                ..account.clone()
            },
            PlanError::NoValues(path("/0/1")),
        ),
        (
            BootstrapPlan {
                writes: vec![long(vec![entry("/0/1/3", Value::Opaque(vec![0; 20_000]))])],
                ..account.clone()
            },
            PlanError::TooLong(path("/0/1")),
        ),
        (
            BootstrapPlan {
                writes: vec![account.writes[0].clone(), account.writes[0].clone()],
                ..account.clone()
            },
            PlanError::Repeated(path("/0/1")),
        ),
        (
            BootstrapPlan {
                deletes: vec![Path::Root; 65],
                ..account
            },
            PlanError::TooManySteps,
        ),
    ];
    for (plan, error) in bad {
        let mut pair = Pair::with_plan(client_config(), plan);
        assert_eq!(pair.run().0, BootstrapOutcome::BadPlan(error));
        assert_eq!(pair.codes(), [Code::INTERNAL_SERVER_ERROR_5_00]);
        pair.check();
    }
}

#[test]
fn a_session_that_ends_takes_its_bootstrap_along() {
    let mut pair = Pair::new(client_config());
    pair.start();
    while !pair.events.contains(&BootstrapEvent::Accepted) {
        pair.drive(Duration::from_millis(10));
    }
    assert!(pair.engine.holds_peer(DEVICE));
    pair.engine.forget_peer(pair.clock(), DEVICE);
    pair.settle();
    assert_eq!(pair.endings()[0].0, BootstrapOutcome::Gone);
    assert!(!pair.engine.holds_peer(DEVICE));
    pair.check();
}

#[test]
fn a_device_cannot_be_bootstrapped_under_the_name_of_another() {
    let mut config = client_config();
    config.endpoint = lwm2m::EndpointName::new("device-2").unwrap();
    let mut pair = Pair::new(config);
    pair.start();
    pair.drive(Duration::from_secs(5));
    let reason = BootstrapFailure::Refused(Code::FORBIDDEN_4_03);
    assert_eq!(pair.failure(), Some((reason, None)));
    assert_eq!(pair.prepares(), 0);
    assert_eq!(pair.origin.principal, origin(b"device-1").principal);
}

#[test]
fn keys_are_in_no_debug_text() {
    let mut pair = Pair::new(client_config());
    pair.run();
    let mut text = format!("{:?} {:?} {:?}", pair.engine, pair.client, pair.outputs);
    text += &format!("{:?} {:?} {:?}", pair.accounts(), pair.prepared, psk());
    let transmit = Output::Transmit {
        peer: DEVICE,
        datagram: KEY.to_vec(),
    };
    text += &format!("{transmit:?} {:?}", Failure::Timeout);
    let digits = format!("{KEY:?}");
    let digits = digits.trim_matches(['[', ']']);
    assert!(!text.contains(digits), "{text}");
    assert!(!text.contains("not-to-be-seen"), "{text}");
}
