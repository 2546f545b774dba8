//! The engine: one device towards one bootstrap server.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use coap::reliable::Capabilities;
use coap::{Code, Endpoint, Event, ExchangeId, Failure, Request, Response};
use lwm2m::{ContentFormat, LwM2mVersion};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::account::StoredAccount;
use super::config::{BootstrapConfig, Misbehaviour, PackUse};
use super::output::{BootstrapEvent, BootstrapFailure, BootstrapOutput};
use super::serve::Served;
use super::store::Store;
use crate::refusal::Refusal;
use crate::registration::asked_wait;

/// The server of one session; a new session has a new number.
type Session = u32;

/// A device that gets its accounts from a bootstrap server.
pub struct BootstrapClient {
    pub(super) config: BootstrapConfig,
    pub(super) store: Store,
    coap: Endpoint<Session>,
    session: Session,
    stage: Stage,
    /// When the device gives up; moved on by each message of the server.
    gives_up_at: Option<Instant>,
    /// Requests answered since the start.
    served: u32,
    rng: ChaCha8Rng,
    outputs: VecDeque<BootstrapOutput>,
}

/// How far the bootstrap is.
enum Stage {
    Idle,
    AskingForPack {
        exchange: ExchangeId,
    },
    Requesting {
        exchange: ExchangeId,
        preferred_format: Option<ContentFormat>,
    },
    Bootstrapping,
    /// The answer to Finish is on its way.
    Finishing {
        exchange: ExchangeId,
        accounts: Vec<StoredAccount>,
    },
    Done,
}

impl fmt::Debug for BootstrapClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BootstrapClient")
            .field("endpoint", &self.config.endpoint)
            .finish_non_exhaustive()
    }
}

impl BootstrapClient {
    /// A device with its bootstrap account and no other. `seed` determines tokens, message ids and all waits; devices of
    /// a fleet need different ones.
    pub fn new(config: BootstrapConfig, seed: u64) -> Self {
        Self {
            store: Store::new(&config.account),
            coap: Endpoint::new(config.coap.clone(), seed),
            session: 0,
            stage: Stage::Idle,
            gives_up_at: None,
            served: 0,
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x6c77_6d32_6d00_0002),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Begins a bootstrap over a transport that is now up. Whatever was under way is dropped.
    pub fn start(&mut self, now: Instant) {
        self.forget_session();
        self.begin(now);
    }

    /// As [`Self::start`] over a stream (RFC 8323) on which the server's CSM has arrived.
    pub fn start_on_stream(&mut self, now: Instant, capabilities: Capabilities) {
        self.forget_session();
        // A device has one peer, for which there is always room.
        let _opened = self.coap.open_stream(now, self.session, capabilities);
        self.begin(now);
    }

    fn forget_session(&mut self) {
        self.coap.forget_peer(self.session);
        self.session = self.session.wrapping_add(1);
        self.stage = Stage::Idle;
        self.served = 0;
    }

    fn begin(&mut self, now: Instant) {
        match self.config.pack {
            PackUse::First(format) => self.ask_for_pack(now, format),
            PackUse::Never => self.request(now, self.preferred_format()),
        }
        self.drain_coap(now);
    }

    /// LwM2M 1.0 has no `pct`.
    fn preferred_format(&self) -> Option<ContentFormat> {
        let format = self.config.preferred_format;
        format.filter(|_| self.config.version > LwM2mVersion::V1_0)
    }

    fn ask_for_pack(&mut self, now: Instant, format: ContentFormat) {
        let request = Request {
            query: vec![format!("ep={}", self.config.endpoint)],
            accept: Some(format.0),
            ..Request::new(Code::GET, ["bspack"])
        };
        match self.coap.send_request(now, self.session, request) {
            Ok(exchange) => self.stage = Stage::AskingForPack { exchange },
            Err(_) => self.request(now, self.preferred_format()),
        }
    }

    fn request(&mut self, now: Instant, preferred_format: Option<ContentFormat>) {
        let mut query = vec![format!("ep={}", self.config.endpoint)];
        query.extend(preferred_format.map(|format| format!("pct={}", format.0)));
        let request = Request {
            query,
            ..Request::new(Code::POST, ["bs"])
        };
        match self.coap.send_request(now, self.session, request) {
            Ok(exchange) => {
                self.stage = Stage::Requesting {
                    exchange,
                    preferred_format,
                };
            }
            Err(_) => self.fail(BootstrapFailure::NoAnswer, None),
        }
    }

    /// A datagram of the server arrived.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.hears() {
            self.coap.handle_datagram(now, self.session, datagram);
            self.drain_coap(now);
        }
    }

    /// A message of the server arrived on the stream.
    pub fn handle_message(&mut self, now: Instant, message: coap::Message) {
        if self.hears() {
            self.coap.handle_message(now, self.session, message);
            self.drain_coap(now);
        }
    }

    fn hears(&self) -> bool {
        let is_silent = matches!(self.config.misbehaviour, Misbehaviour::Silent { after } if self.served >= after);
        !is_silent && !matches!(self.stage, Stage::Idle)
    }

    /// The next thing to do; drain this to `None` after every call.
    pub fn poll_output(&mut self) -> Option<BootstrapOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.coap.poll_timeout(), self.gives_up_at];
        timeouts.into_iter().flatten().min()
    }

    /// Does what is due at `now`; calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.coap.handle_timeout(now);
        self.drain_coap(now);
        if self.gives_up_at.is_some_and(|at| at <= now) {
            self.fail(BootstrapFailure::Silence, None);
        }
    }

    /// The accounts, if they are complete and consistent.
    pub fn accounts(&self) -> Option<Vec<StoredAccount>> {
        super::account::accounts(&self.store)
    }

    /// What the CoAP layer has counted.
    pub fn coap_counters(&self) -> coap::Counters {
        self.coap.counters()
    }

    fn drain_coap(&mut self, now: Instant) {
        while let Some(output) = self.coap.poll_output() {
            match output {
                coap::Output::Transmit { peer, datagram } if peer == self.session => {
                    self.outputs.push_back(BootstrapOutput::Transmit(datagram));
                }
                coap::Output::Send { peer, message } if peer == self.session => {
                    self.outputs.push_back(BootstrapOutput::Send(message));
                }
                coap::Output::Transmit { .. } | coap::Output::Send { .. } => {}
                coap::Output::Event(event) => self.handle_event(now, event),
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event<Session>) {
        match event {
            Event::Request {
                exchange, request, ..
            } => self.handle_request(now, exchange, &request),
            Event::Response {
                exchange, response, ..
            } => self.handle_answer(now, exchange, Ok(&response)),
            Event::Failed {
                exchange, reason, ..
            } => self.handle_answer(now, exchange, Err(reason)),
            Event::ResponseDelivered { exchange, .. } | Event::ResponseFailed { exchange, .. } => {
                self.handle_delivery(exchange);
            }
            Event::Notification { .. }
            | Event::NotificationDelivered { .. }
            | Event::NotificationFailed { .. }
            | Event::ObservationReset { .. }
            | Event::SentAgain { .. }
            | Event::HeardAgain { .. } => {}
        }
    }

    /// What comes before the answer to the Bootstrap-Request is served too: that answer may be lost.
    fn handle_request(&mut self, now: Instant, exchange: ExchangeId, request: &Request) {
        if !matches!(self.stage, Stage::Requesting { .. } | Stage::Bootstrapping) {
            let response = Refusal::Method.response();
            return self.coap.respond(now, exchange, response);
        }
        self.served = self.served.saturating_add(1);
        self.gives_up_at = Some(now + self.config.give_up_after);
        let response = match self.serve(request) {
            Served::Answered(response) => response,
            Served::Inconsistent(response) => {
                self.event(BootstrapEvent::Inconsistent);
                response
            }
            Served::Finished(response, accounts) => {
                self.stage = Stage::Finishing { exchange, accounts };
                self.gives_up_at = None;
                response
            }
        };
        self.coap.respond(now, exchange, response);
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        answer: Result<&Response, Failure>,
    ) {
        match self.stage {
            Stage::AskingForPack { exchange: awaited } if awaited == exchange => {
                if let Some(accounts) = answer.ok().and_then(|response| self.unpack(response)) {
                    return self.finished(accounts);
                }
                // LwM2M Core 1.2 §6.1.7, Bootstrap-Pack: on any error the client makes a request.
                self.event(BootstrapEvent::PackRejected);
                self.request(now, self.preferred_format());
            }
            Stage::Requesting {
                exchange: awaited,
                preferred_format,
            } if awaited == exchange => self.requested(now, preferred_format, answer),
            _ => {}
        }
    }

    fn requested(
        &mut self,
        now: Instant,
        preferred_format: Option<ContentFormat>,
        answer: Result<&Response, Failure>,
    ) {
        match answer {
            Ok(response) if response.code == Code::CHANGED_2_04 => {
                self.stage = Stage::Bootstrapping;
                self.gives_up_at = Some(now + self.config.give_up_after);
                self.event(BootstrapEvent::Accepted);
            }
            Ok(response)
                if response.code == Code::UNSUPPORTED_CONTENT_FORMAT_4_15
                    && preferred_format.is_some() =>
            {
                self.event(BootstrapEvent::FormatRejected);
                self.request(now, None);
            }
            Ok(response) => {
                let is_busy = response.code == Code::SERVICE_UNAVAILABLE_5_03;
                let wait = is_busy.then(|| asked_wait(response.max_age, &mut self.rng));
                self.fail(BootstrapFailure::Refused(response.code), wait);
            }
            Err(_) => self.fail(BootstrapFailure::NoAnswer, None),
        }
    }

    fn handle_delivery(&mut self, exchange: ExchangeId) {
        if let Stage::Finishing {
            exchange: awaited,
            accounts,
        } = &mut self.stage
            && *awaited == exchange
        {
            let accounts = std::mem::take(accounts);
            self.finished(accounts);
        }
    }

    fn finished(&mut self, accounts: Vec<StoredAccount>) {
        self.stage = Stage::Done;
        self.gives_up_at = None;
        self.event(BootstrapEvent::Finished { accounts });
    }

    fn fail(&mut self, reason: BootstrapFailure, retry_after: Option<std::time::Duration>) {
        self.stage = Stage::Idle;
        self.gives_up_at = None;
        self.event(BootstrapEvent::Failed {
            reason,
            retry_after,
        });
    }

    fn event(&mut self, event: BootstrapEvent) {
        self.outputs.push_back(BootstrapOutput::Event(event));
    }
}
