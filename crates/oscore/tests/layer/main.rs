//! The layer between endpoints: a server with many contexts and a device, over a network that loses
//! and copies.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time has to start somewhere"
)]

mod carriers;
mod exchange;
mod hostile;
mod message;
mod observation;
mod ownership;
mod pair;
