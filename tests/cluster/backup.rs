//! A backup is made while the cluster works, and a new cluster is made of it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use coap::Code;
use serde_json::Value;
use tempfile::TempDir;
use tests::{Answer, Drover, Options, Program, binary, free_address, until, wait_until_ready};

use crate::device::{Raw, register_query};

const SOON: Duration = Duration::from_secs(60);
/// A device that is not there, for which something waits.
const AWAY: &str = "meter-9";
/// Enough that what changes between two backups is little of it.
const CREDENTIALS: usize = 2_000;
const PUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pump.xml");

const DECLARED: &str = "\
apiVersion: drover.dev/v1alpha1
kind: Device
metadata: {name: meter-9, namespace: default}
spec:
  endpointName: meter-9
  resources:
    - {path: /3/0/14, value: \"+02:00\"}
    - {path: /3/0/15, value: Europe/Berlin}
";

/// Registers devices one after the other until it is dropped, and writes down who was told of success.
struct Registrar {
    ledger: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Registrar {
    fn start(server: String) -> Self {
        let (ledger, ended) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (kept, stop) = (ledger.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut raw = Raw::connect(&server);
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let endpoint = format!("ledger-{number:05}");
                let query = register_query(&endpoint);
                let query: Vec<&str> = query.iter().map(String::as_str).collect();
                let answer = raw.request(Code::POST, &["rd"], &query, b"</1/0>,</3/0>");
                if answer == Some(Code::CREATED_2_01) {
                    kept.lock().unwrap().push(endpoint);
                }
            }
        });
        Self {
            ledger,
            ended,
            thread: Some(thread),
        }
    }

    /// Who is registered now, as far as devices know.
    fn ledger(&self) -> Vec<String> {
        self.ledger.lock().unwrap().clone()
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Backups, and what is left of a cluster that is gone.
struct Vault {
    dir: TempDir,
}

impl Vault {
    fn new(drover: &Drover) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(drover.dir().join("cluster.key"), dir.path().join("key")).unwrap();
        Self { dir }
    }

    fn url(&self) -> String {
        format!("file://{}", self.dir.path().join("backups").display())
    }

    /// A command about the backups, which needs no cluster.
    fn run(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(binary("drover"));
        command.arg("backup").args(arguments);
        command.args(["--from", &self.url(), "-o", "json"]);
        Answer::new(&command.output().unwrap())
    }

    fn create(&self, drover: &Drover) -> Value {
        drover.json(&["backup", "create", "--to", &self.url()])
    }

    /// The files of all backups.
    fn pool(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dir.path().join("backups/files")).unwrap();
        files.map(|entry| entry.unwrap().path()).collect()
    }

    fn state_node(&self, name: &str, nodes: &Addresses) -> Command {
        let mut command = Command::new(binary("drover-state"));
        command.arg("--data-dir").arg(self.dir.path().join(name));
        nodes.give(&mut command);
        command
            .arg("--cluster-key-file")
            .arg(self.dir.path().join("key"));
        command
    }

    fn restore(&self, name: &str, id: &str, nodes: &Addresses) -> Answer {
        let mut command = Command::new(binary("drover-state"));
        command.args(["restore", "--from", &self.url(), "--backup", id]);
        command.arg("--data-dir").arg(self.dir.path().join(name));
        nodes.give(&mut command);
        command
            .arg("--cluster-key-file")
            .arg(self.dir.path().join("key"));
        Answer::new(&command.output().unwrap())
    }

    /// Restores a backup and starts a cluster of it.
    fn revive(&self, name: &str, id: &str) -> Revived {
        let nodes = Addresses::new();
        let restored = self.restore(name, id, &nodes);
        assert_eq!(restored.code, 0, "{restored:?}");
        let log = self.dir.path().join(format!("{name}.log"));
        let mut node = Program::start(&mut self.state_node(name, &nodes), &log).unwrap();
        wait_until_ready(&mut node, &nodes.admin);
        Revived {
            _node: node,
            api: nodes.api,
            said: restored.stdout,
        }
    }
}

/// Where the node of a restored cluster listens.
struct Addresses {
    api: String,
    internal: String,
    admin: String,
}

impl Addresses {
    fn new() -> Self {
        Self {
            api: free_address(),
            internal: free_address(),
            admin: free_address(),
        }
    }

    fn give(&self, command: &mut Command) {
        command.args(["--api-listen", &self.api]);
        command.args(["--internal-listen", &self.internal]);
        command.args(["--admin-listen", &self.admin]);
    }
}

/// A cluster of one node, made of a backup.
struct Revived {
    _node: Program,
    api: String,
    said: String,
}

impl Revived {
    fn run(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(binary("drover"));
        command.env("DROVER_API", &self.api).args(arguments);
        Answer::new(&command.output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["-o", "json"]].concat()).json()
    }
}

/// What the API tells, but for operations that waited.
fn told(json: impl Fn(&[&str]) -> Value) -> Vec<Value> {
    [
        &["devices"] as &[&str],
        &["device", AWAY],
        &["credentials", "list"],
        &["bootstrap", "list"],
        &["models", "list"],
        &["models", "show", "26241"],
        &["observations", "list", AWAY],
    ]
    .map(json)
    .into()
}

/// The operations of [`AWAY`], by what they are: state and path.
fn operations(json: impl Fn(&[&str]) -> Value) -> Vec<(String, String, String)> {
    let listed = json(&["operations", "list", AWAY]);
    let text = |operation: &Value, field: &str| operation[field].as_str().unwrap().to_owned();
    let mut operations: Vec<_> = listed["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| {
            (
                text(operation, "name"),
                text(operation, "path"),
                text(operation, "state"),
            )
        })
        .collect();
    operations.sort();
    operations
}

/// Something of every kind that is kept.
fn load(drover: &Drover, vault: &Vault) {
    let file = |name: &str, content: &str| {
        let path = vault.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let keys: String = (0..CREDENTIALS)
        .map(|number| format!("meter-{number},identity-{number},{number:032x}\n"))
        .collect();
    let (keys, declared) = (file("keys.csv", &keys), file("declared.yaml", DECLARED));
    for arguments in [
        &["credentials", "import", &keys] as &[&str],
        &["models", "add", PUMP],
        &[
            "bootstrap",
            "add",
            "meters",
            "--prefix",
            "meter-",
            "--server",
            "coaps://a.example.com",
        ],
        &["apply", "-f", &declared],
        &["observations", "add", AWAY, "/3303/0/5700", "pmin=10"],
        &[
            "write",
            AWAY,
            "/3/0/15",
            "Europe/Rome",
            "--no-wait",
            "--timeout",
            "12h",
        ],
        &["exec", AWAY, "/3/0/4", "--no-wait", "--timeout", "12h"],
    ] {
        let answer = drover.run(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    }
    let oscore = drover.run(&[
        "credentials",
        "add",
        "--endpoint",
        "valve-1",
        "--oscore-client-id",
        "a1",
        "--oscore-server-id",
        "b1",
        "--oscore-master-secret",
        "0102030405060708090a0b0c0d0e0f10",
    ]);
    assert_eq!(oscore.code, 0, "{oscore:?}");
}

fn endpoints(listed: &Value) -> Vec<&str> {
    let devices = listed["devices"].as_array().unwrap();
    devices
        .iter()
        .map(|device| device["endpoint"].as_str().unwrap())
        .collect()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap()
}

#[test]
fn a_new_cluster_is_made_of_a_backup_that_was_made_under_load() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let vault = Vault::new(&drover);
    load(&drover, &vault);
    let registrar = Registrar::start(drover.endpoint("/ingress/0/coap"));
    until("registrations", SOON, || registrar.ledger().len() >= 20);
    let event = drover.json(&["watch", "--count", "1"]);
    let before = registrar.ledger();
    let first = vault.create(&drover);
    drop(registrar);

    // Nothing changes any more: what comes after the second backup is in the third as it was.
    let second = vault.create(&drover);
    let third = vault.create(&drover);
    assert!(
        number(&third, "writtenBytes") * 4 < number(&third, "bytes"),
        "an incremental backup writes everything: {third}"
    );
    let before_end = told(|arguments| drover.json(arguments));
    let waiting = operations(|arguments| drover.json(arguments));
    let cluster = text(&third, "clusterId").to_owned();
    drop(drover);

    let early = vault.revive("early", text(&first, "id"));
    let listed = early.json(&["devices"]);
    let known = endpoints(&listed);
    let missing: Vec<_> = before
        .iter()
        .filter(|endpoint| !known.contains(&endpoint.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "acknowledged before the backup and not in it: {missing:?}"
    );
    drop(early);

    let late = vault.revive("late", "latest");
    assert_eq!(told(|arguments| late.json(arguments)), before_end);
    let after = operations(|arguments| late.json(arguments));
    let as_restored: Vec<_> = waiting
        .into_iter()
        .map(|(name, path, state)| match name.as_str() {
            // It may have been sent after the backup.
            "execute" => (name, path, "Cancelled".to_owned()),
            _ => (name, path, state),
        })
        .collect();
    assert_eq!(after, as_restored);
    assert!(
        late.said.contains("alone in the new cluster"),
        "{}",
        late.said
    );
    assert!(
        !late.said.contains(&format!("new cluster {cluster}")),
        "{}",
        late.said
    );
    let resumed = late.run(&[
        "watch",
        "--resume-token",
        text(&event, "resumeToken"),
        "--count",
        "1",
    ]);
    assert_eq!(resumed.code, 1, "{resumed:?}");
    assert!(resumed.stderr.contains("OUT_OF_RANGE"), "{resumed:?}");
    // It takes writes like any cluster.
    let written = late.run(&[
        "write",
        AWAY,
        "/3/0/15",
        "UTC",
        "--no-wait",
        "--timeout",
        "1h",
    ]);
    assert_eq!(written.code, 0, "{written:?}");
    drop(late);

    damage_is_found(&vault, text(&second, "id"), text(&third, "id"));
}

fn damage_is_found(vault: &Vault, older: &str, id: &str) {
    let deleted = vault.run(&["delete", older]).json();
    assert_eq!(deleted["backups"][0], older);
    let left = vault.run(&["list"]).json();
    assert_eq!(left["backups"].as_array().unwrap().len(), 2, "{left}");
    let pruned = vault.run(&["prune", "--keep", "1"]).json();
    assert!(number(&pruned, "files") > 0, "{pruned}");
    let left = vault.run(&["list"]).json();
    assert_eq!(text(&left["backups"][0], "id"), id);
    // All files that are left are of this one.
    let sound = vault.run(&["verify", id]);
    assert_eq!(sound.code, 0, "{sound:?}");
    let shown = vault.run(&["show", id]).json();
    assert_eq!(text(&shown, "id"), id);
    let largest = vault
        .pool()
        .into_iter()
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut content = std::fs::read(&largest).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&largest, content).unwrap();
    let name = largest.file_name().unwrap().to_str().unwrap();
    let found = vault.run(&["verify", id]);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.stdout.contains(name), "{found:?}");
    let refused = vault.restore("damaged", id, &Addresses::new());
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains(name), "{refused:?}");
    // No node starts on what there is of it.
    let log = vault.dir.path().join("damaged.log");
    let mut node = Program::start(&mut vault.state_node("damaged", &Addresses::new()), &log);
    let node = node.as_mut().unwrap();
    assert_eq!(node.wait_for_end(SOON), Some(1));
    assert!(
        node.output().contains("did not come to its end"),
        "{}",
        node.output()
    );
}

#[test]
fn a_backup_waits_for_new_leaders_and_is_read_through_another_node() {
    let drover = Drover::start(&Options::default());
    let vault = Vault::new(&drover);
    load(&drover, &vault);
    // The first address of the API too, at times.
    drover.kill_state_node(drover.leading_state_node());
    let made = vault.create(&drover);
    let sound = vault.run(&["verify", text(&made, "id")]);
    assert_eq!(sound.code, 0, "{sound:?}");
    let revived = vault.revive("revived", "latest");
    let listed = revived.json(&["credentials", "list"]);
    let credentials = listed["credentials"].as_array().unwrap();
    assert_eq!(credentials.len(), CREDENTIALS + 1);
}
