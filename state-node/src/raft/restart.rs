//! A group that begins with the rows of another cluster: alone, and as if it had applied one entry more than they hold.
//!
//! The log is empty up to there. The first leader's term has to be above that of the rows, so a vote of it is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use device_state::{NodeId, Revision, Timestamp};
use openraft::storage::RaftLogStorage;

use crate::fail_stop::FailStop;
use crate::raft::log_store::LogStore;
use crate::raft::state_machine::Position;
use crate::raft::{LogId, Member, StoredMembership, Vote, log_id};

/// Where the rows of a group stand when its new cluster begins.
#[derive(Clone, Debug)]
pub struct Restart {
    position: Position,
    last: LogId,
    /// Term and index of the rows before.
    before: (u64, u64),
}

impl Restart {
    /// After rows at the encoded position `applied`, as the only member, no earlier than `now`.
    pub fn after(applied: &[u8], node: NodeId, member: Member, now: Timestamp) -> io::Result<Self> {
        let before = Position::decode(applied)?;
        let (term, index) = before
            .last
            .map_or((0, 0), |last| (last.leader_id.term, last.index));
        // Term 0 has no leader.
        let last = log_id(term.max(1), index + 1);
        let voters = vec![BTreeSet::from([node.0])];
        let nodes = BTreeMap::from([(node.0, member)]);
        let membership = openraft::Membership::new(voters, nodes).map_err(io::Error::other)?;
        let position = Position {
            last: Some(last),
            membership: StoredMembership::new(Some(last), membership),
            leader_time_ms: before.leader_time_ms.max(now.0),
        };
        Ok(Self {
            position,
            last,
            before: (term, index),
        })
    }

    /// Term and index that the rows stood at.
    pub fn follows(&self) -> (u64, u64) {
        self.before
    }

    /// The revision of what the restart itself changes.
    pub fn revision(&self) -> Revision {
        Revision(self.last.index)
    }

    /// No earlier than anything in the rows.
    pub fn time(&self) -> Timestamp {
        Timestamp(self.position.leader_time_ms)
    }

    /// What is stored with the rows.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        postcard::to_stdvec(&self.position).map_err(io::Error::other)
    }
}

/// Makes the log of a node in the empty folder `dir`: one group for each of `groups`.
pub async fn begin_log(dir: &Path, node: NodeId, groups: &[Restart]) -> io::Result<()> {
    let opened = LogStore::open(dir, groups.len() as u16, FailStop::exit(dir));
    let store = opened.map_err(io::Error::other)?;
    for (number, restart) in groups.iter().enumerate() {
        let mut log = store.group(number as u16);
        log.save_vote(&Vote::new(restart.last.leader_id.term, node.0))
            .await?;
        log.purge(restart.last).await?;
    }
    store.close().await
}

/// Term and index of the end of a log; for tests.
#[cfg(test)]
pub async fn log_end(
    log: &mut crate::raft::log_store::GroupLogStore,
) -> io::Result<Option<(u64, u64)>> {
    let state = log.get_log_state().await?;
    Ok(state
        .last_log_id
        .map(|last| (last.leader_id.term, last.index)))
}
