//! The feed and its bound.

use device_state::limit::{FEED_SLACK, FEED_SLACK_BYTES, MAX_FEED_BYTES, MAX_FEED_ROWS};
use device_state::query::{self, FeedPage, FeedPosition};
use device_state::{
    Command, Effect, Envelope, FeedEntry, Outcome, Revision, ValueOrigin, apply_entry, invariant,
};
use lwm2m::{Path, Value};

use crate::world::{SHARD, UTC_OFFSET, World, endpoint, id, register, registration, update};

fn entries(world: &World, position: FeedPosition, limit: usize) -> Vec<FeedEntry> {
    match query::feed(&world.tables, position, limit) {
        FeedPage::Entries(entries) => entries,
        FeedPage::Compacted { floor } => panic!("compacted below {floor:?}"),
    }
}

#[test]
fn the_feed_is_read_in_pages_without_gap_or_repetition() {
    let mut world = World::registered("meter");
    world.set_desired(
        "meter",
        1,
        &[(UTC_OFFSET, "Z"), (crate::world::BATTERY, "1")],
    );
    world.run(update("meter", 1));
    let all = entries(&world, FeedPosition::START, 100);
    let places: Vec<_> = all
        .iter()
        .map(|entry| (entry.revision.0, entry.index))
        .collect();
    assert_eq!(places, [(1, 0), (2, 0), (2, 1), (3, 0)]);
    let mut paged = Vec::new();
    let mut position = FeedPosition::START;
    while let [entry] = &entries(&world, position, 1)[..] {
        position = FeedPosition::of(entry);
        paged.push(entry.clone());
    }
    assert_eq!(paged, all);
    assert_eq!(
        entries(&world, FeedPosition::after(Revision(2)), 100),
        all[3..]
    );
}

#[test]
fn the_commands_of_one_entry_share_a_revision() {
    let mut world = World::new();
    let envelope = |name, random| Envelope {
        request_id: None,
        leader_time: world.now,
        command: register(registration(name, random)),
    };
    let envelopes = [envelope("a", 1), envelope("b", 2)];
    let applied = apply_entry(&mut world.tables, SHARD, Revision(9), &envelopes);
    assert_eq!(
        applied
            .iter()
            .map(|applied| applied.next_index)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let places: Vec<_> = entries(&world, FeedPosition::START, 9)
        .iter()
        .map(|entry| (entry.revision.0, entry.index))
        .collect();
    assert_eq!(places, [(9, 0), (9, 1)]);
}

#[test]
fn a_watcher_that_fell_behind_is_told_so() {
    let mut world = World::registered("meter");
    for _ in 0..MAX_FEED_ROWS + FEED_SLACK {
        world.submit_unchecked(None, update("meter", 1));
    }
    invariant::check(&world.tables).unwrap();
    let counters = query::counters(&world.tables);
    assert_eq!(counters.feed_rows, MAX_FEED_ROWS);
    let floor = counters.feed_floor;
    assert_eq!(floor, Revision(FEED_SLACK + 2));
    assert_eq!(
        query::feed(&world.tables, FeedPosition::START, 1),
        FeedPage::Compacted { floor }
    );
    let lost = FeedPosition {
        revision: Revision(floor.0 - 1),
        index: 0,
    };
    assert_eq!(
        query::feed(&world.tables, lost, 1),
        FeedPage::Compacted { floor }
    );
    assert_eq!(
        entries(&world, FeedPosition::after(Revision(floor.0 - 1)), 1)[0].revision,
        floor
    );
}

#[test]
fn a_comparison_of_the_replicas_changes_no_row() {
    let mut world = World::registered("meter");
    let before = world.tables.clone();
    assert_eq!(world.run(Command::CompareRows), Outcome::Done);
    assert_eq!(world.effects, [Effect::RowsToCompare]);
    assert_eq!(world.tables, before);
}

#[test]
fn the_feed_is_bounded_in_bytes_too() {
    let mut world = World::registered("meter");
    let large = 60 << 10;
    let report = |world: &mut World| {
        let value = Value::Opaque(vec![7; large]);
        let command = Command::RecordValues {
            endpoint: endpoint("meter"),
            registration: id(1),
            child: None,
            origin: ValueOrigin::Send,
            values: vec![(Path::Resource(19, 0, 0), value, world.now)],
        };
        world.submit_unchecked(None, command);
    };
    let fit = MAX_FEED_BYTES / large as u64;
    for _ in 0..fit + 100 {
        report(&mut world);
    }
    invariant::check(&world.tables).unwrap();
    let counters = query::counters(&world.tables);
    assert!(
        counters.feed_bytes <= MAX_FEED_BYTES + FEED_SLACK_BYTES,
        "{counters:?}"
    );
    assert!(counters.feed_rows <= fit + FEED_SLACK, "{counters:?}");
    assert!(counters.feed_rows >= fit - 20, "{counters:?}");
    let first = entries(
        &world,
        FeedPosition::after(Revision(counters.feed_floor.0 - 1)),
        1,
    );
    assert_eq!(first[0].revision, counters.feed_floor);
}
