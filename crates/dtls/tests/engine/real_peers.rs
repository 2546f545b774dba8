//! OpenSSL and libcoap against our server, our client against OpenSSL, over real sockets.
#![expect(
    clippy::print_stderr,
    reason = "a test that skips for a missing program says so"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dtls::{CidOffer, Client, ClientOutput, Config, CookieSecret, Output, Server, StoreOutcome};

use crate::pair::{IDENTITY, KEY, client_config, psk};

const LIMIT: Duration = Duration::from_secs(20);
/// OpenSSL counts the 64-bit tag as 64 bits of strength.
const CIPHER: &str = "PSK-AES128-CCM8:@SECLEVEL=0";

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    let digits = |text: String, byte: &u8| text + &format!("{byte:02x}");
    bytes.iter().fold(String::new(), digits)
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs our server until `done`.
fn serve(socket: &UdpSocket, done: &AtomicBool, answer: impl Fn(&[u8]) -> Vec<u8>) {
    let mut server = Server::new(Config::default(), &CookieSecret::new([1; 32]), [2; 32]);
    let start = Instant::now();
    let mut buffer = [0; 2048];
    let wait = Some(Duration::from_millis(20));
    socket.set_read_timeout(wait).unwrap();
    while !done.load(Ordering::Relaxed) {
        let counters = server.counters();
        assert!(start.elapsed() < LIMIT, "{counters:?}");
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            server.handle_datagram(Instant::now(), peer, &mut buffer[..length]);
        }
        server.handle_timeout(Instant::now());
        while let Some(output) = server.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    socket.send_to(&datagram, peer).unwrap();
                }
                Output::PskNeeded {
                    handshake,
                    identity,
                    ..
                } => {
                    let key = (identity == IDENTITY).then(psk);
                    server.provide_psk(Instant::now(), handshake, key.as_ref());
                }
                Output::StoreSession { handshake, .. } => {
                    server.session_stored(Instant::now(), handshake, StoreOutcome::Stored);
                }
                Output::Plaintext { session, data, .. } => {
                    server.send(session, &answer(&data)).unwrap();
                }
                _ => {}
            }
        }
    }
}

/// Runs our server beside `peer`, which gets the server's address.
fn beside_server<T>(answer: impl Fn(&[u8]) -> Vec<u8> + Send, peer: impl FnOnce(&str) -> T) -> T {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&socket, &done, answer));
        let result = peer(&address);
        done.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn openssl_connects_to_our_server() {
    if !is_installed("openssl") {
        return;
    }
    let identity = std::str::from_utf8(IDENTITY).unwrap();
    let line = beside_server(<[u8]>::to_ascii_uppercase, |address| {
        let mut process = Process::start(Command::new("openssl").args([
            "s_client",
            "-dtls1_2",
            "-quiet",
            "-connect",
            address,
            "-psk",
            &hex(KEY),
            "-psk_identity",
            identity,
            "-cipher",
            CIPHER,
        ]));
        let mut input = process.0.stdin.take().unwrap();
        input.write_all(b"ping\n").unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.0.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        line
    });
    assert_eq!(line, "PING\n");
}

/// A CoAP server that answers every request with 2.05 and "over dtls".
fn coap_answer(request: &[u8]) -> Vec<u8> {
    let token_length = usize::from(request[0] & 0x0F);
    let mut response = vec![0x60 | request[0] & 0x0F, 0x45, request[2], request[3]];
    response.extend(&request[4..4 + token_length]);
    response.push(0xFF);
    response.extend(b"over dtls");
    response
}

#[test]
fn libcoap_connects_to_our_server() {
    for program in ["coap-client-openssl", "coap-client-gnutls"] {
        if !is_installed(program) {
            continue;
        }
        let (identity, key) = (
            std::str::from_utf8(IDENTITY).unwrap(),
            std::str::from_utf8(KEY).unwrap(),
        );
        let output = beside_server(coap_answer, |address| {
            let uri = format!("coaps://{address}/path");
            let mut process = Process::start(
                Command::new(program).args(["-B", "8", "-u", identity, "-k", key, &uri]),
            );
            let mut output = String::new();
            let mut stdout = process.0.stdout.take().unwrap();
            stdout.read_to_string(&mut output).unwrap();
            output
        });
        assert!(output.contains("over dtls"), "{program}: {output:?}");
    }
}

#[test]
fn our_client_connects_to_openssl() {
    if !is_installed("openssl") {
        return;
    }
    let port = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port().to_string()
    };
    let mut process = Process::start(Command::new("openssl").args([
        "s_server",
        "-dtls1_2",
        "-listen",
        "-quiet",
        "-nocert",
        "-accept",
        &port,
        "-psk",
        &hex(KEY),
        "-psk_hint",
        "a hint",
        "-cipher",
        CIPHER,
    ]));
    let mut input = process.0.stdin.take().unwrap();
    let mut output = BufReader::new(process.0.stdout.take().unwrap());

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(format!("127.0.0.1:{port}")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut client = Client::new(client_config(CidOffer::Length(0)), [5; 32]);
    let start = Instant::now();
    client.start(start);
    let mut buffer = [0; 2048];
    let received = 'outer: loop {
        assert!(start.elapsed() < LIMIT, "{:?}", client.counters());
        while let Some(event) = client.poll_output() {
            match event {
                // Until the server listens, the datagram is refused.
                ClientOutput::Transmit(datagram) => drop(socket.send(&datagram)),
                ClientOutput::Connected { server_cid } => {
                    assert_eq!(server_cid, None);
                    client.send(b"uplink\n").unwrap();
                    input.write_all(b"downlink\n").unwrap();
                }
                ClientOutput::Plaintext(data) => break 'outer data,
                other => panic!("{other:?}"),
            }
        }
        if let Ok(length) = socket.recv(&mut buffer) {
            client.handle_datagram(Instant::now(), &mut buffer[..length]);
        }
        client.handle_timeout(Instant::now());
    };
    assert_eq!(received, b"downlink\n");
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "uplink\n");
}
