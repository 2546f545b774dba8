//! Information reporting, 301 to 313.

use lwm2m::{Binding, Path, QueueMode, Value};
use lwm2m_client::{Event, SendError};
use serde_json::Value as Json;
use tests::LiveDevice;

use crate::cases::{Case, long, short};
use crate::registration::wait_for_updates;
use crate::stage::{SOON, Stage, values};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        short("1.1-int-301", "Observe and notify", observe),
        long(
            "1.1-int-302",
            "Cancel an observation by reset",
            cancel_by_reset,
        ),
        short("1.1-int-303", "Cancel an observation by Observe 1", cancel),
        short("1.1-int-304", "Observe-Composite", composite),
        short("1.1-int-305", "Cancel Observe-Composite", cancel_composite),
        short("1.1-int-306", "Send", send),
        short("1.1-int-307", "Mute Send", mute),
        short(
            "1.1-int-308",
            "Observe-Composite and Create",
            composite_and_create,
        ),
        short(
            "1.1-int-309",
            "Observe-Composite and Delete",
            composite_and_delete,
        ),
        short(
            "1.1-int-310",
            "Observe-Composite and attributes",
            composite_and_attributes,
        ),
        short("1.1-int-311", "Send of several objects", send_several),
        short("1.2-int-312", "Observe with parameters", parameters),
        short(
            "1.2-int-313",
            "Parameters before attributes",
            parameters_first,
        ),
    ]
}

/// What `observe` prints until it has `count` messages.
pub(crate) fn observed(
    stage: &Stage,
    arguments: &[&str],
    count: u32,
) -> Vec<Vec<(String, String)>> {
    let count = count.to_string();
    let wanted = [&["observe"], arguments, &["--count", &count, "-o", "json"]].concat();
    let answer = stage.run(&wanted);
    assert_eq!(answer.code, 0, "{answer:?}");
    lines(&answer.stdout)
}

fn lines(output: &str) -> Vec<Vec<(String, String)>> {
    let parsed = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok());
    parsed.map(|line| values(&line)).collect()
}

/// An `observe` that goes on.
pub(crate) struct Observer(tests::Program);

impl Observer {
    /// Starts it and waits for the values now.
    pub(crate) fn start(stage: &Stage, id: &str, paths: &[&str]) -> Self {
        let wanted = [&["observe", id], paths, &["-o", "json"]].concat();
        let observer = Self(stage.start(id, &wanted));
        observer.until("the values now", |messages| !messages.is_empty());
        observer
    }

    /// Waits until its messages are as they should be.
    pub(crate) fn until(&self, what: &str, is: impl Fn(&[Vec<(String, String)>]) -> bool) {
        tests::until_some(what, SOON, || {
            let output = self.0.output();
            if is(&lines(&output)) {
                Ok(())
            } else {
                Err(output)
            }
        });
    }

    /// How many messages there were.
    fn count(&self) -> usize {
        lines(&self.0.output()).len()
    }
}

fn wait_for_end(device: &LiveDevice) {
    device.wait_for("the end of the observation", 1, |event| {
        matches!(event, Event::ObservationEnded { .. })
    });
}

fn observe(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["attributes", id, "/3/0/9", "pmin=1", "pmax=2"]);
    let messages = observed(stage, &[id, "/3/0/9"], 3);
    for message in messages {
        assert_eq!(message, [("/3/0/9".to_owned(), "100".to_owned())]);
    }
}

fn cancel_by_reset(stage: &Stage, id: &str) {
    let device = stage.device_of(id, |config| {
        config.binding = Binding::UDP.with_queue_mode(QueueMode::On);
    });
    let observer = Observer::start(stage, id, &["/3/0/9"]);
    device.wait_for_within(4 * SOON, "sleep", 1, |event| *event == Event::FellAsleep);
    drop(observer);
    // Until the server knows that the command has ended, notifications are welcome.
    tests::until_some("the end of the observation", SOON, || {
        let notified = device.count(|event| matches!(event, Event::Notified { .. }));
        device.set(
            "/3/0/9",
            Value::Integer(i64::from(notified.is_multiple_of(2))),
        );
        match device.count(|event| matches!(event, Event::ObservationEnded { .. })) {
            0 => Err(notified),
            _ => Ok(()),
        }
    });
}

fn cancel(stage: &Stage, id: &str) {
    let device = stage.device(id);
    observed(stage, &[id, "/3/0/9"], 1);
    wait_for_end(&device);
    assert_eq!(device.with(|device, _| device.observation_count()), 0);
}

fn composite(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let observer = Observer::start(stage, id, &["/3/0/9", "/6/0/0"]);
    device.set("/3/0/9", Value::Integer(41));
    observer.until("a notification", |messages| {
        messages.iter().any(|values| {
            values.contains(&("/3/0/9".to_owned(), "41".to_owned()))
                && values.contains(&("/6/0/0".to_owned(), "52.52".to_owned()))
        })
    });
    assert_eq!(device.with(|device, _| device.observation_count()), 1);
}

fn cancel_composite(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let messages = observed(stage, &[id, "/3/0/9", "/6/0/0"], 1);
    assert_eq!(messages[0].len(), 2, "{messages:?}");
    wait_for_end(&device);
    assert_eq!(device.with(|device, _| device.observation_count()), 0);
}

fn send_of(device: &LiveDevice, paths: &'static [Path]) -> Result<(), SendError> {
    device.with(move |device, now| device.send(now, paths))
}

fn wait_for_sends(device: &LiveDevice, count: usize) {
    device.wait_for("an accepted Send", count, |event| *event == Event::Sent);
}

const BATTERY: Path = Path::Resource(3, 0, 9);

fn send(stage: &Stage, id: &str) {
    let device = stage.device(id);
    device.set("/3/0/9", Value::Integer(77));
    send_of(&device, &[BATTERY]).unwrap();
    wait_for_sends(&device, 1);
    until_reported(stage, id, &[("/3/0/9", 77.into())]);
}

fn until_reported(stage: &Stage, id: &str, wanted: &[(&str, Json)]) {
    stage.until_shown("the values that were sent", id, |shown| {
        let reported = shown["values"].as_array().cloned().unwrap_or_default();
        wanted.iter().all(|(path, value)| {
            reported.iter().any(|one| {
                one["path"] == *path && one["value"] == *value && one["origin"] == "Send"
            })
        })
    });
}

fn mute(stage: &Stage, id: &str) {
    let device = stage.device(id);
    stage.ok(&["write", id, "/1/0/23", "true"]);
    assert_eq!(send_of(&device, &[BATTERY]), Err(SendError::Muted));
    stage.ok(&["write", id, "/1/0/23", "false"]);
    send_of(&device, &[BATTERY]).unwrap();
    wait_for_sends(&device, 1);
}

fn send_several(stage: &Stage, id: &str) {
    let device = stage.device(id);
    send_of(&device, &[BATTERY, Path::Resource(6, 0, 0)]).unwrap();
    wait_for_sends(&device, 1);
    until_reported(
        stage,
        id,
        &[("/3/0/9", 100.into()), ("/6/0/0", 52.52.into())],
    );
}

fn has_instance_1(values: &[(String, String)]) -> bool {
    values.iter().any(|(path, _)| path.starts_with("/3303/1/"))
}

fn composite_and_create(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let observer = Observer::start(stage, id, &["/3/0/9", "/3303"]);
    stage.ok(&["create", id, "/3303", "--instance", "1", "5701=Cel"]);
    wait_for_updates(&device, 1);
    device.set("/3/0/9", Value::Integer(40));
    observer.until("the new instance", |messages| {
        messages.iter().any(|values| has_instance_1(values))
    });
}

fn composite_and_delete(stage: &Stage, id: &str) {
    let device = stage.device(id);
    stage.ok(&["create", id, "/3303", "--instance", "1", "5701=Cel"]);
    wait_for_updates(&device, 1);
    let observer = Observer::start(stage, id, &["/3/0/9", "/3303"]);
    stage.ok(&["delete", id, "/3303/1"]);
    wait_for_updates(&device, 2);
    device.set("/3/0/9", Value::Integer(40));
    observer.until("no second instance", |messages| {
        has_instance_1(&messages[0]) && messages.last().is_some_and(|last| !has_instance_1(last))
    });
}

fn composite_and_attributes(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let observer = Observer::start(stage, id, &["/3/0/9", "/6/0/0"]);
    let before = observer.count();
    stage.ok(&["attributes", id, "/3/0/9", "pmin=1", "pmax=2"]);
    observer.until("notifications in time", |messages| {
        messages.len() >= before + 2
    });
}

fn parameters(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let messages = observed(stage, &[id, "/3/0/9", "pmin=1", "pmax=2"], 3);
    assert_eq!(messages.len(), 3, "{messages:?}");
    // They are of the observation, not of the resource.
    let discovered = stage.json(&["discover", id, "/3/0/9"]);
    assert!(!discovered.to_string().contains("pmax"), "{discovered}");
}

fn parameters_first(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["attributes", id, "/3/0/9", "pmin=200", "pmax=300"]);
    let messages = observed(stage, &[id, "/3/0/9", "pmin=1", "pmax=2"], 3);
    assert_eq!(messages.len(), 3, "{messages:?}");
}
