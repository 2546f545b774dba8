//! Observation (RFC 7641): which tokens are observations, and which notification is newer.

use std::time::{Duration, Instant};

use crate::blockwise::BlockSize;
use crate::codec;
use crate::message::{Message, Token};

/// RFC 7641 §3.4: after this long, any sequence number is newer.
const SEQUENCE_LIFETIME: Duration = Duration::from_secs(128);

/// An observation which this endpoint has at a peer.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) token: Token,
    newest: Option<(u32, Instant)>,
    /// The request without its observe option, encoded: observations of idle peers stay in
    /// memory, so this one is kept small.
    template: Box<[u8]>,
}

/// Whether a notification is newer than all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    Stale,
}

impl Observation {
    pub(crate) fn new(token: Token, template: &Message) -> Self {
        Self {
            token,
            newest: None,
            template: template.to_datagram().into_boxed_slice(),
        }
    }

    /// The request that can fetch the observed representation.
    pub(crate) fn template(&self) -> Option<Message> {
        codec::decode(&self.template).ok()
    }

    /// Takes any notification for newer than those before: the newest was not kept.
    pub(crate) fn forget_order(&mut self) {
        self.newest = None;
    }

    /// Takes note of a notification and says whether it is newer than those before.
    pub(crate) fn judge(&mut self, now: Instant, sequence: u32) -> Freshness {
        if let Some((newest, at)) = self.newest
            && !is_newer(newest, sequence)
            && now.saturating_duration_since(at) <= SEQUENCE_LIFETIME
        {
            return Freshness::Stale;
        }
        self.newest = Some((sequence, now));
        Freshness::Fresh
    }
}

/// RFC 7641 §3.4, serial number arithmetic over 24 bits.
fn is_newer(old: u32, new: u32) -> bool {
    const HALF: u32 = 1 << 23;
    (old < new && new - old < HALF) || (old > new && old - new > HALF)
}

/// An observation which a peer has here: where later blocks of its notifications are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer {
    pub(crate) token: Token,
    pub(crate) resource: u64,
    /// The largest blocks it wants, if it has said so.
    pub(crate) size: Option<BlockSize>,
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]

    use super::*;
    use crate::message::{Code, MessageId, Type};

    fn observation() -> Observation {
        let template = Message::new(Type::Confirmable, Code::GET, MessageId(0));
        Observation::new(Token::EMPTY, &template)
    }

    #[test]
    fn reordered_notifications_are_stale() {
        let (mut observation, now) = (observation(), Instant::now());
        let judged = [7, 5, 8, 8].map(|sequence| observation.judge(now, sequence));
        assert_eq!(
            judged,
            [
                Freshness::Fresh,
                Freshness::Stale,
                Freshness::Fresh,
                Freshness::Stale
            ]
        );
    }

    #[test]
    fn the_sequence_wraps_at_24_bits() {
        let (mut observation, now) = (observation(), Instant::now());
        assert_eq!(observation.judge(now, 0x00ff_ffff), Freshness::Fresh);
        assert_eq!(observation.judge(now, 0), Freshness::Fresh);
        assert_eq!(observation.judge(now, 0x00ff_ffff), Freshness::Stale);
    }

    #[test]
    fn after_128_seconds_any_number_is_newer() {
        let (mut observation, now) = (observation(), Instant::now());
        assert_eq!(observation.judge(now, 100), Freshness::Fresh);
        assert_eq!(
            observation.judge(now + Duration::from_secs(128), 1),
            Freshness::Stale
        );
        assert_eq!(
            observation.judge(now + Duration::from_secs(129), 1),
            Freshness::Fresh
        );
    }
}
