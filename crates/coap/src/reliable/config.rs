//! Times and bounds of a connection.

use std::time::Duration;

use super::BASE_MESSAGE_SIZE;

/// Parameters of a [`Connection`](super::Connection).
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest message that is taken, and told to the peer (RFC 8323 §5.3.1); at least 1152. Also the largest that is
    /// sent, whatever the peer would take: it bounds what lies in memory.
    pub max_message_size: usize,
    /// Bytes that may wait to be written. A peer that lets more pile up is cut off.
    pub max_output: usize,
    /// How long the peer may take to send its CSM.
    pub csm_timeout: Duration,
    /// How long the peer may be silent before the connection is released.
    pub idle_timeout: Duration,
    /// Silence after which the peer is asked for a sign of life by a Ping (§5.4).
    pub keepalive: Option<Duration>,
    /// How long that sign may take.
    pub pong_timeout: Duration,
    /// How long an orderly release may take (§5.5).
    pub release_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 16 * 1024 + BASE_MESSAGE_SIZE,
            max_output: 128 * 1024,
            csm_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(24 * 3600),
            keepalive: None,
            pong_timeout: Duration::from_secs(30),
            release_timeout: Duration::from_secs(5),
        }
    }
}
