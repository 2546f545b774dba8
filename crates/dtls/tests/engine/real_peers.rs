//! Real programs against our server (→) and our client against them (←), over real sockets.
//!
//! | suite or mode                  | OpenSSL | GnuTLS | libcoap (both) |
//! |--------------------------------|---------|--------|----------------|
//! | PSK CCM_8                      | ⇄       | ⇄      | →              |
//! | PSK CBC                        | ⇄       | ⇄      |                |
//! | ECDHE_PSK CBC                  | ⇄       | ←      |                |
//! | ECDHE_ECDSA CCM_8, X.509       | ⇄       | ⇄      |                |
//! | ECDHE_ECDSA GCM, X.509         | ⇄       | ⇄      | →              |
//! | raw public keys                |         | ⇄      | → (GnuTLS)     |
//! | resumption by session id       | ⇄       | ⇄      |                |
#![expect(
    clippy::print_stderr,
    reason = "a test that skips for a missing program says so"
)]

mod gnutls;
mod libcoap;
mod openssl;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dtls::{
    CipherSuite, Client, ClientConfig, ClientOutput, ClientResumption, Config, CookieSecret,
    HandshakeKind, Output, Server, SessionOrigin, StoreOutcome, TrustAnchors,
};

use crate::fixtures;
use crate::pair::{IDENTITY, KEY, judge, psk};

const LIMIT: Duration = Duration::from_secs(20);

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

fn key_hex() -> String {
    let digits = |text: String, byte: &u8| text + &format!("{byte:02x}");
    KEY.iter().fold(String::new(), digits)
}

fn identity() -> &'static str {
    std::str::from_utf8(IDENTITY).unwrap()
}

/// The path of a file of `tests/fixtures`.
fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A process that ends with the test, or at the limit.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
}

impl Process {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("timeout")
            .args(["-k", "1", &LIMIT.as_secs().to_string(), program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        Self { child, input }
    }

    fn say(&mut self, line: &str) {
        self.input
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
    }

    /// What the process prints up to the line that has `expected` in it, or to its end.
    fn read_until(&mut self, expected: &str) -> String {
        let mut output = BufReader::new(self.child.stdout.take().unwrap());
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(expected) {
            if output.read_until(b'\n', &mut all).unwrap() == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs our server with one suite until `done`.
fn serve(
    socket: &UdpSocket,
    suite: CipherSuite,
    done: &AtomicBool,
    answer: impl Fn(&[u8]) -> Vec<u8>,
) {
    let config = Config {
        suites: vec![suite],
        ..Config::default()
    };
    let mut server = Server::new(config, &CookieSecret::new([1; 32]), [2; 32]);
    server.set_credentials(fixtures::server_credentials());
    // Some programs send their certificate without its issuer's.
    let anchors = TrustAnchors::new(&[fixtures::CA, fixtures::ISSUER], &[[0; 0]; 0]).unwrap();
    let mut resumptions = HashMap::new();
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
        let now = Instant::now();
        server.handle_timeout(now);
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
                    server.provide_psk(now, handshake, key.as_ref());
                }
                Output::PeerKeyPresented { handshake, key, .. } => {
                    server.accept_peer(now, handshake, judge(&anchors, &key));
                }
                Output::ResumptionNeeded { handshake, id, .. } => {
                    let found = resumptions.get(&id).cloned();
                    assert!(server.resume(now, handshake, found));
                }
                Output::StoreSession {
                    handshake, origin, ..
                } => {
                    if let SessionOrigin::New {
                        resumption: Some(resumption),
                    } = origin
                    {
                        resumptions.insert(resumption.id, *resumption);
                    }
                    server.session_stored(now, handshake, StoreOutcome::Stored);
                }
                Output::Plaintext { session, data, .. } => {
                    server.send(session, &answer(&data)).unwrap();
                }
                Output::HandshakeFailed { reason, .. } => eprintln!("server: {reason}"),
                _ => {}
            }
        }
    }
}

/// Runs our server beside `peer`, which gets the server's address.
fn beside_server<T>(
    suite: CipherSuite,
    answer: impl Fn(&[u8]) -> Vec<u8> + Send,
    peer: impl FnOnce(&str) -> T,
) -> T {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&socket, suite, &done, answer));
        let result = peer(&address);
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// A socket for [`connect`]. Some servers stay with the first address that they hear of.
fn socket_to(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(format!("127.0.0.1:{port}")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    socket
}

/// What our client met with.
struct Talk {
    received: Vec<u8>,
    how: HandshakeKind,
    resumption: Option<ClientResumption>,
}

/// Connects our client, sends "uplink", and closes the session after what it receives first.
/// `connected` is called once there is a session.
fn connect(socket: &UdpSocket, config: ClientConfig, connected: impl FnOnce()) -> Talk {
    let mut client = Client::new(config, [5; 32]);
    let mut connected = Some(connected);
    let mut kind = HandshakeKind::Full;
    let start = Instant::now();
    client.start(start);
    let mut buffer = [0; 2048];
    loop {
        assert!(start.elapsed() < LIMIT, "{:?}", client.counters());
        while let Some(event) = client.poll_output() {
            match event {
                // Until the server listens, the datagram is refused.
                ClientOutput::Transmit(datagram) => drop(socket.send(&datagram)),
                ClientOutput::Connected { server_cid, how } => {
                    assert_eq!(server_cid, None);
                    kind = how;
                    client.send(b"uplink\n").unwrap();
                    connected.take().unwrap()();
                }
                ClientOutput::Plaintext(received) => {
                    client.close();
                    while let Some(ClientOutput::Transmit(datagram)) = client.poll_output() {
                        drop(socket.send(&datagram));
                    }
                    return Talk {
                        received,
                        how: kind,
                        resumption: client.resumption().cloned(),
                    };
                }
                other => panic!("{other:?}"),
            }
        }
        if let Ok(length) = socket.recv(&mut buffer) {
            client.handle_datagram(Instant::now(), &mut buffer[..length]);
        }
        client.handle_timeout(Instant::now());
    }
}
