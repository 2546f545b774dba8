//! Becoming the owner of a session.

use std::time::Duration;

use device_state::{
    Command, NodeId, Observation, Outcome, Registration, Session, registration_shard,
};
use lwm2m::EndpointName;
use lwm2m_server::Principal;
use state_client::Client;

use crate::driver::principal;

/// A session that is this node's from now on.
pub(crate) struct Claimed {
    pub(super) session: Session,
    pub(super) principal: Principal,
    /// The device that registered in it, and its observations, which are to be established anew.
    pub(super) device: Option<(Registration, Vec<Observation>)>,
}

/// Makes the session this node's, and with it the registration that was made in it.
pub(super) async fn claim(
    client: &Client,
    session: Session,
    node: NodeId,
    timeout: Duration,
) -> Option<Claimed> {
    // Not of a device whose credential is gone.
    let principal = principal::again(client, session.identity.clone(), timeout).await?;
    let command = Command::ClaimSession {
        cid: session.cid,
        owner: node,
        expected: session.generation,
    };
    let session = match client.propose(session.cid.shard(), command, timeout).await {
        Ok(Outcome::Claimed { session }) => *session,
        Ok(outcome) => {
            tracing::debug!(cid = ?session.cid, ?outcome, "another node went on with a session");
            return None;
        }
        Err(error) => {
            tracing::debug!(cid = ?session.cid, %error, "session cannot be claimed");
            return None;
        }
    };
    let mut device = None;
    for endpoint in &principal.endpoints {
        device = move_device(client, endpoint, &session, node, timeout).await;
        if device.is_some() {
            break;
        }
    }
    Some(Claimed {
        session,
        principal,
        device,
    })
}

/// Operations on the device come to this node from now on. `None` if it is not registered in this session, or cannot be
/// moved now: then its next Update brings it.
async fn move_device(
    client: &Client,
    endpoint: &EndpointName,
    session: &Session,
    node: NodeId,
    timeout: Duration,
) -> Option<(Registration, Vec<Observation>)> {
    let found = client.registration_by_endpoint(endpoint, timeout).await;
    let registration = found
        .inspect_err(|error| tracing::debug!(%endpoint, %error, "registration cannot be fetched"))
        .ok()??;
    if registration.session != Some(session.cid) {
        return None;
    }
    let command = Command::MoveRegistration {
        id: registration.id.clone(),
        session: session.cid,
        owner: node,
    };
    let shard = registration_shard(&registration.id)?;
    match client.propose(shard, command, timeout).await {
        Ok(Outcome::Updated { observations, .. }) => Some((registration, observations)),
        Ok(outcome) => {
            tracing::debug!(%endpoint, ?outcome, "registration has changed meanwhile");
            None
        }
        Err(error) => {
            tracing::debug!(%endpoint, %error, "registration cannot be moved");
            None
        }
    }
}
