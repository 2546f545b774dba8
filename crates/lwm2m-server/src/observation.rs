//! The observations of one device (LwM2M Core 1.2 §6.4).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coap::{Code, PeerKey, Receipt, Response, Token};
use device_state::{
    CredentialId, Observation, OperationOutcome, SecurityIdentity, Timestamp, Transport,
    ValueOrigin,
};
use lwm2m::{ChildPrefix, NotificationAttributes, Observed, Path, RegistrationId};

use crate::device::Device;
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
    /// When it was established, or reported last.
    heard_at: Instant,
}

impl Established {
    /// Whether the device may have ended it: it has not reported for twice as long as it was told to (`pmax`).
    // RFC 7641 §4.5: a device that was not acknowledged ends the observation, and has no way to tell.
    fn is_silent(&self, now: Instant) -> bool {
        let Some(pmax) = self.parameters.effective_pmax() else {
            return false;
        };
        let patience = Duration::from_secs(2 * u64::from(pmax)).max(LEAST_SILENCE);
        now >= self.heard_at + patience
    }
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
    /// The device reports with the token: the path that it lies below, of which device behind a gateway if it is of one.
    pub(crate) fn heard(
        &mut self,
        now: Instant,
        token: Token,
    ) -> Option<(Option<ChildPrefix>, Path)> {
        let known = self.0.iter_mut().find(|known| known.token == token)?;
        known.heard_at = now;
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

    /// Whether the device reports this, as far as that can be told.
    fn reports(&self, observed: &Observed, now: Instant) -> bool {
        let mut of_it = self.0.iter().filter(|known| known.observed == *observed);
        self.has(observed) && !of_it.any(|known| known.is_silent(now))
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
        (token, heard_at): (Token, Instant),
    ) -> Option<Token> {
        let same = |known: &Established| known.observed == observed && known.base == base;
        let older = self.0.iter().position(same);
        let older = older.map(|index| self.0.swap_remove(index).token);
        self.0.push(Established {
            token,
            base,
            observed,
            parameters,
            heard_at,
        });
        older.filter(|older| *older != token)
    }

    /// The tokens by which this was observed.
    pub(crate) fn remove(&mut self, observed: &Observed) -> Vec<Token> {
        let removed = self.0.extract_if(.., |known| known.observed == *observed);
        removed.map(|known| known.token).collect()
    }

    /// What was observed by the token is no longer.
    pub(crate) fn remove_token(&mut self, token: Token) -> Option<Observed> {
        let place = self.0.iter().position(|known| known.token == token)?;
        Some(self.0.remove(place).observed)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.0.iter().map(|known| known.token)
    }
}

/// Whether a device that answers an Observe in this way would answer the next one in the same.
pub(crate) const fn is_final(code: Code) -> bool {
    code.is_client_error() && code.as_byte() != Code::TOO_MANY_REQUESTS_4_29.as_byte()
        || code.as_byte() == Code::NOT_IMPLEMENTED_5_01.as_byte()
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is committed, or says nothing that anybody could commit.
    Yes,
    /// It may be the next time it comes.
    NotNow,
    /// The registration that it belongs to is over, and so is its observation.
    Never,
}

/// An observation is not looked after before it was silent for this long: what is on its way may be sent again.
const LEAST_SILENCE: Duration = Duration::from_secs(30);

/// How long a device is left alone that did not take an observation on for no reason of its own.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What the state tier wants observed on a device.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    observations: Vec<Observation>,
    /// What the device does not want to have observed.
    refused: Vec<Observed>,
    /// When it was last asked for what it does not report.
    asked_at: Option<Instant>,
}

impl<P> Device<P> {
    /// From now on this is wanted of it, and nothing else.
    pub(crate) fn want(&mut self, observations: &[Observation]) {
        if observations.is_empty() {
            self.wanted = None;
            return;
        }
        let wanted = self.wanted.get_or_insert_default();
        wanted.observations = observations.to_vec();
        let is_wanted =
            |refused: &Observed| observations.iter().any(|one| one.observed == *refused);
        wanted.refused.retain(is_wanted);
    }

    /// Nobody wants this any more.
    fn want_no_more(&mut self, observed: &Observed) {
        if let Some(wanted) = &mut self.wanted {
            wanted.observations.retain(|one| one.observed != *observed);
        }
    }

    /// It said no, and is not asked again until it lists other objects or registers anew.
    pub(crate) fn refuses(&mut self, observed: &Observed) {
        if let Some(wanted) = &mut self.wanted
            && wanted
                .observations
                .iter()
                .any(|one| one.observed == *observed)
            && !wanted.refused.contains(observed)
        {
            wanted.refused.push(observed.clone());
        }
    }

    /// What it refused it may have now.
    pub(crate) fn refuses_nothing(&mut self) {
        if let Some(wanted) = &mut self.wanted {
            wanted.refused.clear();
        }
    }

    /// What it does not report although it is wanted and was not refused.
    fn missing(&self, now: Instant) -> impl Iterator<Item = &Observation> {
        self.wanted.iter().flat_map(move |wanted| {
            wanted.observations.iter().filter(move |observation| {
                let observed = &observation.observed;
                !self.observations.reports(observed, now) && !wanted.refused.contains(observed)
            })
        })
    }

    /// Whether it is time to ask for something that is missing.
    pub(crate) fn misses(&self, now: Instant) -> bool {
        let asked_at = self.wanted.as_ref().and_then(|wanted| wanted.asked_at);
        asked_at.is_none_or(|asked| now >= asked + ASK_AGAIN) && self.missing(now).next().is_some()
    }

    /// It is asked for something that is wanted.
    pub(crate) fn is_asked(&mut self, now: Instant) {
        if let Some(wanted) = &mut self.wanted {
            wanted.asked_at = Some(now);
        }
    }
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
        device.want(observations);
        self.devices.renew(now, id, peer, expires_at);
        if moved {
            self.heard(now, peer, address);
            for observation in observations {
                self.restore_observation(now, id, observation);
            }
        } else {
            self.restore_missing(now, id);
        }
    }

    /// Asks the device for what it does not report although it is wanted: it was not reached when it was asked before, or
    /// has ended the observation since.
    pub(crate) fn restore_missing(&mut self, now: Now, id: &RegistrationId) {
        // LwM2M Transport 1.2 §5.4: what waits for a device in queue mode is sent after the answer to its message.
        if self.early.contains_key(id) {
            return;
        }
        let device = self.devices.get(id);
        let Some(device) = device.filter(|device| device.misses(now.instant)) else {
            return;
        };
        let missing: Vec<Observation> = device.missing(now.instant).cloned().collect();
        for observation in missing {
            if !self.is_asked_for(id, &observation.observed) {
                self.restore_observation(now, id, &observation);
            }
        }
    }

    /// The device accepted an observation: remember it.
    pub(crate) fn established(
        &mut self,
        registration: &RegistrationId,
        (observed, parameters): (&Observed, NotificationAttributes),
        base: Path,
        (token, at): (Token, Instant),
    ) {
        if let Some(device) = self.devices.get_mut(registration) {
            let peer = device.peer;
            let observed = observed.clone();
            if let Some(older) =
                device
                    .observations
                    .establish(observed, base, parameters, (token, at))
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

    /// A notification. It is acknowledged when its values are committed, or when nobody can read them.
    pub(crate) fn handle_notification(
        &mut self,
        now: Now,
        peer: P,
        token: Token,
        response: &Response,
        receipt: Option<Receipt<P>>,
    ) {
        let observed = self.devices.at_peer_mut(peer).and_then(|(id, device)| {
            let place = device.observations.heard(now.instant, token)?;
            Some((id.clone(), place))
        });
        let Some((id, (child, base))) = observed else {
            self.counters.dropped_notifications += 1;
            self.coap.forget_observation(peer, token);
            return self.settle_notification(now, receipt, Kept::Never);
        };
        if !response.code.is_success() {
            // RFC 7641 §3.2: an error ends the observation.
            if let Some(device) = self.devices.get_mut(&id)
                && let Some(observed) = device.observations.remove_token(token)
                && is_final(response.code)
            {
                device.refuses(&observed);
            }
            self.settle_notification(now, receipt, Kept::Yes);
            self.coap.forget_observation(peer, token);
            return;
        }
        self.report(now, &id, (child.as_ref(), base), response, receipt);
    }

    /// Acknowledges a notification, has its sender send it again, or rejects it. What is not kept is not acknowledged: a
    /// device takes what is for known.
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
            Kept::NotNow => self.coap.decline(receipt),
            Kept::Never => self.coap.reject(receipt),
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
        device.want_no_more(observed);
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
            return self.settle_notification(now, receipt, Kept::Never);
        };
        let entries = match read {
            Ok(entries) if self.awaiting.len() < self.config.max_pending_commits => entries,
            read => {
                self.counters.dropped_notifications += 1;
                // What makes no sense makes none the next time.
                let kept = if read.is_ok() {
                    Kept::NotNow
                } else {
                    Kept::Yes
                };
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
