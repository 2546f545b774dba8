//! Server-side figures: PSK handshakes, CCM_8 records of 64 bytes, bytes of an idle session.
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
    CidOffer, Client, ClientConfig, ClientOutput, Config, CookieSecret, Output, Psk, Server,
    SessionId, StoreOutcome,
};

const KEY: &[u8] = b"sixteen byte key";
const IDENTITY: &[u8] = b"urn:dev:ops:00000000000000001";

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
        Self {
            server: Server::new(Config::default(), &CookieSecret::new([1; 32]), [2; 32]),
            now: Instant::now(),
            peer: "192.0.2.1:5684".parse().unwrap(),
            spent: Duration::ZERO,
            psk: Psk::new(KEY).unwrap(),
        }
    }

    /// A whole handshake; only the server's calls are timed.
    fn handshake(&mut self, cid: &CidOffer, seed: [u8; 32]) -> (Client, SessionId) {
        let config = ClientConfig {
            cid: cid.clone(),
            ..ClientConfig::new(IDENTITY.to_vec(), self.psk.clone())
        };
        let mut client = Client::new(config, seed);
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
    for (name, cid) in [("cid", CidOffer::Length(0)), ("no cid", CidOffer::None)] {
        group.bench_function(format!("psk handshake, {name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut bench = Bench::new();
                for i in 0..iterations {
                    let mut seed = [0; 32];
                    seed[..8].copy_from_slice(&i.to_le_bytes());
                    let (_, session) = bench.handshake(&cid, seed);
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
    for (name, cid) in [("cid", CidOffer::Length(0)), ("no cid", CidOffer::None)] {
        let mut bench = Bench::new();
        let (mut client, session) = bench.handshake(&cid, [7; 32]);
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
        let (_, session) = bench.handshake(&cid, [9; 32]);
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
