//! Definitions of objects of vendors.

use device_state::limit::{MAX_MODEL_VERSIONS, MAX_MODELS};
use device_state::{Command, Outcome, Rejection, query};
use lwm2m::{ObjectModel, ObjectVersion};

use crate::world::World;

fn put(world: &mut World, id: u16, minor: u8, name: &'static str) -> Outcome {
    let model = ObjectModel::new(id, ObjectVersion::new(1, minor), name);
    world.run(Command::PutObjectModel {
        model: Box::new(model),
    })
}

fn remove(world: &mut World, object: u16, version: Option<ObjectVersion>) -> Outcome {
    world.run(Command::RemoveObjectModel { object, version })
}

fn known(world: &World) -> Vec<String> {
    let models = query::object_models(&world.tables);
    let shown = |model: &ObjectModel| format!("{}/{} {}", model.id, model.version, model.name);
    models.iter().map(shown).collect()
}

#[test]
fn definitions_are_known_by_object_and_version() {
    let mut world = World::new();
    for (id, minor, name) in [
        (26_242, 0, "Valve"),
        (26_241, 1, "Pump"),
        (26_241, 0, "Old pump"),
    ] {
        assert_eq!(put(&mut world, id, minor, name), Outcome::Done);
    }
    let all = ["26241/1.0 Old pump", "26241/1.1 Pump", "26242/1.0 Valve"];
    assert_eq!(known(&world), all);
    assert_eq!(put(&mut world, 26_242, 0, "Tap"), Outcome::Done);
    assert_eq!(known(&world)[2], "26242/1.0 Tap");
    let old = Some(ObjectVersion::V1_0);
    assert_eq!(remove(&mut world, 26_241, old), Outcome::Done);
    assert_eq!(known(&world), ["26241/1.1 Pump", "26242/1.0 Tap"]);
    let unknown = Outcome::Rejected(Rejection::UnknownModel);
    assert_eq!(remove(&mut world, 26_241, old), unknown);
    put(&mut world, 26_241, 0, "Old pump");
    assert_eq!(remove(&mut world, 26_241, None), Outcome::Done);
    assert_eq!(known(&world), ["26242/1.0 Tap"]);
}

#[test]
fn every_change_of_definitions_is_counted_and_nothing_else_is() {
    let mut world = World::new();
    let changes = |world: &World| query::counters(&world.tables).model_changes;
    put(&mut world, 26_241, 0, "Pump");
    put(&mut world, 26_241, 0, "Pump");
    assert_eq!(changes(&world), 2);
    remove(&mut world, 1, None);
    assert_eq!(changes(&world), 2);
    remove(&mut world, 26_241, None);
    assert_eq!(changes(&world), 3);
}

#[test]
fn there_are_not_too_many_definitions_and_each_can_be_replaced() {
    let mut world = World::new();
    let full = Outcome::Rejected(Rejection::TooManyModels);
    for minor in 0..MAX_MODEL_VERSIONS as u8 {
        assert_eq!(put(&mut world, 26_241, minor, "Pump"), Outcome::Done);
    }
    assert_eq!(put(&mut world, 26_241, u8::MAX, "Pump"), full);
    assert_eq!(put(&mut world, 26_241, 0, "Pump"), Outcome::Done);
    for id in (30_000..).take(MAX_MODELS - MAX_MODEL_VERSIONS) {
        assert_eq!(put(&mut world, id, 0, "Other"), Outcome::Done);
    }
    assert_eq!(put(&mut world, 26_242, 0, "Valve"), full);
    assert_eq!(put(&mut world, 30_000, 0, "Another"), Outcome::Done);
}
