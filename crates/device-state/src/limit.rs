//! What is bounded, and by how much. Every replica must agree on these numbers: they decide what
//! `apply` writes.

use std::time::Duration;

use crate::record::Observation;

/// Added to a lifetime before the registration ends, so that an Update that is being retransmitted
/// still finds it.
// RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT is 93 s with the default transmission parameters.
pub const REGISTRATION_GRACE: Duration = Duration::from_secs(93);

/// How long an operation may be in flight beyond its deadline: its exchange can take no longer.
// RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT.
pub const EXCHANGE_GRACE: Duration = Duration::from_secs(93);

/// Operations of callers that one device may have waiting or in flight. Writes of desired values do
/// not count: there is at most one that waits per desired resource.
pub const MAX_QUEUED_OPERATIONS: usize = 64;

/// Ended operations that are kept per device; the oldest goes first.
pub const MAX_FINISHED_OPERATIONS: usize = 64;

/// More rows than the queue of one device ever has: the operations of callers, a write in flight, a
/// waiting write and a waiting read per desired resource, what asks for each observation, and what ended before or during
/// the same command.
pub const MAX_OPERATION_ROWS: usize = MAX_QUEUED_OPERATIONS
    + 4 * (MAX_DESIRED + 1)
    + 2 * Observation::MAX_PATHS
    + MAX_FINISHED_OPERATIONS
    + 1;

/// How long the result of an ended operation is kept.
pub const OPERATION_RETENTION: Duration = Duration::from_hours(1);

/// Bytes of what a DTLS session is resumed from, sealed: a master secret and what was negotiated need
/// a small part of it.
pub const MAX_RESUMPTION_STATE: usize = 1_024;

/// Ingress nodes of a cluster.
pub const MAX_MEMBERS: usize = 256;

/// State nodes of which something else is wanted than what the cluster was made with.
pub const MAX_STATE_NODES: usize = 64;

/// Credentials of one endpoint.
pub const MAX_ENDPOINT_CREDENTIALS: usize = 64;

/// Desired resources of one device.
pub const MAX_DESIRED: usize = 256;

/// Between two writes of a desired value because the device had another one: a device that takes what it is given and
/// tells something else must not be written to for ever.
pub const CORRECTION_GAP: Duration = Duration::from_hours(1);

/// How long a device that registers again is not asked what it has for a desired value that it confirmed or told.
pub const READ_BACK_GAP: Duration = Duration::from_mins(10);

/// Desired values that a device is asked for when it registers: those that were confirmed or told the longest time ago.
pub const MAX_READ_BACK: usize = 16;

/// Last values that are kept of one device. A value of a further resource is still reported in the
/// feed, but not kept.
pub const MAX_VALUES: usize = 512;

/// Last values that are kept of the devices behind one gateway, all of them together.
pub const MAX_CHILD_VALUES: usize = 1_024;

/// Bytes of text or of an opaque value that is kept of a device behind a gateway: with the values of
/// the gateway itself, all of them have to fit into one message.
pub const MAX_CHILD_VALUE_BYTES: usize = 1_024;

/// Labels of one device.
pub const MAX_LABELS: usize = 64;

/// Bytes of the annotations of one device, keys and values together.
pub const MAX_ANNOTATION_BYTES: usize = 64 << 10;

/// Devices of a campaign that have their turn by one command.
pub const MAX_ADMITTED: usize = 256;

/// Packages of one namespace in one shard.
pub const MAX_ARTEFACTS: usize = 256;

/// What the packages of one namespace in one shard weigh together, at most.
pub const MAX_ARTEFACT_BYTES: u64 = 1 << 30;

/// How long a package that has begun may take to arrive as a whole.
pub const ARTEFACT_ARRIVAL: Duration = Duration::from_hours(1);

/// Versions of objects that vendors define, all objects together.
pub const MAX_MODELS: usize = 128;

/// Versions of one such object.
pub const MAX_MODEL_VERSIONS: usize = 8;

/// Rows of the feed. Older entries are dropped by whole revisions, [`FEED_SLACK`] rows or more at a
/// time.
pub const MAX_FEED_ROWS: u64 = 100_000;

/// By how much the feed outgrows [`MAX_FEED_ROWS`] before entries are dropped.
pub const FEED_SLACK: u64 = 256;

/// What the entries of the feed weigh together, at most. Entries of devices that report a few numbers at a time reach
/// [`MAX_FEED_ROWS`] first; of values of 64 kB a thousand are kept.
pub const MAX_FEED_BYTES: u64 = 64 << 20;

/// By how much the feed outgrows [`MAX_FEED_BYTES`] before entries are dropped.
pub const FEED_SLACK_BYTES: u64 = 1 << 20;

/// Outcomes that are kept for retries. Dropped [`DEDUP_BATCH`] at a time, so there can be that many
/// more.
pub const MAX_DEDUP_ROWS: u64 = 100_000;

/// Outcomes are looked through and dropped in batches of this size, because a scan costs more than
/// a write. Divides [`MAX_DEDUP_ROWS`].
pub const DEDUP_BATCH: u64 = 500;

/// Outcomes older than this need not be kept: no caller retries for so long.
pub const DEDUP_AGE: Duration = Duration::from_mins(10);

const _: () = assert!(MAX_DEDUP_ROWS.is_multiple_of(DEDUP_BATCH));
