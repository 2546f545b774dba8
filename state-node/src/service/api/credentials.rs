//! `drover.v1.Credentials`. Secrets come in, are sealed, and never go out again.

use device_state::{
    Command, Credential, CredentialId, CredentialKey, Outcome, ShardId, Timestamp, query,
};
use node_runtime::{Stage, clock, random};
use prost::Message;
use proto::convert::NewCredential;
use proto::drover::v1 as api;
use proto::drover::v1::credentials_server::Credentials;
use proto::storage::v1 as storage;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

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
        let sealed = self.seal.seal_secret(&new.id, &new.secret);
        let credential = Credential {
            id: new.id,
            endpoint: new.endpoint,
            sealed_secret: sealed.map_err(|error| status::seal(&error))?,
            created_at: Timestamp(clock::now_ms()),
            serial: random::random_u64(),
        };
        let (api, stored) = (self.clone(), credential.clone());
        self.to_the_end(async move { api.put(credential).await })
            .await?;
        Ok(Response::new(stored.into()))
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
            let after = page.after.take().map(|key| listed(&key)).transpose()?;
            let found = group
                .store()
                .read(|tables| query::list_credentials(tables, after.as_ref(), left));
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
                Some(next) => {
                    page.after = Some(storage::CredentialId::from(next).encode_to_vec());
                }
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
        let id = request.into_inner().id;
        let id = id.ok_or_else(|| status::field("id", &"is missing"))?;
        let id = CredentialId::try_from(id).map_err(|error| status::convert(&error))?;
        let api = self.clone();
        self.to_the_end(async move { api.remove(id).await }).await?;
        Ok(Response::new(api::DeleteCredentialResponse {}))
    }
}

/// An endpoint's shard knows of a credential before it is good for anything, and until it is good for nothing. If the
/// second commit fails, the endpoint registers with security only until the call is repeated.
impl Api {
    /// Goes on when the caller gives up, so that several commits are not left half done.
    async fn to_the_end(
        &self,
        work: impl Future<Output = Result<(), Status>> + Send + 'static,
    ) -> Result<(), Status> {
        let (done, result) = oneshot::channel();
        self.tasks
            .spawn_job("credentials", Stage::HandOver, |_drain| async move {
                // Unheard if the caller has given up.
                let _unheard = done.send(work.await);
            });
        result
            .await
            .map_err(|_| Status::unavailable("this node is ending"))?
    }

    async fn put(&self, credential: Credential) -> Result<(), Status> {
        let id = credential.id.clone();
        let bind = Command::BindEndpoint {
            endpoint: credential.endpoint.clone(),
            credential: CredentialKey {
                id: id.clone(),
                serial: credential.serial,
            },
        };
        self.commit(self.shard_of(&credential.endpoint), bind)
            .await?;
        let shard = ShardId::of_credential(&id, self.router().shards());
        let outcome = self
            .commit(shard, Command::PutCredential { credential })
            .await?;
        self.unbind(outcome, id).await
    }

    async fn remove(&self, id: CredentialId) -> Result<(), Status> {
        let shard = ShardId::of_credential(&id, self.router().shards());
        let remove = Command::RemoveCredential { id: id.clone() };
        let outcome = self.commit(shard, remove).await?;
        self.unbind(outcome, id).await
    }

    /// After a command that may have taken a credential from an endpoint.
    async fn unbind(&self, outcome: Outcome, id: CredentialId) -> Result<(), Status> {
        let Outcome::CredentialTaken { endpoint, serial } = outcome else {
            return Ok(());
        };
        let unbind = Command::UnbindEndpoint {
            endpoint: endpoint.clone(),
            credential: CredentialKey { id, serial },
        };
        let unbound = self.commit(self.shard_of(&endpoint), unbind).await;
        unbound.map(drop).map_err(|error| {
            let message = format!(
                "done, but {endpoint} still registers with security only: add a credential to it and remove that again: {}",
                error.message()
            );
            Status::new(error.code(), message)
        })
    }
}

/// The credential that a page token names.
fn listed(key: &[u8]) -> Result<CredentialId, Status> {
    storage::CredentialId::decode(key)
        .ok()
        .and_then(|id| CredentialId::try_from(id).ok())
        .ok_or_else(|| status::field("page_token", &"is not a token of this list"))
}
