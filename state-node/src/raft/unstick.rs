//! After a majority of the voters is gone for good: the nodes that are left go on without them.
//!
//! ```text
//!  drover cluster unstick ──▶ every survivor stores the plan as UNSTICK on its volume and stops
//!                                     │ started again
//!                                     ▼
//!  for each shard the survivor with the newest log appends a membership of survivors only, in a term of its own,
//!  before the shard starts; it wins the next election, and the others take its log
//! ```
//!
//! What only the lost nodes had committed is lost. The cluster gets another id with it: resume tokens of the history
//! before are refused, because some of it may never have been.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use device_state::{NodeId, ShardId};
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};
use serde::{Deserialize, Serialize};

use crate::identity::{Founder, format_id, parse_id};
use crate::raft::log_store::{GroupLogStore, LogStore};
use crate::raft::{Entry, Vote, log_id};

/// The plan on a volume, until it is carried out.
const FILE: &str = "UNSTICK";
/// The plan that was carried out last.
const DONE: &str = "UNSTICK.done";

/// Who goes on, and with whose log. The same on all survivors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster that is stuck.
    pub cluster: String,
    /// The members from now on, each with the cluster's new id.
    pub survivors: Vec<Founder>,
    /// For each shard that is stuck the survivor whose log counts; sixteen hex digits.
    pub keepers: BTreeMap<u16, String>,
}

/// Why a plan is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("cannot {action} {FILE}")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{FILE} is malformed")]
    Malformed(#[source] serde_json::Error),
    #[error("{FILE} names no survivors, or ids that are none")]
    Survivors,
    #[error("shard {0} has an empty log here: its keeper is another node")]
    NoLog(ShardId),
    #[error("the membership of shard {shard} cannot be written")]
    Log {
        shard: ShardId,
        #[source]
        source: io::Error,
    },
}

impl PlanError {
    fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// Stores a plan, durably. It is carried out when the node starts again.
pub fn store(dir: &Path, plan: &Plan) -> Result<(), PlanError> {
    let text = serde_json::to_string_pretty(plan).map_err(PlanError::Malformed)?;
    let temporary = dir.join("UNSTICK.new");
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(FILE))?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(PlanError::io("write"))
}

/// The plan that waits on a volume.
pub fn stored(dir: &Path) -> Result<Option<Plan>, PlanError> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(PlanError::Malformed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PlanError::io("read")(error)),
    }
}

/// Notes that the plan is carried out: it must not be again, over what came after it.
fn finish(dir: &Path) -> Result<(), PlanError> {
    let done = || {
        fs::rename(dir.join(FILE), dir.join(DONE))?;
        fs::File::open(dir)?.sync_all()
    };
    done().map_err(PlanError::io("rename"))
}

/// Carries out the plan on the volume, if there is one. No group may have been started yet.
pub async fn carry_out(dir: &Path, node: NodeId, log: &LogStore) -> Result<(), PlanError> {
    let Some(plan) = stored(dir)? else {
        return Ok(());
    };
    let members = plan.members()?;
    let own = format_id(node.0);
    for (shard, keeper) in &plan.keepers {
        if *keeper == own {
            rewrite(ShardId(*shard), node, log.group(*shard), &members).await?;
        }
    }
    finish(dir)?;
    tracing::warn!(
        cluster = plan.cluster,
        survivors = plan.survivors.len(),
        "goes on without the nodes that are lost"
    );
    Ok(())
}

type Members = BTreeMap<u64, crate::raft::Member>;

impl Plan {
    fn members(&self) -> Result<Members, PlanError> {
        let one = |survivor: &Founder| {
            let id = parse_id(&survivor.node_id)?;
            Some((id, survivor.member.clone()))
        };
        let members: Option<Members> = self.survivors.iter().map(one).collect();
        members
            .filter(|members| !members.is_empty())
            .ok_or(PlanError::Survivors)
    }
}

/// Appends the membership to a shard's log, in the next term, with this node's vote for itself. A crash in between leaves
/// entries that nobody counted; the plan is then carried out again, behind them.
async fn rewrite(
    shard: ShardId,
    node: NodeId,
    mut log: GroupLogStore,
    members: &Members,
) -> Result<(), PlanError> {
    let failed = |source| PlanError::Log { shard, source };
    let last = log.last().ok_or(PlanError::NoLog(shard))?;
    let voted = log.vote().map_or(0, |vote| vote.leader_id.term);
    let term = voted.max(last.leader_id.term) + 1;
    let voters: BTreeSet<u64> = members.keys().copied().collect();
    let membership = openraft::Membership::new(vec![voters], members.clone())
        .map_err(|_| PlanError::Survivors)?;
    let entry = Entry {
        log_id: log_id(term, last.index + 1),
        payload: EntryPayload::Membership(membership),
    };
    log.append([entry], IOFlushed::noop())
        .await
        .map_err(failed)?;
    // The writer works in order: with the vote, the entry is on the disk as well.
    let vote = Vote::new(term, node.0);
    log.save_vote(&vote).await.map_err(failed)
}
