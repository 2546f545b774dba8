use campaign::decide;
use device_state::campaign::{Membership, Share, Tally};

use crate::rig::{NOW, admitted, begun, plan, settle, shard, tally, wave};

/// What may be admitted in a wave of 100 of 1000 members.
#[track_caller]
fn check(
    (of_wave, of_all): (Share, Option<Share>),
    shards: &[(u64, Tally)],
    expected: &[(u16, u8, u64)],
) {
    let mut first = wave("first", Share::Devices(100));
    first.max_concurrent = of_wave;
    let mut campaign = begun(plan(vec![first, wave("rest", Share::ALL)]), 1_000, 100);
    campaign.plan.max_unavailable = of_all;
    let views: Vec<_> = (0..)
        .zip(shards)
        .map(|(id, (waiting, tally))| shard(id, *waiting, vec![tally.clone()]))
        .collect();
    assert_eq!(admitted(&decide(&campaign, &views, NOW)), expected);
}

#[test]
fn the_limit_is_divided_over_the_shards_that_have_somebody() {
    let none = Tally::default;
    let ten = (Share::Devices(10), None);
    check(
        ten,
        &[(500, none()), (500, none())],
        &[(0, 0, 5), (1, 0, 5)],
    );
    check(ten, &[(2, none()), (998, none())], &[(0, 0, 2), (1, 0, 8)]);
    check(ten, &[(0, none()), (1_000, none())], &[(1, 0, 10)]);
    // Those on their way count, and what is over makes room.
    check(
        ten,
        &[(490, tally(5, 5, 0)), (490, tally(3, 7, 0))],
        &[(1, 0, 12)],
    );
    // The tighter of the two holds.
    check(
        (Share::ALL, Some(Share::Millionths(4_000))),
        &[(1_000, none())],
        &[(0, 0, 4)],
    );
    check(
        (Share::Millionths(30_000), Some(Share::ALL)),
        &[(1_000, none())],
        &[(0, 0, 3)],
    );
    // No more than the wave has.
    check(
        (Share::ALL, None),
        &[(400, none()), (600, none())],
        &[(0, 0, 50), (1, 0, 50)],
    );
    check(
        (Share::ALL, None),
        &[(400, tally(0, 50, 0)), (500, tally(2, 47, 0))],
        &[(1, 0, 50)],
    );
}

#[test]
fn a_shard_that_is_done_leaves_its_part_to_the_others() {
    let three = (Share::Devices(3), None);
    let done = tally(0, 50, 0);
    check(three, &[(500, done), (490, tally(1, 9, 0))], &[(1, 0, 12)]);
    // What one has still on its way is not given away.
    check(
        three,
        &[(500, tally(1, 49, 0)), (490, tally(1, 9, 0))],
        &[(1, 0, 11)],
    );
}

#[test]
fn what_the_views_show_on_its_way_is_never_given_out_again() {
    // A view of shard 1 from before its last admission, and one of shard 0 from long before.
    let three = (Share::Devices(3), None);
    check(
        three,
        &[(490, tally(3, 0, 0)), (500, Tally::default())],
        &[],
    );
}

#[test]
fn an_open_ended_wave_has_fixed_parts_as_long_as_every_shard_has_one() {
    let mut last = wave("all", Share::ALL);
    last.max_concurrent = Share::Devices(4);
    let mut plan = plan(vec![last]);
    plan.membership = Membership::Dynamic;
    let mut campaign = begun(plan, 100, 100);
    let shards = [shard(0, 100, vec![]), shard(1, 0, vec![])];
    assert_eq!(admitted(&settle(&mut campaign, &shards, NOW)), [(0, 0, 2)]);
    campaign.plan.waves[0].max_concurrent = Share::Devices(1);
    let shards = [shard(0, 0, vec![]), shard(1, 100, vec![])];
    assert_eq!(admitted(&settle(&mut campaign, &shards, NOW)), [(1, 0, 1)]);
}

#[test]
fn another_seed_begins_in_another_shard() {
    let first_of = |seed: &str| {
        let mut one = wave("one", Share::Devices(1));
        one.max_concurrent = Share::Devices(1);
        let mut campaign = begun(plan(vec![one, wave("rest", Share::ALL)]), 100, 1);
        campaign.plan.seed = seed.into();
        let shards: Vec<_> = (0..10).map(|id| shard(id, 10, vec![])).collect();
        let reversed: Vec<_> = shards.iter().rev().cloned().collect();
        let admissions = decide(&campaign, &shards, NOW);
        assert_eq!(admissions, decide(&campaign, &reversed, NOW));
        admitted(&admissions)[0].0
    };
    let mut shards: Vec<_> = (0..40).map(|seed| first_of(&seed.to_string())).collect();
    shards.sort_unstable();
    shards.dedup();
    assert!(shards.len() > 5, "{shards:?}");
}

#[test]
fn what_another_campaign_holds_needs_no_part_of_the_limit() {
    let mut all = wave("all", Share::ALL);
    all.max_concurrent = Share::Devices(4);
    let campaign = begun(plan(vec![all]), 8, 8);
    let mut shards = [shard(0, 4, vec![]), shard(1, 4, vec![])];
    shards[0].common.held = 4;
    assert_eq!(admitted(&decide(&campaign, &shards, NOW)), [(1, 0, 4)]);
    shards[0].common.held = 3;
    assert_eq!(
        admitted(&decide(&campaign, &shards, NOW)),
        [(0, 0, 1), (1, 0, 3)]
    );
}
