//! What a node with corrupt data does: it is rebuilt from the other nodes, by itself or when a person says so.
//!
//! ```text
//!  damage found ──▶ file CORRUPT, exit 65 ──▶ start ──▶ others have a majority? ──▶ quarantine, new identity
//!                                                                                        │
//!  replacement.rs: learner, catches up, voter in place of the old id  ◀── start as a new node ┘
//! ```

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use device_state::NodeId;
use futures::future::join_all;
use node_runtime::{clock, random};
use proto::rpc::v1::DescribeClusterResponse;

use crate::config::{Config, Rebuild, RebuildCorrupt};
use crate::corruption::{self, Corruption, MarkError};
use crate::dial::Dialer;
use crate::identity::{self, IdentityError};
use crate::quarantine::{self, Haste, Progress, QuarantineError};
use crate::raft::bootstrap::describe;
use crate::volume::{LockError, VolumeLock};

/// How long a start waits for the other nodes: they may be starting as well.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);
/// Fewer voters cannot do without one of them.
const MIN_VOTERS: usize = 3;

/// Why corrupt data is not set aside.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Mark(#[from] MarkError),
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("there is no node's data in {}", data_dir.display())]
    NoData { data_dir: PathBuf },
    #[error(
        "the data of this node is corrupt ({corruption}) and `rebuild_corrupt` is \"never\": restore the file and remove \
         {}, or have the node rebuilt with `drover-state rebuild --data-dir {} --yes`",
        data_dir.join(corruption::MARKER).display(), data_dir.display()
    )]
    Forbidden {
        corruption: Box<Corruption>,
        data_dir: PathBuf,
    },
    #[error(
        "the data of this node is corrupt ({corruption}), and it cannot be rebuilt from others now"
    )]
    Alone {
        corruption: Box<Corruption>,
        #[source]
        source: Alone,
    },
}

/// Why nothing is known that a node could be rebuilt from.
#[derive(Debug, thiserror::Error)]
pub enum Alone {
    #[error("its identity cannot be read")]
    Identity(#[from] IdentityError),
    #[error("it belongs to no cluster")]
    NoCluster,
    #[error("no other node of its cluster answers")]
    NobodyAnswers,
    #[error(
        "shard {shard} has {voters} voters; with less than three a node is rebuilt by `drover-state rebuild` only"
    )]
    TooFewVoters { shard: u32, voters: usize },
    #[error("of the {voters} voters of shard {shard}, {there} others are there: no majority")]
    NoMajority {
        shard: u32,
        voters: usize,
        there: usize,
    },
    #[error("shard {shard} has no leader")]
    NoLeader { shard: u32 },
}

/// Before anything of the data is used: if it is marked as corrupt, sets it aside or refuses.
pub async fn before_start(config: &Config, dialer: &Dialer) -> Result<(), RebuildError> {
    let data_dir = &config.data_dir;
    let Some(corruption) = corruption::marked(data_dir)? else {
        return Ok(());
    };
    if config.rebuild_corrupt == RebuildCorrupt::Never {
        return Err(RebuildError::Forbidden {
            corruption: Box::new(corruption),
            data_dir: data_dir.clone(),
        });
    }
    let progress = quarantine::progress(data_dir, Haste::AfterPause, now())?;
    if matches!(progress, Progress::ToBegin(_)) {
        tracing::warn!(%corruption, "the data of this node is corrupt; asking the others whether they can do without it");
        wait_for_others(config, dialer)
            .await
            .map_err(|source| RebuildError::Alone {
                corruption: Box::new(corruption),
                source,
            })?;
    }
    let path = quarantine::set_aside(data_dir, progress, fresh(), now())?;
    tracing::warn!(path = %path.display(), "set the data aside; this node starts as a new one and waits to be taken in");
    Ok(())
}

/// The command for people; what it did or would do.
pub fn by_hand(asked: &Rebuild) -> Result<String, RebuildError> {
    let data_dir = &asked.data_dir;
    if ![identity::FILE, corruption::MARKER]
        .iter()
        .any(|name| data_dir.join(name).exists())
    {
        return Err(RebuildError::NoData {
            data_dir: data_dir.clone(),
        });
    }
    let _lock = VolumeLock::take(data_dir)?;
    let found = corruption::marked(data_dir)?;
    let haste = if asked.again {
        Haste::AtOnce
    } else {
        Haste::AfterPause
    };
    let progress = quarantine::progress(data_dir, haste, now())?;
    let (Progress::ToBegin(path) | Progress::Begun(path)) = &progress;
    let mut text = match &found {
        Some(corruption) => format!("The data is marked as corrupt: {corruption}\n"),
        None => "Nothing wrong is known of the data.\n".to_owned(),
    };
    if !asked.yes {
        describe_rebuild(&mut text, data_dir, path);
        return Ok(text);
    }
    if found.is_none() {
        let corruption = Corruption {
            shard: None,
            file: data_dir.clone(),
            offset: None,
            reason: "set aside by `drover-state rebuild`".to_owned(),
        };
        corruption::mark(data_dir, &corruption)?;
    }
    let path = quarantine::set_aside(data_dir, progress, fresh(), now())?;
    let _infallible = writeln!(
        text,
        "The data is in {} now; remove it when nobody wants to look at it any more.\n\
         Start the node: the others give it everything that is committed.",
        path.display()
    );
    Ok(text)
}

fn describe_rebuild(text: &mut String, data_dir: &Path, path: &Path) {
    let _infallible = writeln!(
        text,
        "With --yes, the identity, the log and the rows in {} move to {}, in place of an earlier quarantine, and the node \
         becomes a new one that the others fill. Do this with one node at a time, and only while the others are up: what \
         only this node has is lost to the cluster.",
        data_dir.display(),
        path.display()
    );
}

fn fresh() -> NodeId {
    NodeId(random::random_u64())
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(clock::now_ms())
}

async fn wait_for_others(config: &Config, dialer: &Dialer) -> Result<(), Alone> {
    let (node, identity) = identity::read(&config.data_dir.join(identity::FILE))?;
    let cluster = identity.cluster_id.ok_or(Alone::NoCluster)?;
    let others: Vec<&String> = config
        .seeds
        .iter()
        .filter(|seed| **seed != config.internal_advertise)
        .collect();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answers = join_all(others.iter().map(|seed| describe(dialer, seed))).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        match can_do_without(node, &cluster, &answers) {
            Ok(()) => return Ok(()),
            Err(alone) if tokio::time::Instant::now() >= deadline => return Err(alone),
            Err(alone) => {
                tracing::info!(reason = %alone, "waiting");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Whether those that answer are a majority of every shard without `node`: then they have everything that was committed.
fn can_do_without(
    node: NodeId,
    cluster: &str,
    answers: &[(NodeId, DescribeClusterResponse)],
) -> Result<(), Alone> {
    let of_cluster = || {
        answers
            .iter()
            .filter(|(other, answer)| *other != node && answer.cluster_id == cluster)
    };
    // The newest term's word counts for a shard: a node that was away knows old members.
    let newest = |shard: u32| {
        let states = of_cluster().flat_map(|(_, answer)| &answer.shard_states);
        states
            .filter(|state| state.shard == shard)
            .max_by_key(|state| (state.term, state.applied))
    };
    let shards = of_cluster().map(|(_, answer)| answer.shards).max();
    for shard in 0..shards.ok_or(Alone::NobodyAnswers)? {
        let state = newest(shard).ok_or(Alone::NoLeader { shard })?;
        let voters = state.voters.len();
        if voters < MIN_VOTERS {
            return Err(Alone::TooFewVoters { shard, voters });
        }
        let there = of_cluster()
            .filter(|(other, _)| state.voters.contains(&other.0))
            .count();
        if there <= voters / 2 {
            return Err(Alone::NoMajority {
                shard,
                voters,
                there,
            });
        }
        if state.leader == 0 || state.leader == node.0 {
            return Err(Alone::NoLeader { shard });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::rpc::v1::describe_cluster_response::Shard;

    use super::*;

    fn answer(leader: u64, voters: &[u64]) -> DescribeClusterResponse {
        DescribeClusterResponse {
            cluster_id: "c".to_owned(),
            shards: 1,
            nodes: Vec::new(),
            shard_states: vec![Shard {
                shard: 0,
                leader,
                term: 4,
                applied: 7,
                voters: voters.to_vec(),
                ..Shard::default()
            }],
            ..DescribeClusterResponse::default()
        }
    }

    fn asked(answers: &[(u64, DescribeClusterResponse)]) -> Result<(), Alone> {
        let answers: Vec<_> = answers
            .iter()
            .map(|(node, answer)| (NodeId(*node), answer.clone()))
            .collect();
        can_do_without(NodeId(1), "c", &answers)
    }

    #[test]
    fn a_node_is_rebuilt_only_while_the_others_are_a_majority_with_a_leader() {
        let all = answer(2, &[1, 2, 3]);
        asked(&[(2, all.clone()), (3, all.clone())]).expect("both others are there");
        let one = asked(&[(2, all.clone())]);
        assert!(matches!(one, Err(Alone::NoMajority { there: 1, .. })));
        // Its own word, and that of a node of another cluster or of a fresh one, count for nothing.
        let other = DescribeClusterResponse {
            cluster_id: "d".to_owned(),
            ..all.clone()
        };
        let few = asked(&[(1, all.clone()), (2, all.clone()), (3, other)]);
        assert!(matches!(few, Err(Alone::NoMajority { there: 1, .. })));
        assert!(matches!(asked(&[]), Err(Alone::NobodyAnswers)));
        let stranger = asked(&[(2, all.clone()), (9, all)]);
        assert!(matches!(stranger, Err(Alone::NoMajority { there: 1, .. })));
        for leader in [0, 1] {
            let headless = answer(leader, &[1, 2, 3]);
            let headless = asked(&[(2, headless.clone()), (3, headless)]);
            assert!(matches!(headless, Err(Alone::NoLeader { .. })));
        }
    }

    #[test]
    fn of_less_than_three_voters_none_is_given_up_by_itself() {
        let two = answer(2, &[1, 2]);
        let two = asked(&[(2, two)]);
        assert!(matches!(two, Err(Alone::TooFewVoters { voters: 2, .. })));
    }

    #[test]
    fn the_command_explains_itself_before_it_acts() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data_dir = dir.path().to_owned();
        identity::IdentityFile::open(&data_dir, 8, NodeId(7)).expect("an identity");
        let mut asked = Rebuild {
            data_dir: data_dir.clone(),
            yes: false,
            again: false,
        };
        let told = by_hand(&asked).expect("told");
        assert!(told.contains("quarantine-1") && told.contains("one node at a time"));
        assert!(!data_dir.join("quarantine-1").exists());
        asked.yes = true;
        by_hand(&asked).expect("done");
        assert!(data_dir.join("quarantine-1/IDENTITY").exists());
        let refused = by_hand(&asked);
        assert!(matches!(refused, Err(RebuildError::Quarantine(_))));
        let _held = VolumeLock::take(&data_dir).expect("free");
        assert!(matches!(by_hand(&asked), Err(RebuildError::Lock(_))));
    }
}
