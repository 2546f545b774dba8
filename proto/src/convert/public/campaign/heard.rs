//! What was told of a campaign, for who asked.

use device_state::campaign::{
    Campaign, CampaignId, CampaignState, Control, Course, PauseReason, Tally, WaveCourse, WaveState,
};
use device_state::{Namespace, Timestamp};

use super::{checked_name, moment, plan, unknown};
use crate::convert::list::each;
use crate::convert::{ConvertError, Reason, Within, required};
use crate::drover::v1 as public;
use crate::drover::v1::campaign::wave_status::State as PublicWaveState;
use crate::drover::v1::campaign::{State, Stop, WaveStatus};

impl From<Campaign> for public::CreateCampaignRequest {
    fn from(campaign: Campaign) -> Self {
        Self {
            campaign: Some(public::Campaign {
                name: campaign.name,
                plan: Some(campaign.plan.into()),
                owner: campaign.owner,
                paused: campaign.control.paused,
                approved_through: campaign.control.approved_through,
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// A campaign of the namespace as a state node told of it. One of a release before does not tell what stopped a campaign:
/// that counts as too many failures.
pub fn heard_campaign(
    namespace: &Namespace,
    told: public::Campaign,
) -> Result<Campaign, ConvertError> {
    checked_name("name", &told.name)?;
    let state = state(told.state(), told.stop())?;
    let plan = required("plan", told.plan).and_then(|told_plan| plan(told_plan, &told.name));
    let optional =
        |field, at: Option<prost_types::Timestamp>| at.map(|at| moment(field, at)).transpose();
    Ok(Campaign {
        id: id(&told.id)?,
        namespace: namespace.clone(),
        plan: plan.within("plan")?,
        control: Control {
            paused: told.paused,
            approved_through: told.approved_through,
            aborted: told.aborted,
        },
        course: Course {
            step: 0,
            state,
            members: told.members,
            waves: each("waves", told.waves, Campaign::MAX_WAVES, wave)?,
            started_at: optional("start_time", told.start_time)?,
            ended_at: optional("end_time", told.end_time)?,
            census: 0,
        },
        created_at: optional("create_time", told.create_time)?.unwrap_or(Timestamp(0)),
        owner: told.owner,
        name: told.name,
    })
}

/// How many devices are where. What is told as one number is one here, too.
pub fn heard_counts(told: &public::CampaignCounts) -> Tally {
    Tally {
        waiting: told.waiting,
        scheduled: told.scheduled,
        downloading: told.downloading,
        downloaded: told.downloaded,
        updating: told.updating,
        retrying: told.retrying,
        succeeded: told.succeeded,
        failed: told.failed,
        expired: told.expired,
        skipped: told.skipped,
        cancelled: told.cancelled,
        ..Tally::default()
    }
}

fn id(text: &str) -> Result<CampaignId, ConvertError> {
    let digits = text.strip_prefix("c-");
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let wrong = || ConvertError::new("id", Reason::Length(text.len()));
    number.map(CampaignId).ok_or_else(wrong)
}

fn state(told: State, stop: Stop) -> Result<CampaignState, ConvertError> {
    Ok(match told {
        State::Unspecified => return Err(unknown("state", told.into())),
        State::Enrolling => CampaignState::Enrolling,
        State::Running => CampaignState::Running,
        State::Paused => CampaignState::Paused(PauseReason::Asked),
        State::Stopped => CampaignState::Paused(match stop {
            Stop::Unspecified | Stop::Failures => PauseReason::FailureThreshold,
            Stop::Successes => PauseReason::SuccessThreshold,
            Stop::Unreachable => PauseReason::Unreachable,
        }),
        State::Aborting => CampaignState::Aborting,
        State::Succeeded => CampaignState::Succeeded,
        State::Aborted => CampaignState::Aborted,
        State::DeadlineExceeded => CampaignState::DeadlineExceeded,
    })
}

fn wave(told: WaveStatus) -> Result<WaveCourse, ConvertError> {
    let optional =
        |field, at: Option<prost_types::Timestamp>| at.map(|at| moment(field, at)).transpose();
    let state = match told.state() {
        PublicWaveState::Unspecified => return Err(unknown("state", told.state)),
        PublicWaveState::Pending => WaveState::Pending,
        PublicWaveState::Running => WaveState::Running,
        PublicWaveState::Soaking => WaveState::Soaking {
            until: optional("soak_time", told.soak_time)?.unwrap_or(Timestamp(0)),
        },
        PublicWaveState::AwaitingApproval => WaveState::AwaitingApproval,
        PublicWaveState::Succeeded => WaveState::Succeeded,
        PublicWaveState::Failed => WaveState::Failed,
        PublicWaveState::Skipped => WaveState::Skipped,
    };
    Ok(WaveCourse {
        state,
        size: told.devices,
        started_at: optional("start_time", told.start_time)?,
        ended_at: optional("end_time", told.end_time)?,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use device_state::campaign::Reach;

    use super::*;
    use crate::convert::public::{InNamespace, Standing};

    fn asked() -> Campaign {
        let campaign = public::Campaign {
            name: "fw".to_owned(),
            owner: "somebody".to_owned(),
            approved_through: "canary".to_owned(),
            plan: Some(public::CampaignPlan {
                image: Some(public::CampaignImage {
                    name: "m200".to_owned(),
                    version: "2".to_owned(),
                    uri: "coap://a/b".to_owned(),
                    object: "/9/2".to_owned(),
                    minimum_version: "1.0.0".to_owned(),
                    maximum_version: String::new(),
                    hardware_version: "B".to_owned(),
                }),
                filter: "labels.site = \"x\"".to_owned(),
                pause_when_unreachable: "20%".to_owned(),
                begin_every: Some(prost_types::Duration {
                    seconds: 0,
                    nanos: 500_000_000,
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = public::CreateCampaignRequest {
            campaign: Some(campaign),
            ..Default::default()
        };
        let namespace = Namespace::new("acme").unwrap();
        Campaign::try_from(InNamespace { namespace, request }).unwrap()
    }

    #[test]
    fn what_is_told_is_understood_as_it_was() {
        let mut campaign = asked();
        campaign.id = CampaignId(0x1f);
        campaign.created_at = Timestamp(5_000);
        campaign.course = Course {
            step: 0,
            state: CampaignState::Running,
            members: 7,
            waves: vec![WaveCourse {
                state: WaveState::Soaking {
                    until: Timestamp(9_000),
                },
                size: 7,
                started_at: Some(Timestamp(6_000)),
                ended_at: Some(Timestamp(8_000)),
            }],
            started_at: Some(Timestamp(6_000)),
            ended_at: None,
            census: 0,
        };
        let told = public::Campaign::from(Standing {
            campaign: campaign.clone(),
            waves: vec![Tally::default()],
            common: Tally::default(),
            window: None,
            reach: Reach::default(),
        });
        assert_eq!(heard_campaign(&campaign.namespace, told), Ok(campaign));
    }

    #[test]
    fn an_abort_is_told_from_the_moment_on_at_which_it_was_said() {
        for (state, told) in [
            (CampaignState::Enrolling, State::Aborting),
            (CampaignState::Running, State::Aborting),
            (CampaignState::Paused(PauseReason::Asked), State::Aborting),
            (
                CampaignState::Paused(PauseReason::FailureThreshold),
                State::Aborting,
            ),
            (CampaignState::Aborting, State::Aborting),
            (CampaignState::Aborted, State::Aborted),
            // It came too late.
            (CampaignState::Succeeded, State::Succeeded),
        ] {
            let mut campaign = asked();
            campaign.control.aborted = true;
            campaign.course.state = state;
            let said = public::Campaign::from(Standing {
                campaign,
                waves: Vec::new(),
                common: Tally::default(),
                window: None,
                reach: Reach::default(),
            });
            assert_eq!(said.state(), told, "{state:?}");
            assert!(said.aborted);
            let is_told = said.reason == "somebody aborted it";
            assert_eq!(is_told, told != State::Succeeded);
        }
    }

    #[test]
    fn what_stopped_a_campaign_is_told() {
        for reason in [
            PauseReason::FailureThreshold,
            PauseReason::SuccessThreshold,
            PauseReason::Unreachable,
        ] {
            let mut campaign = asked();
            campaign.course.state = CampaignState::Paused(reason);
            let namespace = campaign.namespace.clone();
            let told = public::Campaign::from(Standing {
                campaign,
                waves: Vec::new(),
                common: Tally::default(),
                window: None,
                reach: Reach {
                    counted: 10,
                    lost: 3,
                    ..Reach::default()
                },
            });
            let is_lost =
                told.reason == "too many devices are not registered any more: 3 of 10 now";
            assert_eq!(is_lost, reason == PauseReason::Unreachable);
            let heard = heard_campaign(&namespace, told).unwrap();
            assert_eq!(heard.course.state, CampaignState::Paused(reason));
        }
    }

    #[test]
    fn what_is_asked_for_arrives() {
        let campaign = asked();
        let request = public::CreateCampaignRequest::from(campaign.clone());
        let namespace = campaign.namespace.clone();
        let arrived = Campaign::try_from(InNamespace { namespace, request });
        assert_eq!(arrived, Ok(campaign));
    }

    #[test]
    fn a_state_that_is_not_known_is_refused() {
        let campaign = asked();
        let told = public::Campaign {
            name: campaign.name.clone(),
            id: "c-1".to_owned(),
            plan: Some(campaign.plan.clone().into()),
            ..Default::default()
        };
        assert!(heard_campaign(&campaign.namespace, told).is_err());
    }
}
