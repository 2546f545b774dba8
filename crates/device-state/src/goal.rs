//! What is wanted of a device: values of resources, and object instances that are there or not.

use lwm2m::{Entry, Operation, Path, Value, WriteMode};

use crate::record::OperationOutcome;

/// 4.04: a device that answers so to a Delete lacks what was to go.
const NOT_FOUND: u8 = 0x84;

/// What is to be at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// A resource, or an instance of one, has this value.
    Value(Value),
    /// An object instance is there, or is not.
    Instance(Presence),
}

/// Whether an object instance is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It is created if the device lacks it.
    Present,
    /// It is deleted if the device has it.
    Absent,
}

/// Why something cannot be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum GoalError {
    /// Only object instances are there or not.
    #[error("{0} is not an object instance, such as /3311/0")]
    NotAnInstance(Path),
    /// A device without them, or with others, could not be managed any more.
    #[error(
        "{0} cannot be declared: the device itself depends on the instances of the objects 0, 1, 2, 3 and 5"
    )]
    OfDevice(Path),
    /// What is not there has no values.
    #[error("{below} cannot be wanted below {absent}, which is to be absent")]
    BelowAbsent {
        /// The object instance.
        absent: Path,
        /// What is wanted of it.
        below: Path,
    },
}

impl Presence {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
        }
    }

    /// Whether a device that has the instance, or lacks it, is as wanted.
    pub const fn is_met(self, is_there: bool) -> bool {
        matches!(self, Self::Present) == is_there
    }

    /// Whether instances at a path may be declared: those of Security, Server, Access Control, Device and Firmware Update
    /// are for the bootstrap server and for the device.
    pub fn check(path: Path) -> Result<(), GoalError> {
        match path {
            Path::ObjectInstance(0..=3 | 5, _) => Err(GoalError::OfDevice(path)),
            Path::ObjectInstance(..) => Ok(()),
            _ => Err(GoalError::NotAnInstance(path)),
        }
    }
}

impl Goal {
    /// The value, if it is one.
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Instance(_) => None,
        }
    }

    /// Whether an instance is to be there, if it is about that.
    pub const fn presence(&self) -> Option<Presence> {
        match self {
            Self::Instance(presence) => Some(*presence),
            Self::Value(_) => None,
        }
    }

    /// The value in its canonical form, or `present` or `absent`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Value(value) => value.to_text(),
            Self::Instance(presence) => presence.name().to_owned(),
        }
    }

    /// What makes it so. An instance is created with the values that are wanted below it: some of them may be mandatory.
    /// `set` is all that is wanted of the device, by path.
    pub(crate) fn operation<'g>(
        &self,
        path: Path,
        set: impl Iterator<Item = (Path, &'g Self)>,
    ) -> Operation {
        match self {
            Self::Value(value) => Operation::Write {
                path,
                mode: WriteMode::Replace,
                values: vec![Entry::new(path, value.clone())],
            },
            Self::Instance(Presence::Present) => Operation::Create {
                path: path.parent().unwrap_or(Path::Root),
                instance: path.object_instance_id(),
                values: values_below(path, set),
            },
            Self::Instance(Presence::Absent) => Operation::Delete { path },
        }
    }
}

/// A Create takes no resource beside its own instances: the resource counts.
fn values_below<'g>(instance: Path, set: impl Iterator<Item = (Path, &'g Goal)>) -> Vec<Entry> {
    let mut values: Vec<Entry> = Vec::new();
    for (path, goal) in set.filter(|(path, _)| path.starts_with(instance)) {
        let is_covered = values
            .last()
            .is_some_and(|last| path.starts_with(last.path));
        if let (Goal::Value(value), false) = (goal, is_covered) {
            values.push(Entry::new(path, value.clone()));
        }
    }
    values
}

/// What an operation is about, of those that [`Goal::operation`] makes.
pub(crate) fn goal_path(operation: &Operation) -> Path {
    match operation {
        Operation::Create {
            path,
            instance: Some(instance),
            ..
        } => path.child(*instance).unwrap_or(*path),
        other => other.path(),
    }
}

/// Which instance an operation on it turned out to have left there or not. A device may give a new instance another id
/// than it was asked to, and tells so in the Location-Path of its answer.
pub(crate) fn came_about(
    operation: &Operation,
    outcome: &OperationOutcome,
) -> Option<(Path, Presence)> {
    let (path, presence) = match (operation, outcome) {
        (Operation::Create { .. }, OperationOutcome::Delivered { values, .. }) => {
            let asked_for = || goal_path(operation);
            let made = values.first().map_or_else(asked_for, |(path, _)| *path);
            (made, Presence::Present)
        }
        (
            Operation::Delete { path },
            OperationOutcome::Delivered { .. }
            | OperationOutcome::Rejected {
                code: NOT_FOUND, ..
            },
        ) => (*path, Presence::Absent),
        _ => return None,
    };
    matches!(path, Path::ObjectInstance(..)).then_some((path, presence))
}

/// Whether one of two is an instance that is to be absent, and the other one is below it.
pub fn contradict(one: (Path, &Goal), other: (Path, &Goal)) -> bool {
    let hides = |(absent, goal): (Path, &Goal), (below, _): (Path, &Goal)| {
        goal.presence() == Some(Presence::Absent) && below != absent && below.starts_with(absent)
    };
    hides(one, other) || hides(other, one)
}

/// Whether all that somebody wants of a device can be had together.
pub fn check_goals<'g>(
    set: impl Iterator<Item = (Path, &'g Goal)> + Clone,
) -> Result<(), GoalError> {
    let is_absent = |goal: &Goal| goal.presence() == Some(Presence::Absent);
    for one in set.clone().filter(|(_, goal)| is_absent(goal)) {
        if let Some((below, _)) = set.clone().find(|other| contradict(one, *other)) {
            let absent = one.0;
            return Err(GoalError::BelowAbsent { absent, below });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
