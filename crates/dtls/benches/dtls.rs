//! Server-side figures: handshakes and records of 64 bytes by suite, bytes of an idle session.
//!
//! The client's share is not measured: the clock runs only inside the server.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on stops where it is"
)]
#![expect(
    clippy::print_stdout,
    reason = "the memory figure has no other way out"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dtls::{
    CidOffer, CipherSuite, Client, ClientConfig, ClientOutput, Config, CookieSecret, Credential,
    Fingerprint, HandshakeRate, Output, Psk, Server, ServerCredentials, ServerTrust, SessionId,
    SigningKey, StoreOutcome,
};

const KEY: &[u8] = b"sixteen byte key";
const IDENTITY: &[u8] = b"urn:dev:ops:00000000000000001";

const SERVER_KEY: &[u8] = include_bytes!("../tests/fixtures/server.key");
const SERVER_CHAIN: &[u8] = include_bytes!("../tests/fixtures/server.der");
const DEVICE_KEY: &[u8] = include_bytes!("../tests/fixtures/device.key");
const DEVICE_CHAIN: [&[u8]; 2] = [
    include_bytes!("../tests/fixtures/device.der"),
    include_bytes!("../tests/fixtures/issuer.der"),
];

fn key(der: &[u8]) -> SigningKey {
    SigningKey::from_der(der).unwrap()
}

fn certified(chain: &[&[u8]], der: &[u8]) -> Credential {
    let chain = chain.iter().map(|der| der.to_vec()).collect();
    Credential::certificates(chain, key(der)).unwrap()
}

fn server_credentials() -> ServerCredentials {
    let mut credentials = ServerCredentials::default();
    credentials.add([""; 0], Credential::raw_public_key(key(SERVER_KEY)));
    credentials.add([""; 0], certified(&[SERVER_CHAIN], SERVER_KEY));
    credentials
}

/// All clients are one source, and no time passes.
const UNLIMITED: HandshakeRate = HandshakeRate::new(u32::MAX, u32::MAX);

fn psk_client() -> ClientConfig {
    ClientConfig::new(IDENTITY.to_vec(), Psk::new(KEY).unwrap())
}

fn key_client(credential: Credential) -> ClientConfig {
    let server = Fingerprint::of(&key(SERVER_KEY).public_key_info());
    ClientConfig::with_key(credential, ServerTrust::PinnedKeys(vec![server]))
}

fn with(suite: CipherSuite, config: ClientConfig) -> ClientConfig {
    ClientConfig {
        suites: vec![suite],
        ..config
    }
}

fn with_cid(cid: &CidOffer) -> ClientConfig {
    ClientConfig {
        cid: cid.clone(),
        ..with(CipherSuite::PskAes128Ccm8, psk_client())
    }
}

/// A client and what its server spent on it.
struct Bench {
    server: Server,
    now: Instant,
    peer: SocketAddr,
    spent: Duration,
    psk: Psk,
}

impl Bench {
    fn new() -> Self {
        let config = Config {
            handshake_rate: UNLIMITED,
            handshake_rate_per_source: UNLIMITED,
            ..Config::default()
        };
        let mut server = Server::new(config, &CookieSecret::new([1; 32]), [2; 32]);
        server.set_credentials(server_credentials());
        Self {
            server,
            now: Instant::now(),
            peer: "192.0.2.1:5684".parse().unwrap(),
            spent: Duration::ZERO,
            psk: Psk::new(KEY).unwrap(),
        }
    }

    /// A whole handshake; only the server's calls are timed.
    fn handshake(&mut self, config: &ClientConfig, seed: [u8; 32]) -> (Client, SessionId) {
        let mut client = Client::new(config.clone(), seed);
        client.start(self.now);
        let mut connected = None;
        loop {
            match client.poll_output() {
                Some(ClientOutput::Transmit(mut datagram)) => {
                    let start = Instant::now();
                    self.server
                        .handle_datagram(self.now, self.peer, &mut datagram);
                    self.spent += start.elapsed();
                }
                Some(ClientOutput::Connected { .. }) => return (client, connected.unwrap()),
                other => assert!(other.is_none(), "{other:?}"),
            }
            loop {
                let start = Instant::now();
                let output = self.server.poll_output();
                match output {
                    Some(Output::PskNeeded { handshake, .. }) => {
                        self.server
                            .provide_psk(self.now, handshake, Some(&self.psk));
                    }
                    Some(Output::PeerKeyPresented { handshake, .. }) => {
                        self.server.accept_peer(self.now, handshake, Ok(()));
                    }
                    Some(Output::StoreSession { handshake, .. }) => {
                        self.server
                            .session_stored(self.now, handshake, StoreOutcome::Stored);
                    }
                    Some(Output::Transmit { mut datagram, .. }) => {
                        self.spent += start.elapsed();
                        client.handle_datagram(self.now, &mut datagram);
                        continue;
                    }
                    Some(Output::Connected { session, .. }) => connected = Some(session),
                    Some(_) => {}
                    None => break,
                }
                self.spent += start.elapsed();
            }
        }
    }
}

fn handshakes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server");
    group.throughput(Throughput::Elements(1));
    let ccm = CipherSuite::EcdheEcdsaAes128Ccm8;
    let gcm = CipherSuite::EcdheEcdsaAes128GcmSha256;
    let raw = || key_client(Credential::raw_public_key(key(DEVICE_KEY)));
    let chain = || key_client(certified(&DEVICE_CHAIN, DEVICE_KEY));
    let cases = [
        ("psk handshake, cid", with_cid(&CidOffer::Length(0))),
        ("psk handshake, no cid", with_cid(&CidOffer::None)),
        (
            "ecdhe_psk cbc handshake",
            with(CipherSuite::EcdhePskAes128CbcSha256, psk_client()),
        ),
        ("ecdhe_ecdsa ccm_8 handshake, raw keys", with(ccm, raw())),
        ("ecdhe_ecdsa gcm handshake, raw keys", with(gcm, raw())),
        (
            "ecdhe_ecdsa gcm handshake, certificates",
            with(gcm, chain()),
        ),
    ];
    for (name, config) in cases {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut bench = Bench::new();
                for i in 0..iterations {
                    let mut seed = [0; 32];
                    seed[..8].copy_from_slice(&i.to_le_bytes());
                    let (_, session) = bench.handshake(&config, seed);
                    bench.server.release(session);
                }
                bench.spent
            });
        });
    }
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server");
    group.throughput(Throughput::Elements(1));
    let raw = key_client(Credential::raw_public_key(key(DEVICE_KEY)));
    let cases = [
        ("cid", with_cid(&CidOffer::Length(0))),
        ("no cid", with_cid(&CidOffer::None)),
        (
            "gcm and cid",
            with(CipherSuite::EcdheEcdsaAes128GcmSha256, raw),
        ),
        (
            "cbc and cid",
            with(CipherSuite::PskAes128CbcSha256, psk_client()),
        ),
    ];
    for (name, config) in cases {
        let mut bench = Bench::new();
        let (mut client, session) = bench.handshake(&config, [7; 32]);
        let payload = [0x5A; 64];
        group.bench_function(format!("open and seal 64 B, {name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut records: Vec<Vec<u8>> = Vec::new();
                let mut spent = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let batch = left.min(1000);
                    left -= batch;
                    records.clear();
                    for _ in 0..batch {
                        client.send(&payload).unwrap();
                        match client.poll_output() {
                            Some(ClientOutput::Transmit(datagram)) => records.push(datagram),
                            other => panic!("{other:?}"),
                        }
                    }
                    let start = Instant::now();
                    for record in &mut records {
                        bench.server.handle_datagram(bench.now, bench.peer, record);
                        assert!(matches!(
                            bench.server.poll_output(),
                            Some(Output::Plaintext { .. })
                        ));
                        bench.server.send(session, &payload).unwrap();
                        assert!(matches!(
                            bench.server.poll_output(),
                            Some(Output::Transmit { .. })
                        ));
                    }
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// 200,000 sessions, each from an import of its own.
fn memory(_: &mut Criterion) {
    const SESSIONS: u32 = 200_000;
    for (figure, cid) in [
        ("dtls-idle-session-cid", CidOffer::Length(0)),
        ("dtls-idle-session-address", CidOffer::None),
    ] {
        let mut bench = Bench::new();
        let (_, session) = bench.handshake(&with_cid(&cid), [9; 32]);
        let template = bench.server.release(session).unwrap().encode();
        let mut server = Server::new(Config::default(), &CookieSecret::new([1; 32]), [2; 32]);
        let before = resident();
        for i in 0..SESSIONS {
            let mut bytes = template.to_vec();
            // Layout of the export: the peer's address, then the Connection ID's random bytes.
            bytes[22..26].copy_from_slice(&i.to_be_bytes());
            if cid != CidOffer::None {
                bytes[33..37].copy_from_slice(&i.to_be_bytes());
            }
            let export = dtls::SessionExport::decode(&bytes).unwrap();
            server.import(bench.now, export, 1).unwrap();
        }
        let each = (resident() - before) / SESSIONS as usize;
        println!("{{\"figure\": \"{figure}\", \"value\": {each}}}");
    }
}

criterion_group!(benches, memory, handshakes, records);
criterion_main!(benches);
