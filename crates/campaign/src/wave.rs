//! The life of a wave.

use device_state::Timestamp;
use device_state::campaign::{
    Campaign, CampaignState, Course, OnFailure, PauseReason, Promotion, WaveCourse, WaveState,
};

use crate::decide::{enter, members, steer};
use crate::schedule::{WindowState, window};
use crate::turn::Turn;
use crate::{Decision, ShardView, admit, judge, reach};

/// What comes next in a campaign that is neither at its beginning nor at its end.
pub(crate) fn advance(campaign: &Campaign, shards: &[ShardView], now: Timestamp) -> Vec<Decision> {
    let Some(turn) = Turn::of(campaign, shards) else {
        return vec![steer(campaign, |course| succeed(course, now))];
    };
    let round = Round {
        campaign,
        shards,
        turn: &turn,
        now,
    };
    let verdict = round.verdict();
    if let Err(reason) = verdict
        && campaign.plan.on_failure != OnFailure::Pause
    {
        return vec![round.fail(reason)];
    }
    let asked = CampaignState::Paused(PauseReason::Asked);
    let is_paused = campaign.control.paused;
    match campaign.course.state {
        // Also out of a pause that the campaign made by itself; so somebody says that it may go on.
        state if is_paused && state != asked => vec![enter(campaign, asked)],
        state if !is_paused && state == asked => vec![let_go(campaign)],
        CampaignState::Running => match verdict {
            Ok(()) if reach::is_unwell(campaign, shards) => {
                vec![enter(
                    campaign,
                    CampaignState::Paused(PauseReason::Unreachable),
                )]
            }
            Ok(()) => {
                let mut decisions = round.go_on();
                decisions.extend(reach::beginnings(campaign, shards));
                decisions
            }
            Err(reason) => vec![round.fail(reason)],
        },
        CampaignState::Paused(_) => round.stand_still(),
        _ => Vec::new(),
    }
}

/// Somebody lets it go on, and knows who is away.
fn let_go(campaign: &Campaign) -> Decision {
    steer(campaign, |course| {
        course.state = CampaignState::Running;
        if course.census > 0 {
            course.census = course.step;
        }
    })
}

/// A look at the wave whose turn it is.
struct Round<'a> {
    campaign: &'a Campaign,
    shards: &'a [ShardView],
    turn: &'a Turn<'a>,
    now: Timestamp,
}

impl Round<'_> {
    /// Of a wave that was not judged yet. One that failed and goes on nevertheless is not judged again.
    fn verdict(&self) -> Result<(), PauseReason> {
        match self.turn.course.state {
            WaveState::Running => judge::verdict(self.turn),
            _ => Ok(()),
        }
    }

    fn steer_wave(&self, change: impl FnOnce(&mut WaveCourse)) -> Decision {
        steer(self.campaign, |course| {
            change(&mut course.waves[self.turn.index]);
        })
    }

    fn fail(&self, reason: PauseReason) -> Decision {
        let state = match self.campaign.plan.on_failure {
            OnFailure::Pause => CampaignState::Paused(reason),
            OnFailure::Abort | OnFailure::Rollback => CampaignState::Aborting,
        };
        let ended_at = self.turn.is_over().then_some(self.now);
        steer(self.campaign, |course| {
            course.state = state;
            let wave = &mut course.waves[self.turn.index];
            wave.state = WaveState::Failed;
            wave.ended_at = wave.ended_at.or(ended_at);
        })
    }

    /// Nobody is admitted; but when the last device had its result is kept, as the soak begins there.
    fn stand_still(&self) -> Vec<Decision> {
        let wave = self.turn.course;
        let is_going = matches!(wave.state, WaveState::Running | WaveState::Failed);
        if !is_going || wave.ended_at.is_some() || !self.turn.is_over() {
            return Vec::new();
        }
        vec![self.steer_wave(|wave| wave.ended_at = Some(self.now))]
    }

    fn go_on(&self) -> Vec<Decision> {
        match self.turn.course.state {
            WaveState::Pending => self.begin(),
            WaveState::Running | WaveState::Failed if self.turn.is_over() => vec![self.settle()],
            WaveState::Running | WaveState::Failed => self.admit(),
            WaveState::Soaking { until } if self.now >= until => vec![self.promote(|_| {})],
            WaveState::AwaitingApproval if self.is_approved() => vec![self.promote(|_| {})],
            _ => Vec::new(),
        }
    }

    fn is_open(&self) -> bool {
        window(&self.campaign.plan.schedule, self.now) == WindowState::Open
    }

    fn begin(&self) -> Vec<Decision> {
        if !self.is_open() {
            return Vec::new();
        }
        let pool = self.turn.pool();
        let share = self.turn.plan.size.of(self.campaign.course.members);
        let begun = WaveCourse {
            state: WaveState::Running,
            size: if self.turn.is_last {
                pool
            } else {
                share.min(pool)
            },
            started_at: Some(self.now),
            ended_at: None,
        };
        vec![steer(self.campaign, |course| {
            course.started_at.get_or_insert(self.now);
            if self.campaign.plan.pause_when_unreachable.is_some() {
                course.census = course.step;
            }
            course.waves[self.turn.index] = begun;
        })]
    }

    fn admit(&self) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = self.grow().into_iter().collect();
        if self.is_open() {
            decisions.extend(admit::admissions(self.campaign, self.turn));
        }
        decisions
    }

    /// With who joined.
    fn grow(&self) -> Option<Decision> {
        let course = &self.campaign.course;
        let size = self.turn.pool().max(self.turn.course.size);
        let members = members(self.shards).max(course.members);
        let has_grown = size > self.turn.course.size || members > course.members;
        (self.turn.is_open_ended && has_grown).then(|| {
            steer(self.campaign, |course| {
                course.members = members;
                course.waves[self.turn.index].size = size;
            })
        })
    }

    /// Every device has a result.
    fn settle(&self) -> Decision {
        let ended_at = self.turn.course.ended_at.unwrap_or(self.now);
        // Fewer than it began with, if some were deleted before their turn.
        let size = self.turn.tally.admitted();
        let until = ended_at.saturating_add(self.turn.plan.soak);
        let ended = |wave: &mut WaveCourse| {
            wave.size = size;
            wave.ended_at = Some(ended_at);
        };
        if size == 0 || until <= self.now {
            return self.promote(ended);
        }
        self.steer_wave(|wave| {
            ended(wave);
            wave.state = WaveState::Soaking { until };
        })
    }

    /// The wave is good, and has soaked.
    fn promote(&self, change: impl FnOnce(&mut WaveCourse)) -> Decision {
        steer(self.campaign, |course| {
            let wave = &mut course.waves[self.turn.index];
            change(wave);
            if !self.is_approved() {
                wave.state = WaveState::AwaitingApproval;
                return;
            }
            wave.state = WaveState::Succeeded;
            if self.turn.is_last {
                succeed(course, self.now);
            }
        })
    }

    /// Whether the next wave may begin, as far as people are asked. Nothing comes after the last one.
    fn is_approved(&self) -> bool {
        let name = &self.campaign.control.approved_through;
        let mut later = self.campaign.plan.waves.iter().skip(self.turn.index);
        self.turn.is_last
            || self.turn.plan.promotion == Promotion::Automatic
            || later.any(|wave| wave.name == *name)
    }
}

fn succeed(course: &mut Course, now: Timestamp) {
    course.state = CampaignState::Succeeded;
    course.ended_at = Some(now);
}
