//! One device and its transport: the engines together, still without a socket.
//!
//! 1. `start`: the DTLS handshake or the connection if there is one, then the device registers.
//! 2. Messages go through OSCORE if there is a context, and through the session or connection, in both directions.
//! 3. A session or connection that ended, one that was not made and a server that does not answer lead to a new one,
//!    after a wait that doubles. With it, everything that was under way is forgotten.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use coap::reliable::{self, Capabilities, Connection};
use dtls::{Client, ClientConfig, ClientOutput, CloseReason, HandshakeFailure};
use lwm2m_client::{Device, Event, Output, Pull, PullId, RegistrationFailure};
use oscore::Carried;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::download::Got;
use crate::plan::{DevicePlan, TransportPlan};

const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What a link wants of its caller.
#[derive(Debug)]
pub(crate) enum LinkOutput {
    /// Send a datagram, or write to the connection.
    Transmit(Vec<u8>),
    /// Make a connection, then [`Link::handle_connected`] or [`Link::handle_end`].
    Connect,
    /// Close the connection.
    Disconnect,
    /// Get a firmware package, then [`Link::handle_package`].
    Pull(Pull),
    Device(Event),
    Connected,
    HandshakeFailed(HandshakeFailure),
    SessionEnded(CloseReason),
    ConnectionFailed,
    ConnectionEnded(reliable::CloseReason),
}

pub(crate) struct Link {
    device: Device,
    protection: Option<oscore::Client>,
    transport: Transport,
    retry: Retry,
    outputs: VecDeque<LinkOutput>,
    rng: ChaCha8Rng,
}

enum Transport {
    Udp,
    Dtls(Box<Client>),
    Stream(Stream),
}

/// How far a connection is.
enum Stream {
    Absent,
    Connecting,
    /// The server has not said what it takes.
    Opening(Box<Connection>),
    Open(Box<Connection>),
}

impl Stream {
    fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Absent | Self::Connecting => None,
            Self::Opening(connection) | Self::Open(connection) => Some(connection),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Absent | Self::Connecting => None,
            Self::Opening(connection) | Self::Open(connection) => connection.poll_timeout(),
        }
    }
}

/// When to make the next session or connection.
#[derive(Default)]
struct Retry {
    failures: u32,
    at: Option<Instant>,
}

impl Link {
    pub(crate) fn new(plan: DevicePlan) -> Self {
        let mut rng = ChaCha8Rng::from_seed(plan.seed);
        let device = Device::new(plan.config, rng.next_u64());
        let transport = match plan.transport {
            TransportPlan::Udp => Transport::Udp,
            TransportPlan::Dtls(config) => {
                Transport::Dtls(Box::new(Client::new(*config, rng.random())))
            }
            TransportPlan::Stream => Transport::Stream(Stream::Absent),
        };
        Self {
            device,
            protection: plan.protection,
            transport,
            retry: Retry::default(),
            outputs: VecDeque::new(),
            rng,
        }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// How the device secures a session, if it does by DTLS.
    pub(crate) fn security(&self) -> Option<ClientConfig> {
        match &self.transport {
            Transport::Dtls(client) => Some(client.config().clone()),
            Transport::Udp | Transport::Stream(_) => None,
        }
    }

    pub(crate) fn start(&mut self, now: Instant) {
        self.connect(now);
        self.drain(now);
    }

    /// Does something with the device.
    pub(crate) fn with_device(&mut self, now: Instant, act: impl FnOnce(&mut Device)) {
        act(&mut self.device);
        self.drain(now);
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) {
        match &mut self.transport {
            Transport::Udp => self.arrived(now, Carried::Datagram(datagram.to_vec())),
            Transport::Dtls(client) => client.handle_datagram(now, datagram),
            Transport::Stream(_) => {}
        }
        self.drain(now);
    }

    /// The connection is made, and secured if it is to be.
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        if let Transport::Stream(stream @ Stream::Connecting) = &mut self.transport {
            let connection = Connection::new(now, reliable::Config::default());
            *stream = Stream::Opening(Box::new(connection));
        }
        self.drain(now);
    }

    /// Bytes of the connection.
    pub(crate) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if let Transport::Stream(stream) = &mut self.transport
            && let Some(connection) = stream.connection()
        {
            connection.handle_bytes(now, bytes);
        }
        self.drain(now);
    }

    /// The connection ended, or was not made.
    pub(crate) fn handle_end(&mut self, now: Instant) {
        if let Transport::Stream(stream) = &mut self.transport {
            if let Some(connection) = stream.connection() {
                connection.handle_end();
            } else if matches!(stream, Stream::Connecting) {
                *stream = Stream::Absent;
                self.outputs.push_back(LinkOutput::ConnectionFailed);
                self.retry_later(now, Duration::ZERO);
            }
        }
        self.drain(now);
    }

    /// What became of a pull.
    pub(crate) fn handle_package(&mut self, now: Instant, pull: PullId, package: &Got) {
        let package = package.as_deref().map_err(|failure| *failure);
        self.with_device(now, |device| device.handle_package(now, pull, package));
    }

    pub(crate) fn poll_output(&mut self) -> Option<LinkOutput> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let transport = match &self.transport {
            Transport::Udp => None,
            Transport::Dtls(client) => client.poll_timeout(),
            Transport::Stream(stream) => stream.poll_timeout(),
        };
        [self.device.poll_timeout(), transport, self.retry.at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.transport {
            Transport::Udp => {}
            Transport::Dtls(client) => client.handle_timeout(now),
            Transport::Stream(stream) => {
                if let Some(connection) = stream.connection() {
                    connection.handle_timeout(now);
                }
            }
        }
        if self.retry.at.is_some_and(|at| at <= now) {
            self.connect(now);
        }
        if self.device.poll_timeout().is_some_and(|at| at <= now) {
            self.device.handle_timeout(now);
        }
        self.drain(now);
    }

    fn connect(&mut self, now: Instant) {
        self.retry.at = None;
        match &mut self.transport {
            Transport::Udp => self.begin(now, None),
            Transport::Dtls(client) => client.start(now),
            Transport::Stream(stream) => {
                *stream = Stream::Connecting;
                self.outputs.push_back(LinkOutput::Connect);
            }
        }
    }

    /// Nothing more of the present session or connection.
    fn disconnect(&mut self) {
        match &mut self.transport {
            Transport::Udp => {}
            Transport::Dtls(client) => client.close(),
            Transport::Stream(stream) => {
                *stream = Stream::Absent;
                self.outputs.push_back(LinkOutput::Disconnect);
            }
        }
    }

    /// The transport is up; what it takes if it is a stream.
    fn begin(&mut self, now: Instant, stream: Option<Capabilities>) {
        let overhead = self.protection.as_mut().map_or(0, |protection| {
            protection.forget_exchanges();
            protection.overhead()
        });
        match stream {
            None => self.device.start(now),
            Some(taken) => {
                let max_message_size = taken.max_message_size.saturating_sub(overhead);
                self.device.start_on_stream(
                    now,
                    Capabilities {
                        max_message_size,
                        ..taken
                    },
                );
            }
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.device.poll_output() {
                self.device_output(now, output);
            } else if let Some(output) = self
                .protection
                .as_mut()
                .and_then(oscore::Client::poll_output)
            {
                match output {
                    oscore::ClientOutput::Transmit(message) => self.transmit(message),
                    oscore::ClientOutput::Inner(message) => self.deliver(now, message),
                }
            } else if !self.drain_transport(now) {
                return;
            }
        }
    }

    /// Whether there was something.
    fn drain_transport(&mut self, now: Instant) -> bool {
        match &mut self.transport {
            Transport::Udp => false,
            Transport::Dtls(client) => {
                let output = client.poll_output();
                let some = output.is_some();
                if let Some(output) = output {
                    self.dtls_output(now, output);
                }
                some
            }
            Transport::Stream(stream) => {
                let Some(connection) = stream.connection() else {
                    return false;
                };
                let output = connection.poll_output();
                // What was queued before the end is written before it.
                let bytes = connection.poll_transmit();
                let some = output.is_some() || bytes.is_some();
                self.outputs.extend(bytes.map(LinkOutput::Transmit));
                if let Some(output) = output {
                    self.connection_output(now, output);
                }
                some
            }
        }
    }

    fn device_output(&mut self, now: Instant, output: Output) {
        match (output, &mut self.protection) {
            // Without a transport, or without room for one more request, it is as good as lost: the device finds out.
            (Output::Transmit(datagram), Some(protection)) => {
                let _ = protection.send(now, &datagram);
            }
            (Output::Send(message), Some(protection)) => {
                let _ = protection.send_message(now, &message);
            }
            (Output::Transmit(datagram), None) => self.transmit(Carried::Datagram(datagram)),
            (Output::Send(message), None) => self.transmit(Carried::Message(message)),
            (Output::Event(event), _) => self.device_event(now, event),
            (Output::Pull(pull), _) => self.outputs.push_back(LinkOutput::Pull(pull)),
        }
    }

    fn device_event(&mut self, now: Instant, event: Event) {
        match &event {
            Event::Booted => self.connect(now),
            Event::RebootStarted => self.disconnect(),
            Event::RegistrationFailed { reason, .. } | Event::UpdateFailed { reason, .. }
                if *reason == RegistrationFailure::NoAnswer && self.retry.at.is_none() =>
            {
                // The server may have lost the session or the connection, and then never tells.
                match &mut self.transport {
                    Transport::Udp => {}
                    Transport::Dtls(client) => client.start(now),
                    Transport::Stream(_) => {
                        self.disconnect();
                        self.connect(now);
                    }
                }
            }
            _ => {}
        }
        self.outputs.push_back(LinkOutput::Device(event));
    }

    /// A message of the server, protected or not.
    fn arrived(&mut self, now: Instant, message: Carried) {
        match &mut self.protection {
            Some(protection) => protection.handle(now, &message),
            None => self.deliver(now, message),
        }
    }

    fn deliver(&mut self, now: Instant, message: Carried) {
        match message {
            Carried::Datagram(datagram) => self.device.handle_datagram(now, &datagram),
            Carried::Message(message) => self.device.handle_message(now, message),
        }
    }

    fn transmit(&mut self, message: Carried) {
        match (&mut self.transport, message) {
            (Transport::Udp, Carried::Datagram(datagram)) => {
                self.outputs.push_back(LinkOutput::Transmit(datagram));
            }
            // What cannot be sent now is as good as lost; the device starts over with the next session or connection.
            (Transport::Dtls(client), Carried::Datagram(datagram)) => {
                let _ = client.send(&datagram);
            }
            (Transport::Stream(Stream::Open(connection)), Carried::Message(message)) => {
                let _ = connection.send(&message);
            }
            _ => {}
        }
    }

    fn dtls_output(&mut self, now: Instant, output: ClientOutput) {
        match output {
            ClientOutput::Transmit(datagram) => {
                self.outputs.push_back(LinkOutput::Transmit(datagram));
            }
            ClientOutput::Connected { .. } => self.connected(now, None),
            ClientOutput::Plaintext(message) => self.arrived(now, Carried::Datagram(message)),
            ClientOutput::Closed(CloseReason::Local) => {}
            ClientOutput::Closed(reason) => {
                self.retry_later(now, Duration::ZERO);
                self.outputs.push_back(LinkOutput::SessionEnded(reason));
            }
            ClientOutput::Failed(reason) => {
                self.retry_later(now, Duration::ZERO);
                self.outputs.push_back(LinkOutput::HandshakeFailed(reason));
            }
        }
    }

    fn connection_output(&mut self, now: Instant, output: reliable::Output) {
        let Transport::Stream(stream) = &mut self.transport else {
            return;
        };
        match output {
            reliable::Output::Ready(taken) => {
                match std::mem::replace(stream, Stream::Absent) {
                    Stream::Opening(connection) => {
                        *stream = Stream::Open(connection);
                        self.connected(now, Some(taken));
                    }
                    // What else it takes now makes no difference to a device.
                    other => *stream = other,
                }
            }
            reliable::Output::Message(message) => self.arrived(now, Carried::Message(message)),
            reliable::Output::Closed(reason) => {
                self.disconnect();
                let hold_off = match &reason {
                    reliable::CloseReason::Released { hold_off } => hold_off.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                self.retry_later(now, hold_off);
                self.outputs.push_back(LinkOutput::ConnectionEnded(reason));
            }
        }
    }

    fn connected(&mut self, now: Instant, stream: Option<Capabilities>) {
        self.retry.failures = 0;
        self.begin(now, stream);
        self.outputs.push_back(LinkOutput::Connected);
    }

    fn retry_later(&mut self, now: Instant, shortest: Duration) {
        let doubled = SHORTEST_RETRY.saturating_mul(1 << self.retry.failures.min(6));
        let wait = doubled
            .min(LONGEST_RETRY)
            .mul_f64(self.rng.random_range(0.5..1.5));
        self.retry.failures = self.retry.failures.saturating_add(1);
        self.retry.at = Some(now + wait.max(shortest));
    }
}
