//! The devices of this engine.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use device_state::limit::REGISTRATION_GRACE;
use device_state::{Quirks, Registration, Timestamp};
use hashbrown::HashMap;
use lwm2m::{
    AlternatePath, Binding, ContentFormat, EndpointName, Entry, Lifetime, LwM2mVersion,
    ObjectLinks, PowerSaving, RegistrationId,
};

use crate::contact::ContactBook;
use crate::observation::{Bond, Observations, Wanted};
use crate::output::Now;
use crate::presence::Presence;
use crate::profile::own_links;

/// A device whose registration is committed and whose messages arrive here.
#[derive(Debug)]
pub(crate) struct Device<P> {
    pub(crate) endpoint: EndpointName,
    pub(crate) peer: P,
    pub(crate) version: LwM2mVersion,
    pub(crate) presence: Presence,
    /// As far as it reported that to this engine.
    power_saving: PowerSaving,
    /// Formats that it announced, best first; empty if it announced none.
    pub(crate) formats: Box<[ContentFormat]>,
    pub(crate) alternate_path: AlternatePath,
    pub(crate) observations: Observations,
    /// `None` if nothing is wanted, as of most devices.
    pub(crate) wanted: Option<Box<Wanted>>,
    pub(crate) bond: Bond,
    pub(crate) quirks: Quirks,
    pub(crate) contact: ContactBook,
    /// The objects that it has instances of, or could have, in order.
    pub(crate) objects: Box<[u16]>,
    /// Its instance of the Server object for this server, if that is known.
    pub(crate) server: Option<u16>,
    /// What it lists besides its profile, if it registered with one that is known.
    pub(crate) own_links: Option<Box<ObjectLinks>>,
    /// When the state tier will have ended the registration.
    expires_at: Instant,
}

impl<P> Device<P> {
    pub(crate) fn new(now: Now, peer: P, registration: &Registration) -> Self {
        let links = ObjectLinks::parse(&registration.links).unwrap_or_default();
        Self {
            endpoint: registration.endpoint.endpoint(),
            peer,
            version: registration.version,
            presence: Presence::new(registration.binding.queue_mode(), now.instant),
            power_saving: PowerSaving::default(),
            formats: links.content_formats().collect(),
            alternate_path: links.alternate_path().clone(),
            observations: Observations::default(),
            wanted: None,
            bond: Bond::of(registration.transport, &registration.identity),
            quirks: registration.quirks,
            contact: ContactBook::new(now.wall, registration),
            objects: object_ids(&links),
            server: links.own_server_instance(),
            own_links: own_links(&links),
            expires_at: instant_of(now, registration.expires_at),
        }
    }
}

fn object_ids(links: &ObjectLinks) -> Box<[u16]> {
    let ids: BTreeSet<u16> = links
        .iter()
        .filter_map(|link| link.path.object_id())
        .collect();
    ids.into_iter().collect()
}

impl<P> Device<P> {
    /// Whether it takes requests now, if devices do so for `window` after their last message.
    pub(crate) fn listens(&self, now: Instant, window: Duration) -> bool {
        let window = self.power_saving.awake_window(window);
        self.presence.listens(now, window)
    }

    /// The device reported these values: some of them tell how it sleeps.
    pub(crate) fn take_report(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.power_saving.learn(entry.path, &entry.value);
        }
    }

    /// The device has a new lifetime, and lives as long as the state tier has it.
    pub(crate) fn lives_for(&mut self, now: Now, lifetime: Lifetime) {
        let end = lifetime.duration().map_or(Timestamp::NEVER, |duration| {
            now.wall.saturating_add(duration + REGISTRATION_GRACE)
        });
        self.expires_at = self.expires_at.max(instant_of(now, end));
    }

    /// The device names its transports anew.
    pub(crate) fn take_binding(&mut self, now: Now, update: Binding) {
        let queue = self.presence.queue_mode();
        let before = update.with_queue_mode(queue);
        let after = before.changed_to(update, self.version).queue_mode();
        if after != queue {
            self.presence = Presence::new(after, now.instant);
        }
    }

    /// The device lists its objects anew.
    pub(crate) fn take_links(&mut self, links: &str) {
        let links = ObjectLinks::parse(links).unwrap_or_default();
        self.formats = links.content_formats().collect();
        self.alternate_path = links.alternate_path().clone();
        self.objects = object_ids(&links);
        self.server = links.own_server_instance();
        self.own_links = own_links(&links);
        self.refuses_nothing();
    }
}

/// The moment at which the wall clock will show `at`, but no more than a year ahead.
fn instant_of(now: Now, at: Timestamp) -> Instant {
    const LONGEST: Duration = Duration::from_hours(365 * 24);
    now.instant + Duration::from_millis(at.0.saturating_sub(now.wall.0)).min(LONGEST)
}

/// Entries of registrations that are gone, beyond one for each device.
const MAX_STALE_EXPIRIES: usize = 64;

/// Devices by registration, peer and endpoint; forgets what expired.
#[derive(Debug)]
pub(crate) struct Devices<P> {
    by_registration: HashMap<RegistrationId, Device<P>>,
    by_peer: HashMap<P, RegistrationId>,
    by_endpoint: HashMap<EndpointName, RegistrationId>,
    /// One entry a device, besides those of devices that are gone; an entry whose device was renewed is put back when it
    /// comes up.
    expiries: BinaryHeap<Reverse<(Instant, RegistrationId)>>,
}

impl<P: Copy + Eq + Hash> Devices<P> {
    pub(crate) fn new() -> Self {
        Self {
            by_registration: HashMap::new(),
            by_peer: HashMap::new(),
            by_endpoint: HashMap::new(),
            expiries: BinaryHeap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_registration.len()
    }

    pub(crate) fn get(&self, id: &RegistrationId) -> Option<&Device<P>> {
        self.by_registration.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &RegistrationId) -> Option<&mut Device<P>> {
        self.by_registration.get_mut(id)
    }

    pub(crate) fn of_endpoint(
        &self,
        endpoint: &EndpointName,
    ) -> Option<(&RegistrationId, &Device<P>)> {
        let id = self.by_endpoint.get(endpoint)?;
        Some((id, self.get(id)?))
    }

    pub(crate) fn of_endpoint_mut(&mut self, endpoint: &EndpointName) -> Option<&mut Device<P>> {
        self.by_registration
            .get_mut(self.by_endpoint.get(endpoint)?)
    }

    pub(crate) fn at_peer(&self, peer: P) -> Option<&RegistrationId> {
        self.by_peer.get(&peer)
    }

    pub(crate) fn at_peer_mut(&mut self, peer: P) -> Option<(&RegistrationId, &mut Device<P>)> {
        let id = self.by_peer.get(&peer)?;
        let device = self.by_registration.get_mut(id)?;
        Some((id, device))
    }

    /// Adds a device in place of any that had its endpoint; returns what the replaced one was.
    pub(crate) fn insert(&mut self, id: RegistrationId, device: Device<P>) -> Option<Device<P>> {
        let replaced = self
            .by_endpoint
            .get(&device.endpoint)
            .cloned()
            .and_then(|old| self.remove(&old));
        self.by_peer.insert(device.peer, id.clone());
        self.by_endpoint.insert(device.endpoint.clone(), id.clone());
        self.expiries.push(Reverse((device.expires_at, id.clone())));
        self.by_registration.insert(id, device);
        self.drop_stale_expiries();
        replaced
    }

    /// Registrations that were replaced leave an entry behind, for up to their lifetime: a device that registers again and
    /// again would leave any number.
    fn drop_stale_expiries(&mut self) {
        if self.expiries.len() <= 2 * self.by_registration.len() + MAX_STALE_EXPIRIES {
            return;
        }
        let devices = self.by_registration.iter();
        self.expiries = devices
            .map(|(id, device)| Reverse((device.expires_at, id.clone())))
            .collect();
    }

    /// The device now sends from `peer` and lives until `expires_at`.
    pub(crate) fn renew(&mut self, now: Now, id: &RegistrationId, peer: P, expires_at: Timestamp) {
        let Some(device) = self.by_registration.get_mut(id) else {
            return;
        };
        device.expires_at = instant_of(now, expires_at);
        if device.peer != peer {
            if self.by_peer.get(&device.peer) == Some(id) {
                self.by_peer.remove(&device.peer);
            }
            device.peer = peer;
        }
        self.by_peer.insert(peer, id.clone());
    }

    pub(crate) fn remove(&mut self, id: &RegistrationId) -> Option<Device<P>> {
        let device = self.by_registration.remove(id)?;
        if self.by_peer.get(&device.peer) == Some(id) {
            self.by_peer.remove(&device.peer);
        }
        if self.by_endpoint.get(&device.endpoint) == Some(id) {
            self.by_endpoint.remove(&device.endpoint);
        }
        Some(device)
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.peek().map(|Reverse((at, _))| *at)
    }

    /// Forgets one device whose registration ended before `now`, if there is one.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Device<P>> {
        loop {
            let Reverse((at, _)) = self.expiries.peek()?;
            if *at > now {
                return None;
            }
            let Reverse((_, id)) = self.expiries.pop()?;
            let Some(device) = self.by_registration.get(&id) else {
                continue;
            };
            if device.expires_at > now {
                self.expiries.push(Reverse((device.expires_at, id)));
                continue;
            }
            return self.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
    #![expect(
        clippy::disallowed_methods,
        reason = "a test has to begin somewhere in time"
    )]

    use device_state::{DeviceName, NodeId, SecurityIdentity, Transport};

    use super::*;

    #[test]
    fn a_device_that_registers_again_and_again_leaves_little_behind() {
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp(1),
        };
        let mut devices = Devices::new();
        for number in 0..10_000_u32 {
            let registration = Registration {
                id: RegistrationId::new(&number.to_string()).unwrap(),
                endpoint: DeviceName::parse("restless").unwrap(),
                identity: SecurityIdentity::Unauthenticated,
                owner: NodeId(1),
                peer: "127.0.0.1:5683".parse().unwrap(),
                transport: Transport::Udp,
                session: None,
                lifetime: Lifetime::from_secs(u32::MAX),
                version: LwM2mVersion::V1_1,
                binding: Binding::UDP,
                links: String::new(),
                registered_at: now.wall,
                updated_at: now.wall,
                expires_at: Timestamp::NEVER,
                quirks: Quirks::default(),
                enrollment: None,
            };
            let device = Device::new(now, 0_u8, &registration);
            let replaced = devices.insert(registration.id, device);
            assert_eq!(replaced.is_some(), number > 0);
        }
        assert_eq!(devices.len(), 1);
        assert!(devices.expiries.len() <= 3 + MAX_STALE_EXPIRIES);
    }
}
