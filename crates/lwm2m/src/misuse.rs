//! What the definition of an object forbids a server to do.

use thiserror::Error;

use crate::format::{Entry, Patch};
use crate::operation::Operation;
use crate::path::Path;
use crate::registry::{ObjectModel, Registry, ResourceModel};

/// Why a device whose objects are as they are defined would refuse an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Misuse {
    /// The resource shows no value.
    #[error("{0} is not readable by its object's definition")]
    NotReadable(Path),
    /// Servers do not change the resource.
    #[error("{0} is not writable by its object's definition")]
    NotWritable(Path),
    /// The resource is no action.
    #[error("{0} is not executable by its object's definition")]
    NotExecutable(Path),
    /// The resource has one value and no instances.
    #[error("{0} does not exist: the resource has no instances by its object's definition")]
    NoInstances(Path),
    /// There is one instance of the object, which always exists.
    #[error("{0} is neither created nor deleted: every device has its one instance")]
    AlwaysThere(Path),
    /// The object has one instance, and that has the id 0.
    #[error("{0} cannot be created: the one instance of its object is 0")]
    NotInstanceZero(Path),
}

impl Operation {
    /// Whether the definitions of the objects allow the operation. What `registry` does not know is
    /// allowed, and so is all that a raw request does.
    // LwM2M-Core 1.2 §6.3: the Operations column of an object's definition.
    pub fn check_use(&self, registry: &Registry) -> Result<(), Misuse> {
        match self {
            Self::Read { path, .. } => readable(*path, registry),
            Self::Observe { observed, .. } => observed
                .paths()
                .iter()
                .try_for_each(|path| readable(*path, registry)),
            Self::Execute { path, .. } => match registry.resource(*path) {
                Some(resource) if !resource.operations.executable => {
                    Err(Misuse::NotExecutable(*path))
                }
                _ => Ok(()),
            },
            Self::Write { values, .. } => values.iter().try_for_each(|value| set(value, registry)),
            Self::WriteComposite { patches } => patches.iter().try_for_each(|patch| match patch {
                Patch::Set(value) => set(value, registry),
                Patch::Remove(path) => writable(*path, registry),
            }),
            Self::Create { path, instance, .. } => {
                not_always_there(*path, registry)?;
                instance.map_or(Ok(()), |instance| creatable(*path, instance, registry))
            }
            Self::Delete {
                path: path @ Path::ObjectInstance(..),
            } => not_always_there(*path, registry),
            Self::Delete { path } => writable(*path, registry),
            // Paths of a Read-Composite that cannot be read are left out of its answer.
            Self::ReadComposite { .. }
            | Self::Discover { .. }
            | Self::CancelObserve { .. }
            | Self::WriteAttributes { .. }
            | Self::Raw(_) => Ok(()),
            Self::Behind { operation, .. } => operation.check_use(registry),
        }
    }
}

fn readable(path: Path, registry: &Registry) -> Result<(), Misuse> {
    let Some(resource) = registry.resource(path) else {
        return shows_something(path, registry);
    };
    if !resource.operations.readable {
        return Err(Misuse::NotReadable(path));
    }
    has_instances(path, resource)
}

/// Of objects with credentials nothing is shown (LwM2M-Core 1.2 §6.3).
fn shows_something(path: Path, registry: &Registry) -> Result<(), Misuse> {
    let object = path
        .object_id()
        .and_then(|object| registry.object(object, None));
    let hides = |object: &ObjectModel| {
        let mut resources = object.resources().iter();
        !resources.any(|resource| resource.operations.readable)
    };
    match object {
        Some(object) if hides(object) => Err(Misuse::NotReadable(path)),
        _ => Ok(()),
    }
}

// LwM2M-Core 1.2 §7.2: the one instance of a single-instance object has the id 0.
fn creatable(object: Path, instance: u16, registry: &Registry) -> Result<(), Misuse> {
    let model = object
        .object_id()
        .and_then(|object| registry.object(object, None));
    match (model, object.child(instance)) {
        (Some(model), Some(path)) if !model.multiple && instance != 0 => {
            Err(Misuse::NotInstanceZero(path))
        }
        _ => Ok(()),
    }
}

fn set(value: &Entry, registry: &Registry) -> Result<(), Misuse> {
    writable(value.path, registry)
}

fn writable(path: Path, registry: &Registry) -> Result<(), Misuse> {
    let Some(resource) = registry.resource(path) else {
        return Ok(());
    };
    if !resource.operations.writable {
        return Err(Misuse::NotWritable(path));
    }
    has_instances(path, resource)
}

fn has_instances(path: Path, resource: &ResourceModel) -> Result<(), Misuse> {
    if path.resource_instance_id().is_some() && !resource.multiple {
        Err(Misuse::NoInstances(path))
    } else {
        Ok(())
    }
}

fn not_always_there(path: Path, registry: &Registry) -> Result<(), Misuse> {
    let object = path
        .object_id()
        .and_then(|object| registry.object(object, None));
    match object {
        Some(object) if object.mandatory && !object.multiple => Err(Misuse::AlwaysThere(path)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;
    use crate::{ExecuteArguments, NotificationAttributes, Value, WriteMode};

    fn check(operation: &Operation) -> Result<(), Misuse> {
        operation.check_use(Registry::oma())
    }

    fn write(path: Path) -> Operation {
        Operation::Write {
            path,
            mode: WriteMode::Replace,
            values: vec![Entry::new(path, Value::Integer(1))],
        }
    }

    #[test]
    fn the_operations_of_a_resource_are_those_of_its_definition() {
        let read = |path| check(&Operation::Read { path, accept: None });
        let reboot = Path::Resource(3, 0, 4);
        assert_eq!(read(reboot), Err(Misuse::NotReadable(reboot)));
        assert_eq!(read(Path::Resource(3, 0, 0)), Ok(()));
        let manufacturer = Path::Resource(3, 0, 0);
        assert_eq!(
            check(&write(manufacturer)),
            Err(Misuse::NotWritable(manufacturer))
        );
        assert_eq!(check(&write(Path::Resource(3, 0, 14))), Ok(()));
        let execute = |path| {
            check(&Operation::Execute {
                path,
                arguments: ExecuteArguments::default(),
            })
        };
        assert_eq!(execute(reboot), Ok(()));
        assert_eq!(
            execute(manufacturer),
            Err(Misuse::NotExecutable(manufacturer))
        );
    }

    #[test]
    fn a_single_resource_has_no_instances() {
        let path = Path::ResourceInstance(3, 0, 14, 0);
        assert_eq!(check(&write(path)), Err(Misuse::NoInstances(path)));
        assert_eq!(check(&write(Path::ResourceInstance(16, 0, 0, 1))), Ok(()));
    }

    #[test]
    fn the_device_object_is_neither_created_nor_deleted() {
        let create = Operation::Create {
            path: Path::Object(3),
            instance: None,
            values: Vec::new(),
        };
        assert_eq!(check(&create), Err(Misuse::AlwaysThere(Path::Object(3))));
        let delete = |path| check(&Operation::Delete { path });
        assert!(delete(Path::ObjectInstance(3, 0)).is_err());
        assert_eq!(delete(Path::ObjectInstance(3303, 0)), Ok(()));
    }

    #[test]
    fn an_object_with_one_instance_has_instance_0() {
        let create = |object, instance| {
            check(&Operation::Create {
                path: Path::Object(object),
                instance,
                values: Vec::new(),
            })
        };
        assert_eq!(create(6, Some(0)), Ok(()));
        assert_eq!(create(6, None), Ok(()));
        let other = Path::ObjectInstance(6, 1);
        assert_eq!(create(6, Some(1)), Err(Misuse::NotInstanceZero(other)));
        assert_eq!(create(3303, Some(7)), Ok(()));
        assert_eq!(create(31_999, Some(7)), Ok(()));
    }

    #[test]
    fn a_new_instance_may_be_given_values_that_can_only_be_read() {
        let temperature = Path::Resource(3303, 1, 5700);
        assert!(check(&write(temperature)).is_err());
        let create = Operation::Create {
            path: Path::Object(3303),
            instance: Some(1),
            values: vec![Entry::new(temperature, Value::Float(20.0))],
        };
        assert_eq!(check(&create), Ok(()));
    }

    #[test]
    fn nothing_of_a_credential_is_read_at_any_level() {
        let read = |path| check(&Operation::Read { path, accept: None });
        let observe = |path: Path| {
            check(&Operation::Observe {
                observed: path.into(),
                parameters: NotificationAttributes::default(),
            })
        };
        for path in ["/0", "/0/0", "/0/0/5", "/21", "/21/0", "/21/0/0", "/23/0"] {
            let path: Path = path.parse().unwrap();
            assert_eq!(read(path), Err(Misuse::NotReadable(path)));
            assert_eq!(observe(path), Err(Misuse::NotReadable(path)));
        }
        assert_eq!(read(Path::Object(1)), Ok(()));
        assert_eq!(read(Path::Object(31_999)), Ok(()));
    }

    #[test]
    fn what_no_definition_knows_is_allowed() {
        assert_eq!(check(&write(Path::Resource(31_999, 0, 1))), Ok(()));
        assert_eq!(check(&write(Path::Resource(3, 0, 9_999))), Ok(()));
    }
}
