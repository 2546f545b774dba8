//! Finished (RFC 5246 §7.4.9).

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::handshake::{self, MessageType};
use crate::key_schedule::VerifyData;

/// Compares in constant time.
pub(crate) fn matches(body: &[u8], expected: &VerifyData) -> bool {
    verify_slices_are_equal(body, expected).is_ok()
}

pub(crate) fn encode(message_seq: u16, verify_data: &VerifyData) -> Vec<u8> {
    handshake::message(MessageType::Finished, message_seq, |out| {
        out.extend_from_slice(verify_data);
    })
}
