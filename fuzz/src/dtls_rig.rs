//! A DTLS server, clients for it, and what the driver of both answers.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use dtls::{
    CidOffer, Client, ClientConfig, ClientOutput, Config, CookieSecret, Credential, Fingerprint,
    Output, Psk, Server, ServerCredentials, ServerTrust, SessionExport, SessionId, SigningKey,
    StoreOutcome,
};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../crates/dtls/tests/fixtures/", $name))
    };
}

const DEVICE_KEY: &[u8] = fixture!("device.key");
const SERVER_KEY: &[u8] = fixture!("server.key");
const IDENTITY: &[u8] = b"urn:dev:ops:1";

/// Handshakes that one source may have under way.
pub(crate) const MAX_HANDSHAKES: usize = 2;

fn psk() -> Psk {
    Psk::new(b"sixteen byte key").expect("a key of a good length")
}

fn key(der: &[u8]) -> SigningKey {
    SigningKey::from_der(der).expect("a key of the fixtures")
}

fn certificates(chain: &[&[u8]], key_der: &[u8]) -> Credential {
    let chain = chain.iter().map(|der| der.to_vec()).collect();
    Credential::certificates(chain, key(key_der)).expect("a chain of the fixtures")
}

fn server_credentials() -> ServerCredentials {
    static MADE: OnceLock<ServerCredentials> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut credentials = ServerCredentials::default();
        credentials.add([""; 0], Credential::raw_public_key(key(SERVER_KEY)));
        let chain = certificates(&[fixture!("server.der")], SERVER_KEY);
        credentials.add(["server.example"], chain);
        credentials
    })
    .clone()
}

/// A client of one of the three kinds, with or without Connection IDs, by two numbers.
pub(crate) fn client_config(kind: u8, cid: u8) -> ClientConfig {
    let own = fingerprint(SERVER_KEY);
    let config = match kind % 3 {
        0 => ClientConfig::new(IDENTITY.to_vec(), psk()),
        1 => {
            let credential = Credential::raw_public_key(key(DEVICE_KEY));
            ClientConfig::with_key(credential, ServerTrust::PinnedKeys(vec![own]))
        }
        _ => {
            let credential = certificates(
                &[fixture!("device.der"), fixture!("issuer.der")],
                DEVICE_KEY,
            );
            ClientConfig {
                server_name: Some("server.example".to_owned()),
                ..ClientConfig::with_key(credential, ServerTrust::PinnedKeys(vec![own]))
            }
        }
    };
    let cid = match cid % 3 {
        0 => CidOffer::None,
        1 => CidOffer::Length(0),
        _ => CidOffer::Length(4),
    };
    ClientConfig { cid, ..config }
}

fn fingerprint(key_der: &[u8]) -> Fingerprint {
    Fingerprint::of(&key(key_der).public_key_info())
}

/// `secret` is that of the script.
pub(crate) fn client(config: ClientConfig, secret: [u8; 32]) -> Client {
    Client::new(config, secret.map(|byte| byte ^ 0xAA))
}

pub(crate) fn address(port: u8) -> SocketAddr {
    ([192, 0, 2, 1], 5684 + u16::from(port)).into()
}

/// A server whose questions are answered at once: keys are known, certificates are believed, everything is stored.
pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) plaintext: Vec<Vec<u8>>,
    pub(crate) connected: Vec<SessionId>,
    pub(crate) closed: Vec<SessionId>,
    /// Sessions that were asked to be stored.
    pub(crate) stored: usize,
    pub(crate) moved: usize,
    /// Of `sent`.
    pub(crate) bytes_out: usize,
}

impl Rig {
    /// `secret` is that of the script.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        let config = Config {
            partitions: 16.try_into().expect("not zero"),
            max_sessions: 8,
            max_handshakes: 4,
            max_handshakes_per_source: MAX_HANDSHAKES as u32,
            ..Config::default()
        };
        let mut server = Server::new(
            config,
            &CookieSecret::new(secret),
            secret.map(|byte| byte ^ 0x55),
        );
        server.set_credentials(server_credentials());
        Self {
            now: start(),
            server,
            sent: Vec::new(),
            plaintext: Vec::new(),
            connected: Vec::new(),
            closed: Vec::new(),
            stored: 0,
            moved: 0,
            bytes_out: 0,
        }
    }

    pub(crate) fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.server
            .handle_datagram(self.now, from, &mut datagram.to_vec());
        self.settle();
    }

    /// Lets the next timer run out.
    pub(crate) fn pass(&mut self) {
        if let Some(due) = self.server.poll_timeout() {
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
            self.settle();
        }
    }

    pub(crate) fn settle(&mut self) {
        let mut unknown = 0;
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    self.bytes_out += datagram.len();
                    self.sent.push((peer, datagram));
                }
                Output::PskNeeded {
                    handshake,
                    identity,
                    ..
                } => {
                    assert!(identity.len() <= 128);
                    let known = (identity == IDENTITY).then(psk);
                    self.server.provide_psk(self.now, handshake, known.as_ref());
                }
                Output::PeerKeyPresented { handshake, .. } => {
                    self.server.accept_peer(self.now, handshake, Ok(()));
                }
                Output::ResumptionNeeded { handshake, .. } => {
                    self.server.resume(self.now, handshake, None);
                }
                Output::StoreSession {
                    handshake, session, ..
                } => {
                    let stored = SessionExport::decode(&session.encode());
                    assert!(stored.is_ok_and(|stored| stored.encode() == session.encode()));
                    self.stored += 1;
                    self.server
                        .session_stored(self.now, handshake, StoreOutcome::Stored);
                }
                Output::Connected { session, .. } => self.connected.push(session),
                Output::Plaintext { data, .. } => {
                    assert!(!data.is_empty());
                    self.plaintext.push(data);
                }
                Output::Closed { session, .. } => self.closed.push(session),
                Output::PeerMoved { .. } => self.moved += 1,
                Output::UnknownCid { .. } => unknown += 1,
                Output::HandshakeFailed { .. } => {}
            }
        }
        assert!(unknown <= 1, "one for each datagram");
    }

    /// Shakes hands with a client that is at an address.
    pub(crate) fn connect(&mut self, client: &mut Client, from: SocketAddr) {
        client.start(self.now);
        loop {
            let mut idle = true;
            while let Some(output) = client.poll_output() {
                if let ClientOutput::Transmit(datagram) = output {
                    idle = false;
                    self.receive(from, &datagram);
                }
            }
            for (_, mut datagram) in std::mem::take(&mut self.sent) {
                client.handle_datagram(self.now, &mut datagram);
            }
            if idle {
                break;
            }
        }
        assert!(client.is_connected());
    }
}

/// The same instant for every run of a process.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// The next datagram of a client that has one.
pub(crate) fn next(client: &mut Client) -> Vec<u8> {
    loop {
        match client.poll_output() {
            Some(ClientOutput::Transmit(datagram)) => return datagram,
            Some(_) => {}
            None => return Vec::new(),
        }
    }
}
