//! `cluster`: the topology, from the internal service of the state nodes.

use futures::future::join_all;
use proto::rpc::v1::DescribeClusterRequest;
use proto::rpc::v1::state_client::StateClient;
use tonic::transport::Channel;

use crate::api::{self, Addresses, Api};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::view::cluster::{ClusterView, NodeView};

pub(crate) async fn describe(global: &Global, internal: Vec<String>) -> Result<(), Failure> {
    let addresses = if internal.is_empty() {
        known(global)?
    } else {
        Addresses::given(internal)
    };
    let channel = addresses.connect().await?;
    let request = Api::request_within(global.timeout, DescribeClusterRequest {});
    let answer = StateClient::<Channel>::new(channel)
        .describe_cluster(request)
        .await;
    let mut view = ClusterView::from(
        answer
            .map_err(Failure::call("describe the cluster"))?
            .into_inner(),
    );
    join_all(view.nodes.iter_mut().map(probe)).await;
    global.output.show(&view, ClusterView::table)
}

fn known(global: &Global) -> Result<Addresses, Failure> {
    let endpoints = api::read_endpoints(global).map_err(|failure| {
        Failure::usage(
            format!("the internal address of a state node is not known: {failure}"),
            "give --internal HOST:PORT, usually port 7444",
        )
    })?;
    Ok(Addresses::given(
        endpoints
            .state
            .into_iter()
            .map(|node| node.internal)
            .collect(),
    ))
}

async fn probe(node: &mut NodeView) {
    if api::connect(&node.internal).await.is_ok() {
        node.status = "Ready";
    }
}
