//! What a node tells Prometheus. Everything is read when it is asked for; nothing counts twice.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use device_state::query;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::attachments::Attachments;
use crate::comparison::hashes::Compared;
use crate::quarantine;
use crate::raft::group::Group;
use crate::raft::log_store::LogStore;
use crate::raft::proposals::DiskGuard;

/// Reads the node's state for each scrape.
#[derive(Debug)]
pub struct StateCollector {
    pub groups: Arc<Vec<Arc<Group>>>,
    pub attachments: Arc<Attachments>,
    pub log: LogStore,
    pub disk: DiskGuard,
    pub data_dir: PathBuf,
}

/// A figure of one shard.
struct ShardFigures {
    shard: String,
    leads: u64,
    has_leader: u64,
    term: u64,
    last_log: u64,
    applied: u64,
    registrations: u64,
    sessions: u64,
    resumptions: u64,
    feed_rows: u64,
    compared: Compared,
    feed_bytes: u64,
}

type Figure = (&'static str, &'static str, fn(&ShardFigures) -> u64);

const FIGURES: [Figure; 13] = [
    ("shard_leads", "1 if this node leads the shard", |shard| {
        shard.leads
    }),
    (
        "shard_has_leader",
        "1 if this node knows the shard's leader",
        |shard| shard.has_leader,
    ),
    ("shard_term", "Raft term of the shard", |shard| shard.term),
    (
        "shard_last_log_index",
        "Newest entry of the shard's log on this node",
        |shard| shard.last_log,
    ),
    (
        "shard_applied_index",
        "Newest entry of the shard's log applied on this node",
        |shard| shard.applied,
    ),
    (
        "shard_registrations",
        "Registered devices of the shard",
        |shard| shard.registrations,
    ),
    (
        "shard_sessions",
        "Stored DTLS sessions of the shard",
        |shard| shard.sessions,
    ),
    (
        "shard_resumptions",
        "DTLS sessions of the shard that can be resumed",
        |shard| shard.resumptions,
    ),
    (
        "shard_feed_rows",
        "Events of the shard that can be watched",
        |shard| shard.feed_rows,
    ),
    (
        "shard_feed_bytes",
        "What the events of the shard that can be watched weigh",
        |shard| shard.feed_bytes,
    ),
    (
        "shard_compared_revision",
        "Newest revision at which this node compared the shard's replicas",
        |shard| shard.compared.revision,
    ),
    (
        "shard_compared_at_seconds",
        "When this node compared the shard's replicas last, in seconds since 1970; 0 if it has not led it so long",
        |shard| shard.compared.at_seconds,
    ),
    (
        "replica_hash_mismatches",
        "Comparisons by this node that found replicas of the shard with different rows",
        |shard| shard.compared.mismatches,
    ),
];

impl StateCollector {
    fn figures(&self) -> Vec<ShardFigures> {
        let figures = |group: &Arc<Group>| {
            let status = group.status();
            let counters = group.store().read(|tables| query::counters(tables));
            ShardFigures {
                shard: group.shard().to_string(),
                leads: u64::from(group.leads()),
                has_leader: u64::from(status.leader.is_some()),
                term: status.term,
                last_log: status.last_log,
                applied: status.applied,
                registrations: counters.registrations,
                sessions: counters.sessions,
                resumptions: counters.resumptions,
                feed_rows: counters.feed_rows,
                compared: group.hashes().figures(),
                feed_bytes: counters.feed_bytes,
            }
        };
        self.groups.iter().map(figures).collect()
    }

    fn quarantined_at(&self) -> u64 {
        let at = quarantine::newest(&self.data_dir);
        let since = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }
}

impl Collector for StateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shards = self.figures();
        for (name, help, figure) in FIGURES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for shard in &shards {
                let labels = [("shard", shard.shard.as_str())];
                let metric = family.encode_family(&labels)?;
                ConstGauge::new(figure(shard)).encode(metric)?;
            }
        }
        let node = [
            (
                "attached_ingress_nodes",
                "Ingress nodes attached to this node",
                self.attachments.len() as u64,
            ),
            (
                "log_segments",
                "Segment files of the Raft log",
                self.log.segments() as u64,
            ),
            (
                "disk_nearly_full",
                "1 while commands are refused for want of disk space",
                u64::from(self.disk.is_closed()),
            ),
            (
                "quarantined_at_seconds",
                "When corrupt data of this node was set aside last, in seconds since 1970; 0 if there is no quarantine",
                self.quarantined_at(),
            ),
        ];
        for (name, help, value) in node {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}
