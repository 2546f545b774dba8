//! A state node of Drover: Raft-replicated device state and the gRPC services on top of it.

pub mod attachments;
pub mod config;
pub mod delivery;
pub mod expiry;
pub mod fail_stop;
pub mod identity;
pub mod metrics;
pub mod node;
pub mod proposals;
pub mod raft;
pub mod router;
pub mod seal;
pub mod service;
pub mod shard_events;
pub mod store;
