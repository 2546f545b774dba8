//! What was asked for, what devices did of it, and what callers were told.

use std::collections::{BTreeMap, BTreeSet};

use lwm2m::Value;
use lwm2m_client::Event;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value as Json;
use tests::{Drover, LiveDevice, Program, until_some};

use super::COMMANDS;
use crate::fleet::{SOON, answer};

/// How long commands may wait: longer than the test, so that none ends for that.
const PATIENCE: &str = "30m";
/// Of the Device object: "Reset Error Code", which takes any arguments from a caller, and two texts.
const RESET: &str = "/3/0/12";
const TEXTS: [&str; 2] = ["/3/0/14", "/3/0/15"];

/// Something that is asked of a device.
#[derive(Debug)]
pub(super) struct Command {
    /// Its place among those of the device, and what it carries.
    number: u32,
    asked: Asked,
    /// Of the operation that it became.
    id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Write(&'static str),
    Execute,
}

/// The commands of one device.
pub(super) fn draw(rng: &mut ChaCha8Rng) -> Vec<Command> {
    let draw = |number| Command {
        number,
        asked: match rng.random_range(0..4) {
            0 | 1 => Asked::Execute,
            text => Asked::Write(TEXTS[text - 2]),
        },
        id: String::new(),
    };
    (0..COMMANDS).map(draw).collect()
}

impl Command {
    /// Asks until the command is accepted: it is the same one each time.
    pub(super) fn queue(&mut self, drover: &Drover, endpoint: &str) {
        let number = self.number;
        let (id, text) = (format!("{endpoint}-{number}"), number.to_string());
        let argument = format!("0='{number}'");
        let what = match self.asked {
            Asked::Write(path) => ["write", endpoint, path, &text],
            Asked::Execute => ["exec", endpoint, RESET, &argument],
        };
        let how = ["--no-wait", "--timeout", PATIENCE, "--request-id", &id];
        let accepted = answer(drover, &[&what[..], &how, &["-o", "json"]].concat());
        let accepted: Json = serde_json::from_str(&accepted).unwrap();
        accepted["id"].as_str().unwrap().clone_into(&mut self.id);
    }
}

/// The numbers that a device was brought, in this order.
pub(super) fn applied(device: &LiveDevice) -> Vec<u32> {
    device.events(|event| match event {
        Event::Executed { arguments, .. } => {
            let number = arguments.as_str().split('\'').nth(1)?;
            Some(number.parse().unwrap())
        }
        Event::Written { values, .. } => match &values.first()?.value {
            Value::String(number) => Some(number.parse().unwrap()),
            _ => None,
        },
        _ => None,
    })
}

/// How many commands of a device have not ended.
pub(super) fn waiting(drover: &Drover, endpoint: &str) -> usize {
    let states = states(drover, endpoint);
    let waits = |state: &&String| matches!(state.as_str(), "Pending" | "InFlight");
    states.values().filter(waits).count()
}

/// The states of a device's operations by their ids.
fn states(drover: &Drover, endpoint: &str) -> BTreeMap<String, String> {
    let listed = answer(drover, &["operations", "list", endpoint, "-o", "json"]);
    let listed: Json = serde_json::from_str(&listed).unwrap();
    let text = |operation: &Json, field: &str| operation[field].as_str().unwrap().to_owned();
    let operations = listed["operations"].as_array().unwrap().iter();
    operations
        .map(|operation| (text(operation, "id"), text(operation, "state")))
        .collect()
}

/// Compares what a device did with what callers are told; how many Executes ended without its answer.
pub(super) fn check(drover: &Drover, device: &LiveDevice, commands: &[Command]) -> usize {
    let (endpoint, applied) = (&device.endpoint, applied(device));
    // A Write whose answer was lost is sent again, before anything that follows it.
    for pair in applied.windows(2) {
        let is_write = commands[pair[1] as usize].asked != Asked::Execute;
        assert!(
            pair[0] < pair[1] || (pair[0] == pair[1] && is_write),
            "{endpoint}: {pair:?} in {applied:?}"
        );
    }
    let states = states(drover, endpoint);
    assert_eq!(states.len(), commands.len(), "{endpoint}: {states:?}");
    let mut unanswered = 0;
    for command in commands {
        let is_applied = applied.contains(&command.number);
        match (states[&command.id].as_str(), command.asked) {
            ("Delivered", _) => assert!(is_applied, "{endpoint}: {command:?} in {applied:?}"),
            // Whether it was executed is not known.
            ("Expired", Asked::Execute) => unanswered += 1,
            (state, _) => panic!("{endpoint}: {command:?} is {state}; {states:?}"),
        }
    }
    unanswered
}

/// The ends of operations as a watch tells them: states and times by operation.
pub(super) struct Ends(BTreeMap<String, BTreeSet<(String, String)>>);

impl Ends {
    /// Waits until a watch has told as many ends.
    pub(super) fn seen_by(watch: &Program, count: usize) -> Self {
        until_some("the ends of all operations", SOON, || {
            let ends = Self::told(&watch.output());
            if ends.0.len() >= count {
                Ok(ends)
            } else {
                Err(ends.0.len())
            }
        })
    }

    fn told(output: &str) -> Self {
        let mut ends: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        let lines = output.lines();
        for line in lines.filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
            if line["event"] == "OperationFinished" {
                let text = |field: &str| line["operation"][field].to_string();
                let id = line["operation"]["id"].as_str().unwrap();
                let end = (text("state"), line["time"].to_string());
                ends.entry(id.to_owned()).or_default().insert(end);
            }
        }
        Self(ends)
    }

    /// Every command has one end. The same event may be told twice: by two nodes that a watch was on.
    pub(super) fn check(&self, wanted: &[Vec<Command>]) {
        for command in wanted.iter().flatten() {
            let ends = &self.0[&command.id];
            assert_eq!(ends.len(), 1, "{command:?}: {ends:?}");
        }
    }
}
