//! Registrations: LwM2M Core 1.2 §6.2.

use std::net::SocketAddr;

use lwm2m::{Lifetime, ObjectLinks, Operation, RegistrationId};

use super::Change;
use super::campaign::reach::Registered;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::enrollment::Enrollment;
use crate::event::Event;
use crate::id::{NodeId, Timestamp};
use crate::limit::REGISTRATION_GRACE;
use crate::name::{DeviceName, Namespace};
use crate::query;
use crate::record::{Place, Quirks, Registration, SecurityIdentity, SessionCid};
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    pub(super) fn register(&mut self, registration: &Registration) -> Result<Outcome, Rejection> {
        let endpoint = &registration.endpoint;
        // Two devices must never share an id; the front end tries again with another.
        if query::endpoint_of(self.tables, &registration.id)
            .is_some_and(|holder| holder != *endpoint)
        {
            return Err(Rejection::UnknownRegistration);
        }
        let previous = query::registration(self.tables, endpoint);
        self.check_identity(registration, previous.as_ref())?;
        // A device that comes with another release has other software.
        let quirks = previous
            .as_ref()
            .filter(|previous| previous.version == registration.version)
            .map_or_else(Quirks::default, |previous| previous.quirks);
        let former = previous.as_ref().map(|previous| previous.peer);
        let moved_from = former.and_then(|former| moved_from(former, registration));
        let row = Registration {
            quirks,
            registered_at: self.now,
            updated_at: self.now,
            expires_at: self.registration_end(registration.lifetime),
            enrollment: registration.enrollment.clone().map(Enrollment::stored),
            ..registration.clone()
        };
        let enrolled = previous.as_ref().and_then(|row| row.enrollment.as_ref());
        self.count_enrollment(endpoint, enrolled, row.enrollment.as_ref());
        match &previous {
            Some(previous) if previous.id != row.id => {
                self.tables
                    .delete(&RowKey::RegistrationIndex(previous.id.clone()));
            }
            Some(_) => {}
            None => {
                self.counters.registrations += 1;
                self.count_reach(endpoint, Registered::Begins);
            }
        }
        self.tables.put(Row::RegistrationIndex {
            id: row.id.clone(),
            endpoint: endpoint.clone(),
        });
        self.put_registration(previous.map(|previous| previous.expires_at), &row);
        self.emit(
            endpoint,
            Event::Registered {
                registration: Box::new(row.clone()),
            },
        );
        if let Some(enrollment) = &registration.enrollment {
            self.label_enrolled(endpoint, enrollment);
        }
        // LwM2M Core 1.2 §6.2.1: a device that registers starts anew, so nothing that was in flight
        // is answered.
        self.release_in_flight(endpoint, None);
        self.campaign_registered(endpoint);
        self.settle_profiles(endpoint);
        self.compare_with_links(endpoint);
        self.read_back(endpoint);
        self.settle_queue(endpoint);
        Ok(Outcome::Registered {
            id: row.id,
            expires_at: row.expires_at,
            observations: query::observations(self.tables, endpoint),
            quirks,
            moved_from,
        })
    }

    /// LwM2M Core 1.2 §6.2.1: the lifetime of a registration is that in the device's Server object, so one that was
    /// written there holds before the device's next Update says so. A device that keeps to its schedule until then does
    /// not lose its registration.
    pub(super) fn keep_written_lifetime(&mut self, endpoint: &DeviceName, operation: &Operation) {
        // Few operations write a lifetime: the others cost no look at the registration.
        let is_own = |instance| {
            query::registration(self.tables, endpoint).is_some_and(|registration| {
                let links = ObjectLinks::parse(&registration.links).unwrap_or_default();
                links.own_server_instance() == Some(instance)
            })
        };
        let Some(lifetime) = operation.written_lifetime(is_own) else {
            return;
        };
        let Some(before) = query::registration(self.tables, endpoint) else {
            return;
        };
        if before.lifetime == lifetime {
            return;
        }
        let row = Registration {
            lifetime,
            expires_at: before.expires_at.max(self.registration_end(lifetime)),
            ..before.clone()
        };
        self.put_registration(Some(before.expires_at), &row);
        self.emit(
            endpoint,
            Event::Updated {
                registration: Box::new(row),
            },
        );
    }

    /// Keeps what the device turned out not to do. It told nothing new of itself, so nobody is told.
    pub(super) fn learn_quirks(
        &mut self,
        id: &RegistrationId,
        quirks: Quirks,
    ) -> Result<Outcome, Rejection> {
        let mut registration =
            query::registration_by_id(self.tables, id).ok_or(Rejection::UnknownRegistration)?;
        registration.quirks = registration.quirks.and(quirks);
        self.tables.put(Row::Registration(registration));
        Ok(Outcome::Done)
    }

    /// Takes over the registration as changed by an Update that `owner` received.
    pub(super) fn update(
        &mut self,
        mut registration: Registration,
        owner: NodeId,
        before: Place,
    ) -> Outcome {
        let previous_end = registration.expires_at;
        registration.updated_at = self.now;
        registration.expires_at = self.registration_end(registration.lifetime);
        self.put_updated(registration, previous_end, owner, before)
    }

    /// The node that went on with a session holds the device from now on.
    pub(super) fn move_registration(
        &mut self,
        id: &RegistrationId,
        session: SessionCid,
        owner: NodeId,
    ) -> Result<Outcome, Rejection> {
        let registration = query::registration_by_id(self.tables, id)
            .filter(|registration| registration.session == Some(session))
            .ok_or(Rejection::UnknownRegistration)?;
        let end = registration.expires_at;
        let place = registration.place();
        Ok(self.put_updated(registration, end, owner, place))
    }

    fn put_updated(
        &mut self,
        mut registration: Registration,
        previous_end: Timestamp,
        owner: NodeId,
        before: Place,
    ) -> Outcome {
        let (former, ..) = before;
        let moved_from = moved_from(former, &registration);
        let previous_owner = std::mem::replace(&mut registration.owner, owner);
        self.put_registration(Some(previous_end), &registration);
        let endpoint = registration.endpoint.clone();
        let expires_at = registration.expires_at;
        self.emit(
            &endpoint,
            Event::Updated {
                registration: Box::new(registration),
            },
        );
        if previous_owner != owner {
            // The exchanges of the node that lost the device cannot end any more.
            self.release_in_flight(&endpoint, Some(owner));
            self.settle_queue(&endpoint);
        }
        Outcome::Updated {
            expires_at,
            observations: query::observations(self.tables, &endpoint),
            moved_from,
            endpoint,
        }
    }

    pub(super) fn deregister(
        &mut self,
        namespace: &Namespace,
        id: &RegistrationId,
        identity: &SecurityIdentity,
    ) -> Result<Outcome, Rejection> {
        let registration = self.live_registration(namespace, id, identity)?;
        let endpoint = registration.endpoint.clone();
        self.dissolve(registration);
        Ok(Outcome::Deregistered { endpoint })
    }

    /// Removes the registration and tells the watchers.
    pub(super) fn dissolve(&mut self, registration: Registration) {
        self.remove_registration(&registration);
        let id = registration.id;
        self.emit(&registration.endpoint, Event::Deregistered { id });
    }

    /// LwM2M Core 1.2 §7.3.1: a name that somebody can prove to have is not anybody's. A credential
    /// that is gone registers nothing any more, whatever an ingress node still believes.
    fn check_identity(
        &self,
        registration: &Registration,
        live: Option<&Registration>,
    ) -> Result<(), Rejection> {
        let bound = || query::endpoint_credentials(self.tables, &registration.endpoint);
        match &registration.identity {
            SecurityIdentity::Unauthenticated => {
                let is_secured =
                    live.is_some_and(|live| live.identity != SecurityIdentity::Unauthenticated);
                if is_secured || !bound().is_empty() {
                    return Err(Rejection::SecurityRequired);
                }
            }
            SecurityIdentity::Credential(id) => {
                if !bound().iter().any(|bound| bound.key.id == *id) {
                    return Err(Rejection::UnknownCredential);
                }
            }
            SecurityIdentity::CertificateNames(_) => {}
        }
        Ok(())
    }

    /// The registration with this id, if it was made under this identity. Another device's id is
    /// answered like one that does not exist, so that ids cannot be probed. Two tenants may have given one identity to
    /// two devices, so the identity alone does not tell.
    pub(super) fn live_registration(
        &self,
        namespace: &Namespace,
        id: &RegistrationId,
        identity: &SecurityIdentity,
    ) -> Result<Registration, Rejection> {
        query::registration_by_id(self.tables, id)
            .filter(|registration| {
                registration.identity == *identity && registration.endpoint.is_in(namespace)
            })
            .ok_or(Rejection::UnknownRegistration)
    }

    /// Removes the registration and what points at it. The queue, the observation intents, the
    /// desired state and the last values stay: the device may come back.
    pub(super) fn remove_registration(&mut self, registration: &Registration) {
        let endpoint = &registration.endpoint;
        self.tables.delete(&RowKey::Registration(endpoint.clone()));
        self.tables
            .delete(&RowKey::RegistrationIndex(registration.id.clone()));
        self.reschedule(
            Some(registration.expires_at),
            None,
            Expiring::Registration(endpoint.clone()),
        );
        self.counters.registrations = self.counters.registrations.saturating_sub(1);
        self.count_enrollment(endpoint, registration.enrollment.as_ref(), None);
        self.count_reach(endpoint, Registered::Ends);
        // A name that nothing else is known of is in no profile.
        if self.counters.profiles > 0 && !query::is_known(self.tables, endpoint) {
            self.settle_profiles(endpoint);
        }
        self.stop_waiting_for(endpoint);
        self.effects.push(Effect::RegistrationChanged {
            endpoint: endpoint.clone(),
        });
    }

    pub(super) fn put_registration(&mut self, previous_end: Option<Timestamp>, row: &Registration) {
        let endpoint = &row.endpoint;
        self.reschedule(
            previous_end,
            Some(row.expires_at),
            Expiring::Registration(endpoint.clone()),
        );
        self.tables.put(Row::Registration(row.clone()));
        self.effects.push(Effect::RegistrationChanged {
            endpoint: endpoint.clone(),
        });
    }

    fn registration_end(&self, lifetime: Lifetime) -> Timestamp {
        lifetime.duration().map_or(Timestamp::NEVER, |duration| {
            self.now
                .saturating_add(duration)
                .saturating_add(REGISTRATION_GRACE)
        })
    }
}

/// Where a device talked from before, if it talks from elsewhere now.
fn moved_from(former: SocketAddr, now: &Registration) -> Option<SocketAddr> {
    (former != now.peer).then_some(former)
}
