//! Profiles: what all devices that meet a condition are to be like.
//!
//! A [`Profile`] is one row in shard 0. Every shard has a [`ProfilePart`] of it, by which `apply` decides about a device
//! without asking anybody; a [`ProfileDevice`] row for each device of the profile, and a [`ProfileTally`] that counts
//! them.
//!
//! ```text
//!  shard 0    Profile ◀── whoever spreads it, on the leader
//!                              │ InstallProfile, SpreadProfile, ReleaseProfile
//!  shard 0…n  ProfilePart ─ ProfileDevice (a device) ─ ProfileTally
//!                              │
//!             Desired, Observation: as if somebody had asked for them of the device itself
//! ```
//!
//! What is desired of the device itself counts before any profile, and of the profiles the first one by
//! [`Profile::precedence`], path by path.

use std::cmp::Reverse;

use lwm2m::{LwM2mVersion, NotificationAttributes, Observed};

use crate::campaign::{Selector, Share, Sweep, Window};
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
    /// How a change of it goes through its devices; `None`: to all at once.
    pub rollout: Option<ProfileRollout>,
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

/// How a change of a profile goes through its devices: they keep what they have until it is their turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRollout {
    /// No device has its turn while so many that are registered have not taken the change yet, of all that the profile has;
    /// not zero.
    pub max_concurrent: Share,
    /// Nor when so many have refused something of it, of all that the profile has; `None`: whatever they refuse.
    pub failure_threshold: Option<Share>,
    /// When devices have their turn; none: at any time. At most [`Campaign::MAX_WINDOWS`](crate::Campaign::MAX_WINDOWS).
    pub windows: Vec<Window>,
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
    /// Whose turn it was, of a profile with a [rollout](Profile::rollout). Nobody's before everybody was asked.
    pub released: Sweep,
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
            released: Sweep::NotBegun,
        }
    }

    /// Whether everybody was asked.
    pub fn is_marked(&self) -> bool {
        self.members == Sweep::Done && self.candidates == Sweep::Done
    }

    /// Whether everybody was asked, and had its turn.
    pub fn is_spread(&self) -> bool {
        self.is_marked() && (!self.takes_turns() || self.released == Sweep::Done)
    }

    /// Whether its devices have their turn one after the other.
    pub fn takes_turns(&self) -> bool {
        self.standing == Standing::Declared
            && self.profile.activity == Activity::Active
            && self.profile.rollout.is_some()
    }

    /// Whether a device has not had its turn.
    pub(crate) fn holds_back(&self, endpoint: &DeviceName) -> bool {
        self.takes_turns()
            && match &self.released {
                Sweep::NotBegun => true,
                Sweep::Through(last) => endpoint > last,
                Sweep::Done => false,
            }
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
    /// It keeps what it has until it is its turn.
    Waiting,
    /// It lacks what the profile requires.
    Unsupported,
    /// It refused something, or there is no room for it.
    Rejected,
    /// Of a profile with a [rollout](Profile::rollout): something is not written yet, as it is not registered.
    Unregistered,
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
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Unsupported,
        Self::Rejected,
        Self::Unregistered,
        Self::Pending,
        Self::Drifted,
        Self::Superseded,
        Self::InSync,
    ];
}

/// The devices of a profile in a shard, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileTally {
    pub waiting: u64,
    pub unsupported: u64,
    pub rejected: u64,
    pub unregistered: u64,
    pub pending: u64,
    pub drifted: u64,
    pub superseded: u64,
    pub in_sync: u64,
}

impl ProfileTally {
    /// The devices in a state.
    pub const fn of(&mut self, state: ProfileState) -> &mut u64 {
        match state {
            ProfileState::Waiting => &mut self.waiting,
            ProfileState::Unsupported => &mut self.unsupported,
            ProfileState::Rejected => &mut self.rejected,
            ProfileState::Unregistered => &mut self.unregistered,
            ProfileState::Pending => &mut self.pending,
            ProfileState::Drifted => &mut self.drifted,
            ProfileState::Superseded => &mut self.superseded,
            ProfileState::InSync => &mut self.in_sync,
        }
    }

    /// All devices.
    pub const fn matched(&self) -> u64 {
        self.waiting
            + self.unsupported
            + self.rejected
            + self.unregistered
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
