//! Bounds of the layer, and what it counts.

use std::time::Duration;

/// Bounds of a [`crate::Server`] or [`crate::Client`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Contexts kept; a [`crate::Client`] has one.
    pub max_contexts: usize,
    /// Requests sent in one context whose responses can be read, observations among them.
    /// Beyond, the oldest that is answered is forgotten.
    pub max_requests: usize,
    /// Requests received in one context that can be answered, observers among them. Beyond, the
    /// oldest is forgotten.
    pub max_received: usize,
    /// How long a request is remembered that neither is nor has an observation. The default is
    /// EXCHANGE_LIFETIME (RFC 7252 §4.8.2), so that a copy of a message still finds it.
    pub request_lifetime: Duration,
    /// The shortest time between two Echo challenges in one context. Each costs one of 2^24
    /// sequence numbers, and recorded requests can ask for them.
    pub challenge_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_contexts: 1_000_000,
            // 256 observations and 32 exchanges of a `coap::Endpoint`, and some that are answered.
            max_requests: 320,
            max_received: 32,
            request_lifetime: Duration::from_secs(247),
            challenge_interval: Duration::from_millis(100),
        }
    }
}

/// Counts since the layer was made. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Protected requests accepted.
    pub requests: u64,
    /// Protected responses accepted, notifications among them.
    pub responses: u64,
    /// Messages protected.
    pub protected: u64,
    /// OSCORE options that cannot be read.
    pub malformed: u64,
    /// Requests of a context that is not here.
    pub unknown_context: u64,
    /// Requests whose number was seen before, or is too old to tell.
    pub replayed: u64,
    /// Copies of a request, by its sender or the network, that were handed up again.
    pub repeated: u64,
    /// Messages that failed decryption, or hold no message.
    pub unauthentic: u64,
    /// Echo challenges sent.
    pub challenges: u64,
    /// Requests sent again with the Echo option of a peer's challenge.
    pub challenged: u64,
    /// Notifications that came after newer ones.
    pub stale_notifications: u64,
    /// Protected responses to no known request.
    pub unknown_token: u64,
    /// Responses, or for a client also requests, that should have been protected.
    pub unprotected: u64,
    /// Requests by a carrier that the peer has left, older than the newest one.
    pub left_behind: u64,
    /// Contexts whose peer moved.
    pub peers_moved: u64,
}
