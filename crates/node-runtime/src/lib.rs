//! What every node needs and no node should write twice: configuration, logs, the admin endpoint,
//! named tasks and an orderly end.
//!
//! | part | what it does |
//! |---|---|
//! | [`config`] | defaults, then a file, the environment and flags, into one typed value |
//! | [`telemetry`] | logs to stderr, as text or JSON, with a level that can be changed while running |
//! | [`admin`] | `/livez`, `/readyz`, `/metrics` and `/log-level` over HTTP |
//! | [`files`] | what files say, read again while the node runs |
//! | [`tls`] | TLS between nodes and of the API |
//! | [`Readiness`] | named conditions that must all hold before a node takes traffic |
//! | [`Tasks`] | every task has a name, an owner and a stage in which it is told to stop |
//! | [`run`] | waits for a signal or a failed service, then drains within the grace period |
//! | [`end`] | the exit code of a program, and why it failed |
//! | [`clock`], [`random`] | the only doors to the wall clock and the system's randomness |
//!
//! The crate holds no global state of its own. The one thing that it installs for the whole process
//! is the log subscriber, by [`telemetry::init`]. It knows nothing of devices, of gRPC or of
//! Kubernetes.
//!
//! ```
//! use std::time::Duration;
//!
//! use node_runtime::{Readiness, Shutdown, Stage, Tasks};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let readiness = Readiness::new();
//! let store = readiness.condition("store");
//! let tasks = Tasks::new();
//! tasks.spawn_service("store", Stage::Flush, move |drain| async move {
//!     store.meet();
//!     drain.started().await;
//!     // Flush here.
//! });
//!
//! let never = std::future::pending();
//! let end = tasks.shut_down(Duration::from_secs(10), never).await;
//! assert_eq!(end, Shutdown::Clean);
//! # }
//! ```

pub mod admin;
pub mod clock;
pub mod config;
pub mod files;
pub mod random;
pub mod telemetry;
pub mod tls;

mod readiness;
mod run;
mod signals;
mod tasks;

pub use readiness::{Condition, Readiness, Unmet};
pub use run::{end, run};
pub use signals::Signals;
pub use tasks::{Cause, Drain, Failure, Shutdown, Stage, Tasks};
