//! Ingress nodes are killed while commands are under way. What was acknowledged stands in a ledger.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use tests::{Drover, Program, kill, until, until_some};

use crate::fleet::{
    Fleet, Node, SOON, answer, fleet, members_known, more_values, progress, registered,
    three_nodes, undisturbed,
};

const DEVICES: usize = 40;
/// Callers, each with devices of its own.
const CALLERS: usize = 4;
/// Devices whose notifications are followed.
const OBSERVED: usize = 8;
const TEMPERATURE: &str = "/3303/0/5700";
/// Commands that must succeed after each blow before the next one.
const BETWEEN: usize = 30;

/// What one caller was told.
#[derive(Debug, Default)]
struct Ledger {
    /// Executes by their argument, and whether they were acknowledged.
    executed: BTreeMap<String, bool>,
    /// Texts that were written to a device, oldest first, and whether that was acknowledged.
    written: BTreeMap<String, Vec<(String, bool)>>,
}

#[test]
fn killed_ingress_nodes_lose_nothing_that_was_acknowledged() {
    let (drover, nodes) = three_nodes();
    let coaps: Vec<String> = nodes.iter().map(|node| node.coaps.clone()).collect();
    let flags = ["--cid", "8", "--confirmable"];
    let fleet = fleet(&drover, "cid", DEVICES, &coaps, &flags);
    registered(&fleet);
    let reports = Reports::follow(&drover);

    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (drover, stop, done) = (&drover, &stop, &done);
    let (ledgers, _restarted) = std::thread::scope(|scope| {
        let _stop = StopAtTheEnd(stop);
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| scope.spawn(move || call(drover, caller, stop, done)))
            .collect();
        progress_of(done);
        for (victim, rest) in [(0, &coaps[1..]), (1, &coaps[2..])] {
            kill(drover.pid(&format!("/ingress/{victim}/pid")), Signal::KILL).unwrap();
            // A load balancer notices soon.
            fleet.spray.set_nodes(rest);
            progress_of(done);
        }
        let restarted = [0, 1].map(|index| restart(drover, &nodes[index], index));
        fleet.spray.set_nodes(&coaps);
        members_known(&nodes);
        progress_of(done);
        stop.store(true, Ordering::Relaxed);
        let ledgers = callers.into_iter().map(|caller| caller.join().unwrap());
        (ledgers.collect::<Vec<_>>(), restarted)
    });

    let executed = executions(&fleet);
    for ledger in &ledgers {
        assert!(ledger.executed.values().any(|acknowledged| *acknowledged));
        for (argument, acknowledged) in &ledger.executed {
            let times = executed.get(argument).copied().unwrap_or_default();
            assert!(times <= 1, "{argument} was executed {times} times");
            assert!(!acknowledged || times == 1, "{argument} was never executed");
        }
        for (device, texts) in &ledger.written {
            check_text(drover, device, texts);
        }
    }
    reports.check(&fleet);
    let seen = progress(&fleet.program, "progress", |_| true);
    undisturbed(&seen, DEVICES, DEVICES);
}

/// Lets callers end where the test fails, too.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Notifications of some devices, as the state tier tells them.
struct Reports {
    watch: Program,
    _observers: Vec<Program>,
}

impl Reports {
    fn follow(drover: &Drover) -> Self {
        let start = |arguments: &[&str], log: String| {
            let mut command = drover.command(&[arguments, &["-o", "json"]].concat());
            Program::start(&mut command, &drover.scratch().join(log)).unwrap()
        };
        let watch = start(&["watch"], "watch".to_owned());
        let observers: Vec<_> = (0..OBSERVED)
            .map(|number| {
                let device = format!("cid-{number:06}");
                start(
                    &["observe", &device, TEMPERATURE],
                    format!("observe-{number}"),
                )
            })
            .collect();
        for observer in &observers {
            more_values(observer);
        }
        Self {
            watch,
            _observers: observers,
        }
    }

    /// Every notification that a device knows to be acknowledged is there.
    fn check(&self, fleet: &Fleet) {
        let acknowledged = events(&fleet.program.output(), |line| {
            let is_one = line["event"] == "notification-acknowledged";
            let value = line["value"].as_str()?.parse().ok()?;
            is_one.then(|| report(line, value))
        });
        assert!(acknowledged.len() > 10 * OBSERVED, "{acknowledged:?}");
        until_some("every acknowledged notification", SOON, || {
            let told = self.told();
            let lost: Vec<_> = acknowledged
                .iter()
                .filter(|report| !told.contains(report))
                .collect();
            if lost.is_empty() {
                Ok(())
            } else {
                Err(format!("{lost:?}"))
            }
        });
    }

    fn told(&self) -> HashSet<Report> {
        let reports = events(&self.watch.output(), |line| {
            if line["event"] != "ValuesReported" {
                return None;
            }
            let values = line["values"].as_array()?;
            let numbers = values.iter().filter_map(|value| value["value"].as_f64());
            Some(numbers.map(|value| report(line, value)).collect::<Vec<_>>())
        });
        reports.into_iter().flatten().collect()
    }
}

/// A device and a value of its temperature.
type Report = (String, String);

fn report(line: &Value, value: f64) -> Report {
    let endpoint = line["endpoint"].as_str().unwrap_or_default();
    (endpoint.to_owned(), value.to_string())
}

/// What `pick` takes out of lines of JSON.
fn events<T>(output: &str, pick: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    let lines = output.lines();
    let parsed = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter_map(|line| pick(&line)).collect()
}

/// Waits until commands succeed.
fn progress_of(done: &AtomicUsize) {
    let before = done.load(Ordering::Relaxed);
    until("acknowledged commands", SOON, || {
        done.load(Ordering::Relaxed) >= before + BETWEEN
    });
}

/// Executes and writes, until told to stop.
fn call(drover: &Drover, caller: usize, stop: &AtomicBool, done: &AtomicUsize) -> Ledger {
    let mut ledger = Ledger::default();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let device = format!("cid-{:06}", number * CALLERS % DEVICES + caller);
        let text = format!("{caller}x{number}");
        let argument = format!("0='{text}'");
        let execute = ["--timeout", "10s", "exec", &device, "/3/0/12", &argument];
        let write = ["--timeout", "10s", "write", &device, "/3/0/15", &text];
        let is_executed = drover.run(&execute).code == 0;
        let is_written = drover.run(&write).code == 0;
        done.fetch_add(
            usize::from(is_executed) + usize::from(is_written),
            Ordering::Relaxed,
        );
        ledger.executed.insert(argument, is_executed);
        let texts = ledger.written.entry(device).or_default();
        texts.push((text, is_written));
        number += 1;
    }
    ledger
}

/// How often the devices say that they executed each argument.
fn executions(fleet: &Fleet) -> BTreeMap<String, u32> {
    let mut executions = BTreeMap::new();
    for line in fleet.program.output().lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if line["event"] == "executed" {
            let argument = line["arguments"].as_str().unwrap_or_default();
            *executions.entry(argument.to_owned()).or_default() += 1;
        }
    }
    executions
}

/// The device has the text that was acknowledged last, or one that was asked for later.
fn check_text(drover: &Drover, device: &str, texts: &[(String, bool)]) {
    let Some(last) = texts.iter().rposition(|(_, acknowledged)| *acknowledged) else {
        return;
    };
    let read = answer(drover, &["read", device, "/3/0/15", "-o", "json"]);
    let is_there = |(text, _): &(String, bool)| read.contains(&format!("\"{text}\""));
    assert!(
        texts[last..].iter().any(is_there),
        "{device}: {read}, {texts:?}"
    );
}

/// The node again, at the addresses that it had.
pub(crate) fn restart(drover: &Drover, node: &Node, index: usize) -> Program {
    let key = drover.dir().join("cluster.key");
    let flags = [
        ["--coap-listen", &node.coap],
        ["--forward-listen", "127.0.0.1:0"],
        ["--workers", "2"],
        ["--linger-seconds", "1"],
        ["--cluster-key-file", key.to_str().unwrap()],
    ];
    let log = format!("restarted-{index}");
    drover.start_ingress(&node.coaps, &node.admin, flags.as_flattened(), &log)
}
