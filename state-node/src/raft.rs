//! Everything that knows openraft: types, log store, state machine, transport, membership.
//!
//! One group per shard. The groups of a node share one log writer (one `fdatasync` serves them all) and one stream to
//! each other node.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use device_state::Outcome;
use openraft::impls::leader_id_std;
use serde::{Deserialize, Serialize};

pub mod bootstrap;
pub mod caretaker;
pub mod group;
pub mod log_store;
pub mod network;
pub mod placement;
pub mod proposals;
pub mod restart;
#[cfg(test)]
pub(crate) mod sim;
pub mod state_machine;
pub mod unstick;

openraft::declare_raft_types!(
    /// The types of every Raft group.
    pub TypeConfig:
        D = LogData,
        R = Outcomes,
        NodeId = u64,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

/// A group's handle.
pub type Raft = openraft::Raft<TypeConfig, state_machine::StateMachine>;
/// Position in a group's log: term and index.
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// A term and who got the vote in it.
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
/// An entry of a group's log.
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
/// A membership and the entry that introduced it.
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot contains, apart from the data.
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// The log id of an entry.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// Where a state node is reached. Stored in the membership of every group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `host:port` of the internal service.
    pub internal: String,
    /// `host:port` of the public service.
    pub api: String,
    /// The cluster that the member belongs to.
    pub cluster: String,
}

/// The payload of a log entry: an encoded `drover.storage.v1.Entry`, shared and never re-encoded.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LogData(pub Bytes);

impl fmt::Debug for LogData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LogData({} bytes)", self.0.len())
    }
}

impl fmt::Display for LogData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl Serialize for LogData {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::Bytes::new(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LogData {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Ok(Self(Bytes::from(bytes.into_vec())))
    }
}

/// What the commands of an entry answered, in order. Never leaves the process, so nothing of it is serialised.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcomes {
    #[serde(skip)]
    pub list: Vec<Outcome>,
}

/// The tuning of every group.
///
/// Heartbeats and elections are slower than openraft's defaults because a group shares its core with seven others. When a
/// leader dies, first its lease ends, which is as long as the longest election timeout, then an election timeout: that is
/// two and a half seconds in the unluckiest of all shards. The log keeps 100,000 entries behind a snapshot so that a purge
/// cannot overtake an apply that is still queued.
///
/// A leader that starts again stands for election like everybody else. Were it given its leadership back, as is openraft's
/// default, it would answer reads before it knew again what it had committed: in the same term there is no new entry whose
/// commit would tell.
pub fn config(cluster: &str) -> Result<Arc<openraft::Config>, openraft::ConfigError> {
    let config = openraft::Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: 200,
        election_timeout_min: 700,
        election_timeout_max: 1_200,
        install_snapshot_timeout: 600_000,
        max_payload_entries: 256,
        snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(500_000),
        replication_lag_threshold: 600_000,
        max_in_snapshot_log_to_keep: 100_000,
        purge_batch_size: 1_000,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        backoff: "200ms 400ms ..1s".to_owned(),
        ..openraft::Config::default()
    };
    Ok(Arc::new(config.validate()?))
}
