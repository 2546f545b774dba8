use std::time::Duration;

use campaign::{Decision, ShardView, Throttle, decide};
use device_state::campaign::{Campaign, Share};
use device_state::{ShardId, Timestamp};
use proptest::prelude::*;

use crate::rig::{NOW, begun, plan, shard, tally, wave};

const ROUND: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);
/// In each of the shards.
const DEVICES: u64 = 100;

/// A wave of everybody, in shards that do at once what they are told, but for one.
struct Fleet {
    campaign: Campaign,
    views: Vec<ShardView>,
    throttle: Throttle,
    every: Duration,
    now: Timestamp,
    /// It has no leader: it hears nothing.
    deaf: Option<ShardId>,
}

impl Fleet {
    fn new(shards: u16, every: Duration) -> Self {
        let mut all = wave("all", Share::ALL);
        all.max_concurrent = Share::ALL;
        let members = u64::from(shards) * DEVICES;
        Self {
            campaign: begun(plan(vec![all]), members, members),
            views: (0..shards)
                .map(|id| shard(id, DEVICES, vec![tally(0, 0, 0)]))
                .collect(),
            throttle: Throttle::default(),
            every,
            now: NOW,
            deaf: None,
        }
    }

    fn round(&mut self) -> Vec<Decision> {
        let decisions = decide(&self.campaign, &self.views, self.now);
        let (views, now) = (&self.views, self.now);
        let carried_out = self.throttle.hold_back(self.every, decisions, views, now);
        for decision in &carried_out {
            let Decision::Admit { shard, until, .. } = decision else {
                panic!("{decision:?}");
            };
            if self.deaf == Some(*shard) {
                continue;
            }
            let view = self.views.iter_mut().find(|view| view.shard == *shard);
            let view = view.expect("a shard of the campaign");
            let more = until - view.waves[0].updating;
            view.waves[0].updating = *until;
            view.common.waiting -= more;
        }
        carried_out
    }

    /// One round after the other, the first one now.
    fn rounds(&mut self, count: u32) -> u64 {
        for _ in 0..count {
            self.round();
            self.now = self.now.saturating_add(ROUND);
        }
        self.begun()
    }

    fn begun(&self) -> u64 {
        self.views.iter().map(|view| view.waves[0].updating).sum()
    }
}

#[test]
fn devices_begin_as_fast_as_the_plan_says() {
    for (every, rounds, begun) in [
        (SECOND, 1, 1),
        (SECOND, 2, 1),
        (SECOND, 3, 2),
        (SECOND, 121, 61),
        (Duration::from_millis(100), 21, 101),
        // Slower than anybody looks, and not a multiple of a round.
        (Duration::from_millis(7_300), 121, 9),
        (Duration::from_millis(10_100), 1_011, 51),
        // A fleet of two hundred at once.
        (Duration::from_micros(1), 2, 200),
    ] {
        let mut fleet = Fleet::new(2, every);
        assert_eq!(fleet.rounds(rounds), begun, "{every:?}, {rounds} rounds");
    }
}

#[test]
fn what_a_pause_has_held_up_does_not_come_at_once() {
    let hour = Duration::from_secs(3_600);
    for (every, at_once) in [(SECOND, 10), (Duration::from_secs(60), 1)] {
        let mut fleet = Fleet::new(2, every);
        let before = fleet.rounds(21);
        fleet.now = fleet.now.saturating_add(hour);
        assert_eq!(fleet.rounds(1) - before, at_once, "{every:?}");
        assert_eq!(
            fleet.rounds(2) - before,
            at_once + u64::from(every == SECOND)
        );
    }
}

#[test]
fn a_clock_that_goes_back_stops_nobody_for_long() {
    let mut fleet = Fleet::new(1, SECOND);
    fleet.rounds(1);
    fleet.now = Timestamp(1);
    assert_eq!(fleet.rounds(3), 2);
}

#[test]
fn a_shard_without_a_leader_holds_up_no_other() {
    let mut fleet = Fleet::new(3, SECOND);
    fleet.deaf = Some(ShardId(1));
    let begun = fleet.rounds(121);
    assert!((51..=61).contains(&begun), "{begun} in a minute");
    // What it was given meanwhile comes at once, as after a pause.
    fleet.deaf = None;
    let more = fleet.rounds(1) - begun;
    assert!((1..=11).contains(&more), "{more} at once");
}

#[test]
fn a_pause_is_one_though_it_is_looked_at_all_the_time() {
    let mut fleet = Fleet::new(2, SECOND);
    let before = fleet.rounds(21);
    for _ in 0..7_200 {
        let held = fleet
            .throttle
            .hold_back(SECOND, Vec::new(), &fleet.views, fleet.now);
        assert_eq!(held, []);
        fleet.now = fleet.now.saturating_add(ROUND);
    }
    assert_eq!(fleet.rounds(1) - before, 10);
}

#[test]
fn each_shard_has_its_turn() {
    let mut fleet = Fleet::new(3, SECOND);
    fleet.rounds(121);
    let begun: Vec<u64> = fleet
        .views
        .iter()
        .map(|view| view.waves[0].updating)
        .collect();
    assert_eq!(begun.iter().sum::<u64>(), 61);
    assert!(
        begun.iter().all(|count| (20..=21).contains(count)),
        "{begun:?}"
    );
}

#[test]
fn another_wave_goes_on_at_the_same_pace() {
    let views: Vec<ShardView> = vec![shard(0, 10, vec![tally(0, 0, 0), tally(0, 0, 0)])];
    let admit = |wave, until| {
        vec![Decision::Admit {
            shard: ShardId(0),
            wave,
            until,
        }]
    };
    let mut throttle = Throttle::default();
    let now = |seconds| NOW.saturating_add(SECOND * seconds);
    let mut held = |decisions, at| throttle.hold_back(SECOND, decisions, &views, now(at));
    assert_eq!(held(admit(0, 5), 0), admit(0, 1));
    assert_eq!(held(admit(1, 5), 0), []);
    assert_eq!(held(admit(1, 5), 2), admit(1, 2));
}

#[test]
fn what_begins_nobody_is_carried_out_at_once() {
    let views: Vec<ShardView> = vec![shard(0, 10, vec![tally(0, 0, 0)])];
    let mut throttle = Throttle::default();
    let count = Decision::Count { shard: ShardId(0) };
    for _ in 0..3 {
        let held = throttle.hold_back(SECOND, vec![count.clone()], &views, NOW);
        assert_eq!(held, std::slice::from_ref(&count));
    }
}

proptest! {
    /// Whatever is seen; each planner that takes over lets in one more.
    #[test]
    fn nobody_begins_too_soon(
        every in 1_u64..5_000,
        steps in proptest::collection::vec(
            (0_u64..3_000, 0_u64..40, 0_u16..3, 0_u64..20, proptest::bool::weighted(0.1)),
            1..60,
        ),
    ) {
        let every = Duration::from_millis(every);
        let mut throttle = Throttle::default();
        let mut views: Vec<ShardView> = (0..3).map(|id| shard(id, 50, vec![tally(0, 0, 0)])).collect();
        let mut told = [0_u64; 3];
        let (mut passed, mut planners) = (0, 1);
        for (wait, until, id, seen, takes_over) in steps {
            passed += wait;
            if takes_over {
                throttle = Throttle::default();
                planners += 1;
            }
            let now = NOW.saturating_add(Duration::from_millis(passed));
            let wished = vec![Decision::Admit { shard: ShardId(id), wave: 0, until }];
            for decision in throttle.hold_back(every, wished, &views, now) {
                let Decision::Admit { shard, until, .. } = decision else { panic!("{decision:?}") };
                let told = &mut told[usize::from(shard.0)];
                *told = until.max(*told);
            }
            // The view shows some of it now.
            let tally = &mut views[usize::from(id)].waves[0];
            tally.updating = tally.updating.max(seen.min(told[usize::from(id)]));
            let may_have: u128 = planners + u128::from(passed) * 1_000_000 / every.as_nanos();
            prop_assert!(u128::from(told.iter().sum::<u64>()) <= may_have, "{told:?} of {may_have}");
        }
    }
}
