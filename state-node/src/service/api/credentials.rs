//! `drover.v1.Credentials`. Secrets come in, are sealed, and never go out again.

use device_state::{CredentialId, CredentialName, DeviceName, ShardId, query};
use prost::Message;
use proto::convert::NewCredential;
use proto::convert::public::InNamespace;
use proto::drover::v1 as api;
use proto::drover::v1::credentials_server::Credentials;
use proto::storage::v1 as storage;
use tonic::{Request, Response, Status};

use crate::service::api::token::{self, PageToken};
use crate::service::api::{Api, named, page_size, tenant, terms};
use crate::service::status;

#[tonic::async_trait]
impl Credentials for Api {
    async fn put_credential(
        &self,
        request: Request<api::PutCredentialRequest>,
    ) -> Result<Response<api::Credential>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let new = NewCredential::try_from(asked).map_err(|error| status::convert(&error))?;
        let stored = self.state.keeper.store(new, &terms).await?;
        Ok(Response::new(stored.into()))
    }

    async fn list_credentials(
        &self,
        request: Request<api::ListCredentialsRequest>,
    ) -> Result<Response<api::ListCredentialsResponse>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        let of = match request.endpoint.as_str() {
            "" => None,
            name => Some(named(&namespace, name)?),
        };
        let size = page_size(request.page_size);
        let mut page = PageToken::of_request(
            &self.signer,
            &request.page_token,
            &namespace.qualify(&request.endpoint),
            self.cluster_id(),
        )?;
        if let Some(endpoint) = &of {
            return self.credentials_of(endpoint, size, page);
        }
        let mut credentials = Vec::new();
        while let Some(group) = self.router().group(ShardId(page.shard)) {
            let left = size - credentials.len();
            let after = page.after.take().map(|key| listed(&key)).transpose()?;
            let found = group
                .store()
                .read(|tables| query::list_credentials(tables, &namespace, after.as_ref(), left));
            credentials.extend(found.credentials.into_iter().map(api::Credential::from));
            match found.next {
                Some(next) => {
                    page.after = Some(storage::CredentialId::from(next).encode_to_vec());
                }
                None => page.shard += 1,
            }
            if credentials.len() >= size {
                let next_page_token = token::encode(&self.signer, &page);
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
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let id = asked
            .request
            .id
            .ok_or_else(|| status::field("id", &"is missing"))?;
        let id = CredentialId::try_from(id).map_err(|error| status::convert(&error))?;
        let credential = CredentialName::new(&asked.namespace, id);
        self.state.keeper.remove(credential, &terms).await?;
        Ok(Response::new(api::DeleteCredentialResponse {}))
    }
}

impl Api {
    /// Those of one endpoint, by their ids. Its shard knows them: the others need not be looked through.
    fn credentials_of(
        &self,
        endpoint: &DeviceName,
        size: usize,
        mut page: PageToken,
    ) -> Result<Response<api::ListCredentialsResponse>, Status> {
        let router = self.router();
        let group = router.group_of(endpoint);
        let bound = group
            .store()
            .read(|tables| query::endpoint_credentials(tables, endpoint));
        let mut ids: Vec<CredentialId> = bound.into_iter().map(|bound| bound.key.id).collect();
        ids.sort_unstable();
        if let Some(after) = page.after.take() {
            let after = listed(&after)?;
            ids.retain(|id| *id > after);
        }
        let next = ids.get(size.saturating_sub(1)).filter(|_| ids.len() > size);
        let next_page_token = next.map_or_else(String::new, |last| {
            page.after = Some(storage::CredentialId::from(last.clone()).encode_to_vec());
            token::encode(&self.signer, &page)
        });
        let stored = |id| {
            let name = CredentialName::new(&endpoint.namespace(), id);
            let shard = ShardId::of_credential(&name, router.shards());
            let group = router.group(shard)?;
            let credential = group
                .store()
                .read(|tables| query::credential(tables, &name));
            // It may be another endpoint's by now, or not be stored yet.
            credential.filter(|credential| credential.endpoint == *endpoint)
        };
        let credentials = ids.into_iter().take(size).filter_map(stored);
        Ok(Response::new(api::ListCredentialsResponse {
            credentials: credentials.map(api::Credential::from).collect(),
            next_page_token,
        }))
    }
}

/// The credential that a page token names.
fn listed(key: &[u8]) -> Result<CredentialId, Status> {
    storage::CredentialId::decode(key)
        .ok()
        .and_then(|id| CredentialId::try_from(id).ok())
        .ok_or_else(|| status::field("page_token", &"is not a token of this list"))
}
