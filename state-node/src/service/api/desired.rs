//! `drover.v1.DesiredState`.

use device_state::Command;
use proto::convert::public::{Defined, desired_resources};
use proto::drover::v1::desired_state_server::DesiredState;
use proto::drover::v1::{DesiredResources, GetDesiredRequest, SetDesiredRequest};
use tonic::{Request, Response, Status};

use crate::service::api::{Api, endpoint_name, terms};
use crate::service::status;

impl Api {
    async fn desired(&self, endpoint: &str) -> Result<Response<DesiredResources>, Status> {
        let view = self.view(&endpoint_name(endpoint)?).await?;
        let desired = desired_resources(view.desired_generation, view.desired);
        Ok(Response::new(desired))
    }
}

#[tonic::async_trait]
impl DesiredState for Api {
    async fn set_desired(
        &self,
        request: Request<SetDesiredRequest>,
    ) -> Result<Response<DesiredResources>, Status> {
        let request = request.into_inner();
        let terms = terms(&request)?;
        let name = request.endpoint.clone();
        let endpoint = endpoint_name(&name)?;
        let command = Command::try_from(Defined {
            request,
            definitions: &self.definitions(),
        });
        let command = command.map_err(|error| status::convert(&error))?;
        self.commit_on(self.shard_of(&endpoint), &terms, command)
            .await?;
        self.desired(&name).await
    }

    async fn get_desired(
        &self,
        request: Request<GetDesiredRequest>,
    ) -> Result<Response<DesiredResources>, Status> {
        self.desired(&request.into_inner().endpoint).await
    }
}
