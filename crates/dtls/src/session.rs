//! An established session and the checks that every protected record passes.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use crate::cid::CidPair;
use crate::export::SessionExport;
use crate::identity::PeerIdentity;
use crate::key_schedule::VerifyData;
use crate::protection::{Opened, Outgoing, RecordKeys};
use crate::record::{ContentType, EPOCH_PROTECTED, PlainSequence, Record};
use crate::sequence::WriteSequence;
use crate::suite::CipherSuite;
use replay::{Freshness, ReplayWindow};

/// Names a session of a [`crate::Server`]. Never reused by the same server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:x})", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// What the server needs to repeat its ChangeCipherSpec and Finished.
#[derive(Debug)]
pub(crate) struct FinalFlight {
    pub(crate) plain: PlainSequence,
    pub(crate) message_seq: u16,
    pub(crate) verify_data: VerifyData,
}

/// A session of the server. Kept small: there is one for every idle device.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: SocketAddr,
    pub(crate) last_heard: Instant,
    pub(crate) keys: RecordKeys,
    pub(crate) suite: CipherSuite,
    pub(crate) cids: Option<CidPair>,
    pub(crate) identity: PeerIdentity,
    pub(crate) window: ReplayWindow,
    pub(crate) write: WriteSequence,
    /// Until the client's first application data shows that it has the Finished.
    pub(crate) final_flight: Option<Box<FinalFlight>>,
}

impl Session {
    /// The Connection ID in the records that we send.
    pub(crate) fn write_cid(&self) -> &[u8] {
        self.cids.as_ref().map_or(&[], |cids| &cids.client)
    }

    pub(crate) fn export(&self) -> SessionExport {
        SessionExport {
            suite: self.suite,
            generation: self.write.generation(),
            peer: self.peer,
            identity: self.identity.clone(),
            cids: self.cids.clone(),
            window: self.window,
            keys: self.keys.clone(),
        }
    }

    /// `None` when the write sequence is used up.
    pub(crate) fn seal(&mut self, content_type: ContentType, content: &[u8]) -> Option<Vec<u8>> {
        let sequence = self.write.next()?;
        let mut datagram = Vec::new();
        let outgoing = Outgoing {
            content_type,
            epoch: EPOCH_PROTECTED,
            sequence,
            cid: self.write_cid(),
        };
        self.keys.seal(outgoing, content, &mut datagram);
        Some(datagram)
    }
}

/// Why a protected record is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    UnknownEpoch,
    Replayed,
    Unauthentic,
}

/// Opens a record that nobody has replayed and marks its number as seen.
pub(crate) fn open_fresh<'a>(
    keys: &RecordKeys,
    window: &mut ReplayWindow,
    record: Record<'a>,
) -> Result<(Freshness, Opened<'a>), Rejection> {
    if record.epoch != EPOCH_PROTECTED {
        return Err(Rejection::UnknownEpoch);
    }
    let sequence = record.sequence;
    let freshness = window.check(sequence);
    if freshness == Freshness::Replayed {
        return Err(Rejection::Replayed);
    }
    let opened = keys.open(record).ok_or(Rejection::Unauthentic)?;
    // RFC 6347 §4.1.2.6: the window moves only for an authenticated record.
    window.accept(sequence);
    Ok((freshness, opened))
}
