//! What a refusal of the state tier says of a device.

use fleet_plan::operation::Ask;
use fleet_wire::operation::{Refused, turned_down};

use crate::state_tier::CallError;

/// What an error says of the device; the error itself, if that is nothing.
pub(super) fn refused(error: CallError, ask: &Ask) -> Result<Refused, CallError> {
    let CallError::Refused(status) = &error else {
        return Err(error);
    };
    turned_down(status, ask.immediate).ok_or(error)
}
