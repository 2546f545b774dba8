//! What the state tier asks of a device besides operations: how the exchange of messages with it goes, and what was
//! refused to whoever claimed to be it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use device_state::{Attempt, Contact, RefusedAttempt, Timestamp};
use dtls::{AlertDescription, CertifiedIdentity, HandshakeFailure, PeerRejection};
use hashbrown::HashMap;
use lwm2m::EndpointName;
use state_client::{ContactInquiry, ReportedContact};

use super::{Driver, Input, now, principal};
use crate::tcp::event::StreamId;

/// Refusals that a worker remembers, one for each kind of attempt of an endpoint. Who claims to be many others pushes the
/// oldest out.
const MAX_REFUSED: usize = 1_024;
/// Bytes that are kept of a reason.
const MAX_REASON: usize = 256;

/// An inquiry on its way through the workers.
#[derive(Debug)]
pub(crate) struct Inquiring {
    pub(crate) inquiry: ContactInquiry,
    /// What the workers so far know.
    found: ReportedContact,
    /// How many they are.
    asked: usize,
}

impl From<ContactInquiry> for Inquiring {
    fn from(inquiry: ContactInquiry) -> Self {
        Self {
            inquiry,
            found: ReportedContact::default(),
            asked: 0,
        }
    }
}

/// What was refused last, by the endpoint that somebody claimed to be.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    last: HashMap<(EndpointName, Attempt), RefusedAttempt>,
    /// In the order in which they were first refused.
    order: VecDeque<(EndpointName, Attempt)>,
}

impl Refusals {
    fn note(&mut self, endpoint: EndpointName, mut refused: RefusedAttempt) {
        let end = refused.reason.floor_char_boundary(MAX_REASON);
        refused.reason.truncate(end);
        let key = (endpoint, refused.what);
        if let Some(known) = self.last.get_mut(&key) {
            refused.count = known.count.saturating_add(1);
            *known = refused;
            return;
        }
        if self.order.len() >= MAX_REFUSED
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.last.insert(key, refused);
    }

    fn of(&self, endpoint: &EndpointName) -> impl Iterator<Item = RefusedAttempt> {
        let kinds = Attempt::ALL.into_iter();
        kinds.filter_map(|what| self.last.get(&(endpoint.clone(), what)).cloned())
    }
}

impl Driver {
    /// Adds what this worker knows; the last one reports it.
    pub(super) fn inquired(&mut self, mut inquiring: Box<Inquiring>) {
        let endpoint = &inquiring.inquiry.endpoint;
        inquiring.found.refused.extend(self.refusals.of(endpoint));
        let engine = self.application.management();
        let contact = engine.and_then(|engine| engine.contact(endpoint).cloned());
        // A device whose address changed is at another worker, and the former one knows it until its lifetime is over.
        let both = inquiring.found.contact.take().into_iter().chain(contact);
        inquiring.found.contact = both.max_by_key(|contact: &Contact| contact.heard_at);
        inquiring.asked += 1;
        let next = (usize::from(self.index) + 1) % self.workers.len();
        let key = inquiring.inquiry.key;
        if inquiring.asked < self.workers.len()
            && let Some(worker) = self.workers.get(next)
        {
            if worker.try_send(Input::Inquired(inquiring)).is_err() {
                // A part of the truth would look like the whole; the state tier says that it does not know.
                tracing::debug!("a worker has too much to do to be asked for a contact");
            }
            return;
        }
        self.attachment.report(key, inquiring.found);
    }

    pub(super) fn refused(
        &mut self,
        endpoint: EndpointName,
        from: SocketAddr,
        what: Attempt,
        reason: String,
    ) {
        let at: Timestamp = now().wall;
        let refused = RefusedAttempt {
            at,
            from,
            what,
            reason,
            count: 1,
        };
        self.refusals.note(endpoint, refused);
    }

    /// A handshake came to nothing, of somebody who claims to be `endpoint`.
    pub(super) fn handshake_refused(
        &mut self,
        endpoint: EndpointName,
        from: SocketAddr,
        reason: HandshakeFailure,
    ) {
        let what = match reason {
            // These say nothing of what one side is to the other.
            HandshakeFailure::TimedOut
            | HandshakeFailure::Superseded
            | HandshakeFailure::StoreRefused
            | HandshakeFailure::NoRoom
            | HandshakeFailure::Cryptography
            | HandshakeFailure::PeerAlert(AlertDescription::CLOSE_NOTIFY) => return,
            HandshakeFailure::PeerAlert(_) => Attempt::OfServer,
            _ => Attempt::Handshake,
        };
        self.refused(endpoint, from, what, reason.to_string());
    }

    /// Tells who has a certificate on a stream that it is not accepted.
    pub(super) fn turn_away(
        &mut self,
        id: StreamId,
        certificate: Option<&CertifiedIdentity>,
        reason: PeerRejection,
    ) {
        self.streams.turn_away(now().instant, id, reason);
        let claimed = certificate.and_then(principal::claimed_by);
        if let Some((endpoint, origin)) = claimed.zip(self.streams.origin(id)) {
            let reason = reason.to_string();
            self.refused(endpoint, origin.address, Attempt::Handshake, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn refused(reason: &str) -> RefusedAttempt {
        RefusedAttempt {
            at: Timestamp(1),
            from: "192.0.2.1:5684".parse().unwrap(),
            what: Attempt::Handshake,
            reason: reason.to_owned(),
            count: 1,
        }
    }

    fn name(text: &str) -> EndpointName {
        EndpointName::new(text).unwrap()
    }

    #[test]
    fn refusals_are_counted_and_the_last_reason_is_kept() {
        let mut refusals = Refusals::default();
        refusals.note(name("meter"), refused("first"));
        refusals.note(name("meter"), refused(&"ä".repeat(MAX_REASON)));
        let registration = RefusedAttempt {
            what: Attempt::Registration,
            ..refused("another kind")
        };
        refusals.note(name("meter"), registration.clone());
        let known: Vec<_> = refusals.of(&name("meter")).collect();
        assert_eq!(known[0].count, 2);
        assert_eq!(known[0].reason, "ä".repeat(MAX_REASON / 2));
        assert_eq!(known[1..], [registration]);
    }

    #[test]
    fn somebody_with_many_names_pushes_the_oldest_out() {
        let mut refusals = Refusals::default();
        for number in 0..=MAX_REFUSED {
            refusals.note(name(&number.to_string()), refused(""));
        }
        assert_eq!(refusals.last.len(), MAX_REFUSED);
        assert_eq!(refusals.of(&name("0")).count(), 0);
        assert_eq!(refusals.of(&name("1")).count(), 1);
    }
}
