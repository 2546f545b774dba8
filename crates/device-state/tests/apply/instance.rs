//! Object instances that are desired to be there, or not.

use std::time::Duration;

use device_state::limit::CORRECTION_GAP;
use device_state::selection::{Condition, DeviceTest};
use device_state::{
    Command, DesiredState, DesiredValue, DriftPolicy, FeatureLevel, Goal, OperationId,
    OperationOutcome, Outcome, Presence, query,
};
use lwm2m::{Lifetime, Operation, Path, Value};

use crate::profile::profile;
use crate::world::{World, delivered, endpoint, refused, register, registration, update};

const INSTANCE: Path = Path::ObjectInstance(3311, 0);
const ON_OFF: Path = Path::Resource(3311, 0, 5850);
const WITH: &str = "</1/0>,</3/0>,</3311/0>";
const WITHOUT: &str = "</1/0>,</3/0>,</3311>";
const NOT_FOUND: u8 = 0x84;

fn instance(presence: Presence) -> DesiredValue {
    DesiredValue {
        path: INSTANCE,
        goal: Goal::Instance(presence),
        drift: DriftPolicy::Enforce,
    }
}

fn not_found() -> OperationOutcome {
    OperationOutcome::Rejected {
        code: NOT_FOUND,
        diagnostic: String::new(),
    }
}

fn on() -> DesiredValue {
    DesiredValue {
        path: ON_OFF,
        goal: Goal::Value(Value::Boolean(true)),
        drift: DriftPolicy::Enforce,
    }
}

impl World {
    /// A device that registered with these objects.
    fn with_links(links: &str) -> Self {
        let mut world = Self::new();
        let level = FeatureLevel::INSTANCES;
        world.run(Command::RaiseFeatureLevel { level });
        world.registers_with(links);
        world
    }

    fn registers_with(&mut self, links: &str) {
        let registration = device_state::Registration {
            links: links.to_owned(),
            lifetime: Lifetime::INFINITE,
            ..registration("meter", 1)
        };
        self.run(register(registration));
    }

    /// What an Update says of the objects.
    fn tells(&mut self, told: &str) {
        let mut command = update("meter", 1);
        if let Command::Update { links, .. } = &mut command {
            *links = Some(told.to_owned());
        }
        self.run(command);
    }

    fn wants(&mut self, generation: u64, resources: Vec<DesiredValue>) {
        let command = Command::SetDesired {
            endpoint: endpoint("meter"),
            generation,
            resources,
        };
        assert_eq!(self.run(command), Outcome::Done);
    }

    fn state(&self) -> DesiredState {
        self.desired_state("meter", INSTANCE).unwrap()
    }

    fn awaited(&self) -> OperationId {
        match self.state() {
            DesiredState::Pending { operation } => operation,
            other => panic!("{other:?}"),
        }
    }

    fn is_in_sync(&self) -> bool {
        matches!(self.state(), DesiredState::InSync { .. })
    }

    /// The write of the value below the instance that waits.
    fn awaited_write(&self) -> OperationId {
        match self.desired_state("meter", ON_OFF) {
            Some(DesiredState::Pending { operation }) => operation,
            other => panic!("{other:?}"),
        }
    }

    fn links(&self) -> String {
        query::registration(&self.tables, &endpoint("meter"))
            .unwrap()
            .links
    }
}

#[test]
fn instances_need_replicas_that_know_them() {
    let command = Command::SetDesired {
        endpoint: endpoint("meter"),
        generation: 1,
        resources: vec![on(), instance(Presence::Present)],
    };
    assert_eq!(command.needs(), FeatureLevel::INSTANCES);
}

#[test]
fn an_instance_that_the_device_lacks_is_created_with_its_values() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![on(), instance(Presence::Present)]);
    let create = world.awaited();
    // Before the write, which would be refused.
    assert_eq!(world.next_operation("meter"), Some(create));
    let Operation::Create {
        path,
        instance: Some(0),
        values,
    } = world.operation("meter", create).operation
    else {
        panic!("not a Create of the instance")
    };
    assert_eq!((path, values[0].path), (Path::Object(3311), ON_OFF));
    world.finish("meter", create, delivered());
    assert!(world.is_in_sync());
    // It has the value by now.
    let written = world.desired_state("meter", ON_OFF);
    assert!(matches!(written, Some(DesiredState::InSync { .. })));
    assert_eq!(world.next_operation("meter"), None);
}

#[test]
fn an_instance_that_the_device_has_is_deleted_and_what_is_so_is_left_alone() {
    let mut world = World::with_links(WITH);
    world.wants(1, vec![instance(Presence::Present)]);
    assert!(world.is_in_sync());
    world.wants(2, vec![instance(Presence::Absent)]);
    let delete = world.awaited();
    let operation = world.operation("meter", delete).operation;
    assert_eq!(operation, Operation::Delete { path: INSTANCE });
    world.finish("meter", delete, delivered());
    assert!(world.is_in_sync());
}

#[test]
fn a_list_of_objects_says_that_it_is_so() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.tells(WITH);
    assert!(world.is_in_sync());
    let end = world.end_of("meter", create);
    assert_eq!(end, Some(OperationOutcome::Cancelled));
}

#[test]
fn a_refusal_is_shown_and_tried_again_with_the_next_generation() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.finish("meter", create, refused());
    assert!(matches!(world.state(), DesiredState::Rejected { .. }));
    world.registers_with(WITHOUT);
    assert!(matches!(world.state(), DesiredState::Rejected { .. }));
    world.wants(2, vec![instance(Presence::Present)]);
    assert_ne!(world.awaited(), create);
    // The device has it, whatever it answered.
    let again = world.awaited();
    world.finish("meter", again, refused());
    world.tells(WITH);
    assert!(world.is_in_sync());
}

#[test]
fn an_instance_that_is_not_found_is_deleted() {
    let mut world = World::with_links(WITH);
    world.wants(1, vec![instance(Presence::Absent)]);
    let delete = world.awaited();
    world.finish("meter", delete, not_found());
    assert!(world.is_in_sync());
}

#[test]
fn an_instance_that_went_is_created_again_and_not_for_ever() {
    let mut world = World::with_links(WITH);
    world.wants(1, vec![instance(Presence::Present), on()]);
    while let Some(operation) = world.next_operation("meter") {
        world.finish("meter", operation, delivered());
    }
    world.registers_with(WITHOUT);
    let create = world.awaited();
    world.finish("meter", create, delivered());
    world.advance(Duration::from_secs(60));
    world.registers_with(WITHOUT);
    assert!(matches!(world.state(), DesiredState::Drifted { .. }));
    world.advance(CORRECTION_GAP);
    world.expire();
    assert_ne!(world.awaited(), create);
}

#[test]
fn a_create_whose_answer_was_lost_is_sent_again() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.start("meter", create);
    world.finish("meter", create, OperationOutcome::Expired);
    assert_eq!(world.awaited(), create);
    world.start("meter", create);
    world.registers_with(WITHOUT);
    assert_eq!(world.awaited(), create);
    assert_eq!(world.next_operation("meter"), Some(create));
}

#[test]
fn a_waiting_create_gives_the_values_that_are_desired_by_now() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let bare = world.awaited();
    world.wants(2, vec![instance(Presence::Present), on()]);
    let create = world.awaited();
    let end = world.end_of("meter", bare);
    assert_eq!(end, Some(OperationOutcome::Superseded));
    let Operation::Create { values, .. } = world.operation("meter", create).operation else {
        panic!("not a Create")
    };
    assert_eq!(values.len(), 1);
    // Nobody wants it any more.
    world.run(Command::SetDesired {
        endpoint: endpoint("meter"),
        generation: 3,
        resources: Vec::new(),
    });
    let end = world.end_of("meter", create);
    assert_eq!(end, Some(OperationOutcome::Cancelled));
}

/// What a device answered counts until it sends its next list.
#[test]
fn an_instance_that_was_just_made_is_deleted_when_it_is_unwanted() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.start("meter", create);
    world.finish("meter", create, delivered());
    assert_eq!(world.links(), "</1/0>,</3/0>,</3311>,</3311/0>");
    world.wants(2, vec![instance(Presence::Absent)]);
    let delete = world.awaited();
    world.start("meter", delete);
    world.finish("meter", delete, delivered());
    assert!(world.is_in_sync());
    assert_eq!(world.links(), WITHOUT);
    world.wants(3, vec![instance(Presence::Present)]);
    assert_ne!(world.awaited(), create);
}

#[test]
fn an_instance_that_is_being_made_is_deleted_when_it_is_unwanted() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.start("meter", create);
    world.wants(2, vec![instance(Presence::Absent)]);
    let delete = world.awaited();
    world.finish("meter", create, delivered());
    assert_eq!(world.next_operation("meter"), Some(delete));
    world.start("meter", delete);
    world.finish("meter", delete, delivered());
    assert!(world.is_in_sync());
    // Without the Create, what the device says is enough.
    world.wants(3, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.start("meter", create);
    world.wants(4, vec![instance(Presence::Absent)]);
    world.finish("meter", create, refused());
    let delete = world.awaited();
    world.start("meter", delete);
    world.finish("meter", delete, not_found());
    assert!(world.is_in_sync());
}

#[test]
fn what_a_caller_deletes_is_made_again() {
    let mut world = World::with_links(WITH);
    world.wants(1, vec![instance(Presence::Present)]);
    assert!(world.is_in_sync());
    let delete = world.enqueue("meter", Operation::Delete { path: INSTANCE });
    world.finish("meter", delete, delivered());
    let create = world.awaited();
    assert_eq!(world.next_operation("meter"), Some(create));
}

#[test]
fn a_list_that_comes_before_the_answer_waits_for_it() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present), on()]);
    let create = world.awaited();
    world.start("meter", create);
    world.tells(WITH);
    assert_eq!(world.awaited(), create);
    world.finish("meter", create, delivered());
    assert!(world.is_in_sync());
    assert_eq!(world.next_operation("meter"), None);
}

#[test]
fn a_create_whose_answer_was_lost_is_not_sent_again_if_the_device_tells_of_the_instance() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present), on()]);
    let create = world.awaited();
    world.start("meter", create);
    world.tells(WITH);
    world.finish("meter", create, OperationOutcome::Expired);
    assert!(world.is_in_sync());
    let end = world.end_of("meter", create);
    assert_eq!(end, Some(OperationOutcome::Cancelled));
    // What it was made with is unknown.
    assert_eq!(world.next_operation("meter"), Some(world.awaited_write()));
}

#[test]
fn a_value_that_was_refused_without_the_instance_is_written_to_it() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![on()]);
    let write = world.awaited_write();
    world.finish("meter", write, not_found());
    world.wants(1, vec![on(), instance(Presence::Present)]);
    let create = world.awaited();
    world.start("meter", create);
    world.finish("meter", create, OperationOutcome::Expired);
    world.tells(WITH);
    assert!(world.is_in_sync());
    assert_eq!(world.next_operation("meter"), Some(world.awaited_write()));
}

#[test]
fn a_value_is_written_behind_a_create_that_was_made_anew() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![on()]);
    let early = world.awaited_write();
    world.wants(2, vec![on(), instance(Presence::Present)]);
    let create = world.awaited();
    assert_eq!(world.next_operation("meter"), Some(create));
    let end = world.end_of("meter", early);
    assert_eq!(end, Some(OperationOutcome::Superseded));
    assert!(create.sequence < world.awaited_write().sequence);
}

#[test]
fn an_instance_under_another_id_is_a_refusal() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let create = world.awaited();
    let other = Path::ObjectInstance(3311, 1);
    let made_other = OperationOutcome::Delivered {
        code: 0x41,
        values: vec![(other, Value::String(other.to_string()))],
    };
    world.finish("meter", create, made_other);
    let DesiredState::Rejected { diagnostic, .. } = world.state() else {
        panic!("not refused")
    };
    assert_eq!(diagnostic, "the device made /3311/1 instead");
    assert!(world.links().contains("</3311/1>"));
    // Another one each time that the device registers would be worse than none.
    world.registers_with("</1/0>,</3/0>,</3311/1>");
    assert_eq!(world.next_operation("meter"), None);
}

/// A list is older than what is about to come or go.
#[test]
fn what_waits_is_not_taken_back_by_a_list_from_before() {
    let mut world = World::with_links(WITH);
    let delete = world.enqueue("meter", Operation::Delete { path: INSTANCE });
    world.wants(1, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.tells(WITH);
    assert_eq!(world.awaited(), create);
    world.finish("meter", delete, delivered());
    assert_eq!(world.next_operation("meter"), Some(create));
    world.finish("meter", create, delivered());

    world.wants(2, vec![instance(Presence::Absent)]);
    let delete = world.awaited();
    world.start("meter", delete);
    world.wants(3, vec![instance(Presence::Present)]);
    let create = world.awaited();
    world.tells(WITH);
    assert_eq!(world.awaited(), create);
    // Nobody knows whether it is there.
    world.run(Command::Requeue {
        endpoint: endpoint("meter"),
        operation: delete,
    });
    assert_eq!(world.next_operation("meter"), Some(create));
    world.finish("meter", create, refused());
    assert!(world.is_in_sync());
}

#[test]
fn what_was_started_and_is_not_wanted_any_more_is_obsolete() {
    let mut world = World::with_links(WITH);
    world.wants(1, vec![instance(Presence::Absent)]);
    let delete = world.awaited();
    world.start("meter", delete);
    let record = world.operation("meter", delete);
    assert!(!query::is_obsolete(&world.tables, &record));
    world.run(Command::SetDesired {
        endpoint: endpoint("meter"),
        generation: 2,
        resources: Vec::new(),
    });
    assert!(query::is_obsolete(&world.tables, &record));
    // As the dispatcher ends it.
    world.finish("meter", delete, OperationOutcome::Cancelled);
    let end = world.end_of("meter", delete);
    assert_eq!(end, Some(OperationOutcome::Cancelled));
    assert_eq!(world.next_operation("meter"), None);
}

#[test]
fn a_device_that_makes_other_instances_is_not_asked_again_by_another_generation() {
    let mut world = World::with_links(WITHOUT);
    world.wants(1, vec![instance(Presence::Present)]);
    let other = Path::ObjectInstance(3311, 1);
    let made_other = OperationOutcome::Delivered {
        code: 0x41,
        values: vec![(other, Value::String(other.to_string()))],
    };
    world.finish("meter", world.awaited(), made_other);
    world.wants(2, vec![instance(Presence::Present)]);
    assert!(matches!(world.state(), DesiredState::Rejected { .. }));
    assert_eq!(world.next_operation("meter"), None);
}

#[test]
fn values_are_written_to_an_instance_that_came_back_by_itself() {
    let mut world = World::with_links(WITH);
    world.wants(1, vec![instance(Presence::Present), on()]);
    let first = world.awaited_write();
    world.finish("meter", first, delivered());
    world.advance(Duration::from_secs(60));
    world.registers_with(WITHOUT);
    let create = world.awaited();
    world.tells(WITH);
    assert!(world.is_in_sync());
    let end = world.end_of("meter", create);
    assert_eq!(end, Some(OperationOutcome::Cancelled));
    assert_eq!(world.next_operation("meter"), Some(world.awaited_write()));
}

#[test]
fn a_list_that_is_full_stays_as_it_is() {
    let mut full = "</1/0>,</3/0>".to_owned();
    for instance in 0..4094 {
        full.push_str(&format!(",</3303/{instance}>"));
    }
    let mut world = World::with_links(&full);
    world.wants(1, vec![instance(Presence::Present)]);
    world.finish("meter", world.awaited(), delivered());
    assert!(world.is_in_sync());
    assert_eq!(world.links(), full);
}

#[test]
fn below_the_level_a_list_is_the_device_s_own() {
    let mut world = World::new();
    world.registers_with(WITH);
    let delete = world.enqueue("meter", Operation::Delete { path: INSTANCE });
    world.finish("meter", delete, delivered());
    assert_eq!(world.links(), WITH);
}

/// Two profiles, each of which undoes what the other one has done, for devices that the other one has done it to.
#[test]
fn profiles_that_take_turns_do_so_once_in_a_while() {
    let mut world = World::with_links(WITHOUT);
    let lists = Condition::Test(DeviceTest::Object(3311, Some(0)));
    let lacks = Condition::Not(Box::new(lists.clone()));
    for (name, filter, presence) in [
        ("remover", lists, Presence::Absent),
        ("maker", lacks, Presence::Present),
    ] {
        let mut profile = profile(name, 0, &[]);
        profile.selector.filter = filter;
        profile.resources = vec![instance(presence)];
        world.put_profile(profile);
    }
    let mut turns = 0;
    while let Some(operation) = world.next_operation("meter") {
        world.finish("meter", operation, delivered());
        turns += 1;
        assert!(turns < 10, "they take turns for ever");
    }
    assert_eq!(turns, 2);
    assert!(matches!(world.state(), DesiredState::Drifted { .. }));
    for _ in 0..3 {
        world.advance(CORRECTION_GAP);
        world.expire();
        let operation = world.awaited();
        world.finish("meter", operation, delivered());
        assert_eq!(world.next_operation("meter"), None);
    }
    // What somebody says of the device itself counts at once.
    world.wants(1, vec![instance(Presence::Present)]);
    let links = world.links();
    assert_eq!(world.is_in_sync(), links.contains("</3311/0>"));
}
