//! One thread of a fleet: many nodes, one poll.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lwm2m_client::{Event, Pull};
use mio::{Events, Interest, Poll, Token, Waker};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::download::Download;
use crate::fleet::Command;
use crate::link::{Link, LinkOutput};
use crate::node::{Node, Phase};
use crate::plan::{Pace, Plan, Purpose};
use crate::report;
use crate::socket::{Socket, Stream, datagrams};
use crate::stats::Stats;
use crate::walk::Walk;

const WAKER: Token = Token(usize::MAX);
/// Of the socket by which a node gets a package: this with the node's place.
const DOWNLOAD: usize = 1 << (usize::BITS - 1);

/// How long a fleet that deregisters waits for the next answer of the server.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Deregistrations of one shard that are under way at once: a whole fleet in one burst would only
/// overflow the server's socket.
const DEREGISTER_AT_ONCE: usize = 128;

/// What the shards of a fleet share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stats: Stats,
    pub(crate) command: AtomicU8,
    /// Shards begin together, once all have their sockets.
    pub(crate) ready: Barrier,
}

/// What a shard found out.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// From the first datagram of a device to its registration.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) failed: u64,
    /// From the first start to the last end of a registration.
    pub(crate) span: Option<(Instant, Instant)>,
}

pub(crate) struct Shard {
    poll: Poll,
    plan: Arc<Plan>,
    /// Its nodes in the plan are `from, from + step, …`.
    from: usize,
    step: usize,
    pace: Pace,
    shared: Arc<Shared>,
    nodes: Vec<Node>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The next node to start.
    next: usize,
    /// Whether its nodes have been woken.
    woken: bool,
    /// Nodes whose first registration is under way.
    open: usize,
    state: State,
    buffer: Box<[u8]>,
    rng: ChaCha8Rng,
    found: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Deregistering(Deregistering),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Deregistering {
    /// The shard gives up then; every answer moves it on.
    until: Instant,
    /// The next node to deregister, below the number of those that were started.
    next: usize,
    open: usize,
}

impl Shard {
    /// Makes the nodes `from, from + step, …` of the plan; every shard of a fleet has another
    /// `from` and the same `step`.
    pub(crate) fn new(
        plan: Arc<Plan>,
        shared: Arc<Shared>,
        from: usize,
        step: usize,
    ) -> anyhow::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut nodes = Vec::new();
        for (place, index) in (from..plan.devices).step_by(step).enumerate() {
            let socket = if plan.has_connections() {
                Socket::Stream(None)
            } else {
                let mut socket = datagrams(plan.server, index)?;
                poll.registry()
                    .register(&mut socket, Token(place), Interest::READABLE)?;
                Socket::Datagrams(socket)
            };
            nodes.push(Node::new(Link::new(plan.device(index)?), socket));
        }
        let pace = match plan.pace {
            Pace::Rate(rate) => Pace::Rate(rate / step as f64),
            Pace::Concurrency(open) => Pace::Concurrency(open.div_ceil(step)),
        };
        let shard = Self {
            poll,
            pace,
            nodes,
            timers: BinaryHeap::new(),
            next: 0,
            woken: false,
            open: 0,
            state: State::Running,
            buffer: vec![0; 1 << 16].into(),
            rng: ChaCha8Rng::seed_from_u64(from as u64),
            found: Found::default(),
            from,
            step,
            plan,
            shared,
        };
        Ok((shard, waker))
    }

    /// Runs until it is told to stop or, if it only measures, until there is nothing left to do.
    pub(crate) fn run(mut self) -> io::Result<Found> {
        self.shared.ready.wait();
        let began = Instant::now();
        let mut events = Events::with_capacity(1024);
        while self.state != State::Done {
            let now = Instant::now();
            let next_start = self.start_due(began, now);
            let timeout = self.wait_until(began, next_start);
            let timeout = timeout.map(|at| at.saturating_duration_since(now));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(place) if place & DOWNLOAD != 0 => {
                        self.receive_package(now, place & !DOWNLOAD);
                    }
                    Token(place) => self.receive(now, place),
                }
            }
            self.fire(now);
            self.obey(began, now);
        }
        if let Purpose::Measure { .. } = self.plan.purpose {
            let unfinished = self.nodes.len() - self.next + self.open;
            self.found.failed += unfinished as u64;
        }
        Ok(self.found)
    }

    /// Starts the nodes whose time has come and returns when the next one is due.
    fn start_due(&mut self, began: Instant, now: Instant) -> Option<Instant> {
        let waiting = self.nodes.len() - self.next;
        if waiting == 0 || self.state != State::Running {
            return None;
        }
        let (count, next) = match self.pace {
            Pace::Rate(rate) if rate > 0.0 => {
                let due = (now - began).as_secs_f64() * rate;
                let count = (due as usize + 1).saturating_sub(self.next);
                let next = began + Duration::from_secs_f64((self.next + count) as f64 / rate);
                (count, Some(next))
            }
            Pace::Rate(_) => (waiting, None),
            Pace::Concurrency(open) => (open.saturating_sub(self.open), None),
        };
        for _ in 0..count.min(waiting) {
            self.start(now);
        }
        next.filter(|_| self.next < self.nodes.len())
    }

    fn start(&mut self, now: Instant) {
        let index = self.next;
        self.next += 1;
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        self.shared.stats.started.increment();
        self.found.span.get_or_insert((now, now));
        self.open += 1;
        node.phase = Phase::Starting { since: now };
        if let Some(interval) = self.plan.temperature_interval
            && let Some(value) = node.temperature()
        {
            node.walk = Some(Walk::new(now, value, interval, &mut self.rng));
        }
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = seconds.map_or(0, |since| since.as_secs() as i64);
        node.link
            .with_device(now, |device| device.set_wall_clock(now, seconds));
        node.link.start(now);
        self.settle(now, index);
    }

    fn wait_until(&self, began: Instant, next_start: Option<Instant>) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let end = match (self.state, self.plan.purpose) {
            (State::Deregistering(deregistering), _) => Some(deregistering.until),
            (_, Purpose::Measure { timeout }) => Some(began + timeout),
            _ => None,
        };
        [timer, next_start, end].into_iter().flatten().min()
    }

    fn receive(&mut self, now: Instant, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            // Readiness is reported once, so everything has to be taken.
            while node
                .receive(now, &mut self.buffer, &self.shared.stats)
                .is_some()
            {}
            self.settle(now, index);
        }
    }

    fn receive_package(&mut self, now: Instant, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.go_on_downloading(now, &mut self.buffer);
            self.settle(now, index);
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some(&Reverse((at, index))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(node) = self.nodes.get_mut(index) else {
                continue;
            };
            // An entry that another one has replaced.
            if node.armed != Some(at) {
                continue;
            }
            node.armed = None;
            node.handle_timeout(now, &mut self.rng, &mut self.buffer);
            self.settle(now, index);
        }
    }

    /// Takes a node's outputs and sets its timer.
    fn settle(&mut self, now: Instant, index: usize) {
        while let Some(output) = self
            .nodes
            .get_mut(index)
            .and_then(|node| node.link.poll_output())
        {
            self.handle_output(now, index, output);
        }
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        let Some(next) = node.next_timeout() else {
            node.armed = None;
            return;
        };
        if node.armed.is_none_or(|armed| next < armed) {
            node.armed = Some(next);
            self.timers.push(Reverse((next, index)));
        }
    }

    fn handle_output(&mut self, now: Instant, index: usize, output: LinkOutput) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        match &output {
            LinkOutput::Transmit(bytes) => return node.transmit(bytes, &self.shared.stats),
            LinkOutput::Connect => return self.connect(now, index),
            LinkOutput::Pull(pull) => return self.download(now, index, pull),
            LinkOutput::Disconnect => {
                // What is unwritten now goes with it, as with a device that loses its power.
                node.socket = Socket::Stream(None);
                return;
            }
            _ => {}
        }
        node.count(&output, &self.shared.stats);
        report::event(self.plan.events, node.link.device().endpoint(), &output);
        let phase = match &output {
            LinkOutput::Device(Event::Registered { .. }) => Phase::Registered,
            LinkOutput::Device(Event::Deregistered) => Phase::Deregistered,
            LinkOutput::Device(Event::RegistrationFailed { .. })
            | LinkOutput::HandshakeFailed(_)
            | LinkOutput::ConnectionFailed => Phase::Failed,
            _ => return,
        };
        self.enter(now, index, phase);
    }

    /// Begins to connect a node. Whether that succeeds shows when its socket is ready.
    fn connect(&mut self, now: Instant, index: usize) {
        let place = self.from + index * self.step;
        let tls = self.plan.tls();
        let made = Stream::connect(self.plan.server, place, tls).and_then(|mut stream| {
            stream.register(self.poll.registry(), Token(index))?;
            Ok(stream)
        });
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        match made {
            Ok(stream) => node.socket = Socket::Stream(Some(stream)),
            Err(_) => node.link.handle_end(now),
        }
    }

    fn download(&mut self, now: Instant, index: usize, pull: &Pull) {
        let place = self.from + index * self.step;
        let token = Token(DOWNLOAD | index);
        let node = self.nodes.get(index);
        let security = node.and_then(|node| node.link.security());
        let from = (place, security);
        let begun = Download::begin(now, pull, from, self.poll.registry(), token);
        if let Some(node) = self.nodes.get_mut(index) {
            node.download(now, pull.id, begun, &mut self.buffer);
        }
    }

    fn enter(&mut self, now: Instant, index: usize, phase: Phase) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        match (node.phase, phase) {
            (Phase::Starting { since }, Phase::Registered | Phase::Failed) => {
                self.open -= 1;
                if phase == Phase::Registered {
                    self.found.latencies.push(now - since);
                } else {
                    self.found.failed += 1;
                }
                if let Some((_, last)) = &mut self.found.span {
                    *last = now;
                }
                node.phase = phase;
            }
            (_, Phase::Deregistered) => {
                node.phase = phase;
                if let State::Deregistering(deregistering) = &mut self.state {
                    deregistering.open = deregistering.open.saturating_sub(1);
                    deregistering.until = now + DEREGISTER_TIMEOUT;
                }
            }
            _ => {}
        }
    }

    /// Looks at what the fleet was told, and at what is left to do.
    fn obey(&mut self, began: Instant, now: Instant) {
        let command = Command::from_number(self.shared.command.load(Ordering::Relaxed));
        match (self.state, command) {
            (State::Running, Command::Wake) if !self.woken => self.wake(now),
            (State::Running, Command::Deregister) => {
                self.state = State::Deregistering(Deregistering {
                    until: now + DEREGISTER_TIMEOUT,
                    next: 0,
                    open: 0,
                });
            }
            (_, Command::Stop) => self.state = State::Done,
            _ => {}
        }
        self.deregister_some(now);
        if let Purpose::Measure { timeout } = self.plan.purpose {
            let nothing_left = self.next == self.nodes.len() && self.open == 0;
            if nothing_left || now >= began + timeout {
                self.state = State::Done;
            }
        }
    }

    fn wake(&mut self, now: Instant) {
        self.woken = true;
        for index in 0..self.next {
            if let Some(node) = self.nodes.get_mut(index) {
                node.link.with_device(now, |device| device.update(now));
            }
            self.settle(now, index);
        }
    }

    /// Goes on with deregistering, if that is what the shard does.
    fn deregister_some(&mut self, now: Instant) {
        while let State::Deregistering(deregistering) = &mut self.state {
            let index = deregistering.next;
            if now >= deregistering.until || (index == self.next && deregistering.open == 0) {
                self.state = State::Done;
                return;
            }
            if index == self.next || deregistering.open >= DEREGISTER_AT_ONCE {
                return;
            }
            deregistering.next += 1;
            deregistering.open += 1;
            if let Some(node) = self.nodes.get_mut(index) {
                node.walk = None;
                node.link.with_device(now, |device| device.deregister(now));
            }
            self.settle(now, index);
        }
    }
}
