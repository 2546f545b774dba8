//! How the exchange of messages with a device goes.

use std::time::SystemTime;

use proto::drover::v1::diagnosis::refused_attempt::Attempt;
use proto::drover::v1::diagnosis::{Contact, Move, RefusedAttempt};
use serde::Serialize;

use crate::time::{age, rfc3339};

/// What the ingress node that holds a device has counted of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContactView {
    since: Option<String>,
    heard_time: Option<String>,
    requests: u32,
    unanswered: u32,
    sent_again: u32,
    heard: u32,
    heard_again: u32,
    registered_again: u32,
    moves: u32,
    last_move: Option<MoveView>,
    #[serde(skip)]
    counted_since: Option<prost_types::Timestamp>,
    #[serde(skip)]
    heard_last: Option<prost_types::Timestamp>,
}

#[derive(Debug, Serialize)]
struct MoveView {
    time: Option<String>,
    from: String,
    to: String,
}

/// What somebody was refused who claimed to be a device.
#[derive(Debug, Serialize)]
pub(crate) struct RefusedView {
    time: Option<String>,
    from: String,
    /// `Handshake`, `Registration`, or `OfServer` for a handshake that the device gave up.
    attempt: &'static str,
    reason: String,
    count: u32,
}

impl From<Contact> for ContactView {
    fn from(contact: Contact) -> Self {
        Self {
            since: rfc3339(contact.since.as_ref()),
            heard_time: rfc3339(contact.heard_time.as_ref()),
            heard_last: contact.heard_time,
            requests: contact.requests,
            unanswered: contact.unanswered,
            sent_again: contact.sent_again,
            heard: contact.heard,
            heard_again: contact.heard_again,
            registered_again: contact.registered_again,
            moves: contact.moves,
            last_move: contact.last_move.map(MoveView::from),
            counted_since: contact.since,
        }
    }
}

impl From<Move> for MoveView {
    fn from(last: Move) -> Self {
        Self {
            time: rfc3339(last.time.as_ref()),
            from: last.from,
            to: last.to,
        }
    }
}

impl From<RefusedAttempt> for RefusedView {
    fn from(refused: RefusedAttempt) -> Self {
        Self {
            time: rfc3339(refused.time.as_ref()),
            attempt: match refused.attempt() {
                Attempt::Handshake => "Handshake",
                Attempt::Registration => "Registration",
                Attempt::OfServer => "OfServer",
                Attempt::Unspecified => "Unknown",
            },
            from: refused.from,
            reason: refused.reason,
            count: refused.count,
        }
    }
}

impl ContactView {
    /// One line.
    pub(crate) fn text(&self, now: SystemTime) -> String {
        format!(
            "Heard {} ago. Counted in {}: {} requests, {} unanswered, {} messages sent again; {} messages heard, {} of them again; \
             {} changes of address, {} registrations after the first.",
            age(self.heard_last.as_ref(), now),
            age(self.counted_since.as_ref(), now),
            self.requests,
            self.unanswered,
            self.sent_again,
            self.heard,
            self.heard_again,
            self.moves,
            self.registered_again,
        )
    }
}
