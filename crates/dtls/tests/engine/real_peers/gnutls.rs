//! `gnutls-cli` and `gnutls-serv`, with pre-shared keys, certificates and raw public keys.

use dtls::{CidOffer, CipherSuite, ClientConfig, HandshakeKind};
use free_port::free_port;

use super::{Process, beside_server, connect, fixture, identity, is_installed, key_hex, socket_to};
use crate::fixtures::{certificate_client, raw_key_client};
use crate::pair::client_config;

const BASE: &str = "NONE:+VERS-DTLS1.2:+COMP-NULL:+GROUP-ALL:+SIGN-ALL:+MAC-ALL:+SHA256";
const PSK: [(CipherSuite, &str); 3] = [
    (CipherSuite::PskAes128Ccm8, "+PSK:+AES-128-CCM-8"),
    (CipherSuite::PskAes128CbcSha256, "+PSK:+AES-128-CBC"),
    (
        CipherSuite::EcdhePskAes128CbcSha256,
        "+ECDHE-PSK:+AES-128-CBC",
    ),
];
const ECDSA: [(CipherSuite, &str); 2] = [
    (
        CipherSuite::EcdheEcdsaAes128Ccm8,
        "+ECDHE-ECDSA:+AES-128-CCM-8",
    ),
    (
        CipherSuite::EcdheEcdsaAes128GcmSha256,
        "+ECDHE-ECDSA:+AES-128-GCM",
    ),
];
const X509: &str = "+CTYPE-X509";
const RAW: &str = "+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK";

fn priority(suite: &str, types: &str) -> String {
    format!("--priority={BASE}:{suite}:{types}")
}

fn option(name: &str, file: &str) -> String {
    format!("--{name}={}", fixture(file))
}

fn ping(suite: CipherSuite, arguments: &[String]) {
    let output = beside_server(suite, <[u8]>::to_ascii_uppercase, |address| {
        let (host, port) = address.split_once(':').unwrap();
        // Connects, and once more with the session of before.
        let mut all = vec!["--udp", "--resume", "--port", port, host];
        all.extend(arguments.iter().map(String::as_str));
        let mut process = Process::start("gnutls-cli", &all);
        process.say("ping\n");
        process.read_until("PING")
    });
    assert!(output.contains("PING"), "{suite:?}: {output}");
    assert!(
        output.contains("This is a resumed session"),
        "{suite:?}: {output}"
    );
}

#[test]
fn gnutls_connects_to_our_server() {
    if !is_installed("gnutls-cli") {
        return;
    }
    // gnutls-cli 3.7 ends with a segmentation fault after any handshake with ECDHE_PSK, also with
    // gnutls-serv.
    for &(suite, name) in &PSK[..2] {
        let user = format!("--pskusername={}", identity());
        let key = format!("--pskkey={}", key_hex());
        ping(suite, &[priority(name, X509), user, key]);
    }
    for (suite, name) in ECDSA {
        let certified = [
            priority(name, X509),
            option("x509cafile", "ca.pem"),
            option("x509certfile", "device-chain.pem"),
            option("x509keyfile", "device-key.pem"),
            "--verify-hostname=server.example".to_owned(),
            "--sni-hostname=server.example".to_owned(),
        ];
        ping(suite, &certified);
        let raw = [
            priority(name, RAW),
            option("rawpkfile", "device-public.pem"),
            option("rawpkkeyfile", "device-key.pem"),
            "--insecure".to_owned(),
        ];
        ping(suite, &raw);
    }
}

/// The server echoes.
fn talk(config: ClientConfig, arguments: &[String]) {
    let port = free_port();
    let number = port.to_string();
    let mut all = vec!["--udp", "--echo", "--port", &number];
    all.extend(arguments.iter().map(String::as_str));
    let _process = Process::start("gnutls-serv", &all);
    let socket = socket_to(port);
    let first = connect(&socket, config.clone(), || {});
    assert_eq!(first.received, b"uplink\n");
    assert!(first.resumption.is_some());
    let config = config.with_resumption(first.resumption);
    let again = connect(&socket, config, || {});
    assert_eq!(again.received, b"uplink\n");
    assert_eq!(again.how, HandshakeKind::Abbreviated);
}

#[test]
fn our_client_connects_to_gnutls() {
    if !is_installed("gnutls-serv") {
        return;
    }
    let with = |suite, config: ClientConfig| ClientConfig {
        suites: vec![suite],
        ..config
    };
    let directory = std::env::temp_dir().join(format!("dtls-engine-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let keys = directory.join("keys");
    // The file's separator is a colon; a name in hexadecimal begins with one more.
    let name: String = identity()
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    std::fs::write(&keys, format!("#{name}:{}\n", key_hex())).unwrap();
    for (suite, name) in PSK {
        let config = with(suite, client_config(CidOffer::Length(0)));
        let file = format!("--pskpasswd={}", keys.display());
        talk(config, &[priority(name, X509), file]);
    }
    std::fs::remove_dir_all(&directory).unwrap();
    for (suite, name) in ECDSA {
        let certified = [
            priority(name, X509),
            option("x509cafile", "ca.pem"),
            option("x509certfile", "server-chain.pem"),
            option("x509keyfile", "server-key.pem"),
            "--require-client-cert".to_owned(),
            "--verify-client-cert".to_owned(),
        ];
        talk(
            with(suite, certificate_client("server.example")),
            &certified,
        );
        let raw = [
            priority(name, RAW),
            option("rawpkfile", "server-public.pem"),
            option("rawpkkeyfile", "server-key.pem"),
            "--require-client-cert".to_owned(),
        ];
        talk(with(suite, raw_key_client()), &raw);
    }
}
