//! The engine: one device, and each of its servers.
//!
//! What is there once is in [`Body`], what there is for each server in a [`ServerLink`]. All that
//! happens, happens towards one server ([`Towards`]); what it changes, the others are told of.

mod child;
mod composite;
mod effect;
mod fault;
mod format;
mod observe;
mod optional;
mod registering;
mod request;
mod send;
mod towards;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use coap::reliable::Capabilities;
use coap::{Endpoint, ExchangeId};
use lwm2m::{ChildPrefix, EndpointName, Lifetime, Path, Value};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::attributes::Attributes;
use crate::config::{Config, OptionalObject, ServerAccount};
use crate::firmware::Package;
use crate::objects::{self, CURRENT_TIME, server};
use crate::observation::{Observation, Target};
use crate::output::{Output, PullFailure, PullId, SendError, SetValueError};
use crate::presence::Presence;
use crate::registration::{ProfileUse, Registration};
use crate::statistics::Statistics;
use crate::tree::{Change, ObjectTree};
use crate::updates::{Updatable, Updates};
use fault::Held;

pub use towards::Towards;

/// The server of one session; a new session has a new number.
type Session = u32;

/// An LwM2M device. Where no server is named, it is the first.
#[derive(Debug)]
pub struct Device {
    body: Body,
    first: ServerLink,
    more: Vec<ServerLink>,
}

/// What all servers share.
#[derive(Debug)]
struct Body {
    config: Config,
    tree: ObjectTree,
    /// Of a gateway: the devices behind it.
    children: BTreeMap<ChildPrefix, ObjectTree>,
    updates: Updates,
    power: Power,
    /// Of a device that has the object.
    statistics: Option<Box<Statistics>>,
    /// Seconds since 1970 at a moment; unknown until it is told.
    wall_clock: Option<(Instant, i64)>,
    rng: ChaCha8Rng,
    /// With the index of the server.
    outputs: VecDeque<(usize, Output)>,
}

/// What belongs to one server.
#[derive(Debug)]
struct ServerLink {
    /// The first has 0.
    index: usize,
    /// Of the Server object.
    instance: u16,
    short_server_id: u16,
    /// The one that was configured.
    lifetime: Lifetime,
    coap: Endpoint<Session>,
    session: Session,
    attributes: Attributes,
    /// Of devices behind the gateway, where some were written.
    child_attributes: BTreeMap<ChildPrefix, Attributes>,
    registration: Registration,
    profile_use: ProfileUse,
    observations: Vec<Observation>,
    /// Counts notifications, 24 bits of it are the Observe option.
    sequence: u32,
    presence: Presence,
    /// Sends under way.
    sends: Vec<ExchangeId>,
    held: Vec<Held>,
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
    Updated(Updatable, Package),
}

impl Device {
    /// A device that is off. `seed` determines tokens, message ids and all waits; devices of a
    /// fleet need different ones.
    pub fn new(config: Config, seed: u64) -> Self {
        let counts = OptionalObject::ConnectivityStatistics;
        let more = (1..).zip(&config.more_servers);
        let more =
            more.map(|(instance, account)| ServerLink::new(&config, *account, instance, seed));
        Self {
            first: ServerLink::new(&config, config.first_server(), 0, seed),
            more: more.collect(),
            body: Body {
                tree: objects::factory(&config),
                children: objects::gateway::children(&config),
                updates: Updates::new(&config),
                power: Power::On,
                statistics: config.profile.optional.contains(&counts).then(Box::default),
                wall_clock: None,
                rng: ChaCha8Rng::seed_from_u64(seed ^ 0x6c77_6d32_6d00_0001),
                outputs: VecDeque::new(),
                config,
            },
        }
    }

    fn first(&mut self) -> Towards<'_> {
        Towards {
            body: &mut self.body,
            link: &mut self.first,
            others: [&mut [], &mut self.more, &mut []],
        }
    }

    /// The device towards one of its servers: 0 is the first, those of
    /// [`Config::more_servers`] follow.
    pub fn towards(&mut self, index: usize) -> Option<Towards<'_>> {
        let Some(index) = index.checked_sub(1) else {
            return Some(self.first());
        };
        let (before, rest) = self.more.split_at_mut_checked(index)?;
        let (link, after) = rest.split_first_mut()?;
        Some(Towards {
            body: &mut self.body,
            link,
            others: [std::slice::from_mut(&mut self.first), before, after],
        })
    }

    /// As [`Towards::start`].
    pub fn start(&mut self, now: Instant) {
        self.first().start(now);
    }

    /// As [`Towards::start_on_stream`].
    pub fn start_on_stream(&mut self, now: Instant, capabilities: Capabilities) {
        self.first().start_on_stream(now, capabilities);
    }

    /// The device's clock is right from now on; until then it has no `/3/0/13`.
    pub fn set_wall_clock(&mut self, now: Instant, unix_seconds: i64) {
        self.body.wall_clock = Some((now, unix_seconds));
        self.body.tree.put(CURRENT_TIME, Value::Time(unix_seconds));
    }

    /// As [`Towards::handle_datagram`].
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.first().handle_datagram(now, datagram);
    }

    /// As [`Towards::handle_message`].
    pub fn handle_message(&mut self, now: Instant, message: coap::Message) {
        self.first().handle_message(now, message);
    }

    /// As [`Towards::update`].
    pub fn update(&mut self, now: Instant) {
        self.first().update(now);
    }

    /// As [`Towards::deregister`].
    pub fn deregister(&mut self, now: Instant) {
        self.first().deregister(now);
    }

    /// As [`Towards::send`].
    pub fn send(&mut self, now: Instant, paths: &[Path]) -> Result<(), SendError> {
        self.first().send(now, paths)
    }

    /// The next thing to do; drain this to `None` after every call. Of a device with several
    /// servers, [`Self::poll_tagged`] is the one to use.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.poll_tagged().map(|(_, output)| output)
    }

    /// As [`Self::poll_output`], with the index of the server that it is for or about. A reboot is
    /// reported once, with index 0.
    pub fn poll_tagged(&mut self) -> Option<(usize, Output)> {
        self.body.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let links = || std::iter::once(&self.first).chain(&self.more);
        let answers = links().filter_map(ServerLink::answers_timeout);
        match &self.body.power {
            Power::Down { until, .. } => Some(*until),
            Power::GoingDown { at, .. } => answers.chain([*at]).min(),
            Power::On => {
                let own = links().filter_map(ServerLink::own_timeout);
                let firmware = self.body.updates.timeout();
                answers.chain(own).chain(firmware).min()
            }
        }
    }

    /// Does what is due at `now`; calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.body.power {
            Power::Down { until, boot } if *until <= now => {
                let boot = boot.clone();
                self.first().come_up(now, boot);
                return;
            }
            Power::Down { .. } => return,
            Power::GoingDown { at, boot } if *at <= now => {
                let boot = boot.clone();
                self.first().go_down(now, boot);
                return;
            }
            Power::GoingDown { .. } | Power::On => {}
        }
        for index in 0..=self.more.len() {
            if let Some(mut towards) = self.towards(index) {
                towards.handle_timeout(now);
            }
        }
    }

    /// Changes a value as the device itself: a sensor moved. Observers are told as their attributes
    /// have it. The value of a temperature sensor moves its measured minimum and maximum along.
    pub fn set_value(
        &mut self,
        now: Instant,
        path: Path,
        value: Value,
    ) -> Result<(), SetValueError> {
        if self.body.tree.set(path, value)? == Change::Value {
            let mut changed = vec![path];
            let mut first = self.first();
            first.follow_temperature(path, &mut changed);
            first.values_changed(now, &changed);
            first.drain_coap(now);
        }
        Ok(())
    }

    /// As [`Self::set_value`], at a device behind the gateway that this is.
    pub fn set_child_value(
        &mut self,
        now: Instant,
        child: &ChildPrefix,
        path: Path,
        value: Value,
    ) -> Result<(), SetValueError> {
        let tree = self.body.children.get_mut(child);
        if tree.ok_or(SetValueError::NoChild)?.set(path, value)? == Change::Value {
            let mut first = self.first();
            first.child_values_changed(now, child, &[path]);
            first.drain_coap(now);
        }
        Ok(())
    }

    /// Reports errors at `/3/0/11`, one resource instance each; without any, instance 0 says 0
    /// (no error).
    pub fn report_errors(&mut self, now: Instant, codes: &[u8]) {
        self.first().report_errors(now, codes);
    }

    /// The package of an [`Output::Pull`], or why there is none. Of a pull that a server has
    /// replaced or cancelled in the meantime, nothing is taken.
    pub fn handle_package(
        &mut self,
        now: Instant,
        pull: PullId,
        package: Result<&[u8], PullFailure>,
    ) {
        self.body.updates.pulled(now, pull, package);
        let mut first = self.first();
        first.updates_moved(now);
        first.drain_coap(now);
    }

    /// What a single resource or a resource instance holds.
    pub fn value(&self, path: Path) -> Option<&Value> {
        self.body.tree.value(path)
    }

    /// The name the device registers under.
    pub fn endpoint(&self) -> &EndpointName {
        &self.body.config.endpoint
    }

    /// Whether the server holds a registration, as far as the device knows.
    pub fn is_registered(&self) -> bool {
        self.first.registration.registered().is_some()
    }

    /// How many observations the server has.
    pub fn observation_count(&self) -> usize {
        self.first.observations.len()
    }

    /// What the CoAP layer has counted.
    pub fn coap_counters(&self) -> coap::Counters {
        self.first.coap.counters()
    }
}

impl Body {
    /// What is observed holds, if it is a single value.
    fn observed(&self, target: &Target) -> Option<&Value> {
        match target {
            Target::One(path) => self.tree.value(*path),
            Target::Several(_) => None,
            Target::OfChild(child, path) => self.children.get(child)?.value(*path),
        }
    }
}

impl ServerLink {
    fn new(config: &Config, account: ServerAccount, instance: u16, seed: u64) -> Self {
        // Servers share neither tokens nor message ids.
        let seed = seed ^ (u64::from(instance) << 32);
        Self {
            index: usize::from(instance),
            instance,
            short_server_id: account.short_server_id,
            lifetime: account.lifetime,
            coap: Endpoint::new(config.coap.clone(), seed),
            session: 0,
            attributes: Attributes::default(),
            child_attributes: BTreeMap::new(),
            registration: Registration::Off,
            profile_use: ProfileUse::Offered,
            observations: Vec::new(),
            sequence: 0,
            presence: Presence::Always,
            sends: Vec::new(),
            held: Vec::new(),
        }
    }

    /// A resource of the server's instance of the Server object.
    fn at(&self, id: u16) -> Path {
        Path::Resource(server::ID, self.instance, id)
    }

    fn answers_timeout(&self) -> Option<Instant> {
        let held = self.held.iter().map(|held| held.at);
        self.coap.poll_timeout().into_iter().chain(held).min()
    }

    /// Of what the device does unasked.
    fn own_timeout(&self) -> Option<Instant> {
        let due = self.observations.iter().filter_map(Observation::due);
        let registration = self.registration.timeout().into_iter();
        registration.chain(self.presence.timeout()).chain(due).min()
    }
}
