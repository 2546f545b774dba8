//! The command-line clients of DTLS libraries: a handshake with a pre-shared key and one with a certificate, and a CoAP
//! request in each session.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::leshan::{KEY, SOON};
use crate::secured::Secured;
use tests::leshan::cache;
use tests::metric;

const TOKEN: [u8; 4] = *b"\xd0\x0e\x0f\x01";

/// `POST /rd?ep=…&lt=300&lwm2m=1.1`, confirmable (RFC 7252 §3).
fn registration(endpoint: &str) -> Vec<u8> {
    let mut request = vec![0x44, 0x02, 0x12, 0x34];
    request.extend(TOKEN);
    // Uri-Path, Content-Format 40 (link format), Uri-Query.
    request.extend(b"\xb2rd\x11\x28");
    let queries = [
        format!("ep={endpoint}"),
        "lt=300".to_owned(),
        "lwm2m=1.1".to_owned(),
    ];
    for (delta, query) in [3, 0, 0].into_iter().zip(queries) {
        let length = query.len();
        match u8::try_from(length).unwrap() {
            short @ 0..13 => request.push((delta << 4) | short),
            long => request.extend([(delta << 4) | 0x0d, long - 13]),
        }
        request.extend(query.into_bytes());
    }
    // gnutls-cli sends lines.
    request.extend(b"\xff</1/0>,</3/0>\n");
    request
}

/// The code of the response to the request, piggybacked or not, once it is there.
fn answer(output: &[u8]) -> Option<u8> {
    let mut windows = output.windows(7);
    let found = windows.find(|bytes| bytes[0] != 0 && bytes[3..] == TOKEN)?;
    Some(found[0])
}

/// Runs a client that sends its standard input and prints what it receives, until the device is registered.
fn register(secured: &Secured, endpoint: &str, program: &str, arguments: &[&str]) {
    let mut client = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut input = client.stdin.take().unwrap();
    input.write_all(&registration(endpoint)).unwrap();
    let mut output = client.stdout.take().unwrap();
    let (sender, chunks) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(1..) = output.read(&mut chunk).inspect(|length| {
            // Nobody listens any more once the answer is there.
            let _unheard = sender.send(chunk[..*length].to_vec());
        }) {}
    });
    let (mut received, until) = (Vec::new(), Instant::now() + SOON);
    while answer(&received).is_none() {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(chunk) = chunks.recv_timeout(left.max(Duration::from_millis(1))) else {
            break;
        };
        received.extend(chunk);
    }
    client.kill().unwrap();
    let ended = client.wait_with_output().unwrap();
    assert_eq!(
        answer(&received),
        Some(0x41),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&received),
        String::from_utf8_lossy(&ended.stderr)
    );
    secured.drover.wait_for_device(endpoint, SOON);
}

/// Where the ingress node listens, and the files of a device with a certificate for `name`.
struct Target {
    address: String,
    roots: String,
    certificate: String,
    key: String,
}

impl Target {
    fn of(secured: &Secured, name: &str) -> Self {
        let keys = secured.authority.issue(name, "DNS:unused.example");
        Self {
            address: secured.drover.endpoint("/ingress/0/coaps"),
            roots: secured.authority.file("ca.cert.pem"),
            certificate: keys.file("cert.pem"),
            key: keys.file("key.pem"),
        }
    }

    fn host_and_port(&self) -> (&str, &str) {
        self.address.split_once(':').unwrap()
    }
}

/// Registers, and once more in a session that is resumed from the first.
fn register_twice(secured: &Secured, endpoint: &str, arguments: &[&str]) {
    let file = secured.drover.scratch().join(endpoint);
    let file = file.to_str().unwrap();
    let admin = secured.drover.endpoint("/ingress/0/admin");
    let resumptions = || metric(&admin, "drover_ingress_resumptions_total") as u64;
    let before = resumptions();
    for (option, resumed) in [("-sess_out", 0), ("-sess_in", 1)] {
        let session = ["-no_ticket", option, file];
        register(
            secured,
            endpoint,
            "openssl",
            &[arguments, &session].concat(),
        );
        assert_eq!(resumptions(), before + resumed, "{endpoint}");
    }
}

#[test]
fn openssl_registers_and_resumes_with_a_pre_shared_key_and_with_a_certificate() {
    let secured = Secured::start();
    let target = Target::of(&secured, "openssl-cert");
    let common = [
        "s_client",
        "-dtls1_2",
        "-quiet",
        "-connect",
        &target.address,
    ];
    secured.drover.add_psk("openssl-psk", "openssl-psk", KEY);
    let psk = [
        "-psk_identity",
        "openssl-psk",
        "-psk",
        KEY,
        "-cipher",
        "PSK-AES128-CCM8",
    ];
    register_twice(&secured, "openssl-psk", &[&common[..], &psk].concat());
    let certified = [
        "-cipher",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "-CAfile",
        &target.roots,
        "-verify_return_error",
        "-cert",
        &target.certificate,
        "-key",
        &target.key,
    ];
    register_twice(
        &secured,
        "openssl-cert",
        &[&common[..], &certified].concat(),
    );
}

#[test]
fn gnutls_registers_with_a_pre_shared_key_and_with_a_certificate() {
    let secured = Secured::start();
    let target = Target::of(&secured, "gnutls-cert");
    let (host, port) = target.host_and_port();
    let common = ["--udp", "--port", port, host];
    secured.drover.add_psk("gnutls-psk", "gnutls-psk", KEY);
    let base = "--priority=NONE:+VERS-DTLS1.2:+COMP-NULL:+GROUP-ALL:+SIGN-ALL:+MAC-ALL:+SHA256:+CTYPE-X509";
    let suite = format!("{base}:+PSK:+AES-128-CCM-8");
    let key = format!("--pskkey={KEY}");
    let psk = [&suite, "--pskusername=gnutls-psk", &key];
    register(
        &secured,
        "gnutls-psk",
        "gnutls-cli",
        &[&common[..], &psk].concat(),
    );
    let suite = format!("{base}:+ECDHE-ECDSA:+AES-128-CCM-8");
    let certified = [
        &suite,
        "--x509cafile",
        &target.roots,
        "--x509certfile",
        &target.certificate,
        "--x509keyfile",
        &target.key,
        "--verify-hostname=localhost",
    ];
    register(
        &secured,
        "gnutls-cert",
        "gnutls-cli",
        &[&common[..], &certified].concat(),
    );
}

/// Compiles the client on Mbed TLS, which has no program of its own in Debian.
fn mbedtls_client() -> PathBuf {
    let program = cache().join("mbedtls_client");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .args([
            "interop/mbedtls_client.c",
            "-lmbedtls",
            "-lmbedx509",
            "-lmbedcrypto",
        ])
        .status()
        .expect("there is a C compiler");
    assert!(compiled.success(), "{compiled}");
    program
}

#[test]
fn mbedtls_registers_with_a_pre_shared_key_and_with_a_certificate() {
    let secured = Secured::start();
    let client = mbedtls_client();
    let client = client.to_str().unwrap();
    let target = Target::of(&secured, "mbedtls-cert");
    let (host, port) = target.host_and_port();
    secured.drover.add_psk("mbedtls-psk", "mbedtls-psk", KEY);
    let psk = [host, port, "psk", "mbedtls-psk", KEY];
    register(&secured, "mbedtls-psk", client, &psk);
    let certified = [
        host,
        port,
        "cert",
        &target.roots,
        &target.certificate,
        &target.key,
    ];
    register(&secured, "mbedtls-cert", client, &certified);
}
