//! Firmware campaigns from the command line, with devices that really get their packages.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::{Drover, HttpPackageServer, Options, PackageServer, Program, binary, until_some};

/// A device takes about ten seconds, most of which is its reboot; when a notification is lost, a minute more.
const LIMIT: Duration = Duration::from_secs(240);
const PATIENCE: &str = "240s";

/// Of many blocks. Its first line is what a simulated device reads of it.
fn package(version: &str) -> Vec<u8> {
    let mut package = format!("meters {version}\n").into_bytes();
    package.resize(20_000, 0x5a);
    package
}

fn done(drover: &Drover, arguments: &[&str]) -> String {
    let answer = drover.run(arguments);
    assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    answer.stdout
}

fn wave(campaign: &Value, place: usize) -> &Value {
    &campaign["waves"][place]
}

/// The lines below the headings, by field.
fn csv(text: &str) -> Vec<Vec<&str>> {
    let mut lines = text.lines().map(|line| line.split(',').collect());
    let headings: Vec<&str> = lines.next().unwrap();
    assert_eq!(
        headings,
        [
            "endpoint",
            "wave",
            "phase",
            "reason",
            "phaseTime",
            "retries",
            "versionBefore"
        ]
    );
    lines.collect()
}

#[test]
fn a_campaign_updates_a_canary_then_after_approval_everybody() {
    let drover = Drover::start(&Options {
        devices: 12,
        ..Options::default()
    });
    let packages = PackageServer::start(&package("2.0.0"));
    let uri = packages.uri();
    let create = [
        "rollout",
        "create",
        "meters-2",
        "--version",
        "2.0.0",
        "--uri",
        &uri,
        "--wave",
        "canary:size=2,max-failed=1,approve",
        "--wave",
        "rest:success=100%",
    ];
    let preview = done(&drover, &[&create[..], &["--dry-run"]].concat());
    assert!(
        preview.starts_with("12 devices would get 2.0.0 "),
        "{preview}"
    );
    let none = drover.json(&["rollout", "list"]);
    assert_eq!(none["campaigns"], serde_json::json!([]), "{none}");

    done(&drover, &create);
    let again = drover.run(&create);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("CAMPAIGN_EXISTS"), "{again:?}");
    let get = ["rollout", "get", "meters-2"];
    let waiting = until_some("a canary that waits for approval", LIMIT, || {
        let campaign = drover.json(&get);
        if wave(&campaign, 0)["state"] == "AwaitingApproval" {
            Ok(campaign)
        } else {
            Err(campaign)
        }
    });
    assert_eq!(waiting["counts"]["succeeded"], 2, "{waiting}");
    assert_eq!(waiting["counts"]["waiting"], 10, "{waiting}");
    assert_eq!(wave(&waiting, 1)["state"], "Pending", "{waiting}");
    let tree = done(&drover, &get);
    assert!(tree.contains("drover rollout approve meters-2"), "{tree}");

    let approved = done(&drover, &["rollout", "approve", "meters-2"]);
    assert!(approved.contains("through canary"), "{approved}");
    done(
        &drover,
        &["rollout", "status", "meters-2", "--timeout", PATIENCE],
    );
    // It has ended: a watch shows it once.
    let watched = done(&drover, &["rollout", "get", "meters-2", "--watch"]);
    assert_eq!(watched.lines().count(), 1, "{watched}");
    assert!(watched.contains("Succeeded"), "{watched}");

    let listed = done(&drover, &["rollout", "devices", "meters-2", "-o", "csv"]);
    let devices = csv(&listed);
    assert_eq!(devices.len(), 12, "{listed}");
    for device in &devices {
        assert_eq!((device[2], device[6]), ("Succeeded", "1.0.0"), "{listed}");
        let read = drover.json(&["read", device[0], "/3/0/3"]);
        assert_eq!(read["values"][0]["value"], "2.0.0", "{read}");
    }
    let described = done(&drover, &["device", devices[0][0]]);
    let told = "Firmware:       2.0.0 by the campaign meters-2: Succeeded";
    assert!(described.contains(told), "{described}");
    let canaries = devices.iter().filter(|device| device[1] == "canary");
    assert_eq!(canaries.count(), 2, "{listed}");

    // The plan that is shown makes another campaign, for which everybody is up to date.
    let plan = drover.scratch().join("plan.json");
    std::fs::write(&plan, drover.json(&get)["plan"].to_string()).unwrap();
    let plan = plan.to_str().unwrap();
    done(
        &drover,
        &["rollout", "create", "again", "-f", plan, "--wave", "all"],
    );
    done(
        &drover,
        &["rollout", "status", "again", "--timeout", PATIENCE],
    );
    let again = drover.json(&["rollout", "get", "again"]);
    assert_eq!(again["counts"]["skipped"], 12, "{again}");

    done(&drover, &["rollout", "delete", "again"]);
    let gone = drover.run(&["rollout", "get", "again"]);
    assert_eq!(gone.code, 3, "{gone:?}");
}

#[test]
fn devices_get_their_packages_over_http_too() {
    let drover = Drover::start(&Options {
        devices: 3,
        ..Options::default()
    });
    let packages = HttpPackageServer::start(&package("2.0.0"));
    let uri = packages.uri();
    let create = [
        "rollout",
        "create",
        "by-http",
        "--version",
        "2.0.0",
        "--uri",
        &uri,
    ];
    done(&drover, &create);
    done(
        &drover,
        &["rollout", "status", "by-http", "--timeout", PATIENCE],
    );
    let campaign = drover.json(&["rollout", "get", "by-http"]);
    assert_eq!(campaign["counts"]["succeeded"], 3, "{campaign}");
    for device in drover.devices() {
        let read = drover.json(&["read", &device, "/3/0/3"]);
        assert_eq!(read["values"][0]["value"], "2.0.0", "{read}");
    }
}

#[test]
fn a_campaign_whose_devices_fail_stops_and_an_abort_takes_back_the_rest() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let server = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    let mut command = Command::new(binary("drover-sim"));
    command.args(["run", "--server", &server, "--endpoint-prefix", "bad-"]);
    command.args(["--devices", "6", "--firmware", "fails-update"]);
    let _devices = Program::start(&mut command, &drover.scratch().join("bad.log")).unwrap();
    until_some("six devices", LIMIT, || {
        let devices = drover.devices();
        if devices.len() == 6 {
            Ok(())
        } else {
            Err(devices)
        }
    });
    let packages = PackageServer::start(&package("2.0.0"));
    done(
        &drover,
        &[
            "rollout",
            "create",
            "meters-2",
            "--version",
            "2.0.0",
            "--uri",
            &packages.uri(),
            "--retries",
            "0",
            "--wave",
            "all:concurrent=2,max-failed=2",
        ],
    );
    let stopped = drover.run(&["rollout", "status", "meters-2", "--timeout", PATIENCE]);
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert!(
        stopped
            .stderr
            .contains("too many devices of the wave failed"),
        "{stopped:?}"
    );
    let failed = drover.json(&["rollout", "devices", "meters-2", "--failed"]);
    let failed = failed["devices"].as_array().unwrap();
    assert!(failed.len() >= 2, "{failed:?}");
    for device in failed {
        assert_eq!(
            device["reason"], "update result 8: update failed",
            "{device}"
        );
    }
    // It stays as it is: nobody begins any more.
    let campaign = drover.json(&["rollout", "get", "meters-2"]);
    assert_eq!(campaign["state"], "Stopped", "{campaign}");
    assert!(
        campaign["counts"]["waiting"].as_u64().unwrap() > 0,
        "{campaign}"
    );

    let aborted = done(&drover, &["rollout", "abort", "meters-2"]);
    assert!(aborted.contains("taken back"), "{aborted}");
    let ended = drover.run(&["rollout", "status", "meters-2", "--timeout", PATIENCE]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("is Aborted"), "{ended:?}");
    let listed = done(&drover, &["rollout", "devices", "meters-2", "-o", "csv"]);
    let devices = csv(&listed);
    let phases = devices.iter().map(|device| device[2]);
    let of = |wanted: &str| phases.clone().filter(|phase| *phase == wanted).count();
    assert_eq!(of("Failed") + of("Cancelled"), 6, "{listed}");
    assert!(of("Cancelled") > 0, "{listed}");
    let only = drover.json(&["rollout", "devices", "meters-2", "--phase", "cancelled"]);
    assert_eq!(
        only["devices"].as_array().unwrap().len(),
        of("Cancelled"),
        "{only}"
    );
}

#[test]
fn a_campaign_begins_devices_no_faster_than_it_is_told() {
    let drover = Drover::start(&Options {
        devices: 4,
        ..Options::default()
    });
    let packages = PackageServer::start(&package("2.0.0"));
    let uri = packages.uri();
    let create = |name, every| {
        let words = [
            "rollout",
            "create",
            name,
            "--version",
            "2.0.0",
            "--uri",
            &uri,
        ];
        done(&drover, &[&words[..], &["--begin-every", every]].concat())
    };
    create("slow", "1h");
    let slow = until_some("the first device", LIMIT, || {
        let campaign = drover.json(&["rollout", "get", "slow"]);
        if campaign["counts"]["succeeded"] == 1 {
            Ok(campaign)
        } else {
            Err(campaign)
        }
    });
    // An update takes many rounds of the planner, in which nobody else began.
    assert_eq!(slow["counts"]["waiting"], 3, "{slow}");
    assert_eq!(slow["plan"]["beginEvery"], "3600s", "{slow}");
    done(&drover, &["rollout", "abort", "slow"]);
    create("fast", "1ms");
    done(
        &drover,
        &["rollout", "status", "fast", "--timeout", PATIENCE],
    );
}

#[test]
fn what_is_no_campaign_is_refused_before_anything_is_done() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ..Options::default()
    });
    let create = [
        "rollout",
        "create",
        "meters-2",
        "--version",
        "2",
        "--uri",
        "coap://h/2",
    ];
    for (more, named) in [
        (["--wave", "canary:size=0"], "waves[0].size"),
        (["--wave", "canary:sise=5%"], "\"sise=5%\""),
        (["--window", "Mon 22:00"], "DAYS"),
        (
            ["--window", "22:00-04:00 Nowhere/City"],
            "windows[0].time_zone",
        ),
        (["--filter", "colour = red"], "colour"),
        (["--on-failure", "rollback"], "--rollback-version"),
        (["-o", "csv"], "csv"),
    ] {
        let refused = drover.run(&[&create[..], &more].concat());
        assert_eq!(refused.code, 2, "{more:?}: {refused:?}");
        assert!(refused.stderr.contains(named), "{more:?}: {refused:?}");
    }
    let listed = drover.json(&["rollout", "list"]);
    assert_eq!(listed["campaigns"], serde_json::json!([]), "{listed}");
    for command in [
        "get", "status", "devices", "pause", "resume", "approve", "abort", "delete",
    ] {
        let absent = drover.run(&["rollout", command, "nothing"]);
        assert_eq!(absent.code, 3, "{command}: {absent:?}");
    }
}
