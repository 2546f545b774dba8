//! The device's side of a bootstrap (LwM2M Core 1.2 §6.1): how it gets its accounts.
//!
//! ```text
//!  start ─▶ AskingForPack ── 2.05, consistent ─────────────────────────────▶ Done
//!    │           │ anything else
//!    │           ▼
//!    └───▶ Requesting ── 2.04 ─▶ Bootstrapping ── Finish, consistent ─▶ Finishing ─▶ Done
//!            │   ▲ 4.15 to pct      │  ▲ Discover, Read, Write, Delete
//!            │   └─ once more       │  └─ Finish, inconsistent: 4.06
//!            ▼                      ▼ silence
//!          Idle ◀───────────────────┘
//! ```
//!
//! [`BootstrapClient`] owns the accounts while they are made: the one of the bootstrap server, from the factory, and what
//! that server writes. With [`BootstrapEvent::Finished`] the caller has what it takes to connect to the management
//! servers. Keys are in no `Debug` text of this module.
//!
//! It has the verbs of a [`Device`](crate::Device), and likewise never opens a socket, secures nothing, reads no clock
//! and draws no randomness but from its seed.

mod account;
mod client;
mod config;
mod discover;
mod output;
mod serve;
mod store;

pub use account::{StoredAccount, StoredOscore, StoredRetry, StoredSecurity};
pub use client::BootstrapClient;
pub use config::{BootstrapAccount, BootstrapConfig, DiscoverForm, Misbehaviour, PackUse};
pub use output::{BootstrapEvent, BootstrapFailure, BootstrapOutput};
