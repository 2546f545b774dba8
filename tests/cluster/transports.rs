//! Every transport, without and with OSCORE: simulated devices at a real ingress node.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tests::{Drover, Options, Program, Spray, binary, free_address, kill, until, until_some};

use crate::fleet::{SOON, answer, ask, more_values, progress};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const SECRET: &str = "101112131415161718191a1b1c1d1e1f";
/// For localhost; nothing else has its key.
const CERTIFICATE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ingress-node/src/tcp/streams/tests/certificate.pem"
);
const CERTIFICATE_KEY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ingress-node/src/tcp/streams/tests/key.pem"
);

/// A cluster whose ingress node serves every transport.
struct Served {
    drover: Drover,
    tcp: String,
    tls: String,
    _folder: tempfile::TempDir,
}

impl Served {
    /// With further lines of the ingress node's configuration.
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tcp, tls) = (free_address(), free_address());
        let config = folder.path().join("ingress.toml");
        let text = format!(
            "coap_tcp_listen = {tcp:?}\ncoaps_tcp_listen = {tls:?}\ncoaps_tcp_requires_certificate = false\n\
             tls_certificate_file = {CERTIFICATE:?}\ntls_key_file = {CERTIFICATE_KEY:?}\n{settings}"
        );
        std::fs::write(&config, text).unwrap();
        let drover = Drover::start(&Options {
            state_nodes: 1,
            ingress_workers: 2,
            flags: vec![
                "--coap".to_owned(),
                "--ingress-config".to_owned(),
                config.to_string_lossy().into_owned(),
            ],
            ..Options::default()
        });
        Self {
            drover,
            tcp,
            tls,
            _folder: folder,
        }
    }

    fn url(&self, transport: &str) -> String {
        match transport {
            "UDP" => format!("coap://{}", self.drover.endpoint("/ingress/0/coap")),
            "DTLS" => format!("coaps://{}", self.drover.endpoint("/ingress/0/coaps")),
            "TCP" => format!("coap+tcp://{}", self.tcp),
            _ => {
                let (_, port) = self.tls.split_once(':').unwrap();
                format!("coaps+tcp://localhost:{port}")
            }
        }
    }

    /// Starts one device of this name.
    fn device(&self, endpoint: &str, transport: &str, flags: &[&str]) -> Program {
        start_device(&self.drover, endpoint, &self.url(transport), flags)
    }
}

fn start_device(drover: &Drover, endpoint: &str, url: &str, flags: &[&str]) -> Program {
    let mut command = Command::new(binary("drover-sim"));
    command
        .args(["run", "--server", url, "--devices", "1"])
        .args(flags);
    command.args(["--lifetime", "20", "--temperature-interval", "1s"]);
    command.args(["--output", "json", "--progress", "500ms"]);
    // Nobody reads the output of an earlier one of the same name.
    Program::start(&mut command, &drover.scratch().join(endpoint)).unwrap()
}

/// A pre-shared key for a device; the file of it.
fn psk(drover: &Drover, endpoint: &str) -> String {
    drover.add_psk(endpoint, endpoint, KEY);
    let file = drover.scratch().join(format!("{endpoint}.psk"));
    std::fs::write(&file, format!("{endpoint},{endpoint},{KEY}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A security context for a device; the file of it.
fn context(drover: &Drover, endpoint: &str, id: &str) -> String {
    let added = drover.run(&[
        "credentials",
        "add",
        "--endpoint",
        endpoint,
        "--oscore-client-id",
        id,
        "--oscore-server-id",
        "00",
        "--oscore-master-secret",
        SECRET,
    ]);
    assert_eq!(added.code, 0, "{added:?}");
    let file = drover.scratch().join(format!("{endpoint}.contexts"));
    std::fs::write(&file, format!("{endpoint},{id},00,{SECRET}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Reads, writes and observes; the device updates its registration meanwhile.
fn manage(drover: &Drover, endpoint: &str, transport: &str, device: &Program) {
    drover.wait_for_device(endpoint, SOON);
    let described = drover.json(&["device", endpoint]);
    assert_eq!(described["transport"], transport, "{described}");
    let read = drover.json(&["read", endpoint, "/3/0/0"]);
    assert!(read.to_string().contains("Drover"), "{read}");
    // Longer than a block (RFC 7959) and, where blocks are large, than a message of RFC 8323 may be at first.
    let text = endpoint.repeat(100);
    ask(drover, &["write", endpoint, "/3/0/15", &text]);
    let read = drover.json(&["read", endpoint, "/3/0/15"]);
    assert!(read.to_string().contains(&text), "{endpoint}: {read}");

    let mut observe = drover.command(&["observe", endpoint, "/3303/0/5700", "-o", "json"]);
    let log = drover.scratch().join(format!("observe-{endpoint}"));
    let observer = Program::start(&mut observe, &log).unwrap();
    more_values(&observer);
    let seen = progress(device, "an update", |seen| {
        seen["updates"].as_u64().is_some_and(|updates| updates > 0)
    });
    more_values(&observer);
    assert_eq!(seen["registrations"], 1, "{endpoint}: {seen}");
    assert_eq!(seen["sessions_lost"], 0, "{endpoint}: {seen}");
}

/// Waits for an event of the device.
fn event(device: &Program, wanted: impl Fn(&Value) -> bool) {
    until("an event of the device", SOON, || {
        let output = device.output();
        let events = output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        events.into_iter().any(|event| wanted(&event))
    });
}

fn refused(device: &Program, code: &str) {
    event(device, |event| {
        event["event"] == "registration-failed" && event["reason"] == code
    });
}

#[test]
fn devices_are_managed_over_every_transport_with_and_without_oscore() {
    let served = Served::start("");
    let drover = &served.drover;
    let ca = ["--ca-file", CERTIFICATE];
    let mut devices = Vec::new();
    for (transport, flags) in [("TCP", &[][..]), ("TLS", &ca)] {
        let prefix = format!("plain-{transport}-");
        let endpoint = format!("{prefix}000000");
        let flags = [flags, &["--endpoint-prefix", &prefix]].concat();
        devices.push((
            transport,
            served.device(&endpoint, transport, &flags),
            endpoint,
        ));
    }
    for (id, transport) in [("0a", "UDP"), ("0b", "DTLS"), ("0c", "TCP"), ("0d", "TLS")] {
        let endpoint = format!("oscore-{transport}");
        let contexts = context(drover, &endpoint, id);
        let mut flags = vec!["--oscore-file", &contexts];
        let key = psk(drover, &endpoint);
        match transport {
            "DTLS" => flags.extend(["--psk-file", &key]),
            "TLS" => flags.extend(ca),
            _ => {}
        }
        devices.push((
            transport,
            served.device(&endpoint, transport, &flags),
            endpoint,
        ));
    }
    for (transport, device, endpoint) in &devices {
        manage(drover, endpoint, transport, device);
    }
}

#[test]
fn a_context_inside_the_session_of_another_device_registers_nothing() {
    let served = Served::start("");
    let drover = &served.drover;
    drover.add_psk("its-session", "shared-000000", KEY);
    let contexts = context(drover, "its-context", "0a");
    let flags = [
        "--psk-key",
        KEY,
        "--psk-identity-prefix",
        "shared-",
        "--oscore-file",
        &contexts,
    ];
    let device = served.device("its-context", "DTLS", &flags);
    refused(&device, "4.03");
    assert_eq!(drover.devices(), Vec::<String>::new());
    drop(device);
    // Where both are of the same device, it may.
    drover.add_psk("its-context", "shared-000000", KEY);
    let device = served.device("its-context", "DTLS", &flags);
    drover.wait_for_device("its-context", SOON);
    drop(device);
}

#[test]
fn a_node_for_oscore_refuses_what_nothing_protects_on_tcp() {
    let served = Served::start("coap_requires_oscore = true\n");
    let drover = &served.drover;
    let plain = served.device("plain", "TCP", &["--endpoint-prefix", "plain-"]);
    refused(&plain, "4.01");
    let contexts = context(drover, "protected", "0a");
    let _device = served.device("protected", "TCP", &["--oscore-file", &contexts]);
    drover.wait_for_device("protected", SOON);
    assert_eq!(drover.devices(), ["protected"]);
}

#[test]
fn an_endpoint_with_a_credential_is_not_registered_without() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let endpoint = "meter-000000";
    let key = psk(&drover, endpoint);
    let [coap, coaps] = ["coap", "coaps"].map(|scheme| {
        format!(
            "{scheme}://{}",
            drover.endpoint(&format!("/ingress/0/{scheme}"))
        )
    });
    let flags = ["--endpoint-prefix", "meter-"];
    let stranger = start_device(&drover, "stranger", &coap, &flags);
    refused(&stranger, "4.03");
    drop(stranger);

    let device = start_device(&drover, endpoint, &coaps, &["--psk-file", &key]);
    drover.wait_for_device(endpoint, SOON);
    drop(device);
    let removed = drover.run(&["credentials", "remove", "--psk-identity", endpoint]);
    assert_eq!(removed.code, 0, "{removed:?}");
    until("the end of the registration", SOON, || {
        drover.devices().is_empty()
    });

    let device = start_device(&drover, "anybody", &coap, &flags);
    drover.wait_for_device(endpoint, SOON);
    drop(device);
}

#[test]
fn a_context_goes_from_transport_to_transport() {
    let served = Served::start("");
    let drover = &served.drover;
    let contexts = context(drover, "roamer", "0a");
    for transport in ["UDP", "TCP", "UDP", "TCP", "TCP"] {
        let device = served.device("roamer", transport, &["--oscore-file", &contexts]);
        event(&device, |event| event["event"] == "registered");
        until_some("the transport", SOON, || {
            let described = drover.json(&["device", "roamer"]);
            let is_told = described["transport"] == transport;
            if is_told { Ok(()) } else { Err(described) }
        });
        answer(drover, &["read", "roamer", "/3/0/0"]);
    }
}

#[test]
fn a_connection_that_ends_costs_a_protected_device_a_connection() {
    let served = Served::start("");
    let drover = &served.drover;
    let contexts = context(drover, "caller", "0a");
    let device = served.device("caller", "TCP", &["--oscore-file", &contexts]);
    drover.wait_for_device("caller", SOON);
    kill(drover.pid("/ingress/0/pid"), Signal::TERM).unwrap();
    event(&device, |event| event["event"] == "connection-ended");
}

#[test]
fn a_context_inside_a_session_goes_on_at_another_node_with_it() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ingress_nodes: 2,
        ..Options::default()
    });
    let nodes = [0, 1].map(|node| drover.endpoint(&format!("/ingress/{node}/coaps")));
    for node in [0, 1] {
        let admin = drover.endpoint(&format!("/ingress/{node}/admin"));
        until("known members", SOON, || {
            tests::metric(&admin, "drover_ingress_members") >= 2.0
        });
    }
    let spray = Spray::start(&nodes, 0x05c0);
    let (key, contexts) = (psk(&drover, "both"), context(&drover, "both", "0a"));
    let flags = ["--psk-file", &key, "--oscore-file", &contexts, "--cid", "8"];
    let url = format!("coaps://{}", spray.address());
    let device = start_device(&drover, "both", &url, &flags);
    manage(&drover, "both", "DTLS", &device);

    let owner = [0, 1].into_iter().find(|node| {
        let admin = drover.endpoint(&format!("/ingress/{node}/admin"));
        tests::metric(&admin, "drover_ingress_operations_total") > 0.0
    });
    let owner = owner.unwrap();
    kill(drover.pid(&format!("/ingress/{owner}/pid")), Signal::KILL).unwrap();
    spray.set_nodes(&[nodes[1 - owner].clone()]);
    answer(&drover, &["read", "both", "/3/0/0"]);
    let seen = progress(&device, "progress", |_| true);
    assert_eq!(seen["handshakes"], 1, "{seen}");
    assert_eq!(seen["registrations"], 1, "{seen}");
}
