//! Where a campaign stands.

use device_state::campaign::{Campaign, CampaignState, Course, PauseReason, WaveCourse, WaveState};

use super::optional_time;
use crate::convert::list::each;
use crate::convert::value::wire_enum;
use crate::convert::{ConvertError, Reason, time};
use crate::storage::v1 as wire;

wire_enum!(PauseReason, wire::CampaignPause, wire_pause, pause, {
    Asked,
    FailureThreshold,
    SuccessThreshold,
    Unreachable,
});

impl From<Course> for wire::CampaignCourse {
    fn from(course: Course) -> Self {
        let (state, pause) = wire_state(course.state);
        Self {
            step: course.step,
            state: state.into(),
            pause,
            members: course.members,
            waves: course.waves.into_iter().map(Into::into).collect(),
            started_at_ms: optional_time(course.started_at),
            ended_at_ms: optional_time(course.ended_at),
            census: course.census,
        }
    }
}

impl TryFrom<wire::CampaignCourse> for Course {
    type Error = ConvertError;

    fn try_from(course: wire::CampaignCourse) -> Result<Self, ConvertError> {
        Ok(Self {
            step: course.step,
            state: state(course.state, course.pause)?,
            members: course.members,
            waves: each(
                "waves",
                course.waves,
                Campaign::MAX_WAVES,
                WaveCourse::try_from,
            )?,
            started_at: course.started_at_ms.map(time),
            ended_at: course.ended_at_ms.map(time),
            census: course.census,
        })
    }
}

const fn wire_state(state: CampaignState) -> (wire::CampaignState, i32) {
    use wire::CampaignState as Wire;
    match state {
        CampaignState::Enrolling => (Wire::Enrolling, 0),
        CampaignState::Running => (Wire::Running, 0),
        CampaignState::Paused(reason) => (Wire::Paused, wire_pause(reason)),
        CampaignState::Aborting => (Wire::Aborting, 0),
        CampaignState::Succeeded => (Wire::Succeeded, 0),
        CampaignState::Aborted => (Wire::Aborted, 0),
        CampaignState::DeadlineExceeded => (Wire::DeadlineExceeded, 0),
    }
}

fn state(number: i32, reason: i32) -> Result<CampaignState, ConvertError> {
    use wire::CampaignState as Wire;
    Ok(match Wire::try_from(number) {
        Ok(Wire::Enrolling) => CampaignState::Enrolling,
        Ok(Wire::Running) => CampaignState::Running,
        Ok(Wire::Paused) => CampaignState::Paused(pause("pause", reason)?),
        Ok(Wire::Aborting) => CampaignState::Aborting,
        Ok(Wire::Succeeded) => CampaignState::Succeeded,
        Ok(Wire::Aborted) => CampaignState::Aborted,
        Ok(Wire::DeadlineExceeded) => CampaignState::DeadlineExceeded,
        Ok(Wire::Unspecified) | Err(_) => {
            return Err(ConvertError::new("state", Reason::UnknownEnum(number)));
        }
    })
}

impl From<WaveCourse> for wire::campaign_course::Wave {
    fn from(wave: WaveCourse) -> Self {
        use wire::CampaignWaveState as Wire;
        let (state, soaks_until_ms) = match wave.state {
            WaveState::Pending => (Wire::Pending, 0),
            WaveState::Running => (Wire::Running, 0),
            WaveState::Soaking { until } => (Wire::Soaking, until.0),
            WaveState::AwaitingApproval => (Wire::AwaitingApproval, 0),
            WaveState::Succeeded => (Wire::Succeeded, 0),
            WaveState::Failed => (Wire::Failed, 0),
            WaveState::Skipped => (Wire::Skipped, 0),
        };
        Self {
            state: state.into(),
            soaks_until_ms,
            size: wave.size,
            started_at_ms: optional_time(wave.started_at),
            ended_at_ms: optional_time(wave.ended_at),
        }
    }
}

impl TryFrom<wire::campaign_course::Wave> for WaveCourse {
    type Error = ConvertError;

    fn try_from(wave: wire::campaign_course::Wave) -> Result<Self, ConvertError> {
        use wire::CampaignWaveState as Wire;
        let state = match Wire::try_from(wave.state) {
            Ok(Wire::Pending) => WaveState::Pending,
            Ok(Wire::Running) => WaveState::Running,
            Ok(Wire::Soaking) => WaveState::Soaking {
                until: time(wave.soaks_until_ms),
            },
            Ok(Wire::AwaitingApproval) => WaveState::AwaitingApproval,
            Ok(Wire::Succeeded) => WaveState::Succeeded,
            Ok(Wire::Failed) => WaveState::Failed,
            Ok(Wire::Skipped) => WaveState::Skipped,
            Ok(Wire::Unspecified) | Err(_) => {
                return Err(ConvertError::new("state", Reason::UnknownEnum(wave.state)));
            }
        };
        Ok(Self {
            state,
            size: wave.size,
            started_at: wave.started_at_ms.map(time),
            ended_at: wave.ended_at_ms.map(time),
        })
    }
}
