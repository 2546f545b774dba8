//! The gRPC services: the internal ones for ingress nodes and state nodes, and the public API.

pub mod api;
pub(crate) mod artefact;
pub mod backups;
pub(crate) mod bootstrap;
pub mod calls;
pub mod keeper;
pub(crate) mod membership;
pub mod models;
pub mod state;
pub mod status;
pub mod watch;

/// Calls of one batch; more are refused.
pub(crate) const MAX_BATCH_CALLS: usize = 4_096;
