//! The protobuf contracts of Drover and their conversions to domain types.
//!
//! The crate owns the `.proto` files, the code generated from them (committed, so that no build needs protoc) and, in
//! [`convert`], every translation between a message and the type of `lwm2m` or `device-state` that it stands for:
//!
//! - [`storage::v1`]: bytes at rest, and the commands that travel to the log,
//! - [`rpc::v1`]: calls between the nodes of one cluster,
//! - [`drover::v1`]: the public API.
//!
//! It never does I/O and decides nothing. Domain types become messages by [`From`]; messages become domain types by
//! [`TryFrom`], which refuses unset choices, numbers out of range and unknown enum values, so that nothing behind it
//! has to check again.
//!
//! ```
//! use device_state::Command;
//! use proto::storage::v1 as wire;
//!
//! let command = Command::ExpireUpTo { limit: 100 };
//! let message = wire::Command::from(command.clone());
//! assert_eq!(Command::try_from(message)?, command);
//!
//! let unset = Command::try_from(wire::Command { kind: None }).unwrap_err();
//! assert_eq!(unset.to_string(), "command: is missing");
//! # Ok::<(), proto::convert::ConvertError>(())
//! ```

mod broken;
pub mod convert;
pub mod drover;
pub mod rpc;
pub mod storage;
mod watch;

pub use broken::{asks_for_another_node, broken_connection};
