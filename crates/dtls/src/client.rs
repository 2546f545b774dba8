//! The client: one session, for the simulator, tests and tools.
//!
//! ```text
//! 1. awaiting ServerHello      hello is out; a HelloVerifyRequest starts it over with the cookie
//! 2. awaiting ServerHelloDone  suite and extensions are known; the server's key comes and is judged
//! 3. awaiting Finished         our own key, key exchange and Finished are out
//! 4. Connected
//! ```
//! A server that resumes a session skips 2: its Finished follows its hello, and ours, which is the
//! last flight then, is repeated on request.
//!
//! Every other flight is repeated until the next one answers it (RFC 6347 §4.2.4).

mod answer;
mod config;
mod handshaking;
mod resumption;
mod server_flight;

use std::collections::VecDeque;
use std::time::Instant;

pub use config::{CidOffer, ClientConfig, ClientCredentials, ServerTrust};
pub use resumption::ClientResumption;

use crate::alert::{Alert, AlertDescription, AlertLevel};
use crate::client::handshaking::{Connected, Handshaking, Progress};
use crate::counters::Counters;
use crate::error::{CloseReason, HandshakeFailure, SendError};
use crate::flight::{self, Part, Sealer};
use crate::handshake::{Fragment, MessageType};
use crate::protection::{Outgoing, RecordKeys};
use crate::random::Random;
use crate::record::{self, ContentType, EPOCH_PROTECTED, MAX_PLAINTEXT, PlainSequence, Record};
use crate::resumption::HandshakeKind;
use crate::sequence::WriteSequence;
use crate::session::{Rejection, open_fresh};
use crate::wire::Reader;
use replay::ReplayWindow;

/// Records looked at in one datagram.
const MAX_RECORDS: usize = 32;

/// From [`Client::poll_output`].
#[derive(Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Send a datagram to the server.
    Transmit(Vec<u8>),
    /// The handshake is complete.
    Connected {
        /// The Connection ID that the server receives; `None` without the extension.
        server_cid: Option<Vec<u8>>,
        /// Which handshake.
        how: HandshakeKind,
    },
    /// Application data of at least one byte.
    Plaintext(Vec<u8>),
    /// The session is over.
    Closed(CloseReason),
    /// The handshake came to nothing.
    Failed(HandshakeFailure),
}

struct Established {
    keys: RecordKeys,
    window: ReplayWindow,
    write: WriteSequence,
    /// In the records that we receive; empty for plain headers.
    own_cid: Vec<u8>,
    /// In the records that we send.
    server_cid: Vec<u8>,
    /// After an abbreviated handshake, until application data shows that the server has it.
    last_flight: Option<Box<LastFlight>>,
}

/// ChangeCipherSpec and Finished.
struct LastFlight {
    plain: PlainSequence,
    finished: Vec<u8>,
}

enum State {
    Idle,
    Handshaking(Box<Handshaking>),
    Connected(Established),
    Ended,
}

/// The client side of one session. The server's address is the caller's business: after a change
/// of the own address, just go on sending.
pub struct Client {
    config: ClientConfig,
    random: Random,
    state: State,
    outputs: VecDeque<ClientOutput>,
    counters: Counters,
    resumption: Option<ClientResumption>,
}

impl Client {
    /// A client that has not sent anything yet. `seed` comes from a cryptographic generator.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: Random::from_seed(seed),
            state: State::Idle,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            resumption: None,
        }
    }

    /// What it was made with.
    pub const fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// What a later client can resume the newest session from; also once that is closed. `None`
    /// when the server does not offer it, or after a fatal alert (RFC 5246 §7.2.2).
    pub const fn resumption(&self) -> Option<&ClientResumption> {
        self.resumption.as_ref()
    }

    /// Begins the handshake, or begins anew: whatever session there was is forgotten.
    pub fn start(&mut self, now: Instant) {
        let own_cid = self.config.cid.resolve(&mut self.random);
        let mut handshaking = Handshaking::start(now, &self.config, &mut self.random, own_cid);
        handshaking.transmit(&self.config, &mut self.outputs);
        self.state = State::Handshaking(Box::new(handshaking));
    }

    /// Whether application data can be sent.
    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// Takes a datagram of the server in; it is decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) {
        self.counters.datagrams += 1;
        let mut rest = datagram;
        for _ in 0..MAX_RECORDS {
            if rest.is_empty() {
                return;
            }
            let own_cid = match &self.state {
                State::Handshaking(handshaking) => handshaking.negotiated_cid(),
                State::Connected(established) => &established.own_cid,
                State::Idle | State::Ended => return,
            };
            let Some((record, tail)) = record::split_first(rest, own_cid.len()) else {
                self.counters.malformed_records += 1;
                return;
            };
            // RFC 9146 §3: with a Connection ID negotiated, protected records have to carry it.
            if record.epoch == EPOCH_PROTECTED && record.cid() != own_cid {
                self.counters.unknown_session += 1;
            } else if matches!(self.state, State::Handshaking(_)) {
                self.on_handshake_record(now, record);
            } else {
                self.on_record(record);
            }
            rest = tail;
        }
    }

    fn on_handshake_record(&mut self, now: Instant, record: Record<'_>) {
        let State::Handshaking(handshaking) = &mut self.state else {
            return;
        };
        let progress = handshaking.on_record(
            now,
            &self.config,
            record,
            &mut self.counters,
            &mut self.outputs,
        );
        match progress {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Connected(connected)) => {
                let Connected {
                    established,
                    server_cid,
                    how,
                    resumption,
                } = *connected;
                self.state = State::Connected(established);
                self.resumption = resumption;
                self.outputs
                    .push_back(ClientOutput::Connected { server_cid, how });
            }
            Err(reason) => self.fail(reason),
        }
    }

    fn fail(&mut self, reason: HandshakeFailure) {
        let before = std::mem::replace(&mut self.state, State::Ended);
        if let (State::Handshaking(mut handshaking), Some(description)) = (before, reason.alert()) {
            let datagram = handshaking.alert(Alert::fatal(description));
            self.outputs.push_back(ClientOutput::Transmit(datagram));
        }
        self.outputs.push_back(ClientOutput::Failed(reason));
    }

    fn on_record(&mut self, record: Record<'_>) {
        let State::Connected(established) = &mut self.state else {
            return;
        };
        let opened = match open_fresh(&established.keys, &mut established.window, record) {
            Ok((_, opened)) => opened,
            Err(rejection) => {
                *match rejection {
                    Rejection::UnknownEpoch => &mut self.counters.unknown_epoch,
                    Rejection::Replayed => &mut self.counters.replayed,
                    Rejection::Unauthentic => &mut self.counters.unauthentic,
                } += 1;
                return;
            }
        };
        match opened.content_type {
            ContentType::ApplicationData => {
                established.last_flight = None;
                if !opened.content.is_empty() {
                    let data = opened.content.to_vec();
                    self.outputs.push_back(ClientOutput::Plaintext(data));
                }
            }
            ContentType::Alert => match Alert::decode(opened.content) {
                Some(alert) => self.on_alert(alert),
                None => self.counters.malformed_messages += 1,
            },
            ContentType::Handshake => {
                let fragment = Fragment::read(&mut Reader::new(opened.content));
                match fragment.map(|fragment| fragment.kind) {
                    Ok(MessageType::HelloRequest) => {
                        self.counters.renegotiations_refused += 1;
                        self.send_alert(Alert::warning(AlertDescription::NO_RENEGOTIATION));
                    }
                    // RFC 6347 §4.2.4: the server did not get ours.
                    Ok(MessageType::Finished) if established.last_flight.is_some() => {
                        self.counters.retransmissions += 1;
                        established.send_last_flight(&self.config, &mut self.outputs);
                    }
                    // The server's Finished once more.
                    Ok(_) => self.counters.repeated_messages += 1,
                    Err(_) => self.counters.malformed_messages += 1,
                }
            }
            ContentType::ChangeCipherSpec | ContentType::Tls12Cid => {
                self.counters.out_of_place += 1;
            }
        }
    }

    fn on_alert(&mut self, alert: Alert) {
        let reason = match (alert.level, alert.description) {
            (_, AlertDescription::CLOSE_NOTIFY) => {
                self.send_alert(Alert::warning(AlertDescription::CLOSE_NOTIFY));
                CloseReason::PeerClosed
            }
            (AlertLevel::Fatal, description) => {
                self.resumption = None;
                CloseReason::PeerAlert(description)
            }
            (AlertLevel::Warning, _) => {
                self.counters.ignored_alerts += 1;
                return;
            }
        };
        self.end(reason);
    }

    fn end(&mut self, reason: CloseReason) {
        self.state = State::Ended;
        self.outputs.push_back(ClientOutput::Closed(reason));
    }

    fn send_alert(&mut self, alert: Alert) {
        if let State::Connected(established) = &mut self.state
            && let Some(datagram) = established.seal(ContentType::Alert, &alert.encode())
        {
            self.outputs.push_back(ClientOutput::Transmit(datagram));
        }
    }

    /// Sends application data of up to 2^14 bytes in one record of one datagram.
    pub fn send(&mut self, plaintext: &[u8]) -> Result<(), SendError> {
        if plaintext.len() > MAX_PLAINTEXT {
            let length = plaintext.len();
            return Err(SendError::TooLong { length });
        }
        let State::Connected(established) = &mut self.state else {
            return Err(SendError::NoSession);
        };
        let Some(datagram) = established.seal(ContentType::ApplicationData, plaintext) else {
            self.end(CloseReason::SequenceExhausted);
            return Err(SendError::SequenceExhausted);
        };
        self.outputs.push_back(ClientOutput::Transmit(datagram));
        Ok(())
    }

    /// Ends the session, telling the server, or abandons the handshake.
    pub fn close(&mut self) {
        self.send_alert(Alert::warning(AlertDescription::CLOSE_NOTIFY));
        match self.state {
            State::Idle | State::Ended => {}
            State::Handshaking(_) | State::Connected(_) => self.end(CloseReason::Local),
        }
    }

    /// The next output. Drain them all after every call.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// When [`Client::handle_timeout`] is to be called, unless an input changes that.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Handshaking(handshaking) => Some(handshaking.due()),
            State::Idle | State::Connected(_) | State::Ended => None,
        }
    }

    /// Repeats the flight, or gives the handshake up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let State::Handshaking(handshaking) = &mut self.state else {
            return;
        };
        if handshaking.due() > now {
            return;
        }
        if let Err(reason) = handshaking.on_timeout(now, &self.config, &mut self.outputs) {
            self.fail(reason);
        } else {
            self.counters.retransmissions += 1;
        }
    }

    /// What was dropped and done so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Established {
    /// Nothing, unless the handshake was an abbreviated one.
    fn send_last_flight(&mut self, config: &ClientConfig, outputs: &mut VecDeque<ClientOutput>) {
        let Some(last) = self.last_flight.as_deref_mut() else {
            return;
        };
        let parts = [Part::ChangeCipherSpec, Part::Sealed(last.finished.clone())];
        let sealer = Sealer {
            keys: &self.keys,
            cid: &self.server_cid,
            write: &mut self.write,
        };
        flight::transmit(
            &parts,
            &mut last.plain,
            Some(sealer),
            config.mtu,
            |datagram| {
                outputs.push_back(ClientOutput::Transmit(datagram));
            },
        );
    }

    fn seal(&mut self, content_type: ContentType, content: &[u8]) -> Option<Vec<u8>> {
        let sequence = self.write.next()?;
        let mut datagram = Vec::new();
        let outgoing = Outgoing {
            content_type,
            epoch: EPOCH_PROTECTED,
            sequence,
            cid: &self.server_cid,
        };
        self.keys.seal(outgoing, content, &mut datagram);
        Some(datagram)
    }
}
