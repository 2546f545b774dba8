//! OSCORE (RFC 8613): security contexts of devices, between what carries their messages and the engine.
//!
//! ```text
//!  request of an unknown kid ─▶ credential, its key opens the request? ─▶ claim a generation ─▶ import, feed again
//!  request of a known kid ────▶ decrypted ─▶ is the generation still ours? ─▶ engine
//! ```
//!
//! A context has one owner at a time, by a compare-and-swap in the state tier. An owner does not hear that another one
//! followed it, and its replay window does not know what that one accepted: so it asks before it hands up a request.
//!
//! Inside a DTLS session or a connection, a device has proved two things: who has the session and who has the context.
//! It may do what both may.

mod claim;

use std::sync::Arc;

use coap::Code;
use coap::reliable::Capabilities;
use device_state::{
    Command, CredentialId, CredentialName, Namespace, NodeId, SessionGeneration, ShardId,
};
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use hashbrown::{HashMap, HashSet};
use lwm2m_server::{Now, Origin, Principal};
use oscore::{Carried, ContextId, Identifier, Output};

use super::carrier::{Carrier, refusal};
use super::state_tier::Resolved;
use super::{Driver, Peer, now};
pub(super) use claim::{ClaimedContext, Unclaimed, Unopened};

/// Contexts that a worker looks for at a time; requests of more are dropped, and sent again by their devices.
const MAX_SOUGHT: usize = 1024;
/// Contexts whose release is told to the state tier at a time.
const RELEASED_AT_ONCE: usize = 256;

/// The contexts of a worker.
pub(super) struct Contexts {
    pub(super) layer: oscore::Server<Carrier>,
    owned: HashMap<ContextId, Owned>,
    /// What contexts are called now, by the name under which they came, if that is another.
    renamed: HashMap<ContextId, ContextId>,
    sought: HashSet<Identifier>,
}

/// A context that this worker owns, as far as it knows.
struct Owned {
    principal: Arc<Principal>,
    oscore_id: Identifier,
    generation: SessionGeneration,
    /// The name under which it came. A device that goes from carrier to carrier gets many.
    first: ContextId,
}

impl Contexts {
    pub(super) fn new(layer: oscore::Server<Carrier>) -> Self {
        Self {
            layer,
            owned: HashMap::new(),
            renamed: HashMap::new(),
            sought: HashSet::new(),
        }
    }

    /// What a context is called now that came as `first`.
    pub(super) fn current(&self, first: ContextId) -> ContextId {
        self.renamed.get(&first).copied().unwrap_or(first)
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

    pub(super) fn len(&self) -> usize {
        self.owned.len()
    }

    fn rename(&mut self, from: ContextId, to: ContextId) {
        if let Some(owned) = self.owned.remove(&from) {
            self.renamed.insert(owned.first, to);
            self.owned.insert(to, owned);
        }
    }

    fn release(&mut self, context: ContextId) {
        if let Some(owned) = self.owned.remove(&context) {
            self.renamed.remove(&owned.first);
        }
        self.layer.release(context);
    }

    /// Lets go of all contexts; what is to be told of those whose next owner needs to challenge nobody then.
    fn release_all(
        &mut self,
        namespace: &Namespace,
        node: NodeId,
    ) -> Vec<(CredentialName, Command)> {
        self.renamed.clear();
        let owned: Vec<_> = self.owned.drain().collect();
        let released = owned.into_iter().filter_map(|(context, owned)| {
            let window = self.layer.release(context)?.window()?;
            let oscore_id = owned.oscore_id.as_bytes().to_vec();
            let command = Command::ReleaseContext {
                namespace: namespace.clone(),
                oscore_id: oscore_id.clone(),
                owner: node,
                generation: owned.generation,
                window,
            };
            let id = CredentialId::OscoreId(oscore_id);
            Some((CredentialName::new(namespace, id), command))
        });
        released.collect()
    }
}

impl Driver {
    pub(super) fn oscore_output(&mut self, output: Output<Carrier>) {
        match output {
            Output::Transmit { peer, message } => self.carry(peer, message),
            Output::Inner { context, message } if message.is_request() => {
                self.fence(context, message);
            }
            // The nonce of a response is that of a request that this owner sent.
            Output::Inner { context, message } => self.unprotected(context, message),
            Output::Renamed { from, to } => {
                self.contexts.rename(from, to);
                self.application.forget_peer(now(), Peer::Oscore(from));
            }
            Output::UnknownContext {
                peer,
                kid,
                id_context,
                request,
            } => self.find_context(Unopened {
                carrier: peer,
                kid,
                id_context,
                request,
            }),
        }
    }

    /// Protects a message of the engine.
    pub(super) fn protect(&mut self, context: ContextId, message: &Carried) {
        let (layer, now) = (&mut self.contexts.layer, now().instant);
        let sent = match message {
            Carried::Datagram(datagram) => layer.send(now, context, datagram),
            Carried::Message(message) => layer.send_message(now, context, message),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a message cannot be protected");
            self.metrics.datagrams_lost.inc();
        }
    }

    /// Asks whether the context is still ours before a request of it is believed not to be a replay.
    fn fence(&mut self, context: ContextId, message: Carried) {
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
                message,
                generation: owner
                    .ok()
                    .map(|owner| owner.map_or(SessionGeneration(0), |owner| owner.generation)),
            }
        }));
    }

    pub(super) fn context_owner(
        &mut self,
        context: ContextId,
        message: Carried,
        generation: Option<SessionGeneration>,
    ) {
        // Its device may have gone to another carrier meanwhile, and waits for nothing any more.
        let Some(owned) = self.contexts.owned.get(&context) else {
            return;
        };
        let carrier = self.contexts.layer.peer(context);
        match generation {
            Some(generation) if generation == owned.generation => {
                self.unprotected(context, message);
            }
            Some(_) => {
                self.release_context(context);
                if let Some(carrier) = carrier {
                    self.give_up(carrier);
                }
            }
            None => {
                if let Some(Carrier::Stream(_)) = carrier {
                    self.refuse(context, &message, Code::SERVICE_UNAVAILABLE_5_03);
                }
                // A datagram is sent again.
            }
        }
    }

    fn unprotected(&mut self, context: ContextId, message: Carried) {
        let contexts = &self.contexts;
        let (Some(carrier), Some(principal)) =
            (contexts.layer.peer(context), contexts.principal(context))
        else {
            return;
        };
        let Some(origin) = self.origin_of(carrier) else {
            return self.contexts.layer.forget_peer(carrier);
        };
        if !vouches_for(&origin.principal, &principal) {
            tracing::debug!(?principal, carrier = ?origin.principal, "a context is used in the session of another device");
            return self.refuse(context, &message, Code::FORBIDDEN_4_03);
        }
        let origin = Origin {
            principal,
            // Whoever takes the session over has to win the context as well.
            session: None,
            ..origin
        };
        let (now, peer) = (now(), Peer::Oscore(context));
        match message {
            Carried::Datagram(datagram) => {
                self.application
                    .handle_datagram(now, peer, &origin, &datagram);
            }
            Carried::Message(message) => {
                // What it takes may have changed since its last message.
                if self.open_protected_stream(now, context, carrier) {
                    self.application.handle_message(now, peer, &origin, message);
                } else {
                    self.give_up(carrier);
                }
            }
        }
    }

    /// Makes the context's peer known as one on a stream, which takes what the stream takes less what protection adds.
    fn open_protected_stream(&mut self, now: Now, context: ContextId, carrier: Carrier) -> bool {
        let Carrier::Stream(id) = carrier else {
            return false;
        };
        let Some(taken) = self.streams.capabilities(id) else {
            return false;
        };
        let overhead = self.contexts.layer.overhead(context);
        let capabilities = Capabilities {
            max_message_size: taken.max_message_size.saturating_sub(overhead),
            ..taken
        };
        let peer = Peer::Oscore(context);
        self.application.open_stream(now, peer, capabilities)
    }

    /// Answers a request instead of the engine.
    fn refuse(&mut self, context: ContextId, request: &Carried, code: Code) {
        let Some(answer) = request.decode().and_then(|request| refusal(&request, code)) else {
            return;
        };
        let answer = match request {
            Carried::Datagram(_) => Carried::Datagram(answer.to_datagram()),
            Carried::Message(_) => Carried::Message(answer),
        };
        self.protect(context, &answer);
    }

    /// Forgets a context that is not, or not to be, this worker's any more.
    pub(super) fn release_context(&mut self, context: ContextId) {
        self.contexts.release(context);
        self.application.forget_peer(now(), Peer::Oscore(context));
    }

    /// Lets go of all contexts; the call that tells the state tier what they have accepted. A context that another node
    /// claims before that is as with a node that died.
    pub(super) fn let_contexts_go(&mut self) -> Option<LocalBoxFuture<'static, Resolved>> {
        let released = self
            .contexts
            .release_all(self.client.namespace(), self.node);
        if released.is_empty() {
            return None;
        }
        let shards = self.client.topology()?.shards;
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        Some(Box::pin(async move {
            let tell = async |(name, command)| {
                let shard = ShardId::of_credential(&name, shards);
                if let Err(error) = client.propose(shard, command, timeout).await {
                    tracing::debug!(%error, "a context is let go without its window");
                }
            };
            let released = futures::stream::iter(released);
            released.for_each_concurrent(RELEASED_AT_ONCE, tell).await;
            Resolved::Forgotten
        }))
    }

    fn find_context(&mut self, request: Unopened) {
        let sought = &mut self.contexts.sought;
        if sought.len() >= MAX_SOUGHT || !sought.insert(request.kid) {
            self.metrics.datagrams_lost.inc();
            return self.give_up(request.carrier);
        }
        let (client, timeout, node) = (self.client.clone(), self.limits.commit_timeout, self.node);
        self.calls.push(Box::pin(async move {
            let claimed = claim::claim(&client, &request, node, timeout).await;
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
        let Unopened {
            carrier,
            kid,
            request,
            ..
        } = request;
        self.contexts.sought.remove(kid);
        let layer = &mut self.contexts.layer;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(Unclaimed::Foreign) => return layer.refuse_unknown(now.instant, *carrier, request),
            Err(Unclaimed::Later) => return self.give_up(*carrier),
        };
        let generation = claimed.generation;
        let context = match layer.import(claimed.state, generation.0) {
            Ok(context) => context,
            Err(error) => {
                tracing::warn!(%error, "an OSCORE context cannot be used");
                return self.give_up(*carrier);
            }
        };
        let owned = Owned {
            principal: Arc::new(claimed.principal),
            oscore_id: claimed.oscore_id,
            generation,
            first: context,
        };
        self.contexts.owned.insert(context, owned);
        self.watch(Peer::Oscore(context));
        // It may have ended while the state tier was asked.
        if self.origin_of(*carrier).is_some() {
            self.contexts.layer.handle(now.instant, *carrier, request);
        }
    }
}

/// Whether somebody who has a session or connection may carry messages of somebody who has a context in it.
fn vouches_for(carrier: &Principal, principal: &Principal) -> bool {
    let allowed = &carrier.endpoints;
    // Without security anyone may.
    allowed.is_empty()
        || principal
            .endpoints
            .iter()
            .all(|endpoint| allowed.contains(endpoint))
}

#[cfg(test)]
mod tests {
    use device_state::SecurityIdentity;
    use lwm2m::EndpointName;

    use super::*;

    fn principal(endpoints: &[&str]) -> Principal {
        let names = endpoints
            .iter()
            .filter_map(|name| EndpointName::new(name).ok());
        Principal {
            identity: SecurityIdentity::Credential(CredentialId::OscoreId(vec![1])),
            endpoints: names.collect(),
        }
    }

    #[test]
    fn a_context_is_used_where_both_credentials_are_of_the_device() {
        let context = principal(&["meter-7"]);
        assert!(vouches_for(&Principal::anyone(), &context));
        assert!(vouches_for(&principal(&["meter-7"]), &context));
        assert!(vouches_for(
            &principal(&["urn:meter-7", "meter-7"]),
            &context
        ));
        assert!(!vouches_for(&principal(&["meter-8"]), &context));
    }
}
