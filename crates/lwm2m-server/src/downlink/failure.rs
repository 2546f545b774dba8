//! Operations that end without a response.

use std::collections::VecDeque;

use coap::{ExchangeId, Failure, PeerKey};
use device_state::Quirks;
use lwm2m::{Observed, Operation, Patch};

use super::{Asked, Course, Downlink, Purpose, pieces};
use crate::engine::Engine;
use crate::output::{Now, OperationFailure};
use crate::quirks::has_composite;

/// The lesson of a device that is silent when it is asked for several paths, and answers when it is asked for each.
const NO_COMPOSITE: Quirks = Quirks {
    no_composite: true,
    no_observe_parameters: false,
    mislabelled: None,
};

impl<P> Downlink<P> {
    /// What to do instead of a composite request that the device acknowledges and does not answer, as Wakaama does.
    pub(super) fn pieces_after_silence(&self) -> Option<VecDeque<Operation>> {
        let is_composite = match &self.operation {
            Operation::ReadComposite { .. } => true,
            Operation::Observe { observed, .. } => matches!(observed, Observed::Composite(_)),
            _ => false,
        };
        (is_composite && matches!(self.course, Course::Whole))
            .then(|| pieces::of(&self.operation))
            .flatten()
    }
}

impl<P: PeerKey> Engine<P> {
    /// A composite write was not answered. It is not taken apart, being all or nothing; but whether the device answers
    /// composite operations at all is found out by a read, which does no harm, so that the next write is not tried in vain.
    pub(super) fn doubt(&mut self, now: Now, unanswered: &Downlink<P>) {
        let Operation::WriteComposite { patches } = &unanswered.operation else {
            return;
        };
        let is_asked = |downlink: &Downlink<P>| {
            downlink.purpose == Purpose::Doubt && downlink.registration == unanswered.registration
        };
        if self.downlinks.values().any(is_asked) {
            return;
        }
        let device = self.devices.get(&unanswered.registration);
        if device.is_none_or(|device| !has_composite(device.version, &device.quirks)) {
            return;
        }
        let paths = patches.iter().take(1).map(Patch::path).collect();
        let read = Operation::ReadComposite {
            paths,
            accept: None,
        };
        // A device that is gone or busy is found out another time.
        let asked = Asked::for_us(None, read, Purpose::Doubt);
        let _in_doubt = self.start_downlink(now, &unanswered.registration, asked);
    }

    pub(crate) fn handle_failure(&mut self, now: Now, exchange: ExchangeId, reason: Failure) {
        let Some(downlink) = self.downlinks.remove(&exchange) else {
            return;
        };
        if matches!(reason, Failure::Timeout | Failure::Unanswered) {
            self.note(downlink.peer, |contact| &mut contact.unanswered);
        }
        if reason == Failure::Unanswered {
            if let Some(steps) = downlink.pieces_after_silence() {
                let purpose = downlink.purpose;
                if let Err(failure) = self.go_piecewise(now, downlink, steps, NO_COMPOSITE) {
                    self.fail(purpose, failure);
                }
                return;
            }
            self.doubt(now, &downlink);
        }
        let failure = match reason {
            Failure::PeerGone => OperationFailure::NotHere,
            Failure::Timeout | Failure::Unanswered | Failure::Cancelled => {
                OperationFailure::Timeout
            }
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

    pub(super) fn fail(&mut self, purpose: Purpose, failure: OperationFailure) {
        if let Purpose::Asked(tag) = purpose {
            self.operation_done(tag, Err(failure));
        }
    }
}
