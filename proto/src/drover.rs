//! The public API (`drover/v1/*.proto`).

/// Generated from `package drover.v1`.
#[expect(
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    clippy::allow_attributes,
    reason = "generated code"
)]
pub mod v1 {
    include!("gen/drover.v1.rs");

    pub use crate::watch::WatchEventsResponse;
}

/// The encoded `FileDescriptorSet` of the public API, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/drover.bin");
