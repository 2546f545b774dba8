//! `cluster`: the state nodes, how they are, and which there are to be.

mod unstick;
mod wait;

use clap::{Args, Subcommand};
use proto::drover::v1::cluster_node::Leadership;
use proto::drover::v1::{
    AddNodeRequest, ClusterNode, ClusterStatus, GetClusterStatusRequest, PromoteNodeRequest,
    RemoveNodeRequest, SetLeadershipRequest,
};

use self::unstick::Unstick;
use self::wait::Waiting;
use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::view::cluster::{ClusterView, MemberView};

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show nodes, shards and leaders. The same as `drover cluster`.
    #[command(after_help = "\
JSON: {\"clusterId\", \"featureLevel\", \"nodes\": [as `members`], \"shards\": how many,
  \"shardStates\": [{\"shard\", \"leader\", \"term\", \"voters\": [id, …], \"learners\", \"quorum\",
    \"replicas\": [{\"node\", \"applied\", \"lastLogIndex\", \"lastLogTerm\"}]}]}")]
    Status,
    /// List the state nodes.
    #[command(after_help = "\
A node is Ready, Unreachable, or Replaced by another one that answers at its address: one that lost its volume, and is put
in its place by itself. BEHIND counts shards whose log the node has not applied yet.

JSON: {\"nodes\": [{\"id\", \"status\", \"role\": Voter|Learner|Joining|Leaving, \"api\", \"internal\", \"leads\", \"votes\",
  \"behind\", \"leadership\": Allowed|Avoided, \"version\", \"featureLevel\"}]}")]
    Members,
    /// Take a node in that waits for it, and wait until it votes in every shard.
    #[command(after_help = "\
Start the node first, with an empty volume, the cluster's key and number of shards:
  drover-state --start join --data-dir /var/lib/drover --internal-advertise 10.0.0.9:7444 …
With --seeds it asks to be taken in by itself, and this command is not needed.

A node fetches all shards before it counts for the quorum. Clusters have one, three or five voters: an even number
survives no more lost nodes than one less.

Example:
  drover cluster add 10.0.0.9:7444")]
    Add {
        /// Address of the node's internal service, as other nodes reach it.
        #[arg(value_name = "HOST:PORT")]
        address: String,
        /// Leave it a learner: it has replicas and counts for nothing.
        #[arg(long)]
        learner: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Make a learner a voter.
    #[command(after_help = "Example:\n  drover cluster promote 00c0ffee00c0ffee")]
    Promote {
        /// Id of the node; `drover cluster members` lists them.
        #[arg(value_name = "NODE")]
        id: String,
        #[command(flatten)]
        change: Change,
    },
    /// Take a node out for good, and wait until no shard has it any more.
    #[command(after_help = "\
Its leaderships go to others first. Refused if too few of the remaining voters answer. Afterwards stop the node and delete
its volume: its id does not come back.

A node that is only away for a while is not removed: stop it and start it again. One that lost its volume is replaced by
itself when it starts at the same address.

Example:
  drover cluster remove 00c0ffee00c0ffee")]
    Remove {
        /// Id of the node; `drover cluster members` lists them.
        #[arg(value_name = "NODE")]
        id: String,
        /// Even if nobody can tell whether every shard keeps its quorum.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Take all leaderships from a node, or let it lead again.
    #[command(after_help = "\
A node that stops hands its leaderships over by itself. This is for one that goes on running and should have less to do.

Examples:
  drover cluster transfer --from 00c0ffee00c0ffee
  drover cluster transfer --back-to 00c0ffee00c0ffee")]
    Transfer(Transfer),
    /// Go on without a majority of the voters, which is gone for good. Loses what only they had.
    Unstick(Unstick),
}

/// How a change is made.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Change {
    /// Only check whether it can be done.
    #[arg(long)]
    dry_run: bool,
    /// Return when it is decided, not when it is done.
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
}

#[derive(Debug, Args)]
#[group(required = true)]
pub(crate) struct Transfer {
    /// Node that is to lead nothing.
    #[arg(long, value_name = "NODE", group = "direction")]
    from: Option<String>,
    /// Node that is to have its share again.
    #[arg(long, value_name = "NODE", group = "direction")]
    back_to: Option<String>,
}

impl Cluster {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Status => status(global).await,
            Self::Members => members(global).await,
            Self::Add {
                address,
                learner,
                change,
            } => add(global, address, learner, change).await,
            Self::Promote { id, change } => promote(global, id, change).await,
            Self::Remove { id, force, change } => remove(global, id, force, change).await,
            Self::Transfer(transfer) => transfer.run(global).await,
            Self::Unstick(unstick) => unstick.run(global).await,
        }
    }
}

/// Asks the cluster how it is.
async fn survey(api: &Api) -> Result<ClusterStatus, Failure> {
    let request = api.request(GetClusterStatusRequest {});
    let answer = api.cluster().get_cluster_status(request).await;
    Ok(answer
        .map_err(Failure::call("describe the cluster"))?
        .into_inner())
}

pub(crate) async fn status(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let view = ClusterView::from(survey(&api).await?);
    global.output.show(&view, ClusterView::table)
}

async fn members(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let view = ClusterView::from(survey(&api).await?).into_members();
    global.output.show(&view, MemberView::table)
}

async fn add(
    global: &Global,
    address: String,
    learner: bool,
    change: Change,
) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("add the node at {address}");
    let request = api.request(AddNodeRequest {
        address,
        learner,
        validate_only: change.dry_run,
    });
    let answer = api.cluster().add_node(request).await;
    let node = answer.map_err(Failure::call(action))?.into_inner().node;
    finish(global, &api, node, change, Waiting::Member).await
}

async fn promote(global: &Global, id: String, change: Change) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("promote node {id}");
    let request = api.request(PromoteNodeRequest {
        id,
        validate_only: change.dry_run,
    });
    let answer = api.cluster().promote_node(request).await;
    let node = answer.map_err(Failure::call(action))?.into_inner().node;
    finish(global, &api, node, change, Waiting::Member).await
}

async fn remove(global: &Global, id: String, force: bool, change: Change) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("remove node {id}");
    let request = api.request(RemoveNodeRequest {
        id,
        force,
        validate_only: change.dry_run,
    });
    let answer = api.cluster().remove_node(request).await;
    let node = answer.map_err(Failure::call(action))?.into_inner().node;
    finish(global, &api, node, change, Waiting::Gone).await
}

/// Waits for what was decided, unless told otherwise, and shows the node.
async fn finish(
    global: &Global,
    api: &Api,
    node: Option<ClusterNode>,
    change: Change,
    waiting: Waiting,
) -> Result<(), Failure> {
    let node = node.unwrap_or_default();
    let node = if change.dry_run || change.no_wait {
        node
    } else {
        wait::until(api, node, waiting).await?
    };
    global
        .output
        .show(&MemberView::one(node), MemberView::table)
}

impl Transfer {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let (id, leadership, waiting) = match (self.from, self.back_to) {
            (Some(id), _) => (id, Leadership::Avoided, Waiting::LeadsNothing),
            (None, id) => (
                id.unwrap_or_default(),
                Leadership::Allowed,
                Waiting::LeadsItsShare,
            ),
        };
        let api = Api::connect(global).await?;
        let action = format!("move the leaderships of node {id}");
        let request = api.request(SetLeadershipRequest {
            id,
            leadership: leadership.into(),
            validate_only: false,
        });
        let answer = api.cluster().set_leadership(request).await;
        let node = answer.map_err(Failure::call(action))?.into_inner().node;
        let node = wait::until(&api, node.unwrap_or_default(), waiting).await?;
        global
            .output
            .show(&MemberView::one(node), MemberView::table)
    }
}
