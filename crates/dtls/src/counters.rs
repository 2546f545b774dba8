//! What the engine dropped or did, for metrics.

/// Counts since the engine was made. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed in.
    pub datagrams: u64,
    /// Datagrams, or rests of one, that are not records of DTLS 1.2.
    pub malformed_records: u64,
    /// Handshake or alert content that does not parse.
    pub malformed_messages: u64,
    /// Protected records with neither a session nor a handshake, not counting
    /// [`crate::Output::UnknownCid`].
    pub unknown_session: u64,
    /// Records with a Connection ID that is not in the server's layout or names a partition that
    /// does not exist.
    pub foreign_cid: u64,
    /// Records of an epoch that has no keys.
    pub unknown_epoch: u64,
    /// Records that were seen before, or are too old to tell.
    pub replayed: u64,
    /// Records that failed authentication.
    pub unauthentic: u64,
    /// Content without meaning in its place, such as unprotected application data.
    pub out_of_place: u64,
    /// Plaintext alerts that were ignored.
    pub ignored_alerts: u64,
    /// HelloVerifyRequests sent.
    pub hello_verify_requests: u64,
    /// Hellos in several fragments, which the stateless cookie exchange cannot read.
    pub fragmented_client_hellos: u64,
    /// Hellos with a valid cookie that met a limit.
    pub refused_by_limit: u64,
    /// Hellos with a valid cookie that came too soon for their source's or everyone's rate.
    pub refused_by_rate: u64,
    /// Handshake fragments that were refused by the reassembly's bounds.
    pub refused_fragments: u64,
    /// Flights or final messages that were sent again.
    pub retransmissions: u64,
    /// Messages that were absorbed because the peer had sent them before.
    pub repeated_messages: u64,
    /// Handshakes that began after a valid cookie.
    pub handshakes_started: u64,
    /// Handshakes that led to a session.
    pub handshakes_completed: u64,
    /// Those of them that resumed an earlier session.
    pub handshakes_resumed: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// Renegotiations that were refused.
    pub renegotiations_refused: u64,
    /// Sessions whose peer address moved.
    pub peers_moved: u64,
}
