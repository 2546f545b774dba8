//! Profiles: what all devices that meet a condition are to be like.
//!
//! A [`Profile`] is one row in shard 0. Every shard has a [`ProfilePart`] of it, by which `apply` decides about a device
//! without asking anybody; a [`ProfileDevice`] row for each device of the profile, and a [`ProfileTally`] that counts
//! them.
//!
//! ```text
//!  shard 0    Profile ◀── whoever spreads it, on the leader
//!                              │ InstallProfile, SpreadProfile
//!  shard 0…n  ProfilePart ─ ProfileDevice (a device) ─ ProfileTally
//!                              │
//!             Desired, Observation: as if somebody had asked for them of the device itself
//! ```
//!
//! What is desired of the device itself counts before any profile, and of the profiles the first one by
//! [`Profile::precedence`], path by path.

use std::cmp::Reverse;

use lwm2m::{LwM2mVersion, NotificationAttributes, Observed};

use crate::campaign::{Selector, Sweep};
use crate::name::{DeviceName, Namespace};
use crate::record::DesiredValue;

/// What devices are to be like. Checked by whoever takes it in; `apply` trusts it.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Whose devices it is for.
    pub namespace: Namespace,
    /// At most [`Profile::MAX_NAME`] bytes.
    pub name: String,
    /// For people; at most [`Profile::MAX_DESCRIPTION`] bytes.
    pub description: String,
    /// Which devices it is for.
    pub selector: Selector,
    /// Only devices of this group; empty: of none in particular.
    pub group: String,
    pub priority: i32,
    pub activity: Activity,
    pub requires: Requirements,
    /// At most [`Profile::MAX_RESOURCES`] values and [`Profile::MAX_INSTANCES`] object instances, each path once.
    pub resources: Vec<DesiredValue>,
    /// At most [`Profile::MAX_OBSERVATIONS`], each target once.
    pub observations: Vec<ProfileObservation>,
    /// Grows with every change; given by `apply`.
    pub revision: u64,
}

/// Whether a profile does anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activity {
    #[default]
    Active,
    /// Devices keep what it last made of them, and nobody comes or goes.
    Paused,
}

/// What is to be observed of devices.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileObservation {
    pub observed: Observed,
    pub parameters: NotificationAttributes,
}

/// What a device has to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Objects that it registered with; at most [`Profile::MAX_REQUIRED`].
    pub objects: Vec<u16>,
    /// The release of LwM2M that it registered with, at least.
    pub version: Option<LwM2mVersion>,
}

impl Requirements {
    /// Whether every device meets them.
    pub const fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.version.is_none()
    }
}

impl Profile {
    /// The longest name in bytes.
    pub const MAX_NAME: usize = 63;
    /// The longest description in bytes.
    pub const MAX_DESCRIPTION: usize = 1_024;
    /// More profiles of a namespace are refused: each is asked about every device that registers.
    pub const MAX_PROFILES: usize = 64;
    /// The most values of one profile.
    pub const MAX_RESOURCES: usize = 64;
    /// The most object instances of one profile.
    pub const MAX_INSTANCES: usize = 64;
    /// The longest value as text.
    pub const MAX_VALUE_BYTES: usize = 4_096;
    /// The longest values of one profile together: all profiles of a namespace are read for each device that registers.
    pub const MAX_BYTES: usize = 16_384;
    /// The most observations of one profile.
    pub const MAX_OBSERVATIONS: usize = 16;
    /// The most objects that it requires.
    pub const MAX_REQUIRED: usize = 16;

    /// Its place among the profiles of a device: the least one counts.
    pub fn precedence(&self) -> (Reverse<i32>, &str) {
        (Reverse(self.priority), &self.name)
    }

    /// What it is found by.
    pub(crate) fn key(&self) -> String {
        self.namespace.qualify(&self.name)
    }
}

/// What a shard knows of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfilePart {
    /// With the selector of its group in its own.
    pub profile: Profile,
    pub standing: Standing,
    /// Who had the profile before this revision, and was asked whether it still does.
    pub members: Sweep,
    /// Who might have it, and was asked.
    pub candidates: Sweep,
}

/// Whether a profile is still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    #[default]
    Declared,
    /// It was removed: nobody meets it any more, and it goes with its last device.
    Removed,
}

impl ProfilePart {
    /// One that has asked nobody yet.
    pub const fn new(profile: Profile, standing: Standing) -> Self {
        Self {
            profile,
            standing,
            members: Sweep::NotBegun,
            candidates: Sweep::NotBegun,
        }
    }

    /// Whether everybody was asked.
    pub fn is_spread(&self) -> bool {
        self.members == Sweep::Done && self.candidates == Sweep::Done
    }
}

/// A device of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileDevice {
    pub namespace: Namespace,
    pub profile: String,
    pub endpoint: DeviceName,
    pub state: ProfileState,
}

/// How far a device is from what a profile says. Of several things that hold, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileState {
    /// It lacks what the profile requires.
    Unsupported,
    /// It refused something, or there is no room for it.
    Rejected,
    /// Something is not written yet.
    Pending,
    /// It has another value for something.
    Drifted,
    /// Others count for all that the profile says.
    Superseded,
    InSync,
}

impl ProfileState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unsupported,
        Self::Rejected,
        Self::Pending,
        Self::Drifted,
        Self::Superseded,
        Self::InSync,
    ];
}

/// The devices of a profile in a shard, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileTally {
    pub unsupported: u64,
    pub rejected: u64,
    pub pending: u64,
    pub drifted: u64,
    pub superseded: u64,
    pub in_sync: u64,
}

impl ProfileTally {
    /// The devices in a state.
    pub const fn of(&mut self, state: ProfileState) -> &mut u64 {
        match state {
            ProfileState::Unsupported => &mut self.unsupported,
            ProfileState::Rejected => &mut self.rejected,
            ProfileState::Pending => &mut self.pending,
            ProfileState::Drifted => &mut self.drifted,
            ProfileState::Superseded => &mut self.superseded,
            ProfileState::InSync => &mut self.in_sync,
        }
    }

    /// All devices.
    pub const fn matched(&self) -> u64 {
        self.unsupported
            + self.rejected
            + self.pending
            + self.drifted
            + self.superseded
            + self.in_sync
    }

    /// Adds those of another shard.
    pub fn add(&mut self, mut other: Self) {
        for state in ProfileState::ALL {
            *self.of(state) += *other.of(state);
        }
    }
}
