//! Sessions that devices resume by an id.
//!
//! ```text
//!  hello with an id ─▶ what is stored by it ─▶ may its identity still connect? ─▶ abbreviated handshake
//!                          └─ nothing ──────────────┴─ no ─▶ full handshake
//! ```
//!
//! Any node can resume, also that of a device without a Connection ID, whose session itself no other node can find.
//! Nothing of the old session is taken over: its node may go on with it until the device is heard here.

use std::time::Duration;

use device_state::limit::MAX_RESUMPTION_STATE;
use device_state::{Resumption, ResumptionId, Secret, SecurityIdentity, Timestamp};
use dtls::{HandshakeId, PeerIdentity, Psk, ResumptionExport};
use lwm2m_server::{Now, Principal};
use node_runtime::clock;
use state_client::Client;

use super::state_tier::Resolved;
use super::{Driver, principal};

/// Longer than any but that of a certificate with hundreds of bytes of names; the seal takes the rest.
const MAX_STATE: usize = MAX_RESUMPTION_STATE - 64;

/// What a device may resume, if no list revokes its certificate.
pub(super) struct Resumable {
    export: ResumptionExport,
    principal: Principal,
}

impl Driver {
    pub(super) fn seek_resumption(&self, handshake: HandshakeId, id: dtls::ResumptionId) {
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            let found = find(&client, stored_id(id), timeout).await;
            let found = found.map(Box::new);
            Resolved::Resumable { handshake, found }
        }));
    }

    pub(super) fn resumption_found(
        &mut self,
        now: Now,
        handshake: HandshakeId,
        found: Option<Box<Resumable>>,
    ) {
        let found = found.filter(|found| !self.is_certificate_revoked(&found.export.identity));
        let Some(found) = found else {
            self.dtls.resume(now.instant, handshake, None);
            return;
        };
        let Resumable { export, principal } = *found;
        // In a full handshake the device is yet to prove who it is.
        if self.dtls.resume(now.instant, handshake, Some(export)) {
            self.sessions.begin(handshake, principal);
        }
    }

    /// What a device may resume by the id that its full handshake gave it. `None` if it is too long to be stored: then
    /// nobody knows the id.
    pub(super) fn resumption(
        &self,
        export: &ResumptionExport,
        identity: SecurityIdentity,
    ) -> Option<Resumption> {
        let state = export.encode().to_vec();
        let stored_at = Timestamp(clock::now_ms());
        (state.len() <= MAX_STATE).then(|| Resumption {
            id: stored_id(export.id),
            state,
            identity,
            session: None,
            stored_at,
            expires_at: stored_at.saturating_add(self.limits.resumption_lifetime),
            namespace: self.client.namespace().clone(),
        })
    }

    pub(super) fn is_certificate_revoked(&self, identity: &PeerIdentity) -> bool {
        match identity {
            PeerIdentity::Certificate(identity) => self.trust.anchors.is_revoked(identity),
            PeerIdentity::Psk(_) | PeerIdentity::RawPublicKey(_) => false,
        }
    }
}

/// An id as the state tier knows it.
pub(super) const fn stored_id(id: dtls::ResumptionId) -> ResumptionId {
    ResumptionId(*id.as_bytes())
}

/// What is stored by an id, as far as its device is still to be believed.
async fn find(client: &Client, id: ResumptionId, timeout: Duration) -> Option<Resumable> {
    let found = client.resumption(id, timeout).await;
    let stored = found
        .inspect_err(|error| tracing::debug!(%error, "resumption cannot be fetched"))
        .ok()??;
    // The state tier forgets it within a second or so.
    if stored.expires_at <= Timestamp(clock::now_ms()) {
        return None;
    }
    let export = ResumptionExport::decode(&stored.state)
        .inspect_err(|error| tracing::warn!(%error, "a stored resumption cannot be read"))
        .ok()?;
    let principal = match stored.identity {
        SecurityIdentity::Credential(id) => {
            let (principal, secret) = principal::of_credential(client, id, timeout).await?;
            is_under(&export, &secret).then_some(principal)
        }
        identity => principal::again(client, identity, timeout).await,
    }?;
    Some(Resumable { export, principal })
}

/// Whether the session came about with what the credential holds now. The device that has a replaced key is to prove
/// that it has the new one.
fn is_under(export: &ResumptionExport, secret: &Secret) -> bool {
    match secret {
        Secret::PreSharedKey(key) => Psk::new(key).is_ok_and(|key| export.is_under(&key)),
        // The key is the credential's id.
        Secret::PublicKey => matches!(
            export.identity,
            PeerIdentity::RawPublicKey(_) | PeerIdentity::Certificate(_)
        ),
        Secret::Oscore(_) => false,
    }
}
