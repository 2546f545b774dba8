use lwm2m::{Operation, Path, Value};

use super::{Goal, GoalError, Presence, check_goals, contradict, goal_path};
use crate::record::{DesiredValue, DriftPolicy};

const INSTANCE: Path = Path::ObjectInstance(3311, 0);
const ON_OFF: Path = Path::Resource(3311, 0, 5850);

fn wanted(path: Path, goal: Goal) -> DesiredValue {
    DesiredValue {
        path,
        goal,
        drift: DriftPolicy::Enforce,
    }
}

fn checked(set: &[DesiredValue]) -> Result<(), GoalError> {
    check_goals(set.iter().map(DesiredValue::wish))
}

fn instance(presence: Presence) -> DesiredValue {
    wanted(INSTANCE, Goal::Instance(presence))
}

#[test]
fn instances_that_the_device_depends_on_cannot_be_declared() {
    for object in [0, 1, 2, 3, 5] {
        let path = Path::ObjectInstance(object, 1);
        assert_eq!(Presence::check(path), Err(GoalError::OfDevice(path)));
    }
    for path in [Path::Root, Path::Object(3311), ON_OFF] {
        assert_eq!(Presence::check(path), Err(GoalError::NotAnInstance(path)));
    }
    for object in [4, 6, 9, 3311] {
        assert_eq!(Presence::check(Path::ObjectInstance(object, 0)), Ok(()));
    }
}

#[test]
fn what_is_absent_has_no_values() {
    let value = wanted(ON_OFF, Goal::Value(Value::Boolean(true)));
    let together = [instance(Presence::Present), value.clone()];
    assert_eq!(checked(&together), Ok(()));
    let (absent, below) = (INSTANCE, ON_OFF);
    assert_eq!(
        checked(&[value.clone(), instance(Presence::Absent)]),
        Err(GoalError::BelowAbsent { absent, below })
    );
    let absent = instance(Presence::Absent);
    assert!(contradict(
        (absent.path, &absent.goal),
        (value.path, &value.goal)
    ));
    assert!(!contradict(
        (absent.path, &absent.goal),
        (absent.path, &absent.goal)
    ));
}

#[test]
fn an_instance_is_created_with_the_values_below_it() {
    let value = |number| Goal::Value(Value::Integer(number));
    let present = Goal::Instance(Presence::Present);
    let set = [
        (Path::Resource(3310, 0, 1), value(1)),
        (INSTANCE, present.clone()),
        (Path::Resource(3311, 0, 1), value(2)),
        (Path::ResourceInstance(3311, 0, 1, 0), value(3)),
        (Path::ResourceInstance(3311, 0, 2, 0), value(4)),
        (Path::Resource(3311, 1, 1), value(5)),
    ];
    let create = present.operation(INSTANCE, set.iter().map(|(path, goal)| (*path, goal)));
    assert_eq!(create.validate(), Ok(()));
    assert_eq!(goal_path(&create), INSTANCE);
    let Operation::Create {
        path,
        instance,
        values,
    } = create
    else {
        panic!("not a Create")
    };
    assert_eq!((path, instance), (Path::Object(3311), Some(0)));
    let paths: Vec<Path> = values.iter().map(|entry| entry.path).collect();
    let expected = [
        Path::Resource(3311, 0, 1),
        Path::ResourceInstance(3311, 0, 2, 0),
    ];
    assert_eq!(paths, expected);
}
