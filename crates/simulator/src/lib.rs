//! Fleets of simulated devices that really speak LwM2M over CoAP: over UDP, DTLS, TCP and TLS, each with or without
//! OSCORE.
//!
//! ```text
//!  shard (one thread)
//!   ├─ node: UDP socket ─ Link(dtls::Client? ─ oscore::Client? ─ lwm2m_client::Device) ─ temperature walk
//!   ├─ node: connection, TLS? ─ Link(coap::reliable::Connection ─ oscore::Client? ─ Device) ─ temperature walk
//!   ├─ node: …
//!   └─ one poll, one heap of timers
//! ```
//!
//! A server tells devices apart by their address, so every device has a socket of its own; towards
//! a loopback server they spread over 127.0.0.0/8. Firmware packages come to them by a socket besides. [`Fleet`] runs any number of shards. The crate
//! never holds more than it was asked to simulate, and takes nothing from the server on trust.
//!
//! ```no_run
//! use simulator::{Command, Fleet};
//! # fn example(plan: simulator::Plan) -> anyhow::Result<()> {
//! let fleet = Fleet::start(plan, 2)?;
//! println!("{} registered", fleet.totals().registered);
//! fleet.command(Command::Deregister);
//! let summary = fleet.join()?;
//! println!("{:?}", summary.percentile(50));
//! # Ok(())
//! # }
//! ```

pub mod args;
mod bench;
mod contexts;
mod credentials;
mod download;
mod fleet;
mod link;
mod node;
mod plan;
mod report;
mod run;
mod server;
mod shard;
mod socket;
mod stats;
mod walk;

pub use bench::{bench_commands, bench_notify, bench_read, bench_register, bench_request};
pub use contexts::{Contexts, ContextsError};
pub use credentials::{Credential, Credentials, CredentialsError};
pub use fleet::{Command, Fleet, Summary};
pub use plan::{Pace, Plan, Purpose};
pub use report::Format;
pub use run::run;
pub use server::{Scheme, ServerUrl, ServerUrlError};
pub use stats::Totals;
