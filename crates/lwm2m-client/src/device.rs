//! The engine: one device towards one server.

mod composite;
mod effect;
mod fault;
mod format;
mod observe;
mod optional;
mod registering;
mod request;
mod send;

use std::collections::VecDeque;
use std::time::Instant;

use coap::reliable::Capabilities;
use coap::{Endpoint, ExchangeId, Failure};
use lwm2m::{EndpointName, Path, Value};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::attributes::Attributes;
use crate::config::{Config, OptionalObject};
use crate::firmware::{Firmware, Package};
use crate::objects::{self, CURRENT_TIME};
use crate::observation::Observation;
use crate::output::{Event, Output, PullFailure, PullId, SetValueError};
use crate::presence::Presence;
use crate::registration::{ProfileUse, Registration};
use crate::statistics::{Direction, Statistics};
use crate::tree::{Change, ObjectTree};
use fault::Held;

/// The server of one session; a new session has a new number.
type Session = u32;

/// An LwM2M device.
#[derive(Debug)]
pub struct Device {
    config: Config,
    coap: Endpoint<Session>,
    session: Session,
    tree: ObjectTree,
    attributes: Attributes,
    registration: Registration,
    profile_use: ProfileUse,
    observations: Vec<Observation>,
    /// Counts notifications, 24 bits of it are the Observe option.
    sequence: u32,
    firmware: Firmware,
    power: Power,
    presence: Presence,
    /// Of a device that has the object.
    statistics: Option<Box<Statistics>>,
    /// Sends under way.
    sends: Vec<ExchangeId>,
    held: Vec<Held>,
    /// Seconds since 1970 at a moment; unknown until it is told.
    wall_clock: Option<(Instant, i64)>,
    rng: ChaCha8Rng,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// A reboot was ordered; the device still answers.
    GoingDown {
        at: Instant,
        boot: Boot,
    },
    Down {
        until: Instant,
        boot: Boot,
    },
}

/// With what the device comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Boot {
    Same,
    FactoryState,
    NewFirmware(Package),
}

impl Device {
    /// A device that is off. `seed` determines tokens, message ids and all waits; devices of a
    /// fleet need different ones.
    pub fn new(config: Config, seed: u64) -> Self {
        let counts = OptionalObject::ConnectivityStatistics;
        Self {
            coap: Endpoint::new(config.coap.clone(), seed),
            session: 0,
            tree: objects::factory(&config),
            attributes: Attributes::default(),
            registration: Registration::Off,
            profile_use: ProfileUse::Offered,
            observations: Vec::new(),
            sequence: 0,
            firmware: Firmware::new(&config),
            power: Power::On,
            presence: Presence::Always,
            statistics: config.profile.optional.contains(&counts).then(Box::default),
            sends: Vec::new(),
            held: Vec::new(),
            wall_clock: None,
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x6c77_6d32_6d00_0001),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Registers over a transport that is now up, at the first time, after [`Event::Booted`] and
    /// after a new secured session was made. Whatever was under way is dropped.
    pub fn start(&mut self, now: Instant) {
        if let Power::Down { .. } = self.power {
            return;
        }
        self.forget_session();
        self.begin(now);
    }

    /// As [`Self::start`] over a stream (RFC 8323) on which the server's CSM has arrived.
    pub fn start_on_stream(&mut self, now: Instant, capabilities: Capabilities) {
        if let Power::Down { .. } = self.power {
            return;
        }
        self.forget_session();
        // A device has one peer, for which there is always room.
        let _opened = self.coap.open_stream(now, self.session, capabilities);
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        let queue = self.config.binding.queue_mode();
        self.presence = Presence::new(queue, now, self.config.queue_window);
        self.register(now, 0);
        self.drain_coap(now);
    }

    /// The device's clock is right from now on; until then it has no `/3/0/13`.
    pub fn set_wall_clock(&mut self, now: Instant, unix_seconds: i64) {
        self.wall_clock = Some((now, unix_seconds));
        self.tree.put(CURRENT_TIME, Value::Time(unix_seconds));
    }

    /// A datagram of the server arrived.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        // RFC 7252 §12.1: the codes of requests are 0.01 to 0.31.
        let is_request = datagram.get(1).is_some_and(|code| (1..32).contains(code));
        if self.hears(now) && (self.registration.takes_requests() || !is_request) {
            self.count(now, Direction::Received, datagram.len());
            self.coap.handle_datagram(now, self.session, datagram);
            self.drain_coap(now);
        }
    }

    /// A message of the server arrived on the stream.
    pub fn handle_message(&mut self, now: Instant, message: coap::Message) {
        let is_request = message.code.is_request();
        if self.hears(now) && (self.registration.takes_requests() || !is_request) {
            self.count(now, Direction::Received, message.payload.len());
            self.coap.handle_message(now, self.session, message);
            self.drain_coap(now);
        }
    }

    fn hears(&mut self, now: Instant) -> bool {
        let deaf = matches!(self.power, Power::Down { .. })
            || self.registration == Registration::Off
            || !self.presence.listens();
        if !deaf {
            self.presence.active(now, self.config.queue_window);
        }
        !deaf
    }

    /// The next thing to do; drain this to `None` after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.power {
            Power::Down { until, .. } => return Some(*until),
            Power::GoingDown { at, .. } => {
                let held = self.held.iter().map(|held| held.at);
                let timeouts = self.coap.poll_timeout().into_iter().chain(held);
                return timeouts.chain([*at]).min();
            }
            Power::On => {}
        }
        let due = self.observations.iter().filter_map(Observation::due);
        [
            self.coap.poll_timeout(),
            self.registration.timeout(),
            self.firmware.timeout(),
            self.presence.timeout(),
        ]
        .into_iter()
        .flatten()
        .chain(due)
        .chain(self.held.iter().map(|held| held.at))
        .min()
    }

    /// Does what is due at `now`; calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.power {
            Power::Down { until, boot } if *until <= now => {
                let boot = boot.clone();
                self.come_up(boot);
                return;
            }
            Power::Down { .. } => return,
            Power::GoingDown { at, boot } if *at <= now => {
                let boot = boot.clone();
                self.go_down(now, boot);
                return;
            }
            Power::GoingDown { .. } | Power::On => {}
        }
        self.answer_held(now);
        self.coap.handle_timeout(now);
        self.drain_coap(now);
        if self.power == Power::On {
            self.registration_timed_out(now);
            self.firmware_timed_out(now);
            self.notify_due(now);
            self.drain_coap(now);
        }
        self.fall_asleep(now);
    }

    /// Changes a value as the device itself: a sensor moved. Observers are told as their attributes
    /// have it. The value of a temperature sensor moves its measured minimum and maximum along.
    pub fn set_value(
        &mut self,
        now: Instant,
        path: Path,
        value: Value,
    ) -> Result<(), SetValueError> {
        if self.tree.set(path, value)? == Change::Value {
            let mut changed = vec![path];
            self.follow_temperature(path, &mut changed);
            self.values_changed(now, &changed);
            self.drain_coap(now);
        }
        Ok(())
    }

    /// The package of an [`Output::Pull`], or why there is none. Of a pull that the server has
    /// replaced or cancelled in the meantime, nothing is taken.
    pub fn handle_package(
        &mut self,
        now: Instant,
        pull: PullId,
        package: Result<&[u8], PullFailure>,
    ) {
        self.firmware.pulled(now, pull, package);
        self.firmware_moved(now);
        self.drain_coap(now);
    }

    /// What a single resource or a resource instance holds.
    pub fn value(&self, path: Path) -> Option<&Value> {
        self.tree.value(path)
    }

    /// The name the device registers under.
    pub fn endpoint(&self) -> &EndpointName {
        &self.config.endpoint
    }

    /// Whether the server holds a registration, as far as the device knows.
    pub fn is_registered(&self) -> bool {
        self.registration.registered().is_some()
    }

    /// How many observations the server has.
    pub fn observation_count(&self) -> usize {
        self.observations.len()
    }

    /// What the CoAP layer has counted.
    pub fn coap_counters(&self) -> coap::Counters {
        self.coap.counters()
    }

    fn drain_coap(&mut self, now: Instant) {
        while let Some(output) = self.coap.poll_output() {
            match output {
                coap::Output::Transmit { peer, datagram } if peer == self.session => {
                    self.presence.active(now, self.config.queue_window);
                    self.count(now, Direction::Sent, datagram.len());
                    let datagram = self.mangled(datagram);
                    self.outputs.push_back(Output::Transmit(datagram));
                }
                coap::Output::Send { peer, message } if peer == self.session => {
                    self.presence.active(now, self.config.queue_window);
                    self.count(now, Direction::Sent, message.payload.len());
                    self.outputs.push_back(Output::Send(message));
                }
                coap::Output::Transmit { .. } | coap::Output::Send { .. } => {}
                coap::Output::Event(event) => self.handle_event(now, event),
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: coap::Event<Session>) {
        match event {
            coap::Event::Request {
                exchange,
                token,
                request,
                ..
            } => {
                self.handle_request(now, exchange, token, &request);
            }
            coap::Event::Response {
                exchange, response, ..
            } => {
                self.handle_response(now, exchange, Ok(&response));
            }
            coap::Event::Failed {
                exchange, reason, ..
            } => {
                // What was given up on purpose has been taken note of already.
                if !matches!(reason, Failure::Cancelled | Failure::PeerGone) {
                    self.handle_response(now, exchange, Err(reason));
                }
            }
            coap::Event::NotificationDelivered {
                token,
                notification,
                ..
            } => {
                self.notification_delivered(now, token, notification);
            }
            coap::Event::NotificationFailed { token, reason, .. } => {
                if reason != Failure::PeerGone {
                    self.end_observation(token);
                }
            }
            coap::Event::ObservationReset { token, .. } => self.observation_reset(token),
            coap::Event::ResponseDelivered { .. }
            | coap::Event::ResponseFailed { .. }
            | coap::Event::Notification { .. } => {}
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Forgets everything that a session carried.
    fn forget_session(&mut self) {
        self.coap.forget_peer(self.session);
        self.session = self.session.wrapping_add(1);
        self.sends.clear();
        self.held.clear();
        self.registration = Registration::Off;
        self.end_all_observations();
    }

    fn fall_asleep(&mut self, now: Instant) {
        if self.presence.timeout().is_none_or(|until| until > now) {
            return;
        }
        // LwM2M Core 1.2 §6.5: the device stays awake while it waits for an answer.
        if self.coap.exchange_count() > 0 {
            self.presence.active(now, self.config.queue_window);
        } else {
            self.presence = Presence::Asleep;
            self.event(Event::FellAsleep);
        }
    }
}
