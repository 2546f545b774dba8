//! How the exchange of messages with a device goes.

use device_state::{Attempt, Contact, RefusedAttempt};

use super::timestamp;
use crate::drover::v1::diagnosis as public;

impl From<Contact> for public::Contact {
    fn from(contact: Contact) -> Self {
        Self {
            since: timestamp(contact.since),
            heard_time: timestamp(contact.heard_at),
            requests: contact.requests,
            unanswered: contact.unanswered,
            sent_again: contact.sent_again,
            heard: contact.heard,
            heard_again: contact.heard_again,
            registered_again: contact.registered_again,
            moves: contact.moves,
            last_move: contact.last_move.map(|last| public::Move {
                time: timestamp(last.at),
                from: last.from.to_string(),
                to: last.to.to_string(),
            }),
        }
    }
}

impl From<RefusedAttempt> for public::RefusedAttempt {
    fn from(refused: RefusedAttempt) -> Self {
        use public::refused_attempt::Attempt as Shown;
        let attempt = match refused.what {
            Attempt::Handshake => Shown::Handshake,
            Attempt::Registration => Shown::Registration,
            Attempt::OfServer => Shown::OfServer,
        };
        Self {
            time: timestamp(refused.at),
            from: refused.from.to_string(),
            attempt: attempt.into(),
            reason: refused.reason,
            count: refused.count,
        }
    }
}
