//! The LwM2M server engine: what an ingress node does with the CoAP messages of devices.
//!
//! ```text
//!  datagram ─▶ coap::Endpoint ─▶ uplink (Register, Update, De-register, Send) ─▶ Output::Commit
//!                                                                                    │
//!  datagram ◀─ coap::Endpoint ◀─ answer, only once the commit is told ◀── handle_committed
//!
//!  handle_operation ─▶ downlink (Read, Write, Execute, …) ─▶ coap::Endpoint ─▶ device ─▶ Output::OperationDone
//! ```
//!
//! [`Engine`] owns the devices of one worker: their CoAP exchanges, presence and observations. It stores nothing that
//! must survive: what must is proposed as a [`device_state::Command`] through [`Output::Commit`], and no device is told
//! of success before that commit is reported back. It never reads a clock or a socket. The caller drains
//! [`Engine::poll_output`] after every call.
//!
//! [`bootstrap::BootstrapEngine`] is the other role, that of a bootstrap server, with the same verbs.

mod admission;
pub mod bootstrap;
mod config;
mod contact;
mod device;
mod downlink;
mod engine;
mod observation;
mod output;
mod package;
mod presence;
mod profile;
mod quirks;
mod response;
mod uplink;

pub use config::Config;
pub use engine::{Counters, Engine};
pub use output::{
    CommitError, CommitId, Now, OperationFailure, OperationReply, OperationTag, Origin, Output,
    PackageRequest, Principal,
};
pub use package::MAX_BASE;
pub use profile::{ProfileError, Profiles};
