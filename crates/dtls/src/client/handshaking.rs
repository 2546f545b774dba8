//! The client's handshake.

use std::collections::VecDeque;
use std::time::Instant;

use crate::alert::{Alert, AlertLevel};
use crate::client::answer::{Answer, answer};
use crate::client::resumption::ClientResumption;
use crate::client::server_flight::{Choice, ServerFlight};
use crate::client::{ClientConfig, ClientCredentials, ClientOutput, Established, LastFlight};
use crate::counters::Counters;
use crate::error::HandshakeFailure;
use crate::extension::{self, Extensions};
use crate::flight::{self, Expiry, Part, RetransmitTimer, Sealer};
use crate::handshake::client_hello::Offer;
use crate::handshake::{Fragment, MessageType, certificate, finished, hello_verify_request};
use crate::key_agreement::NamedGroup;
use crate::key_schedule::{HelloRandom, MasterSecret, MasterSecretKind};
use crate::prf::Transcript;
use crate::protection::{RecordKeys, Role};
use crate::random::Random;
use crate::reassembly::{Acceptance, Message, Reassembly};
use crate::record::{ContentType, EPOCH_PLAIN, EPOCH_PROTECTED, PlainSequence, Record, put_plain};
use crate::resumption::HandshakeKind;
use crate::sequence::WriteSequence;
use crate::session::{Rejection, open_fresh};
use crate::signature;
use crate::wire::{Reader, put_vec8};
use replay::ReplayWindow;

/// A host name has at most 255 bytes (RFC 1035 §2.3.4).
const MAX_SERVER_NAME: usize = 255;
/// All messages of the server's flight: a chain of certificates, a key, a long identity hint.
const MAX_FLIGHT: usize = certificate::MAX_LENGTH + 2048;
/// A server whose secret rotates at the wrong moment asks twice.
const MAX_HELLO_VERIFY_REQUESTS: u8 = 4;

enum Awaiting {
    ServerHello,
    ServerHelloDone(Box<ServerFlight>),
    /// In an abbreviated handshake: the server's Finished comes before ours.
    Resumption(Box<AwaitingFinished>),
    Finished(Box<AwaitingFinished>),
}

struct AwaitingFinished {
    choice: Choice,
    master: MasterSecret,
    keys: RecordKeys,
    window: ReplayWindow,
    write: WriteSequence,
}

impl AwaitingFinished {
    fn new(choice: Choice, master: MasterSecret) -> Self {
        Self {
            keys: master.record_keys(choice.suite, Role::Client, &choice.randoms),
            choice,
            master,
            window: ReplayWindow::default(),
            write: WriteSequence::of_generation(0),
        }
    }
}

pub(super) enum Progress {
    Waiting,
    Connected(Box<Connected>),
}

/// A handshake that is complete.
pub(super) struct Connected {
    pub(super) established: Established,
    /// If the extension was negotiated.
    pub(super) server_cid: Option<Vec<u8>>,
    pub(super) how: HandshakeKind,
    pub(super) resumption: Option<ClientResumption>,
}

pub(super) struct Handshaking {
    random: HelloRandom,
    /// For the ephemeral key.
    keys: Random,
    own_cid: Option<Vec<u8>>,
    cookie: Vec<u8>,
    hello_verify_requests: u8,
    message_seq: u16,
    plain: PlainSequence,
    transcript: Transcript,
    reassembly: Reassembly,
    flight: Vec<Part>,
    timer: RetransmitTimer,
    awaiting: Awaiting,
}

impl Handshaking {
    pub(super) fn start(
        now: Instant,
        config: &ClientConfig,
        random: &mut Random,
        own_cid: Option<Vec<u8>>,
    ) -> Self {
        let mut handshaking = Self {
            random: random.bytes(),
            keys: Random::from_seed(random.bytes()),
            own_cid,
            cookie: Vec::new(),
            hello_verify_requests: 0,
            message_seq: 0,
            plain: PlainSequence::starting_at(0),
            transcript: Transcript::new(),
            reassembly: Reassembly::new(0, MAX_FLIGHT),
            flight: Vec::new(),
            timer: RetransmitTimer::start(now, &config.retransmission),
            awaiting: Awaiting::ServerHello,
        };
        handshaking.prepare_hello(now, config);
        handshaking
    }

    /// The hello of the current cookie; the transcript begins with it (RFC 6347 §4.2.6).
    fn prepare_hello(&mut self, now: Instant, config: &ClientConfig) {
        let hello = self.encode_hello(config);
        self.transcript = Transcript::new();
        self.transcript.add(&hello);
        // The server's numbers go on from the hello that it answers.
        self.reassembly = Reassembly::new(self.message_seq, MAX_FLIGHT);
        self.flight = vec![Part::Plain(hello)];
        self.timer = RetransmitTimer::start(now, &config.retransmission);
    }

    fn encode_hello(&self, config: &ClientConfig) -> Vec<u8> {
        let suites = config.usable_suites();
        let is_ephemeral = suites
            .iter()
            .any(|suite| suite.key_exchange().is_ephemeral());
        let server_name = config
            .server_name
            .as_deref()
            .filter(|name| name.len() <= MAX_SERVER_NAME)
            .map(extension::host_name_content);
        let mut client_type = Vec::new();
        let mut server_types = Vec::new();
        if let ClientCredentials::Key { credential, server } = &config.credentials {
            put_vec8(&mut client_type, &[credential.kind().code()]);
            let types = server.certificate_types().iter();
            put_vec8(
                &mut server_types,
                &types.map(|kind| kind.code()).collect::<Vec<_>>(),
            );
        }
        let present = |content: &'static [u8]| is_ephemeral.then_some(content);
        let has_key = !client_type.is_empty();
        Offer {
            random: &self.random,
            session_id: config.wanted().map_or(&[], ClientResumption::id),
            cookie: &self.cookie,
            suites: &suites,
            extensions: Extensions {
                server_name: server_name.as_deref(),
                supported_groups: present(&NamedGroup::OFFER),
                point_formats: present(extension::POINT_FORMATS),
                signature_algorithms: has_key.then_some(&signature::OFFER),
                client_certificate_type: has_key.then_some(&client_type),
                server_certificate_type: has_key.then_some(&server_types),
                encrypt_then_mac: suites.iter().any(|suite| suite.needs_encrypt_then_mac()),
                extended_master_secret: config.master_secret == MasterSecretKind::Extended,
                renegotiation_info: None,
                connection_id: self.own_cid.as_deref(),
            },
        }
        .encode(self.message_seq)
    }

    /// The Connection ID that the server's protected records carry.
    pub(super) fn negotiated_cid(&self) -> &[u8] {
        let choice = match &self.awaiting {
            Awaiting::ServerHello => return &[],
            Awaiting::ServerHelloDone(flight) => &flight.choice,
            Awaiting::Resumption(waiting) | Awaiting::Finished(waiting) => &waiting.choice,
        };
        match (&choice.server_cid, &self.own_cid) {
            (Some(_), Some(own)) => own,
            _ => &[],
        }
    }

    pub(super) const fn due(&self) -> Instant {
        self.timer.at()
    }

    pub(super) fn on_timeout(
        &mut self,
        now: Instant,
        config: &ClientConfig,
        outputs: &mut VecDeque<ClientOutput>,
    ) -> Result<(), HandshakeFailure> {
        match self.timer.expire(now, &config.retransmission) {
            Expiry::GiveUp => Err(HandshakeFailure::TimedOut),
            Expiry::Retransmit => {
                self.transmit(config, outputs);
                Ok(())
            }
        }
    }

    pub(super) fn transmit(&mut self, config: &ClientConfig, outputs: &mut VecDeque<ClientOutput>) {
        let sealer = match &mut self.awaiting {
            Awaiting::Finished(waiting) => {
                let AwaitingFinished {
                    choice,
                    keys,
                    write,
                    ..
                } = &mut **waiting;
                let cid = choice.server_cid.as_deref().unwrap_or_default();
                Some(Sealer { keys, cid, write })
            }
            Awaiting::ServerHello | Awaiting::ServerHelloDone(_) | Awaiting::Resumption(_) => None,
        };
        flight::transmit(
            &self.flight,
            &mut self.plain,
            sealer,
            config.mtu,
            |datagram| outputs.push_back(ClientOutput::Transmit(datagram)),
        );
    }

    pub(super) fn alert(&mut self, alert: Alert) -> Vec<u8> {
        let mut datagram = Vec::new();
        let content = alert.encode();
        put_plain(&mut datagram, ContentType::Alert, &mut self.plain, &content);
        datagram
    }

    pub(super) fn on_record(
        &mut self,
        now: Instant,
        config: &ClientConfig,
        record: Record<'_>,
        counters: &mut Counters,
        outputs: &mut VecDeque<ClientOutput>,
    ) -> Result<Progress, HandshakeFailure> {
        let epoch = record.epoch;
        let opened = if epoch == EPOCH_PLAIN {
            (record.content_type, record.payload())
        } else {
            let (Awaiting::Resumption(waiting) | Awaiting::Finished(waiting)) = &mut self.awaiting
            else {
                counters.unknown_epoch += 1;
                return Ok(Progress::Waiting);
            };
            match open_fresh(&waiting.keys, &mut waiting.window, record) {
                Ok((_, opened)) => (opened.content_type, opened.content),
                Err(Rejection::UnknownEpoch) => {
                    counters.unknown_epoch += 1;
                    return Ok(Progress::Waiting);
                }
                Err(Rejection::Replayed) => {
                    counters.replayed += 1;
                    return Ok(Progress::Waiting);
                }
                Err(Rejection::Unauthentic) => {
                    counters.unauthentic += 1;
                    return Ok(Progress::Waiting);
                }
            }
        };
        match opened {
            (ContentType::Handshake, content) => {
                self.on_content(now, config, epoch, content, counters, outputs)
            }
            (ContentType::Alert, content) => match Alert::decode(content) {
                Some(alert) if alert.level == AlertLevel::Fatal => {
                    Err(HandshakeFailure::PeerAlert(alert.description))
                }
                _ => {
                    counters.ignored_alerts += 1;
                    Ok(Progress::Waiting)
                }
            },
            (ContentType::ChangeCipherSpec, _) => Ok(Progress::Waiting),
            // Application data overtook the Finished.
            _ => {
                counters.out_of_place += 1;
                Ok(Progress::Waiting)
            }
        }
    }

    fn on_content(
        &mut self,
        now: Instant,
        config: &ClientConfig,
        epoch: u16,
        content: &[u8],
        counters: &mut Counters,
        outputs: &mut VecDeque<ClientOutput>,
    ) -> Result<Progress, HandshakeFailure> {
        let mut reader = Reader::new(content);
        while !reader.is_empty() {
            let Ok(fragment) = Fragment::read(&mut reader) else {
                counters.malformed_messages += 1;
                return Ok(Progress::Waiting);
            };
            match fragment.kind {
                // Servers that keep no state number it as they like.
                MessageType::HelloVerifyRequest => {
                    if self.on_hello_verify_request(now, config, &fragment) {
                        self.transmit(config, outputs);
                    } else {
                        counters.repeated_messages += 1;
                    }
                    continue;
                }
                MessageType::HelloRequest => continue,
                _ => {}
            }
            match self.reassembly.push(epoch, &fragment) {
                Acceptance::Kept => {}
                Acceptance::Repeated => counters.repeated_messages += 1,
                Acceptance::Refused => counters.refused_fragments += 1,
            }
            while let Some(message) = self.reassembly.pop() {
                match self.on_message(now, config, &message, outputs)? {
                    Progress::Waiting => {}
                    connected @ Progress::Connected(..) => return Ok(connected),
                }
            }
        }
        Ok(Progress::Waiting)
    }

    /// Whether there is a new hello to be sent.
    fn on_hello_verify_request(
        &mut self,
        now: Instant,
        config: &ClientConfig,
        fragment: &Fragment<'_>,
    ) -> bool {
        let expected = matches!(self.awaiting, Awaiting::ServerHello) && fragment.is_whole();
        let Ok(cookie) = hello_verify_request::parse(fragment.body) else {
            return false;
        };
        // The network may repeat a request that was answered already.
        if !expected
            || cookie == self.cookie
            || self.hello_verify_requests >= MAX_HELLO_VERIFY_REQUESTS
        {
            return false;
        }
        self.hello_verify_requests += 1;
        self.cookie = cookie.to_vec();
        self.message_seq += 1;
        self.prepare_hello(now, config);
        true
    }

    fn on_message(
        &mut self,
        now: Instant,
        config: &ClientConfig,
        message: &Message,
        outputs: &mut VecDeque<ClientOutput>,
    ) -> Result<Progress, HandshakeFailure> {
        match (&mut self.awaiting, message.kind, message.epoch) {
            (Awaiting::ServerHello, MessageType::ServerHello, EPOCH_PLAIN) => {
                let own_cid = self.own_cid.as_deref();
                let choice = Choice::read(config, &self.random, own_cid, message.body())?;
                self.transcript.add(&message.bytes);
                self.awaiting = match config.wanted() {
                    Some(wanted) if wanted.is_accepted(&choice)? => {
                        let waiting = AwaitingFinished::new(choice, wanted.master());
                        Awaiting::Resumption(Box::new(waiting))
                    }
                    _ => Awaiting::ServerHelloDone(Box::new(ServerFlight::new(choice))),
                };
                Ok(Progress::Waiting)
            }
            (Awaiting::ServerHelloDone(_), MessageType::ServerHelloDone, EPOCH_PLAIN) => {
                self.transcript.add(&message.bytes);
                self.answer(now, config)?;
                self.transmit(config, outputs);
                Ok(Progress::Waiting)
            }
            (Awaiting::ServerHelloDone(flight), _, EPOCH_PLAIN) => {
                flight.on_message(config, message)?;
                self.transcript.add(&message.bytes);
                Ok(Progress::Waiting)
            }
            (
                Awaiting::Resumption(_) | Awaiting::Finished(_),
                MessageType::Finished,
                EPOCH_PROTECTED,
            ) => self.on_finished(config, message, outputs),
            _ => Err(HandshakeFailure::UnexpectedMessage),
        }
    }

    /// Prepares the second flight.
    fn answer(&mut self, now: Instant, config: &ClientConfig) -> Result<(), HandshakeFailure> {
        let before = std::mem::replace(&mut self.awaiting, Awaiting::ServerHello);
        let Awaiting::ServerHelloDone(server) = before else {
            return Err(HandshakeFailure::UnexpectedMessage);
        };
        let Answer { parts, master } = answer(
            config,
            &mut self.keys,
            &server,
            self.message_seq + 1,
            &mut self.transcript,
        )?;
        self.flight = parts;
        self.timer = RetransmitTimer::start(now, &config.retransmission);
        let waiting = AwaitingFinished::new(server.choice, master);
        self.awaiting = Awaiting::Finished(Box::new(waiting));
        Ok(())
    }

    fn on_finished(
        &mut self,
        config: &ClientConfig,
        message: &Message,
        outputs: &mut VecDeque<ClientOutput>,
    ) -> Result<Progress, HandshakeFailure> {
        let own_cid = self.negotiated_cid().to_vec();
        let before = std::mem::replace(&mut self.awaiting, Awaiting::ServerHello);
        let (waiting, how) = match before {
            Awaiting::Resumption(waiting) => (waiting, HandshakeKind::Abbreviated),
            Awaiting::Finished(waiting) => (waiting, HandshakeKind::Full),
            Awaiting::ServerHello | Awaiting::ServerHelloDone(_) => {
                return Err(HandshakeFailure::UnexpectedMessage);
            }
        };
        let expected = waiting.master.verify_data(Role::Server, &self.transcript);
        if !finished::matches(message.body(), &expected) {
            return Err(HandshakeFailure::FinishedMismatch);
        }
        let resumption = ClientResumption::of(config, &waiting.choice, &waiting.master);
        let last_flight = match how {
            HandshakeKind::Full => None,
            HandshakeKind::Abbreviated => {
                self.transcript.add(&message.bytes);
                let verify_data = waiting.master.verify_data(Role::Client, &self.transcript);
                Some(Box::new(LastFlight {
                    plain: self.plain,
                    finished: finished::encode(self.message_seq + 1, &verify_data),
                }))
            }
        };
        let AwaitingFinished {
            choice,
            keys,
            window,
            write,
            ..
        } = *waiting;
        let mut established = Established {
            keys,
            window,
            write,
            own_cid,
            server_cid: choice.server_cid.clone().unwrap_or_default(),
            last_flight,
        };
        established.send_last_flight(config, outputs);
        Ok(Progress::Connected(Box::new(Connected {
            established,
            server_cid: choice.server_cid,
            how,
            resumption,
        })))
    }
}
