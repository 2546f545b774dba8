//! Becoming the owner of a context.

use std::time::Duration;

use device_state::{
    Command, CredentialId, NodeId, OscoreSecret, Outcome, Secret, SessionGeneration, ShardId,
};
use lwm2m_server::Principal;
use oscore::{Carried, ContextState, IdContext, Identifier, Secrets};
use state_client::{Client, QueryError};

use crate::driver::carrier::Carrier;
use crate::driver::principal;

/// A request of a context that is not here.
pub(crate) struct Unopened {
    pub(super) carrier: Carrier,
    pub(super) kid: Identifier,
    pub(super) id_context: Option<IdContext>,
    pub(super) request: Carried,
}

/// A context that is this node's from now on.
pub(crate) struct ClaimedContext {
    pub(super) state: ContextState,
    pub(super) principal: Principal,
    pub(super) oscore_id: Identifier,
    pub(super) generation: SessionGeneration,
}

/// Why a context is not this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclaimed {
    /// There is no such context, or the request was not made with it.
    Foreign,
    /// The state tier cannot tell now, or another node was faster.
    Later,
}

/// Makes the context of a request this node's, if the request was made with it. Nothing is claimed for anyone else:
/// identifiers travel in the clear.
pub(super) async fn claim(
    client: &Client,
    request: &Unopened,
    node: NodeId,
    timeout: Duration,
) -> Result<ClaimedContext, Unclaimed> {
    let oscore_id = request.kid.as_bytes().to_vec();
    let id = CredentialId::OscoreId(oscore_id.clone());
    let shards = client.topology().ok_or(Unclaimed::Later)?.shards;
    let shard = ShardId::of_credential(&client.credential_name(&id), shards);
    let found = client.credential(&id, timeout).await.map_err(later)?;
    let (principal, secret) = principal::with(id, found.ok_or(Unclaimed::Foreign)?);
    let Secret::Oscore(secret) = secret else {
        return Err(Unclaimed::Foreign);
    };
    let state = derive(&secret, request).ok_or(Unclaimed::Foreign)?;
    if !state.authenticates(&request.request) {
        return Err(Unclaimed::Foreign);
    }
    let owner = client.context_owner(&oscore_id, timeout).await;
    let owner = owner.map_err(later)?;
    let command = Command::ClaimContext {
        namespace: client.namespace().clone(),
        oscore_id,
        owner: node,
        expected: owner.map_or(SessionGeneration(0), |owner| owner.generation),
    };
    match client.propose(shard, command, timeout).await {
        Ok(Outcome::ContextClaimed { context }) => Ok(ClaimedContext {
            // What an owner left that ended in order. Without it the device is challenged.
            state: state.with_window(&context.window),
            principal,
            oscore_id: request.kid,
            generation: context.generation,
        }),
        other => {
            tracing::debug!(?other, "an OSCORE context cannot be claimed");
            Err(Unclaimed::Later)
        }
    }
}

fn later(error: QueryError) -> Unclaimed {
    tracing::debug!(%error, "an OSCORE context cannot be looked up");
    Unclaimed::Later
}

fn derive(secret: &OscoreSecret, request: &Unopened) -> Option<ContextState> {
    let id_context = request.id_context.as_ref().map(IdContext::as_bytes);
    if secret.id_context.as_deref() != id_context {
        return None;
    }
    let secrets = Secrets {
        algorithm: oscore::Algorithm::default(),
        master_secret: &secret.master_secret,
        master_salt: &secret.master_salt,
        id_context,
        sender_id: &secret.server_id,
        recipient_id: request.kid.as_bytes(),
    };
    ContextState::provision(&secrets)
        .inspect_err(|error| tracing::warn!(%error, "an OSCORE credential makes no context"))
        .ok()
}
