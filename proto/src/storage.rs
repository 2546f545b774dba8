//! Bytes at rest: log entries and rows (`storage/v1/storage.proto`).

/// Generated from `package drover.storage.v1`.
#[expect(clippy::all, clippy::pedantic, reason = "generated code")]
pub mod v1 {
    include!("gen/drover.storage.v1.rs");
}
