//! Calls that end with their connection.

use std::error::Error;

use tonic::{Code, Status, TimeoutExpired};

/// The error of the connection, if that is what ended a call: not what the other side said, nor the time that the call
/// may take. Whether the call was carried out is unknown.
///
/// A connection that is refused is told as UNAVAILABLE, one that ends as UNKNOWN, INTERNAL or CANCELLED, depending on
/// how far the call had come. None of it is known to whoever a status is passed on to: a status on the wire has no source.
pub fn broken_connection(status: &Status) -> Option<&(dyn Error + 'static)> {
    let cause = status.source()?;
    (status.code() != Code::DeadlineExceeded && !is_out_of_time(cause)).then_some(cause)
}

/// Whether another node is to be asked: this one cannot answer now, or its connection ended.
pub fn asks_for_another_node(status: &Status) -> bool {
    status.code() == Code::Unavailable || broken_connection(status).is_some()
}

fn is_out_of_time(mut cause: &(dyn Error + 'static)) -> bool {
    while !cause.is::<TimeoutExpired>() {
        match cause.source() {
            Some(inner) => cause = inner,
            None => return false,
        }
    }
    true
}
