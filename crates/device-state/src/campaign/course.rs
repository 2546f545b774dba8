//! Where a campaign stands. Written by the planner, each time from what stood before; and by what people say, which holds
//! at once ([`Campaign::heed`](super::Campaign::heed)).

use crate::id::Timestamp;

/// The course of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Grows with each change, so that of two planners one is refused.
    pub step: u64,
    pub state: CampaignState,
    /// Members, once everybody was asked.
    pub members: u64,
    /// As many as the plan has.
    pub waves: Vec<WaveCourse>,
    /// When members were first admitted.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The step from which on shards count who is lost ([`Reach`](super::Reach)): at which the wave began, or somebody let
    /// the campaign go on in it. 0 unless the plan asks for it.
    pub census: u64,
}

/// What a campaign does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CampaignState {
    /// Every shard looks for its members.
    #[default]
    Enrolling,
    Running,
    /// It does not go on by itself.
    Paused(PauseReason),
    /// Devices that have begun come to their end, no other begins; for good.
    Aborting,
    /// Everybody has a result, and the waves were good.
    Succeeded,
    /// It ended otherwise.
    Aborted,
    /// The schedule's deadline came first.
    DeadlineExceeded,
}

impl CampaignState {
    /// Whether nothing more happens.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Aborted | Self::DeadlineExceeded
        )
    }

    /// Whether it stopped by itself, and waits for somebody who looks at it.
    pub const fn has_stopped(self) -> bool {
        match self {
            Self::Paused(reason) => !matches!(reason, PauseReason::Asked),
            _ => false,
        }
    }
}

/// Why a campaign stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// Somebody said so.
    Asked,
    /// Too many devices of the wave failed.
    FailureThreshold,
    /// The wave is over, and fewer devices succeeded than have to.
    SuccessThreshold,
    /// Too many devices are not registered any more. Says nothing about the wave.
    Unreachable,
}

/// The course of one wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaveCourse {
    pub state: WaveState,
    /// Devices of it; settled when it begins.
    pub size: u64,
    pub started_at: Option<Timestamp>,
    /// When its last device had a result.
    pub ended_at: Option<Timestamp>,
}

/// What a wave does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WaveState {
    #[default]
    Pending,
    Running,
    /// Every device has a result; nobody is hurried.
    Soaking {
        until: Timestamp,
    },
    /// It is good, and the next one waits for somebody.
    AwaitingApproval,
    Succeeded,
    /// Stopped, or judged to be bad.
    Failed,
    /// The campaign ended before it.
    Skipped,
}
