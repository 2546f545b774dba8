//! Real sessions: devices that report what somebody asked for, and carry out commands. What a device knows to be
//! acknowledged was committed; what a caller knows to be executed was executed, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use ledger::{Executed, Report, Watcher, check_executed};
use serde_json::Value;
use tests::{Program, binary, until, until_some};

use crate::lab::Lab;

const COUNT: usize = 12;
/// Of which this many are observed.
const OBSERVED: usize = 6;
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const TEMPERATURE: &str = "/3303/0/5700";
/// How long anything may take once nothing is broken. A device whose last copy of a message was lost just before waits
/// for an answer until `MAX_TRANSMIT_WAIT` is over (93 s, RFC 7252 §4.8.2); only then it asks for anything else, and may
/// be told to come back later.
const SOON: Duration = Duration::from_secs(93 + 57);

pub(crate) struct Devices {
    program: Program,
}

/// Every device.
pub(crate) fn names() -> Vec<String> {
    (0..COUNT).map(name).collect()
}

fn name(number: usize) -> String {
    format!("live-{number:06}")
}

impl Devices {
    /// Starts devices, and waits until they are registered and what is observed is reported.
    pub(crate) fn start(lab: &Lab) -> Self {
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
            observe(&name(number));
        }
        let devices = Self { program };
        devices.report_again();
        devices
    }

    /// Waits until every device that is observed knows of one more report that was acknowledged.
    fn report_again(&self) {
        let before = self.acknowledged().len();
        until_some("reports of all observed devices", SOON, || {
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
        until("all devices registered again", SOON, || {
            let list = ["devices", "--prefix", "live-", "-o", "json"];
            let listed: Value =
                serde_json::from_str(&Lab::drover(&list).stdout).unwrap_or_default();
            let devices = listed["devices"].as_array().into_iter().flatten();
            devices.filter(|one| one["state"] == "Registered").count() == COUNT
        });
        self.report_again();
        let acknowledged = self.acknowledged();
        until_some("every acknowledged report in a watch", SOON, || {
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
        let delivered = check_executed(executed, &times);
        format!(
            "devices: {} reports acknowledged, {delivered} of {} commands executed\n",
            acknowledged.len(),
            executed.len()
        )
    }
}

impl Drop for Devices {
    /// Whoever looks at a failure wants to know what the devices said.
    #[expect(clippy::print_stdout, reason = "it goes with the failure")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let output = self.program.output();
        let lines: Vec<&str> = output.lines().collect();
        println!("--- devices");
        for line in &lines[lines.len().saturating_sub(80)..] {
            println!("{line}");
        }
    }
}

/// Asks for reports of a temperature, whenever the device is there.
fn observe(endpoint: &str) {
    // By its silence a device is known that has ended the observation, as one that was not acknowledged.
    let added = Lab::drover(&["observations", "add", endpoint, TEMPERATURE, "pmax=5"]);
    assert_eq!(added.code, 0, "{added:?}");
}
