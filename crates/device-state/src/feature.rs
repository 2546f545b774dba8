//! What replicas understand.
//!
//! Replicas of one shard may run different releases while a cluster is upgraded, and must still write the same rows. So
//! what a release does otherwise than the one before is switched on by an entry of the log: the leader proposes a level
//! once every member of the shard has said that it supports it, and `apply` asks the level, never the release.

/// A step in the history of what `apply` does. Grows by one with each release that changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureLevel(pub u32);

impl FeatureLevel {
    /// What this release understands. A replica that meets a higher one stops: it would guess.
    pub const SUPPORTED: Self = Self(13);

    /// There are other namespaces than the default one. Releases before cannot read what is in them.
    pub const NAMESPACES: Self = Self(2);

    /// There are campaigns and groups.
    pub const CAMPAIGNS: Self = Self(3);

    /// There are profiles, and drift is looked at.
    pub const PROFILES: Self = Self(4);

    /// There are packages that devices fetch from the cluster.
    pub const ARTEFACTS: Self = Self(5);

    /// There are enrollment policies, and devices that are registered by one.
    pub const ENROLLMENT: Self = Self(6);

    /// There are campaigns for other objects than Firmware Update, and for devices of certain versions. Releases before
    /// would take their images for firmware of every device.
    pub const UPDATE_OBJECTS: Self = Self(7);

    /// What people say to a campaign holds at once, devices that another campaign holds keep nobody back, and campaigns
    /// stop when devices are lost. Releases before would begin devices that these do not, and know no such plan.
    pub const CAMPAIGN_HEALTH: Self = Self(8);

    /// Object instances are desired, what devices answer of them is kept, and campaigns tell when they begin with a device.
    /// Releases before take everything that is desired for a value.
    pub const INSTANCES: Self = Self(9);

    /// Credentials are added that nobody has. Releases before know no such command.
    pub const ADDED_CREDENTIALS: Self = Self(10);

    /// Groups, campaigns and profiles may be of devices that are enrolled in some way. Releases before cannot read such filters.
    pub const ENROLLMENT_FILTERS: Self = Self(11);

    /// Campaigns have a pace. Releases before would begin all devices at once.
    pub const CAMPAIGN_PACE: Self = Self(12);

    /// Changes of profiles go through their devices step by step. Releases before would change all of them at once.
    pub const PROFILE_ROLLOUTS: Self = Self(13);

    /// Whether this release understands the level.
    pub const fn is_supported(self) -> bool {
        self.0 <= Self::SUPPORTED.0
    }
}
