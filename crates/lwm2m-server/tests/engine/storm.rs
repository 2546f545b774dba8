//! A fleet that comes all at once, as after a power cut, to a state tier that takes much longer for all of it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Token, Type, number};
use device_state::{Command, NodeId, Outcome, Quirks, Timestamp, Transport};
use lwm2m_server::{CommitId, Config, Engine, Now, Origin, Output, Principal};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

const DEVICES: u32 = 100_000;
/// Commits a second.
const CAPACITY: u32 = 2_000;
const DELAY: Duration = Duration::from_millis(20);
/// RFC 7252 §4.8.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_RETRANSMIT: u32 = 4;

#[test]
fn a_hundred_thousand_devices_come_back_at_the_pace_of_the_state_tier() {
    let mut storm = Storm::new(0x5eed);
    storm.run();
    let ideal = Duration::from_secs((DEVICES / CAPACITY).into());
    assert_eq!(storm.registered, DEVICES);
    assert!(
        storm.elapsed() < ideal * 2,
        "it took {:?}, the state tier alone needs {ideal:?}",
        storm.elapsed()
    );
    // Each comes when it was told to, and is then served; the first guess of the pace is too high.
    assert!(
        storm.requests < 4 * DEVICES,
        "{} requests for {DEVICES} registrations",
        storm.requests
    );
    assert_eq!(storm.gave_up, 0);
}

/// What happens next.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A device begins a Register.
    Begin(u32),
    /// A device repeats its message, if that still waits for an acknowledgement.
    Repeat(u32, u16),
    ToServer(u32, Vec<u8>),
    ToDevice(u32, Vec<u8>),
    Committed,
}

/// A device that registers once.
#[derive(Clone, Copy, Debug, Default)]
struct Device {
    message_id: u16,
    repetitions: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// Nobody has acknowledged its Register.
    Sent,
    Acknowledged,
    Registered,
}

struct Storm {
    began: Instant,
    now: Instant,
    engine: Engine<u32>,
    devices: Vec<Device>,
    happenings: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    order: u64,
    commits: VecDeque<(CommitId, Command)>,
    rng: ChaCha12Rng,
    registered: u32,
    requests: u32,
    gave_up: u32,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut storm = Self {
            began: now,
            now,
            engine: Engine::new(Config::new(NodeId(1), 1), [7; 32]),
            devices: vec![Device::default(); DEVICES as usize],
            happenings: BinaryHeap::new(),
            order: 0,
            commits: VecDeque::new(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            registered: 0,
            requests: 0,
            gave_up: 0,
        };
        for device in 0..DEVICES {
            // The power is back, and all boot within a second.
            let after = Duration::from_millis(storm.rng.random_range(0..1000));
            storm.later(after, Happening::Begin(device));
        }
        storm
    }

    fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    fn later(&mut self, after: Duration, happening: Happening) {
        self.order += 1;
        let entry = (self.now + after, self.order, happening);
        self.happenings.push(Reverse(entry));
    }

    fn run(&mut self) {
        while self.registered + self.gave_up < DEVICES {
            let Reverse((at, _, happening)) = self.happenings.pop().unwrap();
            while let Some(due) = self.engine.poll_timeout().filter(|due| *due < at) {
                self.now = due.max(self.now);
                let now = self.clock();
                self.engine.handle_timeout(now);
                self.settle();
            }
            self.now = at;
            self.happen(happening);
            self.settle();
        }
    }

    fn clock(&self) -> Now {
        Now {
            instant: self.now,
            wall: Timestamp(self.elapsed().as_millis() as u64),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Begin(device) => self.register(device),
            Happening::Repeat(device, message_id) => self.repeat(device, message_id),
            Happening::ToServer(device, datagram) => {
                let origin = Origin {
                    address: address(device),
                    transport: Transport::Udp,
                    principal: Arc::new(Principal::anyone()),
                    session: None,
                };
                let now = self.clock();
                self.engine.handle_datagram(now, device, &origin, &datagram);
            }
            Happening::ToDevice(device, datagram) => self.answered(device, &datagram),
            Happening::Committed => self.committed(),
        }
    }

    fn settle(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    self.later(DELAY, Happening::ToDevice(peer, datagram));
                }
                Output::Commit { id, command, .. } => {
                    if self.commits.is_empty() {
                        self.later(Duration::from_secs(1) / CAPACITY, Happening::Committed);
                    }
                    self.commits.push_back((id, command));
                }
                _ => {}
            }
        }
    }

    fn committed(&mut self) {
        let (id, command) = self.commits.pop_front().unwrap();
        if !self.commits.is_empty() {
            self.later(Duration::from_secs(1) / CAPACITY, Happening::Committed);
        }
        let Command::Register { registration } = command else {
            panic!("{command:?}");
        };
        let outcome = Outcome::Registered {
            id: registration.id,
            expires_at: Timestamp::NEVER,
            moved_from: None,
            observations: Vec::new(),
            quirks: Quirks::default(),
        };
        let now = self.clock();
        self.engine.handle_committed(now, id, Ok(outcome));
    }

    fn register(&mut self, device: u32) {
        self.requests += 1;
        let state = &mut self.devices[device as usize];
        state.message_id += 1;
        state.repetitions = 0;
        state.state = State::Sent;
        let message_id = state.message_id;
        self.transmit(device, message_id);
    }

    fn transmit(&mut self, device: u32, message_id: u16) {
        let register = register(device, message_id);
        self.later(DELAY, Happening::ToServer(device, register));
        let repetitions = self.devices[device as usize].repetitions;
        let spread = self.rng.random_range(1.0..1.5);
        let wait = (ACK_TIMEOUT * 2_u32.pow(repetitions)).mul_f64(spread);
        self.later(wait, Happening::Repeat(device, message_id));
    }

    fn repeat(&mut self, device: u32, message_id: u16) {
        let state = &mut self.devices[device as usize];
        if state.state != State::Sent || state.message_id != message_id {
            return;
        }
        state.repetitions += 1;
        if state.repetitions > MAX_RETRANSMIT {
            self.gave_up += 1;
        } else {
            self.transmit(device, message_id);
        }
    }

    fn answered(&mut self, device: u32, datagram: &[u8]) {
        let message = coap::decode(datagram).unwrap();
        if message.kind == Type::Confirmable {
            let acknowledgement = Message::new(Type::Acknowledgement, Code::EMPTY, message.id);
            let acknowledgement = acknowledgement.to_datagram();
            self.later(DELAY, Happening::ToServer(device, acknowledgement));
        }
        let state = &mut self.devices[device as usize];
        match message.code {
            Code::EMPTY => {
                state.state = State::Acknowledged;
            }
            Code::CREATED_2_01 => {
                if state.state != State::Registered {
                    state.state = State::Registered;
                    self.registered += 1;
                }
            }
            Code::SERVICE_UNAVAILABLE_5_03 => {
                state.state = State::Idle;
                let max_age = message.options.first(number::MAX_AGE).unwrap();
                let seconds = max_age
                    .iter()
                    .fold(0, |value, byte| value << 8 | u64::from(*byte));
                self.later(Duration::from_secs(seconds), Happening::Begin(device));
            }
            other => panic!("{other}"),
        }
    }
}

fn register(device: u32, message_id: u16) -> Vec<u8> {
    let mut message = Message::new(Type::Confirmable, Code::POST, MessageId(message_id));
    message.token = Token::new(&message_id.to_be_bytes()).unwrap();
    message.options.push(number::URI_PATH, b"rd");
    message.options.push_uint(number::CONTENT_FORMAT, 40);
    for query in [&format!("ep=device-{device:06}"), "lwm2m=1.1", "lt=86400"] {
        message.options.push(number::URI_QUERY, query.as_bytes());
    }
    message.payload = b"</3/0>".to_vec();
    message.to_datagram()
}

fn address(device: u32) -> std::net::SocketAddr {
    let host = std::net::Ipv4Addr::from(0x0a00_0000 | (device >> 8));
    (host, 1024 + (device & 0xff) as u16).into()
}
