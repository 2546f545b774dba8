//! `openssl s_client` and `s_server`, with pre-shared keys and certificates.

use dtls::{CidOffer, CipherSuite, ClientConfig, HandshakeKind};
use free_port::free_port;

use super::{Process, beside_server, connect, fixture, identity, is_installed, key_hex, socket_to};
use crate::fixtures::certificate_client;
use crate::pair::client_config;

/// OpenSSL counts the 64-bit tag as 64 bits of strength.
const PSK: [(CipherSuite, &str); 3] = [
    (CipherSuite::PskAes128Ccm8, "PSK-AES128-CCM8:@SECLEVEL=0"),
    (CipherSuite::PskAes128CbcSha256, "PSK-AES128-CBC-SHA256"),
    (
        CipherSuite::EcdhePskAes128CbcSha256,
        "ECDHE-PSK-AES128-CBC-SHA256",
    ),
];
const ECDSA: [(CipherSuite, &str); 2] = [
    (
        CipherSuite::EcdheEcdsaAes128Ccm8,
        "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0",
    ),
    (
        CipherSuite::EcdheEcdsaAes128GcmSha256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
];

/// Connects, and once more with the session of before.
fn ping(suite: CipherSuite, cipher: &str, arguments: &[&str]) {
    let number = suite.code();
    let name = format!("dtls-engine-{}-{number:x}", std::process::id());
    let session = std::env::temp_dir().join(name);
    let file = session.to_str().unwrap();
    let connect = |address: &str, option: &str| {
        let fixed = [
            "s_client",
            "-dtls1_2",
            "-no_ticket",
            option,
            file,
            "-connect",
            address,
            "-cipher",
            cipher,
        ];
        let mut process = Process::start("openssl", &[&fixed, arguments].concat());
        process.say("ping\n");
        process.read_until("PING")
    };
    let outputs = beside_server(suite, <[u8]>::to_ascii_uppercase, |address| {
        ["-sess_out", "-sess_in"].map(|option| connect(address, option))
    });
    std::fs::remove_file(&session).unwrap();
    for (output, how) in outputs.iter().zip(["New, ", "Reused, "]) {
        assert!(output.contains("PING"), "{suite:?}: {output}");
        assert!(output.contains(how), "{suite:?}: {output}");
    }
}

#[test]
fn openssl_connects_to_our_server() {
    if !is_installed("openssl") {
        return;
    }
    for (suite, cipher) in PSK {
        let key = key_hex();
        ping(suite, cipher, &["-psk", &key, "-psk_identity", identity()]);
    }
    let (chain, key, ca) = (
        fixture("device-chain.pem"),
        fixture("device-key.pem"),
        fixture("ca.pem"),
    );
    for (suite, cipher) in ECDSA {
        for group in ["P-256:X25519", "X25519:P-256"] {
            ping(
                suite,
                cipher,
                &[
                    "-cert",
                    &chain,
                    "-cert_chain",
                    &chain,
                    "-key",
                    &key,
                    "-CAfile",
                    &ca,
                    "-verify_return_error",
                    "-verify_hostname",
                    "server.example",
                    "-servername",
                    "server.example",
                    "-groups",
                    group,
                ],
            );
        }
    }
}

fn talk(config: ClientConfig, cipher: &str, arguments: &[&str]) {
    let port = free_port();
    let accept = port.to_string();
    let fixed = [
        "s_server", "-dtls1_2", "-listen", "-quiet", "-accept", &accept, "-cipher", cipher,
    ];
    let mut process = Process::start("openssl", &[&fixed, arguments].concat());
    let socket = socket_to(port);
    let first = connect(&socket, config.clone(), || process.say("downlink\n"));
    assert_eq!(first.received, b"downlink\n");
    assert_eq!(first.how, HandshakeKind::Full);
    let config = config.with_resumption(first.resumption);
    let again = connect(&socket, config, || process.say("once more\n"));
    assert_eq!(again.received, b"once more\n");
    assert_eq!(again.how, HandshakeKind::Abbreviated);
    assert!(process.read_until("uplink").contains("uplink"));
}

#[test]
fn our_client_connects_to_openssl() {
    if !is_installed("openssl") {
        return;
    }
    let with = |suite, config: ClientConfig| ClientConfig {
        suites: vec![suite],
        ..config
    };
    for (suite, cipher) in PSK {
        let config = with(suite, client_config(CidOffer::Length(0)));
        let key = key_hex();
        talk(
            config,
            cipher,
            &["-nocert", "-psk", &key, "-psk_hint", "a hint"],
        );
    }
    let (chain, key, ca) = (
        fixture("server-chain.pem"),
        fixture("server-key.pem"),
        fixture("ca.pem"),
    );
    let arguments = [
        "-cert",
        &chain,
        "-key",
        &key,
        "-CAfile",
        &ca,
        "-Verify",
        "3",
        "-verify_return_error",
    ];
    for (suite, cipher) in ECDSA {
        let config = with(suite, certificate_client("server.example"));
        talk(config, cipher, &arguments);
    }
}
