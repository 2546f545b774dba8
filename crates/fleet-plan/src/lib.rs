//! The operator's decisions as pure functions.
//!
//! Takes what an object says and what the state tier knows, and answers what to do and what the
//! object's status should be: one module for each kind. It never talks to an API server or to the
//! state tier, never reads a clock and keeps nothing between two calls; acting on a plan is the
//! operator's business. Planning the same twice gives the same, byte for byte, so that an idle
//! operator writes nothing.
//!
//! ```
//! use crd::{Device, DeviceSpec, DesiredResource};
//! use fleet_plan::device::{Action, Observed, Surroundings, plan};
//! use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
//! use k8s_openapi::jiff::Timestamp;
//!
//! let device = Device::new("meter-1", DeviceSpec {
//!     endpoint_name: "urn:imei:1".to_owned(),
//!     resources: vec![DesiredResource { path: "/3/0/14".to_owned(), value: Some("+02:00".to_owned()), ..Default::default() }],
//!     ..DeviceSpec::default()
//! });
//! let plan = plan(&device, &Surroundings::default(), &Observed::default(), &Time(Timestamp::UNIX_EPOCH));
//! assert!(matches!(plan.actions[0], Action::SetDesired { generation: 1, .. }));
//! ```

mod amount;
pub mod announcement;
pub mod bootstrap;
pub mod budget;
mod conditions;
pub mod device;
pub mod enrollment;
pub mod group;
pub mod image;
mod instance;
pub mod model;
mod observation;
pub mod operation;
mod owner;
mod pace;
pub mod pause;
pub mod profile;
mod refusal;
pub mod rollout;
pub mod secrets;
mod selection;
mod text;
mod typing;
mod window;

pub use owner::{APPLIED, Owner};
pub use pace::Pace;
pub use refusal::Refusal;
pub use selection::ReadFilter;
