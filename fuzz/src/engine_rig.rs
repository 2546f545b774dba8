//! A server engine with devices of a script around it and the state tier behind it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coap::reliable::Capabilities;
use coap::{BlockSize, Message, MessageId, Type, number};
use device_state::{
    Command, Context, Envelope, MemoryTables, NodeId, Observation, Outcome, Registration,
    Rejection, Revision, SecurityIdentity, ShardId, Timestamp, Transport, apply, query,
};
use lwm2m::{EndpointName, Operation, RegistrationId};
use lwm2m_server::{CommitError, CommitId, Config, Engine, Now, OperationTag, Origin, Output};
use lwm2m_server::{OperationFailure, Principal};

use crate::dtls_rig::start;

/// Peers 0 and 1 send datagrams, 2 and 3 have streams; 1 and 3 have proved who they are.
pub(crate) const PEERS: u8 = 4;
pub(crate) const MAX_PENDING: usize = 4;

/// Outputs of one input. There may be as many early operations as the engine keeps, and for each device as many
/// observations to end or to establish.
const MAX_OUTPUTS: usize = 128;
/// Messages that are remembered to be answered.
const MAX_ASKED: usize = 32;
/// Longer than the engine holds on to an operation whose device says nothing.
const PATIENCE: Duration = Duration::from_mins(15);
/// The wall clock at the start, in milliseconds.
const EPOCH: u64 = 1_700_000_000_000;

/// Endpoint names that devices register under.
pub(crate) const NAMES: [&str; 4] = ["lamp", "lock", "meter", "pump"];

/// Bounds of a CoAP endpoint that are met soon.
pub(crate) fn small_coap() -> coap::Config {
    coap::Config {
        max_body: 4096,
        block_size: BlockSize::B64,
        max_peers: 6,
        max_exchanges: 12,
        max_exchanges_per_peer: 6,
        max_requests: 12,
        max_requests_per_peer: 4,
        max_remembered: 32,
        max_remembered_bytes: 8192,
        max_body_bytes: 16_384,
        max_transfers_per_peer: 2,
        max_observations_per_peer: 4,
        ..coap::Config::default()
    }
}

fn config() -> Config {
    Config {
        coap: small_coap(),
        max_pending_commits: MAX_PENDING,
        max_devices: 3,
        ..Config::new(NodeId(1), 1)
    }
}

pub(crate) fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

pub(crate) fn on_stream(peer: u8) -> bool {
    peer >= 2
}

/// What the transport knows of a peer.
pub(crate) fn origin(peer: u8) -> Origin {
    let transports = [
        Transport::Udp,
        Transport::Dtls,
        Transport::Tcp,
        Transport::Tls,
    ];
    let principal = if peer & 1 == 0 {
        Principal::anyone()
    } else {
        Principal {
            identity: SecurityIdentity::CertificateNames(vec!["names".to_owned()]),
            endpoints: vec![name(NAMES[0]), name(NAMES[1])],
        }
    };
    Origin {
        address: ([192, 0, 2, peer], 5683).into(),
        transport: transports[usize::from(peer)],
        principal: Arc::new(principal),
        session: None,
    }
}

/// A registration that the engine asks for, where its device talks from, and what to observe on it.
type Wanted = (RegistrationId, u8, Vec<Observation>);

pub(crate) struct EngineRig {
    pub(crate) now: Instant,
    began: Instant,
    pub(crate) engine: Engine<u8>,
    tables: MemoryTables,
    revision: u64,
    pub(crate) commits: VecDeque<(CommitId, Command)>,
    newest_commit: Option<CommitId>,
    pub(crate) looked_up: VecDeque<Wanted>,
    /// Requests that the engine sent, by whom they reached.
    pub(crate) asked: VecDeque<(u8, Message)>,
    /// The id of the last message that the engine sent to each peer.
    pub(crate) last_ids: [MessageId; PEERS as usize],
    /// Registrations that were ever proposed.
    pub(crate) registrations: Vec<RegistrationId>,
    pub(crate) running: BTreeSet<OperationTag>,
    next_tag: u64,
    /// The peers whose session has ended, or that have none yet.
    gone: [bool; PEERS as usize],
}

impl EngineRig {
    pub(crate) fn new() -> Self {
        let mut rig = Self {
            now: start(),
            began: start(),
            engine: Engine::new(config(), [7; 32]),
            tables: MemoryTables::new(),
            revision: 0,
            commits: VecDeque::new(),
            newest_commit: None,
            looked_up: VecDeque::new(),
            asked: VecDeque::new(),
            last_ids: [MessageId(0); PEERS as usize],
            registrations: Vec::new(),
            running: BTreeSet::new(),
            next_tag: 0,
            gone: [true; PEERS as usize],
        };
        rig.open(2, Capabilities::default());
        rig.open(3, Capabilities::default());
        rig
    }

    pub(crate) fn clock(&self) -> Now {
        let elapsed = (self.now - self.began).as_millis() as u64;
        Now {
            instant: self.now,
            wall: Timestamp(EPOCH + elapsed),
        }
    }

    pub(crate) fn open(&mut self, peer: u8, capabilities: Capabilities) {
        if on_stream(peer) {
            let opened = self.engine.open_stream(self.clock(), peer, capabilities);
            self.gone[usize::from(peer)] &= !opened;
        }
        self.settle();
    }

    /// A message of a device arrives, by the transport that the device has.
    pub(crate) fn hear(&mut self, peer: u8, mut message: Message) {
        let (now, origin) = (self.clock(), origin(peer));
        // As a frame is read: it has no type.
        message.kind = if on_stream(peer) {
            Type::NonConfirmable
        } else {
            message.kind
        };
        if on_stream(peer) {
            if !self.gone[usize::from(peer)] {
                self.engine.handle_message(now, peer, &origin, message);
            }
        } else {
            return self.hear_bytes(peer, &message.to_datagram());
        }
        self.settle();
    }

    pub(crate) fn hear_bytes(&mut self, peer: u8, bytes: &[u8]) {
        if on_stream(peer) {
            if let Ok(Some((message, _))) = coap::reliable::decode(bytes, 2048) {
                self.hear(peer, message);
            }
        } else {
            let (now, origin) = (self.clock(), origin(peer));
            self.gone[usize::from(peer)] = false;
            self.engine.handle_datagram(now, peer, &origin, bytes);
            self.settle();
        }
    }

    pub(crate) fn operate(&mut self, registration: &RegistrationId, operation: Operation) {
        let tag = OperationTag(self.next_tag);
        self.next_tag += 1;
        self.running.insert(tag);
        let now = self.clock();
        self.engine
            .handle_operation(now, tag, registration, operation);
        self.settle();
    }

    pub(crate) fn cancel(&mut self, tag: OperationTag) {
        self.running.remove(&tag);
        self.engine.cancel_operation(self.clock(), tag);
        self.settle();
    }

    /// Ends a commit: what the state tier did, and what is told of it.
    pub(crate) fn end_commit(&mut self, at: usize, how: u8) {
        let Some((id, command)) = self.commits.remove(at) else {
            return;
        };
        let result = match how % 8 {
            0..=3 => Ok(self.apply(command)),
            4 => {
                self.apply(command);
                Err(CommitError::Unavailable)
            }
            5 => Err(CommitError::Overloaded),
            6 => Ok(Outcome::Rejected(Rejection::UnknownRegistration)),
            _ => Ok(Outcome::Done),
        };
        self.engine.handle_committed(self.clock(), id, result);
        self.settle();
    }

    /// What the engine asked for with a look-up arrives.
    pub(crate) fn take_on(&mut self) {
        if let Some((id, peer, observations)) = self.looked_up.pop_front()
            && !self.gone[usize::from(peer)]
            && let Some(registration) = self.registration(&id)
        {
            let now = self.clock();
            self.engine.take_on(now, peer, &registration, &observations);
            self.settle();
        }
    }

    fn registration(&self, id: &RegistrationId) -> Option<Registration> {
        query::registration_by_id(&self.tables, id)
    }

    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
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

    pub(crate) fn forget(&mut self, peer: u8) {
        self.gone[usize::from(peer)] = true;
        self.engine.forget_peer(self.clock(), peer);
        self.settle();
    }

    pub(crate) fn pass(&mut self, until: Instant) {
        self.now = self.now.max(until);
        // What is given up at one call may let something else move on at the next.
        for _ in 0..8 {
            self.engine.handle_timeout(self.clock());
            self.settle();
            let due = self.engine.poll_timeout();
            if due.is_none_or(|due| due > self.now) {
                return;
            }
        }
        panic!("due again and again");
    }

    fn settle(&mut self) {
        let mut count = 0;
        while let Some(output) = self.engine.poll_output() {
            count += 1;
            match output {
                Output::Transmit { peer, datagram } => {
                    let message = coap::decode(&datagram).expect("a message of its own");
                    let gone = self.gone[usize::from(peer)];
                    assert!(gone || !on_stream(peer), "a datagram on a stream");
                    self.sent(peer, message);
                }
                Output::Send { peer, message } => {
                    assert!(on_stream(peer), "there is no stream");
                    self.sent(peer, message);
                }
                Output::Commit { id, command, .. } => {
                    assert!(self.newest_commit < Some(id), "asked for twice");
                    self.newest_commit = Some(id);
                    if let Command::Register { registration } = &command {
                        self.registrations.push(registration.id.clone());
                    }
                    self.commits.push_back((id, command));
                }
                Output::LookUp {
                    registration,
                    peer,
                    observations,
                    ..
                } => self.looked_up.push_back((registration, peer, observations)),
                Output::Address { tag, peer } => {
                    let base = format!("coap://192.0.2.1:{peer}");
                    self.engine.take_address(self.clock(), tag, Ok(base));
                }
                Output::Package { request, digest } => {
                    let package = Bytes::from_static(&[0x5a; 3_000]);
                    let found = (digest.0[0] & 1 == 0).then_some(&package);
                    self.engine
                        .take_package(self.clock(), request, &digest, Ok(found));
                    // Once more, which changes nothing.
                    self.engine
                        .take_package(self.clock(), request, &digest, Ok(found));
                }
                Output::OperationDone { tag, result } => self.done(tag, result.err()),
                Output::Awake { .. } | Output::Refused { .. } => {}
            }
        }
        assert!(count <= MAX_OUTPUTS, "{count} outputs");
        assert!(self.commits.len() <= MAX_PENDING, "too many commits");
        assert!(self.engine.device_count() <= NAMES.len());
    }

    fn sent(&mut self, peer: u8, message: Message) {
        self.last_ids[usize::from(peer)] = message.id;
        let sent = (peer, message);
        if sent.1.code.is_request() && !self.asked.contains(&sent) {
            if self.asked.len() >= MAX_ASKED {
                self.asked.pop_front();
            }
            self.asked.push_back(sent);
        }
    }

    fn done(&mut self, tag: OperationTag, failure: Option<OperationFailure>) {
        assert!(self.running.remove(&tag), "ended twice");
        if let Some(OperationFailure::Busy { retry_after }) = failure {
            assert!(retry_after > Duration::ZERO);
        }
    }

    /// Commits end and nobody else says anything: so does every operation, once. Without devices, nothing is left.
    pub(crate) fn conclude(mut self) {
        let until = self.now + PATIENCE;
        while !self.commits.is_empty() {
            self.end_commit(0, 0);
        }
        while !self.running.is_empty() {
            let due = self.engine.poll_timeout().expect("something is waited for");
            assert!(due <= until, "{:?} do not end", self.running);
            self.pass(due);
            while !self.commits.is_empty() {
                self.end_commit(0, 0);
            }
        }
        for peer in 0..PEERS {
            self.forget(peer);
        }
        for _ in 0..10_000 {
            let Some(due) = self.engine.poll_timeout() else {
                assert_eq!(self.engine.device_count(), 0);
                return;
            };
            self.pass(due);
        }
        panic!("there is always something to do");
    }
}

/// Whether a request is one that observes.
pub(crate) fn observes(request: &Message) -> bool {
    let observe = request.options.first(number::OBSERVE);
    observe.is_some_and(<[u8]>::is_empty)
}
