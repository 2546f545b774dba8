//! How the exchange of messages with a device goes, as an ingress node reports it.

use device_state::{Attempt, Contact, Move, RefusedAttempt};

use super::list::each;
use super::{ConvertError, Reason, Within, message, time};
use crate::rpc::v1::ContactReport;
use crate::rpc::v1::contact_report as wire;

/// The most refused attempts that a node reports of one device.
pub const MAX_REFUSED: usize = 64;

/// What a node reports of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedContact {
    /// `None`: the device is not there.
    pub contact: Option<Contact>,
    pub refused: Vec<RefusedAttempt>,
}

impl ReportedContact {
    /// The report that answers the inquiry of this number.
    pub fn into_report(self, tag: u64) -> ContactReport {
        ContactReport {
            tag,
            contact: self.contact.map(Into::into),
            refused: self.refused.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<ContactReport> for ReportedContact {
    type Error = ConvertError;

    fn try_from(report: ContactReport) -> Result<Self, ConvertError> {
        let contact = report.contact.map(Contact::try_from);
        Ok(Self {
            contact: contact.transpose().within("contact")?,
            refused: each(
                "refused",
                report.refused,
                MAX_REFUSED,
                RefusedAttempt::try_from,
            )?,
        })
    }
}

impl From<Contact> for wire::Contact {
    fn from(contact: Contact) -> Self {
        Self {
            since_ms: contact.since.0,
            heard_at_ms: contact.heard_at.0,
            requests: contact.requests,
            unanswered: contact.unanswered,
            sent_again: contact.sent_again,
            heard: contact.heard,
            heard_again: contact.heard_again,
            registered_again: contact.registered_again,
            moves: contact.moves,
            last_move: contact.last_move.map(|last| wire::Move {
                at_ms: last.at.0,
                from: Some(last.from.into()),
                to: Some(last.to.into()),
            }),
        }
    }
}

impl TryFrom<wire::Contact> for Contact {
    type Error = ConvertError;

    fn try_from(contact: wire::Contact) -> Result<Self, ConvertError> {
        let last_move = contact.last_move.map(Move::try_from).transpose();
        Ok(Self {
            since: time(contact.since_ms),
            heard_at: time(contact.heard_at_ms),
            requests: contact.requests,
            unanswered: contact.unanswered,
            sent_again: contact.sent_again,
            heard: contact.heard,
            heard_again: contact.heard_again,
            registered_again: contact.registered_again,
            moves: contact.moves,
            last_move: last_move.within("last_move")?.map(Box::new),
        })
    }
}

impl TryFrom<wire::Move> for Move {
    type Error = ConvertError;

    fn try_from(last: wire::Move) -> Result<Self, ConvertError> {
        Ok(Self {
            at: time(last.at_ms),
            from: message("from", last.from)?,
            to: message("to", last.to)?,
        })
    }
}

impl From<RefusedAttempt> for wire::RefusedAttempt {
    fn from(refused: RefusedAttempt) -> Self {
        let attempt = match refused.what {
            Attempt::Handshake => wire::Attempt::Handshake,
            Attempt::Registration => wire::Attempt::Registration,
            Attempt::OfServer => wire::Attempt::OfServer,
        };
        Self {
            at_ms: refused.at.0,
            from: Some(refused.from.into()),
            attempt: attempt.into(),
            reason: refused.reason,
            count: refused.count,
        }
    }
}

impl TryFrom<wire::RefusedAttempt> for RefusedAttempt {
    type Error = ConvertError;

    fn try_from(refused: wire::RefusedAttempt) -> Result<Self, ConvertError> {
        let what = match refused.attempt() {
            wire::Attempt::Handshake => Attempt::Handshake,
            wire::Attempt::Registration => Attempt::Registration,
            wire::Attempt::OfServer => Attempt::OfServer,
            wire::Attempt::Unspecified => {
                return Err(ConvertError::new(
                    "attempt",
                    Reason::UnknownEnum(refused.attempt),
                ));
            }
        };
        Ok(Self {
            at: time(refused.at_ms),
            from: message("from", refused.from)?,
            what,
            reason: refused.reason,
            count: refused.count,
        })
    }
}
