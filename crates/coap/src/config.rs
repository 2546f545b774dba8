//! Protocol parameters, bounds, and what is counted.

use std::time::Duration;

use crate::blockwise::BlockSize;

/// Parameters of an [`crate::Endpoint`]. The defaults are those of RFC 7252 §4.8 and bounds that
/// suit one ingress node; a simulated device wants far smaller ones.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shortest wait for the first acknowledgement.
    pub ack_timeout: Duration,
    /// The first wait is drawn from `ack_timeout..=ack_timeout * ack_random_factor`; at least 1.
    pub ack_random_factor: f64,
    /// How often a confirmable message is repeated before it has failed.
    pub max_retransmit: u8,
    /// Confirmable requests and notifications that may be unacknowledged towards one peer.
    pub nstart: u16,
    /// How long a message id is bound to its confirmable message.
    pub exchange_lifetime: Duration,
    /// How long a message id is bound to its non-confirmable message.
    pub non_lifetime: Duration,
    /// How long a request may be processed before it is acknowledged by an empty message. Below
    /// `ack_timeout` of the peer, or it retransmits.
    pub processing_delay: Duration,
    /// How long a response may take once its request was acknowledged (or sent
    /// non-confirmable). The default is MAX_TRANSMIT_WAIT.
    pub response_timeout: Duration,
    /// How long a request may wait for its turn before it fails with a timeout.
    pub queue_timeout: Duration,
    /// How long the layer above may take to answer a request before it is forgotten.
    pub request_timeout: Duration,
    /// Largest body that is put together from blocks, in bytes. Larger requests are answered
    /// 4.13, larger responses fail their exchange.
    pub max_body: usize,
    /// Bodies above this size are cut into blocks.
    pub block_size: BlockSize,
    /// Length of the tokens this endpoint makes, 1 to 8.
    pub token_length: u8,
    /// Peers with any state, that is, active within about five minutes or with observations.
    pub max_peers: usize,
    /// Requests sent and not concluded, all peers.
    pub max_exchanges: usize,
    /// Requests and queued notifications to one peer.
    pub max_exchanges_per_peer: usize,
    /// Requests received and not answered, all peers. Beyond, 5.03.
    pub max_requests: usize,
    /// Requests received and not answered, one peer. Beyond, 5.03.
    pub max_requests_per_peer: u16,
    /// Message ids remembered for deduplication, all peers; beyond, the oldest is forgotten early.
    pub max_remembered: usize,
    /// Bytes of stored replies for deduplication; beyond, the oldest are forgotten early.
    pub max_remembered_bytes: usize,
    /// Bytes of all bodies in block-wise transfer. Beyond, 5.03 or a failed exchange.
    pub max_body_bytes: usize,
    /// Block-wise uploads, and likewise downloads, which one peer may have open at this endpoint.
    pub max_transfers_per_peer: usize,
    /// Observations of one peer, and likewise observers at one peer.
    pub max_observations_per_peer: usize,
    /// Option numbers that are handed through in `extra`; critical ones among them are not
    /// refused.
    pub passed_options: Vec<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 1.5,
            max_retransmit: 4,
            nstart: 1,
            exchange_lifetime: Duration::from_secs(247),
            non_lifetime: Duration::from_secs(145),
            processing_delay: Duration::from_secs(1),
            response_timeout: Duration::from_secs(93),
            queue_timeout: Duration::from_secs(93),
            request_timeout: Duration::from_secs(247),
            max_body: 64 * 1024,
            block_size: BlockSize::B1024,
            token_length: 8,
            max_peers: 1 << 21,
            max_exchanges: 1 << 18,
            max_exchanges_per_peer: 32,
            max_requests: 1 << 17,
            max_requests_per_peer: 16,
            max_remembered: 1 << 21,
            max_remembered_bytes: 256 << 20,
            max_body_bytes: 256 << 20,
            max_transfers_per_peer: 4,
            max_observations_per_peer: 256,
            passed_options: Vec::new(),
        }
    }
}

/// What happened to messages that led to no event, and how much work was repeated. All counts
/// only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed in.
    pub received: u64,
    /// Datagrams handed out.
    pub transmitted: u64,
    /// Broken format, reserved code class, or a type that does not fit the code.
    pub malformed: u64,
    /// CoAP pings answered.
    pub pings: u64,
    /// Messages whose id was seen before.
    pub duplicates: u64,
    /// Responses and notifications with a token nobody waits for.
    pub unknown_token: u64,
    /// Acknowledgements and resets that match nothing in flight.
    pub unmatched: u64,
    /// Messages refused for a critical option.
    pub bad_option: u64,
    /// Requests answered 5.03 and notifications dropped because a bound was reached.
    pub overloaded: u64,
    /// Notifications that were older than one already delivered.
    pub stale_notifications: u64,
    /// Notifications whose remaining blocks could not be fetched.
    pub lost_notifications: u64,
    /// Blocks that did not continue a transfer.
    pub unexpected_blocks: u64,
    /// Retransmissions sent.
    pub retransmissions: u64,
    /// Message ids forgotten before their time to stay within the bound.
    pub forgotten_early: u64,
    /// Requests which the layer above never answered.
    pub abandoned: u64,
    /// Answers of the layer above to an exchange that is gone.
    pub late_answers: u64,
}
