//! The client's handshake.

use std::collections::VecDeque;
use std::time::Instant;

use crate::alert::{Alert, AlertLevel};
use crate::client::{ClientConfig, ClientOutput, Established};
use crate::counters::Counters;
use crate::error::HandshakeFailure;
use crate::flight::{self, Expiry, Part, RetransmitTimer, Sealer};
use crate::handshake::client_hello::Offer;
use crate::handshake::server_hello::ServerHello;
use crate::handshake::{
    Fragment, MessageType, client_key_exchange, finished, hello_verify_request,
};
use crate::key_schedule::{HelloRandom, HelloRandoms, MasterSecret, MasterSecretKind};
use crate::prf::Transcript;
use crate::protection::{RecordKeys, Role};
use crate::reassembly::{Acceptance, Message, Reassembly};
use crate::record::{
    ContentType, EPOCH_PLAIN, EPOCH_PROTECTED, MAX_CID, PlainSequence, Record, VERSION, put_plain,
};
use crate::replay::ReplayWindow;
use crate::sequence::WriteSequence;
use crate::session::{Rejection, open_fresh};
use crate::suite::CipherSuite;
use crate::wire::Reader;

/// The longest server message: a ServerKeyExchange with a long identity hint.
const MAX_MESSAGE: usize = 2048;
/// A server whose secret rotates at the wrong moment asks twice.
const MAX_HELLO_VERIFY_REQUESTS: u8 = 4;

/// What the server chose.
#[derive(Clone)]
struct Choice {
    suite: CipherSuite,
    master_secret: MasterSecretKind,
    randoms: HelloRandoms,
    server_cid: Option<Vec<u8>>,
}

enum Awaiting {
    ServerHello,
    ServerHelloDone(Choice),
    Finished(Box<AwaitingFinished>),
}

struct AwaitingFinished {
    choice: Choice,
    master: MasterSecret,
    keys: RecordKeys,
    window: ReplayWindow,
    write: WriteSequence,
}

pub(super) enum Progress {
    Waiting,
    /// The session, and the server's Connection ID if the extension was negotiated.
    Connected(Established, Option<Vec<u8>>),
}

pub(super) struct Handshaking {
    random: HelloRandom,
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
        random: HelloRandom,
        own_cid: Option<Vec<u8>>,
    ) -> Self {
        let mut handshaking = Self {
            random,
            own_cid,
            cookie: Vec::new(),
            hello_verify_requests: 0,
            message_seq: 0,
            plain: PlainSequence::starting_at(0),
            transcript: Transcript::new(),
            reassembly: Reassembly::new(0, MAX_MESSAGE),
            flight: Vec::new(),
            timer: RetransmitTimer::start(now, &config.retransmission),
            awaiting: Awaiting::ServerHello,
        };
        handshaking.prepare_hello(now, config);
        handshaking
    }

    /// The hello of the current cookie; the transcript begins with it (RFC 6347 §4.2.6).
    fn prepare_hello(&mut self, now: Instant, config: &ClientConfig) {
        let offer = Offer {
            random: &self.random,
            cookie: &self.cookie,
            master_secret: config.master_secret,
            cid: self.own_cid.as_deref(),
        };
        let hello = offer.encode(self.message_seq);
        self.transcript = Transcript::new();
        self.transcript.add(&hello);
        // The server's numbers go on from the hello that it answers.
        self.reassembly = Reassembly::new(self.message_seq, MAX_MESSAGE);
        self.flight = vec![Part::Plain(hello)];
        self.timer = RetransmitTimer::start(now, &config.retransmission);
    }

    /// The Connection ID that the server's protected records carry.
    pub(super) fn negotiated_cid(&self) -> &[u8] {
        let choice = match &self.awaiting {
            Awaiting::ServerHello => return &[],
            Awaiting::ServerHelloDone(choice) => choice,
            Awaiting::Finished(waiting) => &waiting.choice,
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
            Awaiting::ServerHello | Awaiting::ServerHelloDone(_) => None,
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
            let Awaiting::Finished(waiting) = &mut self.awaiting else {
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
        match (&self.awaiting, message.kind, message.epoch) {
            (Awaiting::ServerHello, MessageType::ServerHello, EPOCH_PLAIN) => {
                let choice = self.on_server_hello(config, message.body())?;
                self.transcript.add(&message.bytes);
                self.awaiting = Awaiting::ServerHelloDone(choice);
                Ok(Progress::Waiting)
            }
            // RFC 4279 §2: only an identity hint, which we have no use for.
            (Awaiting::ServerHelloDone(_), MessageType::ServerKeyExchange, EPOCH_PLAIN) => {
                self.transcript.add(&message.bytes);
                Ok(Progress::Waiting)
            }
            (Awaiting::ServerHelloDone(choice), MessageType::ServerHelloDone, EPOCH_PLAIN) => {
                let choice = choice.clone();
                self.transcript.add(&message.bytes);
                self.answer(now, config, choice);
                self.transmit(config, outputs);
                Ok(Progress::Waiting)
            }
            (Awaiting::Finished(_), MessageType::Finished, EPOCH_PROTECTED) => {
                self.on_finished(message.body())
            }
            _ => Err(HandshakeFailure::UnexpectedMessage),
        }
    }

    fn on_server_hello(
        &self,
        config: &ClientConfig,
        body: &[u8],
    ) -> Result<Choice, HandshakeFailure> {
        let hello = ServerHello::parse(body).map_err(|_| HandshakeFailure::Malformed)?;
        if hello.version != VERSION {
            return Err(HandshakeFailure::UnsupportedVersion);
        }
        if hello.compression != 0 {
            return Err(HandshakeFailure::IllegalParameter);
        }
        let suite =
            CipherSuite::from_code(hello.suite).ok_or(HandshakeFailure::IllegalParameter)?;
        let extensions = hello.extensions;
        // RFC 5746 §3.4: empty in an initial handshake.
        if extensions
            .renegotiation_info
            .is_some_and(|info| !info.is_empty())
        {
            return Err(HandshakeFailure::IllegalParameter);
        }
        let master_secret = match (extensions.extended_master_secret, config.master_secret) {
            (true, MasterSecretKind::Extended) => MasterSecretKind::Extended,
            (true, MasterSecretKind::Classic) => {
                return Err(HandshakeFailure::UnsolicitedExtension);
            }
            (false, _) => MasterSecretKind::Classic,
        };
        let server_cid = match (extensions.connection_id, &self.own_cid) {
            (Some(_), None) => return Err(HandshakeFailure::UnsolicitedExtension),
            (Some(cid), Some(_)) if cid.len() > MAX_CID => {
                return Err(HandshakeFailure::IllegalParameter);
            }
            (cid, _) => cid.map(<[u8]>::to_vec),
        };
        Ok(Choice {
            suite,
            master_secret,
            randoms: HelloRandoms {
                client: self.random,
                server: hello.random,
            },
            server_cid,
        })
    }

    /// Prepares the second flight: ClientKeyExchange, ChangeCipherSpec, Finished.
    fn answer(&mut self, now: Instant, config: &ClientConfig, choice: Choice) {
        self.message_seq += 1;
        let key_exchange = client_key_exchange::encode(self.message_seq, &config.identity);
        self.transcript.add(&key_exchange);
        let master = MasterSecret::from_psk(
            &config.psk,
            choice.master_secret,
            &choice.randoms,
            &self.transcript,
        );
        self.message_seq += 1;
        let verify_data = master.verify_data(Role::Client, &self.transcript);
        let finished = finished::encode(self.message_seq, &verify_data);
        self.transcript.add(&finished);
        self.flight = vec![
            Part::Plain(key_exchange),
            Part::ChangeCipherSpec,
            Part::Sealed(finished),
        ];
        self.timer = RetransmitTimer::start(now, &config.retransmission);
        self.awaiting = Awaiting::Finished(Box::new(AwaitingFinished {
            keys: master.record_keys(choice.suite, Role::Client, &choice.randoms),
            choice,
            master,
            window: ReplayWindow::default(),
            write: WriteSequence::of_generation(0),
        }));
    }

    fn on_finished(&mut self, body: &[u8]) -> Result<Progress, HandshakeFailure> {
        let own_cid = self.negotiated_cid().to_vec();
        let Awaiting::Finished(waiting) = &mut self.awaiting else {
            return Err(HandshakeFailure::UnexpectedMessage);
        };
        let expected = waiting.master.verify_data(Role::Server, &self.transcript);
        if !finished::matches(body, &expected) {
            return Err(HandshakeFailure::FinishedMismatch);
        }
        let server_cid = waiting.choice.server_cid.take();
        let established = Established {
            keys: waiting.keys.clone(),
            window: waiting.window,
            write: waiting.write,
            own_cid,
            server_cid: server_cid.clone().unwrap_or_default(),
        };
        Ok(Progress::Connected(established, server_cid))
    }
}
