//! Calls of a worker to the state tier, and what follows from their answers.

use std::net::SocketAddr;
use std::sync::Arc;

use device_state::{
    Command, CredentialId, Observation, Outcome, Registration, Resumption, Secret,
    SecurityIdentity, Session, SessionCid, SessionGeneration, ShardId, Timestamp,
};
use dtls::{CertifiedIdentity, PeerRejection, SessionOrigin};
use lwm2m::RegistrationId;
use lwm2m_server::bootstrap::{BootstrapId, PrepareError};
use lwm2m_server::{CommitError, CommitId, Principal};
use node_runtime::clock;
use state_client::PreparedBootstrap;

use super::contexts::{ClaimedContext, Unclaimed, Unopened};
use super::package::Fetched;
use super::resumption::{Resumable, stored_id};
use super::session::{Proof, session_cid};
use super::take_over::{Claimed, Whose};
use super::{Driver, Peer, now, principal};
use crate::tcp::event::StreamId;

/// A call that ended.
pub(super) enum Resolved {
    Committed {
        id: CommitId,
        result: Result<Outcome, CommitError>,
    },
    Registration {
        peer: Peer,
        registration: Option<Box<Registration>>,
        observations: Vec<Observation>,
        moved_from: Option<SocketAddr>,
    },
    Credential {
        handshake: dtls::HandshakeId,
        found: Option<(Principal, Secret)>,
        proof: Proof,
    },
    /// Who has the key of a certificate that was shown in TLS, if it is a credential.
    KeyHolder {
        id: StreamId,
        certificate: Arc<CertifiedIdentity>,
        found: Option<Principal>,
        otherwise: PeerRejection,
    },
    /// In which generation an OSCORE context is; `None` if that is not known now.
    ContextOwner {
        context: oscore::ContextId,
        message: oscore::Carried,
        generation: Option<SessionGeneration>,
    },
    ContextClaimed {
        request: Unopened,
        claimed: Result<Box<ClaimedContext>, Unclaimed>,
    },
    /// Whether the credential of a session still stands.
    LookedAt {
        peer: Peer,
        stands: bool,
    },
    /// The accounts that a device is to get.
    Prepared {
        id: BootstrapId,
        result: Result<PreparedBootstrap, PrepareError>,
    },
    /// What a device may resume; `None` if it is to prove who it is.
    Resumable {
        handshake: dtls::HandshakeId,
        found: Option<Box<Resumable>>,
    },
    SessionStored {
        handshake: dtls::HandshakeId,
        outcome: dtls::StoreOutcome,
    },
    /// Whose the session of a stray record is.
    Located {
        cid: dtls::ConnectionId,
        whose: Whose,
    },
    /// `None`: another node claimed it first, or nobody may go on with it.
    Claimed {
        cid: dtls::ConnectionId,
        claimed: Option<Box<Claimed>>,
    },
    Package(Fetched),
    /// Nothing follows.
    Forgotten,
}

impl Driver {
    pub(super) fn propose(&mut self, id: CommitId, shard: ShardId, command: Command) {
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.metrics.commits.inc();
        self.calls.push(Box::pin(async move {
            let result = client
                .propose(shard, command, timeout)
                .await
                .map_err(|error| {
                    tracing::debug!(%shard, %error, "commit failed");
                    if error.is_overloaded() {
                        CommitError::Overloaded
                    } else {
                        CommitError::Unavailable
                    }
                });
            Resolved::Committed { id, result }
        }));
    }

    pub(super) fn look_up(
        &mut self,
        id: RegistrationId,
        peer: Peer,
        (observations, moved_from): (Vec<Observation>, Option<SocketAddr>),
    ) {
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            let registration = client
                .registration_by_id(&id, timeout)
                .await
                .unwrap_or_else(|error| {
                    tracing::debug!(%error, "registration cannot be fetched");
                    None
                });
            Resolved::Registration {
                peer,
                registration: registration.map(Box::new),
                observations,
                moved_from,
            }
        }));
    }

    pub(super) fn fetch_credential(
        &mut self,
        handshake: dtls::HandshakeId,
        id: CredentialId,
        proof: Proof,
    ) {
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            let found = principal::of_credential(&client, id, timeout).await;
            Resolved::Credential {
                handshake,
                found,
                proof,
            }
        }));
    }

    /// DESIGN: the session is stored before the server's Finished is sent, so that any node can go on with it. With it
    /// comes what it can be resumed from.
    pub(super) fn store_session(
        &mut self,
        handshake: dtls::HandshakeId,
        export: &dtls::SessionExport,
        origin: SessionOrigin,
    ) {
        let Some(principal) = self.sessions.handshaking(handshake) else {
            return self.settle_session(handshake, dtls::StoreOutcome::Refused);
        };
        let session = session_cid(export.cid()).map(|cid| {
            let stored_at = Timestamp(clock::now_ms());
            Box::new(Session {
                cid,
                export: export.encode().to_vec(),
                identity: principal.identity.clone(),
                peer: export.peer,
                owner: self.node,
                generation: SessionGeneration(export.generation),
                stored_at,
                expires_at: stored_at.saturating_add(self.limits.session_lifetime),
                namespace: self.client.namespace().clone(),
            })
        });
        match (origin, session) {
            (SessionOrigin::New { resumption }, session) => {
                let identity = &principal.identity;
                let resumption =
                    resumption.and_then(|export| self.resumption(&export, identity.clone()));
                self.store_new(handshake, identity, session, resumption.map(Box::new));
            }
            (SessionOrigin::Resumed(id), session) => {
                let id = stored_id(id);
                let command = Command::Resume { id, session };
                self.store(handshake, id.shard(), command, dtls::StoreOutcome::Refused);
            }
        }
    }

    fn store_new(
        &mut self,
        handshake: dtls::HandshakeId,
        identity: &SecurityIdentity,
        session: Option<Box<Session>>,
        resumption: Option<Box<Resumption>>,
    ) {
        let is_anything = session.is_some() || resumption.is_some();
        if is_anything && !self.pace.take(now().instant, identity) {
            tracing::debug!(?identity, "too many new sessions in a short time");
            let outcome = match session {
                Some(_) => dtls::StoreOutcome::Refused,
                None => dtls::StoreOutcome::Stored,
            };
            return self.settle_session(handshake, outcome);
        }
        match (session, resumption) {
            (Some(session), resumption) => {
                let shard = session.cid.shard();
                let command = Command::StoreSession {
                    session,
                    resumption,
                };
                self.store(handshake, shard, command, dtls::StoreOutcome::Refused);
            }
            (None, Some(resumption)) => {
                let shard = resumption.id.shard();
                let command = Command::StoreResumption { resumption };
                // Without a Connection ID nothing but this node needs the session. If it cannot be resumed, the device
                // shakes hands in full.
                self.store(handshake, shard, command, dtls::StoreOutcome::Stored);
            }
            // A client without a Connection ID cannot be found by another node; it shakes hands again there.
            (None, None) => self.settle_session(handshake, dtls::StoreOutcome::Stored),
        }
    }

    /// Goes on with the handshake as `otherwise` says if the command is not done.
    fn store(
        &self,
        handshake: dtls::HandshakeId,
        shard: ShardId,
        command: Command,
        otherwise: dtls::StoreOutcome,
    ) {
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            let outcome = match client.propose(shard, command, timeout).await {
                Ok(Outcome::Done) => dtls::StoreOutcome::Stored,
                Ok(outcome) => {
                    tracing::debug!(?outcome, "session is not stored");
                    otherwise
                }
                Err(error) => {
                    tracing::debug!(%error, "session cannot be stored");
                    otherwise
                }
            };
            Resolved::SessionStored { handshake, outcome }
        }));
    }

    /// The outcome for a session that the state tier is not asked about.
    fn settle_session(&self, handshake: dtls::HandshakeId, outcome: dtls::StoreOutcome) {
        let resolved = Resolved::SessionStored { handshake, outcome };
        self.calls.push(Box::pin(std::future::ready(resolved)));
    }

    /// The session ended for good; its row goes.
    pub(super) fn remove_session(&mut self, cid: SessionCid) {
        let shard = cid.shard();
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            if let Err(error) = client
                .propose(shard, Command::RemoveSession { cid }, timeout)
                .await
            {
                // The row expires by itself.
                tracing::debug!(%error, "session cannot be removed");
            }
            Resolved::Forgotten
        }));
    }

    pub(super) fn resolved(&mut self, resolved: Resolved) {
        let now = now();
        match resolved {
            Resolved::Committed { id, result } => {
                if let Some(engine) = self.application.management() {
                    engine.handle_committed(now, id, result);
                }
            }
            Resolved::Registration {
                peer,
                registration,
                observations,
                moved_from,
            } => {
                if let Some(registration) = registration
                    && let Some(engine) = self.application.management()
                {
                    engine.take_on(now, peer, &registration, &observations);
                    if let Some(from) = moved_from {
                        engine.came_from(now, &registration.endpoint.endpoint(), from);
                    }
                }
            }
            Resolved::Credential {
                handshake,
                found,
                proof,
            } => self.credential_fetched(now, handshake, found, proof),
            Resolved::KeyHolder {
                id,
                certificate,
                found,
                otherwise,
            } => match found {
                Some(principal) => self.admit(id, certificate, principal),
                None => self.turn_away(id, Some(&certificate), otherwise),
            },
            Resolved::LookedAt { peer, stands } => self.looked_at(peer, stands),
            Resolved::ContextOwner {
                context,
                message,
                generation,
            } => self.context_owner(context, message, generation),
            Resolved::ContextClaimed { request, claimed } => {
                self.context_claimed(now, &request, claimed);
            }
            Resolved::Resumable { handshake, found } => {
                self.resumption_found(now, handshake, found);
            }
            Resolved::SessionStored { handshake, outcome } => {
                self.session_stored(now, handshake, outcome);
            }
            Resolved::Located { cid, whose } => self.located(now, cid, whose),
            Resolved::Claimed { cid, claimed } => self.claimed(now, cid, claimed),
            Resolved::Prepared { id, result } => self.prepared(id, result),
            Resolved::Package(fetched) => self.package_fetched(&fetched),
            Resolved::Forgotten => {}
        }
    }
}
