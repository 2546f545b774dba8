//! Reliable transmission (RFC 7252 §4.2): a message in flight and its exponential back-off.

use std::time::{Duration, Instant};

use rand::Rng;

use crate::config::Config;
use crate::exchange::{ExchangeId, NotificationId};
use crate::message::Token;

/// A confirmable message that is not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) owner: Owner,
    pub(crate) datagram: Vec<u8>,
    /// When the timer that is set for this message runs out.
    pub(crate) deadline: Instant,
    timeout: Duration,
    retries_left: u8,
}

/// Whose message is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A leg of a request we made.
    Request(ExchangeId),
    /// A separate response to a request we received.
    Response(ExchangeId),
    Notification {
        id: NotificationId,
        token: Token,
    },
}

impl Owner {
    /// RFC 7252 §4.7 limits the interactions that a client opens, and RFC 7641 §4.5.1 the
    /// notifications; a separate response only answers an interaction of the peer.
    pub(crate) fn counts_for_nstart(self) -> bool {
        !matches!(self, Self::Response(_))
    }
}

impl Flight {
    pub(crate) fn new(
        now: Instant,
        owner: Owner,
        datagram: Vec<u8>,
        config: &Config,
        rng: &mut impl Rng,
    ) -> Self {
        let spread = (config.ack_random_factor - 1.0).max(0.0);
        let timeout = config
            .ack_timeout
            .mul_f64(1.0 + spread * rng.random::<f64>());
        Self {
            owner,
            datagram,
            deadline: now + timeout,
            timeout,
            retries_left: config.max_retransmit,
        }
    }

    /// Doubles the wait, unless all retries are used up.
    pub(crate) fn retry(&mut self, now: Instant) -> Retry {
        let Some(left) = self.retries_left.checked_sub(1) else {
            return Retry::GiveUp;
        };
        self.retries_left = left;
        self.timeout = self.timeout.saturating_mul(2);
        self.deadline = now + self.timeout;
        Retry::Again(self.deadline)
    }
}

/// What to do when the wait for an acknowledgement is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    Again(Instant),
    GiveUp,
}
