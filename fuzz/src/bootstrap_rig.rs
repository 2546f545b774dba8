//! A bootstrap engine with devices of a script around it.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use coap::reliable::Capabilities;
use coap::{Code, Message, MessageId, Token, Type};
use device_state::Timestamp;
use lwm2m_server::Now;
use lwm2m_server::bootstrap::{
    BootstrapConfig, BootstrapEngine, BootstrapId, BootstrapOutput, BootstrapPlan, PrepareError,
};

use crate::dtls_rig::start;
use crate::engine_rig::{PEERS, on_stream, origin, small_coap};
use crate::script::secret;

const MAX_BOOTSTRAPS: usize = 2;
/// Outputs of one input: an end of one bootstrap, a beginning of another, and what is sent for both.
const MAX_OUTPUTS: usize = 24;
const MAX_ASKED: usize = 16;
const TIMEOUT: Duration = Duration::from_secs(247);

fn config() -> BootstrapConfig {
    BootstrapConfig {
        coap: small_coap(),
        max_bootstraps: MAX_BOOTSTRAPS,
        timeout: TIMEOUT,
        ..BootstrapConfig::default()
    }
}

/// How far the answer to a device's request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    No,
    /// In a message that is to be acknowledged.
    Sent(MessageId),
    Yes,
}

/// A bootstrap that has begun, and the key that only its device may get.
struct Begun {
    id: BootstrapId,
    peer: u8,
    token: Token,
    key: [u8; 16],
    accepted: Accepted,
}

pub(crate) struct BootstrapRig {
    pub(crate) now: Instant,
    pub(crate) engine: BootstrapEngine<u8>,
    /// Bootstraps for which a plan is asked.
    pub(crate) preparing: VecDeque<BootstrapId>,
    begun: Vec<Begun>,
    running: BTreeSet<BootstrapId>,
    pub(crate) asked: VecDeque<(u8, Message)>,
    pub(crate) last_ids: [MessageId; PEERS as usize],
    gone: [bool; PEERS as usize],
    /// Whose message with which token is being handled.
    handled: Option<(u8, Token)>,
}

impl BootstrapRig {
    pub(crate) fn new() -> Self {
        let mut rig = Self {
            now: start(),
            engine: BootstrapEngine::new(config(), [7; 32]),
            preparing: VecDeque::new(),
            begun: Vec::new(),
            running: BTreeSet::new(),
            asked: VecDeque::new(),
            last_ids: [MessageId(0); PEERS as usize],
            gone: [true; PEERS as usize],
            handled: None,
        };
        rig.open(2);
        rig.open(3);
        rig
    }

    fn clock(&self) -> Now {
        Now {
            instant: self.now,
            wall: Timestamp(1),
        }
    }

    pub(crate) fn open(&mut self, peer: u8) {
        if on_stream(peer) {
            let capabilities = Capabilities::default();
            let opened = self.engine.open_stream(self.clock(), peer, capabilities);
            self.gone[usize::from(peer)] &= !opened;
        }
        self.settle();
    }

    /// A message of a device arrives, by the transport that the device has.
    pub(crate) fn hear(&mut self, peer: u8, mut message: Message) {
        if !on_stream(peer) {
            return self.hear_bytes(peer, &message.to_datagram());
        }
        if !self.gone[usize::from(peer)] {
            // As a frame is read: it has no type.
            message.kind = Type::NonConfirmable;
            self.handled = Some((peer, message.token));
            let (now, origin) = (self.clock(), origin(peer));
            self.engine.handle_message(now, peer, &origin, message);
            self.settle();
        }
    }

    pub(crate) fn hear_bytes(&mut self, peer: u8, bytes: &[u8]) {
        if on_stream(peer) {
            if let Ok(Some((message, _))) = coap::reliable::decode(bytes, 2048) {
                self.hear(peer, message);
            }
            return;
        }
        if let Ok(message) = coap::decode(bytes) {
            self.handled = Some((peer, message.token));
            self.acknowledged(peer, &message);
        }
        self.gone[usize::from(peer)] = false;
        let (now, origin) = (self.clock(), origin(peer));
        self.engine.handle_datagram(now, peer, &origin, bytes);
        self.settle();
    }

    fn acknowledged(&mut self, peer: u8, message: &Message) {
        let sent = Accepted::Sent(message.id);
        if message.kind == Type::Acknowledgement {
            for begun in &mut self.begun {
                if begun.peer == peer && begun.accepted == sent {
                    begun.accepted = Accepted::Yes;
                }
            }
        }
    }

    /// The plan of the bootstrap that waits for the longest time arrives; it is made of the key of its device.
    pub(crate) fn prepare(
        &mut self,
        plan: impl FnOnce(&[u8; 16]) -> Result<BootstrapPlan, PrepareError>,
    ) {
        let Some(id) = self.preparing.pop_front() else {
            return;
        };
        let key = self.begun.iter().find(|begun| begun.id == id);
        let plan = plan(&key.expect("it has begun").key);
        self.engine.handle_prepared(self.clock(), id, plan);
        self.settle();
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
            self.take(output);
        }
        self.handled = None;
        assert!(count <= MAX_OUTPUTS, "{count} outputs");
        assert!(self.running.len() <= MAX_BOOTSTRAPS);
        assert_eq!(self.running.len(), self.engine.bootstrap_count());
    }

    fn take(&mut self, output: BootstrapOutput<u8>) {
        match output {
            BootstrapOutput::Transmit { peer, datagram } => {
                assert!(!on_stream(peer), "a datagram on a stream");
                let message = coap::decode(&datagram).expect("a message of its own");
                self.sent(peer, message);
            }
            BootstrapOutput::Send { peer, message } => {
                assert!(on_stream(peer), "there is no stream");
                self.sent(peer, message);
            }
            BootstrapOutput::Prepare { id, .. } => self.begin(id),
            BootstrapOutput::Discovered { id, .. }
            | BootstrapOutput::Reported { id, .. }
            | BootstrapOutput::Inconsistent { id, .. } => assert!(self.running.contains(&id)),
            BootstrapOutput::Ended { id, .. } => {
                assert!(self.running.remove(&id), "ended twice");
            }
        }
    }

    fn begin(&mut self, id: BootstrapId) {
        assert!(self.running.insert(id), "begun twice");
        let (peer, token) = self.handled.expect("a device asked for it");
        let number = self.begun.len() as u64;
        let mut key = [0; 16];
        key.copy_from_slice(&secret(&number.to_be_bytes())[..16]);
        self.begun.push(Begun {
            id,
            peer,
            token,
            key,
            accepted: Accepted::No,
        });
        self.preparing.push_back(id);
    }

    /// A key leaves only for the device that it is for, and not before that was told that it gets one.
    fn sent(&mut self, peer: u8, message: Message) {
        assert!(!self.gone[usize::from(peer)], "nobody is there");
        self.last_ids[usize::from(peer)] = message.id;
        for begun in &mut self.begun {
            let answers = begun.peer == peer && begun.token == message.token;
            // An earlier answer that is sent again may have the same token; it is not the last word.
            if answers && begun.accepted != Accepted::Yes && message.code.is_success() {
                begun.accepted = match message.kind {
                    // A pack is the answer itself.
                    Type::Confirmable if message.code == Code::CHANGED_2_04 && !on_stream(peer) => {
                        Accepted::Sent(message.id)
                    }
                    _ => Accepted::Yes,
                };
            }
            let mut windows = message.payload.windows(8);
            if windows.any(|window| window == &begun.key[..8] || window == &begun.key[8..]) {
                assert_eq!(begun.peer, peer, "a key for another device");
                assert_eq!(begun.accepted, Accepted::Yes, "a key before the answer");
            }
        }
        let sent = (peer, message);
        if sent.1.code.is_request() && !self.asked.contains(&sent) {
            if self.asked.len() >= MAX_ASKED {
                self.asked.pop_front();
            }
            self.asked.push_back(sent);
        }
    }

    /// Nobody says anything any more: every bootstrap ends.
    pub(crate) fn conclude(mut self) {
        let until = self.now + TIMEOUT;
        while !self.running.is_empty() {
            let due = self.engine.poll_timeout().expect("something is waited for");
            assert!(due <= until, "{:?} do not end", self.running);
            self.pass(due);
        }
        for peer in 0..PEERS {
            self.forget(peer);
        }
        for _ in 0..10_000 {
            let Some(due) = self.engine.poll_timeout() else {
                return;
            };
            self.pass(due);
        }
        panic!("there is always something to do");
    }
}
