//! A device as one of its servers knows it: the session, what arrives and what leaves.

use std::time::Instant;

use coap::Failure;
use coap::reliable::Capabilities;

use super::{Body, Power, ServerLink, Session};
use crate::output::{Event, Output};
use crate::presence::Presence;
use crate::registration::Registration;
use crate::statistics::Direction;

/// A device towards one of its servers.
#[derive(Debug)]
pub struct Towards<'a> {
    pub(super) body: &'a mut Body,
    pub(super) link: &'a mut ServerLink,
    pub(super) others: [&'a mut [ServerLink]; 3],
}

impl Towards<'_> {
    /// Registers over a transport that is now up, at the first time, after [`Event::Booted`] and
    /// after a new secured session was made. Whatever was under way is dropped.
    pub fn start(&mut self, now: Instant) {
        if let Power::Down { .. } = self.body.power {
            return;
        }
        self.forget_session();
        self.begin(now);
    }

    /// As [`Self::start`] over a stream (RFC 8323) on which the server's CSM has arrived.
    pub fn start_on_stream(&mut self, now: Instant, capabilities: Capabilities) {
        if let Power::Down { .. } = self.body.power {
            return;
        }
        self.forget_session();
        // A link has one peer, for which there is always room.
        let session = self.link.session;
        let _opened = self.link.coap.open_stream(now, session, capabilities);
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        let queue = self.body.config.binding.queue_mode();
        self.link.presence = Presence::new(queue, now, self.body.config.queue_window);
        self.register(now, 0);
        self.drain_coap(now);
    }

    /// A datagram of the server arrived.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        // RFC 7252 §12.1: the codes of requests are 0.01 to 0.31.
        let is_request = datagram.get(1).is_some_and(|code| (1..32).contains(code));
        if self.hears(now) && (self.link.registration.takes_requests() || !is_request) {
            self.count(now, Direction::Received, datagram.len());
            let session = self.link.session;
            self.link.coap.handle_datagram(now, session, datagram);
            self.drain_coap(now);
        }
    }

    /// A message of the server arrived on the stream.
    pub fn handle_message(&mut self, now: Instant, message: coap::Message) {
        let is_request = message.code.is_request();
        if self.hears(now) && (self.link.registration.takes_requests() || !is_request) {
            self.count(now, Direction::Received, message.payload.len());
            let session = self.link.session;
            self.link.coap.handle_message(now, session, message);
            self.drain_coap(now);
        }
    }

    fn hears(&mut self, now: Instant) -> bool {
        let deaf = matches!(self.body.power, Power::Down { .. })
            || self.link.registration == Registration::Off
            || !self.link.presence.listens();
        if !deaf {
            self.stay_awake(now);
        }
        !deaf
    }

    fn stay_awake(&mut self, now: Instant) {
        let window = self.body.config.queue_window;
        self.link.presence.active(now, window);
    }

    /// Whether the server holds a registration, as far as the device knows.
    pub fn is_registered(&self) -> bool {
        self.link.registration.registered().is_some()
    }

    /// How many observations the server has.
    pub fn observation_count(&self) -> usize {
        self.link.observations.len()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.answer_held(now);
        self.link.coap.handle_timeout(now);
        self.drain_coap(now);
        if self.body.power == Power::On {
            self.registration_timed_out(now);
            self.updates_timed_out(now);
            self.notify_due(now);
            self.drain_coap(now);
        }
        self.fall_asleep(now);
    }

    /// Does the same towards every other server.
    pub(super) fn with_others(&mut self, now: Instant, mut act: impl FnMut(&mut Towards<'_>)) {
        for link in self.others.iter_mut().flat_map(|links| links.iter_mut()) {
            let mut other = Towards {
                body: self.body,
                link,
                others: [&mut [], &mut [], &mut []],
            };
            act(&mut other);
            // Nothing arrives here: all that leaves is what was done just now.
            other.drain_coap(now);
        }
    }

    pub(super) fn drain_coap(&mut self, now: Instant) {
        while let Some(output) = self.link.coap.poll_output() {
            match output {
                coap::Output::Transmit { peer, datagram } if peer == self.link.session => {
                    self.stay_awake(now);
                    self.count(now, Direction::Sent, datagram.len());
                    let datagram = self.mangled(datagram);
                    self.output(Output::Transmit(datagram));
                }
                coap::Output::Send { peer, message } if peer == self.link.session => {
                    self.stay_awake(now);
                    self.count(now, Direction::Sent, message.payload.len());
                    self.output(Output::Send(message));
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
            | coap::Event::Notification { .. }
            | coap::Event::SentAgain { .. }
            | coap::Event::HeardAgain { .. } => {}
        }
    }

    pub(super) fn output(&mut self, output: Output) {
        self.body.outputs.push_back((self.link.index, output));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.output(Output::Event(event));
    }

    /// Forgets everything that the session carried.
    pub(super) fn forget_session(&mut self) {
        self.link.coap.forget_peer(self.link.session);
        self.link.session = self.link.session.wrapping_add(1);
        self.link.sends.clear();
        self.link.held.clear();
        self.link.registration = Registration::Off;
        self.end_all_observations();
    }

    fn fall_asleep(&mut self, now: Instant) {
        let awake_until = self.link.presence.timeout();
        if awake_until.is_none_or(|until| until > now) {
            return;
        }
        // LwM2M Core 1.2 §6.5: the device stays awake while it waits for an answer.
        if self.link.coap.exchange_count() > 0 {
            self.stay_awake(now);
        } else {
            self.link.presence = Presence::Asleep;
            self.event(Event::FellAsleep);
        }
    }
}
