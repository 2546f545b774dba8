//! Backups in an object store that nobody here wrote: moto's S3.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::leshan::cache;
use tests::{Answer, Drover, Options, Program, binary, free_address, until, wait_until_ready};

use crate::leshan::SOON;

const BACKUPS: &str = "s3://backups/drover";

pub(crate) struct Store {
    pub(crate) address: String,
    _program: Program,
}

impl Store {
    /// Starts a store with a bucket.
    pub(crate) fn start(folder: &Path) -> Self {
        let server = cache().join("interop-venv/bin/moto_server");
        assert!(server.exists(), "moto is missing: run scripts/venv.sh");
        let address = free_address();
        let (host, port) = address.split_once(':').unwrap();
        let mut command = Command::new(server);
        command.args(["-H", host, "-p", port]);
        let program = Program::start(&mut command, &folder.join("store")).unwrap();
        until("a bucket", SOON, || make_bucket(&address).is_some());
        Self {
            address,
            _program: program,
        }
    }

    pub(crate) fn run(&self, mut command: Command) -> Answer {
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.address));
        command.env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_REGION", "eu-central-1");
        command.env("AWS_ACCESS_KEY_ID", "somebody");
        command.env("AWS_SECRET_ACCESS_KEY", "something");
        command.env("DROVER_BACKUPS", BACKUPS);
        Answer::new(&command.output().unwrap())
    }

    /// A command about backups.
    fn backup(&self, drover: &Drover, arguments: &[&str]) -> Value {
        let whole = [&["backup"], arguments, &["-o", "json"]].concat();
        self.run(drover.command(&whole)).json()
    }
}

/// Amazon's simple storage service: `PUT /BUCKET` makes a bucket.
fn make_bucket(address: &str) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = "PUT /backups HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next()?.contains("200").then_some(())
}

fn endpoints(listed: &Value) -> Vec<&str> {
    let devices = listed["devices"].as_array().into_iter().flatten();
    let mut names: Vec<_> = devices.filter_map(|one| one["endpoint"].as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_cluster_comes_back_from_an_object_store() {
    let drover = Drover::start(&Options {
        devices: 3,
        state_nodes: 1,
        ..Options::default()
    });
    let store = Store::start(drover.scratch());
    let first = store.backup(&drover, &["create"]);
    drover.add_psk("later", "later", "00112233445566778899aabbccddeeff");
    let second = store.backup(&drover, &["create"]);
    assert!(
        second["writtenBytes"].as_u64() < first["writtenBytes"].as_u64(),
        "what is there is not written again: {first} {second}"
    );
    let listed = store.backup(&drover, &["list"]);
    assert_eq!(
        listed["backups"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    store.backup(&drover, &["prune", "--keep", "1"]);
    let listed = store.backup(&drover, &["list"]);
    assert_eq!(listed["backups"][0]["id"], second["id"], "{listed}");
    store.backup(&drover, &["verify", "latest"]);

    let data = drover.scratch().join("restored");
    let (api, internal, admin) = (free_address(), free_address(), free_address());
    let node = |subcommand: &[&str]| {
        let mut command = Command::new(binary("drover-state"));
        command.args(subcommand).arg("--data-dir").arg(&data);
        command.arg("--cluster-key-file");
        command.arg(drover.dir().join("cluster.key"));
        command.args(["--api-listen", &api, "--internal-listen", &internal]);
        command.args(["--admin-listen", &admin]);
        command
    };
    let restored = store.run(node(&["restore", "--from", BACKUPS, "--backup", "latest"]));
    assert_eq!(restored.code, 0, "{restored:?}");
    let log = drover.scratch().join("restored.log");
    let mut running = Program::start(&mut node(&[]), &log).unwrap();
    wait_until_ready(&mut running, &admin);
    let before = drover.json(&["devices"]);
    let mut after = Command::new(binary("drover"));
    after.args(["--api", &api, "devices", "-o", "json"]);
    let after = Answer::new(&after.output().unwrap()).json();
    assert_eq!(endpoints(&before).len(), 3, "{before}");
    assert_eq!(endpoints(&after), endpoints(&before));
}
