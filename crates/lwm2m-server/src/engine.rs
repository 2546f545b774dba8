//! The engine: the one place that knows CoAP, devices, commits and operations.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use coap::reliable::Capabilities;
use coap::{Event, ExchangeId, PeerKey, Response};
use device_state::{Command, Observation, Outcome, Registration, ShardId};
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use lwm2m::{QueueMode, RegistrationId, Registry};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::admission::Admission;
use crate::config::Config;
use crate::contact::Again;
use crate::device::{Device, Devices};
use crate::downlink::{Downlink, Waiting};
use crate::observation::Kept;
use crate::output::{
    CommitError, CommitId, Now, OperationFailure, OperationTag, Origin, Output, PackageRequest,
};
use crate::response::{overloaded, rejected};
use crate::uplink::Awaiting;

/// What happened that led to no output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Uplinks refused with 4.xx.
    pub refused: u64,
    /// Uplinks answered 5.03.
    pub overloaded: u64,
    /// Notifications of unknown devices or with a payload that cannot be decoded.
    pub dropped_notifications: u64,
    /// Devices whose registration ran out here.
    pub expired: u64,
}

/// What waits for the answers to a device's messages.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Messages of the device that are not answered.
    unanswered: usize,
    pub(crate) operations: Vec<Waiting>,
}

/// LwM2M server for the devices of one worker; `P` names a peer (a DTLS session or an address).
pub struct Engine<P: PeerKey> {
    pub(crate) config: Config,
    pub(crate) coap: coap::Endpoint<P>,
    pub(crate) devices: Devices<P>,
    pub(crate) awaiting: HashMap<CommitId, Awaiting<P>>,
    /// Requests to devices, by their exchange.
    pub(crate) downlinks: HashMap<ExchangeId, Downlink<P>>,
    pub(crate) tags: HashMap<OperationTag, ExchangeId>,
    /// Operations that wait until their device has been answered: the state tier may know of its message, and that it
    /// listens, before this engine does.
    pub(crate) early: HashMap<RegistrationId, Early>,
    /// Operations that name packages of the cluster, until it is known where the device reaches these, or what they bring.
    pub(crate) unresolved: HashMap<OperationTag, (RegistrationId, Waiting)>,
    /// What waits for a package.
    pub(crate) fetching: HashSet<PackageRequest>,
    /// The registrations whose operations wait for a commit.
    held_back: HashMap<CommitId, RegistrationId>,
    pub(crate) outputs: VecDeque<Output<P>>,
    pub(crate) rng: ChaCha12Rng,
    /// By which the values in payloads are typed.
    pub(crate) definitions: Arc<Registry>,
    admission: Admission,
    pub(crate) counters: Counters,
    next_commit: u64,
}

impl<P: PeerKey> fmt::Debug for Engine<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("devices", &self.devices.len())
            .finish_non_exhaustive()
    }
}

impl<P: PeerKey> Engine<P> {
    /// An engine without devices. `seed` must differ between engines and starts.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        Self {
            coap: coap::Endpoint::new(config.coap.clone(), rng.random()),
            devices: Devices::new(),
            awaiting: HashMap::new(),
            downlinks: HashMap::new(),
            tags: HashMap::new(),
            early: HashMap::new(),
            unresolved: HashMap::new(),
            fetching: HashSet::new(),
            held_back: HashMap::new(),
            outputs: VecDeque::new(),
            rng,
            definitions: Arc::new(Registry::oma().clone()),
            admission: Admission::new(config.retry_after, config.retry_within),
            counters: Counters::default(),
            next_commit: 0,
            config,
        }
    }

    /// From now on values are typed by these definitions of objects; by the OMA's until this is called.
    pub fn set_definitions(&mut self, definitions: Arc<Registry>) {
        self.definitions = definitions;
    }

    /// The peer has a stream, or what it takes on that has changed. False if there is no room for the peer.
    #[must_use]
    pub fn open_stream(&mut self, now: Now, peer: P, capabilities: Capabilities) -> bool {
        let opened = self.coap.open_stream(now.instant, peer, capabilities);
        opened.is_ok()
    }

    /// A message arrived on a stream. [`Engine::forget_peer`] when that ends.
    pub fn handle_message(&mut self, now: Now, peer: P, origin: &Origin, message: coap::Message) {
        self.coap.handle_message(now.instant, peer, message);
        self.take_in(now, peer, origin);
    }

    /// A CoAP message arrived as a datagram.
    pub fn handle_datagram(&mut self, now: Now, peer: P, origin: &Origin, datagram: &[u8]) {
        self.coap.handle_datagram(now.instant, peer, datagram);
        self.take_in(now, peer, origin);
    }

    /// What arrived is in the CoAP layer.
    fn take_in(&mut self, now: Now, peer: P, origin: &Origin) {
        let misses = self.heard(now, peer, origin.address);
        self.drain_coap(now, Some(origin));
        if let Some(id) = misses {
            self.restore_missing(now, &id);
        }
    }

    /// A commit asked for by [`Output::Commit`] ended. An unknown id is ignored.
    pub fn handle_committed(
        &mut self,
        now: Now,
        id: CommitId,
        result: Result<Outcome, CommitError>,
    ) {
        let Some(awaiting) = self.awaiting.remove(&id) else {
            return;
        };
        self.conclude(now, awaiting, result);
        if let Some(registration) = self.held_back.remove(&id) {
            self.let_go(now, registration);
        }
        // An observation that has ended is cancelled by a request where there is no reset.
        self.drain_coap(now, None);
    }

    /// Operations on the registration wait for the commit.
    pub(crate) fn hold_back(&mut self, registration: &RegistrationId, commit: CommitId) {
        let early = self.early.entry(registration.clone()).or_default();
        early.unanswered += 1;
        self.held_back.insert(commit, registration.clone());
    }

    /// A message of the device is answered: what waited for that is sent.
    fn let_go(&mut self, now: Now, registration: RegistrationId) {
        let Entry::Occupied(mut early) = self.early.entry(registration) else {
            return;
        };
        early.get_mut().unanswered -= 1;
        if early.get().unanswered > 0 {
            return;
        }
        let (registration, early) = early.remove_entry();
        for waiting in early.operations {
            self.handle_waiting(now, &registration, waiting);
        }
    }

    fn conclude(&mut self, now: Now, awaiting: Awaiting<P>, result: Result<Outcome, CommitError>) {
        match result {
            Ok(Outcome::Rejected(rejection)) => {
                self.settle_notification(now, awaiting.receipt(), Kept::Never);
                if let Awaiting::Register { registration, .. } = &awaiting {
                    let (from, reason) = (registration.peer, rejection.to_string());
                    self.tell_refused(registration.endpoint.endpoint(), from, reason);
                }
                if let Some(exchange) = awaiting.exchange() {
                    self.counters.refused += 1;
                    self.respond(now, exchange, rejected(rejection));
                }
            }
            Ok(outcome) => {
                self.admission.served(now.instant);
                self.resolve(now, awaiting, outcome);
            }
            Err(CommitError::Unavailable | CommitError::Overloaded) => {
                self.settle_notification(now, awaiting.receipt(), Kept::NotNow);
                if let Some(exchange) = awaiting.exchange() {
                    self.refuse_for_overload(now, exchange);
                }
            }
        }
    }

    /// Goes on with the device of `registration`, at `peer`: one asked for by [`Output::LookUp`], or one that another
    /// node held. `observations` are established anew.
    pub fn take_on(
        &mut self,
        now: Now,
        peer: P,
        registration: &Registration,
        observations: &[Observation],
    ) {
        self.adopt(now, peer, registration);
        if let Some(device) = self.devices.get_mut(&registration.id) {
            device.want(observations);
        }
        for observation in observations {
            self.restore_observation(now, &registration.id, observation);
        }
        self.drain_coap(now, None);
    }

    /// Where the device of a registration talks from, if it is here.
    pub(crate) fn peer_of(&self, registration: &RegistrationId) -> Option<P> {
        self.devices.get(registration).map(|device| device.peer)
    }

    /// Whether a device that talks from `peer` is here.
    pub fn holds_peer(&self, peer: P) -> bool {
        self.devices.at_peer(peer).is_some()
    }

    /// The peer's session ended: its exchanges fail, its device stays registered elsewhere.
    pub fn forget_peer(&mut self, now: Now, peer: P) {
        self.coap.forget_peer(peer);
        self.drain_coap(now, None);
        if let Some(id) = self.devices.at_peer(peer).cloned() {
            self.devices.remove(&id);
        }
    }

    /// What to do next, until `None`.
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// When [`Engine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.coap.poll_timeout(), self.devices.next_expiry()) {
            (Some(coap), Some(expiry)) => Some(coap.min(expiry)),
            (coap, expiry) => coap.or(expiry),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.coap.handle_timeout(now.instant);
        while let Some(device) = self.devices.expire(now.instant) {
            self.counters.expired += 1;
            self.end_observations(&device);
        }
        self.drain_coap(now, None);
    }

    /// Devices held.
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Counts of the CoAP layer.
    pub fn coap_counters(&self) -> coap::Counters {
        self.coap.counters()
    }

    /// The device's registration, if it is to be asked for observations that it does not have.
    pub(crate) fn heard(&mut self, now: Now, peer: P, from: SocketAddr) -> Option<RegistrationId> {
        let window = self.config.awake_window;
        let (id, device) = self.devices.at_peer_mut(peer)?;
        if !device.listens(now.instant, window) {
            self.outputs.push_back(Output::Awake {
                endpoint: device.endpoint.clone(),
            });
        }
        device.presence.heard(now.instant);
        device.contact.heard(now.wall, from);
        device.misses(now.instant).then(|| id.clone())
    }

    pub(crate) fn drain_coap(&mut self, now: Now, origin: Option<&Origin>) {
        while let Some(output) = self.coap.poll_output() {
            match output {
                coap::Output::Transmit { peer, datagram } => {
                    self.outputs.push_back(Output::Transmit { peer, datagram });
                }
                coap::Output::Send { peer, message } => {
                    self.outputs.push_back(Output::Send { peer, message });
                }
                coap::Output::Event(event) => self.handle_event(now, origin, event),
            }
        }
    }

    fn handle_event(&mut self, now: Now, origin: Option<&Origin>, event: Event<P>) {
        match event {
            Event::Request {
                peer,
                exchange,
                request,
                ..
            } => {
                // A request only comes up while its message is handled, so the origin is known.
                if let Some(origin) = origin {
                    self.handle_request(now, origin, peer, exchange, &request);
                }
            }
            Event::Response {
                exchange,
                response,
                token,
                ..
            } => self.handle_response(now, exchange, token, &response),
            Event::Failed {
                exchange, reason, ..
            } => self.handle_failure(now, exchange, reason),
            Event::Notification {
                peer,
                token,
                response,
                receipt,
            } => self.handle_notification(now, peer, token, &response, receipt),
            Event::SentAgain { peer } => self.note(peer, |contact| &mut contact.sent_again),
            Event::HeardAgain { peer } => self.note(peer, |contact| &mut contact.heard_again),
            // Answers are not followed up, and this side sends no notifications.
            Event::ResponseDelivered { .. }
            | Event::ResponseFailed { .. }
            | Event::ObservationReset { .. }
            | Event::NotificationDelivered { .. }
            | Event::NotificationFailed { .. } => {}
        }
    }

    pub(crate) fn commit(
        &mut self,
        shard: ShardId,
        command: Command,
        awaiting: Awaiting<P>,
    ) -> CommitId {
        let id = CommitId(self.next_commit);
        self.next_commit += 1;
        self.awaiting.insert(id, awaiting);
        self.outputs
            .push_back(Output::Commit { id, shard, command });
        id
    }

    /// Commits what a registered device told. If it sleeps between its messages, operations on it wait until it is
    /// answered.
    // LwM2M Transport 1.2 §5.4: what waits for a device in queue mode is sent after the answer to its message.
    pub(crate) fn commit_told(
        &mut self,
        registration: &RegistrationId,
        shard: ShardId,
        command: Command,
        awaiting: Awaiting<P>,
    ) {
        let id = self.commit(shard, command, awaiting);
        let device = self.devices.get(registration);
        if device.is_some_and(|device| device.presence.queue_mode() == QueueMode::On) {
            self.hold_back(registration, id);
        }
    }

    pub(crate) fn respond(&mut self, now: Now, exchange: ExchangeId, response: Response) {
        self.coap.respond(now.instant, exchange, response);
        self.drain_coap(now, None);
    }

    pub(crate) fn refuse_for_overload(&mut self, now: Now, exchange: ExchangeId) {
        self.counters.overloaded += 1;
        let max_age = self.admission.appointment(now.instant, &mut self.rng);
        self.respond(now, exchange, overloaded(max_age));
    }

    /// Takes a committed registration in.
    pub(crate) fn adopt(&mut self, now: Now, peer: P, registration: &Registration) {
        let mut device = Device::new(now, peer, registration);
        if let Some((id, former)) = self.devices.of_endpoint(&device.endpoint) {
            let again = if *id == registration.id {
                Again::TakenOn
            } else {
                Again::Registered
            };
            device.contact.go_on(now.wall, &former.contact, again);
        }
        if let Some(replaced) = self.devices.insert(registration.id.clone(), device) {
            self.end_observations(&replaced);
        }
    }

    /// LwM2M Core 1.2 §6.2.1: the observations of a registration end with it; the next notification is answered RST,
    /// or on a stream they are cancelled.
    pub(crate) fn end_observations(&mut self, device: &Device<P>) {
        for token in device.observations.tokens() {
            self.coap.forget_observation(device.peer, token);
        }
    }

    pub(crate) fn operation_done(
        &mut self,
        tag: OperationTag,
        result: Result<crate::OperationReply, OperationFailure>,
    ) {
        self.tags.remove(&tag);
        self.outputs
            .push_back(Output::OperationDone { tag, result });
    }
}
