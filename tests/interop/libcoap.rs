//! Debian's libcoap command-line clients as devices that only register, plain and over two DTLS stacks.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::{Drover, Options, free_address};

const SOON: Duration = Duration::from_secs(30);

/// Registers by one POST and returns what the client printed.
pub(crate) fn register(
    program: &str,
    security: &[&str],
    address: &str,
    scheme: &str,
    endpoint: &str,
) -> String {
    let uri = format!("{scheme}://{address}/rd?ep={endpoint}&lt=120&lwm2m=1.1&b=U");
    let mut command = Command::new(program);
    // -v 6 prints the messages, from which the answer's code is read.
    command
        .args([
            "-v",
            "6",
            "-m",
            "post",
            "-t",
            "40",
            "-B",
            "10",
            "-e",
            "</1/0>,</3/0>",
        ])
        .args(security)
        .arg(&uri);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn libcoap_registers_plain_and_over_openssl_and_gnutls() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let coaps = drover.endpoint("/ingress/0/coaps");
    let coap = drover.endpoint("/ingress/0/coap");

    let said = register("coap-client-notls", &[], &coap, "coap", "libcoap-plain");
    assert!(said.contains("2.01"), "{said}");
    drover.wait_for_device("libcoap-plain", SOON);

    for library in ["openssl", "gnutls"] {
        let endpoint = format!("libcoap-{library}");
        // libcoap takes the key as text.
        drover.add_psk(&endpoint, &endpoint, "73656372657450534b");
        let security = ["-k", "secretPSK", "-u", &endpoint];
        let said = register(
            &format!("coap-client-{library}"),
            &security,
            &coaps,
            "coaps",
            &endpoint,
        );
        assert!(said.contains("2.01"), "{library}: {said}");
        drover.wait_for_device(&endpoint, SOON);
    }

    let said = register("coap-client-notls", &[], &coap, "coap", "");
    assert!(
        said.contains("4.00"),
        "an empty endpoint name is refused: {said}"
    );
}

#[test]
fn libcoap_registers_over_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = free_address();
    let config = folder.path().join("ingress.toml");
    std::fs::write(&config, format!("coap_tcp_listen = {tcp:?}\n")).unwrap();
    let drover = Drover::start(&Options {
        state_nodes: 1,
        flags: vec![
            "--ingress-config".to_owned(),
            config.to_string_lossy().into_owned(),
        ],
        ..Options::default()
    });
    let said = register("coap-client-openssl", &[], &tcp, "coap+tcp", "libcoap-tcp");
    assert!(said.contains("2.01"), "{said}");
    drover.wait_for_device("libcoap-tcp", SOON);
}

/// A package of many blocks, and what libcoap made of it under a URI.
fn fetched(program: &str, security: &[&str], uri: &str, into: &Path) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(["-m", "get", "-B", "60"]).arg("-o").arg(into);
    let output = command.args(security).arg(uri).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    std::fs::read(into).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn libcoap_fetches_packages_of_the_cluster() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned(), "--tcp".to_owned()],
        ..Options::default()
    });
    let package: Vec<u8> = (0..150_001_u32).map(|byte| (byte * 7 / 5) as u8).collect();
    let file = drover.scratch().join("package.bin");
    std::fs::write(&file, &package).unwrap();
    let stored = drover.json(&["artefacts", "put", file.to_str().unwrap()]);
    let digest = stored["digest"].as_str().unwrap().replace("sha256:", "");
    let place = |name: &str| drover.endpoint(&format!("/ingress/0/{name}"));
    let uri = |scheme: &str, name: &str| format!("{scheme}://{}/fw/{digest}", place(name));
    let into = |name: &str| drover.scratch().join(name);

    let plain = fetched(
        "coap-client-notls",
        &[],
        &uri("coap", "coap"),
        &into("plain"),
    );
    assert!(plain == package, "{} bytes", plain.len());
    let stream = fetched(
        "coap-client-openssl",
        &[],
        &uri("coap+tcp", "tcp"),
        &into("tcp"),
    );
    assert!(stream == package, "{} bytes", stream.len());
    for library in ["openssl", "gnutls"] {
        let endpoint = format!("libcoap-{library}");
        drover.add_psk(&endpoint, &endpoint, "73656372657450534b");
        let security = ["-k", "secretPSK", "-u", &endpoint];
        let program = format!("coap-client-{library}");
        let secured = fetched(&program, &security, &uri("coaps", "coaps"), &into(library));
        assert!(secured == package, "{library}: {} bytes", secured.len());
    }

    for (what, code) in [("0".repeat(64).as_str(), "4.04"), ("x", "4.04")] {
        let unknown = format!("coap://{}/fw/{what}", place("coap"));
        let mut command = Command::new("coap-client-notls");
        let output = command.args(["-m", "get", "-v", "6", &unknown]).output();
        let said = format!("{output:?}");
        assert!(said.contains(code), "{said}");
    }
}
