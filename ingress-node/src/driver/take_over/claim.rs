//! Becoming the owner of a session.

use std::time::Duration;

use device_state::{
    Command, NodeId, Observation, Outcome, Registration, SecurityIdentity, Session,
    registration_shard,
};
use lwm2m::EndpointName;
use state_client::Client;

/// A session that is this node's from now on.
pub(crate) struct Claimed {
    pub(super) session: Session,
    pub(super) endpoint: EndpointName,
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
    let endpoint = endpoint_of(client, &session, timeout).await?;
    let command = Command::ClaimSession {
        cid: session.cid,
        owner: node,
        expected: session.generation,
    };
    let session = match client.propose(session.cid.shard(), command, timeout).await {
        Ok(Outcome::Claimed { session }) => *session,
        Ok(outcome) => {
            tracing::debug!(%endpoint, ?outcome, "another node went on with a session");
            return None;
        }
        Err(error) => {
            tracing::debug!(%endpoint, %error, "session cannot be claimed");
            return None;
        }
    };
    let device = move_device(client, &endpoint, &session, node, timeout).await;
    Some(Claimed {
        session,
        endpoint,
        device,
    })
}

/// The endpoint that the session's client may register; `None` if its credential is gone or cannot be fetched now.
async fn endpoint_of(
    client: &Client,
    session: &Session,
    timeout: Duration,
) -> Option<EndpointName> {
    let SecurityIdentity::PskIdentity(identity) = &session.identity else {
        return None;
    };
    match client.credential(identity, timeout).await {
        Ok(found) => Some(found?.endpoint),
        Err(error) => {
            tracing::debug!(%error, "credential cannot be fetched");
            None
        }
    }
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
