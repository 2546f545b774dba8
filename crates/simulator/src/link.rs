//! One device and its transport: the engines together, still without a socket.
//!
//! 1. `start`: the DTLS handshake if there is security, then the device registers.
//! 2. Datagrams go through the session in both directions.
//! 3. A session that ended, a handshake that failed and a server that does not answer lead to a
//!    new handshake, after a wait that doubles.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dtls::{Client, ClientOutput, CloseReason, HandshakeFailure};
use lwm2m_client::{Device, Event, Output, RegistrationFailure};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::plan::DevicePlan;

const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What a link wants of its caller.
#[derive(Debug)]
pub(crate) enum LinkOutput {
    Transmit(Vec<u8>),
    Device(Event),
    Connected,
    HandshakeFailed(HandshakeFailure),
    SessionEnded(CloseReason),
}

pub(crate) struct Link {
    device: Device,
    security: Option<Security>,
    outputs: VecDeque<LinkOutput>,
    rng: ChaCha8Rng,
}

struct Security {
    client: Client,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Link {
    pub(crate) fn new(plan: DevicePlan) -> Self {
        let mut rng = ChaCha8Rng::from_seed(plan.seed);
        let device = Device::new(plan.config, rng.next_u64());
        let security = plan.security.map(|config| Security {
            client: Client::new(config, rng.random()),
            failures: 0,
            retry_at: None,
        });
        Self {
            device,
            security,
            outputs: VecDeque::new(),
            rng,
        }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn start(&mut self, now: Instant) {
        self.connect(now);
        self.drain(now);
    }

    /// Does something with the device.
    pub(crate) fn with_device(&mut self, now: Instant, act: impl FnOnce(&mut Device)) {
        act(&mut self.device);
        self.drain(now);
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) {
        match &mut self.security {
            None => self.device.handle_datagram(now, datagram),
            Some(security) => security.client.handle_datagram(now, datagram),
        }
        self.drain(now);
    }

    pub(crate) fn poll_output(&mut self) -> Option<LinkOutput> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let security = self.security.as_ref();
        let handshake = security.and_then(|security| security.client.poll_timeout());
        let retry = security.and_then(|security| security.retry_at);
        [self.device.poll_timeout(), handshake, retry]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(security) = &mut self.security {
            security.client.handle_timeout(now);
            if security.retry_at.is_some_and(|at| at <= now) {
                self.connect(now);
            }
        }
        if self.device.poll_timeout().is_some_and(|at| at <= now) {
            self.device.handle_timeout(now);
        }
        self.drain(now);
    }

    fn connect(&mut self, now: Instant) {
        match &mut self.security {
            None => self.device.start(now),
            Some(security) => {
                security.retry_at = None;
                security.client.start(now);
            }
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.device.poll_output() {
                self.device_output(now, output);
            } else if let Some(output) = self
                .security
                .as_mut()
                .and_then(|security| security.client.poll_output())
            {
                self.security_output(now, output);
            } else {
                return;
            }
        }
    }

    fn device_output(&mut self, now: Instant, output: Output) {
        let event = match (output, &mut self.security) {
            (Output::Transmit(datagram), None) => {
                self.outputs.push_back(LinkOutput::Transmit(datagram));
                return;
            }
            (Output::Transmit(datagram), Some(security)) => {
                // Without a session it is as good as lost; the device starts over with the next.
                let _ = security.client.send(&datagram);
                return;
            }
            // The device is never started on a stream.
            (Output::Send(_), _) => return,
            (Output::Event(event), _) => event,
        };
        match (&event, &mut self.security) {
            (Event::Booted, _) => self.connect(now),
            (Event::RebootStarted, Some(security)) => security.client.close(),
            (
                Event::RegistrationFailed { reason, .. } | Event::UpdateFailed { reason, .. },
                Some(security),
            ) if *reason == RegistrationFailure::NoAnswer && security.retry_at.is_none() => {
                // The server may have lost the session, and then never tells.
                security.client.start(now);
            }
            _ => {}
        }
        self.outputs.push_back(LinkOutput::Device(event));
    }

    fn security_output(&mut self, now: Instant, output: ClientOutput) {
        let Some(security) = &mut self.security else {
            return;
        };
        match output {
            ClientOutput::Transmit(datagram) => {
                self.outputs.push_back(LinkOutput::Transmit(datagram));
            }
            ClientOutput::Connected { .. } => {
                security.failures = 0;
                self.device.start(now);
                self.outputs.push_back(LinkOutput::Connected);
            }
            ClientOutput::Plaintext(message) => self.device.handle_datagram(now, &message),
            ClientOutput::Closed(CloseReason::Local) => {}
            ClientOutput::Closed(reason) => {
                self.retry_later(now);
                self.outputs.push_back(LinkOutput::SessionEnded(reason));
            }
            ClientOutput::Failed(reason) => {
                self.retry_later(now);
                self.outputs.push_back(LinkOutput::HandshakeFailed(reason));
            }
        }
    }

    fn retry_later(&mut self, now: Instant) {
        let Some(security) = &mut self.security else {
            return;
        };
        let doubled = SHORTEST_RETRY.saturating_mul(1 << security.failures.min(6));
        let wait = doubled
            .min(LONGEST_RETRY)
            .mul_f64(self.rng.random_range(0.5..1.5));
        security.failures = security.failures.saturating_add(1);
        security.retry_at = Some(now + wait);
    }
}
