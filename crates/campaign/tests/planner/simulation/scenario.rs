//! What is drawn by lot.

use std::time::Duration;

use device_state::campaign::{
    FailureThreshold, Membership, OnFailure, Promotion, Schedule, Share, Wave, Window,
};
use proptest::option;
use proptest::prelude::*;

use super::rules::Limit;
use super::shard::{Outcome, Shard};
use super::world::World;
use crate::rig::{campaign, plan, selector, wave};

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    waves: Vec<Wave>,
    max_unavailable: Option<Share>,
    on_failure: OnFailure,
    schedule: Schedule,
    membership: Membership,
    seed: String,
    /// Of the devices, by shard; beyond the waves for none.
    lanes: Vec<Vec<u8>>,
    /// Of devices, once nothing goes wrong any more.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Scenario {
    pub(crate) fn world(&self, limit: Limit) -> World {
        let mut plan = plan(self.waves.clone());
        plan.max_unavailable = self.max_unavailable;
        plan.on_failure = self.on_failure;
        plan.schedule = self.schedule.clone();
        plan.membership = self.membership;
        plan.seed.clone_from(&self.seed);
        let lane = |lane: &u8| {
            let wave = self.waves.get(usize::from(*lane))?;
            wave.selector.as_ref().map(|_| *lane)
        };
        let shards = (0..).zip(&self.lanes).map(|(id, lanes)| {
            let lanes: Vec<_> = lanes.iter().map(lane).collect();
            Shard::new(id, self.waves.len(), &lanes)
        });
        World::new(campaign(plan), shards.collect(), limit)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Decide {
        row_age: usize,
        ages: Vec<usize>,
    },
    Deliver {
        which: usize,
        keep: bool,
    },
    Lose {
        which: usize,
    },
    /// One planner that sees how things are, and whose decisions arrive at once.
    Work,
    End {
        shard: usize,
        device: usize,
        outcome: Outcome,
    },
    Pass {
        seconds: u64,
    },
    Pause,
    LetGo,
    Approve {
        wave: usize,
    },
    Abort,
    Enrol {
        shard: usize,
    },
    Delete {
        shard: usize,
        device: usize,
    },
    Join {
        shard: usize,
        wave: usize,
    },
}

/// What happens besides devices having results and people changing their mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    None,
    OldViewsAndDeleted,
    /// With views that are new.
    JoinedAndDeleted,
}

impl Disturbance {
    fn allows(self, event: &Event) -> bool {
        match event {
            Event::Decide { .. } | Event::Deliver { .. } | Event::Lose { .. } => {
                self != Self::JoinedAndDeleted
            }
            Event::Delete { .. } => self != Self::None,
            Event::Join { .. } => self == Self::JoinedAndDeleted,
            _ => true,
        }
    }
}

pub(crate) fn events(disturbance: Disturbance) -> impl Strategy<Value = Vec<Event>> {
    let allowed = move |event: Event| Some(event).filter(|event| disturbance.allows(event));
    let one = any_event().prop_map(move |event| allowed(event).unwrap_or(Event::Work));
    prop::collection::vec(one, 0..200)
}

fn any_event() -> impl Strategy<Value = Event> {
    let number = || 0_usize..1_000;
    let decide = (0_usize..3, prop::collection::vec(0_usize..12, 1..5));
    let end = (number(), number(), outcome());
    prop_oneof![
        8 => decide.prop_map(|(row_age, ages)| Event::Decide { row_age, ages }),
        12 => (number(), any::<bool>()).prop_map(|(which, keep)| Event::Deliver { which, keep }),
        2 => number().prop_map(|which| Event::Lose { which }),
        4 => Just(Event::Work),
        12 => end.prop_map(|(shard, device, outcome)| Event::End { shard, device, outcome }),
        2 => (1_u64..20_000).prop_map(|seconds| Event::Pass { seconds }),
        1 => prop_oneof![Just(Event::Pause), Just(Event::LetGo), Just(Event::LetGo)],
        1 => number().prop_map(|wave| Event::Approve { wave }),
        4 => number().prop_map(|shard| Event::Enrol { shard }),
        2 => (number(), number()).prop_map(|(shard, device)| Event::Delete { shard, device }),
        4 => (number(), number()).prop_map(|(shard, wave)| Event::Join { shard, wave }),
        1 => (0_u8..8).prop_map(|chance| if chance == 0 { Event::Abort } else { Event::Work }),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        8 => Just(Outcome::Succeeded),
        2 => Just(Outcome::Failed),
        1 => Just(Outcome::Expired),
        1 => Just(Outcome::Skipped),
    ]
}

fn share() -> impl Strategy<Value = Share> {
    prop_oneof![
        (1_u64..6).prop_map(Share::Devices),
        (1_u32..=1_000_000).prop_map(Share::Millionths),
    ]
}

prop_compose! {
    fn any_wave()(
        size in share(),
        has_lane in any::<bool>(),
        max_concurrent in share(),
        success_threshold in prop_oneof![Just(0), Just(500_000_u32), Just(900_000)],
        devices in option::of(1_u64..4),
        millionths in option::of(0_u32..600_000),
        minimum_results in 0_u64..5,
        soak in prop_oneof![Just(0_u64), 1_u64..50_000],
        is_manual in any::<bool>(),
    ) -> Wave {
        Wave {
            selector: has_lane.then(selector),
            max_concurrent,
            success_threshold,
            failure_threshold: FailureThreshold { devices, millionths },
            minimum_results,
            soak: Duration::from_secs(soak),
            promotion: if is_manual { Promotion::Manual } else { Promotion::Automatic },
            ..wave("", size)
        }
    }
}

prop_compose! {
    fn schedule()(
        has_window in any::<bool>(),
        start in 0_u16..1_440,
        end in 0_u16..1_440,
        deadline in option::weighted(0.3, 1_u64..400_000),
    ) -> Schedule {
        let window = Window { days: 0b101_1111, start, end, time_zone: "Europe/Berlin".into() };
        Schedule {
            not_before: None,
            windows: has_window.then_some(window).into_iter().collect(),
            deadline: deadline.map(Duration::from_secs),
        }
    }
}

prop_compose! {
    pub(crate) fn scenario(membership: Membership)(
        mut waves in prop::collection::vec(any_wave(), 1..5),
        max_unavailable in option::of(share()),
        on_failure in prop_oneof![Just(OnFailure::Pause), Just(OnFailure::Abort), Just(OnFailure::Rollback)],
        schedule in schedule(),
        seed in "[a-c]",
        lanes in prop::collection::vec(prop::collection::vec(0_u8..6, 0..9), 1..6),
        outcomes in prop::collection::vec(outcome(), 1..6),
    ) -> Scenario {
        for (index, wave) in waves.iter_mut().enumerate() {
            wave.name = format!("wave-{index}");
        }
        Scenario { waves, max_unavailable, on_failure, schedule, membership, seed, lanes, outcomes }
    }
}
