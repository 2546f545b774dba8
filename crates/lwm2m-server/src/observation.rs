//! The observations of one device (LwM2M Core 1.2 §6.4).

use std::net::SocketAddr;

use coap::{Code, PeerKey, Receipt, Response, Token};
use device_state::{
    CredentialId, Observation, OperationOutcome, SecurityIdentity, Timestamp, Transport,
    ValueOrigin,
};
use lwm2m::{ChildPrefix, NotificationAttributes, Observed, Path, RegistrationId};

use crate::engine::Engine;
use crate::output::{Now, OperationFailure, OperationReply, OperationTag};
use crate::uplink::{Awaiting, record_values};

/// The observations that a device has. They are few, so a list beats a map.
#[derive(Debug, Default)]
pub(crate) struct Observations(Vec<Established>);

/// What one token stands for.
#[derive(Clone, Debug)]
struct Established {
    token: Token,
    /// What is observed with it.
    base: Path,
    /// What was asked for: more than one path, where the device is observed path by path instead.
    observed: Observed,
    parameters: NotificationAttributes,
}

/// How long the observations of a device last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bond {
    /// Until it registers again, wherever it talks from: LwM2M Core 1.2 §6.4.1 has the device remember them.
    Registration,
    /// Until its connection ends (RFC 8323 appendix A.4), or the OSCORE context is elsewhere whose request the
    /// notifications are bound to (RFC 8613 §8.4).
    Connection,
}

impl Bond {
    pub(crate) const fn of(transport: Transport, identity: &SecurityIdentity) -> Self {
        match (transport, identity) {
            (Transport::Tcp | Transport::Tls, _)
            | (_, SecurityIdentity::Credential(CredentialId::OscoreId(_))) => Self::Connection,
            (Transport::Udp | Transport::Dtls, _) => Self::Registration,
        }
    }
}

impl Observations {
    /// The path that what is reported with the token lies below, of which device behind a gateway if it is of one.
    pub(crate) fn place(&self, token: Token) -> Option<(Option<ChildPrefix>, Path)> {
        let known = self.0.iter().find(|known| known.token == token)?;
        Some((known.observed.child().cloned(), known.base))
    }

    /// The token by which exactly this is observed already.
    pub(crate) fn token(
        &self,
        observed: &Observed,
        base: Path,
        parameters: NotificationAttributes,
    ) -> Option<Token> {
        let same = |known: &&Established| {
            known.observed == *observed && known.base == base && known.parameters == parameters
        };
        self.0.iter().find(same).map(|known| known.token)
    }

    pub(crate) fn has(&self, observed: &Observed) -> bool {
        self.0.iter().any(|known| known.observed == *observed)
    }

    /// The tokens by which this was observed with other parameters.
    pub(crate) fn remove_changed(
        &mut self,
        observed: &Observed,
        parameters: NotificationAttributes,
    ) -> Vec<Token> {
        let changed =
            |known: &mut Established| known.observed == *observed && known.parameters != parameters;
        let removed = self.0.extract_if(.., changed);
        removed.map(|known| known.token).collect()
    }

    /// Notes the observation and returns the token of an older one of the same.
    pub(crate) fn establish(
        &mut self,
        observed: Observed,
        base: Path,
        parameters: NotificationAttributes,
        token: Token,
    ) -> Option<Token> {
        let same = |known: &Established| known.observed == observed && known.base == base;
        let older = self.0.iter().position(same);
        let older = older.map(|index| self.0.swap_remove(index).token);
        self.0.push(Established {
            token,
            base,
            observed,
            parameters,
        });
        older.filter(|older| *older != token)
    }

    /// The tokens by which this was observed.
    pub(crate) fn remove(&mut self, observed: &Observed) -> Vec<Token> {
        let removed = self.0.extract_if(.., |known| known.observed == *observed);
        removed.map(|known| known.token).collect()
    }

    pub(crate) fn remove_token(&mut self, token: Token) {
        self.0.retain(|known| known.token != token);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.0.iter().map(|known| known.token)
    }
}

/// Whether a notification is as safe as it will ever be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

impl<P: PeerKey> Engine<P> {
    /// The device goes on at `peer`. It is asked to go on with its observations as well: another worker may have had it
    /// meanwhile, with other tokens.
    pub(crate) fn renew(
        &mut self,
        now: Now,
        id: &RegistrationId,
        (peer, bond, address): (P, Bond, SocketAddr),
        expires_at: Timestamp,
        observations: &[Observation],
    ) {
        let Some(device) = self.devices.get_mut(id) else {
            return;
        };
        device.contact.talks_from(now.wall, address);
        let (former, moved) = (device.peer, device.peer != peer);
        let lasts = (device.bond, bond) == (Bond::Registration, Bond::Registration);
        device.bond = bond;
        if moved {
            let kept = lasts
                && self
                    .coap
                    .move_observations(now.instant, former, peer)
                    .is_ok();
            if !kept {
                for token in std::mem::take(&mut device.observations).tokens() {
                    self.coap.forget_observation(former, token);
                }
            }
        }
        self.devices.renew(now, id, peer, expires_at);
        if moved {
            self.heard(now, peer, address);
            for observation in observations {
                self.restore_observation(now, id, observation);
            }
        }
    }

    /// The device accepted an observation: remember it.
    pub(crate) fn established(
        &mut self,
        registration: &RegistrationId,
        (observed, parameters): (&Observed, NotificationAttributes),
        base: Path,
        token: Token,
    ) {
        if let Some(device) = self.devices.get_mut(registration) {
            let peer = device.peer;
            let observed = observed.clone();
            if let Some(older) = device
                .observations
                .establish(observed, base, parameters, token)
            {
                self.coap.forget_observation(peer, older);
            }
        }
    }

    /// LwM2M Core 1.2 §6.4.1: whoever wants other parameters has the observation cancelled and makes a new one. The
    /// device is not to have both.
    pub(crate) fn cancel_changed(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        observed: &Observed,
        parameters: NotificationAttributes,
    ) {
        let Some(device) = self.devices.get_mut(registration) else {
            return;
        };
        let peer = device.peer;
        for token in device.observations.remove_changed(observed, parameters) {
            self.cancel_token(now, peer, token);
        }
    }

    /// It is forgotten in any case: whether the device answers changes nothing.
    fn cancel_token(&mut self, now: Now, peer: P, token: Token) {
        let cancelled = self.coap.cancel_observation(now.instant, peer, token);
        if cancelled.is_err() {
            self.coap.forget_observation(peer, token);
        }
    }

    /// A notification. It is acknowledged when its values are committed, or can never be.
    pub(crate) fn handle_notification(
        &mut self,
        now: Now,
        peer: P,
        token: Token,
        response: &Response,
        receipt: Option<Receipt<P>>,
    ) {
        let observed = self
            .devices
            .at_peer_mut(peer)
            .and_then(|(id, device)| Some((id.clone(), device.observations.place(token)?)));
        let Some((id, (child, base))) = observed else {
            self.counters.dropped_notifications += 1;
            self.settle_notification(now, receipt, Kept::Yes);
            self.coap.forget_observation(peer, token);
            return;
        };
        if !response.code.is_success() {
            // RFC 7641 §3.2: an error ends the observation.
            if let Some(device) = self.devices.get_mut(&id) {
                device.observations.remove_token(token);
            }
            self.settle_notification(now, receipt, Kept::Yes);
            self.coap.forget_observation(peer, token);
            return;
        }
        self.report(now, &id, (child.as_ref(), base), response, receipt);
    }

    /// Acknowledges a notification, or has its sender send it again.
    pub(crate) fn settle_notification(
        &mut self,
        now: Now,
        receipt: Option<Receipt<P>>,
        kept: Kept,
    ) {
        let Some(receipt) = receipt else {
            return;
        };
        match kept {
            Kept::Yes => self.coap.acknowledge(receipt),
            Kept::No => self.coap.decline(receipt),
        }
        self.drain_coap(now, None);
    }

    /// Ends an observation. A device that listens is told (LwM2M Core 1.2 §6.4.4: Observe 1 and the token of the
    /// observation); one that does not is told when it notifies, by a reset (RFC 7641 §3.6).
    pub(crate) fn cancel_observation(
        &mut self,
        now: Now,
        tag: OperationTag,
        registration: &RegistrationId,
        observed: &Observed,
    ) {
        let Some(device) = self.devices.get_mut(registration) else {
            return self.operation_done(tag, Err(OperationFailure::NotHere));
        };
        let listens = device.listens(now.instant, self.config.awake_window);
        let peer = device.peer;
        self.stop_restoring(registration, observed);
        let Some(device) = self.devices.get_mut(registration) else {
            return self.operation_done(tag, Err(OperationFailure::NotHere));
        };
        let tokens = device.observations.remove(observed);
        for token in tokens {
            if listens {
                self.cancel_token(now, peer, token);
            } else {
                self.coap.forget_observation(peer, token);
            }
        }
        self.drain_coap(now, None);
        let outcome = OperationOutcome::Delivered {
            code: Code::CONTENT_2_05.as_byte(),
            values: Vec::new(),
        };
        self.operation_done(
            tag,
            Ok(OperationReply {
                outcome,
                links: String::new(),
            }),
        );
    }

    pub(crate) fn report(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        (child, base): (Option<&ChildPrefix>, Path),
        response: &Response,
        receipt: Option<Receipt<P>>,
    ) {
        if response.code == Code::VALID_2_03 {
            return self.settle_notification(now, receipt, Kept::Yes);
        }
        let read = self.values_in(registration, child, base, response);
        let Some(device) = self.devices.get(registration) else {
            return;
        };
        let entries = match read {
            Ok(entries) if self.awaiting.len() < self.config.max_pending_commits => entries,
            read => {
                self.counters.dropped_notifications += 1;
                // What makes no sense makes none the next time.
                let kept = if read.is_ok() { Kept::No } else { Kept::Yes };
                return self.settle_notification(now, receipt, kept);
            }
        };
        let (shard, command) = record_values(
            &self.config,
            (&device.endpoint, child.cloned()),
            registration.clone(),
            ValueOrigin::Notify,
            entries,
            now.wall,
        );
        let awaiting = Awaiting::Notify { receipt };
        if receipt.is_some() {
            self.commit_told(registration, shard, command, awaiting);
        } else {
            self.commit(shard, command, awaiting);
        }
    }
}
