//! `cluster`: the topology, from the internal service of the state nodes.

use futures::future::join_all;
use proto::rpc::v1::DescribeClusterRequest;
use proto::rpc::v1::state_client::StateClient;

use crate::api::{self, Addresses, Api};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::proof::Proof;
use crate::view::cluster::{ClusterView, NodeView};

pub(crate) async fn describe(global: &Global, internal: Vec<String>) -> Result<(), Failure> {
    let addresses = if internal.is_empty() {
        known(global)?
    } else {
        Addresses::given(internal, Proof::between_nodes(&global.proof, None)?)
    };
    let channel = addresses.connect().await?;
    let request = Api::request_within(global.timeout, DescribeClusterRequest {});
    let answer = StateClient::new(channel).describe_cluster(request).await;
    let mut view = ClusterView::from(
        answer
            .map_err(Failure::call("describe the cluster"))?
            .into_inner(),
    );
    let probes = view.nodes.iter_mut();
    join_all(probes.map(|node| probe(node, &addresses))).await;
    global.output.show(&view, ClusterView::table)
}

fn known(global: &Global) -> Result<Addresses, Failure> {
    let endpoints = api::read_endpoints(global).map_err(|failure| {
        Failure::usage(
            format!("the internal address of a state node is not known: {failure}"),
            "give --internal HOST:PORT, usually port 7444",
        )
    })?;
    let (access, dir) = (endpoints.access.as_ref(), api::directory(global));
    let files = access.map(|files| (dir.as_path(), files));
    let nodes = endpoints.state.iter();
    let internal = nodes.map(|node| api::secured(&node.internal, access));
    let proof = Proof::between_nodes(&global.proof, files)?;
    Ok(Addresses::given(internal.collect(), proof))
}

/// Nodes are reached as the one that told of them was.
async fn probe(node: &mut NodeView, addresses: &Addresses) {
    let address = addresses.like_first(&node.internal);
    if api::connect(&address, addresses.proof()).await.is_ok() {
        node.status = "Ready";
    }
}
