//! Bootstraps (LwM2M Core 1.2 §6.1): their accounts come from the state tier, and it keeps what came of them.

mod accounts;

use std::fmt::Write as _;

use device_state::{BootstrapRecord, BootstrapResult, SecurityIdentity, Timestamp};
use hashbrown::HashMap;
use lwm2m::EndpointName;
use lwm2m_server::bootstrap::{
    BootstrapId, BootstrapOutcome, BootstrapOutput, BootstrapStep, PrepareError, StepResult,
};
use sha2::{Digest, Sha256};
use state_client::{AccountSecret, BootstrapError, PreparedAccount, PreparedBootstrap, Proof};

use super::state_tier::Resolved;
use super::{Driver, Peer, now};
use crate::config::BootstrapFor;

/// What is to be told to the state tier when a bootstrap has ended.
#[derive(Debug, Default)]
pub(super) struct Underway {
    profile: String,
    /// Ids of the credentials that were made for it.
    made: Vec<Vec<u8>>,
}

/// Bootstraps of devices that proved who they are. What came of others is not kept: anybody could fill the state tier
/// with names.
pub(super) type Bootstraps = HashMap<BootstrapId, Underway>;

impl Driver {
    pub(super) fn bootstrap_output(&mut self, output: BootstrapOutput<Peer>) {
        match output {
            BootstrapOutput::Transmit { peer, datagram } => self.transmit_to(peer, datagram),
            BootstrapOutput::Send { peer, message } => self.send_to(peer, message),
            BootstrapOutput::Prepare {
                id,
                endpoint,
                identity,
                ..
            } => self.prepare(id, endpoint, &identity),
            BootstrapOutput::Discovered { endpoint, .. } => {
                tracing::debug!(%endpoint, "bootstrap: the device listed what it has");
            }
            BootstrapOutput::Reported { endpoint, path, .. } => {
                tracing::debug!(%endpoint, %path, "bootstrap: the device reported");
            }
            BootstrapOutput::Inconsistent { endpoint, .. } => {
                tracing::info!(%endpoint, "bootstrap: the device finds its accounts inconsistent; once more");
            }
            BootstrapOutput::Ended {
                id,
                endpoint,
                outcome,
                log,
                unanswered,
            } => self.bootstrap_ended(id, endpoint, &outcome, &detail(&outcome, &log, unanswered)),
        }
    }

    /// Fetches the accounts of a device.
    fn prepare(&mut self, id: BootstrapId, endpoint: EndpointName, identity: &SecurityIdentity) {
        let proof = match identity {
            SecurityIdentity::Unauthenticated => Proof::Missing,
            SecurityIdentity::Credential(_) | SecurityIdentity::CertificateNames(_) => Proof::Given,
        };
        if proof == Proof::Missing && self.limits.bootstrap_for == BootstrapFor::Proved {
            let result = Err(PrepareError::NotAllowed);
            let resolved = Resolved::Prepared { id, result };
            return self.calls.push(Box::pin(std::future::ready(resolved)));
        }
        if proof == Proof::Given {
            self.bootstraps.insert(id, Underway::default());
        }
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            let prepared = client.prepare_bootstrap(&endpoint, proof, timeout).await;
            let result = prepared.map_err(|error| {
                tracing::info!(%endpoint, %error, "bootstrap: there are no accounts");
                match error {
                    BootstrapError::NoProfile => PrepareError::UnknownEndpoint,
                    BootstrapError::NotAllowed => PrepareError::NotAllowed,
                    BootstrapError::Unavailable(_) => PrepareError::Unavailable,
                }
            });
            Resolved::Prepared { id, result }
        }));
    }

    pub(super) fn prepared(
        &mut self,
        id: BootstrapId,
        result: Result<PreparedBootstrap, PrepareError>,
    ) {
        let result = result.and_then(|prepared| {
            if let Some(underway) = self.bootstraps.get_mut(&id) {
                underway.made = prepared.accounts.iter().filter_map(made).collect();
                underway.profile = prepared.profile;
            }
            accounts::plan(prepared.accounts, prepared.access).ok_or(PrepareError::Unavailable)
        });
        if let Some(engine) = self.application.bootstrap() {
            engine.handle_prepared(now(), id, result);
        }
    }

    fn bootstrap_ended(
        &mut self,
        id: BootstrapId,
        endpoint: EndpointName,
        outcome: &BootstrapOutcome,
        detail: &str,
    ) {
        tracing::info!(%endpoint, detail, "bootstrap ended");
        self.metrics.bootstrap_ended(outcome);
        let Some(underway) = self.bootstraps.remove(&id) else {
            return;
        };
        let result = match outcome {
            BootstrapOutcome::Finished => BootstrapResult::Finished,
            BootstrapOutcome::PackDelivered => BootstrapResult::PackDelivered,
            // The device comes again at once, by the other way.
            BootstrapOutcome::PackRefused => return,
            _ => BootstrapResult::Failed,
        };
        let record = BootstrapRecord {
            endpoint: self.client.device(&endpoint),
            profile: underway.profile,
            outcome: result,
            detail: detail.to_owned(),
            at: Timestamp(0),
            confirmed: Vec::new(),
        };
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        self.calls.push(Box::pin(async move {
            let kept = client
                .finish_bootstrap(record, underway.made, timeout)
                .await;
            if let Err(error) = kept {
                // Keys of earlier bootstraps are removed after the next one.
                tracing::warn!(%error, "what came of a bootstrap was not kept");
            }
            Resolved::Forgotten
        }));
    }
}

/// The id of the credential that was made for an account.
fn made(account: &PreparedAccount) -> Option<Vec<u8>> {
    match &account.secret {
        AccountSecret::NoSec => None,
        AccountSecret::Psk { identity, .. } => Some(identity.clone()),
        AccountSecret::KeyPair(pair) => Some(Sha256::digest(&pair.public_key).to_vec()),
        AccountSecret::Oscore { client_id, .. } => Some(client_id.clone()),
    }
}

/// How it went, for people, no longer than is kept: `delete /0: 2.02; …; finished`.
fn detail(
    outcome: &BootstrapOutcome,
    log: &[StepResult],
    unanswered: Option<BootstrapStep>,
) -> String {
    let mut text = String::new();
    for StepResult { step, code } in log {
        let _infallible = write!(text, "{}: {code}; ", named(step));
    }
    if let Some(step) = unanswered {
        let _infallible = write!(text, "{}: no answer; ", named(&step));
    }
    text += &ended(outcome);
    text.truncate(text.floor_char_boundary(BootstrapRecord::MAX_DETAIL));
    text
}

fn named(step: &BootstrapStep) -> String {
    match step {
        BootstrapStep::Discover => "discover /".to_owned(),
        BootstrapStep::Delete { path } => format!("delete {path}"),
        BootstrapStep::Write { path, format } => format!("write {path} in {format}"),
        BootstrapStep::Read { path } => format!("read {path}"),
        BootstrapStep::Finish => "finish".to_owned(),
    }
}

fn ended(outcome: &BootstrapOutcome) -> String {
    match outcome {
        BootstrapOutcome::Finished => "the device has its accounts".to_owned(),
        BootstrapOutcome::PackDelivered => "the device has a pack of its accounts".to_owned(),
        BootstrapOutcome::PackRefused => "a pack is not for this device".to_owned(),
        BootstrapOutcome::Refused { step, code } => {
            format!("the device refused: {} {code}", named(step))
        }
        BootstrapOutcome::Inconsistent => {
            "the device finds its accounts inconsistent, twice".to_owned()
        }
        BootstrapOutcome::Garbled { step } => {
            format!("the device's answer cannot be read: {}", named(step))
        }
        BootstrapOutcome::TimedOut => "the device did not answer in time".to_owned(),
        BootstrapOutcome::Gone => "the device went, or began anew".to_owned(),
        BootstrapOutcome::NotPrepared(error) => error.to_string(),
        BootstrapOutcome::BadPlan(error) => error.to_string(),
        BootstrapOutcome::Overloaded => "this node has too much to do".to_owned(),
    }
}
