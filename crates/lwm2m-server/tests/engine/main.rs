//! The engines with devices, on a virtual clock.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test has to begin somewhere in time"
)]

mod bootstrap;
mod contact;
mod formats;
mod gateway;
mod identity;
mod observing;
mod operations;
mod packages;
mod profiles;
mod queue;
mod registering;
mod scripted;
mod sends;
mod silence;
mod site;
mod storm;
