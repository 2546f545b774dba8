//! Campaigns: every way that a device can go.

mod control;
mod fleets;
mod gadget;
mod members;
mod software;

use device_state::campaign::{
    Abort, Campaign, CampaignId, CampaignState, Compatibility, Control, Course, DevicePolicy,
    Failure, Image, Ledger, Membership, OnFailure, Part, Phase, Plan, Schedule, Selector,
    SkipReason, Sweep, Tally, Transfer, UpdateObject, Wave,
};
use device_state::command::{Live, Missing};
use device_state::selection::{Condition, DeviceTest, Pattern, TextTest};
use device_state::{
    Command, Event, FeatureLevel, Namespace, OperationState, Outcome, Rejection, Row, query,
};

use self::gadget::{Gadget, Oddity};
use crate::world::{World, endpoint};

const ID: CampaignId = CampaignId(7);
const VERSION: &str = "2.0";

fn everybody() -> Selector {
    Selector {
        text: String::new(),
        filter: Condition::everything(),
    }
}

fn named(beginning: &str) -> Selector {
    Selector {
        text: format!("endpoint = \"{beginning}*\""),
        filter: Condition::Test(DeviceTest::Endpoint(TextTest::Is(Pattern::Beginning(
            beginning.to_owned(),
        )))),
    }
}

pub(crate) fn part(id: CampaignId) -> Part {
    Part {
        id,
        namespace: Namespace::default(),
        name: "c".to_owned(),
        image: Image {
            name: "app".to_owned(),
            version: VERSION.to_owned(),
            uri: "coap://images/app".to_owned(),
            object: UpdateObject::Firmware,
            compatibility: Compatibility::default(),
        },
        transfer: Transfer::Pull,
        selector: everybody(),
        membership: Membership::Snapshot,
        seed: "seed".to_owned(),
        wave_selectors: vec![None, None],
        device: DevicePolicy::default(),
        enrolment: Sweep::NotBegun,
        halt: Sweep::NotBegun,
        step: 0,
        reach: None,
    }
}

pub(crate) fn campaign(name: &str) -> Campaign {
    let part = part(ID);
    let wave = |name: &str| Wave::everybody(name.to_owned());
    Campaign {
        id: CampaignId(0),
        namespace: Namespace::default(),
        name: name.to_owned(),
        plan: Plan {
            image: part.image,
            transfer: part.transfer,
            selector: part.selector,
            membership: part.membership,
            seed: part.seed,
            waves: vec![wave("canary"), wave("rest")],
            max_unavailable: None,
            schedule: Schedule::default(),
            device: part.device,
            on_failure: OnFailure::Pause,
            rollback_image: None,
            pause_when_unreachable: None,
            begin_every: None,
        },
        control: Control::default(),
        course: Course::default(),
        created_at: device_state::Timestamp(0),
        owner: String::new(),
    }
}

/// A shard with a campaign, in which the named devices are registered and have enrolled.
fn begun(part: Part, names: &[&str]) -> World {
    let mut world = World::new();
    for (random, name) in names.iter().enumerate() {
        world.register(name, random as u64);
    }
    let part = Box::new(part);
    let id = part.id;
    assert_eq!(world.run(Command::OpenCampaign { part }), Outcome::Done);
    enrol(&mut world, id);
    world
}

fn enrol(world: &mut World, id: CampaignId) {
    for _ in 0..100 {
        world.run(Command::EnrolDevices { id, limit: 2 });
        if query::campaign_part(&world.tables, id).unwrap().enrolment == Sweep::Done {
            return;
        }
    }
    panic!("enrolment does not end");
}

fn admit(world: &mut World, id: CampaignId, wave: u8, until: u64) {
    let admitted = world.run(Command::AdmitDevices {
        id,
        wave,
        until,
        step: 0,
        census: 0,
    });
    assert_eq!(admitted, Outcome::Done);
}

fn ledger(world: &World, name: &str) -> Ledger {
    query::ledger(&world.tables, ID, &endpoint(name)).unwrap()
}

fn phase(world: &World, name: &str) -> Phase {
    ledger(world, name).phase
}

fn tally(world: &World, slot: u8) -> Tally {
    let tallies = query::campaign_tallies(&world.tables, ID);
    let found = tallies.into_iter().find(|(at, _)| *at == slot);
    found.map(|(_, tally)| tally).unwrap_or_default()
}

/// The device `a` in a wave of its own, played until nothing more happens.
fn played(gadget: Gadget) -> (World, Gadget) {
    played_in(part(ID), gadget)
}

/// As [`played`], by a push.
fn pushed(gadget: Gadget) -> (World, Gadget) {
    let pushing = Part {
        transfer: Transfer::Push,
        ..part(ID)
    };
    played_in(pushing, gadget)
}

fn played_in(part: Part, gadget: Gadget) -> (World, Gadget) {
    let mut world = begun(part, &["a"]);
    admit(&mut world, ID, 0, 1);
    let mut gadget = gadget;
    gadget.play(&mut world);
    (world, gadget)
}

/// What watchers hear of the devices.
fn told(world: &World) -> Vec<Phase> {
    let phase = |row: &Row| match row {
        Row::Feed(entry) => match entry.event {
            Event::CampaignMoved { phase, .. } => Some(phase),
            _ => None,
        },
        _ => None,
    };
    world.tables.rows().filter_map(phase).collect()
}

#[test]
fn a_device_gets_the_firmware_and_succeeds_by_its_version() {
    let (world, gadget) = played(Gadget::new("a"));
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!(gadget.version, VERSION);
    assert_eq!(gadget.installed, 1);
    assert_eq!(ledger(&world, "a").version_before.as_deref(), Some("1.0"));
    assert_eq!(
        (tally(&world, 0).succeeded, tally(&world, 0).ended()),
        (1, 1)
    );
    assert_eq!(told(&world), [Phase::Scheduled, Phase::Succeeded]);
    // Nothing is left of it: no lock, no hold, nothing that waits.
    assert_eq!(query::campaign_of(&world.tables, &endpoint("a")), None);
    assert!(query::observations(&world.tables, &endpoint("a")).is_empty());
    assert_eq!(query::counters(&world.tables).campaign_devices, 0);
}

#[test]
fn watchers_hear_when_an_update_begins_and_of_those_who_wait_in_vain() {
    let mut world = begun(part(ID), &["a", "b"]);
    let level = FeatureLevel::INSTANCES;
    world.run(Command::RaiseFeatureLevel { level });
    admit(&mut world, ID, 0, 1);
    let first = ["a", "b"]
        .into_iter()
        .find(|name| phase(&world, name) == Phase::Scheduled);
    Gadget::new(first.unwrap()).play(&mut world);
    assert_eq!(
        told(&world),
        [Phase::Scheduled, Phase::Offered, Phase::Succeeded]
    );
    world.run(Command::DropCampaign { id: ID, limit: 10 });
    assert_eq!(told(&world).last(), Some(&Phase::Cancelled));
    assert_eq!(told(&world).len(), 4);
}

#[test]
fn a_package_is_pushed_once_and_installed() {
    for oddity in [None, Some(Oddity::NeverNotifies)] {
        let (world, gadget) = pushed(Gadget {
            oddity,
            ..Gadget::new("a")
        });
        assert_eq!(phase(&world, "a"), Phase::Succeeded);
        assert_eq!((gadget.installed, gadget.version.as_str()), (1, VERSION));
        assert_eq!(gadget.pushes, ["coap://images/app"]);
        assert!(gadget.uris.is_empty());
    }
}

#[test]
fn what_an_earlier_update_left_is_cleared_before_a_push() {
    let (world, gadget) = pushed(Gadget {
        state: 2,
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!(gadget.pushes, ["", "coap://images/app"]);
    // It may know no URIs at all.
    assert!(gadget.uris.is_empty());
}

/// A periodic notification, or an observation that is asked for again when the device registers.
#[test]
fn what_is_told_of_an_earlier_update_during_a_push_counts_for_nothing() {
    for old in [1, 5] {
        let mut world = begun(
            Part {
                transfer: Transfer::Push,
                ..part(ID)
            },
            &["a"],
        );
        admit(&mut world, ID, 0, 1);
        let mut gadget = Gadget {
            result: old,
            ..Gadget::new("a")
        };
        gadget.play_until(&mut world, |world| phase(world, "a") == Phase::Downloading);
        gadget.tell(&mut world);
        assert_eq!(phase(&world, "a"), Phase::Downloading, "{old}");
        gadget.play(&mut world);
        assert_eq!(phase(&world, "a"), Phase::Succeeded, "{old}");
        assert_eq!((gadget.pushes.len(), gadget.installed), (1, 1));
    }
}

#[test]
fn a_push_ends_by_what_the_device_says_of_the_package() {
    let (world, _) = pushed(Gadget {
        fails_with: Some(5),
        ..Gadget::new("a")
    });
    let wrong = Failure::UpdateResult(5);
    assert_eq!(phase(&world, "a"), Phase::Failed(wrong));
    let (world, gadget) = pushed(Gadget {
        oddity: Some(Oddity::RefusesPackage),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Failed(Failure::Refused(4, 15)));
    assert_eq!(gadget.pushes.len(), 1);
}

#[test]
fn a_device_that_lost_blocks_gets_the_package_again() {
    let (world, gadget) = pushed(Gadget {
        oddity: Some(Oddity::LosesBlocks),
        failures_left: 1,
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!((gadget.pushes.len(), gadget.installed), (2, 1));
}

#[test]
fn a_push_has_its_time() {
    let mut world = begun(
        Part {
            transfer: Transfer::Push,
            device: DevicePolicy {
                retries: 0,
                wake_up_deadline: std::time::Duration::from_hours(1),
                ..DevicePolicy::default()
            },
            ..part(ID)
        },
        &["a"],
    );
    admit(&mut world, ID, 0, 1);
    let mut gadget = Gadget {
        stalls_in: Some(1),
        ..Gadget::new("a")
    };
    gadget.play(&mut world);
    assert_eq!(phase(&world, "a"), Phase::Failed(Failure::DownloadTimeout));
}

#[test]
fn a_device_that_never_notifies_is_asked() {
    let (world, gadget) = played(Gadget {
        oddity: Some(Oddity::NeverNotifies),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!(gadget.installed, 1);
}

#[test]
fn a_restart_that_takes_the_result_with_it_is_judged_by_the_version() {
    let (world, _) = played(Gadget {
        oddity: Some(Oddity::ForgetsResult),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
}

#[test]
fn each_result_of_an_update_stops_or_is_tried_again() {
    for result in 2..=10 {
        let (world, gadget) = played(Gadget {
            fails_with: Some(result),
            ..Gadget::new("a")
        });
        assert_eq!(
            phase(&world, "a"),
            Phase::Failed(Failure::UpdateResult(result))
        );
        let retries = DevicePolicy::default().retries;
        let tried_again = if matches!(result, 3 | 4) { retries } else { 0 };
        assert_eq!(ledger(&world, "a").retries, tried_again, "{result}");
        assert_eq!(gadget.version, "1.0");
        let tally = tally(&world, 0);
        assert_eq!(tally.failures, [(Failure::UpdateResult(result), 1)]);
        assert_eq!(tally.samples.len(), 1);
    }
}

#[test]
fn a_failure_that_passes_costs_a_retry() {
    let (world, gadget) = played(Gadget {
        fails_with: Some(4),
        failures_left: 1,
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!((ledger(&world, "a").retries, gadget.installed), (1, 1));
}

#[test]
fn what_an_earlier_update_left_is_cleared_first() {
    let (world, gadget) = played(Gadget {
        state: 2,
        result: 0,
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!(gadget.uris, ["", "coap://images/app"]);
}

#[test]
fn an_old_result_is_not_taken_for_the_new_one() {
    for old in [1, 8] {
        let (world, gadget) = played(Gadget {
            result: old,
            ..Gadget::new("a")
        });
        assert_eq!(phase(&world, "a"), Phase::Succeeded);
        assert_eq!(gadget.installed, 1);
    }
}

#[test]
fn who_runs_the_version_already_is_left_out() {
    let (world, gadget) = played(Gadget {
        version: VERSION.to_owned(),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::UpToDate));
    assert!(gadget.uris.is_empty());
}

#[test]
fn who_has_no_firmware_object_is_left_out() {
    let (world, _) = played(Gadget {
        oddity: Some(Oddity::NoObject),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::Unsupported));
}

#[test]
fn a_low_battery_is_left_out() {
    let mut part = part(ID);
    part.device.minimum_battery = 30;
    let mut world = begun(part, &["a"]);
    admit(&mut world, ID, 0, 1);
    let mut gadget = Gadget {
        battery: 29,
        ..Gadget::new("a")
    };
    gadget.play(&mut world);
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::Battery));
}

#[test]
fn an_order_that_was_lost_is_given_again_only_if_the_device_waits_for_it() {
    for reached in [false, true] {
        let (world, gadget) = played(Gadget {
            loses_orders: Some(reached),
            ..Gadget::new("a")
        });
        assert_eq!(phase(&world, "a"), Phase::Succeeded, "{reached}");
        assert_eq!(gadget.installed, 1, "{reached}");
    }
}

#[test]
fn a_device_that_updates_by_itself_refuses_the_order() {
    let (world, gadget) = played(Gadget {
        oddity: Some(Oddity::RefusesOrder),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!(gadget.installed, 1);
}

#[test]
fn another_version_than_the_promised_one_is_a_failure() {
    let (world, _) = played(Gadget {
        installs: "1.9",
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Failed(Failure::VersionMismatch));
}

#[test]
fn who_does_not_wake_up_expires_and_does_not_fail() {
    let mut world = begun(part(ID), &["a"]);
    admit(&mut world, ID, 0, 1);
    world.advance(DevicePolicy::default().wake_up_deadline);
    world.expire();
    assert_eq!(phase(&world, "a"), Phase::Expired);
    assert_eq!(tally(&world, 0).results(), 0);
}

#[test]
fn a_download_and_an_installation_have_their_time() {
    let (world, _) = played(Gadget {
        stalls_in: Some(1),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Failed(Failure::DownloadTimeout));
    let (world, _) = played(Gadget {
        stalls_in: Some(3),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Failed(Failure::InstallTimeout));
}

#[test]
fn waves_take_as_many_as_they_are_told_and_nobody_twice() {
    let names: Vec<String> = (0..20).map(|number| format!("d{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = begun(part(ID), &names);
    assert_eq!(tally(&world, Tally::COMMON).waiting, 20);
    admit(&mut world, ID, 0, 3);
    admit(&mut world, ID, 0, 3);
    assert_eq!(tally(&world, 0).active(), 3);
    admit(&mut world, ID, 0, 2);
    assert_eq!(tally(&world, 0).active(), 3);
    admit(&mut world, ID, 1, u64::MAX);
    assert_eq!(
        (
            tally(&world, 1).active(),
            tally(&world, Tally::COMMON).waiting
        ),
        (17, 0)
    );
}

#[test]
fn a_wave_with_a_selector_takes_its_own_and_the_last_one_everybody() {
    let mut part = part(ID);
    part.wave_selectors = vec![Some(named("x")), None, None];
    let mut world = begun(part, &["a", "b", "c", "x1", "x2"]);
    assert_eq!(
        (
            tally(&world, 0).waiting,
            tally(&world, Tally::COMMON).waiting
        ),
        (2, 3)
    );
    admit(&mut world, ID, 0, 1);
    let lucky = ["x1", "x2"].map(|name| ledger(&world, name).wave == Some(0));
    assert_ne!(lucky[0], lucky[1]);
    admit(&mut world, ID, 1, 1);
    admit(&mut world, ID, 2, 10);
    assert_eq!(tally(&world, 2).active(), 3);
}

#[test]
fn a_device_is_in_one_campaign_at_a_time() {
    let other = CampaignId(8);
    let mut world = begun(part(ID), &["a"]);
    let second = Box::new(part(other));
    world.run(Command::OpenCampaign { part: second });
    enrol(&mut world, other);
    admit(&mut world, ID, 0, 1);
    admit(&mut world, other, 0, 1);
    let waits = query::ledger(&world.tables, other, &endpoint("a")).unwrap();
    assert_eq!(waits.phase, Phase::Waiting);
    Gadget::new("a").play(&mut world);
    admit(&mut world, other, 0, 1);
    assert_eq!(
        query::campaign_of(&world.tables, &endpoint("a")),
        Some(other)
    );
}

#[test]
fn the_firmware_of_a_device_is_told_by_the_campaign_that_has_it_in_hand() {
    let other = CampaignId(8);
    let mut world = begun(part(ID), &["a"]);
    let told = |world: &World| {
        let found = query::device(&world.tables, &endpoint("a")).firmware;
        found.map(|one| (one.ledger.campaign, one.ledger.phase))
    };
    assert_eq!(told(&world), Some((ID, Phase::Waiting)));
    admit(&mut world, ID, 0, 1);
    let software = Part {
        image: Image {
            object: UpdateObject::Software(0),
            ..part(CampaignId(9)).image
        },
        ..part(CampaignId(9))
    };
    for part in [part(other), software] {
        let id = part.id;
        let part = Box::new(part);
        world.run(Command::OpenCampaign { part });
        enrol(&mut world, id);
    }
    assert_eq!(told(&world), Some((ID, Phase::Scheduled)));
    Gadget::new("a").play(&mut world);
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    // It waits for another one.
    assert_eq!(told(&world), Some((other, Phase::Waiting)));
    for _ in 0..2 {
        world.run(Command::DropCampaign {
            id: other,
            limit: 1,
        });
    }
    assert_eq!(told(&world), Some((ID, Phase::Succeeded)));
}

#[test]
fn a_campaign_that_halts_takes_back_what_can_be_taken_back() {
    let mut world = begun(part(ID), &["a", "b"]);
    admit(&mut world, ID, 0, 1);
    let begun = ["a", "b"]
        .into_iter()
        .find(|name| phase(&world, name) == Phase::Scheduled);
    let halt = Command::HaltCampaign { id: ID, limit: 1 };
    for _ in 0..3 {
        assert_eq!(world.run(halt.clone()), Outcome::Done);
    }
    assert_eq!(
        query::campaign_part(&world.tables, ID).unwrap().halt,
        Sweep::Done
    );
    for name in ["a", "b"] {
        assert_eq!(phase(&world, name), Phase::Cancelled);
    }
    let queue = query::operations(&world.tables, &endpoint(begun.unwrap()));
    assert!(queue.iter().all(device_state::OperationRecord::is_finished));
    admit(&mut world, ID, 1, 2);
    assert_eq!(tally(&world, 1).active(), 0);
}

#[test]
fn an_order_on_its_way_is_not_taken_back() {
    let mut world = begun(part(ID), &["a"]);
    admit(&mut world, ID, 0, 1);
    let mut gadget = Gadget::new("a");
    gadget.play_until(&mut world, |world| phase(world, "a") == Phase::Downloaded);
    let order = ledger(&world, "a").operation.unwrap();
    world.start("a", order);
    world.run(Command::HaltCampaign { id: ID, limit: 10 });
    assert_eq!(phase(&world, "a"), Phase::Downloaded);
    gadget.finish_started(&mut world, order);
    gadget.play(&mut world);
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
}

#[test]
fn who_joins_later_takes_part_if_the_campaign_is_dynamic() {
    for (membership, waiting) in [(Membership::Snapshot, 0), (Membership::Dynamic, 1)] {
        let mut part = part(ID);
        part.membership = membership;
        part.selector = named("l");
        let mut world = begun(part, &["a"]);
        world.register("late", 9);
        world.register("late", 9);
        assert_eq!(tally(&world, Tally::COMMON).waiting, waiting);
    }
}

#[test]
fn going_back_takes_those_that_have_the_firmware() {
    let mut world = begun(part(ID), &["a", "b"]);
    admit(&mut world, ID, 0, 1);
    let lucky = ["a", "b"]
        .into_iter()
        .find(|name| phase(&world, name) != Phase::Waiting);
    Gadget::new(lucky.unwrap()).play(&mut world);
    let back = CampaignId(9);
    let mut part = part(back);
    part.membership = Membership::UpdatedBy(ID);
    world.run(Command::OpenCampaign {
        part: Box::new(part),
    });
    enrol(&mut world, back);
    let members = query::campaign_tallies(&world.tables, back);
    assert_eq!(members[0].1.waiting, 1);
    assert!(query::ledger(&world.tables, back, &endpoint(lucky.unwrap())).is_some());
}

#[test]
fn a_device_that_is_deleted_is_left_out() {
    let mut world = begun(part(ID), &["a"]);
    admit(&mut world, ID, 0, 1);
    world.run(Command::Forget {
        endpoint: endpoint("a"),
        live: Live::Deregistered,
        missing: Missing::Refused,
    });
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::Forgotten));
    assert!(query::operations(&world.tables, &endpoint("a")).is_empty());
}

#[test]
fn a_campaign_that_is_dropped_leaves_nothing() {
    let mut world = begun(part(ID), &["a", "b", "c"]);
    admit(&mut world, ID, 0, 1);
    for _ in 0..4 {
        world.run(Command::DropCampaign { id: ID, limit: 1 });
    }
    assert!(query::campaign_parts(&world.tables).is_empty());
    assert!(query::campaign_tallies(&world.tables, ID).is_empty());
    assert_eq!(query::counters(&world.tables).campaign_devices, 0);
    for name in ["a", "b", "c"] {
        let queue = query::operations(&world.tables, &endpoint(name));
        let waits = |state: &OperationState| *state == OperationState::Pending;
        assert!(!queue.iter().any(|record| waits(&record.state)));
    }
}

#[test]
fn of_two_planners_one_is_refused() {
    let mut world = World::new();
    let campaign = Box::new(campaign("c"));
    assert_eq!(
        world.run(Command::PutCampaign {
            campaign: campaign.clone()
        }),
        Outcome::Done
    );
    let again = world.run(Command::PutCampaign { campaign });
    assert_eq!(again, Outcome::Rejected(Rejection::CampaignExists));
    let stored = query::campaign(&world.tables, &Namespace::default(), "c").unwrap();
    assert_eq!(stored.course.waves.len(), 2);
    let steer = Command::SteerCampaign {
        id: stored.id,
        namespace: Namespace::default(),
        name: "c".to_owned(),
        course: Course {
            step: 1,
            state: CampaignState::Running,
            ..stored.course
        },
    };
    assert_eq!(world.run(steer.clone()), Outcome::Done);
    assert_eq!(world.run(steer), Outcome::Rejected(Rejection::CourseMoved));
}

#[test]
fn a_campaign_ends_before_it_is_removed_and_an_abort_stays() {
    let mut world = World::new();
    let campaign = Box::new(campaign("c"));
    world.run(Command::PutCampaign { campaign });
    let control = |abort| Command::ControlCampaign {
        namespace: Namespace::default(),
        name: "c".to_owned(),
        paused: None,
        approved_through: None,
        abort,
    };
    let bad = Command::ControlCampaign {
        namespace: Namespace::default(),
        name: "c".to_owned(),
        paused: None,
        approved_through: Some("nowhere".to_owned()),
        abort: Abort::No,
    };
    assert_eq!(world.run(bad), Outcome::Rejected(Rejection::UnknownWave));
    world.run(control(Abort::Now));
    world.run(control(Abort::No));
    let stored = query::campaign(&world.tables, &Namespace::default(), "c").unwrap();
    assert!(stored.control.aborted);
    let remove = Command::RemoveCampaign {
        namespace: Namespace::default(),
        name: "c".to_owned(),
    };
    let steer = |step, state| Command::SteerCampaign {
        id: stored.id,
        namespace: Namespace::default(),
        name: "c".to_owned(),
        course: Course {
            step,
            state,
            ..stored.course.clone()
        },
    };
    world.run(steer(1, CampaignState::Aborting));
    assert_eq!(
        world.run(remove.clone()),
        Outcome::Rejected(Rejection::CampaignRuns)
    );
    world.run(steer(2, CampaignState::Aborted));
    assert_eq!(world.run(remove.clone()), Outcome::Done);
    assert_eq!(
        world.run(remove),
        Outcome::Rejected(Rejection::UnknownCampaign)
    );
}

#[test]
fn a_device_that_keeps_what_it_got_is_not_told_again_and_again() {
    let (world, gadget) = played(Gadget {
        stalls_in: Some(2),
        oddity: Some(Oddity::SitsOnIt),
        ..Gadget::new("a")
    });
    assert_eq!(phase(&world, "a"), Phase::Failed(Failure::InstallTimeout));
    assert_eq!(gadget.orders, 1);
}

#[test]
fn a_device_that_was_deleted_while_it_waited_is_not_made_known_again() {
    let mut world = begun(part(ID), &["a"]);
    world.run(Command::Forget {
        endpoint: endpoint("a"),
        live: Live::Deregistered,
        missing: Missing::Refused,
    });
    admit(&mut world, ID, 0, 1);
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::Forgotten));
    assert!(!query::is_known(&world.tables, &endpoint("a")));
}

#[test]
fn nothing_is_tried_again_once_a_campaign_is_halted() {
    let mut world = begun(part(ID), &["a"]);
    admit(&mut world, ID, 0, 1);
    let mut gadget = Gadget {
        loses_orders: Some(false),
        ..Gadget::new("a")
    };
    gadget.play_until(&mut world, |world| phase(world, "a") == Phase::Downloaded);
    let order = ledger(&world, "a").operation.unwrap();
    world.start("a", order);
    world.run(Command::HaltCampaign { id: ID, limit: 10 });
    gadget.finish_started(&mut world, order);
    gadget.play(&mut world);
    assert_eq!(
        (phase(&world, "a"), gadget.installed),
        (Phase::Cancelled, 0)
    );
}

#[test]
fn a_name_reaches_no_other_namespace() {
    let mut world = World::new();
    let theirs = Namespace::new("acme").unwrap();
    let mut campaign = campaign("fw");
    campaign.namespace = theirs.clone();
    world.run(Command::PutCampaign {
        campaign: Box::new(campaign),
    });
    let control = Command::ControlCampaign {
        namespace: Namespace::default(),
        name: "\u{1f}acme\u{1f}fw".to_owned(),
        paused: None,
        approved_through: None,
        abort: Abort::Now,
    };
    assert_eq!(
        world.run(control),
        Outcome::Rejected(Rejection::UnknownCampaign)
    );
    let stored = query::campaign(&world.tables, &theirs, "fw").unwrap();
    assert!(!stored.control.aborted);
}
