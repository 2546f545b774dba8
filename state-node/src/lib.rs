//! A state node of Drover: Raft-replicated device state in RocksDB, and the gRPC services on top of it.
//!
//! The crate owns the replicas. It decides nothing about devices: commands are applied by `device-state`, and every
//! replica that applies the same log holds the same rows. It never talks to a device; ingress nodes attach themselves
//! and carry operations to devices and back.
//!
//! ```text
//!  drover.v1 ──▶ access ──▶ service::api ─┐       ┌─▶ log_store    one writer for all shards
//!                               ├─▶ router ─▶ raft┤
//!  rpc.State ──▶ service::state ┘   (leader)      └─▶ network ──▶ other state nodes
//!                    │                                    │ committed
//!                    ▼                                    ▼
//!  ingress ◀── attachments ◀── delivery ◀── shard_events ◀── state_machine ──▶ store (RocksDB per shard)
//! ```
//!
//! The entry point is [`node::start`]:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use node_runtime::{Readiness, Tasks, telemetry};
//! use state_node::config::Config;
//!
//! let config = Config { data_dir: "/var/lib/drover".into(), ..Config::default() };
//! let log_level = telemetry::init(&config.log)?;
//! let node = state_node::node::start(config, &Tasks::new(), &Readiness::new(), log_level).await?;
//! node.ready().await;
//! # Ok(())
//! # }
//! ```

// The futures of calls that go from node to node and wait for Raft are nested deeply.
#![recursion_limit = "256"]

pub mod access;
pub mod attachments;
pub mod audit;
pub mod backups;
pub mod campaigns;
pub mod comparison;
pub mod config;
pub mod corruption;
pub mod delivery;
pub mod dial;
pub mod enrollment;
pub mod expiry;
pub mod fail_stop;
pub mod identity;
pub mod listen;
pub mod metrics;
pub mod node;
pub mod profiles;
pub mod quarantine;
pub mod raft;
pub mod rebuild;
pub mod restore;
pub mod rounds;
pub mod router;
pub mod seal;
pub mod service;
pub mod shard_events;
pub mod shared_feed;
pub mod store;
pub mod tenants;
pub mod volume;
