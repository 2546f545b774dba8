//! What the planner decides as calls of the public API, and what the API tells as the planner reads it.
//!
//! The operator and the command line carry out the same plans (`fleet-plan`) by the same API (`proto`), each over
//! connections of its own. What both need between the two is here, once: messages of what is to be put, what stands as the
//! planner compares it, how a device is asked, and what a refusal means. It opens no connection, keeps nothing between two
//! calls, and never decides.
//!
//! ```text
//!  fleet-plan: Stored, Profile, Ask ──asked, Call──▶ messages of drover.v1
//!  fleet-plan: Stored, Outcome, Refusal ◀──stored, outcome, refusal── answers and refusals of drover.v1
//! ```
//!
//! ```
//! use fleet_plan::group::Stored;
//! use fleet_wire::group;
//!
//! let wanted = Stored { name: "north".to_owned(), filter: "labels.site = north".to_owned(), ..Stored::default() };
//! assert_eq!(group::stored(group::asked(wanted.clone())), wanted);
//! ```

pub mod bootstrap;
pub mod device;
mod drift;
pub mod enrollment;
mod error;
pub mod group;
pub mod operation;
mod presence;
pub mod profile;
mod refusal;
mod time;

pub use drift::{drift, wire_drift};
pub use error::AnswerError;
pub use presence::{presence, wire_presence};
pub use refusal::{reason, refusal};
pub use time::time;
