//! Members that come and go, in any order with whatever else happens: the counts are the rows, which `World` checks after
//! every command, and whoever is gone is waited for no more.

use std::time::Duration;

use device_state::campaign::{
    CampaignId, Membership, Part, Phase, Reach, SkipReason, Sweep, Tally,
};
use device_state::command::{Live, Missing};
use device_state::{Command, Namespace, Outcome, query};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::control::raise;
use super::gadget::Gadget;
use super::{ID, admit, begun, named, part, phase, tally};
use crate::metadata::label;
use crate::world::{World, endpoint, id, identity, register, registration};

const OTHER: CampaignId = CampaignId(8);
const NAMES: [&str; 4] = ["a", "b", "x", "y"];

/// Its first wave is of those whose name begins with an x.
fn laned(id: CampaignId, membership: Membership) -> Part {
    Part {
        membership,
        reach: Some(Reach::default()),
        wave_selectors: vec![Some(named("x")), None, None],
        ..part(id)
    }
}

fn forget(world: &mut World, name: &str) -> Outcome {
    world.run(Command::Forget {
        endpoint: endpoint(name),
        live: Live::Deregistered,
        missing: Missing::Allowed,
    })
}

#[test]
fn a_device_that_is_deleted_is_waited_for_no_more() {
    let mut world = begun(laned(ID, Membership::Snapshot), &["a", "x1", "x2"]);
    raise(&mut world);
    forget(&mut world, "x1");
    assert_eq!(phase(&world, "x1"), Phase::Skipped(SkipReason::Forgotten));
    // It had no turn in the wave, which is to have two devices nevertheless.
    assert_eq!((tally(&world, 0).waiting, tally(&world, 0).ended()), (1, 0));
    assert_eq!(tally(&world, Tally::COMMON).skipped, 1);
    admit(&mut world, ID, 0, 1);
    assert!(phase(&world, "x2").is_active());
}

#[test]
fn a_device_of_which_nothing_was_left_can_be_deleted_from_a_campaign() {
    let mut world = begun(part(ID), &["a"]);
    raise(&mut world);
    // Its registration ends, and nothing else is known of it.
    world.advance(Duration::from_hours(24));
    world.expire();
    assert!(!query::is_known(&world.tables, &endpoint("a")));
    assert_eq!(phase(&world, "a"), Phase::Waiting);
    assert_eq!(forget(&mut world, "a"), Outcome::Done);
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::Forgotten));
}

#[test]
fn who_was_deleted_and_comes_back_is_counted_once() {
    let mut world = begun(laned(ID, Membership::Dynamic), &["a", "x1"]);
    raise(&mut world);
    for name in ["a", "x1"] {
        forget(&mut world, name);
        world.register(name, 9);
        assert_eq!(phase(&world, name), Phase::Skipped(SkipReason::Forgotten));
    }
    let common = tally(&world, Tally::COMMON);
    assert_eq!((common.skipped, common.waiting), (2, 0));
    assert_eq!(tally(&world, 0), Tally::default());
}

/// A shard with so many devices, all of them in both campaigns.
fn crowded(count: usize) -> (World, Vec<String>) {
    let mut world = World::new();
    raise(&mut world);
    let names: Vec<String> = (0..count).map(|number| format!("d{number}")).collect();
    for (random, name) in names.iter().enumerate() {
        let registration = registration(name, random as u64);
        world.submit_unchecked(None, register(registration));
    }
    for id in [OTHER, ID] {
        let part = Box::new(part(id));
        world.run(Command::OpenCampaign { part });
        world.run(Command::EnrolDevices { id, limit: 10_000 });
    }
    (world, names)
}

#[test]
fn devices_of_another_campaign_do_not_keep_those_behind_them_back() {
    // More than one command looks at; both campaigns take the devices in the same order.
    let (mut world, names) = crowded(1_100);
    for _ in 0..5 {
        admit(&mut world, OTHER, 0, 1_050);
    }
    for _ in 0..3 {
        assert!(query::campaign_can_admit(&world.tables, ID, 0));
        admit(&mut world, ID, 0, 5);
    }
    assert_eq!(tally(&world, 0).active(), 5);
    assert_eq!(tally(&world, Tally::COMMON).held, 1_050);
    // Whoever is let go is in line again, and first.
    let held = |name: &&String| query::campaign_of(&world.tables, &endpoint(name)) == Some(OTHER);
    let freed = names.iter().find(held).unwrap().clone();
    Gadget::new(&freed).play(&mut world);
    assert_eq!(tally(&world, Tally::COMMON).held, 1_049);
    admit(&mut world, ID, 0, 6);
    assert!(phase(&world, &freed).is_active());
}

#[test]
fn nothing_is_asked_for_while_all_that_wait_are_held() {
    let (mut world, _) = crowded(2);
    admit(&mut world, OTHER, 0, 2);
    admit(&mut world, ID, 0, 2);
    assert!(!query::campaign_can_admit(&world.tables, ID, 0));
    world.run(Command::HaltCampaign { id: ID, limit: 10 });
    assert_eq!(tally(&world, Tally::COMMON).cancelled, 2);
    assert_eq!(tally(&world, Tally::COMMON).held, 0);
}

fn count(world: &mut World, id: CampaignId, census: u64) {
    let part = query::campaign_part(&world.tables, id);
    world.run(Command::AdmitDevices {
        id,
        wave: 0,
        until: 0,
        step: part.map_or(0, |part| part.step),
        census,
    });
}

/// Devices that have to stay registered, and those of them that did not.
fn lost(world: &World) -> (u64, u64) {
    let reach = query::campaign_part(&world.tables, ID).unwrap().reach;
    reach.map(|reach| (reach.counted, reach.lost)).unwrap()
}

#[test]
fn who_was_registered_when_the_census_began_is_missed_until_it_is_back() {
    let mut world = begun(laned(ID, Membership::Dynamic), &["a", "b", "x1"]);
    raise(&mut world);
    world.run(label("asleep", &[("site", "x")], &[]));
    assert_eq!(lost(&world), (0, 0));
    count(&mut world, ID, 3);
    assert_eq!(lost(&world), (3, 0));
    // Who came later is not missed, and neither is who was deleted.
    world.register("x2", 7);
    world.register("asleep", 8);
    deregister(&mut world, "x2", 7);
    assert_eq!(lost(&world), (3, 0));
    forget(&mut world, "b");
    assert_eq!(lost(&world), (2, 0));
    deregister(&mut world, "a", 0);
    assert_eq!(lost(&world), (2, 1));
    // An older or the same census does not begin again.
    count(&mut world, ID, 3);
    count(&mut world, ID, 2);
    assert_eq!(lost(&world), (2, 1));
    world.register("a", 0);
    assert_eq!(lost(&world), (2, 0));
    world.advance(Duration::from_hours(1));
    world.expire();
    assert_eq!(lost(&world), (2, 2));
    world.register("a", 0);
    count(&mut world, ID, 4);
    assert_eq!(lost(&world), (1, 0));
}

fn deregister(world: &mut World, name: &str, random: u64) {
    world.run(Command::Deregister {
        namespace: Namespace::default(),
        id: id(random),
        identity: identity(name),
    });
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Open(CampaignId, Membership),
    Enrol(CampaignId),
    Register(&'static str),
    Deregister(&'static str),
    Label(&'static str),
    Forget(&'static str),
    Play(&'static str),
    /// Of a campaign, in a wave, until so many; at a step that may have been passed.
    Admit(CampaignId, u8, u64, u64),
    /// The shard is told of a later step, as by a pause.
    Fence(CampaignId, u64),
    /// The shard begins to count who is registered.
    Count(CampaignId, u64),
    Halt(CampaignId),
    Drop(CampaignId),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let campaign = || select(vec![ID, OTHER]);
    let name = || select(NAMES.to_vec());
    let membership = select(vec![Membership::Snapshot, Membership::Dynamic]);
    let step = prop_oneof![
        1 => (campaign(), membership).prop_map(|(id, membership)| Step::Open(id, membership)),
        3 => campaign().prop_map(Step::Enrol),
        4 => name().prop_map(Step::Register),
        2 => name().prop_map(Step::Deregister),
        2 => name().prop_map(Step::Label),
        3 => name().prop_map(Step::Forget),
        6 => name().prop_map(Step::Play),
        6 => (campaign(), 0..3_u8, 1..5_u64, 0..6_u64)
            .prop_map(|(id, wave, until, step)| Step::Admit(id, wave, until, step)),
        1 => (campaign(), 0..6_u64).prop_map(|(id, step)| Step::Fence(id, step)),
        1 => (campaign(), 0..6_u64).prop_map(|(id, census)| Step::Count(id, census)),
        1 => campaign().prop_map(Step::Halt),
        1 => campaign().prop_map(Step::Drop),
        2 => prop_oneof![1..120_u64, Just(7_200), Just(90_000)].prop_map(Step::Wait),
    ];
    vec(step, 1..100)
}

fn take(world: &mut World, gadgets: &mut [Gadget], step: Step) {
    world.advance(Duration::from_millis(200));
    let at = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
    match step {
        Step::Open(id, membership) => {
            let part = Box::new(laned(id, membership));
            world.run(Command::OpenCampaign { part });
        }
        Step::Enrol(id) => {
            world.run(Command::EnrolDevices { id, limit: 2 });
        }
        Step::Register(name) => {
            world.register(name, at(name) as u64);
        }
        Step::Deregister(name) => deregister(world, name, at(name) as u64),
        Step::Label(name) => {
            world.run(label(name, &[("site", "x")], &[]));
        }
        Step::Forget(name) => {
            forget(world, name);
        }
        Step::Play(name) => gadgets[at(name)].turn(world),
        Step::Admit(id, wave, until, step) => {
            world.run(Command::AdmitDevices {
                id,
                wave,
                until,
                step,
                census: 0,
            });
        }
        Step::Fence(id, step) => {
            world.run(Command::AdmitDevices {
                id,
                wave: 0,
                until: 0,
                step,
                census: 0,
            });
        }
        Step::Count(id, census) => count(world, id, census),
        Step::Halt(id) => {
            world.run(Command::HaltCampaign { id, limit: 2 });
        }
        Step::Drop(id) => {
            world.run(Command::DropCampaign { id, limit: 2 });
        }
        Step::Wait(seconds) => {
            world.advance(Duration::from_secs(seconds));
            world.expire();
        }
    }
}

/// Lets whoever waits have a turn, and all come to their end.
fn finish(world: &mut World, id: CampaignId) {
    let Some(part) = query::campaign_part(&world.tables, id) else {
        return;
    };
    for _ in 0..20 {
        for wave in 0..3 {
            world.run(Command::AdmitDevices {
                id,
                wave,
                until: u64::MAX,
                step: part.step,
                census: 0,
            });
        }
        world.advance(Duration::from_hours(7 * 24));
        world.expire();
    }
    if part.halt != Sweep::NotBegun {
        for _ in 0..4 {
            world.run(Command::HaltCampaign { id, limit: 2 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_the_rows_and_nobody_is_left_in_line(steps in steps()) {
        let mut world = World::new();
        raise(&mut world);
        let mut gadgets = NAMES.map(Gadget::new);
        for step in steps {
            take(&mut world, &mut gadgets, step);
        }
        for id in [ID, OTHER, ID] {
            finish(&mut world, id);
        }
        for id in [ID, OTHER] {
            for (_, tally) in query::campaign_tallies(&world.tables, id) {
                prop_assert_eq!((tally.waiting, tally.held, tally.active()), (0, 0, 0));
            }
            for name in NAMES {
                let ledger = query::ledger(&world.tables, id, &endpoint(name));
                prop_assert!(ledger.is_none_or(|ledger| ledger.phase.is_final()));
            }
        }
        prop_assert_eq!(query::counters(&world.tables).campaign_devices, 0);
    }
}
