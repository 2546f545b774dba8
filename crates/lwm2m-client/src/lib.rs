//! An LwM2M device as an engine without IO: for simulated fleets, and the other side in tests.
//!
//! ```text
//!  datagram ─▶ coap::Endpoint ─▶ request ─▶ object tree ─▶ answer
//!                    ▲                          │ change
//!  start, timers ─▶ registration ─▶ Register, Update, De-register
//!                    │                          ▼
//!  datagram ◀────────┴──────────────── observations ─▶ notifications
//! ```
//!
//! [`Device`] owns what one device knows of its management servers, one or several
//! ([`Config::more_servers`], [`Device::towards`]): its registrations, its objects (Server, Device,
//! Connectivity Monitoring, Firmware Update, Location, Temperature, and others if its [`Profile`]
//! says so), and for each server the notification attributes and the observations. It never opens a
//! socket, secures nothing, reads no clock and draws no randomness but from its seed. Nothing that a
//! server sends can make it fail: it is answered with a code or dropped. What real clients get wrong
//! it gets wrong if it is told to ([`Fault`]).
//!
//! [`bootstrap::BootstrapClient`] is the same device before that, when it gets its accounts.
//!
//! After every call, drain [`Device::poll_output`]; when [`Device::poll_timeout`] has passed, call
//! [`Device::handle_timeout`].
//!
//! ```
//! use std::time::Instant;
//! use lwm2m::{EndpointName, Path, Value};
//! use lwm2m_client::{Config, Device, Output};
//!
//! let now = Instant::now();
//! let mut device = Device::new(Config::new(EndpointName::new("lamp-1")?), 7);
//! device.start(now);
//! assert!(matches!(device.poll_output(), Some(Output::Transmit(_register))));
//!
//! device.set_value(now, Path::Resource(3303, 0, 5700), Value::Float(21.5))?;
//! assert_eq!(device.value(Path::Resource(3303, 0, 5700)), Some(&Value::Float(21.5)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "a test needs a first instant")
)]

mod access;
mod attributes;
pub mod bootstrap;
mod config;
mod device;
mod fault;
mod firmware;
mod objects;
mod observation;
mod output;
mod presence;
mod refusal;
mod registration;
mod statistics;
mod tree;
mod updates;
mod uri;

pub use config::{
    Config, FirmwareBehaviour, OptionalObject, Profile, ProfileId, PullProtocol, Reboot, Retry,
    ServerAccount,
};
pub use device::{Device, Towards};
pub use fault::Fault;
pub use output::{
    Event, FirmwareState, Output, Pull, PullFailure, PullId, RegistrationFailure, SendError,
    SendFailure, SetValueError,
};
