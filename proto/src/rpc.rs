//! Calls between the nodes of a cluster (`rpc/v1/*.proto`).

use std::fmt;

/// Nothing that is secret gets into logs.
impl fmt::Debug for v1::ClearCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClearCredential")
            .field("id", &self.id)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Nothing that is secret gets into logs.
impl fmt::Debug for v1::prepare_bootstrap_response::Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Account")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Generated from `package drover.rpc.v1`.
#[expect(
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    clippy::allow_attributes,
    reason = "generated code"
)]
pub mod v1 {
    include!("gen/drover.rpc.v1.rs");
}
