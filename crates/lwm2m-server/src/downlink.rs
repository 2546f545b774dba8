//! What the server asks of devices (LwM2M Core 1.2 §6.3, §6.4): operations as CoAP requests and back.

mod answer;
mod request;

use coap::{Code, ExchangeId, Failure, PeerKey, Response, SendError, Token};
use lwm2m::{AlternatePath, ContentFormat, Operation, Path, RegistrationId};

use crate::engine::Engine;
use crate::output::{Now, OperationFailure, OperationTag};

pub(crate) use answer::entries as values_of;

/// Operations that wait for one registration's commit.
const MAX_EARLY: usize = 16;

/// A request to a device that has not been answered.
#[derive(Debug)]
pub(crate) struct Downlink<P> {
    peer: P,
    registration: RegistrationId,
    operation: Operation,
    purpose: Purpose,
    /// Formats that are still to be tried when the device refuses this one, next one last.
    untried: Vec<Option<ContentFormat>>,
}

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Whoever asked for the operation.
    Asked(OperationTag),
    /// Nobody: an observation is established again after a registration.
    Restored,
}

impl<P: PeerKey> Engine<P> {
    /// An operation on a device of this node; ends in one [`Output::OperationDone`](crate::Output::OperationDone).
    pub fn handle_operation(
        &mut self,
        now: Now,
        tag: OperationTag,
        registration: &RegistrationId,
        operation: Operation,
    ) {
        if let Some(early) = self.early.get_mut(registration) {
            // LwM2M Core 1.2 §6.2.1: what comes before the 2.01 is ignored by the client, so it waits.
            if early.len() < MAX_EARLY {
                early.push((tag, operation));
            } else {
                self.operation_done(
                    tag,
                    Err(OperationFailure::Busy {
                        retry_after: self.config.retry_after,
                    }),
                );
            }
            return;
        }
        if let Operation::CancelObserve { path } = operation {
            return self.cancel_observation(now, tag, registration, path);
        }
        if let Err(failure) = self.start_downlink(now, registration, operation, Purpose::Asked(tag))
        {
            self.operation_done(tag, Err(failure));
        }
    }

    /// The caller no longer waits. What was sent stays sent; what was not is dropped.
    pub fn cancel_operation(&mut self, now: Now, tag: OperationTag) {
        if let Some(exchange) = self.tags.remove(&tag) {
            self.downlinks.remove(&exchange);
            self.coap.cancel(exchange);
            self.drain_coap(now, None);
        }
    }

    /// LwM2M Core 1.2 §6.4.1: the server establishes its observations again whenever the client registers.
    pub(crate) fn restore_observation(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        path: Path,
    ) {
        // A device that is gone or busy again registers again, and with it the observation is restored.
        let _lost = self.start_downlink(
            now,
            registration,
            Operation::Observe { path },
            Purpose::Restored,
        );
    }

    fn start_downlink(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<(), OperationFailure> {
        operation
            .validate()
            .map_err(|error| OperationFailure::Invalid(error.to_string()))?;
        let device = self
            .devices
            .get(registration)
            .ok_or(OperationFailure::NotHere)?;
        if !device.presence.listens(now.instant) {
            return Err(OperationFailure::Asleep);
        }
        let mut untried = request::formats(&operation, device);
        let format = untried.pop().flatten();
        let downlink = Downlink {
            peer: device.peer,
            registration: registration.clone(),
            operation,
            purpose,
            untried,
        };
        self.transmit(now, downlink, format)
    }

    /// Sends the downlink's operation in `format`.
    fn transmit(
        &mut self,
        now: Now,
        downlink: Downlink<P>,
        format: Option<ContentFormat>,
    ) -> Result<(), OperationFailure> {
        let device = self
            .devices
            .get(&downlink.registration)
            .ok_or(OperationFailure::NotHere)?;
        let request = request::encode(&downlink.operation, format, &device.alternate_path)
            .map_err(|error| OperationFailure::Invalid(error.to_string()))?;
        let exchange = self
            .coap
            .send_request(now.instant, downlink.peer, request)
            .map_err(|error| match error {
                SendError::PeerBusy { retry_after }
                | SendError::OutOfMessageIds { retry_after } => {
                    OperationFailure::Busy { retry_after }
                }
                SendError::Overloaded => OperationFailure::Busy {
                    retry_after: self.config.retry_after,
                },
                error => OperationFailure::Invalid(error.to_string()),
            })?;
        if let Purpose::Asked(tag) = downlink.purpose {
            self.tags.insert(tag, exchange);
        }
        self.downlinks.insert(exchange, downlink);
        self.drain_coap(now, None);
        Ok(())
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        token: Token,
        response: &Response,
    ) {
        let Some(mut downlink) = self.downlinks.remove(&exchange) else {
            return;
        };
        if matches!(
            response.code,
            Code::NOT_ACCEPTABLE_4_06 | Code::UNSUPPORTED_CONTENT_FORMAT_4_15
        ) && let Some(format) = downlink.untried.pop()
        {
            let purpose = downlink.purpose;
            if let Err(failure) = self.transmit(now, downlink, format) {
                self.fail(purpose, failure);
            }
            return;
        }
        if let Operation::Observe { path } = downlink.operation
            && response.code.is_success()
        {
            self.established(&downlink.registration, path, token, response);
            if downlink.purpose == Purpose::Restored {
                // Whoever asks for an observation gets the first value as the answer.
                self.report(now, &downlink.registration, path, response, None);
            }
        }
        if let Purpose::Asked(tag) = downlink.purpose {
            let result = {
                let root = AlternatePath::default();
                let device = self.devices.get(&downlink.registration);
                let alternate_path = device.map_or(&root, |device| &device.alternate_path);
                answer::decode(&downlink.operation, alternate_path, response)
            };
            self.operation_done(tag, result);
        }
    }

    pub(crate) fn handle_failure(&mut self, exchange: ExchangeId, reason: Failure) {
        let Some(downlink) = self.downlinks.remove(&exchange) else {
            return;
        };
        let failure = match reason {
            Failure::PeerGone => OperationFailure::NotHere,
            Failure::Timeout | Failure::Cancelled => OperationFailure::Timeout,
            Failure::OutOfMessageIds => OperationFailure::Busy {
                retry_after: self.config.retry_after,
            },
            Failure::Reset => {
                OperationFailure::BadAnswer("the device reset the exchange".to_owned())
            }
            Failure::BlockwiseFailed => {
                OperationFailure::BadAnswer("the block-wise transfer failed".to_owned())
            }
            Failure::BodyTooLarge => {
                OperationFailure::BadAnswer("the answer is too large".to_owned())
            }
            Failure::BadOption => {
                OperationFailure::BadAnswer("the answer has an unknown critical option".to_owned())
            }
        };
        self.fail(downlink.purpose, failure);
    }

    fn fail(&mut self, purpose: Purpose, failure: OperationFailure) {
        if let Purpose::Asked(tag) = purpose {
            self.operation_done(tag, Err(failure));
        }
    }
}
