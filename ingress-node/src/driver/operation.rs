//! Operations that come down from the state tier, and what other workers send.

use device_state::CredentialId;
use hashbrown::HashMap;
use lwm2m::Registry;
use lwm2m_server::{OperationFailure, OperationReply, OperationTag};
use state_client::{DeviceOperation, FailureReason, OperationAnswer, OperationKey};

use std::sync::Arc;

use super::contact::Inquiring;
use super::route::Arrival;
use super::take_over::Stray;
use super::{Driver, now};
use crate::members::Members;
use crate::trust::Trust;

/// What a worker is sent by other threads.
#[derive(Debug)]
pub(crate) enum Input {
    Operation(Passing),
    /// The caller of an operation no longer waits.
    Cancel(OperationKey),
    /// How the exchange of messages with a device goes.
    Inquired(Box<Inquiring>),
    /// A record for a session that other workers of this node do not hold.
    Stray(Stray),
    /// A datagram of a peer that belongs to this worker.
    Steered(Arrival, Vec<u8>),
    /// Who is there now.
    Members(Arc<Members>),
    /// Sessions of this credential are to end.
    Revoked(CredentialId),
    /// What devices are shown and believed from now on.
    Trust(Arc<Trust>),
    /// By which definitions of objects values are typed from now on.
    Definitions(Arc<Registry>),
    /// The node ends.
    Leave,
    /// Others went on with what this node holds.
    Fenced,
    /// Nothing is served any more.
    Stop,
}

/// An operation on its way through the workers.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    pub(crate) operation: Box<DeviceOperation>,
    /// Workers that did not hold the device.
    pub(crate) tried: u8,
}

/// Operations under way, by the engine's number and by the state tier's.
#[derive(Debug, Default)]
pub(super) struct Operations {
    next: u64,
    by_tag: HashMap<OperationTag, Passing>,
    by_key: HashMap<OperationKey, OperationTag>,
}

impl Operations {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Gives up what is under way.
    pub(super) fn take_keys(&mut self) -> Vec<OperationKey> {
        self.by_tag.clear();
        self.by_key.drain().map(|(key, _)| key).collect()
    }
}

impl Driver {
    pub(super) fn handle_input(&mut self, input: Input) {
        match input {
            Input::Operation(passing) => self.start_operation(passing),
            Input::Cancel(key) => {
                if let Some(tag) = self.operations.by_key.remove(&key) {
                    self.operations.by_tag.remove(&tag);
                    if let Some(engine) = self.application.management() {
                        engine.cancel_operation(now(), tag);
                    }
                }
            }
            Input::Inquired(inquiring) => self.inquired(inquiring),
            Input::Stray(stray) => self.stray_of_sibling(stray),
            Input::Steered(arrival, mut datagram) => self.accept(now(), &arrival, &mut datagram),
            Input::Members(members) => self.routes.set_members(members),
            Input::Revoked(id) => self.revocations.told(id),
            Input::Trust(trust) => self.renew_trust(trust),
            Input::Definitions(definitions) => {
                // A bootstrap server reads the OMA's objects only.
                if let Some(engine) = self.application.management() {
                    engine.set_definitions(definitions);
                }
            }
            Input::Leave => self.leave(),
            Input::Fenced => self.forget_everything(),
            // Ends the worker before it comes here.
            Input::Stop => {}
        }
    }

    fn start_operation(&mut self, passing: Passing) {
        let tag = OperationTag(self.operations.next);
        self.operations.next += 1;
        self.metrics.operations.inc();
        let registration = passing.operation.registration.clone();
        let operation = passing.operation.operation.clone();
        let Some(engine) = self.application.management() else {
            return self.answer(passing.operation.key, Err(OperationFailure::NotHere));
        };
        self.operations.by_key.insert(passing.operation.key, tag);
        self.operations.by_tag.insert(tag, passing);
        engine.handle_operation(now(), tag, &registration, operation);
    }

    pub(super) fn operation_done(
        &mut self,
        tag: OperationTag,
        result: Result<OperationReply, OperationFailure>,
    ) {
        let Some(mut passing) = self.operations.by_tag.remove(&tag) else {
            return;
        };
        self.operations.by_key.remove(&passing.operation.key);
        passing.tried += 1;
        let next = (usize::from(self.index) + 1) % self.workers.len();
        if matches!(result, Err(OperationFailure::NotHere))
            && usize::from(passing.tried) < self.workers.len()
            && let Some(worker) = self.workers.get(next)
        {
            // The device's address moved to another worker; the last one answers if none has it.
            match worker.try_send(Input::Operation(passing)) {
                Ok(()) => return,
                Err(error) => {
                    if let Input::Operation(returned) = error.into_inner() {
                        return self.answer(returned.operation.key, Err(OperationFailure::NotHere));
                    }
                    return;
                }
            }
        }
        self.answer(passing.operation.key, result);
    }

    pub(super) fn answer(
        &self,
        key: OperationKey,
        result: Result<OperationReply, OperationFailure>,
    ) {
        let answer = match result {
            Ok(OperationReply { outcome, links }) => OperationAnswer::Answered { outcome, links },
            Err(failure) => {
                let message = failure.to_string();
                let reason = match failure {
                    OperationFailure::NotHere => FailureReason::NotHere,
                    OperationFailure::Asleep => FailureReason::Asleep,
                    OperationFailure::Timeout => FailureReason::Timeout,
                    OperationFailure::Busy { retry_after } => FailureReason::Busy {
                        retry_after: Some(retry_after),
                    },
                    OperationFailure::BadAnswer(_) => FailureReason::BadAnswer,
                    OperationFailure::Invalid(_) => FailureReason::Invalid,
                };
                OperationAnswer::Failed { reason, message }
            }
        };
        self.attachment.finish(key, answer);
    }
}
