//! Bootstrap, 0 to 19, without security: the accounts of a profile that fits every case.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use lwm2m::{ContentFormat, EndpointName, LwM2mVersion};
use lwm2m_client::bootstrap::{
    BootstrapClient, BootstrapConfig, BootstrapEvent, BootstrapOutput, PackUse, StoredAccount,
};

use crate::cases::{Case, not_run, short};
use crate::stage::{SOON, Stage};

/// What the profile gives, in seconds.
const LIFETIME: u32 = 240;

const NOT_PLAYED: &str = "this lane's device bootstraps once, without security; see `tests/interop/bootstrap.rs` and \
                          `crates/lwm2m-server/tests/engine/bootstrap`";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        short("1.1-int-0", "Client-initiated bootstrap", client_initiated),
        not_run("1.1-int-1", "Full bootstrap with PSK", NOT_PLAYED),
        not_run(
            "1.1-int-2",
            "Full bootstrap with a certificate",
            "accounts with certificates are not generated",
        ),
        not_run("1.1-int-3", "Smartcard bootstrap", "there is no smartcard"),
        not_run("1.1-int-4", "Bootstrap-Delete", NOT_PLAYED),
        not_run("1.1-int-5", "Server-initiated bootstrap", NOT_PLAYED),
        not_run("1.1-int-6", "Bootstrap sequence", NOT_PLAYED),
        not_run("1.1-int-7", "Fall back to bootstrap", NOT_PLAYED),
        not_run("1.1-int-8", "Bootstrap-Read", NOT_PLAYED),
        not_run(
            "1.1-int-9",
            "Configuration consistency",
            "what came of a bootstrap is kept only of devices that proved who they are; see \
             `crates/lwm2m-server/tests/engine/bootstrap`",
        ),
        not_run("1.1-int-10", "Bootstrap with EST", "there is no EST server"),
        not_run(
            "1.2-int-11",
            "Bootstrap with OSCORE",
            "accounts with OSCORE are not generated",
        ),
        short("1.2-int-12", "Bootstrap-Pack", pack),
        not_run(
            "1.2-int-19",
            "Bootstrap over MQTT",
            "MQTT is no transport of ours",
        ),
    ]
}

/// How a bootstrap went that came to a good end.
struct Bootstrapped {
    events: Vec<BootstrapEvent>,
    accounts: Vec<StoredAccount>,
}

/// A bootstrap to its end, tried again if the profile is not known everywhere yet.
fn bootstrap(stage: &Stage, id: &str, change: impl FnOnce(&mut BootstrapConfig)) -> Bootstrapped {
    let server = stage.bootstrap_server();
    let endpoint = EndpointName::new(id).unwrap();
    let mut config = BootstrapConfig::new(endpoint, &format!("coap://{server}"));
    change(&mut config);
    let mut client = BootstrapClient::new(config, rand::random());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    let end = Instant::now() + SOON;
    client.start(Instant::now());
    let mut events = Vec::new();
    let mut datagram = [0; 4096];
    loop {
        assert!(Instant::now() < end, "the bootstrap has no end: {events:?}");
        while let Some(output) = client.poll_output() {
            match output {
                BootstrapOutput::Transmit(datagram) => {
                    socket.send(&datagram).unwrap();
                }
                BootstrapOutput::Event(event) => events.push(event),
                BootstrapOutput::Send(_) => unreachable!("it is on no stream"),
            }
        }
        match events.last() {
            Some(BootstrapEvent::Finished { accounts }) => {
                let accounts = accounts.clone();
                return Bootstrapped { events, accounts };
            }
            Some(BootstrapEvent::Failed { .. }) if !events.contains(&BootstrapEvent::Accepted) => {
                events.clear();
                client.start(Instant::now());
            }
            Some(BootstrapEvent::Failed { .. }) => panic!("{events:?}"),
            _ => {}
        }
        // The end of the wait is told as an error.
        if let Ok(length) = socket.recv(&mut datagram) {
            client.handle_datagram(Instant::now(), &datagram[..length]);
        }
        client.handle_timeout(Instant::now());
    }
}

/// Asserts what the profile gave, registers with it and is managed.
fn assert_managed(stage: &Stage, id: &str, bootstrapped: &Bootstrapped) {
    let [account] = bootstrapped.accounts.as_slice() else {
        panic!("{:?}", bootstrapped.accounts);
    };
    assert_eq!(account.uri, stage.server_uri());
    assert_eq!(account.lifetime.as_secs(), LIFETIME);
    let given = account.clone();
    let _device = stage.device_of(id, move |config| {
        config.lifetime = given.lifetime;
        config.short_server_id = given.short_server_id;
    });
    let shown = stage.shown(id);
    assert_eq!(shown["lifetimeSeconds"], LIFETIME, "{shown}");
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
}

fn client_initiated(stage: &Stage, id: &str) {
    let bootstrapped = bootstrap(stage, id, |_| {});
    assert_managed(stage, id, &bootstrapped);
}

fn pack(stage: &Stage, id: &str) {
    let bootstrapped = bootstrap(stage, id, |config| {
        config.version = LwM2mVersion::V1_2;
        config.pack = PackUse::First(ContentFormat::SENML_CBOR);
    });
    let [BootstrapEvent::Finished { .. }] = bootstrapped.events.as_slice() else {
        panic!("{:?}", bootstrapped.events);
    };
    assert_managed(stage, id, &bootstrapped);
}
