//! Harness of the lanes: a whole Drover on loopback, driven as a user would drive it.

mod admin;
mod device;
mod drover;
mod kubernetes;
pub mod leshan;
mod nonces;
pub mod openssl;
mod packages;
mod process;
mod spray;
pub mod state_nodes;
mod usage;
mod wait;

pub use admin::{free_address, metric, wait_for_members, wait_until_ready};
pub use device::{LiveDevice, Seat};
pub use drover::{Answer, Drover, Options};
pub use kubernetes::{Kubernetes, Operator};
pub use packages::{HttpPackageServer, PackageServer};
pub use process::{Program, binary, is_alive, kill};
pub use spray::Spray;
pub use usage::{cpu_seconds, resident_bytes};
pub use wait::{until, until_some};
