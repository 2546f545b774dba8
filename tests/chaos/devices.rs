//! Real sessions: devices that report what somebody asked for, and carry out commands. What a device knows to be
//! acknowledged was committed; what a caller knows to be executed was executed, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::drover::v1::observations_client::ObservationsClient;
use proto::drover::v1::operation::State;
use proto::drover::v1::operations_client::OperationsClient;
use proto::drover::v1::{Delivery, ExecuteRequest, PutObservationRequest};
use serde_json::Value;
use tests::{Program, binary, until, until_some};
use tokio::runtime::Runtime;
use tonic::{Code, Status};

use crate::calls::{Calls, is_mistake, request, rest};
use crate::lab::Lab;
use crate::registers::TOLD;
use crate::tally::End;
use crate::watcher::{Report, Watcher};

const COUNT: usize = 12;
/// Of which this many are observed.
const OBSERVED: usize = 6;
pub(crate) const CALLERS: usize = 2;
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const TEMPERATURE: &str = "/3303/0/5700";
/// Seconds that a command may wait: some end before their device has found its way back.
const DEADLINE: i64 = 10;

pub(crate) struct Devices {
    program: Program,
}

/// A command that asked for an effect that shows, and what the caller was told.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    argument: String,
    is_acknowledged: bool,
}

fn name(number: usize) -> String {
    format!("live-{number:06}")
}

impl Devices {
    /// Starts devices, and waits until they are registered and what is observed is reported.
    pub(crate) fn start(runtime: &Runtime, lab: &Lab, calls: &Calls) -> Self {
        let lines = (0..COUNT).fold(String::new(), |mut text, number| {
            let name = name(number);
            writeln!(text, "{name},{name},{KEY}").unwrap();
            text
        });
        let keys = lab.folder().join("devices.csv");
        std::fs::write(&keys, lines).unwrap();
        let keys = keys.to_str().unwrap();
        let imported = Lab::drover(&["credentials", "import", keys]);
        assert_eq!(imported.code, 0, "{imported:?}");
        let mut command = Command::new(binary("drover-sim"));
        command.args(["run", "--server", &lab.server(), "--psk-file", keys]);
        command.args(["--cid", "8", "--confirmable", "--lifetime", "30"]);
        command.args(["--temperature-interval", "1s", "--output", "json"]);
        let program = Program::start(&mut command, &lab.logs().join("devices.log")).unwrap();
        for number in 0..OBSERVED {
            runtime.block_on(observe(calls, &name(number)));
        }
        let devices = Self { program };
        devices.report_again();
        devices
    }

    /// Waits until every device that is observed knows of one more report that was acknowledged.
    fn report_again(&self) {
        let before = self.acknowledged().len();
        until_some("reports of all observed devices", TOLD, || {
            let acknowledged = self.acknowledged();
            let news = acknowledged.iter().skip(before);
            let devices: BTreeSet<&str> = news.map(|(device, _)| device.as_str()).collect();
            if devices.len() == OBSERVED {
                Ok(())
            } else {
                Err(format!("{devices:?}"))
            }
        });
    }

    fn events(&self, event: &str) -> Vec<Value> {
        let output = self.program.output();
        let lines = output.lines();
        let parsed = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["event"] == event).collect()
    }

    /// Reports that a device knows to be acknowledged, oldest first.
    fn acknowledged(&self) -> Vec<Report> {
        let lines = self.events("notification-acknowledged");
        let report = |line: &Value| {
            let value: f64 = line["value"].as_str()?.parse().ok()?;
            Some((line["endpoint"].as_str()?.to_owned(), value.to_string()))
        };
        lines.iter().filter_map(report).collect()
    }

    /// Now that nothing is broken: devices report again, and nothing that was acknowledged is missing.
    pub(crate) fn check(&self, watcher: &Watcher, executed: &[Executed]) -> String {
        until("all devices registered again", TOLD, || {
            let list = ["devices", "--prefix", "live-", "-o", "json"];
            let listed: Value =
                serde_json::from_str(&Lab::drover(&list).stdout).unwrap_or_default();
            let devices = listed["devices"].as_array().into_iter().flatten();
            devices.filter(|one| one["state"] == "Registered").count() == COUNT
        });
        self.report_again();
        let acknowledged = self.acknowledged();
        until_some("every acknowledged report in a watch", TOLD, || {
            let told = watcher.reports();
            let lost: Vec<_> = acknowledged
                .iter()
                .filter(|report| !told.contains(*report))
                .collect();
            if lost.is_empty() {
                Ok(())
            } else {
                Err(format!("{lost:?}"))
            }
        });
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.events("executed") {
            let argument = line["arguments"].as_str().unwrap().to_owned();
            *times.entry(argument).or_default() += 1;
        }
        for command in executed {
            let times = times.get(&command.argument).copied().unwrap_or_default();
            assert!(times <= 1, "{command:?} was executed {times} times");
            let is_lost = command.is_acknowledged && times == 0;
            assert!(!is_lost, "{command:?} was never executed");
        }
        let delivered = executed.iter().filter(|one| one.is_acknowledged).count();
        assert!(delivered > 0, "no command reached a device");
        format!(
            "devices: {} reports acknowledged, {delivered} of {} commands executed\n",
            acknowledged.len(),
            executed.len()
        )
    }
}

/// Asks for reports of a temperature, whenever the device is there.
async fn observe(calls: &Calls, endpoint: &str) {
    let mut client = ObservationsClient::new(calls.node(0));
    let put = PutObservationRequest {
        endpoint: endpoint.to_owned(),
        paths: vec![TEMPERATURE.to_owned()],
        // By its silence a device is known that has ended the observation, as one that was not acknowledged.
        parameters: "pmax=5".to_owned(),
        ..PutObservationRequest::default()
    };
    client.put_observation(request(put)).await.unwrap();
}

/// Commands for devices that are there, each with an argument of its own.
pub(crate) async fn work(caller: usize, calls: Calls, stop: Arc<AtomicBool>) -> Vec<Executed> {
    let mut rng = calls.rng();
    let mut executed = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = executed.len();
        let argument = format!("0='{caller}x{number}'");
        let execute = ExecuteRequest {
            endpoint: name((number * CALLERS + caller) % COUNT),
            path: "/3/0/12".to_owned(),
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
        calls.tally.count(end(&state));
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
