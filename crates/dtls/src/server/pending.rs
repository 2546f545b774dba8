//! One handshake of the server, after the cookie.
//!
//! ```text
//! 1. KeyExchange  our hello flight is out and repeated (RFC 6347 §4.2.4, flight 4)
//! 2. Psk          ClientKeyExchange is in; the driver looks the identity's key up
//! 3. Finished     keys are known; the client's Finished is to be verified
//! 4. Store        it was; the driver stores the session, then flight 6 leaves
//! ```
//! In 2 and 4 the client's repetitions are absorbed. ChangeCipherSpec has no effect at any time:
//! keys change with the epoch of a record, so an early or a missing one does no harm.

use std::net::SocketAddr;
use std::time::Instant;

use crate::cid::CidPair;
use crate::error::HandshakeFailure;
use crate::export::SessionExport;
use crate::flight::{Part, RetransmitTimer};
use crate::handshake::client_key_exchange::{self, MAX_IDENTITY};
use crate::handshake::{MessageType, finished};
use crate::key_schedule::{HelloRandoms, MasterSecret, MasterSecretKind, Psk};
use crate::prf::Transcript;
use crate::protection::{RecordKeys, Role};
use crate::reassembly::{Message, Reassembly};
use crate::record::{EPOCH_PLAIN, EPOCH_PROTECTED, PlainSequence};
use crate::replay::ReplayWindow;
use crate::sequence::WriteSequence;
use crate::session::{FinalFlight, Session};
use crate::suite::{CipherSuite, KeyExchange};

/// Protected records that arrive before the keys are kept up to this number.
const MAX_EARLY_RECORDS: usize = 3;
/// A Finished record is 61 bytes with our Connection ID; padding may make it longer.
const MAX_EARLY_RECORD: usize = 256;

pub(super) enum Awaiting {
    KeyExchange,
    Psk(AwaitingPsk),
    Finished(Box<AwaitingFinished>),
    Store(Box<Session>),
}

pub(super) struct AwaitingPsk {
    identity: Vec<u8>,
}

pub(super) struct AwaitingFinished {
    identity: Vec<u8>,
    master: MasterSecret,
    pub(super) keys: RecordKeys,
    pub(super) window: ReplayWindow,
    /// Protected records that failed authentication.
    pub(super) undecryptable: u8,
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
    /// Of our Finished.
    pub(super) final_message_seq: u16,
    pub(super) flight: Vec<Part>,
    pub(super) early: Vec<Vec<u8>>,
    pub(super) awaiting: Awaiting,
}

/// What a message makes necessary.
pub(super) enum Step {
    LookUp { identity: Vec<u8> },
    Store { session: SessionExport },
}

impl Pending {
    /// Whether the next message can be handled, or the driver has to answer first.
    pub(super) const fn reads_messages(&self) -> bool {
        matches!(self.awaiting, Awaiting::KeyExchange | Awaiting::Finished(_))
    }

    /// Keeps a protected record until there are keys; false when there is no room.
    pub(super) fn keep_early(&mut self, record: &[u8]) -> bool {
        let fits = self.early.len() < MAX_EARLY_RECORDS && record.len() <= MAX_EARLY_RECORD;
        if fits {
            self.early.push(record.to_vec());
        }
        fits
    }

    pub(super) fn on_message(
        &mut self,
        now: Instant,
        message: &Message,
    ) -> Result<Step, HandshakeFailure> {
        match (&self.awaiting, message.kind, message.epoch) {
            (Awaiting::KeyExchange, MessageType::ClientKeyExchange, EPOCH_PLAIN) => {
                self.on_client_key_exchange(message)
            }
            (Awaiting::Finished(_), MessageType::Finished, EPOCH_PROTECTED) => {
                self.on_finished(now, message)
            }
            _ => Err(HandshakeFailure::UnexpectedMessage),
        }
    }

    fn on_client_key_exchange(&mut self, message: &Message) -> Result<Step, HandshakeFailure> {
        let KeyExchange::Psk = self.suite.key_exchange();
        let identity = client_key_exchange::parse(message.body())
            .map_err(|_| HandshakeFailure::Malformed)?
            .to_vec();
        if identity.len() > MAX_IDENTITY {
            return Err(HandshakeFailure::IdentityTooLong);
        }
        self.transcript.add(&message.bytes);
        // The client has our flight: only it repeats itself from here on.
        self.timer = None;
        self.flight = Vec::new();
        self.awaiting = Awaiting::Psk(AwaitingPsk {
            identity: identity.clone(),
        });
        Ok(Step::LookUp { identity })
    }

    /// Derives the keys and hands back the records that came before them; `None` unless
    /// [`Awaiting::Psk`].
    pub(super) fn set_psk(&mut self, psk: &Psk) -> Option<Vec<Vec<u8>>> {
        let Awaiting::Psk(waiting) = &mut self.awaiting else {
            return None;
        };
        let identity = std::mem::take(&mut waiting.identity);
        let master =
            MasterSecret::from_psk(psk, self.master_secret, &self.randoms, &self.transcript);
        let keys = master.record_keys(self.suite, Role::Server, &self.randoms);
        self.awaiting = Awaiting::Finished(Box::new(AwaitingFinished {
            identity,
            master,
            keys,
            window: ReplayWindow::default(),
            undecryptable: 0,
        }));
        Some(std::mem::take(&mut self.early))
    }

    fn on_finished(&mut self, now: Instant, message: &Message) -> Result<Step, HandshakeFailure> {
        let Awaiting::Finished(waiting) = &mut self.awaiting else {
            return Err(HandshakeFailure::UnexpectedMessage);
        };
        let expected = waiting.master.verify_data(Role::Client, &self.transcript);
        if !finished::matches(message.body(), &expected) {
            return Err(HandshakeFailure::FinishedMismatch);
        }
        self.transcript.add(&message.bytes);
        let verify_data = waiting.master.verify_data(Role::Server, &self.transcript);
        let session = Session {
            peer: self.peer,
            last_heard: now,
            keys: waiting.keys.clone(),
            suite: self.suite,
            cids: self.cids.clone(),
            identity: std::mem::take(&mut waiting.identity).into(),
            window: waiting.window,
            write: WriteSequence::of_generation(0),
            final_flight: Some(Box::new(FinalFlight {
                plain: self.plain,
                message_seq: self.final_message_seq,
                verify_data,
            })),
        };
        let export = session.export();
        self.awaiting = Awaiting::Store(Box::new(session));
        Ok(Step::Store { session: export })
    }
}
