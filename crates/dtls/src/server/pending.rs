//! One handshake of the server, after the cookie.
//!
//! ```text
//!    pre-shared key                        key of its own
//! 1. ClientKeyExchange                     Certificate            our flight is out and repeated
//!                                          ClientKeyExchange      (RFC 6347 §4.2.4, flight 4)
//!                                          CertificateVerify
//! 2. Psk: the driver looks the             Verdict: the client has its private key; the driver
//!    identity's key up                     judges the public one
//! 3. Finished: keys are known; the client's Finished is to be verified
//! 4. Store: it was; the driver stores the session, then flight 6 leaves
//! ```
//! In 2 and 4 the client's repetitions are absorbed. An abbreviated handshake begins in 3, with our
//! Finished out and repeated, and ends with 4, where the client's records are kept.
//!
//! ChangeCipherSpec has no effect at any time: keys change with the epoch of a record, so an early
//! or a missing one does no harm.

use std::net::SocketAddr;
use std::time::Instant;

use crate::alert::Alert;
use crate::cid::CidPair;
use crate::credentials::CertificateType;
use crate::error::HandshakeFailure;
use crate::export::SessionExport;
use crate::flight::{Part, RetransmitTimer};
use crate::handshake::client_key_exchange::{ClientKeyExchange, MAX_IDENTITY};
use crate::handshake::{MessageType, certificate, certificate_verify, finished};
use crate::identity::{PeerIdentity, PeerKey, PeerRejection, Presented};
use crate::key_agreement::{EphemeralKey, SharedSecret};
use crate::key_schedule::{HelloRandoms, MasterSecret, MasterSecretKind, Premaster, Psk, PskTag};
use crate::prf::Transcript;
use crate::protection::{RecordKeys, Role};
use crate::reassembly::{Message, Reassembly};
use crate::record::{ContentType, EPOCH_PLAIN, EPOCH_PROTECTED, PlainSequence};
use crate::resumption::{ResumptionExport, ResumptionId};
use crate::sequence::WriteSequence;
use crate::server::established::Effect;
use crate::server::handshakes::plain_alert;
use crate::server::output::SessionOrigin;
use crate::session::{FinalFlight, Session};
use crate::suite::CipherSuite;
use replay::ReplayWindow;

/// Protected records that arrive before the keys are kept up to this number.
const MAX_EARLY_RECORDS: usize = 3;
/// A Finished record is at most 117 bytes with our Connection ID; padding may make it longer.
const MAX_EARLY_RECORD: usize = 256;
/// What a client says before its resumed session is stored is kept up to this number of records and
/// of bytes: a registration in blocks, say.
const MAX_KEPT_RECORDS: usize = 8;
const MAX_KEPT_BYTES: usize = 8192;

pub(super) enum Awaiting {
    /// Of a client with a pre-shared key; our ephemeral key if the suite has one.
    PskKeyExchange(Option<Box<EphemeralKey>>),
    Psk(AwaitingPsk),
    Certificate(CertificateType, Box<EphemeralKey>),
    KeyExchange(Box<Presented>, Box<EphemeralKey>),
    CertificateVerify(Box<AwaitingProof>),
    Verdict(Box<AwaitingProof>),
    Finished(Box<AwaitingFinished>),
    Store(Box<Session>),
    /// A message was refused; the handshake is about to be dropped.
    Nothing,
}

pub(super) struct AwaitingPsk {
    identity: Vec<u8>,
    agreed: Option<SharedSecret>,
}

/// What is known of a client with a key of its own once the master secret is.
pub(super) struct AwaitingProof {
    presented: Presented,
    master: MasterSecret,
}

pub(super) struct AwaitingFinished {
    pub(super) identity: PeerIdentity,
    pub(super) master: MasterSecret,
    pub(super) keys: RecordKeys,
    pub(super) window: ReplayWindow,
    /// RFC 6347 §4.1: every transmission of a Finished has a number of its own.
    pub(super) write: WriteSequence,
    /// Protected records that failed authentication.
    pub(super) undecryptable: u8,
}

/// An id that our hello gave the client.
pub(super) struct Issued {
    pub(super) id: ResumptionId,
    pub(super) server_name: Option<Box<str>>,
    /// Once the client's key is known.
    pub(super) psk_tag: Option<PskTag>,
}

/// Which of the two handshakes of RFC 5246 §7.3 it is.
pub(super) enum Course {
    /// The client's Finished comes first, and ours with this number answers it.
    Full {
        message_seq: u16,
        issued: Option<Box<Issued>>,
    },
    /// Ours went ahead.
    Abbreviated { resumes: ResumptionId, kept: Kept },
}

/// What came with or after the client's Finished, to be handled once the session is stored.
#[derive(Default)]
pub(super) struct Kept {
    effects: Vec<Effect>,
    bytes: usize,
}

impl Kept {
    /// False when there is no room.
    fn push(&mut self, effect: Effect) -> bool {
        let length = effect.length();
        let fits = self.effects.len() < MAX_KEPT_RECORDS && self.bytes + length <= MAX_KEPT_BYTES;
        if fits {
            self.effects.push(effect);
            self.bytes += length;
        }
        fits
    }

    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }
}

pub(super) struct Pending {
    pub(super) peer: SocketAddr,
    pub(super) expires: Instant,
    /// When this handshake is next due in the table of deadlines.
    pub(super) deadline: Instant,
    pub(super) timer: Option<RetransmitTimer>,
    pub(super) randoms: HelloRandoms,
    pub(super) suite: CipherSuite,
    pub(super) master_secret: MasterSecretKind,
    pub(super) cids: Option<CidPair>,
    pub(super) transcript: Transcript,
    pub(super) reassembly: Reassembly,
    pub(super) plain: PlainSequence,
    pub(super) flight: Vec<Part>,
    pub(super) early: Vec<Vec<u8>>,
    pub(super) course: Course,
    pub(super) awaiting: Awaiting,
}

/// What a message makes necessary.
pub(super) enum Step {
    /// The next message.
    Continue,
    LookUp {
        identity: Vec<u8>,
    },
    Judge {
        key: PeerKey,
        identity: PeerIdentity,
    },
    Store {
        session: SessionExport,
        origin: SessionOrigin,
    },
}

impl Pending {
    /// Whether the next message can be handled, or the driver has to answer first.
    pub(super) const fn reads_messages(&self) -> bool {
        match self.awaiting {
            Awaiting::PskKeyExchange(_)
            | Awaiting::Certificate(..)
            | Awaiting::KeyExchange(..)
            | Awaiting::CertificateVerify(_)
            | Awaiting::Finished(_) => true,
            Awaiting::Psk(_) | Awaiting::Verdict(_) | Awaiting::Store(_) | Awaiting::Nothing => {
                false
            }
        }
    }

    /// Whether nothing of the client's second flight was read yet.
    pub(super) const fn repeats_flight(&self) -> bool {
        match self.awaiting {
            Awaiting::PskKeyExchange(_) | Awaiting::Certificate(..) => true,
            Awaiting::Finished(_) => matches!(self.course, Course::Abbreviated { .. }),
            _ => false,
        }
    }

    /// Keeps a protected record until there are keys; false when there is no room.
    pub(super) fn keep_early(&mut self, record: &[u8]) -> bool {
        let fits = self.early.len() < MAX_EARLY_RECORDS && record.len() <= MAX_EARLY_RECORD;
        if fits {
            self.early.push(record.to_vec());
        }
        fits
    }

    /// Keeps what an authenticated record means until the session is stored; false when there is
    /// no room, and in a full handshake, where the client waits for us.
    pub(super) fn keep(&mut self, effect: Effect) -> bool {
        match &mut self.course {
            Course::Full { .. } => false,
            Course::Abbreviated { kept, .. } => kept.push(effect),
        }
    }

    /// Whether an alert can end the handshake.
    pub(super) const fn heeds_alerts(&self, epoch: u16) -> bool {
        match (&self.awaiting, &self.course) {
            // Once the client has proved its key, nobody else can end its handshake.
            (Awaiting::Store(_), _) => false,
            // The client may be connected already, and does not hear of it.
            (_, Course::Abbreviated { .. }) => epoch == EPOCH_PROTECTED,
            (_, Course::Full { .. }) => true,
        }
    }

    /// A datagram that tells the client that the handshake is over.
    pub(super) fn alert(&mut self, alert: Alert) -> Option<Vec<u8>> {
        match (&mut self.awaiting, &self.course) {
            // This client believes that it is connected, and listens to nothing that is not sealed.
            (Awaiting::Store(session), Course::Abbreviated { .. }) => {
                session.seal(ContentType::Alert, &alert.encode())
            }
            _ => Some(plain_alert(&mut self.plain, alert)),
        }
    }

    /// After an error the handshake is of no more use.
    pub(super) fn on_message(
        &mut self,
        now: Instant,
        message: &Message,
    ) -> Result<Step, HandshakeFailure> {
        let awaiting = std::mem::replace(&mut self.awaiting, Awaiting::Nothing);
        match (awaiting, message.kind, message.epoch) {
            (Awaiting::PskKeyExchange(ephemeral), MessageType::ClientKeyExchange, EPOCH_PLAIN) => {
                self.on_psk_key_exchange(message, ephemeral.as_deref())
            }
            (Awaiting::Certificate(kind, ephemeral), MessageType::Certificate, EPOCH_PLAIN) => {
                self.on_certificate(message, kind, ephemeral)
            }
            (
                Awaiting::KeyExchange(presented, ephemeral),
                MessageType::ClientKeyExchange,
                EPOCH_PLAIN,
            ) => self.on_key_exchange(message, *presented, &ephemeral),
            (Awaiting::CertificateVerify(waiting), MessageType::CertificateVerify, EPOCH_PLAIN) => {
                self.on_certificate_verify(message, waiting)
            }
            (Awaiting::Finished(waiting), MessageType::Finished, EPOCH_PROTECTED) => {
                self.on_finished(now, message, *waiting)
            }
            _ => Err(HandshakeFailure::UnexpectedMessage),
        }
    }

    /// The client has our flight: only it repeats itself from here on.
    fn on_second_flight(&mut self) {
        self.timer = None;
        self.flight = Vec::new();
    }

    fn on_psk_key_exchange(
        &mut self,
        message: &Message,
        ephemeral: Option<&EphemeralKey>,
    ) -> Result<Step, HandshakeFailure> {
        let ClientKeyExchange { identity, point } =
            ClientKeyExchange::parse(self.suite.key_exchange(), message.body())
                .map_err(|_| HandshakeFailure::Malformed)?;
        if identity.len() > MAX_IDENTITY {
            return Err(HandshakeFailure::IdentityTooLong);
        }
        let agreed = match ephemeral {
            Some(key) => Some(key.agree(point).ok_or(HandshakeFailure::IllegalParameter)?),
            None => None,
        };
        self.transcript.add(&message.bytes);
        self.on_second_flight();
        self.awaiting = Awaiting::Psk(AwaitingPsk {
            identity: identity.to_vec(),
            agreed,
        });
        Ok(Step::LookUp {
            identity: identity.to_vec(),
        })
    }

    /// Derives the keys and hands back the records that came before them; `None` unless
    /// [`Awaiting::Psk`].
    pub(super) fn set_psk(&mut self, psk: &Psk) -> Option<Vec<Vec<u8>>> {
        let Awaiting::Psk(waiting) = &mut self.awaiting else {
            return None;
        };
        let identity = PeerIdentity::Psk(std::mem::take(&mut waiting.identity).into());
        let premaster = Premaster::from_psk(psk, waiting.agreed.as_ref());
        if let Course::Full {
            issued: Some(issued),
            ..
        } = &mut self.course
        {
            issued.psk_tag = Some(psk.tag(&issued.id));
        }
        let master = self.derive(&premaster);
        Some(self.expect_finished(identity, master))
    }

    fn derive(&self, premaster: &Premaster) -> MasterSecret {
        let (kind, randoms) = (self.master_secret, &self.randoms);
        MasterSecret::derive(premaster, kind, randoms, &self.transcript)
    }

    fn expect_finished(&mut self, identity: PeerIdentity, master: MasterSecret) -> Vec<Vec<u8>> {
        let keys = master.record_keys(self.suite, Role::Server, &self.randoms);
        self.awaiting = Awaiting::Finished(Box::new(AwaitingFinished {
            identity,
            master,
            keys,
            window: ReplayWindow::default(),
            write: WriteSequence::of_generation(0),
            undecryptable: 0,
        }));
        std::mem::take(&mut self.early)
    }

    fn on_certificate(
        &mut self,
        message: &Message,
        kind: CertificateType,
        ephemeral: Box<EphemeralKey>,
    ) -> Result<Step, HandshakeFailure> {
        let presented = certificate::parse(kind, message.body())
            .map_err(|_| HandshakeFailure::Malformed)?
            .and_then(Presented::read)
            .ok_or(HandshakeFailure::UnusableKey)?;
        self.transcript.add(&message.bytes);
        self.on_second_flight();
        self.awaiting = Awaiting::KeyExchange(Box::new(presented), ephemeral);
        Ok(Step::Continue)
    }

    fn on_key_exchange(
        &mut self,
        message: &Message,
        presented: Presented,
        ephemeral: &EphemeralKey,
    ) -> Result<Step, HandshakeFailure> {
        let exchange = ClientKeyExchange::parse(self.suite.key_exchange(), message.body())
            .map_err(|_| HandshakeFailure::Malformed)?;
        let agreed = ephemeral
            .agree(exchange.point)
            .ok_or(HandshakeFailure::IllegalParameter)?;
        self.transcript.add(&message.bytes);
        let master = self.derive(&Premaster::from_agreement(agreed));
        self.awaiting = Awaiting::CertificateVerify(Box::new(AwaitingProof { presented, master }));
        Ok(Step::Continue)
    }

    fn on_certificate_verify(
        &mut self,
        message: &Message,
        waiting: Box<AwaitingProof>,
    ) -> Result<Step, HandshakeFailure> {
        let signature = certificate_verify::parse(message.body())
            .map_err(|_| HandshakeFailure::Malformed)?
            .ok_or(HandshakeFailure::IllegalParameter)?;
        // RFC 5246 §7.4.8: over all messages before this one.
        let Presented {
            key,
            identity,
            public,
        } = &waiting.presented;
        if !public.verifies(&self.transcript.hash(), signature) {
            return Err(HandshakeFailure::BadSignature);
        }
        self.transcript.add(&message.bytes);
        let step = Step::Judge {
            key: key.clone(),
            identity: identity.clone(),
        };
        self.awaiting = Awaiting::Verdict(waiting);
        Ok(step)
    }

    /// Derives the keys and hands back the records that came before them; `None` unless
    /// [`Awaiting::Verdict`].
    pub(super) fn set_verdict(
        &mut self,
        verdict: Result<(), PeerRejection>,
    ) -> Option<Result<Vec<Vec<u8>>, HandshakeFailure>> {
        if !matches!(self.awaiting, Awaiting::Verdict(_)) {
            return None;
        }
        if let Err(reason) = verdict {
            return Some(Err(HandshakeFailure::PeerRejected(reason)));
        }
        match std::mem::replace(&mut self.awaiting, Awaiting::Nothing) {
            Awaiting::Verdict(waiting) => {
                let AwaitingProof { presented, master } = *waiting;
                Some(Ok(self.expect_finished(presented.identity, master)))
            }
            _ => None,
        }
    }

    fn on_finished(
        &mut self,
        now: Instant,
        message: &Message,
        waiting: AwaitingFinished,
    ) -> Result<Step, HandshakeFailure> {
        let expected = waiting.master.verify_data(Role::Client, &self.transcript);
        if !finished::matches(message.body(), &expected) {
            return Err(HandshakeFailure::FinishedMismatch);
        }
        self.transcript.add(&message.bytes);
        self.on_second_flight();
        let (final_flight, origin) = self.conclude(&waiting);
        let session = Session {
            peer: self.peer,
            last_heard: now,
            keys: waiting.keys,
            suite: self.suite,
            cids: self.cids.clone(),
            identity: waiting.identity,
            window: waiting.window,
            write: waiting.write,
            final_flight,
        };
        let export = session.export();
        self.awaiting = Awaiting::Store(Box::new(session));
        Ok(Step::Store {
            session: export,
            origin,
        })
    }

    /// What is left to be sent, and where the session comes from.
    fn conclude(&self, waiting: &AwaitingFinished) -> (Option<Box<FinalFlight>>, SessionOrigin) {
        match &self.course {
            Course::Abbreviated { resumes, .. } => (None, SessionOrigin::Resumed(*resumes)),
            Course::Full {
                message_seq,
                issued,
            } => {
                let last = FinalFlight {
                    plain: self.plain,
                    message_seq: *message_seq,
                    verify_data: waiting.master.verify_data(Role::Server, &self.transcript),
                };
                let resumption = issued.as_deref().map(|issued| {
                    Box::new(ResumptionExport {
                        id: issued.id,
                        suite: self.suite,
                        master_secret: self.master_secret,
                        identity: waiting.identity.clone(),
                        server_name: issued.server_name.clone(),
                        secret: waiting.master.bytes().clone(),
                        psk_tag: issued.psk_tag,
                    })
                });
                let origin = SessionOrigin::New { resumption };
                (Some(Box::new(last)), origin)
            }
        }
    }
}
