//! Commands for devices that are there, each with an argument of its own: none is carried out twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::drover::v1::operation::State;
use proto::drover::v1::operations_client::OperationsClient;
use proto::drover::v1::{Delivery, ExecuteRequest};
use tonic::{Code, Status};

use crate::calls::{Calls, is_mistake, request, rest};
use crate::tally::End;

pub(crate) const CALLERS: usize = 2;
/// A resource that does not exist before somebody defines it: whatever it does, it does once.
const PATH: &str = "/3/0/12";
/// Seconds that a command may wait: some end before their device has found its way back.
const DEADLINE: i64 = 10;

/// A command that asked for an effect that shows, and what the caller was told.
#[derive(Clone, Debug)]
pub struct Executed {
    argument: String,
    is_acknowledged: bool,
}

/// Has the devices of these names execute something, one after the other.
pub(crate) async fn work(
    caller: usize,
    devices: Arc<[String]>,
    calls: Calls,
    stop: Arc<AtomicBool>,
) -> Vec<Executed> {
    let mut rng = calls.rng();
    let mut executed = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = executed.len();
        let argument = format!("0='{caller}x{number}'");
        let execute = ExecuteRequest {
            endpoint: devices[(number * CALLERS + caller) % devices.len()].clone(),
            path: PATH.to_owned(),
            arguments: argument.clone(),
            delivery: Some(Delivery {
                deadline: Some(prost_types::Duration {
                    seconds: DEADLINE,
                    nanos: 0,
                }),
                ..Delivery::default()
            }),
            ..ExecuteRequest::default()
        };
        let mut client = OperationsClient::new(calls.any(&mut rng));
        let answer = client.execute(request(execute)).await;
        let state = answer.map(|answer| answer.into_inner().operation.unwrap_or_default().state());
        calls.tally().count(end(&state));
        executed.push(Executed {
            argument,
            is_acknowledged: matches!(state, Ok(State::Delivered)),
        });
        rest(&mut rng, 50..400).await;
    }
    executed
}

fn end(state: &Result<State, Status>) -> End {
    match state {
        Ok(State::Delivered) => End::Acknowledged,
        Ok(_) => End::Refused,
        Err(status) if is_mistake(status) => panic!("{status:?}"),
        Err(status) if status.code() == Code::FailedPrecondition => End::Refused,
        Err(_) => End::Indefinite,
    }
}

/// Nothing was carried out twice, and what was acknowledged was carried out; how many were. `times`: how often devices
/// executed something, by its argument.
pub fn check_executed(executed: &[Executed], times: &BTreeMap<String, usize>) -> usize {
    for command in executed {
        let times = times.get(&command.argument).copied().unwrap_or_default();
        assert!(times <= 1, "{command:?} was executed {times} times");
        let is_lost = command.is_acknowledged && times == 0;
        assert!(!is_lost, "{command:?} was never executed");
    }
    let delivered = executed.iter().filter(|one| one.is_acknowledged).count();
    assert!(delivered > 0, "no command reached a device");
    delivered
}
