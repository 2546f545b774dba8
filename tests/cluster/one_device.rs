//! A device that is asked in a hurry: a peer has 65,536 message ids for 247 s (RFC 7252 §4.4, §4.8.2), far fewer than
//! it can answer.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tests::{Drover, Options, Program, binary, kill, until_some};

#[test]
fn one_device_read_without_pause_keeps_answering() {
    let drover = Drover::start(&Options {
        devices: 1,
        ..Options::default()
    });
    let device = drover.devices()[0].clone();
    let mut reader = reader(&drover, &device);
    // Half of the ids go as fast as the device answers; a reader that met the other half was held back.
    until_some(
        "a reader that is held back",
        Duration::from_secs(120),
        || {
            assert!(reader.is_running(), "{}", reader.output());
            let answer = drover.run(&["read", &device, "/3/0/0", "--timeout", "5s"]);
            match answer.code {
                4 if answer.stderr.contains("RESOURCE_EXHAUSTED") => Ok(()),
                _ => Err(answer),
            }
        },
    );
    // The device is slow now, and neither dead nor closed to others.
    until_some("a write between the reads", Duration::from_secs(30), || {
        let answer = drover.run(&["write", &device, "/3/0/14", "+05:00"]);
        if answer.code == 0 {
            Ok(())
        } else {
            Err(answer)
        }
    });
    // The reader tells what it saw when it is stopped.
    kill(reader.pid(), Signal::INT).unwrap();
    assert_eq!(reader.wait_for_end(Duration::from_secs(60)), Some(1));
    let seen: Value = serde_json::from_str(reader.output().trim()).unwrap();
    assert!(seen["held_back"].as_u64().unwrap() > 0, "{seen}");
    assert_eq!(seen["failed"], serde_json::json!({}), "{seen}");
    assert!(seen["longest_gap_ms"].as_f64().unwrap() < 5_000.0, "{seen}");
}

/// Reads as often as it may until its time is over; more reads than there are ids.
fn reader(drover: &Drover, device: &str) -> Program {
    let api = drover.endpoint("/state/0/api");
    let mut command = Command::new(binary("drover-sim"));
    command.args(["bench", "read", "--api", &api, "--endpoint", device]);
    command.args(["--callers", "16", "--reads", "70000", "--timeout", "300s"]);
    Program::start(&mut command, &drover.scratch().join("reader")).unwrap()
}
