//! Components and software: a device with an instance of Advanced Firmware Update, and one of Software Management, which
//! allows nothing that LwM2M SwMgmt 1.0 §6 does not.

use std::time::Duration;

use device_state::campaign::{
    Compatibility, DevicePolicy, Failure, Image, Part, Phase, SkipReason, Transfer, UpdateObject,
};
use device_state::{Command, FeatureLevel, OperationOutcome, ValueOrigin, query};
use lwm2m::{Operation, Path, Value};

use super::gadget::Gadget;
use super::{ID, VERSION, admit, begun, campaign, ledger, part, phase, played_in, tally};
use crate::world::{CHANGED, CONTENT, NOT_ALLOWED, World, endpoint, text};

const OBJECT: UpdateObject = UpdateObject::Software(2);
const UNINSTALL: Path = Path::Resource(9, 2, 6);
const ACTIVATE: Path = Path::Resource(9, 2, 10);
const NOT_FOUND: u8 = 0x84;

fn of(object: UpdateObject, transfer: Transfer) -> Part {
    let part = part(ID);
    Part {
        image: Image {
            object,
            ..part.image
        },
        transfer,
        ..part
    }
}

/// `/9/2` of a device.
#[derive(Debug)]
struct Software {
    /// What is installed, or is ready for it.
    version: String,
    state: i64,
    result: i64,
    is_active: bool,
    tells_active: bool,
    notifies: bool,
    /// What it ends a download or an installation with.
    fails_with: Option<i64>,
    /// What was done that counts: what it got, and what was executed.
    done: Vec<String>,
}

impl Software {
    fn new() -> Self {
        Self {
            version: String::new(),
            state: 0,
            result: 0,
            is_active: false,
            tells_active: true,
            notifies: true,
            fails_with: None,
            done: Vec::new(),
        }
    }

    fn installed(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            state: 4,
            result: 2,
            is_active: true,
            ..Self::new()
        }
    }

    fn play(&mut self, world: &mut World) {
        for _ in 0..20_000 {
            if query::campaign_of(&world.tables, &endpoint("a")).is_none() {
                return;
            }
            world.advance(Duration::from_secs(20));
            world.expire();
            self.turn(world);
        }
        panic!("it does not end");
    }

    fn turn(&mut self, world: &mut World) {
        match world.next_operation("a") {
            Some(id) => {
                world.start("a", id);
                world.advance(Duration::from_millis(5));
                let outcome = self.answer(&world.operation("a", id).operation);
                world.finish("a", id, outcome);
            }
            None => self.live(world),
        }
    }

    fn answer(&mut self, operation: &Operation) -> OperationOutcome {
        let delivered = |code, values| OperationOutcome::Delivered { code, values };
        match operation {
            Operation::Read { path, .. } if *path == OBJECT.path() => {
                let mut told = vec![
                    (OBJECT.state(), Value::Integer(self.state)),
                    (OBJECT.result(), Value::Integer(self.result)),
                    (OBJECT.version(), text(&self.version)),
                ];
                if self.tells_active {
                    let path = OBJECT.activation().unwrap();
                    told.push((path, Value::Boolean(self.is_active)));
                }
                delivered(CONTENT, told)
            }
            Operation::Observe { .. } => delivered(CONTENT, Vec::new()),
            Operation::Write { path, .. } if self.state == 0 => {
                assert!([OBJECT.package(), OBJECT.uri()].contains(path), "{path}");
                self.done.push(path.to_string());
                (self.state, self.result) = (1, 1);
                delivered(CHANGED, Vec::new())
            }
            Operation::Execute { path, arguments } if self.takes(*path) => {
                self.done.push(format!("{path} {arguments}"));
                delivered(CHANGED, Vec::new())
            }
            Operation::Write { .. } | Operation::Execute { .. } => OperationOutcome::Rejected {
                code: NOT_ALLOWED,
                diagnostic: String::new(),
            },
            other => panic!("{other:?}"),
        }
    }

    fn takes(&mut self, path: Path) -> bool {
        match (path, self.state) {
            // Installing, which no state says.
            (path, 3) if path == OBJECT.update() => self.state = 5,
            (UNINSTALL, 3 | 4) => {
                (self.state, self.result, self.is_active) = (0, 0, false);
            }
            (ACTIVATE, 4) => self.is_active = true,
            _ => return false,
        }
        true
    }

    /// Time passes on it.
    fn live(&mut self, world: &mut World) {
        match (self.state, self.fails_with) {
            (1, Some(result @ 50..58)) => (self.state, self.result) = (0, result),
            (1, _) => {
                (self.state, self.result) = (3, 3);
                VERSION.clone_into(&mut self.version);
            }
            (5, Some(58)) => (self.state, self.result) = (3, 58),
            (5, _) => (self.state, self.result) = (4, 2),
            _ => return,
        }
        if self.notifies {
            self.notify(world);
        }
    }

    fn notify(&self, world: &mut World) {
        let device = endpoint("a");
        // It may be let go meanwhile.
        let Some(registration) = query::registration(&world.tables, &device) else {
            return;
        };
        let values = [(OBJECT.state(), self.state), (OBJECT.result(), self.result)];
        let values = values.map(|(path, value)| (path, Value::Integer(value), world.now));
        world.run(Command::RecordValues {
            endpoint: device,
            registration: registration.id,
            child: None,
            origin: ValueOrigin::Notify,
            values: values.to_vec(),
        });
    }
}

fn played(software: Software, transfer: Transfer) -> (World, Software) {
    let mut world = begun(of(OBJECT, transfer), &["a"]);
    admit(&mut world, ID, 0, 1);
    let mut software = software;
    software.play(&mut world);
    (world, software)
}

#[test]
fn a_software_is_installed_and_switched_on() {
    for (transfer, place) in [(Transfer::Pull, "/9/2/3"), (Transfer::Push, "/9/2/2")] {
        for notifies in [true, false] {
            let software = Software {
                notifies,
                ..Software::new()
            };
            let (world, software) = played(software, transfer);
            assert_eq!(phase(&world, "a"), Phase::Succeeded, "{software:?}");
            assert!(software.is_active && software.state == 4);
            assert_eq!(software.done, [place, "/9/2/4 ", "/9/2/10 "]);
            assert!(query::observations(&world.tables, &endpoint("a")).is_empty());
        }
    }
}

#[test]
fn an_installed_software_makes_room_for_another_version() {
    let (world, software) = played(Software::installed("1.0"), Transfer::Pull);
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!(software.done, ["/9/2/6 1", "/9/2/3", "/9/2/4 ", "/9/2/10 "]);
    assert_eq!(ledger(&world, "a").version_before.as_deref(), Some("1.0"));
}

#[test]
fn what_lies_ready_in_a_device_is_removed_first_though_it_says_the_version() {
    let software = Software {
        version: VERSION.to_owned(),
        state: 3,
        result: 3,
        ..Software::new()
    };
    let (world, software) = played(software, Transfer::Pull);
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert_eq!(software.done[..2], ["/9/2/6 ", "/9/2/3"]);
}

#[test]
fn a_software_of_the_version_is_left_as_it_is() {
    let (world, software) = played(Software::installed(VERSION), Transfer::Pull);
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::UpToDate));
    assert!(software.done.is_empty());
}

#[test]
fn each_result_of_a_software_stops_or_is_tried_again() {
    for result in [50, 51, 52, 53, 54, 56, 57, 58] {
        let software = Software {
            fails_with: Some(result),
            ..Software::new()
        };
        let (world, _) = played(software, Transfer::Pull);
        let told = u8::try_from(result).unwrap();
        let failure = Failure::UpdateResult(told);
        assert_eq!(phase(&world, "a"), Phase::Failed(failure));
        let retries = DevicePolicy::default().retries;
        let tried_again = if matches!(result, 51 | 52) {
            retries
        } else {
            0
        };
        assert_eq!(ledger(&world, "a").retries, tried_again, "{result}");
        assert_eq!(tally(&world, 0).failures, [(failure, 1)]);
    }
}

#[test]
fn who_does_not_tell_whether_it_runs_is_told_to_run_and_believed() {
    let software = Software {
        tells_active: false,
        ..Software::new()
    };
    let (world, software) = played(software, Transfer::Pull);
    assert_eq!(phase(&world, "a"), Phase::Succeeded);
    assert!(software.is_active);
}

#[test]
fn a_component_gets_its_firmware_by_its_own_version() {
    for transfer in [Transfer::Pull, Transfer::Push] {
        for instance in [0, 3] {
            let object = UpdateObject::Component(instance);
            let gadget = Gadget {
                object,
                ..Gadget::new("a")
            };
            let (world, gadget) = played_in(of(object, transfer), gadget);
            assert_eq!(phase(&world, "a"), Phase::Succeeded);
            assert_eq!((gadget.installed, gadget.version.as_str()), (1, VERSION));
            assert_eq!(ledger(&world, "a").version_before.as_deref(), Some("1.0"));
        }
    }
}

#[test]
fn a_component_that_depends_on_another_one_fails_by_its_result() {
    for result in [12, 13] {
        let object = UpdateObject::Component(1);
        let gadget = Gadget {
            object,
            fails_with: Some(result),
            ..Gadget::new("a")
        };
        let (world, _) = played_in(of(object, Transfer::Pull), gadget);
        let failure = Phase::Failed(Failure::UpdateResult(result));
        assert_eq!(phase(&world, "a"), failure);
        assert_eq!(ledger(&world, "a").retries, 0);
    }
}

#[test]
fn a_device_without_the_instance_is_left_out() {
    let mut world = begun(of(OBJECT, Transfer::Pull), &["a"]);
    admit(&mut world, ID, 0, 1);
    // Of its battery nobody wants to know: the instance is asked for at once.
    let id = world.next_operation("a").unwrap();
    let asked = world.operation("a", id).operation;
    assert_eq!(asked.path(), OBJECT.path());
    world.start("a", id);
    let refusal = OperationOutcome::Rejected {
        code: NOT_FOUND,
        diagnostic: String::new(),
    };
    world.finish("a", id, refusal);
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::Unsupported));
}

#[test]
fn a_low_battery_counts_for_software_as_well() {
    let mut part = of(OBJECT, Transfer::Pull);
    part.device.minimum_battery = 50;
    let mut world = begun(part, &["a"]);
    admit(&mut world, ID, 0, 1);
    let id = world.next_operation("a").unwrap();
    assert_eq!(
        world.operation("a", id).operation.path(),
        Path::ObjectInstance(3, 0)
    );
    world.start("a", id);
    world.advance(Duration::from_millis(5));
    let told = OperationOutcome::Delivered {
        code: CONTENT,
        values: vec![(Path::Resource(3, 0, 9), Value::Integer(49))],
    };
    world.finish("a", id, told);
    assert_eq!(phase(&world, "a"), Phase::Skipped(SkipReason::Battery));
}

/// Firmware or a component for devices of certain versions and hardware.
fn between(object: UpdateObject, bounds: [Option<&str>; 2], hardware: Option<&str>) -> Part {
    let mut part = of(object, Transfer::Pull);
    let [minimum_version, maximum_version] = bounds.map(|bound| bound.map(str::to_owned));
    part.image.compatibility = Compatibility {
        minimum_version,
        maximum_version,
        hardware_version: hardware.map(str::to_owned),
    };
    part
}

#[test]
fn an_image_is_brought_to_the_versions_and_the_hardware_that_it_is_for() {
    let (old, new) = (Some("1.5.0"), Some("1.9.9"));
    for object in [UpdateObject::Firmware, UpdateObject::Component(0)] {
        for (bounds, hardware, runs, result) in [
            ([old, new], None, "1.6.0", Phase::Succeeded),
            (
                [old, None],
                None,
                "1.4.9",
                Phase::Skipped(SkipReason::Version),
            ),
            (
                [None, new],
                None,
                "2.1.0",
                Phase::Skipped(SkipReason::Version),
            ),
            (
                [old, None],
                None,
                "1.9",
                Phase::Skipped(SkipReason::Version),
            ),
            ([None, None], Some("A"), "1.0", Phase::Succeeded),
            (
                [old, None],
                Some("B"),
                "1.6.0",
                Phase::Skipped(SkipReason::Hardware),
            ),
        ] {
            let gadget = Gadget {
                object,
                version: runs.to_owned(),
                ..Gadget::new("a")
            };
            let (world, gadget) = played_in(between(object, bounds, hardware), gadget);
            assert_eq!(phase(&world, "a"), result, "{object} {bounds:?} {runs}");
            let succeeded = result == Phase::Succeeded;
            assert_eq!(gadget.uris.len(), usize::from(succeeded));
        }
    }
}

#[test]
fn what_has_to_be_known_of_a_device_and_cannot_be_read_leaves_it_out() {
    for (bounds, hardware, reason) in [
        ([Some("1.0.0"), None], None, SkipReason::Version),
        ([None, None], Some("A"), SkipReason::Hardware),
    ] {
        let part = between(UpdateObject::Firmware, bounds, hardware);
        let mut world = begun(part, &["a"]);
        admit(&mut world, ID, 0, 1);
        let id = world.next_operation("a").unwrap();
        world.start("a", id);
        let refusal = OperationOutcome::Rejected {
            code: NOT_FOUND,
            diagnostic: String::new(),
        };
        world.finish("a", id, refusal);
        assert_eq!(phase(&world, "a"), Phase::Skipped(reason));
    }
}

#[test]
fn releases_before_are_not_told_of_campaigns_with_a_pace() {
    let mut campaign = campaign("slow");
    campaign.plan.begin_every = Some(Duration::from_secs(1));
    let put = Command::PutCampaign {
        campaign: Box::new(campaign),
    };
    assert_eq!(put.needs(), FeatureLevel::CAMPAIGN_PACE);
}

#[test]
fn releases_before_are_not_told_of_other_objects() {
    let mut campaign = campaign("app");
    let put = |campaign: &device_state::campaign::Campaign| Command::PutCampaign {
        campaign: Box::new(campaign.clone()),
    };
    assert_eq!(put(&campaign).needs(), FeatureLevel::CAMPAIGNS);
    campaign.plan.image.object = OBJECT;
    assert_eq!(put(&campaign).needs(), FeatureLevel::UPDATE_OBJECTS);
    let open = |part| Command::OpenCampaign {
        part: Box::new(part),
    };
    let software = open(of(OBJECT, Transfer::Push));
    assert_eq!(software.needs(), FeatureLevel::UPDATE_OBJECTS);
    let bounded = open(between(UpdateObject::Firmware, [Some("1.0.0"), None], None));
    assert_eq!(bounded.needs(), FeatureLevel::UPDATE_OBJECTS);
}
