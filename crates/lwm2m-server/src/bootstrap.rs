//! The bootstrap server role (LwM2M Core 1.2 §6.1): how a device gets its accounts.
//!
//! ```text
//!  device                        BootstrapEngine                                    caller
//!    │ POST /bs?ep=…                    │                                              │
//!    │─────────────────────────────────▶│ Output::Prepare ────────────────────────────▶│ fetches the plan, makes its
//!    │ 2.04                             │◀───────────────────────────── handle_prepared│ credentials good for management
//!    │◀─────────────────────────────────│                                              │
//!    │ Discover, Delete, Write, Read    │ one after the other, each once the one       │
//!    │◀────────────────────────────────▶│ before is answered                           │
//!    │ Finish                           │                                              │
//!    │◀────────────────────────────────▶│ 4.06: Output::Inconsistent, all again, once  │
//!    │                                  │ Output::Ended ──────────────────────────────▶│
//!
//!    │ GET /bspack?ep=…                 │ Output::Prepare ────────────────────────────▶│
//!    │ 2.05 with the accounts           │◀───────────────────────────── handle_prepared│
//!    │◀─────────────────────────────────│ Output::Ended ──────────────────────────────▶│
//! ```
//!
//! [`BootstrapEngine`] owns the bootstraps of one worker. It decides nothing about who gets what: that is the
//! [`BootstrapPlan`], which the caller fetches, and from [`ServerAccount`]s can make. A bootstrap begins with one
//! [`BootstrapOutput::Prepare`] and ends with exactly one [`BootstrapOutput::Ended`], whatever the device does. Keys are
//! in no `Debug` text of this module.
//!
//! ```
//! use lwm2m_server::bootstrap::{AccountSecurity, BootstrapPlan, KeyMaterial, ServerAccount};
//! use rand::SeedableRng;
//!
//! let security = AccountSecurity::Psk {
//!     identity: b"device-1".to_vec(),
//!     key: KeyMaterial::new(vec![7; 16]),
//! };
//! let account = ServerAccount::new("coaps://lwm2m.example.com", 1, security);
//! let mut rng = rand_chacha::ChaCha12Rng::seed_from_u64(1);
//! let plan = BootstrapPlan::new(&[account], &[], &mut rng);
//! plan.validate()?;
//! # Ok::<(), lwm2m_server::bootstrap::PlanError>(())
//! ```
//!
//! A bootstrap that the server starts needs nothing here: it is an Execute of `/1/x/9` by the management server, upon
//! which the device comes with `POST /bs`.

mod access;
mod account;
mod config;
mod engine;
mod intake;
mod layout;
mod output;
mod plan;
mod progress;
mod retry;
mod run;
mod table;

pub use access::AccessControl;
pub use account::{
    AccountSecurity, CertificateUse, KeyMaterial, MatchingType, OscoreAccount, ServerAccount,
    ServerCertificate,
};
pub use config::BootstrapConfig;
pub use engine::{BootstrapCounters, BootstrapEngine};
pub use output::{
    BootstrapId, BootstrapMethod, BootstrapOutcome, BootstrapOutput, BootstrapStep, PrepareError,
    StepResult,
};
pub use plan::{BootstrapPlan, BootstrapWrite, PlanError};
pub use retry::RetryPolicy;
