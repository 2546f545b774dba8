//! Bootstrap, 0 to 19.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dtls::Psk;
use lwm2m::{ContentFormat, EndpointName, LwM2mVersion, Path};
use lwm2m_client::bootstrap::{
    BootstrapClient, BootstrapConfig, BootstrapEvent, BootstrapOutput, Misbehaviour, PackUse,
    StoredAccount,
};
use lwm2m_client::{Event, RegistrationFailure};
use oscore::Carried;
use tests::{LiveDevice, until_some};

use crate::cases::{Case, not_run, short};
use crate::channel::{Carrier, Channel};
use crate::device;
use crate::security::{self, KEY};
use crate::stage::{SOON, Stage};

/// What the profiles give, in seconds.
const LIFETIME: u32 = 240;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        short("1.1-int-0", "Client-initiated bootstrap", client_initiated),
        short("1.1-int-1", "Full bootstrap with PSK", with_psk),
        short(
            "1.1-int-2",
            "Full bootstrap with a certificate",
            with_certificate,
        ),
        not_run("1.1-int-3", "Smartcard bootstrap", "there is no smartcard"),
        short("1.1-int-4", "Bootstrap-Delete", delete),
        short("1.1-int-5", "Server-initiated bootstrap", server_initiated),
        not_run(
            "1.1-int-6",
            "Bootstrap sequence",
            "it is the client's; there is no smartcard to begin it with",
        ),
        short("1.1-int-7", "Fall back to bootstrap", fall_back),
        short("1.1-int-8", "Bootstrap-Read", read_back),
        short("1.1-int-9", "Configuration consistency", inconsistent),
        not_run("1.1-int-10", "Bootstrap with EST", "there is no EST server"),
        short("1.2-int-11", "Bootstrap with OSCORE", with_oscore),
        short("1.2-int-12", "Bootstrap-Pack", pack),
        not_run(
            "1.2-int-19",
            "Bootstrap over MQTT",
            "MQTT is no transport of ours",
        ),
    ]
}

/// What a device has from the factory.
struct Factory {
    config: BootstrapConfig,
    server: SocketAddr,
    carrier: Carrier,
}

impl Factory {
    /// A device that proves itself with nothing.
    fn open(stage: &Stage, id: &str) -> Self {
        Self::new(id, stage.bootstrap_server("coap"), Carrier::Udp)
    }

    /// A device with a pre-shared key.
    fn psk(stage: &Stage, id: &str) -> Self {
        stage.ok(&[
            "credentials",
            "add",
            "--endpoint",
            id,
            "--psk-identity",
            id,
            "--psk-key",
            KEY,
        ]);
        let key = Psk::new(&hex::decode(KEY).unwrap()).unwrap();
        let config = dtls::ClientConfig::new(id.as_bytes().to_vec(), key);
        let carrier = Carrier::Dtls(Box::new(config));
        Self::new(id, stage.bootstrap_server("coaps"), carrier)
    }

    fn new(id: &str, server: SocketAddr, carrier: Carrier) -> Self {
        let endpoint = EndpointName::new(id).unwrap();
        let scheme = match carrier {
            Carrier::Dtls(_) => "coaps",
            _ => "coap",
        };
        Self {
            config: BootstrapConfig::new(endpoint, &format!("{scheme}://{server}")),
            server,
            carrier,
        }
    }

    /// A bootstrap to its good end.
    fn bootstrap(&self) -> Bootstrapped {
        self.try_bootstrap()
            .unwrap_or_else(|events| panic!("{events:?}"))
    }

    /// A bootstrap to its end, tried again if the profile is not known everywhere yet; what happened if it was a bad one.
    fn try_bootstrap(&self) -> Result<Bootstrapped, Vec<BootstrapEvent>> {
        let mut channel = Channel::open(self.server, &self.carrier).unwrap();
        let mut client = BootstrapClient::new(self.config.clone(), rand::random());
        let end = Instant::now() + SOON;
        client.start(Instant::now());
        let mut events = Vec::new();
        loop {
            assert!(Instant::now() < end, "the bootstrap has no end: {events:?}");
            while let Some(output) = client.poll_output() {
                match output {
                    BootstrapOutput::Transmit(datagram) => {
                        channel.send(Carried::Datagram(datagram));
                    }
                    BootstrapOutput::Event(event) => events.push(event),
                    BootstrapOutput::Send(_) => unreachable!("it is on no stream"),
                }
            }
            match events.last() {
                Some(BootstrapEvent::Finished { accounts }) => {
                    let accounts = accounts.clone();
                    return Ok(Bootstrapped { events, accounts });
                }
                Some(BootstrapEvent::Failed { .. })
                    if !events.contains(&BootstrapEvent::Accepted) =>
                {
                    events.clear();
                    client.start(Instant::now());
                }
                Some(BootstrapEvent::Failed { .. }) => return Err(events),
                _ => {}
            }
            if let Some(Carried::Datagram(datagram)) = channel.receive() {
                client.handle_datagram(Instant::now(), &datagram);
            }
            client.handle_timeout(Instant::now());
        }
    }
}

/// How a bootstrap went that came to a good end.
struct Bootstrapped {
    events: Vec<BootstrapEvent>,
    accounts: Vec<StoredAccount>,
}

impl Bootstrapped {
    fn account(&self) -> &StoredAccount {
        let [account] = self.accounts.as_slice() else {
            panic!("{:?}", self.accounts);
        };
        account
    }
}

/// A profile of one server for the device of a case.
fn add_profile(stage: &Stage, id: &str, arguments: &[&str]) {
    let name = id.replace('.', "-");
    let profile = [
        "bootstrap",
        "add",
        &name,
        "--prefix",
        id,
        "--lifetime",
        "240s",
    ];
    stage.ok(&[&profile, arguments].concat());
}

fn secured_uri(stage: &Stage) -> String {
    format!("coaps://{}", stage.ingress("coaps"))
}

/// The device registers with what it was given, and is managed.
fn managed(stage: &Stage, id: &str, account: &StoredAccount) -> LiveDevice {
    assert_eq!(account.lifetime.as_secs(), LIFETIME);
    let channel = Channel::open(
        security::address(&account.uri),
        &security::carrier(stage, account),
    );
    let given = account.clone();
    let device = stage.device_on(channel.unwrap(), id, move |config| {
        config.lifetime = given.lifetime;
        config.short_server_id = given.short_server_id;
    });
    let shown = stage.shown(id);
    assert_eq!(shown["lifetimeSeconds"], LIFETIME, "{shown}");
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
    device
}

/// What the server kept of the last bootstrap: outcome and steps.
fn kept(stage: &Stage, id: &str) -> (String, String) {
    until_some("a bootstrap that is kept", SOON, || {
        let shown = stage.json(&["device", id]);
        let text = |name: &str| shown["bootstrap"][name].as_str().map(str::to_owned);
        text("outcome").zip(text("detail")).ok_or(shown)
    })
}

fn client_initiated(stage: &Stage, id: &str) {
    let bootstrapped = Factory::open(stage, id).bootstrap();
    assert_eq!(bootstrapped.account().uri, stage.server_uri());
    let _device = managed(stage, id, bootstrapped.account());
}

fn pack(stage: &Stage, id: &str) {
    let mut factory = Factory::open(stage, id);
    factory.config.version = LwM2mVersion::V1_2;
    factory.config.pack = PackUse::First(ContentFormat::SENML_CBOR);
    let bootstrapped = factory.bootstrap();
    let [BootstrapEvent::Finished { .. }] = bootstrapped.events.as_slice() else {
        panic!("{:?}", bootstrapped.events);
    };
    let _device = managed(stage, id, bootstrapped.account());
}

fn with_psk(stage: &Stage, id: &str) {
    add_profile(stage, id, &["--server", &secured_uri(stage)]);
    let bootstrapped = Factory::psk(stage, id).bootstrap();
    let _device = managed(stage, id, bootstrapped.account());
    assert_eq!(stage.shown(id)["transport"], "DTLS");
    assert_eq!(kept(stage, id).0, "Finished");
}

fn with_certificate(stage: &Stage, id: &str) {
    let key = stage.file("server.pem", stage.identity.certificate_pem.as_bytes());
    let security = ["--security", "x509", "--server-key", &key];
    add_profile(
        stage,
        id,
        &[&["--server", &secured_uri(stage)], &security[..]].concat(),
    );
    let carrier = security::certified(stage, id);
    let server = stage.bootstrap_server("coaps");
    let bootstrapped = Factory::new(id, server, carrier).bootstrap();
    let _device = managed(stage, id, bootstrapped.account());
    assert_eq!(stage.shown(id)["transport"], "DTLS");
    assert_eq!(kept(stage, id).0, "Finished");
}

fn with_oscore(stage: &Stage, id: &str) {
    let uri = stage.server_uri();
    add_profile(stage, id, &["--server", &uri, "--security", "oscore"]);
    let carrier = security::with_context(stage, id, "0b");
    let server = stage.bootstrap_server("coap");
    let bootstrapped = Factory::new(id, server, carrier).bootstrap();
    assert!(bootstrapped.account().oscore.is_some());
    let _device = managed(stage, id, bootstrapped.account());
    assert_eq!(kept(stage, id).0, "Finished");
}

/// The objects are deleted, and the account of the bootstrap server stays: the device comes by it again.
fn delete(stage: &Stage, id: &str) {
    add_profile(stage, id, &["--server", &secured_uri(stage)]);
    let factory = Factory::psk(stage, id);
    let first = factory.bootstrap();
    let second = factory.bootstrap();
    assert_ne!(first.account().security, second.account().security);
    let (outcome, detail) = kept(stage, id);
    assert_eq!(outcome, "Finished", "{detail}");
    for step in [
        "discover /: 2.05",
        "delete /0: 2.02",
        "delete /1: 2.02",
        "finish: 2.04",
    ] {
        assert!(detail.contains(step), "{step}: {detail}");
    }
}

fn server_initiated(stage: &Stage, id: &str) {
    add_profile(stage, id, &["--server", &secured_uri(stage)]);
    let factory = Factory::psk(stage, id);
    let first = factory.bootstrap();
    let device = managed(stage, id, first.account());
    stage.ok(&["bootstrap", "start", id]);
    let trigger = Path::Resource(1, 0, 9);
    device.wait_for(
        "the trigger",
        1,
        |event| matches!(event, Event::Executed { path, .. } if *path == trigger),
    );
    let second = factory.bootstrap();
    assert_ne!(first.account().security, second.account().security);
    drop(device);
    let _device = managed(stage, id, second.account());
}

/// What the servers may do is written, and what the device made of it is read.
fn read_back(stage: &Stage, id: &str) {
    let uri = secured_uri(stage);
    let rules = [
        "--access",
        "/3303/0=1:rwd,0:r",
        "--access",
        "/3303=1:c@65535",
    ];
    add_profile(stage, id, &[&["--server", &uri], &rules[..]].concat());
    let bootstrapped = Factory::psk(stage, id).bootstrap();
    let _device = managed(stage, id, bootstrapped.account());
    let (outcome, detail) = kept(stage, id);
    assert_eq!(outcome, "Finished", "{detail}");
    for step in [
        "delete /2",
        "write /2/0",
        "write /2/1",
        "read /1: 2.05",
        "read /2: 2.05",
    ] {
        assert!(detail.contains(step), "{step}: {detail}");
    }
}

/// The server that the device knows from the factory does not exist.
fn fall_back(stage: &Stage, id: &str) {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = EndpointName::new(id).unwrap();
    let mut config = lwm2m_client::Config::new(endpoint);
    config.coap.ack_timeout = Duration::from_millis(20);
    let channel = Channel::open(nobody.local_addr().unwrap(), &Carrier::Udp);
    let device = device::start(config, vec![channel.unwrap()]);
    device.wait_for("no answer", 1, |event| {
        let Event::RegistrationFailed { reason, .. } = event else {
            return false;
        };
        *reason == RegistrationFailure::NoAnswer
    });
    drop(device);
    add_profile(stage, id, &["--server", &secured_uri(stage)]);
    let bootstrapped = Factory::psk(stage, id).bootstrap();
    let _device = managed(stage, id, bootstrapped.account());
}

/// Told so once, the server gives the accounts once more; told so twice, it has not provisioned the device.
fn inconsistent(stage: &Stage, id: &str) {
    add_profile(stage, id, &["--server", &secured_uri(stage)]);
    let mut factory = Factory::psk(stage, id);
    factory.config.misbehaviour = Misbehaviour::Inconsistent { times: 2 };
    factory.config.give_up_after = Duration::from_secs(2);
    let failed = factory.try_bootstrap().map(|done| done.events).unwrap_err();
    assert!(failed.contains(&BootstrapEvent::Inconsistent), "{failed:?}");
    let (outcome, detail) = kept(stage, id);
    assert_eq!(outcome, "Failed", "{detail}");
    assert_eq!(detail.matches("finish: 4.06").count(), 2, "{detail}");
    factory.config.misbehaviour = Misbehaviour::Inconsistent { times: 1 };
    let bootstrapped = factory.bootstrap();
    assert!(
        bootstrapped.events.contains(&BootstrapEvent::Inconsistent),
        "{:?}",
        bootstrapped.events
    );
    let _device = managed(stage, id, bootstrapped.account());
    let (outcome, detail) = kept(stage, id);
    assert_eq!(outcome, "Finished", "{detail}");
    assert_eq!(detail.matches("finish: 4.06").count(), 1, "{detail}");
}
