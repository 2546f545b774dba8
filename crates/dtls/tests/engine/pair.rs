//! A client and a server on virtual time, with a network that loses, repeats and reorders.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dtls::{
    CidOffer, Client, ClientConfig, ClientOutput, Config, CookieSecret, HandshakeId, Output,
    PeerIdentity, PeerKey, PeerRejection, Psk, ResumptionExport, ResumptionId, Server,
    SessionExport, SessionId, SessionOrigin, StoreOutcome, TrustAnchors,
};

use crate::fixtures::{self, DEVICE_KEY, TIME};

pub(crate) const IDENTITY: &[u8] = b"urn:dev:ops:1";
pub(crate) const KEY: &[u8] = b"sixteen byte key";

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// Who answers the server's questions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    AtOnce,
    ByTheTest,
}

/// A generator for the network (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % sides
    }
}

struct Flying {
    at: Instant,
    order: u64,
    direction: Direction,
    from: SocketAddr,
    datagram: Vec<u8>,
}

pub(crate) type Tap = Box<dyn FnMut(Direction, usize, &mut Vec<u8>)>;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) client: Client,
    /// Where the client's datagrams come from.
    pub(crate) address: SocketAddr,
    pub(crate) keys: HashMap<Vec<u8>, Psk>,
    anchors: TrustAnchors,
    pub(crate) answers: Answers,
    /// Of every kind of mischief.
    pub(crate) percent: u64,
    /// Changes what is sent; gets the number of the datagram in its direction.
    pub(crate) tap: Option<Tap>,
    pub(crate) session: Option<SessionId>,
    pub(crate) stored: Vec<SessionExport>,
    pub(crate) origins: Vec<SessionOrigin>,
    /// As the state tier would keep them.
    pub(crate) resumptions: HashMap<ResumptionId, Vec<u8>>,
    pub(crate) wanted: Vec<(HandshakeId, ResumptionId)>,
    pub(crate) asked: Vec<(HandshakeId, Vec<u8>)>,
    pub(crate) presented: Vec<(HandshakeId, PeerKey)>,
    pub(crate) store: Vec<HandshakeId>,
    pub(crate) server_events: Vec<Output>,
    pub(crate) client_events: Vec<ClientOutput>,
    /// Every datagram that was sent.
    pub(crate) sent: Vec<(Direction, Vec<u8>)>,
    flying: Vec<Flying>,
    dice: Dice,
    order: u64,
}

pub(crate) fn psk_identity() -> PeerIdentity {
    PeerIdentity::Psk(IDENTITY.into())
}

pub(crate) fn psk() -> Psk {
    Psk::new(KEY).unwrap()
}

pub(crate) fn client_config(cid: CidOffer) -> ClientConfig {
    ClientConfig {
        cid,
        ..ClientConfig::new(IDENTITY.to_vec(), psk())
    }
}

pub(crate) fn server_config() -> Config {
    Config {
        partitions: 128.try_into().unwrap(),
        ..Config::default()
    }
}

/// The device's key is known, and whatever its issuer certified.
pub(crate) fn judge(anchors: &TrustAnchors, key: &PeerKey) -> Result<(), PeerRejection> {
    match key {
        PeerKey::RawPublicKey(info) => (*info == fixtures::key(DEVICE_KEY).public_key_info())
            .then_some(())
            .ok_or(PeerRejection::Unknown),
        PeerKey::Certificates(chain) => anchors.validate_client(chain, TIME).map(drop),
    }
}

impl Pair {
    pub(crate) fn new(server: Config, client: ClientConfig, seed: u8) -> Self {
        let mut server = Server::new(server, &CookieSecret::new([seed; 32]), [seed ^ 0x55; 32]);
        server.set_credentials(fixtures::server_credentials());
        Self {
            now: Instant::now(),
            server,
            client: Client::new(client, [seed ^ 0xAA; 32]),
            address: "192.0.2.7:40000".parse().unwrap(),
            keys: HashMap::from([(IDENTITY.to_vec(), psk())]),
            anchors: fixtures::anchors(),
            answers: Answers::AtOnce,
            percent: 0,
            tap: None,
            session: None,
            stored: Vec::new(),
            origins: Vec::new(),
            resumptions: HashMap::new(),
            wanted: Vec::new(),
            asked: Vec::new(),
            presented: Vec::new(),
            store: Vec::new(),
            server_events: Vec::new(),
            client_events: Vec::new(),
            sent: Vec::new(),
            flying: Vec::new(),
            dice: Dice::new(u64::from(seed)),
            order: 0,
        }
    }

    pub(crate) fn with_cid(cid: CidOffer) -> Self {
        Self::new(server_config(), client_config(cid), 1)
    }

    /// A pair with a session.
    pub(crate) fn connected(cid: CidOffer) -> Self {
        Self::connected_as(client_config(cid))
    }

    /// The same with any client.
    pub(crate) fn connected_as(client: ClientConfig) -> Self {
        let mut pair = Self::new(server_config(), client, 1);
        pair.client.start(pair.now);
        pair.drive();
        assert!(
            pair.session.is_some() && pair.client.is_connected(),
            "{:?} {:?}",
            pair.server_events,
            pair.client_events
        );
        pair
    }

    fn send(&mut self, direction: Direction, mut datagram: Vec<u8>) {
        let count = self
            .sent
            .iter()
            .filter(|(other, _)| *other == direction)
            .count();
        if let Some(tap) = &mut self.tap {
            tap(direction, count, &mut datagram);
        }
        self.sent.push((direction, datagram.clone()));
        let lost = self.dice.roll(100) < self.percent;
        let repeated = self.dice.roll(100) < self.percent;
        let copies = match (lost, repeated) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        for _ in 0..copies {
            let mut delay = 10;
            if self.dice.roll(100) < self.percent {
                delay += self.dice.roll(3000);
            }
            self.order += 1;
            self.flying.push(Flying {
                at: self.now + Duration::from_millis(delay),
                order: self.order,
                direction,
                from: self.address,
                datagram: datagram.clone(),
            });
        }
    }

    /// Collects outputs and answers questions.
    pub(crate) fn drain(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.client.poll_output() {
                quiet = false;
                match output {
                    ClientOutput::Transmit(datagram) => self.send(Direction::ToServer, datagram),
                    other => self.client_events.push(other),
                }
            }
            while let Some(output) = self.server.poll_output() {
                quiet = false;
                self.on_server_output(output);
            }
            if quiet {
                return;
            }
        }
    }

    fn on_server_output(&mut self, output: Output) {
        match output {
            Output::Transmit { peer, datagram } => {
                if peer == self.address {
                    self.send(Direction::ToClient, datagram);
                }
            }
            Output::PskNeeded {
                handshake,
                identity,
                ..
            } => {
                if self.answers == Answers::AtOnce {
                    let key = self.keys.get(&identity);
                    self.server.provide_psk(self.now, handshake, key);
                }
                self.asked.push((handshake, identity));
            }
            Output::PeerKeyPresented { handshake, key, .. } => {
                if self.answers == Answers::AtOnce {
                    let verdict = judge(&self.anchors, &key);
                    self.server.accept_peer(self.now, handshake, verdict);
                }
                self.presented.push((handshake, key));
            }
            Output::ResumptionNeeded { handshake, id, .. } => {
                self.wanted.push((handshake, id));
                if self.answers == Answers::AtOnce {
                    self.resume(handshake, id);
                }
            }
            Output::StoreSession {
                handshake,
                session,
                origin,
            } => {
                if let SessionOrigin::New {
                    resumption: Some(resumption),
                } = &origin
                {
                    let bytes = resumption.encode().to_vec();
                    self.resumptions.insert(resumption.id, bytes);
                }
                self.stored.push(session);
                self.origins.push(origin);
                self.store.push(handshake);
                if self.answers == Answers::AtOnce {
                    self.server
                        .session_stored(self.now, handshake, StoreOutcome::Stored);
                }
            }
            other => {
                if let Output::Connected { session, .. } = other {
                    self.session = Some(session);
                }
                self.server_events.push(other);
            }
        }
    }

    /// Answers with what is stored under the id.
    pub(crate) fn resume(&mut self, handshake: HandshakeId, id: ResumptionId) -> bool {
        let found = self.resumptions.get(&id);
        let found = found.map(|bytes| ResumptionExport::decode(bytes).unwrap());
        self.server.resume(self.now, handshake, found)
    }

    fn deliver(&mut self, index: usize) {
        let mut flying = self.flying.swap_remove(index);
        match flying.direction {
            Direction::ToServer => {
                self.server
                    .handle_datagram(self.now, flying.from, &mut flying.datagram);
            }
            Direction::ToClient => self.client.handle_datagram(self.now, &mut flying.datagram),
        }
    }

    /// Takes one step; false when nothing is left to happen before `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.drain();
        let next =
            (0..self.flying.len()).min_by_key(|&i| (self.flying[i].at, self.flying[i].order));
        let arrival = next.map(|i| self.flying[i].at);
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
        let due = timers.into_iter().flatten().chain(arrival).min();
        let Some(due) = due.filter(|&due| due <= until) else {
            return false;
        };
        self.now = self.now.max(due);
        if let Some(index) = next.filter(|_| arrival == Some(due)) {
            self.deliver(index);
        } else {
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
        true
    }

    /// Runs until nothing is in flight any more, which on a quiet network takes milliseconds.
    pub(crate) fn drive(&mut self) {
        self.drain();
        while let Some(last) = self.flying.iter().map(|flying| flying.at).max() {
            self.step(last);
            self.drain();
        }
    }

    /// Runs for a time.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
        self.now = until;
    }

    /// Runs until the condition holds; false when it does not within the time.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> bool {
        let until = self.now + limit;
        loop {
            self.drain();
            if condition(self) {
                return true;
            }
            if !self.step(until) {
                return false;
            }
        }
    }

    /// What the server has received since the last call.
    pub(crate) fn received_by_server(&mut self) -> Vec<Vec<u8>> {
        let mut received = Vec::new();
        self.server_events.retain(|event| match event {
            Output::Plaintext { data, .. } => {
                received.push(data.clone());
                false
            }
            _ => true,
        });
        received
    }

    /// What the client has received since the last call.
    pub(crate) fn received_by_client(&mut self) -> Vec<Vec<u8>> {
        let mut received = Vec::new();
        self.client_events.retain(|event| match event {
            ClientOutput::Plaintext(data) => {
                received.push(data.clone());
                false
            }
            _ => true,
        });
        received
    }

    /// One message each way over a quiet network.
    pub(crate) fn assert_traffic_flows(&mut self) {
        let session = self.session.unwrap();
        self.client.send(b"uplink").unwrap();
        self.drive();
        assert_eq!(self.received_by_server(), [b"uplink"]);
        self.server.send(session, b"downlink").unwrap();
        self.drive();
        assert_eq!(self.received_by_client(), [b"downlink"]);
    }
}

/// A record of a datagram: type, epoch, sequence and the whole of it.
pub(crate) fn records(mut datagram: &[u8], cid_length: usize) -> Vec<(u8, u16, u64, &[u8])> {
    let mut records = Vec::new();
    while !datagram.is_empty() {
        let header = if datagram[0] == 25 {
            13 + cid_length
        } else {
            13
        };
        let epoch = u16::from_be_bytes([datagram[3], datagram[4]]);
        let sequence = datagram[5..11]
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte));
        let length = u16::from_be_bytes([datagram[header - 2], datagram[header - 1]]);
        let (record, rest) = datagram.split_at(header + usize::from(length));
        records.push((datagram[0], epoch, sequence, record));
        datagram = rest;
    }
    records
}

/// Fails when a direction has used a number of the protected epoch for two different records.
pub(crate) fn assert_no_nonce_repeats(sent: &[(Direction, Vec<u8>)], client_cid_length: usize) {
    let mut seen = HashSet::new();
    for (direction, datagram) in sent {
        let cid_length = match direction {
            Direction::ToServer => 8,
            Direction::ToClient => client_cid_length,
        };
        for (_, epoch, sequence, record) in records(datagram, cid_length) {
            let header = record.len().min(13);
            if epoch == 1 {
                assert!(seen.insert((*direction, sequence)), "{header} {sequence}");
            }
        }
    }
    assert!(!seen.is_empty());
}
