//! `cluster unstick`: what is left of a cluster goes on.

use std::collections::BTreeSet;

use anyhow::anyhow;
use clap::Args;
use proto::drover::v1::cluster_node::Condition;
use proto::drover::v1::unstick_node_request::Keeper;
use proto::drover::v1::{ClusterNode, ClusterShard, ClusterStatus, UnstickNodeRequest};

use crate::api::{Addresses, Api};
use crate::arguments::Global;
use crate::command::cluster::survey;
use crate::failure::Failure;
use crate::output::note;

#[derive(Debug, Args)]
#[command(after_help = "\
For when a majority of the voters is gone and does not come back: volumes lost, machines destroyed. If they may come back,
start them instead: nothing is lost then.

Of each shard the surviving replica with the newest log goes on. WHAT ONLY THE LOST NODES HAD IS LOST, although it was
acknowledged. The cluster gets another id, so that watchers list again. The lost nodes must never be started again with
their old volumes: they would be a second cluster of the same devices.

Each survivor stores the plan and stops. Started again, it carries the plan out; where nothing starts nodes by itself,
start them. Then add nodes until there are three again.

Without --yes it only tells what it would do.

Example:
  drover cluster unstick --api 10.0.0.5:7443
  drover cluster unstick --api 10.0.0.5:7443 --yes")]
pub(crate) struct Unstick {
    /// Do it.
    #[arg(long)]
    yes: bool,
}

/// Who goes on, and with whose logs.
#[derive(Debug)]
struct Plan {
    survivors: Vec<ClusterNode>,
    lost: Vec<ClusterNode>,
    keepers: Vec<Keeper>,
}

impl Unstick {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let cluster = survey(&api).await?;
        let plan = plan(&cluster)?;
        describe(&plan);
        let request = UnstickNodeRequest {
            cluster_id: cluster.id,
            new_cluster_id: format!("{:016x}", rand::random::<u64>()),
            survivors: plan.survivors.clone(),
            keepers: plan.keepers,
            validate_only: true,
        };
        // All of them have to agree before the first one stops.
        for survivor in &plan.survivors {
            send(global, survivor, request.clone()).await?;
        }
        if !self.yes {
            note("nothing was changed; --yes does it");
            return Ok(());
        }
        for survivor in &plan.survivors {
            let request = UnstickNodeRequest {
                validate_only: false,
                ..request.clone()
            };
            send(global, survivor, request).await?;
            note(&format!(
                "node {} stops, to go on when it is started",
                survivor.id
            ));
        }
        Ok(())
    }
}

async fn send(
    global: &Global,
    node: &ClusterNode,
    request: UnstickNodeRequest,
) -> Result<(), Failure> {
    let known = Addresses::find(global)?;
    let address = vec![known.like_first(&node.api)];
    let channel = Addresses::given(address, known.proof().clone())
        .connect()
        .await?;
    let api = Api::new(channel, global.timeout);
    let request = api.request(request);
    let answer = api.cluster().unstick_node(request).await;
    answer
        .map(drop)
        .map_err(Failure::call(format!("unstick node {}", node.id)))
}

fn plan(cluster: &ClusterStatus) -> Result<Plan, Failure> {
    let stuck: Vec<&ClusterShard> = cluster
        .shards
        .iter()
        .filter(|shard| !shard.quorum)
        .collect();
    if stuck.is_empty() {
        return Err(Failure::Other(anyhow!(
            "a majority of the voters of every shard answers: nothing is to be given up"
        )));
    }
    let nodes = cluster.nodes.iter().cloned();
    let (survivors, lost): (Vec<_>, Vec<_>) =
        nodes.partition(|node| node.condition() == Condition::Ready);
    let ids: BTreeSet<&str> = survivors.iter().map(|node| node.id.as_str()).collect();
    let keepers: Result<Vec<Keeper>, Failure> = stuck
        .into_iter()
        .map(|shard| {
            let replicas = shard.replicas.iter();
            let newest = replicas
                .filter(|replica| ids.contains(replica.node.as_str()))
                .max_by_key(|replica| (replica.last_log_term, replica.last_log_index));
            let newest = newest.filter(|replica| replica.last_log_index > 0);
            let newest = newest.ok_or_else(|| {
                Failure::Other(anyhow!("no node that answers has shard {}", shard.shard))
            })?;
            Ok(Keeper {
                shard: shard.shard,
                node: newest.node.clone(),
                last_log_index: newest.last_log_index,
                last_log_term: newest.last_log_term,
            })
        })
        .collect();
    Ok(Plan {
        survivors,
        lost,
        keepers: keepers?,
    })
}

fn describe(plan: &Plan) {
    for node in &plan.survivors {
        let kept = plan.keepers.iter().filter(|keeper| keeper.node == node.id);
        let shards: Vec<String> = kept.map(|keeper| keeper.shard.to_string()).collect();
        note(&format!(
            "goes on: {} at {}, with its log of shards {}",
            node.id,
            node.internal,
            if shards.is_empty() {
                "-".to_owned()
            } else {
                shards.join(", ")
            }
        ));
    }
    for node in &plan.lost {
        note(&format!(
            "given up: {} at {}; never start it again with its volume",
            node.id, node.internal
        ));
    }
}
