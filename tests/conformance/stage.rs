//! The cluster, and what the server's part of a case is done with: the command line.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lwm2m::{EndpointName, Lifetime, LwM2mVersion};
use lwm2m_client::{Config, Profile, ServerAccount};
use serde_json::Value as Json;
use tests::leshan::start_device;
use tests::{Answer, Drover, LiveDevice, Options, Program, free_address, until_some};

use crate::channel::{Carrier, Channel};
use crate::device;
use crate::keys::{Authority, Identity};

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A profile id that the server knows, and the objects that it stands for.
pub(crate) const PROFILE_ID: &str = "6:27354b9a";
const PROFILE_OBJECTS: &str = "</1/0>,</3/0>,</3303/0>";

/// The exit code of a command about something that does not exist.
const NOT_FOUND: i32 = 3;

/// What the names of Leshan's devices begin with.
pub(crate) const LESHAN: &str = "leshan-";

/// Who plays the device's part. It goes when dropped.
#[expect(dead_code, reason = "held until the case is over")]
pub(crate) enum Peer {
    Own(LiveDevice),
    Leshan(Program),
}

impl Peer {
    /// The release of LwM2M that it has.
    pub(crate) const fn version(&self) -> &str {
        match self {
            Self::Own(_) => "1.2",
            Self::Leshan(_) => "1.1",
        }
    }
}

/// A running cluster, with keys of its own.
pub(crate) struct Stage {
    drover: Drover,
    server: SocketAddr,
    tls: SocketAddr,
    pub(crate) authority: Authority,
    /// The server's.
    pub(crate) identity: Identity,
    _keys: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self::of(Options {
            devices: 1,
            ..Options::default()
        });
        let uri = stage.server_uri();
        let profile = ["--prefix", "1.", "--server", &uri, "--lifetime", "240s"];
        stage.ok(&[&["bootstrap", "add", "every-case"], &profile[..]].concat());
        stage
    }

    /// Where an ingress node serves: `coap`, `coaps`, `tcp` or `tls`.
    pub(crate) fn ingress(&self, transport: &str) -> SocketAddr {
        match transport {
            "tls" => self.tls,
            other => {
                let pointer = format!("/ingress/0/{other}");
                self.drover.endpoint(&pointer).parse().unwrap()
            }
        }
    }

    /// Where the bootstrap server serves: `coap` or `coaps`.
    pub(crate) fn bootstrap_server(&self, transport: &str) -> SocketAddr {
        let pointer = format!("/bootstrap/0/{transport}");
        self.drover.endpoint(&pointer).parse().unwrap()
    }

    /// One more server, as small as it can be, that knows nothing of the first.
    pub(crate) fn another() -> Self {
        Self::of(Options {
            state_nodes: 1,
            ..Options::default()
        })
    }

    fn of(options: Options) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let identity = authority.issue("Conformance server", &["localhost", "127.0.0.1"]);
        let tls = free_address();
        let trust = trust(keys.path(), &authority, &identity);
        let [ingress, bootstrap] = [
            (
                "ingress.toml",
                format!("coaps_tcp_listen = {tls:?}\n{trust}"),
            ),
            ("bootstrap.toml", trust),
        ]
        .map(|(name, settings)| write(keys.path(), name, &settings));
        let drover = Drover::start(&Options {
            flags: [
                "--coap",
                "--tcp",
                "--ingress-config",
                &ingress,
                "--bootstrap-config",
                &bootstrap,
            ]
            .map(str::to_owned)
            .to_vec(),
            environment: vec![(
                "DROVER_INGRESS__PROFILE_IDS",
                format!("{{\"{PROFILE_ID}\"=\"{PROFILE_OBJECTS}\"}}"),
            )],
            ..options
        });
        let server = drover.endpoint("/ingress/0/coap").parse().unwrap();
        Self {
            drover,
            server,
            tls: tls.parse().unwrap(),
            authority,
            identity,
            _keys: keys,
        }
    }

    /// Where the management server is.
    pub(crate) fn server_uri(&self) -> String {
        format!("coap://{}", self.server)
    }

    /// Whoever plays the device's part, registered by this name: of names that begin with [`LESHAN`], a device of
    /// Leshan's.
    pub(crate) fn peer(&self, name: &str) -> Peer {
        if !name.starts_with(LESHAN) {
            return Peer::Own(self.device(name));
        }
        let uri = self.server_uri();
        let device = start_device(&self.drover, name, &[&uri, "300", "-1", "nosec"]);
        self.drover.wait_for_device(name, SOON);
        Peer::Leshan(device)
    }

    /// A registered device of LwM2M 1.2 with every object, named after its case.
    pub(crate) fn device(&self, id: &str) -> LiveDevice {
        self.device_of(id, |_| {})
    }

    /// As [`Stage::device`], with another configuration.
    pub(crate) fn device_of(&self, id: &str, change: impl FnOnce(&mut Config)) -> LiveDevice {
        let channel = Channel::open(self.server, &Carrier::Udp).unwrap();
        self.device_on(channel, id, change)
    }

    /// As [`Stage::device_of`], on a channel of its own.
    pub(crate) fn device_on(
        &self,
        channel: Channel,
        id: &str,
        change: impl FnOnce(&mut Config),
    ) -> LiveDevice {
        let mut config = config(id);
        change(&mut config);
        let device = device::start(config, vec![channel]);
        self.drover.wait_for_device(id, SOON);
        device
    }

    /// As [`Stage::device`], registered at another server as well, which has the Short Server ID 2.
    pub(crate) fn device_of_two(&self, other: &Self, id: &str) -> LiveDevice {
        let mut config = config(id);
        config.more_servers = vec![ServerAccount {
            short_server_id: 2,
            lifetime: Lifetime::from_secs(600),
        }];
        let channels =
            [self.server, other.server].map(|server| Channel::open(server, &Carrier::Udp).unwrap());
        let device = device::start(config, channels.into());
        self.drover.wait_for_device(id, SOON);
        other.drover.wait_for_device(id, SOON);
        device
    }

    /// What the command line says.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.drover.run(arguments)
    }

    /// Does something that succeeds.
    pub(crate) fn ok(&self, arguments: &[&str]) {
        let answer = self.run(arguments);
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// Does something that the device refuses with a CoAP code.
    pub(crate) fn refused(&self, code: &str, arguments: &[&str]) {
        let answer = self.run(arguments);
        assert_ne!(answer.code, 0, "{answer:?}");
        assert!(answer.stderr.contains(code), "{answer:?}");
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        self.drover.json(arguments)
    }

    /// The values of a read, by path, as text.
    pub(crate) fn read(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let read = self.json(&[&["read"], arguments].concat());
        values(&read)
    }

    /// A single value, as text.
    pub(crate) fn value(&self, endpoint: &str, path: &str) -> String {
        let read = self.read(&[endpoint, path]);
        assert_eq!(read.len(), 1, "{read:?}");
        read.into_iter().next().unwrap().1
    }

    /// What a raw request is answered with: code, and payload in hexadecimal.
    pub(crate) fn raw(&self, arguments: &[&str]) -> (String, String) {
        let raw = self.json(&[&["raw"], arguments].concat());
        let text = |name: &str| raw[name].as_str().unwrap_or_default().to_owned();
        (text("coapCode"), text("payload"))
    }

    /// What the server knows of a device.
    pub(crate) fn shown(&self, endpoint: &str) -> Json {
        self.json(&["device", endpoint])
    }

    /// Waits until what the server knows of a device is as it should be.
    pub(crate) fn until_shown(&self, what: &str, endpoint: &str, is: impl Fn(&Json) -> bool) {
        self.until_shown_within(SOON, what, endpoint, is);
    }

    pub(crate) fn until_shown_within(
        &self,
        limit: Duration,
        what: &str,
        endpoint: &str,
        is: impl Fn(&Json) -> bool,
    ) {
        until_some(what, limit, || {
            let answer = self.run(&["device", endpoint, "-o", "json"]);
            let shown = match answer.code {
                // Of a device without a registration, a value or anything else, nothing is known.
                NOT_FOUND => serde_json::json!({"state": "Unknown"}),
                _ => serde_json::from_str(&answer.stdout).unwrap_or_default(),
            };
            if is(&shown) { Ok(()) } else { Err(shown) }
        });
    }

    /// Starts a command that goes on, with its output in a file of the cluster's folder.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Program {
        let mut command = self.drover.command(arguments);
        Program::start(&mut command, &self.drover.scratch().join(name)).unwrap()
    }

    /// A file in the cluster's folder.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.drover.scratch().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Devices that `drover dev` started: they are on DTLS with pre-shared keys.
    pub(crate) fn secured_devices(&self) -> Vec<String> {
        let devices = self.drover.devices();
        devices
            .into_iter()
            .filter(|endpoint| endpoint.starts_with("sim-"))
            .collect()
    }
}

fn config(id: &str) -> Config {
    let endpoint = EndpointName::new(id).unwrap();
    let mut config = Config::new(endpoint);
    config.version = LwM2mVersion::V1_2;
    config.profile = Profile::full(id);
    config.firmware_step = Duration::from_millis(200);
    config
}

/// What the nodes prove themselves with, and whom they trust.
fn trust(folder: &Path, authority: &Authority, identity: &Identity) -> String {
    let authorities = write(folder, "authorities.pem", &authority.certificate_pem);
    let certificate = write(folder, "certificate.pem", &identity.certificate_pem);
    let key = write(folder, "key.pem", &identity.private_key_pem);
    format!(
        "client_authorities_file = {authorities:?}\n\
         tls_certificate_file = {certificate:?}\ntls_key_file = {key:?}\n\
         [[dtls_keys]]\nkey_file = {key:?}\n\
         [[dtls_keys]]\nkey_file = {key:?}\ncertificate_file = {certificate:?}\n"
    )
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The values of something that was read or reported, by path, as text.
pub(crate) fn values(read: &Json) -> Vec<(String, String)> {
    let values = read["values"].as_array().cloned().unwrap_or_default();
    let mut values: Vec<(String, String)> = values
        .iter()
        .map(|value| {
            let text = match &value["value"] {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            (value["path"].as_str().unwrap().to_owned(), text)
        })
        .collect();
    values.sort_unstable();
    values
}
