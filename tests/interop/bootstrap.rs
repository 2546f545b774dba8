//! The bootstrap server with a device on Eclipse Leshan's client library.

use serde_json::Value;
use tests::leshan::start_device;
use tests::{Drover, Options, until_some};

use crate::leshan::{KEY, SOON, value_of};
use crate::secured::Secured;

fn started() -> Drover {
    Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    })
}

fn add_profile(drover: &Drover, arguments: &[&str]) {
    let answer = drover.run(&[&["bootstrap", "add"], arguments].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// The PSK identities of an endpoint.
fn identities(drover: &Drover, endpoint: &str) -> Vec<String> {
    let listed = drover.json(&["credentials", "list", "--endpoint", endpoint]);
    let credentials = listed["credentials"].as_array().unwrap();
    let identity = |one: &Value| one["identity"].as_str().unwrap().to_owned();
    credentials.iter().map(identity).collect()
}

fn bootstrapped(drover: &Drover, endpoint: &str) -> Value {
    until_some("a bootstrap that ended", SOON, || {
        let device = drover.run(&["device", endpoint, "-o", "json"]);
        let shown: Value = serde_json::from_str(&device.stdout).unwrap_or_default();
        match &shown["bootstrap"] {
            Value::Null => Err(device),
            bootstrap => Ok(bootstrap.clone()),
        }
    })
}

#[test]
fn leshan_device_gets_its_key_from_the_bootstrap_server_and_registers_with_it() {
    let drover = started();
    let endpoint = "leshan-bootstrap";
    drover.add_psk(endpoint, "leshan-factory", KEY);
    let server = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    add_profile(&drover, &["all", "--server", &server, "--lifetime", "200s"]);
    let uri = format!("coaps://{}", drover.endpoint("/bootstrap/0/coaps"));
    let mut device = start_device(
        &drover,
        endpoint,
        &[&uri, "300", "0", "bootstrap-psk", "leshan-factory", KEY],
    );
    let bootstrap = bootstrapped(&drover, endpoint);
    assert_eq!(bootstrap["outcome"], "Finished", "{bootstrap}");
    drover.wait_for_device(endpoint, SOON);
    let shown = drover.json(&["device", endpoint]);
    assert_eq!(
        (&shown["transport"], &shown["lifetimeSeconds"]),
        (&"DTLS".into(), &200.into()),
        "{shown}"
    );
    assert_eq!(value_of(&drover, endpoint, "/3/0/0"), "Drover");
    let first = identities(&drover, endpoint);
    assert_eq!(first.len(), 2, "{first:?}");

    // Told to, it comes again, and what it had before is good for nothing any more.
    let again = drover.run(&["bootstrap", "start", endpoint]);
    assert_eq!(again.code, 0, "{again:?}");
    let second = until_some("another key", SOON, || {
        let now = identities(&drover, endpoint);
        let made = |all: &[String]| all.iter().find(|one| one.starts_with(endpoint)).cloned();
        if now.len() == 2 && made(&now) != made(&first) {
            Ok(now)
        } else {
            Err(now)
        }
    });
    assert!(second.contains(&"leshan-factory".to_owned()), "{second:?}");
    until_some("a registration with the new key", SOON, || {
        let read = drover.run(&["read", endpoint, "/3/0/0"]);
        if read.code == 0 { Ok(()) } else { Err(read) }
    });
    device.say("quit");
}

/// A device with a certificate of a trusted authority gets an account of another kind from the bootstrap server.
fn certified_device_gets(endpoint: &str, security: &str, server_key: fn(&Secured) -> String) {
    let secured = Secured::start();
    let drover = &secured.drover;
    let keys = secured
        .authority
        .issue(endpoint, &format!("DNS:{endpoint}.example"));
    let server = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    let key = server_key(&secured);
    let profile = [
        "all",
        "--server",
        &server,
        "--security",
        security,
        "--server-key",
        &key,
    ];
    add_profile(drover, &profile);
    let uri = format!("coaps://{}", drover.endpoint("/bootstrap/0/coaps"));
    let (key, certificate) = (keys.file("key.der"), keys.file("cert.der"));
    let known = secured.server.file("cert.der");
    let mode = ["bootstrap-x509", &key, &certificate, &known];
    let connection = [uri.as_str(), "300", "0"];
    let mut device = start_device(drover, endpoint, &[&connection, &mode[..]].concat());
    let bootstrap = bootstrapped(drover, endpoint);
    assert_eq!(bootstrap["outcome"], "Finished", "{bootstrap}");
    drover.wait_for_device(endpoint, SOON);
    assert_eq!(value_of(drover, endpoint, "/3/0/0"), "Drover");

    // What it proved itself with to the management server is a key that was made for it.
    let listed = drover.json(&["credentials", "list", "--endpoint", endpoint]);
    let made = &listed["credentials"];
    assert_eq!(made.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(made[0]["kind"], "public-key", "{listed}");

    // With another one after another bootstrap.
    let again = drover.run(&["bootstrap", "start", endpoint]);
    assert_eq!(again.code, 0, "{again:?}");
    until_some("another key", SOON, || {
        match identities(drover, endpoint).as_slice() {
            [one] if *one != made[0]["identity"] => Ok(()),
            other => Err(other.to_vec()),
        }
    });
    until_some("a registration with the new key", SOON, || {
        let read = drover.run(&["read", endpoint, "/3/0/0"]);
        if read.code == 0 { Ok(()) } else { Err(read) }
    });
    device.say("quit");
}

#[test]
fn leshan_device_gets_a_certificate_from_the_bootstrap_server_and_registers_with_it() {
    certified_device_gets("leshan-bs-x509", "x509", |secured| {
        secured.server.file("cert.pem")
    });
}

#[test]
fn leshan_device_gets_a_raw_public_key_from_the_bootstrap_server_and_registers_with_it() {
    certified_device_gets("leshan-bs-rpk", "rpk", |secured| {
        secured.server.file("pub.pem")
    });
}

#[test]
fn leshan_device_gets_an_account_without_security() {
    let drover = started();
    let endpoint = "leshan-open";
    let server = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    add_profile(
        &drover,
        &["open", "--prefix", "leshan-", "--server", &server],
    );
    let uri = format!("coap://{}", drover.endpoint("/bootstrap/0/coap"));
    let _device = start_device(&drover, endpoint, &[&uri, "300", "0", "bootstrap-nosec"]);
    drover.wait_for_device(endpoint, SOON);
    assert_eq!(value_of(&drover, endpoint, "/3/0/0"), "Drover");
}

#[test]
fn a_device_that_no_profile_is_for_is_refused() {
    let drover = started();
    drover.add_psk("leshan-none", "leshan-factory", KEY);
    let server = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    add_profile(
        &drover,
        &["others", "--prefix", "meter-", "--server", &server],
    );
    let uri = format!("coaps://{}", drover.endpoint("/bootstrap/0/coaps"));
    let mode = ["bootstrap-psk", "leshan-factory", KEY];
    let _device = start_device(
        &drover,
        "leshan-none",
        &[&[uri.as_str(), "300", "0"], &mode[..]].concat(),
    );
    let bootstrap = bootstrapped(&drover, "leshan-none");
    assert_eq!(
        (&bootstrap["outcome"], &bootstrap["detail"]),
        (&"Failed".into(), &"unknown endpoint".into()),
        "{bootstrap}"
    );
    assert_eq!(drover.devices(), Vec::<String>::new());
}
