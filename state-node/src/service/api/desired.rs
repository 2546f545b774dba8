//! `drover.v1.DesiredState`.

use device_state::{Command, DeviceName};
use proto::convert::public::{Defined, desired_resources};
use proto::drover::v1::desired_state_server::DesiredState;
use proto::drover::v1::{DesiredResources, GetDesiredRequest, SetDesiredRequest};
use tonic::{Request, Response, Status};

use crate::service::api::{Api, named, tenant, terms};
use crate::service::status;

impl Api {
    async fn desired(&self, endpoint: &DeviceName) -> Result<Response<DesiredResources>, Status> {
        let view = self.view(endpoint).await?;
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
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let endpoint = named(&asked.namespace, &asked.request.endpoint)?;
        let command = Command::try_from(Defined {
            request: asked.request,
            namespace: &asked.namespace,
            definitions: &self.definitions(),
        });
        let command = command.map_err(|error| status::convert(&error))?;
        self.commit_on(self.shard_of(&endpoint), &terms, command)
            .await?;
        self.desired(&endpoint).await
    }

    async fn get_desired(
        &self,
        request: Request<GetDesiredRequest>,
    ) -> Result<Response<DesiredResources>, Status> {
        let asked = tenant(request)?;
        self.desired(&named(&asked.namespace, &asked.request.endpoint)?)
            .await
    }
}
