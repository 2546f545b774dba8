//! Operations that come down from the state tier, and what other workers send.

use hashbrown::HashMap;
use lwm2m_server::{OperationFailure, OperationReply, OperationTag};
use state_client::{DeviceOperation, FailureReason, OperationAnswer, OperationKey};

use super::take_over::Stray;
use super::{Driver, now};

/// What a worker is sent by other threads.
#[derive(Debug)]
pub(crate) enum Input {
    Operation(Forwarded),
    /// The caller of an operation no longer waits.
    Cancel(OperationKey),
    /// A record for a session that other workers of this node do not hold.
    Stray(Stray),
}

/// An operation on its way through the workers.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded {
    pub(crate) operation: Box<DeviceOperation>,
    /// Workers that did not hold the device.
    pub(crate) tried: u8,
}

/// Operations under way, by the engine's number and by the state tier's.
#[derive(Debug, Default)]
pub(super) struct Operations {
    next: u64,
    by_tag: HashMap<OperationTag, Forwarded>,
    by_key: HashMap<OperationKey, OperationTag>,
}

impl Driver {
    pub(super) fn handle_input(&mut self, input: Input) {
        match input {
            Input::Operation(forwarded) => self.start_operation(forwarded),
            Input::Cancel(key) => {
                if let Some(tag) = self.operations.by_key.remove(&key) {
                    self.operations.by_tag.remove(&tag);
                    self.engine.cancel_operation(now(), tag);
                }
            }
            Input::Stray(stray) => self.stray_of_sibling(stray),
        }
    }

    fn start_operation(&mut self, forwarded: Forwarded) {
        let tag = OperationTag(self.operations.next);
        self.operations.next += 1;
        self.metrics.operations.inc();
        let registration = forwarded.operation.registration.clone();
        let operation = forwarded.operation.operation.clone();
        self.operations.by_key.insert(forwarded.operation.key, tag);
        self.operations.by_tag.insert(tag, forwarded);
        self.engine
            .handle_operation(now(), tag, &registration, operation);
    }

    pub(super) fn operation_done(
        &mut self,
        tag: OperationTag,
        result: Result<OperationReply, OperationFailure>,
    ) {
        let Some(mut forwarded) = self.operations.by_tag.remove(&tag) else {
            return;
        };
        self.operations.by_key.remove(&forwarded.operation.key);
        forwarded.tried += 1;
        let next = (usize::from(self.index) + 1) % self.workers.len();
        if matches!(result, Err(OperationFailure::NotHere))
            && usize::from(forwarded.tried) < self.workers.len()
            && let Some(worker) = self.workers.get(next)
        {
            // The device's address moved to another worker; the last one answers if none has it.
            match worker.try_send(Input::Operation(forwarded)) {
                Ok(()) => return,
                Err(error) => {
                    if let Input::Operation(returned) = error.into_inner() {
                        return self.answer(returned.operation.key, Err(OperationFailure::NotHere));
                    }
                    return;
                }
            }
        }
        self.answer(forwarded.operation.key, result);
    }

    fn answer(&self, key: OperationKey, result: Result<OperationReply, OperationFailure>) {
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
