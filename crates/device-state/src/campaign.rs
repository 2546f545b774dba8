//! Firmware campaigns: what was declared, where they stand, and what became of each device.
//!
//! A [`Campaign`] is one row in shard 0. Every shard has a [`Part`] of it: what `apply` needs to walk the shard's own
//! devices through the update without asking anybody. The devices of a campaign are its ledger, a [`Ledger`] row each;
//! a [`Tally`] for each wave counts them, so that nobody has to.
//!
//! ```text
//!  shard 0    Campaign: plan, control, course ◀── the planner, on the leader
//!                                                    │ OpenCampaign, EnrolDevices, AdmitDevices, HaltCampaign
//!  shard 0…n  Part ─ Ledger (a device) ─ Tally ◀─────┘
//! ```
//!
//! The planner decides about waves and knows no device; `apply` moves devices and knows no other shard. What a device
//! does next is decided in [`firmware`] alone.

mod compatibility;
mod course;
pub mod firmware;
mod ledger;
mod object;
mod plan;

pub use compatibility::{Compatibility, is_comparable};
pub use course::{CampaignState, Course, PauseReason, WaveCourse, WaveState};
pub use ledger::{
    Failure, FailureSample, Ledger, Part, Phase, Presence, Reach, SkipReason, Sweep, Tally,
};
pub use object::{NoUpdateObject, Stage, UpdateObject, Verdict};
pub use plan::{
    DevicePolicy, FailureThreshold, Image, Membership, OnFailure, Plan, Promotion, Schedule, Share,
    Transfer, Wave, Window,
};

use std::fmt;

use crate::id::Timestamp;
use crate::name::Namespace;
use crate::selection::DeviceFilter;

/// A campaign, for ever: another one of the same name has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CampaignId(pub u64);

impl fmt::Display for CampaignId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "c-{:x}", self.0)
    }
}

/// A condition on devices, with the text that it was declared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// In the language of filters; empty for every device of the namespace.
    pub text: String,
    /// What the text says.
    pub filter: DeviceFilter,
}

/// A campaign as it is stored in shard 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Overwritten by `apply` when the campaign is made.
    pub id: CampaignId,
    pub namespace: Namespace,
    /// At most [`Campaign::MAX_NAME`] bytes.
    pub name: String,
    /// Never changes.
    pub plan: Plan,
    pub control: Control,
    pub course: Course,
    pub created_at: Timestamp,
    /// Whoever made it knows it by this again, such as by the uid of an object; at most [`Campaign::MAX_OWNER`] bytes.
    pub owner: String,
}

/// Whether a campaign is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Abort {
    #[default]
    No,
    Now,
}

impl Campaign {
    /// The longest name in bytes.
    pub const MAX_NAME: usize = 63;
    /// The longest owner in bytes.
    pub const MAX_OWNER: usize = 128;
    /// More campaigns of a namespace are refused.
    pub const MAX_CAMPAIGNS: usize = 256;
    /// More waves of a campaign are refused.
    pub const MAX_WAVES: usize = 32;
    /// More windows of a campaign are refused.
    pub const MAX_WINDOWS: usize = 16;

    /// Whether it has ended, or is coming to its end: what people say changes nothing any more.
    pub const fn is_ending(&self) -> bool {
        let state = self.course.state;
        self.control.aborted || state.is_final() || matches!(state, CampaignState::Aborting)
    }

    /// Goes by what people said, from this moment on. It is a step of the course: what the planner has decided without
    /// knowing of it is refused, and admits nobody where the step was told of.
    pub(crate) fn heed(&mut self) {
        let Control {
            paused, aborted, ..
        } = self.control;
        let course = &mut self.course;
        course.step = course.step.saturating_add(1);
        course.state = match course.state {
            state if state.is_final() => state,
            _ if aborted => CampaignState::Aborting,
            CampaignState::Running | CampaignState::Paused(_) if paused => {
                CampaignState::Paused(PauseReason::Asked)
            }
            // Whether a wave was bad meanwhile, the planner says.
            CampaignState::Paused(PauseReason::Asked) => {
                // Who is not there now is known to whoever let it go on.
                if self.plan.pause_when_unreachable.is_some() && course.census > 0 {
                    course.census = course.step;
                }
                CampaignState::Running
            }
            state => state,
        };
    }
}

/// What people say while a campaign runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// No further device begins; those that have begun go on.
    pub paused: bool,
    /// The last wave that was approved, so that the one after it may begin; empty for none.
    pub approved_through: String,
    /// For good: once set it stays.
    pub aborted: bool,
}
