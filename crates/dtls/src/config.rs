//! The server's limits.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::flight::Retransmission;
use crate::rate::HandshakeRate;
use crate::suite::CipherSuite;

/// Limits and times of a [`crate::Server`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Suites that are negotiated, most preferred first. Those with ECDSA also need
    /// [`crate::Server::set_credentials`].
    pub suites: Vec<CipherSuite>,
    /// Logical partitions that Connection IDs are spread over.
    pub partitions: NonZeroU16,
    /// The largest datagram of a handshake flight in bytes; values below 256 count as 256.
    pub mtu: usize,
    /// Sessions kept; at the limit new handshakes are refused.
    pub max_sessions: usize,
    /// Handshakes under way, all sources together.
    pub max_handshakes: usize,
    /// Handshakes under way from one IPv4 address or one IPv6 /64. Many devices may share the
    /// address of a carrier's translator.
    pub max_handshakes_per_source: u32,
    /// Handshakes that begin, all sources together. Beyond it, hellos are dropped, and clients
    /// repeat them: a fleet that comes back all at once is served at this rate.
    pub handshake_rate: HandshakeRate,
    /// Handshakes that begin from one IPv4 address or one IPv6 /64.
    pub handshake_rate_per_source: HandshakeRate,
    /// Whether clients get session ids, and can resume their sessions by them (RFC 5246 §7.3).
    pub resumption: bool,
    /// From a valid cookie to a stored session, including the waits for key and store.
    pub handshake_timeout: Duration,
    /// Of the server's hello flight.
    pub retransmission: Retransmission,
    /// Sessions that were silent for longer are forgotten without telling the peer; checked about
    /// once a minute. `None` keeps them until they are closed.
    pub session_idle: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            suites: CipherSuite::ALL.to_vec(),
            partitions: NonZeroU16::MIN,
            mtu: 1200,
            max_sessions: 1_000_000,
            max_handshakes: 16_384,
            max_handshakes_per_source: 1024,
            // A handshake with ECDHE takes a tenth of a millisecond, one with a plain pre-shared key a
            // tenth of that. So all sources together get half a core, and the other half is for the
            // sessions that there are; one source gets a tenth of a core, which lets the 10,000
            // devices behind a carrier's translator back in within ten seconds.
            handshake_rate: HandshakeRate::new(50_000, 100_000),
            handshake_rate_per_source: HandshakeRate::new(10_000, 20_000),
            resumption: true,
            handshake_timeout: Duration::from_mins(1),
            retransmission: Retransmission::default(),
            session_idle: Some(Duration::from_hours(24)),
        }
    }
}
