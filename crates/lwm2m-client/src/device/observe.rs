//! Observe, Cancel and Notify (LwM2M Core 1.2 §6.4).

use std::time::Instant;

use coap::{NotificationId, Response, SendError, Token};
use lwm2m::attributes::AttributeName;
use lwm2m::{ChildPrefix, LwM2mVersion, NotificationAttributes, Path, Setting, Value};

use super::Towards;
use crate::attributes::{named, parse_known};
use crate::fault::Fault;
use crate::objects::server::{DEFAULT_PMAX, DEFAULT_PMIN};
use crate::observation::{Observation, Phase, Target};
use crate::output::Event;
use crate::refusal::Refusal;

/// The retry of a notification that the CoAP layer had no room for.
const BUSY_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

impl Towards<'_> {
    /// What an Observe asks for itself.
    // LwM2M Core 1.2 §6.4.1 made the attributes parameters of Observe; a device of an older
    // release knows no query there.
    pub(super) fn observe_parameters(
        &self,
        query: &[String],
    ) -> Result<NotificationAttributes, Refusal> {
        match self.body.tree.release() {
            LwM2mVersion::V1_2 if !self.has_fault(Fault::RefusesObserveParameters) => {
                parse_known(query, LwM2mVersion::V1_2)
            }
            _ if query.is_empty() => Ok(NotificationAttributes::default()),
            _ => Err(Refusal::BadQuery),
        }
    }

    /// Establishes an observation and returns the sequence number of its first answer. With the
    /// same token again it replaces (RFC 7641 §4.1).
    pub(super) fn observe(
        &mut self,
        now: Instant,
        token: Token,
        target: Target,
        accept: Option<u16>,
        parameters: NotificationAttributes,
    ) -> Result<u32, Refusal> {
        validate(&target, parameters)?;
        let room = self.body.config.coap.max_observations_per_peer;
        let known = self
            .link
            .observations
            .iter()
            .position(|known| known.token == token);
        match known {
            Some(index) => {
                self.link.observations.swap_remove(index);
            }
            None if self.link.observations.len() >= room => return Err(Refusal::Full),
            None => {}
        }
        let effective = self.effective(&target, parameters);
        effective.validate_thresholds()?;
        self.link.observations.push(Observation {
            accept,
            parameters,
            effective,
            reported: self.body.observed(&target).cloned(),
            ..Observation::new(now, token, target)
        });
        Ok(self.next_sequence())
    }

    pub(super) fn end_observation(&mut self, token: Token) {
        if let Some(index) = self
            .link
            .observations
            .iter()
            .position(|known| known.token == token)
        {
            let ended = self.link.observations.swap_remove(index);
            self.observation_ended(&ended);
        }
    }

    pub(super) fn end_all_observations(&mut self) {
        for observation in std::mem::take(&mut self.link.observations) {
            self.observation_ended(&observation);
        }
    }

    fn observation_ended(&mut self, observation: &Observation) {
        if let Some(path) = observation.target.event_path() {
            self.event(Event::ObservationEnded { path });
        }
    }

    pub(super) fn notification_delivered(
        &mut self,
        now: Instant,
        token: Token,
        id: NotificationId,
    ) {
        let known = self
            .link
            .observations
            .iter_mut()
            .find(|known| known.token == token);
        if let Some(observation) = known {
            let path = observation.target.event_path();
            let value = observation.reported().cloned();
            if observation.delivered(now, id)
                && let Some(path) = path
            {
                self.event(Event::NotificationAcknowledged { path, value });
            }
        }
        self.notify_due(now);
    }

    /// Works out anew what holds for every observation of this server.
    pub(super) fn attributes_changed(&mut self) {
        for index in 0..self.link.observations.len() {
            let Some(observation) = self.link.observations.get(index) else {
                return;
            };
            let effective = self.effective(&observation.target, observation.parameters);
            if let Some(observation) = self.link.observations.get_mut(index) {
                observation.effective = effective;
            }
        }
    }

    /// Paths of which something changed, for the observations of all servers; a removed instance
    /// counts as well.
    pub(super) fn values_changed(&mut self, now: Instant, changed: &[Path]) {
        self.changed_at(now, None, changed);
    }

    /// As [`Self::values_changed`], at a device behind the gateway.
    pub(super) fn child_values_changed(
        &mut self,
        now: Instant,
        child: &ChildPrefix,
        changed: &[Path],
    ) {
        self.changed_at(now, Some(child), changed);
    }

    fn changed_at(&mut self, now: Instant, child: Option<&ChildPrefix>, changed: &[Path]) {
        self.report_changes(now, child, changed);
        self.with_others(now, |other| other.report_changes(now, child, changed));
    }

    fn report_changes(&mut self, now: Instant, child: Option<&ChildPrefix>, changed: &[Path]) {
        if changed.is_empty() || self.link.observations.is_empty() {
            return;
        }
        for observation in &mut self.link.observations {
            if observation.target.is_touched_by(child, changed) {
                let value = self.body.observed(&observation.target);
                observation.changed(now, value);
            }
        }
        self.notify_due(now);
    }

    pub(super) fn notify_due(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(observation) = self.link.observations.get(index) {
            if observation.due().is_some_and(|due| due <= now)
                && self.notify(now, index) == Sent::Last
            {
                continue;
            }
            index += 1;
        }
    }

    fn notify(&mut self, now: Instant, index: usize) -> Sent {
        self.refresh_clock(now);
        self.refresh_statistics();
        let Some(observation) = self.link.observations.get(index) else {
            return Sent::Done;
        };
        let (token, accept) = (observation.token, observation.accept);
        let path = observation.target.event_path();
        let reliability = observation.reliability(now, self.body.config.notifications);
        let represented = match &observation.target {
            Target::One(path) => self.represent(*path, accept),
            Target::Several(paths) => self.represent_composite(paths, accept),
            Target::OfChild(child, path) => self.read_child(child, *path, accept),
        };
        let value: Option<Value> = self.body.observed(&observation.target).cloned();
        let last = represented.is_err();
        let sequence = self.next_sequence();
        // RFC 7641 §4.2: what can no longer be read ends its observation with the error.
        let response = match represented {
            Ok(response) => Response {
                observe: Some(sequence),
                ..response
            },
            Err(refusal) => refusal.response(),
        };
        let response = self.distorted(response);
        let sent = self
            .link
            .coap
            .notify(now, self.link.session, token, response, reliability);
        let Some(observation) = self.link.observations.get_mut(index) else {
            return Sent::Done;
        };
        match sent {
            Ok(_) if last => {
                self.end_observation(token);
                return Sent::Last;
            }
            Ok(id) => observation.sent(now, id, reliability, value),
            Err(error) => {
                let wait = match error {
                    SendError::PeerBusy { retry_after }
                    | SendError::OutOfMessageIds { retry_after } => retry_after.max(BUSY_RETRY),
                    _ => BUSY_RETRY,
                };
                observation.phase = Phase::Changed {
                    not_before: now + wait,
                };
                return Sent::Done;
            }
        }
        if let Some(path) = path {
            self.event(Event::Notified { path });
        }
        Sent::Done
    }

    /// What holds for an observation: its own parameters, which hide all that is written to the
    /// path, or else that; the periods of the server object where they are not named (LwM2M Core
    /// 1.2 §7.3.2), which is the gateway's for a device behind it as well.
    fn effective(
        &self,
        target: &Target,
        parameters: NotificationAttributes,
    ) -> NotificationAttributes {
        let mut effective = match target {
            _ if !parameters.is_empty() => parameters,
            Target::One(path) => self.link.attributes.effective(*path),
            Target::Several(paths) => self.link.attributes.effective_for_all(paths),
            Target::OfChild(child, path) => {
                let written = self.link.child_attributes.get(child);
                written
                    .map(|written| written.effective(*path))
                    .unwrap_or_default()
            }
        };
        let default = |id| match self.body.tree.value(self.link.at(id)) {
            Some(Value::Integer(secs)) => Setting::from(u32::try_from(*secs).ok()),
            _ => Setting::Unchanged,
        };
        if effective.pmin.value().is_none() {
            effective.pmin = default(DEFAULT_PMIN);
        }
        if effective.pmax.value().is_none() {
            effective.pmax = default(DEFAULT_PMAX);
        }
        effective
    }

    fn next_sequence(&mut self) -> u32 {
        self.link.sequence = (self.link.sequence + 1) & 0x00ff_ffff;
        self.link.sequence
    }
}

/// Whether an observation can have these parameters.
fn validate(target: &Target, parameters: NotificationAttributes) -> Result<(), Refusal> {
    match target {
        Target::One(path) | Target::OfChild(_, path) if !parameters.is_empty() => {
            Ok(parameters.validate(*path)?)
        }
        Target::One(_) | Target::OfChild(..) => Ok(()),
        // LwM2M Core 1.2 §6.4.2: there is no single value that a threshold could be about, and no
        // queue of histories.
        Target::Several(_) => {
            let refused = |name: &AttributeName| {
                use AttributeName::{Con, Epmax, Epmin, Pmax, Pmin};
                !matches!(name, Pmin | Pmax | Epmin | Epmax | Con)
            };
            match named(parameters).find(refused) {
                Some(_) => Err(Refusal::BadQuery),
                None => Ok(()),
            }
        }
    }
}

/// Whether a notification was the last of its observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Done,
    Last,
}
