//! Device, network, engine and state machine, on one virtual clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::reliable::Capabilities;
use coap::{Code, Message, MessageId, Type};
use device_state::{
    Command, Context, DeviceName, Envelope, MemoryTables, Namespace, NodeId, OperationOutcome,
    Outcome, Registration, Revision, ShardId, Timestamp, Transport, apply, query,
};
use lwm2m::{
    EndpointName, NotificationAttributes, Operation, Path, RegistrationId, Registry, Value,
};
use lwm2m_client::{Config, Device, Event, Output};
use lwm2m_server::{
    CommitError, CommitId, Engine, Now, OperationFailure, OperationReply, OperationTag, Origin,
    Principal,
};
use netsim::{Conditions, Network};

use crate::streams::{Arrival, Streams};

const DEVICE: u8 = 1;
const SERVER: u8 = 2;

/// The wall clock at the start, in milliseconds.
const EPOCH: u64 = 1_700_000_000_000;

pub(crate) struct System {
    pub(crate) now: Instant,
    began: Instant,
    pub(crate) device: Device,
    engine: Engine<u8>,
    tables: MemoryTables,
    revision: u64,
    commits: Commits,
    network: Network<u8>,
    pub(crate) events: Vec<Event>,
    done: Vec<(OperationTag, Result<OperationReply, OperationFailure>)>,
    next_tag: u64,
    /// By which the server knows the device.
    peer: u8,
    /// What the device sent.
    pub(crate) uplink: Vec<Vec<u8>>,
    downlink: Vec<Message>,
    /// Instead of the network.
    streams: Option<Streams>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    Succeed,
    Fail,
}

pub(crate) fn config() -> Config {
    Config::new(EndpointName::new("device-1").unwrap())
}

impl System {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let conditions = Conditions {
            delay: Duration::from_millis(20),
            ..Conditions::perfect()
        };
        Self::over(conditions, config, seed)
    }

    pub(crate) fn rough(config: Config, seed: u64) -> Self {
        Self::over(Conditions::rough(), config, seed)
    }

    pub(crate) fn registered(config: Config) -> Self {
        let mut system = Self::new(config, 1);
        system.wait_for(|event| matches!(event, Event::Registered { .. }));
        system.events.clear();
        system
    }

    fn over(conditions: Conditions, config: Config, seed: u64) -> Self {
        let now = Instant::now();
        let mut system = Self {
            now,
            began: now,
            device: Device::new(config, seed),
            engine: Engine::new(lwm2m_server::Config::new(NodeId(1), 1), [7; 32]),
            tables: MemoryTables::new(),
            revision: 0,
            commits: Commits::Succeed,
            network: Network::new(seed, conditions),
            events: Vec::new(),
            done: Vec::new(),
            next_tag: 0,
            peer: DEVICE,
            uplink: Vec::new(),
            downlink: Vec::new(),
            streams: None,
        };
        system.device.start(now);
        system.settle();
        system
    }

    /// A device that is registered over TCP, with messages of at most `max_message_size`.
    pub(crate) fn on_streams(config: Config, max_message_size: usize) -> Self {
        let mut system = Self::new(config, 1);
        system.reconnect(max_message_size);
        system.wait_for(|event| matches!(event, Event::Registered { .. }));
        system.events.clear();
        system
    }

    /// Makes a connection in place of the one before; the server is not told of its end.
    pub(crate) fn reconnect(&mut self, max_message_size: usize) {
        let number = self.streams.as_ref().map_or(DEVICE, Streams::peer);
        self.streams = Some(Streams::new(self.now, number + 1, max_message_size));
        self.settle();
    }

    fn name(&self) -> DeviceName {
        DeviceName::new(&Namespace::default(), self.device.endpoint())
    }

    /// The path is observed whenever the device registers.
    pub(crate) fn hold(&mut self, path: Path) {
        let lease_until = self.clock().wall.saturating_add(Duration::from_hours(1));
        self.apply(Command::HoldObservation {
            endpoint: self.name(),
            observed: path.into(),
            parameters: NotificationAttributes::default(),
            holder: 1,
            lease_until,
        });
    }

    /// An Update comes over a connection of which nothing was heard before; the codes of what the server sends there.
    pub(crate) fn update_over_another_connection(&mut self) -> Vec<Code> {
        let location = self.registration().expect("it is registered").id;
        let mut update = Message::new(Type::NonConfirmable, Code::POST, MessageId(0));
        for segment in ["rd", location.as_str()] {
            let segment = segment.as_bytes();
            update.options.push(coap::number::URI_PATH, segment);
        }
        let (now, peer) = (self.clock(), 99);
        assert!(self.engine.open_stream(now, peer, Capabilities::default()));
        let origin = stream_origin(peer);
        self.engine.handle_message(now, peer, &origin, update);
        self.settle();
        let streams = self.streams.as_mut().expect("it is on a stream");
        let astray = std::mem::take(&mut streams.astray);
        astray
            .iter()
            .filter(|(to, _)| *to == peer)
            .map(|(_, message)| message.code)
            .collect()
    }

    /// What is sent from now on is lost, until [`System::mend`].
    pub(crate) fn cut(&mut self) {
        self.network.set_conditions(Conditions::cut());
    }

    pub(crate) fn mend(&mut self) {
        self.network.set_conditions(Conditions::perfect());
    }

    pub(crate) fn fail_commits(&mut self) {
        self.commits = Commits::Fail;
    }

    pub(crate) fn restore_commits(&mut self) {
        self.commits = Commits::Succeed;
    }

    /// What the state tier knows of the device.
    pub(crate) fn registration(&self) -> Option<Registration> {
        query::registration(&self.tables, &self.name())
    }

    pub(crate) fn last_value(&self, path: Path) -> Option<Value> {
        query::last_value(&self.tables, &self.name(), path).map(|last| last.value)
    }

    /// The server types values by these definitions from now on.
    pub(crate) fn define(&mut self, definitions: Registry) {
        self.engine.set_definitions(Arc::new(definitions));
    }

    pub(crate) fn set(&mut self, path: Path, value: Value) {
        self.device.set_value(self.now, path, value).unwrap();
        self.settle();
    }

    /// Has the server do something with the device, and waits for the outcome.
    pub(crate) fn operate(&mut self, operation: Operation) -> OperationOutcome {
        self.attempt(operation).unwrap()
    }

    /// Has the server do something with the device that does not come to an outcome.
    pub(crate) fn refuse(&mut self, operation: Operation) -> OperationFailure {
        self.attempt(operation).unwrap_err()
    }

    /// The links that the device answers a Discover with.
    pub(crate) fn discover(&mut self, path: Path, depth: Option<u8>) -> String {
        let tag = self.begin(Operation::Discover { path, depth });
        self.end(tag).unwrap().links
    }

    fn attempt(&mut self, operation: Operation) -> Result<OperationOutcome, OperationFailure> {
        let tag = self.begin(operation);
        self.end(tag).map(|reply| reply.outcome)
    }

    /// Has the server do something with the device, and waits for nothing.
    pub(crate) fn begin(&mut self, operation: Operation) -> OperationTag {
        let registration: RegistrationId = self.registration().expect("it is registered").id;
        let tag = OperationTag(self.next_tag);
        self.next_tag += 1;
        let now = self.clock();
        self.engine
            .handle_operation(now, tag, &registration, operation);
        self.settle();
        tag
    }

    pub(crate) fn is_under_way(&self, tag: OperationTag) -> bool {
        self.done.iter().all(|(done, _)| *done != tag)
    }

    pub(crate) fn end(&mut self, tag: OperationTag) -> Result<OperationReply, OperationFailure> {
        loop {
            if let Some(index) = self.done.iter().position(|(done, _)| *done == tag) {
                return self.done.swap_remove(index).1;
            }
            let next = self.next().expect("an outcome is to come");
            self.step(next);
        }
    }

    /// What the server has sent since the last call.
    pub(crate) fn sent_by_server(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.downlink)
    }

    /// What the server has asked of the device since the last call.
    pub(crate) fn requests(&mut self) -> Vec<Message> {
        let mut sent = self.sent_by_server();
        sent.retain(|message| message.code.is_request());
        sent
    }

    /// A datagram arrives from where the device is.
    pub(crate) fn receive(&mut self, datagram: &[u8]) {
        let (now, origin) = (self.clock(), origin_of(self.peer));
        self.engine
            .handle_datagram(now, self.peer, &origin, datagram);
        self.settle();
    }

    /// The device has another address and does not know it; what is sent to the old one is lost.
    pub(crate) fn move_device(&mut self) {
        self.peer += 10;
    }

    /// The device sends an Update and waits for the answer.
    pub(crate) fn update(&mut self) {
        self.events.clear();
        self.device.update(self.now);
        self.wait_for(|event| *event == Event::Updated);
    }

    pub(crate) fn drive(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.step(next);
        }
        self.now = end;
    }

    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) {
        self.settle();
        while !self.events.iter().any(&wanted) {
            let next = self.next().expect("something is to come");
            self.step(next);
        }
    }

    fn clock(&self) -> Now {
        let elapsed = (self.now - self.began).as_millis() as u64;
        Now {
            instant: self.now,
            wall: Timestamp(EPOCH + elapsed),
        }
    }

    fn next(&self) -> Option<Instant> {
        let timeouts = [
            self.network.next_event(),
            self.device.poll_timeout(),
            self.engine.poll_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        while let Some(delivery) = self.network.poll(self.now) {
            if delivery.to == DEVICE {
                self.device.handle_datagram(self.now, &delivery.datagram);
            } else {
                self.receive(&delivery.datagram);
            }
            self.settle();
        }
        self.device.handle_timeout(self.now);
        let now = self.clock();
        self.engine.handle_timeout(now);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            self.settle_engines();
            let Some(arrival) = self
                .streams
                .as_mut()
                .and_then(|streams| streams.poll(self.now))
            else {
                return;
            };
            let now = self.clock();
            match arrival {
                Arrival::ServerReady(peer, capabilities) => {
                    assert!(self.engine.open_stream(now, peer, capabilities));
                }
                Arrival::AtServer(peer, message) => {
                    let origin = stream_origin(peer);
                    self.engine.handle_message(now, peer, &origin, message);
                }
                Arrival::DeviceReady(capabilities) => {
                    self.device.start_on_stream(self.now, capabilities);
                }
                Arrival::AtDevice(message) => self.device.handle_message(self.now, message),
            }
        }
    }

    fn settle_engines(&mut self) {
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(datagram) => {
                    self.uplink.push(datagram.clone());
                    self.network.send(self.now, DEVICE, SERVER, datagram);
                }
                Output::Send(message) => {
                    let streams = self.streams.as_mut().expect("it is on a stream");
                    streams.send_to_server(&message);
                }
                Output::Pull(pull) => panic!("nowhere to get {pull:?}"),
                Output::Event(event) => {
                    if event == Event::Booted {
                        self.device.start(self.now);
                    }
                    self.events.push(event);
                }
            }
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                lwm2m_server::Output::Transmit { peer, datagram } => {
                    if peer == self.peer {
                        self.downlink.push(coap::decode(&datagram).unwrap());
                        self.network.send(self.now, SERVER, DEVICE, datagram);
                    }
                }
                lwm2m_server::Output::Send { peer, message } => {
                    let streams = self.streams.as_mut().expect("it is on a stream");
                    streams.send_to_device(peer, message);
                }
                lwm2m_server::Output::Commit { id, command, .. } => {
                    self.commit(id, command);
                }
                lwm2m_server::Output::Package { digest, .. } => panic!("who wants {digest}?"),
                lwm2m_server::Output::Address { tag, .. } => panic!("no package in {tag:?}"),
                lwm2m_server::Output::OperationDone { tag, result } => {
                    self.done.push((tag, result));
                }
                lwm2m_server::Output::LookUp {
                    registration,
                    peer,
                    observations,
                    ..
                } => {
                    let known = query::registration_by_id(&self.tables, &registration);
                    let now = self.clock();
                    if let Some(known) = known {
                        self.engine.take_on(now, peer, &known, &observations);
                    }
                }
                lwm2m_server::Output::Awake { .. } | lwm2m_server::Output::Refused { .. } => {}
            }
        }
    }

    fn commit(&mut self, id: CommitId, command: Command) {
        let now = self.clock();
        if self.commits == Commits::Fail {
            let failed = Err(CommitError::Unavailable);
            return self.engine.handle_committed(now, id, failed);
        }
        let outcome = self.apply(command);
        self.engine.handle_committed(now, id, Ok(outcome));
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.revision += 1;
        let context = Context {
            shard: ShardId(0),
            revision: Revision(self.revision),
            first_index: 0,
        };
        let envelope = Envelope {
            request_id: None,
            leader_time: self.clock().wall,
            command,
        };
        apply(&mut self.tables, &context, &envelope).outcome
    }
}

fn origin_of(peer: u8) -> Origin {
    Origin {
        address: ([192, 0, 2, peer], 40_000).into(),
        ..origin()
    }
}

fn stream_origin(peer: u8) -> Origin {
    Origin {
        address: ([192, 0, 2, 1], 40_000 + u16::from(peer)).into(),
        transport: Transport::Tcp,
        ..origin()
    }
}

fn origin() -> Origin {
    Origin {
        address: ([192, 0, 2, 1], 40_000).into(),
        transport: Transport::Udp,
        principal: Arc::new(Principal::anyone()),
        session: None,
    }
}
