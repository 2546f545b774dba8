//! A rollout over 200 devices, many of which fail in every way that there is, while everything that carries it out is
//! killed once. What the ledger says in the end is what each device says of itself.

use std::collections::BTreeMap;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    Drover, Operator, Options, PackageServer, Program, binary, is_alive, kill, until, until_some,
};

use crate::rig::{Rig, SOON};

const GOOD: usize = 120;
/// Of each result from 2 to 9.
const BAD: usize = 10;
const DEVICES: usize = GOOD + 8 * BAD;

/// Devices that do the same with a firmware, and what they print of themselves.
struct Kind {
    result: u8,
    program: Program,
}

struct Fleet {
    rig: Rig,
    kinds: Vec<Kind>,
}

impl Fleet {
    fn start() -> Self {
        let rig = Rig::of(&Options {
            flags: vec!["--coap".to_owned()],
            ..Options::default()
        });
        let kinds = (1..=9).map(|result| Kind::start(&rig.drover, result));
        let kinds = kinds.collect();
        until_some("all devices", SOON, || match rig.drover.devices().len() {
            DEVICES => Ok(()),
            some => Err(some),
        });
        Self { rig, kinds }
    }

    fn until(&self, kind: &str, status: &str, reason: &str) -> Value {
        self.rig.until("fwr/fleet", kind, status, reason)
    }

    /// `endpoint` and what became of it.
    fn ledger(&self) -> BTreeMap<String, (String, String)> {
        let listed = self.rig.drover.json(&["rollout", "devices", "fleet"]);
        let text =
            |device: &Value, field: &str| device[field].as_str().unwrap_or_default().to_owned();
        let devices = listed["devices"].as_array().unwrap().iter();
        devices
            .map(|device| {
                let outcome = (text(device, "phase"), text(device, "reason"));
                (text(device, "endpoint"), outcome)
            })
            .collect()
    }
}

impl Kind {
    /// Devices whose updates end with this result.
    fn start(drover: &Drover, result: u8) -> Self {
        let server = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
        let (devices, firmware) = match result {
            1 => (GOOD, "succeeds".to_owned()),
            failure => (BAD, format!("result-{failure}")),
        };
        let prefix = format!("r{result}-");
        let mut command = Command::new(binary("drover-sim"));
        command.args(["run", "--server", &server, "--endpoint-prefix", &prefix]);
        command.args(["--devices", &devices.to_string(), "--firmware", &firmware]);
        // They are heard from soon after an ingress node that knew them is gone.
        command.args(["--lifetime", "30", "--temperature-interval", "0s"]);
        command.args(["--output", "json", "--progress", "1h"]);
        let log = drover.scratch().join(format!("kind-{result}"));
        Self {
            result,
            program: Program::start(&mut command, &log).unwrap(),
        }
    }

    /// What each device told of its firmware, oldest first: state and result.
    fn told(&self) -> BTreeMap<String, Vec<(u64, u64)>> {
        let mut told: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        let output = self.program.output();
        let lines = output.lines();
        for line in lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["event"] == "firmware" {
                let endpoint = line["endpoint"].as_str().unwrap().to_owned();
                let numbers = (&line["state"], &line["result"]);
                let (state, result) = (numbers.0.as_u64().unwrap(), numbers.1.as_u64().unwrap());
                told.entry(endpoint).or_default().push((state, result));
            }
        }
        told
    }
}

fn package() -> Vec<u8> {
    let mut package = b"meters 2.0.0\n".to_vec();
    package.resize(4_000, 0x5a);
    package
}

fn manifests(uri: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: FirmwareImage
metadata: {{name: fleet, namespace: default}}
spec:
  source: {{uri: '{uri}'}}
  packageName: meters
  version: 2.0.0
  sizeBytes: 4000
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
---
apiVersion: drover.dev/v1alpha1
kind: FirmwareRollout
metadata: {{name: fleet, namespace: default}}
spec:
  imageRef: {{name: fleet}}
  selector: {{}}
  orderingSeed: canary
  strategy:
    waves:
    - {{name: canary, size: \"20\", maxConcurrent: 10, failureThreshold: {{devices: 3}}, promotion: Automatic}}
    - {{name: rest, size: 100%, maxConcurrent: 60, failureThreshold: {{percent: 60%}}, minimumResults: 40}}
  device:
    retry: {{limit: 1, initialBackoffSeconds: 5}}
"
    )
}

const UPDATING: u64 = 3;

#[test]
fn a_rollout_over_devices_that_fail_in_every_way_ends_as_the_devices_say() {
    let fleet = Fleet::start();
    let (rig, packages) = (&fleet.rig, PackageServer::start(&package()));
    let operator = Operator::start(&rig.kubernetes, &rig.drover, "before");
    rig.apply(&manifests(&packages.uri()));

    // The canary fails, and nobody else begins.
    let stopped = fleet.until("Paused", "True", "FailureThresholdExceeded");
    assert_eq!(stopped["status"]["currentWave"], "canary");
    assert_eq!(
        stopped["status"]["waves"][1]["state"], "Pending",
        "{stopped}"
    );
    let began = fleet.kinds.iter().map(|kind| kind.told().len());
    assert!(began.sum::<usize>() <= 20, "{stopped}");
    rig.patch("fwr/fleet", r#"{"paused": true}"#);
    fleet.until("Paused", "True", "UserPaused");
    rig.patch("fwr/fleet", r#"{"paused": false}"#);

    until_some("the second wave on its way", SOON, || {
        let wave = rig.object("fwr/fleet")["status"]["waves"][1].clone();
        let succeeded = wave["counts"]["succeeded"].as_u64().unwrap_or_default();
        if wave["state"] == "Running" && succeeded > 0 {
            Ok(())
        } else {
            Err(wave)
        }
    });
    let _restarted = strike(&rig.drover, operator);
    let _operator = Operator::start(&rig.kubernetes, &rig.drover, "after");

    let ended = fleet.until("Ready", "True", "Complete");
    let counts = &ended["status"]["counts"];
    assert_eq!(counts["succeeded"], GOOD, "{counts}");
    assert_eq!(counts["failed"], 8 * BAD, "{counts}");
    agrees(&fleet);
}

/// Kills the state node that leads most shards, the ingress node and the operator, in this order; the nodes come back.
fn strike(drover: &Drover, operator: Operator) -> [Program; 2] {
    let leader = drover.leading_state_node();
    let pid = drover.pid(&format!("/state/{leader}/pid"));
    kill(pid, Signal::KILL).unwrap();
    until("the end of the leader", SOON, || !is_alive(pid));
    let state = drover.restart_state_node(leader, "state-again");
    let ingress = drover.pid("/ingress/0/pid");
    kill(ingress, Signal::KILL).unwrap();
    until("the end of the ingress node", SOON, || !is_alive(ingress));
    let at = |what: &str| drover.endpoint(&format!("/ingress/0/{what}"));
    let key = drover.dir().join("cluster.key");
    let flags = [
        "--coap-listen",
        &at("coap"),
        "--cluster-key-file",
        key.to_str().unwrap(),
    ];
    let ingress = drover.start_ingress(&at("coaps"), &at("admin"), &flags, "ingress-again");
    drop(operator);
    [state, ingress]
}

/// The ledger has of each device what the device told, and nobody has installed twice.
fn agrees(fleet: &Fleet) {
    let ledger = fleet.ledger();
    assert_eq!(ledger.len(), DEVICES);
    for kind in &fleet.kinds {
        let told = kind.told();
        for (endpoint, (phase, reason)) in &ledger {
            if !endpoint.starts_with(&format!("r{}-", kind.result)) {
                continue;
            }
            let steps = told.get(endpoint).map(Vec::as_slice).unwrap_or_default();
            let installs = steps
                .windows(2)
                .filter(|pair| pair[0].0 != UPDATING && pair[1].0 == UPDATING);
            let installs = installs.count();
            let last = steps
                .iter()
                .rev()
                .find_map(|(_, result)| (*result > 0).then_some(*result));
            assert_eq!(last, Some(u64::from(kind.result)), "{endpoint}: {steps:?}");
            if kind.result == 1 {
                assert_eq!(
                    (phase.as_str(), installs),
                    ("Succeeded", 1),
                    "{endpoint}: {steps:?}"
                );
            } else {
                assert_eq!(phase, "Failed", "{endpoint}: {reason}, {steps:?}");
                let wanted = format!("update result {}:", kind.result);
                assert!(
                    reason.starts_with(&wanted),
                    "{endpoint}: {reason}, {steps:?}"
                );
                assert!(
                    installs <= usize::from(kind.result == 8),
                    "{endpoint}: {steps:?}"
                );
            }
        }
    }
}
