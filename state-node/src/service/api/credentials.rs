//! `drover.v1.Credentials`. Keys come in, are sealed, and never go out again.

use device_state::{Command, Credential, ShardId, Timestamp, query};
use node_runtime::clock;
use proto::convert::MAX_PSK_IDENTITY_BYTES;
use proto::convert::public::NewCredential;
use proto::drover::v1 as api;
use proto::drover::v1::credentials_server::Credentials;
use tonic::{Request, Response, Status};

use crate::seal::Purpose;
use crate::service::api::token::{self, PageToken};
use crate::service::api::{Api, endpoint_name, page_size};
use crate::service::status;

#[tonic::async_trait]
impl Credentials for Api {
    async fn put_credential(
        &self,
        request: Request<api::PutCredentialRequest>,
    ) -> Result<Response<api::Credential>, Status> {
        let new = NewCredential::try_from(request.into_inner())
            .map_err(|error| status::convert(&error))?;
        let sealed = self
            .seal
            .seal(Purpose::PreSharedKey, &new.identity, &new.key);
        let credential = Credential {
            identity: new.identity,
            endpoint: new.endpoint,
            sealed_key: sealed.map_err(|error| status::seal(&error))?,
            created_at: Timestamp(clock::now_ms()),
        };
        let shard = ShardId::of_identity(&credential.identity, self.router().shards());
        self.commit(
            shard,
            Command::PutCredential {
                credential: credential.clone(),
            },
        )
        .await?;
        Ok(Response::new(credential.into()))
    }

    async fn list_credentials(
        &self,
        request: Request<api::ListCredentialsRequest>,
    ) -> Result<Response<api::ListCredentialsResponse>, Status> {
        let request = request.into_inner();
        if !request.endpoint.is_empty() {
            endpoint_name(&request.endpoint)?;
        }
        let size = page_size(request.page_size);
        let mut page = PageToken::of_request(&request.page_token, &request.endpoint)?;
        let mut credentials = Vec::new();
        while let Some(group) = self.router().group(ShardId(page.shard)) {
            let left = size - credentials.len();
            let after = page.after.take();
            let found = group
                .store()
                .read(|tables| query::list_credentials(tables, after.as_deref(), left));
            let wanted = |credential: &Credential| {
                request.endpoint.is_empty() || credential.endpoint.as_str() == request.endpoint
            };
            credentials.extend(
                found
                    .credentials
                    .into_iter()
                    .filter(wanted)
                    .map(api::Credential::from),
            );
            match found.next {
                Some(next) => page.after = Some(next),
                None => page.shard += 1,
            }
            if credentials.len() >= size {
                let next_page_token = token::encode(&page);
                return Ok(Response::new(api::ListCredentialsResponse {
                    credentials,
                    next_page_token,
                }));
            }
        }
        Ok(Response::new(api::ListCredentialsResponse {
            credentials,
            next_page_token: String::new(),
        }))
    }

    async fn delete_credential(
        &self,
        request: Request<api::DeleteCredentialRequest>,
    ) -> Result<Response<api::DeleteCredentialResponse>, Status> {
        let identity = request.into_inner().psk_identity;
        if !(1..=MAX_PSK_IDENTITY_BYTES).contains(&identity.len()) {
            return Err(status::field("psk_identity", &"has to have 1 to 128 bytes"));
        }
        let shard = ShardId::of_identity(&identity, self.router().shards());
        self.commit(shard, Command::RemoveCredential { identity })
            .await?;
        Ok(Response::new(api::DeleteCredentialResponse {}))
    }
}
