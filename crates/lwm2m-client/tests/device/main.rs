//! The device against a CoAP endpoint, over an emulated network.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(clippy::disallowed_methods, reason = "a test needs a first instant")]

mod attributes;
mod composite;
mod faults;
mod firmware;
mod gateway;
mod hostile;
mod objects;
mod observing;
mod operating;
mod pair;
mod pulling;
mod registering;
mod servers;
mod updates;
