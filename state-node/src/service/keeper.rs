//! Storing and removing credentials, which two shards have to know of: the credential's own and its endpoint's.
//!
//! An endpoint's shard knows of a credential before it is good for anything, and until it is good for nothing. If the
//! second commit fails, the endpoint registers with security only until the call is repeated. What may be refused by the
//! credential's shard goes there first: until the endpoint's shard knows of it, it is good for nothing.

use std::sync::Arc;
use std::time::Duration;

use device_state::limit::MAX_ENDPOINT_CREDENTIALS;
use device_state::{
    BoundCredential, Command, Credential, CredentialId, CredentialKey, CredentialName,
    CredentialOrigin, DeviceName, Outcome, Rejection, RequestId, ShardId, Timestamp, query,
};
use node_runtime::{Stage, Tasks, clock, random};
use proto::convert::NewCredential;
use proto::convert::public::Terms;
use proto::storage::v1 as wire;
use tokio::sync::oneshot;
use tonic::{Code, Status};

use crate::router::Router;
use crate::seal::Seal;
use crate::service::status;

/// How long a commit may take before the caller is told to come back.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Commits a command, wherever its shard is led.
pub async fn commit(router: &Router, shard: ShardId, command: Command) -> Result<Outcome, Status> {
    commit_once(router, shard, None, command).await
}

/// Commits a command on a caller's terms. A change can have several parts, each with a name of its own.
pub async fn commit_part(
    router: &Router,
    shard: ShardId,
    (terms, part): (&Terms, &str),
    command: Command,
) -> Result<Outcome, Status> {
    commit_once(
        router,
        shard,
        terms.request_id(part),
        terms.applied_to(command),
    )
    .await
}

async fn commit_once(
    router: &Router,
    shard: ShardId,
    request_id: Option<RequestId>,
    command: Command,
) -> Result<Outcome, Status> {
    // What stands in the log has to be readable on every replica, for ever: nothing goes in that does not come out.
    Command::try_from(wire::Command::from(command.clone()))
        .map_err(|error| status::convert(&error))?;
    let outcome = router
        .propose(shard, request_id, command, COMMIT_TIMEOUT)
        .await;
    match outcome.map_err(|error| status::propose(&error))? {
        Outcome::Rejected(rejection) => Err(status::rejection(rejection)),
        outcome => Ok(outcome),
    }
}

/// Keeps the credentials of the cluster.
#[derive(Clone, Debug)]
pub struct Keeper {
    pub router: Arc<Router>,
    pub seal: Arc<Seal>,
    pub tasks: Tasks,
}

impl Keeper {
    /// Stores a credential in place of any with its id.
    pub async fn store(&self, new: NewCredential, terms: &Terms) -> Result<Credential, Status> {
        let name = CredentialName::new(&new.endpoint.namespace(), new.id.clone());
        let sealed = self.seal.seal_secret(&name, &new.secret);
        let origin = new.origin;
        let credential = Credential {
            id: new.id,
            endpoint: new.endpoint,
            sealed_secret: sealed.map_err(|error| status::seal(&error))?,
            created_at: Timestamp(clock::now_ms()),
            // A request that is repeated means the credential that it stored.
            serial: terms.number("serial").unwrap_or_else(random::random_u64),
        };
        let (keeper, stored, terms) = (self.clone(), credential.clone(), terms.clone());
        let only_if_free = new.only_if_free;
        self.to_the_end(
            async move { keeper.put(credential, (origin, only_if_free), &terms).await },
        )
        .await?;
        Ok(stored)
    }

    /// Removes a credential.
    pub async fn remove(&self, name: CredentialName, terms: &Terms) -> Result<(), Status> {
        let (keeper, terms) = (self.clone(), terms.clone());
        self.to_the_end(async move { keeper.take(name, &terms).await })
            .await
    }

    /// Makes a credential good for nothing and leaves the registration that was made with it. The endpoint's shard knows
    /// of it until [`Keeper::remove_wholly`].
    pub async fn retire(&self, credential: CredentialName) -> Result<(), Status> {
        let shard = ShardId::of_credential(&credential, self.router.shards());
        let remove = Command::RemoveCredential { credential };
        match commit(&self.router, shard, remove).await {
            Err(error) if error.code() == Code::NotFound => Ok(()),
            retired => retired.map(drop),
        }
    }

    /// Removes a credential that may be known to its endpoint's shard only: storing it did not come to an end.
    pub async fn remove_wholly(
        &self,
        endpoint: &DeviceName,
        key: CredentialKey,
    ) -> Result<(), Status> {
        let name = CredentialName::new(&endpoint.namespace(), key.id.clone());
        match self.remove(name, &Terms::default()).await {
            Err(error) if error.code() == Code::NotFound => {
                let unbind = Command::UnbindEndpoint {
                    endpoint: endpoint.clone(),
                    credential: key,
                };
                commit(&self.router, self.shard_of(endpoint), unbind)
                    .await
                    .map(drop)
            }
            removed => removed,
        }
    }

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

    async fn put(
        &self,
        credential: Credential,
        (origin, only_if_free): (CredentialOrigin, bool),
        terms: &Terms,
    ) -> Result<(), Status> {
        let name = credential.name();
        self.router
            .tenants()
            .store(&self.router, &name)
            .map_err(|exceeded| status::quota(exceeded, &name.namespace))?;
        let id = name.id.clone();
        let key = CredentialKey {
            id: id.clone(),
            serial: credential.serial,
        };
        let endpoint = credential.endpoint.clone();
        let bind = Command::BindEndpoint {
            endpoint: endpoint.clone(),
            credential: BoundCredential { key, origin },
        };
        let bind = (self.shard_of(&endpoint), bind);
        let shard = ShardId::of_credential(&name, self.router.shards());
        let put = if only_if_free {
            Command::AddCredential { credential }
        } else {
            Command::PutCredential { credential }
        };
        let put = (shard, put);
        // What depends on what is there may be refused by its own shard, and then nothing is bound: until it is, the
        // endpoint has the one that was replaced, if any.
        if only_if_free {
            self.has_room(&endpoint, &id)?;
        }
        let outcome = if only_if_free || terms.guard.etag.is_some() {
            let outcome = self.commit_part(put, terms, "put").await?;
            self.commit_part(bind, &terms.whatever_is_there(), "bind")
                .await?;
            outcome
        } else {
            self.commit_part(bind, terms, "bind").await?;
            self.commit_part(put, terms, "put").await?
        };
        if terms.is_rehearsal() {
            return Ok(());
        }
        self.unbind(outcome, id).await
    }

    /// What is stored and cannot be bound would keep its id from everybody, and be good for nothing.
    fn has_room(&self, endpoint: &DeviceName, id: &CredentialId) -> Result<(), Status> {
        let group = self.router.group_of(endpoint);
        let bound = group
            .store()
            .read(|tables| query::endpoint_credentials(tables, endpoint));
        let is_bound = bound.iter().any(|bound| bound.key.id == *id);
        if is_bound || bound.len() < MAX_ENDPOINT_CREDENTIALS {
            return Ok(());
        }
        Err(status::rejection(Rejection::TooManyCredentials))
    }

    async fn take(&self, name: CredentialName, terms: &Terms) -> Result<(), Status> {
        let shard = ShardId::of_credential(&name, self.router.shards());
        let id = name.id.clone();
        let remove = (shard, Command::RemoveCredential { credential: name });
        let outcome = self.commit_part(remove, terms, "remove").await?;
        if terms.is_rehearsal() {
            return Ok(());
        }
        self.unbind(outcome, id).await
    }

    async fn commit_part(
        &self,
        (shard, command): (ShardId, Command),
        terms: &Terms,
        part: &str,
    ) -> Result<Outcome, Status> {
        commit_part(&self.router, shard, (terms, part), command).await
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
        let unbound = commit(&self.router, self.shard_of(&endpoint), unbind).await;
        unbound.map(drop).map_err(|error| {
            let message = format!(
                "done, but {} still registers with security only: add a credential to it and remove that again: {}",
                endpoint.endpoint_str(),
                error.message()
            );
            Status::new(error.code(), message)
        })
    }

    fn shard_of(&self, endpoint: &DeviceName) -> ShardId {
        ShardId::of_endpoint(endpoint, self.router.shards())
    }
}
