//! Two endpoints on a network that drops, repeats and reorders.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use coap::{BlockSize, Code, Config, Endpoint, Event, ExchangeId, Output, Request, Response};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::rig::pattern;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Client,
    Server,
}

enum Happening {
    Datagram(Side, Vec<u8>),
    Answer(ExchangeId, Response),
}

struct Network {
    now: Instant,
    client: Endpoint<()>,
    server: Endpoint<()>,
    /// What will happen, in order of time.
    agenda: BTreeMap<(Instant, u64), Happening>,
    count: u64,
    rng: ChaCha8Rng,
    /// Percent of datagrams dropped, and likewise repeated and delayed.
    trouble: u32,
    /// Requests that reached the server, by their number.
    served: HashMap<u32, u32>,
    ended: HashMap<ExchangeId, Vec<Option<Response>>>,
}

impl Network {
    fn new(seed: u64, trouble: u32, size: BlockSize) -> Self {
        let config = Config {
            block_size: size,
            max_exchanges_per_peer: 64,
            ..Config::default()
        };
        let config = Config {
            queue_timeout: Duration::from_hours(1),
            ..config
        };
        Self {
            now: Instant::now(),
            client: Endpoint::new(config.clone(), seed),
            server: Endpoint::new(config, seed ^ 1),
            agenda: BTreeMap::new(),
            count: 0,
            rng: ChaCha8Rng::seed_from_u64(seed ^ 2),
            trouble,
            served: HashMap::new(),
            ended: HashMap::new(),
        }
    }

    fn schedule(&mut self, millis: u64, happening: Happening) {
        self.count += 1;
        self.agenda.insert(
            (self.now + Duration::from_millis(millis), self.count),
            happening,
        );
    }

    fn happens(&mut self) -> bool {
        self.rng.random_range(0..100) < self.trouble
    }

    fn carry(&mut self, to: Side, datagram: Vec<u8>) {
        if self.happens() {
            return;
        }
        if self.happens() {
            let delay = self.rng.random_range(0..20_000);
            self.schedule(delay, Happening::Datagram(to, datagram.clone()));
        }
        let most = if self.happens() { 4_000 } else { 50 };
        let delay = self.rng.random_range(1..=most);
        self.schedule(delay, Happening::Datagram(to, datagram));
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => self.carry(Side::Server, datagram),
                Output::Event(Event::Response {
                    exchange, response, ..
                }) => {
                    self.ended.entry(exchange).or_default().push(Some(response));
                }
                Output::Event(Event::Failed { exchange, .. }) => {
                    self.ended.entry(exchange).or_default().push(None);
                }
                Output::Event(Event::SentAgain { .. } | Event::HeardAgain { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => self.carry(Side::Client, datagram),
                Output::Event(Event::Request {
                    exchange, request, ..
                }) => {
                    self.serve(exchange, &request);
                }
                Output::Event(_) | Output::Send { .. } => {}
            }
        }
    }

    /// Checks the body, which the path describes, and answers with one as the path asks.
    fn serve(&mut self, exchange: ExchangeId, request: &Request) {
        let [number, sent, wanted] = [0, 1, 2].map(|at| request.path[at].parse::<u32>().unwrap());
        *self.served.entry(number).or_default() += 1;
        assert_eq!(request.payload, pattern(sent as usize));
        let payload = pattern(wanted as usize);
        let response = Response {
            payload,
            ..Response::new(Code::CONTENT_2_05)
        };
        let delay = if self.rng.random_range(0..4) == 0 {
            3_000
        } else {
            0
        };
        self.schedule(delay, Happening::Answer(exchange, response));
    }

    /// Runs until nothing is left to happen.
    fn run(&mut self) {
        loop {
            self.drain();
            let timeouts = [self.client.poll_timeout(), self.server.poll_timeout()];
            let timeout = timeouts.into_iter().flatten().min();
            let happening = self.agenda.first_key_value().map(|(key, _)| key.0);
            let Some(next) = timeout.into_iter().chain(happening).min() else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self
                .agenda
                .first_entry()
                .filter(|it| it.key().0 <= self.now)
            {
                match entry.remove() {
                    Happening::Datagram(Side::Client, datagram) => {
                        self.client.handle_datagram(self.now, (), &datagram);
                    }
                    Happening::Datagram(Side::Server, datagram) => {
                        self.server.handle_datagram(self.now, (), &datagram);
                    }
                    Happening::Answer(exchange, response) => {
                        self.server.respond(self.now, exchange, response);
                    }
                }
                self.drain();
            }
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
    }
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1_u32..200, 1_000_u32..1_100, 0_u32..20_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_request_is_served_at_most_once_and_ends_exactly_once(
        seed in any::<u64>(),
        trouble in prop_oneof![Just(0_u32), 1_u32..=30],
        blocks in prop_oneof![Just(BlockSize::B256), Just(BlockSize::B512), Just(BlockSize::B1024)],
        requests in prop::collection::vec((size(), size()), 1..12),
    ) {
        let mut network = Network::new(seed, trouble, blocks);
        let mut made = vec![];
        for (number, (sent, wanted)) in requests.iter().enumerate() {
            let path = [number as u32, *sent, *wanted].map(|part| part.to_string());
            let payload = pattern(*sent as usize);
            let request = Request { payload, ..Request::new(Code::POST, path) };
            made.push(network.client.send_request(network.now, (), request).unwrap());
        }
        network.run();
        prop_assert!(network.served.values().all(|count| *count == 1), "{:?}", network.served);
        for (exchange, (_, wanted)) in made.iter().zip(&requests) {
            let ends = network.ended.remove(exchange).unwrap_or_default();
            prop_assert_eq!(ends.len(), 1);
            match &ends[0] {
                Some(response) => {
                    prop_assert_eq!(response.code, Code::CONTENT_2_05);
                    prop_assert_eq!(&response.payload, &pattern(*wanted as usize));
                }
                None => prop_assert!(trouble > 0),
            }
        }
        prop_assert_eq!(network.client.peer_count() + network.server.peer_count(), 0);
        prop_assert_eq!(network.client.body_bytes() + network.server.body_bytes(), 0);
    }
}
