//! `drover-sim bench request`: requests over DTLS sessions, also by way of another node than the one that made them.
//!
//! 1. Every device shakes hands with the server, and registers if its requests are Updates.
//! 2. Every device sends its requests one after the other and repeats what is not answered (RFC 7252 §4.2).
//! 3. If asked to, 2 happens once for each line on standard input, which names the nodes to send to: between two lines
//!    is the time to start or kill a node.
//!
//! No device ever shakes hands again: a session that is lost shows as requests that failed.

use std::io::{self, BufRead as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use coap::{Code, Message, MessageId, Options, Token, Type, number};
use dtls::{Client, ClientOutput};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll};
use serde_json::json;

use crate::args::{Ask, Request};
use crate::fleet::make_room;
use crate::plan::{Plan, TransportPlan};
use crate::report;
use crate::server::ServerUrl;
use crate::socket::bind;

/// How often the deadlines of devices under way are looked at.
const TICK: Duration = Duration::from_millis(20);
/// RFC 7252 §4.8: ACK_TIMEOUT; doubled with each repetition.
const FIRST_REPETITION: Duration = Duration::from_secs(2);
/// application/link-format (RFC 6690 §7.3).
const LINK_FORMAT: u32 = 40;
/// RFC 7252 §4.8: MAX_RETRANSMIT.
const MAX_REPETITIONS: u32 = 4;

/// Measures; fails if a request was not answered.
pub fn bench_request(bench: &Request) -> anyhow::Result<ExitCode> {
    ensure!(bench.concurrency > 0, "concurrency must be at least 1");
    let mut crowd = Crowd::new(bench)?;
    let found = crowd.run(Goal::Session, bench.timeout)?;
    ensure!(
        found.failed == 0,
        "{} of {} devices got no session",
        found.failed,
        crowd.devices.len()
    );
    if !bench.wait {
        return Ok(ended(crowd.ask(bench.timeout)?));
    }
    report::line(&json!({"event": "ready", "devices": crowd.devices.len()}).to_string());
    let mut failed = 0;
    for line in io::stdin().lock().lines() {
        crowd.via = nodes(&line?)?;
        failed += crowd.ask(bench.timeout)?;
    }
    Ok(ended(failed))
}

fn ended(failed: u64) -> ExitCode {
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The addresses of nodes, separated by spaces.
fn nodes(text: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let urls = text.split_whitespace().map(ServerUrl::from_str);
    let nodes: Vec<SocketAddr> = urls
        .map(|url| Ok(url?.resolve()?))
        .collect::<anyhow::Result<_>>()?;
    ensure!(!nodes.is_empty(), "no node to send to in {text:?}");
    Ok(nodes)
}

/// What a round of all devices is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Session,
    Answers,
}

/// What came of a round.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// From a request to its answer, repetitions included.
    pub(crate) latencies: Vec<Duration>,
    /// Requests sent again.
    pub(crate) repeated: u64,
    /// Devices that did not get through.
    pub(crate) failed: u64,
    pub(crate) elapsed: Duration,
}

/// All devices, on one thread.
struct Crowd {
    poll: Poll,
    devices: Vec<Device>,
    server: SocketAddr,
    /// Where requests go, in turn.
    via: Vec<SocketAddr>,
    ask: Ask,
    requests: usize,
    concurrency: usize,
    /// Places of devices that are under way.
    open: Vec<usize>,
}

struct Device {
    endpoint: String,
    client: Client,
    socket: UdpSocket,
    next_id: u16,
    /// From its registration.
    location: Vec<Vec<u8>>,
    stage: Stage,
}

enum Stage {
    Idle,
    Shaking,
    Asking(Asking),
    Done,
    Failed,
}

/// A request that waits for its answer.
struct Asking {
    request: Vec<u8>,
    id: u16,
    to: SocketAddr,
    since: Instant,
    repeat_at: Instant,
    repetitions: u32,
    /// Requests after this one.
    left: usize,
}

impl Crowd {
    fn new(bench: &Request) -> anyhow::Result<Self> {
        let plan = Plan::for_requests(bench)?;
        make_room(plan.devices)?;
        let poll = Poll::new()?;
        let mut devices = Vec::with_capacity(plan.devices);
        for place in 0..plan.devices {
            let made = plan.device(place)?;
            let TransportPlan::Dtls(security) = made.transport else {
                bail!("requests are measured over coaps");
            };
            let mut socket = UdpSocket::from_std(bind(plan.server, place)?);
            poll.registry()
                .register(&mut socket, mio::Token(place), Interest::READABLE)?;
            devices.push(Device {
                endpoint: made.config.endpoint.as_str().to_owned(),
                client: Client::new(*security, made.seed),
                socket,
                next_id: 0,
                location: Vec::new(),
                stage: Stage::Idle,
            });
        }
        Ok(Self {
            poll,
            devices,
            server: plan.server,
            via: vec![plan.server],
            ask: bench.ask,
            requests: bench.requests,
            concurrency: bench.concurrency,
            open: Vec::new(),
        })
    }

    /// A round of requests; how many devices did not get through.
    fn ask(&mut self, timeout: Duration) -> anyhow::Result<u64> {
        let mut found = self.run(Goal::Answers, timeout)?;
        found.latencies.sort_unstable();
        report::requests(&found);
        Ok(found.failed)
    }

    /// Takes every device to the goal.
    fn run(&mut self, goal: Goal, timeout: Duration) -> anyhow::Result<Found> {
        let began = Instant::now();
        let mut found = Found::default();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 1 << 16];
        let mut next = 0;
        let mut ticked = began;
        loop {
            let now = Instant::now();
            while self.open.len() < self.concurrency && next < self.devices.len() {
                self.begin(now, next, goal);
                next += 1;
            }
            if self.open.is_empty() || now >= began + timeout {
                break;
            }
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                self.receive(now, event.token().0, goal, &mut buffer, &mut found);
            }
            if now >= ticked + TICK {
                ticked = now;
                self.tick(now, &mut found);
            }
            let devices = &self.devices;
            self.open.retain(|place| devices[*place].is_under_way());
        }
        found.elapsed = began.elapsed();
        let lacking = |device: &&Device| !matches!(device.stage, Stage::Done);
        found.failed = self.devices.iter().filter(lacking).count() as u64;
        Ok(found)
    }

    fn begin(&mut self, now: Instant, place: usize, goal: Goal) {
        let to = self.via[place % self.via.len()];
        let (ask, left) = (self.ask, self.requests - 1);
        let device = &mut self.devices[place];
        match goal {
            Goal::Session => {
                device.stage = Stage::Shaking;
                device.client.start(now);
                device.send(self.server);
            }
            Goal::Answers => device.request(now, ask, to, left),
        }
        self.open.push(place);
    }

    fn receive(
        &mut self,
        now: Instant,
        place: usize,
        goal: Goal,
        buffer: &mut [u8],
        found: &mut Found,
    ) {
        // Readiness is reported once, so everything has to be taken.
        while let Ok((length, from)) = self.devices[place].socket.recv_from(buffer) {
            let device = &mut self.devices[place];
            device.client.handle_datagram(now, &mut buffer[..length]);
            while let Some(output) = device.client.poll_output() {
                match output {
                    ClientOutput::Transmit(datagram) => device.transmit(&datagram, from),
                    ClientOutput::Connected { .. } => match self.ask {
                        Ask::Update => device.register(now, self.server),
                        Ask::Get => device.stage = Stage::Done,
                    },
                    ClientOutput::Plaintext(data) => {
                        let via =
                            self.via[place.wrapping_add(found.latencies.len()) % self.via.len()];
                        device.answered(now, &data, goal, self.ask, via, found);
                    }
                    ClientOutput::Closed(_) | ClientOutput::Failed(_) => {
                        device.stage = Stage::Failed;
                    }
                }
            }
        }
    }

    fn tick(&mut self, now: Instant, found: &mut Found) {
        for place in &self.open {
            let device = &mut self.devices[*place];
            if device.client.poll_timeout().is_some_and(|at| at <= now) {
                device.client.handle_timeout(now);
                device.send(self.server);
            }
            if device.repeat(now) {
                found.repeated += 1;
            }
        }
    }
}

impl Device {
    const fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Shaking | Stage::Asking(_))
    }

    fn transmit(&self, datagram: &[u8], to: SocketAddr) {
        // A full buffer, or a node that was killed: it is as good as lost.
        let _lost = self.socket.send_to(datagram, to);
    }

    /// Sends what the session has ready.
    fn send(&mut self, to: SocketAddr) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Transmit(datagram) => self.transmit(&datagram, to),
                ClientOutput::Failed(_) | ClientOutput::Closed(_) => self.stage = Stage::Failed,
                ClientOutput::Connected { .. } | ClientOutput::Plaintext(_) => {}
            }
        }
    }

    fn register(&mut self, now: Instant, to: SocketAddr) {
        let mut message = self.message(Code::POST);
        message.options.push(number::URI_PATH, b"rd");
        message
            .options
            .push_uint(number::CONTENT_FORMAT, LINK_FORMAT);
        let endpoint = format!("ep={}", self.endpoint);
        for query in [endpoint.as_str(), "lt=86400", "lwm2m=1.1", "b=U"] {
            message.options.push(number::URI_QUERY, query.as_bytes());
        }
        message.payload = b"</3/0>".to_vec();
        self.ask(now, message, to, 0);
    }

    fn request(&mut self, now: Instant, ask: Ask, to: SocketAddr, left: usize) {
        let message = match ask {
            Ask::Get => self.message(Code::GET),
            Ask::Update => {
                let mut message = self.message(Code::POST);
                for segment in &self.location {
                    message.options.push(number::URI_PATH, segment);
                }
                message
            }
        };
        self.ask(now, message, to, left);
    }

    fn message(&mut self, code: Code) -> Message {
        self.next_id = self.next_id.wrapping_add(1);
        let mut message = Message::new(Type::Confirmable, code, MessageId(self.next_id));
        message.token = Token::new(&self.next_id.to_be_bytes()).unwrap_or_default();
        message
    }

    fn ask(&mut self, now: Instant, message: Message, to: SocketAddr, left: usize) {
        let request = message.to_datagram();
        self.stage = match self.client.send(&request) {
            Ok(()) => Stage::Asking(Asking {
                request,
                id: message.id.0,
                to,
                since: now,
                repeat_at: now + FIRST_REPETITION,
                repetitions: 0,
                left,
            }),
            Err(_) => Stage::Failed,
        };
        self.send(to);
    }

    fn answered(
        &mut self,
        now: Instant,
        data: &[u8],
        goal: Goal,
        ask: Ask,
        via: SocketAddr,
        found: &mut Found,
    ) {
        let Stage::Asking(asking) = &self.stage else {
            return;
        };
        let Ok(answer) = coap::decode(data) else {
            return;
        };
        if answer.token.as_bytes() != asking.id.to_be_bytes() || !answer.code.is_response() {
            return;
        }
        found.latencies.push(now - asking.since);
        let left = asking.left;
        let is_expected = match (goal, ask) {
            (Goal::Session, _) => answer.code == Code::CREATED_2_01,
            (Goal::Answers, Ask::Update) => answer.code == Code::CHANGED_2_04,
            (Goal::Answers, Ask::Get) => answer.code == Code::NOT_FOUND_4_04,
        };
        if !is_expected {
            self.stage = Stage::Failed;
        } else if goal == Goal::Session {
            self.location = location(&answer.options);
            self.stage = Stage::Done;
        } else if left == 0 {
            self.stage = Stage::Done;
        } else {
            self.request(now, ask, via, left - 1);
        }
    }

    /// Sends the request again if it is time; whether it was.
    fn repeat(&mut self, now: Instant) -> bool {
        let Stage::Asking(asking) = &mut self.stage else {
            return false;
        };
        if now < asking.repeat_at {
            return false;
        }
        asking.repetitions += 1;
        asking.repeat_at = now + FIRST_REPETITION * 2_u32.pow(asking.repetitions);
        let (to, is_over) = (asking.to, asking.repetitions > MAX_REPETITIONS);
        if is_over || self.client.send(&asking.request).is_err() {
            self.stage = Stage::Failed;
            return false;
        }
        self.send(to);
        true
    }
}

fn location(options: &Options) -> Vec<Vec<u8>> {
    let path = options
        .iter()
        .filter(|(number, _)| *number == number::LOCATION_PATH);
    path.map(|(_, segment)| segment.to_vec()).collect()
}
