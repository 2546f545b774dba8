//! `drover.v1.Cluster`.

use device_state::{Leadership, NodeId, StateNodeRole};
use proto::drover::v1::cluster_node;
use proto::drover::v1::cluster_server::Cluster;
use proto::drover::v1::{
    AddNodeRequest, AddNodeResponse, ClusterNode, ClusterStatus, GetClusterStatusRequest,
    PromoteNodeRequest, PromoteNodeResponse, RemoveNodeRequest, RemoveNodeResponse,
    SetLeadershipRequest, SetLeadershipResponse, UnstickNodeRequest, UnstickNodeResponse,
};
use tonic::{Request, Response, Status};

use crate::service::api::Api;
use crate::service::membership::{self, Caution, Mode, unstick};
use crate::service::status;

impl Api {
    async fn cluster_node(&self, id: NodeId) -> ClusterNode {
        membership::survey(&self.state).await.node(id)
    }
}

#[tonic::async_trait]
impl Cluster for Api {
    async fn get_cluster_status(
        &self,
        _request: Request<GetClusterStatusRequest>,
    ) -> Result<Response<ClusterStatus>, Status> {
        Ok(Response::new(
            membership::survey(&self.state).await.status(),
        ))
    }

    async fn add_node(
        &self,
        request: Request<AddNodeRequest>,
    ) -> Result<Response<AddNodeResponse>, Status> {
        let request = request.into_inner();
        let role = if request.learner {
            StateNodeRole::Learner
        } else {
            StateNodeRole::Voter
        };
        let mode = Mode::of(request.validate_only);
        let id = membership::add(&self.state, &request.address, role, mode).await?;
        let node = Some(self.cluster_node(id).await);
        Ok(Response::new(AddNodeResponse { node }))
    }

    async fn promote_node(
        &self,
        request: Request<PromoteNodeRequest>,
    ) -> Result<Response<PromoteNodeResponse>, Status> {
        let request = request.into_inner();
        let mode = Mode::of(request.validate_only);
        let id = membership::promote(&self.state, &request.id, mode).await?;
        let node = Some(self.cluster_node(id).await);
        Ok(Response::new(PromoteNodeResponse { node }))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        let request = request.into_inner();
        let caution = if request.force {
            Caution::None
        } else {
            Caution::Quorum
        };
        let mode = Mode::of(request.validate_only);
        let id = membership::remove(&self.state, &request.id, caution, mode).await?;
        let node = Some(self.cluster_node(id).await);
        Ok(Response::new(RemoveNodeResponse { node }))
    }

    async fn set_leadership(
        &self,
        request: Request<SetLeadershipRequest>,
    ) -> Result<Response<SetLeadershipResponse>, Status> {
        let request = request.into_inner();
        let leadership = match request.leadership() {
            cluster_node::Leadership::Allowed => Leadership::Allowed,
            cluster_node::Leadership::Avoided => Leadership::Avoided,
            cluster_node::Leadership::Unspecified => return Err(status::missing("leadership")),
        };
        let mode = Mode::of(request.validate_only);
        let id = membership::set_leadership(&self.state, &request.id, leadership, mode).await?;
        let node = Some(self.cluster_node(id).await);
        Ok(Response::new(SetLeadershipResponse { node }))
    }

    async fn unstick_node(
        &self,
        request: Request<UnstickNodeRequest>,
    ) -> Result<Response<UnstickNodeResponse>, Status> {
        let request = request.into_inner();
        let mode = Mode::of(request.validate_only);
        unstick::unstick(&self.state, request, mode).await?;
        Ok(Response::new(UnstickNodeResponse {}))
    }
}
