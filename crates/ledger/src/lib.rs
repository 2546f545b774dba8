//! Callers of the public API who write and read while things go wrong, and keep what they were told; and the checks of
//! what has to hold of it afterwards.
//!
//! Owns: the callers ([`Work`]), somebody who follows all events ([`Watcher`]), and the checks ([`Records::check`]).
//! Never: starts or breaks a cluster. `tests/chaos` lets them loose on real processes, `state-node/src/node/sim` on a
//! cluster in one process and virtual time.
//!
//! Waits panic with what was missing: a broken promise is a failed test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is the failure of the test that calls"
)]

mod calls;
mod commands;
mod credentials;
mod executes;
pub mod registers;
mod replicas;
mod tally;
mod wait;
mod watcher;
mod work;

pub use calls::Calls;
pub use executes::{Executed, check_executed};
pub use replicas::are_equal;
pub use wait::{SOON, until_some};
pub use watcher::{Report, Watcher};
pub use work::{Records, Work};
