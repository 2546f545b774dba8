//! A device on aiocoap (Python): CoAP over TCP, and OSCORE.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tests::leshan::cache;
use tests::{Drover, Options, Program, Spray, free_address, kill, metric, until, until_some};

use crate::leshan::{SOON, observed, value_of};

const SECRET: &str = "000102030405060708090a0b0c0d0e0f";

/// The interpreter that `make interop` installs aiocoap for.
fn python() -> PathBuf {
    let python = cache().join("interop-venv/bin/python");
    assert!(python.exists(), "aiocoap is missing: run scripts/venv.sh");
    python
}

fn start_device(drover: &Drover, endpoint: &str, arguments: &[&str]) -> Program {
    let script = Path::new("interop/aiocoap_device.py");
    let mut command = Command::new(python());
    command.arg(script).arg(endpoint).args(arguments);
    let device = Program::start(&mut command, &drover.scratch().join(endpoint)).unwrap();
    drover.wait_for_device(endpoint, SOON);
    device
}

/// Reads, writes and observes; the device updates and leaves.
fn manage(drover: &Drover, endpoint: &str, device: &mut Program) {
    assert_eq!(value_of(drover, endpoint, "/3/0/0"), "Drover interop");
    let written = drover.run(&["write", endpoint, "/3/0/14", "+02:00"]);
    assert_eq!(written.code, 0, "{written:?}");
    device.wait_for_output("written /3/0/14 +02:00", SOON);

    let mut observe = drover.command(&["observe", endpoint, "/3303/0/5700", "-o", "json"]);
    let output = drover.scratch().join(format!("observe-{endpoint}"));
    let observer = Program::start(&mut observe, &output).unwrap();
    until_some("notifications", SOON, || {
        let lines = observed(&observer);
        if lines.len() >= 3 { Ok(()) } else { Err(lines) }
    });
    drop(observer);

    device.say("update");
    device.wait_for_output("answer 2.04", SOON);
    device.say("quit");
    device.wait_for_output("answer 2.02", SOON);
}

/// A cluster that serves TCP at an address, with further lines of its configuration.
fn served_on_tcp(folder: &Path, settings: &str) -> (Drover, String) {
    let address = free_address();
    let config = folder.join("ingress.toml");
    let text = format!("coap_tcp_listen = {address:?}\n{settings}");
    std::fs::write(&config, text).unwrap();
    let drover = Drover::start(&Options {
        state_nodes: 1,
        flags: vec![
            "--ingress-config".to_owned(),
            config.to_string_lossy().into_owned(),
        ],
        ..Options::default()
    });
    (drover, address)
}

#[test]
fn aiocoap_device_is_managed_over_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let (drover, address) = served_on_tcp(folder.path(), "");
    let mut device = start_device(&drover, "aiocoap-tcp", &[&format!("coap+tcp://{address}")]);
    assert_eq!(drover.json(&["device", "aiocoap-tcp"])["transport"], "TCP");
    manage(&drover, "aiocoap-tcp", &mut device);
}

#[test]
fn aiocoap_device_is_managed_over_tcp_with_oscore() {
    let folder = tempfile::tempdir().unwrap();
    let (drover, address) = served_on_tcp(folder.path(), "coap_requires_oscore = true\n");
    let context = security_context(&drover, folder.path(), "aiocoap-tcp");
    let server = format!("coap+tcp://{address}");
    let mut device = start_device(&drover, "aiocoap-tcp", &[&server, "--oscore", &context]);
    assert_eq!(drover.json(&["device", "aiocoap-tcp"])["transport"], "TCP");
    manage(&drover, "aiocoap-tcp", &mut device);
}

/// A security context for the device, as aiocoap keeps it.
fn security_context(drover: &Drover, folder: &Path, endpoint: &str) -> String {
    let context = folder.join("context");
    std::fs::create_dir(&context).unwrap();
    let settings = format!(
        "{{\"sender-id_hex\":\"0a\",\"recipient-id_hex\":\"00\",\"secret_hex\":\"{SECRET}\",\"salt_hex\":\"aabb\"}}"
    );
    std::fs::write(context.join("settings.json"), settings).unwrap();
    let added = drover.run(&[
        "credentials",
        "add",
        "--endpoint",
        endpoint,
        "--oscore-client-id",
        "0a",
        "--oscore-server-id",
        "00",
        "--oscore-master-secret",
        SECRET,
        "--oscore-master-salt",
        "aabb",
    ]);
    assert_eq!(added.code, 0, "{added:?}");
    context.to_string_lossy().into_owned()
}

/// A cluster that serves nothing on its CoAP port but OSCORE, and the device's security context.
struct Protected {
    drover: Drover,
    context: String,
    spray: Spray,
    _folder: tempfile::TempDir,
}

impl Protected {
    fn start(endpoint: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("ingress.toml");
        std::fs::write(&config, "coap_requires_oscore = true\n").unwrap();
        let drover = Drover::start(&Options {
            state_nodes: 1,
            ingress_nodes: 2,
            flags: vec![
                "--coap".to_owned(),
                "--ingress-config".to_owned(),
                config.to_string_lossy().into_owned(),
            ],
            ..Options::default()
        });
        let context = security_context(&drover, folder.path(), endpoint);
        for node in [0, 1] {
            let admin = drover.endpoint(&format!("/ingress/{node}/admin"));
            until("known members", SOON, || {
                metric(&admin, "drover_ingress_members") >= 2.0
            });
        }
        let nodes = [0, 1].map(|node| drover.endpoint(&format!("/ingress/{node}/coap")));
        Self {
            context,
            drover,
            spray: Spray::start(&nodes, 0x05c0),
            _folder: folder,
        }
    }

    /// Its datagrams go to any node.
    fn server(&self) -> String {
        format!("coap://{}", self.spray.address())
    }

    fn device(&self, endpoint: &str) -> Program {
        let address = free_address();
        let (_, port) = address.split_once(':').unwrap();
        let arguments = [&self.server(), "--port", port, "--oscore", &self.context];
        start_device(&self.drover, endpoint, &arguments)
    }
}

#[test]
fn aiocoap_device_is_managed_with_oscore() {
    let protected = Protected::start("aiocoap-oscore");
    let mut device = protected.device("aiocoap-oscore");
    manage(&protected.drover, "aiocoap-oscore", &mut device);
    // The same context again: the replay window is gone, or it is not, and nothing repeats.
    let mut device = protected.device("aiocoap-oscore");
    manage(&protected.drover, "aiocoap-oscore", &mut device);
}

#[test]
fn an_oscore_context_goes_on_at_another_node_when_its_own_is_killed() {
    let protected = Protected::start("aiocoap-oscore");
    let drover = &protected.drover;
    let mut device = protected.device("aiocoap-oscore");
    assert_eq!(
        value_of(drover, "aiocoap-oscore", "/3/0/0"),
        "Drover interop"
    );
    // The node that carried that out.
    let owner = [0, 1].into_iter().find(|node| {
        let admin = drover.endpoint(&format!("/ingress/{node}/admin"));
        metric(&admin, "drover_ingress_operations_total") > 0.0
    });
    let owner = owner.unwrap();
    kill(drover.pid(&format!("/ingress/{owner}/pid")), Signal::KILL).unwrap();
    let rest = drover.endpoint(&format!("/ingress/{}/coap", 1 - owner));
    protected.spray.set_nodes(&[rest]);
    device.say("update");
    device.wait_for_output("answer 2.04", SOON);
    until_some("an answer by way of the other node", SOON, || {
        let read = drover.run(&["read", "aiocoap-oscore", "/3/0/0"]);
        if read.code == 0 { Ok(()) } else { Err(read) }
    });
}

#[test]
fn a_port_for_oscore_refuses_what_nothing_protects() {
    let protected = Protected::start("aiocoap-oscore");
    let mut command = Command::new(python());
    let arguments = ["aiocoap-oscore", &protected.server()];
    command.arg("interop/aiocoap_device.py").args(arguments);
    let output = protected.drover.scratch().join("refused");
    let mut device = Program::start(&mut command, &output).unwrap();
    device.wait_for_output("answer 4.01", SOON);
    assert_eq!(protected.drover.devices(), Vec::<String>::new());
}
