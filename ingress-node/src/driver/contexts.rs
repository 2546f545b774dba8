//! OSCORE (RFC 8613): security contexts of devices, between the socket of unsecured CoAP and the engine.
//!
//! ```text
//!  request of an unknown kid ─▶ credential, its key opens the request? ─▶ claim a generation ─▶ import, feed again
//!  request of a known kid ────▶ decrypted ─▶ is the generation still ours? ─▶ engine
//! ```
//!
//! A context has one owner at a time, by a compare-and-swap in the state tier. An owner does not hear that another one
//! followed it, and its replay window does not know what that one accepted: so it asks before it hands up a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use device_state::{
    Command, CredentialId, NodeId, OscoreSecret, Outcome, Secret, SessionGeneration, ShardId,
    Transport,
};
use forward::Channel;
use hashbrown::{HashMap, HashSet};
use lwm2m_server::{Now, Origin, Principal};
use oscore::{ContextId, ContextState, IdContext, Identifier, Output, Secrets};
use state_client::{Client, QueryError};

use super::state_tier::Resolved;
use super::{Driver, Peer, now, principal};

/// Contexts that a worker looks for at a time; requests of more are dropped, and sent again by their devices.
const MAX_SOUGHT: usize = 1024;

/// The contexts of a worker.
pub(super) struct Contexts {
    pub(super) layer: oscore::Server,
    owned: HashMap<ContextId, Owned>,
    sought: HashSet<Identifier>,
}

/// A context that this worker owns, as far as it knows.
struct Owned {
    principal: Arc<Principal>,
    oscore_id: Identifier,
    generation: SessionGeneration,
}

/// A context that is this node's from now on.
pub(super) struct ClaimedContext {
    state: ContextState,
    principal: Principal,
    oscore_id: Identifier,
    generation: SessionGeneration,
}

/// Why a context is not this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclaimed {
    /// There is no such context, or the request was not made with it.
    Foreign,
    /// The state tier cannot tell now, or another node was faster.
    Later,
}

/// A request of a context that is not here.
pub(super) struct Unopened {
    peer: SocketAddr,
    kid: Identifier,
    id_context: Option<IdContext>,
    datagram: Vec<u8>,
}

impl Contexts {
    pub(super) fn new(layer: oscore::Server) -> Self {
        Self {
            layer,
            owned: HashMap::new(),
            sought: HashSet::new(),
        }
    }

    pub(super) fn principal(&self, context: ContextId) -> Option<Arc<Principal>> {
        let owned = self.owned.get(&context)?;
        Some(owned.principal.clone())
    }

    /// The contexts of those that `wanted` picks.
    pub(super) fn of(&self, wanted: impl Fn(&Principal) -> bool) -> Vec<ContextId> {
        let picked = self
            .owned
            .iter()
            .filter(|(_, owned)| wanted(&owned.principal));
        picked.map(|(context, _)| *context).collect()
    }

    fn origin(&self, context: ContextId) -> Option<Origin> {
        Some(Origin {
            address: self.layer.peer(context)?,
            transport: Transport::Udp,
            principal: self.principal(context)?,
            session: None,
        })
    }
}

impl Driver {
    pub(super) fn oscore_output(&mut self, output: Output) {
        match output {
            Output::Transmit { peer, datagram } => self.transmit(Channel::Plain, peer, datagram),
            Output::Inner { context, datagram } if is_request(&datagram) => {
                self.fence(context, datagram);
            }
            // The nonce of a response is that of a request that this owner sent.
            Output::Inner { context, datagram } => self.unprotected(context, &datagram),
            Output::UnknownContext {
                peer,
                kid,
                id_context,
                datagram,
            } => self.find_context(Unopened {
                peer,
                kid,
                id_context,
                datagram,
            }),
        }
    }

    /// Protects a datagram of the engine.
    pub(super) fn protect(&mut self, context: ContextId, datagram: &[u8]) {
        let sent = self.contexts.layer.send(now().instant, context, datagram);
        if let Err(error) = sent {
            tracing::debug!(%error, "a message cannot be protected");
            self.metrics.datagrams_lost.inc();
        }
    }

    /// Asks whether the context is still ours before a request of it is believed not to be a replay.
    fn fence(&mut self, context: ContextId, datagram: Vec<u8>) {
        let Some(owned) = self.contexts.owned.get(&context) else {
            return;
        };
        let oscore_id = owned.oscore_id;
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            let owner = client.context_owner(oscore_id.as_bytes(), timeout).await;
            let owner = owner
                .inspect_err(|error| tracing::debug!(%error, "owner of a context is not known"));
            Resolved::ContextOwner {
                context,
                datagram,
                generation: owner
                    .ok()
                    .map(|owner| owner.map_or(SessionGeneration(0), |owner| owner.generation)),
            }
        }));
    }

    pub(super) fn context_owner(
        &mut self,
        context: ContextId,
        datagram: &[u8],
        generation: Option<SessionGeneration>,
    ) {
        // Without an answer the device asks again.
        let (Some(owned), Some(generation)) = (self.contexts.owned.get(&context), generation)
        else {
            return;
        };
        if owned.generation == generation {
            self.unprotected(context, datagram);
        } else {
            self.release_context(context);
        }
    }

    fn unprotected(&mut self, context: ContextId, datagram: &[u8]) {
        if let Some(origin) = self.contexts.origin(context) {
            let peer = Peer::Oscore(context);
            self.engine.handle_datagram(now(), peer, &origin, datagram);
        }
    }

    /// Forgets a context that is not, or not to be, this worker's any more.
    pub(super) fn release_context(&mut self, context: ContextId) {
        self.contexts.owned.remove(&context);
        self.contexts.layer.release(context);
        self.engine.forget_peer(now(), Peer::Oscore(context));
    }

    fn find_context(&mut self, request: Unopened) {
        let sought = &mut self.contexts.sought;
        if sought.len() >= MAX_SOUGHT || !sought.insert(request.kid) {
            self.metrics.datagrams_lost.inc();
            return;
        }
        let (client, timeout, node) = (self.client.clone(), self.limits.commit_timeout, self.node);
        self.calls.push(Box::pin(async move {
            let claimed = claim(&client, &request, node, timeout).await;
            Resolved::ContextClaimed {
                request,
                claimed: claimed.map(Box::new),
            }
        }));
    }

    pub(super) fn context_claimed(
        &mut self,
        now: Now,
        request: &Unopened,
        claimed: Result<Box<ClaimedContext>, Unclaimed>,
    ) {
        self.contexts.sought.remove(&request.kid);
        let Unopened { peer, datagram, .. } = request;
        let layer = &mut self.contexts.layer;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(Unclaimed::Foreign) => return layer.refuse_unknown(now.instant, *peer, datagram),
            // The device sends again.
            Err(Unclaimed::Later) => return,
        };
        let generation = claimed.generation;
        let context = match self.contexts.layer.import(claimed.state, generation.0) {
            Ok(context) => context,
            Err(error) => return tracing::warn!(%error, "an OSCORE context cannot be used"),
        };
        let owned = Owned {
            principal: Arc::new(claimed.principal),
            oscore_id: claimed.oscore_id,
            generation,
        };
        self.contexts.owned.insert(context, owned);
        self.revocations.watch(Peer::Oscore(context));
        self.contexts
            .layer
            .handle_datagram(now.instant, *peer, datagram);
    }
}

/// Makes the context of a request this node's, if the request was made with it. Nothing is claimed for anyone else:
/// identifiers travel in the clear.
async fn claim(
    client: &Client,
    request: &Unopened,
    node: NodeId,
    timeout: Duration,
) -> Result<ClaimedContext, Unclaimed> {
    let oscore_id = request.kid.as_bytes().to_vec();
    let id = CredentialId::OscoreId(oscore_id.clone());
    let shards = client.topology().ok_or(Unclaimed::Later)?.shards;
    let shard = ShardId::of_credential(&id, shards);
    let found = client.credential(&id, timeout).await.map_err(later)?;
    let (principal, secret) = principal::with(id, found.ok_or(Unclaimed::Foreign)?);
    let Secret::Oscore(secret) = secret else {
        return Err(Unclaimed::Foreign);
    };
    let state = derive(&secret, request).ok_or(Unclaimed::Foreign)?;
    if !state.authenticates(&request.datagram) {
        return Err(Unclaimed::Foreign);
    }
    let owner = client.context_owner(&oscore_id, timeout).await;
    let owner = owner.map_err(later)?;
    let command = Command::ClaimContext {
        oscore_id,
        owner: node,
        expected: owner.map_or(SessionGeneration(0), |owner| owner.generation),
    };
    match client.propose(shard, command, timeout).await {
        Ok(Outcome::ContextClaimed { context }) => Ok(ClaimedContext {
            state,
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

/// Whether an encoded message is a request (RFC 7252 §3: class 0, and not empty).
fn is_request(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(1..=31))
}
