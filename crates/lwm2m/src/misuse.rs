//! What the definition of an object forbids a server to do.

use thiserror::Error;

use crate::format::{Entry, Patch};
use crate::operation::Operation;
use crate::path::Path;
use crate::registry::{Registry, ResourceModel};

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
            Self::Create { path, .. } => not_always_there(*path, registry),
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
        }
    }
}

fn readable(path: Path, registry: &Registry) -> Result<(), Misuse> {
    let Some(resource) = registry.resource(path) else {
        return Ok(());
    };
    if !resource.operations.readable {
        return Err(Misuse::NotReadable(path));
    }
    has_instances(path, resource)
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
    use super::*;
    use crate::{ExecuteArguments, Value, WriteMode};

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
    fn what_no_definition_knows_is_allowed() {
        assert_eq!(check(&write(Path::Resource(31_999, 0, 1))), Ok(()));
        assert_eq!(check(&write(Path::Resource(3, 0, 9_999))), Ok(()));
    }
}
