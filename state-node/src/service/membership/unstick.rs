//! Going on without a majority that is gone for good: checks the plan, stores it and stops the node.

use std::collections::BTreeMap;

use device_state::{NodeId, ShardId};
use node_runtime::{Signals, Stage};
use proto::drover::v1::unstick_node_request::Keeper;
use proto::drover::v1::{ClusterNode, UnstickNodeRequest};
use tonic::Status;

use crate::identity::{Founder, format_id, parse_id};
use crate::raft::Member;
use crate::raft::unstick::{self, Plan};
use crate::service::membership::{Mode, survey};
use crate::service::state::StateService;
use crate::service::status::{self, Obstacle};

/// As many as a cluster may have.
const MAX_SURVIVORS: usize = 64;

/// Has this node go on with the survivors when it is started again, and stops it.
pub(crate) async fn unstick(
    service: &StateService,
    request: UnstickNodeRequest,
    mode: Mode,
) -> Result<(), Status> {
    let survey = survey(service).await;
    if request.cluster_id != survey.cluster() {
        let message = format!("this node belongs to cluster {}", survey.cluster());
        return Err(status::membership(Obstacle::OtherCluster, message));
    }
    let plan = plan(request.clone())?;
    let survives = |id: NodeId| {
        plan.survivors
            .iter()
            .any(|one| one.node_id == format_id(id.0))
    };
    if !survives(service.node) {
        return Err(status::field(
            "survivors",
            &"the node that is asked is not one of them",
        ));
    }
    let stuck = survey.stuck();
    if stuck.is_empty() {
        let message = "a majority of the voters of every shard answers: nothing is to be given up";
        return Err(status::membership(Obstacle::NotStuck, message));
    }
    for shard in &stuck {
        let keeper = plan.keepers.get(&shard.0);
        let there = keeper.and_then(|id| parse_id(id));
        if !there.is_some_and(|id| survives(NodeId(id)) && survey.is_there(NodeId(id))) {
            let message = format!("shard {shard} has no keeper that answers");
            return Err(status::membership(Obstacle::NoKeeper, message));
        }
    }
    if plan
        .keepers
        .keys()
        .any(|shard| !stuck.contains(&ShardId(*shard)))
    {
        let message = "a shard of which a majority answers needs no keeper";
        return Err(status::membership(Obstacle::NotStuck, message));
    }
    for keeper in &request.keepers {
        check_log(service, keeper)?;
    }
    match mode {
        Mode::Check => Ok(()),
        Mode::Commit => stop(service, &plan),
    }
}

fn stop(service: &StateService, plan: &Plan) -> Result<(), Status> {
    unstick::store(&service.data_dir, plan).map_err(|error| {
        tracing::error!(%error, "the plan to go on without lost nodes was not stored");
        Status::internal(error.to_string())
    })?;
    tracing::warn!("stops, to go on without the nodes that are lost when it is started again");
    service.tasks.spawn_job("unstick", Stage::Flush, |_| async {
        Signals::stop_self();
    });
    Ok(())
}

fn plan(request: UnstickNodeRequest) -> Result<Plan, Status> {
    let cluster = parse_id(&request.new_cluster_id)
        .map(format_id)
        .ok_or_else(|| status::field("new_cluster_id", &"is not sixteen hex digits"))?;
    if cluster == request.cluster_id {
        return Err(status::field(
            "new_cluster_id",
            &"is the cluster's present id",
        ));
    }
    if request.survivors.len() > MAX_SURVIVORS {
        return Err(status::field("survivors", &"are too many"));
    }
    let founder = |node: ClusterNode| Founder {
        node_id: node.id,
        member: Member {
            internal: node.internal,
            api: node.api,
            cluster: cluster.clone(),
        },
    };
    let keeper = |keeper: Keeper| Some((u16::try_from(keeper.shard).ok()?, keeper.node));
    let keepers: Option<BTreeMap<u16, String>> = request.keepers.into_iter().map(keeper).collect();
    Ok(Plan {
        cluster: request.cluster_id,
        survivors: request.survivors.into_iter().map(founder).collect(),
        keepers: keepers.ok_or_else(|| status::field("keepers", &"name shards that cannot be"))?,
    })
}

/// The keeper's log has to go as far as whoever made the plan has seen.
fn check_log(service: &StateService, keeper: &Keeper) -> Result<(), Status> {
    if keeper.node != format_id(service.node.0) {
        return Ok(());
    }
    let shard = u16::try_from(keeper.shard).ok().map(ShardId);
    let group = shard.and_then(|shard| service.router.group(shard));
    let Some(group) = group else {
        return Err(status::field("keepers", &"name a shard that there is not"));
    };
    let here = group.status();
    if (here.last_log_term, here.last_log) < (keeper.last_log_term, keeper.last_log_index) {
        let message = format!("the log of shard {} does not go as far here", keeper.shard);
        return Err(status::membership(Obstacle::LogTooShort, message));
    }
    Ok(())
}
