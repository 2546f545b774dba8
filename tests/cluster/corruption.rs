//! Bytes on a state node's disk change behind its back: it notices, stops, and is rebuilt from the others.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Options, Program, until_some};

use crate::ledger::Registrar;

/// How a node ends that found its data corrupt.
const EXIT_CORRUPT: i32 = 65;
const SOON: Duration = Duration::from_secs(60);
/// The node whose disk is damaged, and one that dies once the other is rebuilt.
const DAMAGED: usize = 2;
const KILLED: usize = 0;

#[test]
fn a_node_with_a_damaged_log_is_rebuilt_and_nothing_acknowledged_is_lost() {
    rebuilt_after(|dir| {
        let segment = dir.join("log/0000000000.log");
        let length = fs::metadata(&segment).unwrap().len();
        flip(&segment, length / 2, 24);
    });
}

#[test]
fn a_node_with_damaged_rows_is_rebuilt_and_nothing_acknowledged_is_lost() {
    rebuilt_after(|dir| {
        let tables = tables(&dir.join("shards"));
        assert!(!tables.is_empty(), "rows were flushed at the stop");
        for table in tables {
            flip(&table, 8, 24);
        }
    });
}

#[test]
fn a_node_that_may_not_rebuild_itself_waits_for_a_person() {
    let never = ("DROVER_STATE__REBUILD_CORRUPT", "never".to_owned());
    let drover = Drover::start(&Options {
        environment: vec![never],
        ..Options::default()
    });
    drover.stop_state_node(DAMAGED);
    let dir = drover.state_dir(DAMAGED);
    let segment = dir.join("log/0000000000.log");
    flip(&segment, fs::metadata(&segment).unwrap().len() / 2, 24);
    ends_with(&drover, EXIT_CORRUPT, "the data of this node is corrupt");
    ends_with(&drover, 1, "drover-state rebuild --data-dir");
    assert!(dir.join("log").exists(), "nothing was moved");

    let rebuild = |flags: &[&str]| {
        let mut command = std::process::Command::new(tests::binary("drover-state"));
        command.arg("rebuild").arg("--data-dir").arg(&dir);
        command.args(flags).output().unwrap()
    };
    let told = rebuild(&[]);
    assert!(!told.status.success() && dir.join("log").exists());
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("0000000000.log, byte "), "{told}");
    assert!(rebuild(&["--yes"]).status.success());
    let former = identity(&dir.join("quarantine-1"));
    let _node = drover.restart_state_node(DAMAGED, "rebuilt.log");
    wait_until_replaced(&drover, &former);
}

fn rebuilt_after(damage: fn(&Path)) {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        devices: 3,
        ..Options::default()
    });
    let mut registrar = Registrar::new(&drover.endpoint("/ingress/0/coap"));
    registrar.register_until(600, SOON);
    drover.stop_state_node(DAMAGED);
    registrar.register_until(800, SOON);
    let dir = drover.state_dir(DAMAGED);
    let former = identity(&dir);
    damage(&dir);

    ends_with(&drover, EXIT_CORRUPT, "the data of this node is corrupt");
    assert!(dir.join("CORRUPT").exists());
    let _rebuilt = drover.restart_state_node(DAMAGED, "rebuilt.log");
    assert!(dir.join("quarantine-1/CORRUPT").exists());
    assert_eq!(identity(&dir.join("quarantine-1")), former);
    wait_until_replaced(&drover, &former);

    // From here on nothing goes without the node that was rebuilt.
    drover.kill_state_node(KILLED);
    registrar.register_until(1_000, SOON * 2);
    registrar.wait_until_all_are_listed(&drover);
}

/// Starts the damaged node and waits until it ends by itself.
fn ends_with(drover: &Drover, code: i32, words: &str) {
    let log = drover.scratch().join("ended.log");
    let mut node = Program::start(&mut drover.state_node(DAMAGED), &log).unwrap();
    let ended = node.wait_for_end(SOON);
    let output = node.output();
    assert_eq!(ended, Some(code), "{output}");
    assert!(output.contains(words), "{output}");
}

/// Every shard has three voters, and none of them is the node that was.
fn wait_until_replaced(drover: &Drover, former: &str) {
    let dir = drover.dir();
    until_some("three voters of every shard", SOON, || {
        let answer = drover.run(&["--dir", &dir.to_string_lossy(), "cluster", "-o", "json"]);
        let described: Value =
            serde_json::from_str(&answer.stdout).map_err(|_| answer.stderr.clone())?;
        let shards = described["shardStates"].as_array().cloned();
        let shards = shards.unwrap_or_default();
        let replaced = |shard: &Value| {
            let voters = shard["voters"].as_array().cloned().unwrap_or_default();
            voters.len() == 3 && voters.iter().all(|voter| voter.as_str() != Some(former))
        };
        if !shards.is_empty() && shards.iter().all(replaced) {
            Ok(())
        } else {
            Err(answer.stdout)
        }
    });
}

fn identity(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("IDENTITY")).unwrap();
    let identity: Value = serde_json::from_str(&text).unwrap();
    identity["node_id"].as_str().unwrap().to_owned()
}

/// Flips a bit in each of `count` bytes.
fn flip(path: &Path, at: u64, count: usize) {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.unwrap();
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, at).unwrap();
    for byte in &mut bytes {
        *byte ^= 0x10;
    }
    file.write_all_at(&bytes, at).unwrap();
}

/// The table files of the live databases of all shards.
fn tables(shards: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let databases = list(shards).into_iter().flat_map(|shard| list(&shard));
    let databases = databases.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("db-")
    });
    databases
        .flat_map(|database| list(&database))
        .filter(|file| file.extension().is_some_and(|name| name == "sst"))
        .collect()
}
