//! Debian's libcoap command-line clients as devices that only register, plain and over two DTLS stacks.

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
