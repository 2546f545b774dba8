//! Calls between the nodes of a cluster (`rpc/v1/*.proto`).

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
