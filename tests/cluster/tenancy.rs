//! Two tenants with an ingress node each, whose devices have the same name and the same PSK identity, and other keys.

use std::net::SocketAddr;
use std::time::Duration;

use lwm2m::{EndpointName, Lifetime};
use lwm2m_client::{Config, Event};
use serde_json::Value;
use tests::{Drover, LiveDevice, Options, free_address, until_some};

const SOON: Duration = Duration::from_secs(30);
const NAME: &str = "meter-7";
const OUR_KEY: &str = "30313233343536373839616263646566";
const THEIR_KEY: &str = "66656463626139383736353433323130";

fn device(key: &str, server: &str, manufacturer: &str) -> LiveDevice {
    let config = Config {
        lifetime: Lifetime::from_secs(86_400),
        ..Config::new(EndpointName::new(NAME).unwrap())
    };
    let server: SocketAddr = server.parse().unwrap();
    let device = LiveDevice::start_secured(config, key, server);
    device.set("/3/0/0", lwm2m::Value::String(manufacturer.to_owned()));
    device
}

fn registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

fn text(drover: &Drover, namespace: &str) -> Value {
    let read = ["-n", namespace, "read", NAME, "/3/0/0", "-o", "json"];
    let answer = drover.run(&read);
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.json()
}

#[test]
fn one_psk_identity_is_another_device_in_each_namespace() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ..Options::default()
    });
    let ours = drover.endpoint("/ingress/0/coaps");
    let (theirs, admin) = (free_address(), free_address());
    let _ingress = drover.start_ingress(&theirs, &admin, &["--namespace", "acme"], "acme");
    drover.add_psk(NAME, NAME, OUR_KEY);
    // The key of the one namespace is not good at the node of the other.
    let stranger = device(OUR_KEY, &theirs, "stranger");
    until_some("the credential of the other namespace", SOON, || {
        let add = [
            "-n",
            "acme",
            "credentials",
            "add",
            "--endpoint",
            NAME,
            "--psk-identity",
            NAME,
            "--psk-key",
            THEIR_KEY,
        ];
        let answer = drover.run(&add);
        if answer.code == 0 {
            Ok(())
        } else {
            Err(answer)
        }
    });
    let (first, second) = (
        device(OUR_KEY, &ours, "ours"),
        device(THEIR_KEY, &theirs, "theirs"),
    );
    for device in [&first, &second] {
        device.wait_for("a registration", 1, registered);
    }
    let (our_text, their_text) = (text(&drover, "default"), text(&drover, "acme"));
    assert!(our_text.to_string().contains("ours"), "{our_text}");
    assert!(their_text.to_string().contains("theirs"), "{their_text}");
    assert_eq!(stranger.count(registered), 0);

    // What one tenant removes, the other one keeps.
    let remove = [
        "-n",
        "acme",
        "credentials",
        "remove",
        "--psk-identity",
        NAME,
    ];
    let answer = drover.run(&remove);
    assert_eq!(answer.code, 0, "{answer:?}");
    until_some("the end of the other registration", SOON, || {
        let listed = drover.run(&["-n", "acme", "devices", "-o", "json"]);
        let is_registered = listed.stdout.contains("\"Registered\"");
        if is_registered { Err(listed) } else { Ok(()) }
    });
    assert_eq!(drover.devices(), [NAME]);
    assert!(text(&drover, "default").to_string().contains("ours"));
    let nobody = drover.run(&["-n", "rival", "device", NAME]);
    assert_eq!(nobody.code, 3, "{nobody:?}");
    let wrong = drover.run(&["-n", "ACME", "devices"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}
