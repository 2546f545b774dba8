//! Becoming the owner of a session.

use std::time::Duration;

use device_state::{
    Command, NodeId, Outcome, Registration, SecurityIdentity, Session, registration_shard,
};
use lwm2m::EndpointName;
use state_client::Client;

/// A session that is this node's from now on.
pub(crate) struct Claimed {
    pub(super) session: Session,
    pub(super) endpoint: EndpointName,
    pub(super) registration: Option<Box<Registration>>,
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
    let registration = match client.registration_by_endpoint(&endpoint, timeout).await {
        Ok(registration) => registration,
        Err(error) => {
            // The device's next Update brings it.
            tracing::debug!(%endpoint, %error, "registration cannot be fetched");
            None
        }
    };
    let registration = registration.filter(|found| found.session == Some(session.cid));
    if let Some(registration) = &registration {
        move_registration(client, registration, &session, node, timeout).await;
    }
    Some(Claimed {
        session,
        endpoint,
        registration: registration.map(Box::new),
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

/// Operations on the device come to this node from now on.
async fn move_registration(
    client: &Client,
    registration: &Registration,
    session: &Session,
    node: NodeId,
    timeout: Duration,
) {
    let Some(shard) = registration_shard(&registration.id) else {
        return;
    };
    let command = Command::Update {
        id: registration.id.clone(),
        identity: registration.identity.clone(),
        owner: node,
        peer: registration.peer,
        session: Some(session.cid),
        lifetime: None,
        binding: None,
        links: None,
    };
    if let Err(error) = client.propose(shard, command, timeout).await {
        // The device's next Update moves it.
        tracing::debug!(%error, "registration cannot be moved");
    }
}
