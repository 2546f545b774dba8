//! `drover.v1.Bootstrap`.

use device_state::{BootstrapProfile, Command, query};
use lwm2m::{ObjectLinks, Path};
use proto::convert::public::InNamespace;
use proto::drover::v1 as public;
use proto::drover::v1::bootstrap_server::Bootstrap;
use tonic::{Request, Response, Status};

use crate::router::COMMON;
use crate::service::api::{Api, named, tenant, terms};
use crate::service::status;

/// The Bootstrap-Request Trigger of a Server instance.
const TRIGGER: u16 = 9;
const SERVER_OBJECT: u16 = 1;

#[tonic::async_trait]
impl Bootstrap for Api {
    async fn put_bootstrap_profile(
        &self,
        request: Request<public::PutBootstrapProfileRequest>,
    ) -> Result<Response<public::BootstrapProfile>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let profile = BootstrapProfile::try_from(asked).map_err(|error| status::convert(&error))?;
        let command = Command::PutBootstrapProfile {
            profile: profile.clone(),
        };
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(profile.into()))
    }

    async fn list_bootstrap_profiles(
        &self,
        request: Request<public::ListBootstrapProfilesRequest>,
    ) -> Result<Response<public::ListBootstrapProfilesResponse>, Status> {
        let namespace = tenant(request)?.namespace;
        let group = self.router().common_group();
        let profiles = group
            .store()
            .read(|tables| query::bootstrap_profiles(tables, &namespace));
        Ok(Response::new(public::ListBootstrapProfilesResponse {
            profiles: profiles.into_iter().map(Into::into).collect(),
        }))
    }

    async fn delete_bootstrap_profile(
        &self,
        request: Request<public::DeleteBootstrapProfileRequest>,
    ) -> Result<Response<public::DeleteBootstrapProfileResponse>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(public::DeleteBootstrapProfileResponse {}))
    }

    async fn start_bootstrap(
        &self,
        request: Request<public::StartBootstrapRequest>,
    ) -> Result<Response<public::OperationResponse>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        let endpoint = named(&namespace, &request.endpoint)?;
        let registration = self.view(&endpoint).await?.registration;
        let registration = registration.ok_or_else(|| status::not_found("a registration"))?;
        let server = ObjectLinks::parse(&registration.links)
            .ok()
            .and_then(|links| {
                let mut instances = links
                    .iter()
                    .filter(|link| link.path.object_id() == Some(SERVER_OBJECT));
                instances.find_map(|link| link.path.object_instance_id())
            });
        // LwM2M Core 1.2 §6.2.1: a client that lists no Server instance has the first one.
        let path = Path::Resource(SERVER_OBJECT, server.unwrap_or(0), TRIGGER);
        let execute = public::ExecuteRequest {
            endpoint: request.endpoint,
            path: path.to_string(),
            delivery: request.delivery,
            ..Default::default()
        };
        self.change_in(InNamespace {
            namespace,
            request: execute,
        })
        .await
    }
}
